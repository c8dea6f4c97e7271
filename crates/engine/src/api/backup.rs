//! Backups, their copies and their tables.

use howdah_domain::{BackupId, DatabaseId, DestinationId, Encryption, Failure, RunId};
use jiff::Timestamp;
use serde::Serialize;
use ts_rs::TS;

use super::ProofView;

/// A backup in a list.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct BackupView {
    /// Its id.
    pub id: BackupId,
    /// The database it is of.
    pub database_id: DatabaseId,
    /// That database's name then.
    pub database_name: String,
    /// The server's name then.
    pub server_name: String,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// When the dump began.
    #[ts(type = "string")]
    pub started_at: Timestamp,
    /// When the manifest was written.
    #[ts(type = "string")]
    pub finished_at: Timestamp,
    /// Bytes of the dump, uncompressed.
    pub raw_bytes: u64,
    /// Bytes of all files as stored.
    pub stored_bytes: u64,
    /// Tables with data entries.
    pub tables: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// The server's version then.
    pub server_version: String,
    /// pg_dump's version.
    pub client_version: String,
    /// Where it lies.
    pub copies: Vec<CopyView>,
    /// When it was last read back and found whole.
    #[ts(type = "string | null")]
    pub verified_at: Option<Timestamp>,
    /// What its newest drill found; none where it had none.
    pub proof: Option<ProofView>,
    /// Whether it is kept from every rule.
    pub pinned: bool,
    /// Who can read it.
    pub encryption: Encryption,
}

/// A backup on one destination.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct CopyView {
    /// The destination.
    pub destination_id: DestinationId,
    /// Its name.
    pub destination_name: String,
    /// Where it lies, for people: the folder's absolute path, or the destination's URL and the folder there.
    pub path: String,
    /// What is known of it.
    pub state: CopyState,
    /// Whether it is there, as far as the last look showed.
    pub present: bool,
    /// When it was last checked and found whole: read back, or compared by its destination's own checksums.
    #[ts(type = "string | null")]
    pub verified_at: Option<Timestamp>,
    /// What is wrong with it, or why the last attempt to make or delete it failed.
    pub failure: Option<Failure>,
    /// When that is tried again.
    #[ts(type = "string | null")]
    pub next_attempt_at: Option<Timestamp>,
}

/// What is known of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum CopyState {
    /// It is to be made from another copy.
    Wanted,
    /// It is there.
    Present,
    /// It was there, and is not found any more.
    Missing,
    /// It is there, and not as it was written.
    Damaged,
    /// It is being deleted.
    Deleting,
}

/// A backup's own page.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct BackupPage {
    /// The backup.
    pub backup: BackupView,
    /// Its tables; empty where the index cannot be read.
    pub tables: Vec<TableView>,
    /// Why the tables cannot be shown.
    pub failure: Option<Failure>,
    /// The commands that restore it without Howdah.
    pub restore_by_hand: String,
    /// The database's encoding.
    pub encoding: String,
    /// The extensions the database uses.
    pub extensions: Vec<String>,
}

/// A table in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct TableView {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of its COPY data, uncompressed.
    pub raw_bytes: u64,
    /// 32 hex digits (FORMAT: fingerprint).
    pub fingerprint: String,
}
