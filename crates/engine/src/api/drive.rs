//! Signing in to Google Drive, as the doors see it.

use howdah_domain::{DestinationId, Secret};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What this build of Howdah offers for Google Drive.
#[derive(Debug, Clone, Copy, Serialize, TS)]
#[ts(export)]
pub struct DriveOffer {
    /// Whether it has an OAuth client of its own; else the user needs one.
    pub built_in: bool,
}

/// A sign-in that is to begin.
#[derive(Debug, Default, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct DriveSignInRequest {
    /// The destination that is to be signed in again, with the client that it has. Its new sign-in is kept as soon as it is there.
    pub destination: Option<DestinationId>,
    /// The id of the user's own OAuth client; none is the built-in one.
    pub client_id: Option<String>,
    /// That client's secret.
    #[ts(type = "string | null")]
    pub client_secret: Option<Secret>,
}

/// A sign-in that has begun: the page in the browser comes next.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct DriveSignInPage {
    /// The sign-in's id.
    pub id: String,
    /// The page's address.
    pub url: String,
}

/// A sign-in that was finished in the browser. What it gives stays in the engine until a destination takes it
/// (`sign_in` of [`super::DestinationInput`]), for an hour.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct DriveSignedIn {
    /// The sign-in's id.
    pub id: String,
    /// The account's address, where Google tells it.
    pub account: Option<String>,
}
