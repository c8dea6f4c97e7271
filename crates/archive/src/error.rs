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
    /// A text is not an age recipient.
    #[error("{}", not_a_recipient(.text.as_deref()))]
    NotARecipient {
        /// The text, shortened; none where it looks like a secret key.
        text: Option<String>,
    },
    /// There is nobody who could read what is to be encrypted.
    #[error("no recipient and no passphrase to encrypt to")]
    NoRecipient,
    /// There are more recipients than an encrypted file may have.
    #[error(
        "{given} recipients are more than the {} that a backup may have",
        crate::encryption::MOST_RECIPIENTS
    )]
    TooManyRecipients {
        /// How many there are.
        given: usize,
    },
    /// A text is not a secret key. It is not repeated.
    #[error("not a secret key of age: one begins with AGE-SECRET-KEY-1")]
    NotAKey,
    /// age refused to encrypt.
    #[error("encrypting failed: {reason}")]
    Encrypt {
        /// age's words.
        reason: String,
    },
    /// A file is encrypted, and nothing of the kind that could open it is at hand.
    #[error("{file} is encrypted {}", what_is_missing(*.passphrase))]
    KeyMissing {
        /// The file's name.
        file: String,
        /// Whether a passphrase is wanted instead of a key.
        passphrase: bool,
    },
    /// A file is encrypted to other keys than those given.
    #[error("none of the keys given opens {file}")]
    WrongKey {
        /// The file's name.
        file: String,
    },
    /// A file is encrypted with another passphrase.
    #[error("the passphrase does not open {file}")]
    WrongPassphrase {
        /// The file's name.
        file: String,
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

    /// What a read brought: an error of ours that came through [`Read`](io::Read), or else the system's own about `what`.
    pub fn from_io(what: impl Into<String>, error: io::Error) -> Self {
        error
            .downcast::<Self>()
            .unwrap_or_else(|error| Self::read(what, error))
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
            Self::Read { what, source } => Failure::inside(source).cloned().unwrap_or_else(|| {
                Failure::new(FailureCode::Internal, format!("Reading {what} failed.")).details(details)
            }),
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
            Self::NotARecipient { text } => Failure::new(FailureCode::InvalidInput, sentence(&details))
                .hint(match text {
                    Some(_) => "A recipient is the public half of a key: `age-keygen` shows it as its public key.",
                    None => "Give the public key, which begins with age1. Keep the secret key to yourself.",
                }),
            Self::NoRecipient => Failure::new(
                FailureCode::InvalidInput,
                "There is nobody who could read what is encrypted.",
            )
            .hint("Give at least one recipient (age1…), or a passphrase."),
            Self::TooManyRecipients { .. } => Failure::new(FailureCode::InvalidInput, sentence(&details))
                .hint("Let several people share a key, or leave some out."),
            Self::NotAKey => Failure::new(FailureCode::InvalidInput, "This is not a secret key of age.")
                .hint("A secret key begins with AGE-SECRET-KEY-1; the recovery kit has it."),
            Self::Encrypt { .. } => {
                Failure::new(FailureCode::Internal, "Encrypting the backup failed.").details(details)
            }
            Self::KeyMissing { passphrase: true, .. } => Failure::new(
                FailureCode::KeyMissing,
                "The backup is encrypted with a passphrase, and none was given.",
            )
            .hint("Give the passphrase that was chosen for the plan.")
            .details(details),
            Self::KeyMissing { passphrase: false, .. } => Failure::new(
                FailureCode::KeyMissing,
                "The backup is encrypted, and its key is not at hand.",
            )
            .hint("Give the secret key (AGE-SECRET-KEY-1…): the recovery kit has it.")
            .details(details),
            Self::WrongKey { .. } => Failure::new(
                FailureCode::KeyWrong,
                "The backup is encrypted to other keys than the one given.",
            )
            .hint("The manifest names the public keys that it is encrypted to: give the secret key of one of them.")
            .details(details),
            Self::WrongPassphrase { .. } => Failure::new(
                FailureCode::KeyWrong,
                "The passphrase does not open the backup.",
            )
            .hint("Check capitals and the keyboard's layout. It is the passphrase that the plan had when the backup was made.")
            .details(details),
            Self::Cancelled => Failure::new(FailureCode::Cancelled, "Cancelled."),
        }
    }
}

fn what_is_missing(passphrase: bool) -> &'static str {
    if passphrase {
        "with a passphrase, and none was given"
    } else {
        "to a key, and none was given"
    }
}

fn not_a_recipient(text: Option<&str>) -> String {
    match text {
        Some("") => {
            "an empty text is not an age recipient: one begins with age1 and has 62 characters".to_owned()
        }
        Some(text) => {
            format!("“{text}” is not an age recipient: one begins with age1 and has 62 characters")
        }
        None => "this looks like a secret key, not like a recipient".to_owned(),
    }
}

/// An error's text with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
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
