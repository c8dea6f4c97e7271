//! Destinations as they are shown, tried out, added and changed.

use howdah_domain::{DestinationId, Failure, Place, PlaceKind, Secret};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A destination.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct DestinationView {
    /// Its id.
    pub id: DestinationId,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: PlaceKind,
    /// Where it is, in full.
    pub place: Place,
    /// Where it is, as a URL; a folder as its path.
    pub location: String,
    /// Whether the keyring holds what opens it.
    pub has_secret: bool,
    /// What the last look at it found to be wrong.
    pub failure: Option<Failure>,
    /// Copies there.
    pub backups: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes free, where known.
    pub free_bytes: Option<u64>,
}

/// A destination to be tried out or added.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct DestinationInput {
    /// The destination that is being changed: its kept secret is used where none is given.
    #[serde(default)]
    pub id: Option<DestinationId>,
    /// What it is to be called; none is a name from the place.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it is.
    pub place: Place,
    /// What opens it, where it needs something.
    #[serde(default)]
    #[ts(type = "string | null")]
    pub secret: Option<Secret>,
    /// The sign-in that opens it, where it is in Google Drive: the id of one that was finished.
    #[serde(default)]
    #[ts(optional)]
    pub sign_in: Option<String>,
}

/// What of a destination is to be changed; what is not given stays.
#[derive(Debug, Default, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct DestinationChange {
    /// Its name.
    pub name: Option<String>,
    /// Where it is.
    pub place: Option<Place>,
    /// What opens it; an empty text removes what is kept.
    #[ts(type = "string | null")]
    pub secret: Option<Secret>,
    /// A new sign-in, where it is in Google Drive.
    #[ts(optional)]
    pub sign_in: Option<String>,
}

/// What a look at everything that lies at a destination found.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct AttachReport {
    /// Backups there.
    pub found: u64,
    /// Those of them that were not known here, or not known to be there.
    pub added: u64,
    /// Copies that were known to be there and are not.
    pub missing: u64,
    /// Folders that hold something like a backup, and why it cannot be read.
    pub unreadable: Vec<UnreadableBackup>,
}

/// Something like a backup that cannot be read.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct UnreadableBackup {
    /// Where it lies.
    pub path: String,
    /// Why.
    pub failure: Option<Failure>,
}

/// What trying a destination out found.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct DestinationReport {
    /// Each step, in its order. After the one that failed, none was taken.
    pub steps: Vec<DestinationStep>,
    /// Bytes free, where the destination tells.
    pub free_bytes: Option<u64>,
}

impl DestinationReport {
    /// Why it cannot be used; none where every step passed.
    pub fn failure(&self) -> Option<&Failure> {
        self.steps.iter().find_map(|step| step.failure.as_ref())
    }
}

/// A step of trying a destination out.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct DestinationStep {
    /// Which.
    pub id: DestinationStepId,
    /// Whether it was taken, and ended well.
    pub passed: bool,
    /// Why it did not.
    pub failure: Option<Failure>,
}

/// The steps of trying a destination out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum DestinationStepId {
    /// Is the place there, and are we let in?
    Reach,
    /// An object is written.
    Write,
    /// It is read back.
    Read,
    /// It is listed.
    List,
    /// It is deleted.
    Delete,
}
