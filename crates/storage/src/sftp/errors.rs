//! What an SSH or SFTP error is to a destination.

use russh_sftp::protocol::{Status, StatusCode};

use crate::Error;
use crate::error::{Cause, MissingWhy};

/// Fewer free bytes than this mean that an unexplained failure of writing is a full disk.
pub(super) const ALMOST_NOTHING: u64 = 4 * 1024 * 1024;

/// What came of a request.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server answered, with a refusal.
    Said(Status),
    /// There was no answer, and none will come.
    Lost(String),
}

impl Trouble {
    /// Whether the server said just this.
    pub(super) fn is(&self, code: StatusCode) -> bool {
        matches!(self, Self::Said(status) if status.status_code == code)
    }

    fn words(&self) -> Cause {
        match self {
            Self::Said(status) if status.error_message.is_empty() => status.status_code.to_string().into(),
            Self::Said(status) => format!("{} ({})", status.error_message, status.status_code).into(),
            Self::Lost(how) => how.clone().into(),
        }
    }

    /// The error where something was looked at.
    pub(super) fn reading(&self, place: &str, at: &str) -> Error {
        self.failed("reading", place, at)
    }

    /// The error where something was to be changed: no rights mean that it is read-only.
    pub(super) fn changing(&self, what: &'static str, place: &str, at: &str) -> Error {
        if self.is(StatusCode::PermissionDenied) {
            return Error::ReadOnly {
                at: at.to_owned(),
                source: self.words(),
            };
        }
        self.failed(what, place, at)
    }

    /// The error where bytes of an object were to be written, with the space that is left.
    pub(super) fn writing(&self, place: &str, object: &str, written: u64, free: Option<u64>) -> Error {
        // "Failure" is all that this version of the protocol has for a full disk.
        if self.is(StatusCode::Failure) && free.is_some_and(|free| free < ALMOST_NOTHING) {
            return Error::Full {
                place: place.to_owned(),
                object: object.to_owned(),
                written,
                free,
                source: self.words(),
            };
        }
        self.changing("writing", place, object)
    }

    fn failed(&self, what: &'static str, place: &str, at: &str) -> Error {
        match self {
            Self::Lost(_) => Error::Unreachable {
                place: place.to_owned(),
                source: self.words(),
            },
            Self::Said(_) => Error::Failed {
                what,
                at: at.to_owned(),
                source: self.words(),
            },
        }
    }
}

/// The destination's folder is not there.
pub(super) fn no_folder(place: &str) -> Error {
    Error::missing(place, MissingWhy::NoFolder)
}

/// An error of the way there.
pub(super) fn of_ssh(place: &str, error: howdah_ssh::Error) -> Error {
    use howdah_ssh::Error as Ssh;
    let place = place.to_owned();
    match error {
        Ssh::Misconfigured { why } => Error::Misconfigured { why },
        Ssh::UnknownHostKey { key } => Error::UnknownHostKey { key },
        Ssh::ChangedHostKey { key, known_in } => Error::ChangedHostKey { key, known_in },
        Ssh::RevokedHostKey { key, known_in } => Error::RevokedHostKey {
            key: Box::new(key),
            known_in,
        },
        Ssh::Denied { .. } => Error::Denied {
            place,
            what: "login",
            source: Box::new(error),
        },
        Ssh::Key { .. } => Error::Denied {
            place,
            what: "key",
            source: Box::new(error),
        },
        Ssh::Agent { .. } => Error::Denied {
            place,
            what: "agent",
            source: Box::new(error),
        },
        Ssh::HostNotFound { .. } | Ssh::Unreachable { .. } | Ssh::Timeout { .. } | Ssh::Lost { .. } => {
            Error::Unreachable {
                place,
                source: Box::new(error),
            }
        }
        Ssh::Refused {
            nobody_there: true, ..
        } => Error::Unreachable {
            place,
            source: Box::new(error),
        },
        Ssh::Cancelled => Error::Cancelled,
        Ssh::Protocol { .. } | Ssh::Refused { .. } | Ssh::Io { .. } => Error::Failed {
            what: "connecting to",
            at: place,
            source: Box::new(error),
        },
    }
}
