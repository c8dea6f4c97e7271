//! Checks every byte of a backup's folder: checksums, frames, seek table, index against content.

use howdah_domain::{Failure, TableName};

use crate::source::BackupFolder;
use crate::{Error, Meter};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What is wrong. Empty means that the backup is whole.
    pub damages: Vec<Damage>,
    /// Files checked, manifest and checksum included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tables whose rows were read and compared with the index.
    pub tables: u64,
    /// Rows read and compared.
    pub rows: u64,
    /// Whether the content was read too: not where the backup is encrypted, or a damage stood in the way.
    pub content_checked: bool,
}

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The damaged file's name.
    pub file: String,
    /// The table it concerns, where that can be told.
    pub table: Option<TableName>,
    /// What kind of damage.
    pub kind: DamageKind,
    /// What exactly, in a sentence.
    pub detail: String,
}

/// Kinds of damages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DamageKind {
    /// The file is not there.
    Missing,
    /// It is shorter or longer than it was.
    Length,
    /// Its checksum differs.
    Checksum,
    /// A frame does not decompress to what it was.
    Frame,
    /// The seek table at the dump's end does not tell of its frames.
    SeekTable,
    /// It cannot be understood.
    Unreadable,
    /// The rows are not those that the index tells of.
    Content,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.damages.is_empty()
    }

    /// The damages as one failure; none where all is whole.
    pub fn to_failure(&self) -> Option<Failure> {
        todo!()
    }
}

/// Checks a backup: the manifest by its own checksum, each file's length and SHA-256, every frame, the seek table, and
/// the index against the content (rows and fingerprint of every table). Damages are in the report, not errors.
///
/// `meter` tells how far it is (`stored_bytes` counts what has been read of all files); `is_cancelled` is asked often.
///
/// # Errors
/// [`Error::NotABackup`], [`Error::NewerFormat`], [`Error::Cancelled`], and [`Error::Read`] where a file is there but
/// cannot be read.
pub fn verify(
    folder: &dyn BackupFolder,
    meter: &Meter,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Report, Error> {
    let _ = (folder, meter, is_cancelled);
    todo!()
}
