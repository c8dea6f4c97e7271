//! What can go wrong at a destination, and how it is told. It knows no kind of destination: each kind says which of these
//! an answer of its server is.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use howdah_domain::units::size;
use howdah_domain::{Failure, FailureCode};
use howdah_ssh::HostKey;

/// The words of the system, a server or a library, kept for the details. They never hold a secret: whoever makes one from
/// a library's error sees to it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

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
    /// What is configured cannot work: a certificate file that is none, a key that cannot be read.
    #[error("{why}")]
    Misconfigured {
        /// What is wrong, and what would be right, in sentences.
        why: String,
    },
    /// The destination's folder or bucket is not there, or is another one than the one that was prepared.
    #[error("{place} {}", why.as_words())]
    Missing {
        /// The folder or bucket.
        place: String,
        /// Which of the two.
        why: MissingWhy,
    },
    /// Who we say we are is not believed: password, key or token wrong, expired or withdrawn.
    #[error("{place} does not accept the {what}: {source}")]
    Denied {
        /// The destination.
        place: String,
        /// What was shown: `password`, `access key`.
        what: &'static str,
        /// Its words.
        source: Cause,
    },
    /// A sign-in in the browser is needed (again): the grant has gone.
    #[error("the sign-in to {place} has ended: {source}")]
    SignInNeeded {
        /// The destination.
        place: String,
        /// Its words.
        source: Cause,
    },
    /// We are let in, and may not do this.
    #[error("{at} cannot be written: {source}")]
    ReadOnly {
        /// The file, folder or object.
        at: String,
        /// The system's or the server's words.
        source: Cause,
    },
    /// No space left, or a quota is used up.
    #[error("{place} has no space left after {written} bytes of {object}")]
    Full {
        /// The destination.
        place: String,
        /// What was being written.
        object: String,
        /// Bytes of it that were taken before the space ran out.
        written: u64,
        /// Bytes free for us at that moment, where the destination tells.
        free: Option<u64>,
        /// The system's or the server's words.
        source: Cause,
    },
    /// Larger than what the destination can keep as one object. Told before the first byte where the size was known.
    #[error("{object} is too large for {place}, which takes at most {limit} bytes")]
    TooLarge {
        /// The destination.
        place: String,
        /// The object.
        object: String,
        /// The most bytes that it takes.
        limit: u64,
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
    /// What arrived is not what was sent, by the destination's own checksum.
    #[error("{path} was altered on its way: {detail}")]
    Corrupted {
        /// The object.
        path: String,
        /// The checksums.
        detail: String,
    },
    /// It cannot be reached, or the connection broke: no such host, no route, nobody listens, no answer in time.
    #[error("{place} cannot be reached: {source}")]
    Unreachable {
        /// The destination.
        place: String,
        /// Where it broke.
        source: Cause,
    },
    /// It is there and asks us to come later: throttled, overloaded, 5xx.
    #[error("{place} is busy: {source}")]
    Busy {
        /// The destination.
        place: String,
        /// When it wants to be asked again, where it says so.
        retry_after: Option<Duration>,
        /// Its words.
        source: Cause,
    },
    /// Its TLS certificate is not trusted.
    #[error("the certificate of {place} is not trusted: {source}")]
    Untrusted {
        /// The destination.
        place: String,
        /// Why.
        source: Cause,
    },
    /// An SSH server whose key nobody has accepted yet.
    #[error("the key of {} is not known: {}", key.host, key.fingerprint)]
    UnknownHostKey {
        /// The key, for the user to accept.
        key: HostKey,
    },
    /// An SSH server that shows another key than the one that was accepted.
    #[error("{} shows another key than the one that was accepted: {}", key.host, key.fingerprint)]
    ChangedHostKey {
        /// The key it shows.
        key: HostKey,
        /// The file, and the line in it, that holds the other one.
        known_in: String,
    },
    /// The SSH server shows a key that was revoked.
    #[error("the key of {} was revoked", key.host)]
    RevokedHostKey {
        /// The key it shows.
        key: Box<HostKey>,
        /// The file, and the line in it, that says so.
        known_in: String,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Anything else.
    #[error("{what} {at} failed: {source}")]
    Failed {
        /// What was tried: `writing`, `renaming`.
        what: &'static str,
        /// The file, folder or object.
        at: String,
        /// The system's or the server's words.
        source: Cause,
    },
}

/// In which way a destination is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingWhy {
    /// There is no folder of that name.
    NoFolder,
    /// There is a folder, without the marker that was put into ours: most often the mount point of something that is
    /// not mounted.
    NotOurs,
    /// There is no bucket or container of that name.
    NoBucket,
}

