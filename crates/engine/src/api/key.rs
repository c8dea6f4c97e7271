//! Keys of encrypted backups as they are shown, and the recovery kit.

use howdah_domain::Secret;
use jiff::Timestamp;
use serde::Serialize;
use ts_rs::TS;

/// A key that this machine can read with; the public half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct KeyView {
    /// `age1…`.
    pub recipient: String,
    /// Whether it is this machine's own, to which new plans encrypt.
    pub own: bool,
    /// When it was made or brought in.
    #[ts(type = "string")]
    pub created_at: Timestamp,
    /// When its recovery kit was saved.
    #[ts(type = "string | null")]
    pub kit_saved_at: Option<Timestamp>,
    /// When a saved kit was read back and found right.
    #[ts(type = "string | null")]
    pub kit_tested_at: Option<Timestamp>,
}

/// A recovery kit. It crosses to nobody but who saves or prints it.
#[derive(Debug)]
pub struct RecoveryKit {
    /// Whose key it holds.
    pub recipient: String,
    /// What its file is called.
    pub file_name: String,
    /// Its text: an age key file with the rest in comments.
    pub text: Secret,
    /// The same as a page to be printed: HTML that asks nobody for anything.
    pub page: Secret,
}

/// What a kit holds.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct KitReport {
    /// Whose key.
    pub recipient: String,
    /// Whether that is this machine's own.
    pub right: bool,
    /// Where it says that backups are.
    pub destinations: Vec<String>,
}
