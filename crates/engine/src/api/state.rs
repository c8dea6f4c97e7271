//! The settings of a whole installation, exported and imported.

use howdah_domain::{DestinationId, Secret};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What an export is to hold, and who can read it.
#[derive(Debug, Default, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct ExportRequest {
    /// Whether passwords, tokens and keys go along.
    pub with_secrets: bool,
    /// Encrypt with this passphrase; none is with this machine's own key.
    #[ts(type = "string | null")]
    pub passphrase: Option<Secret>,
}

/// An export that was read and not yet taken over. It stays in the engine for an hour.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct ExportView {
    /// Its id, to take it over.
    pub id: String,
    /// The machine that it is of.
    pub machine: String,
    /// When it was made.
    #[ts(type = "string")]
    pub exported_at: Timestamp,
    /// Servers in it, and how many of them are new here.
    pub servers: ImportCount,
    /// Destinations in it.
    pub destinations: ImportCount,
    /// Plans in it.
    pub plans: ImportCount,
    /// Channels in it.
    pub channels: ImportCount,
    /// Passwords, tokens and keys in it.
    pub secrets: u64,
}

/// How many there are, and how many of them are not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, TS)]
#[ts(export)]
pub struct ImportCount {
    /// In the export.
    pub there: u64,
    /// Of those, not known here.
    pub new: u64,
}

/// What was taken over.
#[derive(Debug, Clone, Default, Serialize, TS)]
#[ts(export)]
pub struct ImportReport {
    /// Servers that were added.
    pub servers: u64,
    /// Destinations that were added.
    pub destinations: u64,
    /// Plans that were added. They are switched off, so that two machines do not make the same backups unasked.
    pub plans: u64,
    /// Channels that were added.
    pub channels: u64,
    /// Secrets that were put into the keyring.
    pub secrets: u64,
    /// What was left out or needs a person, as sentences.
    pub remarks: Vec<String>,
}

/// A copy of a machine's settings that lies at a destination.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct StoredExport {
    /// The destination.
    pub destination_id: DestinationId,
    /// The machine that it is of.
    pub machine: String,
    /// When it was made.
    #[ts(type = "string")]
    pub exported_at: Timestamp,
    /// Where it lies there.
    pub path: String,
}
