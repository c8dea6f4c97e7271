//! What can go wrong with a backup's bytes, and how it is told to people.

use std::io;

use howdah_domain::{Failure, FailureCode};

/// An error of this crate. The `io::Error`s are kept as sources, so that a caller can look for ENOSPC and the like.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input (pg_dump's output, or a stored file) could not be read.
    #[error("reading {what} failed: {source}")]
    Read {
        /// What was read: `pg_dump's output`, or a file's name.
        what: String,
        /// The system's words.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("writing the backup failed: {source}")]
    Write {
        /// The system's words.
        source: io::Error,
    },
    /// The archive ends before the last block that its table of contents announces.
    #[error("the dump ends at byte {offset}, {missing}")]
    Truncated {
        /// Raw bytes that came.
        offset: u64,
        /// What was still to come.
        missing: String,
    },
    /// The archive is not what pg_dump writes.
    #[error("the dump is not as expected at byte {offset}: {reason}")]
    Malformed {
        /// The raw offset at which it was noticed.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// zstd refused to compress.
    #[error("compressing failed: {reason}")]
    Compress {
        /// zstd's words.
        reason: String,
    },
    /// A stored file is not what it was when it was written.
    #[error("{file} is damaged: {reason}")]
    Damaged {
        /// The file's name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no manifest: the folder is not a backup, or one that was never finished.
    #[error("no manifest.json: this folder is not a finished backup")]
    NotABackup,
    /// The manifest is of a format that this version does not know.
    #[error("the backup has format {found}, this version of Howdah reads up to {known}")]
    NewerFormat {
        /// The manifest's format.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// Asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// A reading error of pg_dump's output.
    pub(crate) fn read(what: impl Into<String>, source: io::Error) -> Self {
        Self::Read {
            what: what.into(),
            source,
        }
    }

    pub(crate) fn malformed(offset: u64, reason: impl Into<String>) -> Self {
        Self::Malformed {
            offset,
            reason: reason.into(),
        }
    }

    pub(crate) fn damaged(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.into(),
            reason: reason.into(),
        }
    }

    /// Whether the same attempt may succeed a little later: never, where the bytes themselves are wrong; for reading
    /// and writing, where the system says that it was interrupted or timed out.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Write { source } => matches!(
                source.kind(),
                io::ErrorKind::TimedOut
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::NotConnected
            ),
            _ => false,
        }
    }

    /// Whether the user ended it.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// The error in the words of people.
    pub fn to_failure(&self) -> Failure {
        let details = self.to_string();
        match self {
            Self::Read { what, .. } => Failure::new(
                FailureCode::Internal,
                format!("Reading {what} failed."),
            )
            .details(details),
            Self::Write { source } => write_failure(source).details(details),
            Self::Truncated { .. } => Failure::new(
                FailureCode::DumpTruncated,
                "pg_dump's output ended before its end, so no backup was made of it.",
            )
            .hint("Look at pg_dump's last messages in the log: the connection or the server may have gone away.")
            .details(details),
            Self::Malformed { .. } => Failure::new(
                FailureCode::DumpMalformed,
                "pg_dump's output is not in the form that Howdah knows, so no backup was made of it.",
            )
            .hint("Please report this with the versions of the server and of pg_dump.")
            .details(details),
            Self::Compress { .. } => {
                Failure::new(FailureCode::Internal, "Compressing the dump failed.").details(details)
            }
            Self::Damaged { file, .. } => Failure::new(
                FailureCode::BackupDamaged,
                format!("The backup's file {file} is damaged."),
            )
            .hint("Use another copy of this backup, or an older backup.")
            .details(details),
            Self::NotABackup => Failure::new(
                FailureCode::BackupUnreadable,
                "This folder is not a finished backup: it has no manifest.json.",
            )
            .hint("Choose the folder that directly holds manifest.json and dump.pgdump.zst."),
            Self::NewerFormat { found, known } => Failure::new(
                FailureCode::BackupUnreadable,
                format!(
                    "This backup was made by a newer Howdah: its format is {found}, this one reads up to {known}."
                ),
            )
            .hint(
                "Update Howdah. Without it: `zstd -dc dump.pgdump.zst | pg_restore -d target` restores it by hand.",
            ),
            Self::Cancelled => Failure::new(FailureCode::Cancelled, "Cancelled."),
        }
    }
}

/// A failure to write, by what the system says about it.
fn write_failure(source: &io::Error) -> Failure {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Failure::new(FailureCode::DiskFull, "The destination is full.")
                .hint("Free some space there, keep fewer backups, or choose another destination.")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Failure::new(
            FailureCode::DestinationReadOnly,
            "The destination cannot be written.",
        )
        .hint("Give the user that runs Howdah the right to write there."),
        _ => Failure::new(
            FailureCode::DestinationFailed,
            "Writing to the destination failed.",
        ),
    }
}