impl MissingWhy {
    fn as_words(self) -> &'static str {
        match self {
            Self::NoFolder | Self::NoBucket => "is not there",
            Self::NotOurs => {
                "is there, but is not the folder that was chosen: Howdah's marker file is missing in it"
            }
        }
    }
}

impl Error {
    /// Makes an error of the system's, by its kind. `path` is the file.
    pub(crate) fn from_io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let at = path.display().to_string();
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::ReadOnly {
                at,
                source: source.into(),
            },
            _ => Self::Failed {
                what,
                at,
                source: source.into(),
            },
        }
    }

    /// Makes an error of the system's when something could not be read.
    pub(crate) fn reading(path: &Path, source: io::Error) -> Self {
        Self::Failed {
            what: "reading",
            at: path.display().to_string(),
            source: source.into(),
        }
    }

    /// A folder that is missing.
    pub(crate) fn missing(place: impl fmt::Display, why: MissingWhy) -> Self {
        Self::Missing {
            place: place.to_string(),
            why,
        }
    }

    /// Whether the same attempt may succeed a little later without anybody doing something: a share that stumbles, a
    /// network that is away, a service that is overloaded. A full, missing or read-only destination needs somebody.
    pub fn is_retryable(&self) -> bool {
        use io::ErrorKind as Kind;
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } | Self::Corrupted { .. } => true,
            Self::Failed { source, .. } => source.downcast_ref::<io::Error>().is_some_and(|source| {
                matches!(
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
                )
            }),
            _ => false,
        }
    }

    /// Whether the caller cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// The failure as people see it.
    pub fn to_failure(&self) -> Failure {
        use FailureCode as Code;
        match self {
            Self::InvalidPath { .. } => Failure::new(Code::InvalidInput, self.to_string()),
            Self::Misconfigured { why } => Failure::new(Code::InvalidInput, why),
            Self::Missing { place, why } => missing(place, *why),
            Self::Denied { place, what, source } => Failure::new(
                Code::DestinationDenied,
                format!("{place} does not accept the {what}."),
            )
            .hint("It may have been changed or withdrawn: enter it again on the destination's page.")
            .details(chain(&**source)),
            Self::SignInNeeded { place, source } => Failure::new(
                Code::SignInNeeded,
                format!("Howdah is no longer signed in to {place}."),
            )
            .hint("Sign in again on the destination's page. The backups there are as they were.")
            .details(chain(&**source)),
            Self::ReadOnly { at, source } => Failure::new(
                Code::DestinationReadOnly,
                format!("Howdah may not write to {at}."),
            )
            .hint("Give Howdah the right to write there, or choose another destination.")
            .details(chain(&**source)),
            Self::Full { .. } => self.full(),
            Self::TooLarge { place, object, limit } => Failure::new(
                Code::DestinationFailed,
                format!(
                    "{} is too large for {place}, which takes at most {} in one piece.",
                    last_part(object),
                    size(*limit)
                ),
            )
            .hint("Leave large tables' rows out of the plan, or choose another destination."),
            Self::NotFound { path } => Failure::new(
                Code::BackupDamaged,
                format!("The file {path} is not at the destination."),
            ),
            Self::AlreadyExists { path } => Failure::new(
                Code::DestinationFailed,
                format!("A file named {path} is at the destination already; Howdah replaces none."),
            ),
            Self::WrongSize { .. } => Failure::new(
                Code::DestinationFailed,
                "The destination did not keep all bytes.",
            )
            .hint("Check the disk, the share or the service: it lost data without reporting an error.")
            .details(self.to_string()),
            Self::Corrupted { path, detail } => Failure::new(
                Code::DestinationUnreachable,
                format!("{} arrived altered at the destination, so it was not kept.", last_part(path)),
            )
            .hint("The network or a machine on the way alters data. Howdah tries again; if it stays, check them.")
            .details(detail),
            Self::Unreachable { place, source } => Failure::new(
                Code::DestinationUnreachable,
                format!("{place} cannot be reached."),
            )
            .hint("Check the network, the VPN and the address. Howdah tries again.")
            .details(chain(&**source)),
            Self::Busy { place, source, .. } => Failure::new(
                Code::DestinationUnreachable,
                format!("{place} has no time for us now."),
            )
            .hint("The service is overloaded or limits how often it is asked. Howdah tries again.")
            .details(chain(&**source)),
            Self::Untrusted { place, source } => Failure::new(
                Code::TlsUntrusted,
                format!("The certificate of {place} is not trusted."),
            )
            .hint("If the service has an authority of its own, name its certificate file in the destination's settings.")
            .details(chain(&**source)),
            Self::UnknownHostKey { key } => key.unknown(),
            Self::ChangedHostKey { key, known_in } => key.changed(known_in),
            Self::RevokedHostKey { key, known_in } => key.revoked(known_in),
            Self::Cancelled => Failure::new(Code::Cancelled, "It was cancelled."),
            Self::Failed { at, source, .. } => {
                // What may heal by itself has a code that says so.
                let code = if self.is_retryable() { Code::DestinationUnreachable } else { Code::DestinationFailed };
                Failure::new(code, format!("The destination gave an error at {at}: {source}."))
                    .hint("Check the disk, the share or the service where backups are kept.")
                    .details(format!("{self}\n{}", chain(&**source)))
            }
        }
    }

    fn full(&self) -> Failure {
        let Self::Full {
            place,
            object,
            written,
            free,
            source,
        } = self
        else {
            return Failure::new(FailureCode::Internal, self.to_string());
        };
        let free = free.map_or_else(String::new, |free| format!(", and {} are free", size(free)));
        Failure::new(
            FailureCode::DiskFull,
            format!(
                "There is no space left at {place}: {} of {} fitted{free}.",
                size(*written),
                last_part(object),
            ),
        )
        .hint("Make room there, or choose another destination. Nothing of this attempt was left behind.")
        .details(chain(&**source))
    }
}

