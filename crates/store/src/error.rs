//! What can go wrong with the data directory and the keyring, and what a person is told about it.

use std::{io, path::PathBuf};

use howdah_domain::{Failure, FailureCode};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the store or of the keyring. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory, or a file in it, cannot be made, read or written.
    #[error("the data directory {path} cannot be used: {source}")]
    DataDir {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite cannot open the file, or its file system does not offer what SQLite needs.
    #[error("the file {path} cannot be used: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The data directory was written by a newer Howdah.
    #[error("the data directory has version {found}, this program knows up to {known}")]
    Newer {
        /// The file's version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The file is no SQLite database, or a damaged one.
    #[error("howdah.db is damaged: {0}")]
    Corrupt(String),
    /// No space left on the disk of the data directory.
    #[error("no space left for howdah.db: {0}")]
    Full(String),
    /// The file may not be written.
    #[error("howdah.db cannot be written: {0}")]
    ReadOnly(String),
    /// Another process held the database for longer than we wait.
    #[error("another process holds howdah.db: {0}")]
    Busy(String),
    /// A row holds what this program cannot read.
    #[error("a row of howdah.db cannot be read: {0}")]
    Unreadable(String),
    /// There is no such row.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The name is in use.
    #[error("a {what} named “{name}” exists already")]
    NameTaken {
        /// What has the name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Something else refers to it.
    #[error("the {what} is in use: {by}")]
    InUse {
        /// What was to be removed.
        what: &'static str,
        /// What refers to it.
        by: &'static str,
    },
    /// A value that cannot be kept: a path that is no Unicode, a size beyond SQLite's integers.
    #[error("{0} cannot be kept")]
    Unstorable(&'static str),
    /// The store has been closed, or its work panicked.
    #[error("the store stopped: {0}")]
    Stopped(&'static str),
    /// Any other error of SQLite's.
    #[error("SQLite: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// The keyring asks for its own password first.
    #[error("the keyring is locked")]
    KeyringLocked,
    /// There is no keyring.
    #[error("there is no keyring: {0}")]
    KeyringAbsent(String),
    /// The keyring did not answer in time.
    #[error("the keyring did not answer within {seconds} s")]
    KeyringSilent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The keyring answered with an error.
    #[error("the keyring gave an error: {0}")]
    Keyring(String),
    /// The passphrase does not open the file of passwords.
    #[error("the passphrase does not open {path}")]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The file of passwords is damaged.
    #[error("{path} is damaged: {reason}")]
    SecretsDamaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Whether the same call may succeed a little later without anybody doing something.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::KeyringSilent { .. })
    }

    /// Whether the caller cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// What a person is told.
    pub fn to_failure(&self) -> Failure {
        match self {
            Self::DataDir { path, source } => data_dir(path, source),
            Self::Unusable { path, reason } => Failure::new(
                FailureCode::DataDirUnusable,
                format!("Howdah cannot use its file {}.", path.display()),
            )
            .hint("See that the data directory lies on a local disk and belongs to you, or choose another one.")
            .details(reason),
            Self::Newer { found, known } => Failure::new(
                FailureCode::DataDirNewer,
                "The data directory was written by a newer Howdah.",
            )
            .hint("Update Howdah, or choose another data directory. Nothing in it was changed.")
            .details(format!("its version is {found}, this program knows up to {known}")),
            Self::Corrupt(details) => Failure::new(
                FailureCode::DataDirUnusable,
                "Howdah's database howdah.db is damaged.",
            )
            .hint("Your backups are not touched by this. Move howdah.db (with howdah.db-wal and howdah.db-shm) away and start Howdah again: it begins with an empty one.")
            .details(details),
            Self::Full(details) => Failure::new(
                FailureCode::DiskFull,
                "The disk with Howdah's data directory is full.",
            )
            .hint("Free some space on that disk; then try again.")
            .details(details),
            Self::ReadOnly(details) => Failure::new(
                FailureCode::DataDirUnusable,
                "Howdah may not write into its data directory.",
            )
            .hint("Give yourself the right to write there, or choose another data directory.")
            .details(details),
            Self::Busy(details) => Failure::new(
                FailureCode::Busy,
                "Another process has held Howdah's database for too long.",
            )
            .hint("Try again. If it stays so, end the other Howdah.")
            .details(details),
            Self::NotFound(what) => {
                Failure::new(FailureCode::NotFound, format!("There is no such {what} (any more)."))
            }
            Self::NameTaken { what, name } => Failure::new(
                FailureCode::InvalidInput,
                format!("There is a {what} named “{name}” already."),
            )
            .hint("Choose another name."),
            Self::InUse { what, by } => Failure::new(
                FailureCode::InvalidInput,
                format!("The {what} cannot be removed: {by}."),
            ),
            Self::Unstorable(what) => {
                Failure::new(FailureCode::InvalidInput, format!("{what} cannot be kept by Howdah."))
            }
            Self::Unreadable(details) => internal("A row of Howdah's database cannot be read.", details),
            Self::Stopped(details) => internal("Howdah's database is closed.", details),
            Self::Sqlite(source) => internal(
                "Howdah's database gave an error that should not happen.",
                &source.to_string(),
            ),
            Self::KeyringLocked => Failure::new(FailureCode::KeyringLocked, "The keyring is locked.")
                .hint("Unlock it: it asks for the password with which you log in, or the one you gave it."),
            Self::KeyringAbsent(details) => Failure::new(
                FailureCode::KeyringAbsent,
                "There is no keyring on this machine, so Howdah cannot keep a password.",
            )
            .hint("Install and start one (gnome-keyring, KWallet or KeePassXC), or keep passwords in a file that a passphrase of yours encrypts (HOWDAH_PASSPHRASE).")
            .details(details),
            Self::KeyringSilent { seconds } => Failure::new(
                FailureCode::KeyringAbsent,
                format!("The keyring did not answer within {seconds} seconds."),
            )
            .hint("It may be showing a dialog, or hang: log out and in again if that does not pass."),
            Self::Keyring(details) => {
                Failure::new(FailureCode::KeyringAbsent, "The keyring gave an error.")
                    .hint("See that the keyring works (Passwords and Keys, KWalletManager), then try again.")
                    .details(details)
            }
            Self::WrongPassphrase { path } => Failure::new(
                FailureCode::KeyringLocked,
                format!("The passphrase does not open {}.", path.display()),
            )
            .hint("Give the passphrase with which the file was made. Without it the passwords in it are lost, and are to be entered again."),
            Self::SecretsDamaged { path, reason } => Failure::new(
                FailureCode::DataDirUnusable,
                format!("The file of passwords {} is damaged.", path.display()),
            )
            .hint("Move it away and enter the passwords again.")
            .details(reason),
            Self::Cancelled => Failure::new(FailureCode::Cancelled, "Cancelled."),
        }
    }
}

/// An I/O error of the data directory, by its kind.
fn data_dir(path: &std::path::Path, source: &io::Error) -> Failure {
    let path = path.display();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::new(
            FailureCode::DiskFull,
            format!("There is no space left for {path}."),
        )
        .hint("Free some space on that disk; then try again."),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Failure::new(
            FailureCode::DataDirUnusable,
            format!("Howdah may not write to {path}."),
        )
        .hint("Give yourself the right to write there, or choose another data directory."),
        _ => Failure::new(FailureCode::DataDirUnusable, format!("Howdah cannot use {path}."))
            .hint("See that it is a directory on a local disk that belongs to you, or choose another one."),
    }
    .details(source.to_string())
}

fn internal(message: &str, details: &str) -> Failure {
    Failure::new(FailureCode::Internal, message)
        .hint("This is a fault of Howdah's; please report it with the details.")
        .details(details)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        error.to_failure()
    }
}

/// SQLite's result codes, <https://www.sqlite.org/rescode.html>.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let text = error.to_string();
        match error {
            rusqlite::Error::SqliteFailure(code, _) => match code.code {
                ErrorCode::DiskFull => Self::Full(text),
                // The shared-memory file could not be enlarged: there is no other reason for that than space.
                ErrorCode::SystemIoFailure if code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => {
                    Self::Full(text)
                }
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(text),
                ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Self::ReadOnly(text),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy(text),
                ErrorCode::CannotOpen | ErrorCode::SystemIoFailure => Self::Unusable {
                    path: "howdah.db".into(),
                    reason: text,
                },
                _ => Self::Sqlite(error),
            },
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => Self::Unreadable(text),
            _ => Self::Sqlite(error),
        }
    }
}
