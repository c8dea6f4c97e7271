//! What can go wrong at a destination, and how it is told.

use std::io;
use std::path::{Path, PathBuf};

use howdah_domain::units::size;
use howdah_domain::{Failure, FailureCode};

/// An error of a destination.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that is no [`crate::ObjectPath`].
    #[error("“{path}” is not a path inside a destination: {why}")]
    InvalidPath {
        /// What was given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The destination's folder is not there, or is another one than the one that was prepared.
    #[error("{} {}", root.display(), why.as_words())]
    Missing {
        /// The folder.
        root: PathBuf,
        /// Which of the two.
        why: MissingWhy,
    },
    /// The destination cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    ReadOnly {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// No space left, or a quota is used up.
    #[error("{} has no space left after {written} bytes of {object}", path.display())]
    Full {
        /// The destination's folder.
        path: PathBuf,
        /// What was being written.
        object: String,
        /// Bytes of it that were taken before the space ran out.
        written: u64,
        /// Bytes free for us at that moment, where the file system tells.
        free: Option<u64>,
        /// The system's words.
        source: io::Error,
    },
    /// No object of that name.
    #[error("{path} is not there")]
    NotFound {
        /// The object.
        path: String,
    },
    /// An object of that name is there already; objects are never replaced.
    #[error("{path} is there already")]
    AlreadyExists {
        /// The object.
        path: String,
    },
    /// What arrived is not as long as what was sent.
    #[error("{path} should have {expected} bytes and has {found}")]
    WrongSize {
        /// The object.
        path: String,
        /// Bytes the caller says it wrote.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Anything else.
    #[error("{what} {} failed: {source}", path.display())]
    Failed {
        /// What was tried: `writing`, `renaming`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// In which way a destination's folder is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingWhy {
    /// There is nothing of that name, or it is no folder.
    NoFolder,
    /// There is a folder, without the marker that was put into ours: most often the mount point of something that is
    /// not mounted.
    NotOurs,
}

impl MissingWhy {
    fn as_words(self) -> &'static str {
        match self {
            Self::NoFolder => "is not there",
            Self::NotOurs => {
                "is there, but is not the folder that was chosen: Howdah's marker file is missing in it"
            }
        }
    }
}

impl Error {
    /// Makes an error of the system's, by its kind. `path` is the file, `root` the destination's folder.
    pub(crate) fn from_io(what: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::ReadOnly {
                path: path.to_owned(),
                source,
            },
            _ => Self::Failed {
                what,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// Makes an error of the system's when something could not be read.
    pub(crate) fn reading(path: &Path, source: io::Error) -> Self {
        Self::Failed {
            what: "reading",
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the same attempt may succeed a little later without anybody doing something: a network share that
    /// stumbles. A full, missing or read-only destination needs somebody.
    pub fn is_retryable(&self) -> bool {
        use io::ErrorKind as Kind;
        match self {
            Self::Failed { source, .. } => matches!(
                source.kind(),
                Kind::TimedOut
                    | Kind::Interrupted
                    | Kind::ResourceBusy
                    | Kind::StaleNetworkFileHandle
                    | Kind::HostUnreachable
                    | Kind::NetworkUnreachable
                    | Kind::NetworkDown
                    | Kind::ConnectionReset
                    | Kind::ConnectionAborted
            ),
            _ => false,
        }
    }

    /// Whether the caller cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// The failure as people see it.
    pub fn to_failure(&self) -> Failure {
        match self {
            Self::InvalidPath { .. } => Failure::new(FailureCode::InvalidInput, self.to_string()),
            Self::Missing { root, why } => missing(root, *why),
            Self::ReadOnly { path, source } => Failure::new(
                FailureCode::DestinationReadOnly,
                format!("Howdah may not write to {}.", path.display()),
            )
            .hint("Give the user that runs Howdah the right to write there, or choose another folder.")
            .details(source.to_string()),
            Self::Full {
                path,
                object,
                written,
                free,
                source,
            } => {
                let free = free.map_or_else(String::new, |free| format!(", and {} are free", size(free)));
                Failure::new(
                    FailureCode::DiskFull,
                    format!(
                        "The disk of {} is full: {} of {} fitted{free}.",
                        path.display(),
                        size(*written),
                        object.rsplit('/').next().unwrap_or(object),
                    ),
                )
                .hint("Make room there, or choose another folder. Nothing of this attempt was left behind.")
                .details(source.to_string())
            }
            Self::NotFound { path } => Failure::new(
                FailureCode::BackupDamaged,
                format!("The file {path} is not at the destination."),
            ),
            Self::AlreadyExists { path } => Failure::new(
                FailureCode::DestinationFailed,
                format!("A file named {path} is at the destination already; Howdah replaces none."),
            ),
            Self::WrongSize { .. } => Failure::new(
                FailureCode::DestinationFailed,
                "The destination did not keep all bytes.",
            )
            .hint("Check the disk or the share: it lost data without reporting an error.")
            .details(self.to_string()),
            Self::Cancelled => Failure::new(FailureCode::Cancelled, "It was cancelled."),
            Self::Failed { path, source, .. } => Failure::new(
                FailureCode::DestinationFailed,
                format!("The destination gave an error at {}: {source}.", path.display()),
            )
            .hint("Check the disk or the share that this folder is on.")
            .details(self.to_string()),
        }
    }
}

fn missing(root: &Path, why: MissingWhy) -> Failure {
    let root = root.display();
    match why {
        MissingWhy::NoFolder => {
            Failure::new(FailureCode::DestinationMissing, format!("The folder {root} is not there."))
                .hint("If it is on another disk or a share, connect that. Howdah does not create it anew, so that backups never land beside where they belong.")
        }
        MissingWhy::NotOurs => Failure::new(
            FailureCode::DestinationMissing,
            format!("{root} is not the folder it was: the disk or share that belongs there seems not to be connected."),
        )
        .hint(format!(
            "Connect the disk or share. If this is the right folder after all, create an empty file {} in it.",
            crate::MARKER
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_how_much_fitted_and_how_much_is_free() {
        let failure = Error::Full {
            path: "/mnt/nas".into(),
            object: "shop/shop/x/dump.pgdump.zst".into(),
            written: 148_000_000,
            free: Some(512),
            source: io::Error::from(io::ErrorKind::StorageFull),
        }
        .to_failure();
        assert_eq!(failure.code, FailureCode::DiskFull);
        assert_eq!(
            failure.message,
            "The disk of /mnt/nas is full: 148 MB of dump.pgdump.zst fitted, and 512 bytes are free."
        );
    }

    #[test]
    fn only_what_may_heal_by_itself_is_tried_again() {
        let failed = |kind| Error::Failed {
            what: "writing",
            path: "x".into(),
            source: io::Error::from(kind),
        };
        assert!(failed(io::ErrorKind::StaleNetworkFileHandle).is_retryable());
        assert!(!failed(io::ErrorKind::InvalidData).is_retryable());
        assert!(
            !Error::Missing {
                root: "/x".into(),
                why: MissingWhy::NoFolder
            }
            .is_retryable()
        );
    }
}