/// An error and what brought it about, one a line, each said once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push('\n');
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn missing(place: &str, why: MissingWhy) -> Failure {
    match why {
        MissingWhy::NoFolder => {
            Failure::new(FailureCode::DestinationMissing, format!("The folder {place} is not there."))
                .hint("If it is on another disk or a share, connect that. Howdah does not create it anew, so that backups never land beside where they belong.")
        }
        MissingWhy::NoBucket => {
            Failure::new(FailureCode::DestinationMissing, format!("{place} is not there."))
                .hint("Check its name, the region and the account, or create it; Howdah creates none.")
        }
        MissingWhy::NotOurs => Failure::new(
            FailureCode::DestinationMissing,
            format!("{place} is not the folder it was: the disk or share that belongs there seems not to be connected."),
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
            place: "/mnt/nas".into(),
            object: "shop/shop/x/dump.pgdump.zst".into(),
            written: 148_000_000,
            free: Some(512),
            source: io::Error::from(io::ErrorKind::StorageFull).into(),
        }
        .to_failure();
        assert_eq!(failure.code, FailureCode::DiskFull);
        assert_eq!(
            failure.message,
            "There is no space left at /mnt/nas: 148 MB of dump.pgdump.zst fitted, and 512 bytes are free."
        );
    }

    #[test]
    fn only_what_may_heal_by_itself_is_tried_again() {
        let failed = |kind| Error::Failed {
            what: "writing",
            at: "x".into(),
            source: io::Error::from(kind).into(),
        };
        let stale = failed(io::ErrorKind::StaleNetworkFileHandle);
        assert!(stale.is_retryable() && stale.to_failure().is_retryable());
        let odd = failed(io::ErrorKind::InvalidData);
        assert!(!odd.is_retryable() && !odd.to_failure().is_retryable());
        assert!(!Error::missing("/x", MissingWhy::NoFolder).is_retryable());
    }

    #[test]
    fn details_name_each_cause_once() {
        let inner = io::Error::other("connection reset");
        let outer = io::Error::other(inner);
        assert_eq!(chain(&outer), "connection reset");
    }
}
