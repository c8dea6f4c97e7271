//! What goes wrong on the way to a cloud and back, and what it is called where it matters what was being done.
//!
//! It knows no cloud: what an answer means, the cloud's own module says ([`Meaning`]). It travels through opendal's error as
//! its source, so that nothing has to be guessed from words.

use std::fmt;
use std::time::Duration;

use crate::{Cause, Error, MissingWhy};

/// What an answer that is no success means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// No such object.
    NotFound,
    /// No such bucket or container.
    NoBucket,
    /// An object of that name is there.
    Exists,
    /// Our key or token is not believed.
    Denied,
    /// We are believed, and may not do this.
    Forbidden,
    /// A quota is used up.
    Full,
    /// Later, perhaps.
    Busy,
    /// This request's bytes arrived altered; sent again they may arrive well.
    Altered,
    /// The object as a whole arrived altered: it has to be sent anew.
    Corrupted,
    /// What was sent of the upload so far has gone: it has to be sent anew.
    Interrupted,
    /// Anything else.
    Other,
}

/// What went wrong with a request. Holds no secret: addresses are left out, for a signature may be part of them.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Trouble {
    /// The server answered, and not with a success.
    #[error("{status} {code}: {message}")]
    Refused {
        /// HTTP's status.
        status: u16,
        /// The server's code.
        code: String,
        /// The server's words.
        message: String,
        /// What that means.
        meaning: Meaning,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// The connection stands, and nothing moves on it.
    #[error("no byte moved for {} seconds", .0.as_secs_f32())]
    Silent(Duration),
    /// The server's certificate is not trusted.
    #[error("{0}")]
    Untrusted(String),
    /// The request could not be made: a fault of what is configured, or of ours.
    #[error("{0}")]
    Unsendable(String),
}

impl Trouble {
    /// Sorts an error of the HTTP client.
    pub(crate) fn from_client(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let words = crate::error::chain(&error);
        if distrusts(&error) {
            Self::Untrusted(words)
        } else if error.is_builder() {
            Self::Unsendable(words)
        } else {
            Self::Unreachable(words)
        }
    }

    /// What the server's answer means, where it answered.
    pub(crate) fn meaning(&self) -> Option<Meaning> {
        match self {
            Self::Refused { meaning, .. } => Some(*meaning),
            _ => None,
        }
    }

    /// When the server wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same request may succeed a little later. Silence has lasted long enough when it is told.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_))
            || matches!(self.meaning(), Some(Meaning::Busy | Meaning::Altered))
    }

    /// As opendal's error, with this as its source.
    pub(crate) fn into_opendal(self) -> opendal::Error {
        opendal::Error::new(opendal::ErrorKind::Unexpected, "the request failed").set_source(self)
    }

    /// The one that is the source of an error of opendal's.
    pub(crate) fn inside(error: &opendal::Error) -> Option<&Self> {
        let mut next = std::error::Error::source(error);
        while let Some(source) = next {
            if let Some(trouble) = source.downcast_ref::<Self>() {
                return Some(trouble);
            }
            next = source.source();
        }
        None
    }
}

/// Whether TLS failed because of the certificate. The client wraps rustls' error in several of its own, and in an
/// `io::Error`, whose `source` skips the error inside.
fn distrusts(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(
            error.downcast_ref::<rustls::Error>(),
            Some(rustls::Error::InvalidCertificate(_))
        ) {
            return true;
        }
        next = match error.downcast_ref::<std::io::Error>() {
            Some(io) => match io.get_ref() {
                Some(inside) => Some(inside as &(dyn std::error::Error + 'static)),
                None => std::error::Error::source(io),
            },
            None => error.source(),
        };
    }
    false
}

/// What was being done when something went wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doing<'a> {
    /// The destination's name.
    pub(crate) place: &'a str,
    /// What was shown to be let in: `account key`.
    pub(crate) secret: &'static str,
    /// `reading`, `writing`.
    pub(crate) what: &'static str,
    /// The object's or folder's path.
    pub(crate) path: &'a str,
    /// Whether it was to change something there.
    pub(crate) changes: bool,
    /// Bytes of the object that were taken before.
    pub(crate) written: u64,
}

impl Doing<'_> {
    /// The destination's error for one of opendal's.
    pub(crate) fn failed(&self, error: &opendal::Error) -> Error {
        match Trouble::inside(error) {
            Some(trouble) => self.troubled(trouble),
            None => self.by_kind(error),
        }
    }

    /// The destination's error for a request that went wrong.
    pub(crate) fn troubled(&self, trouble: &Trouble) -> Error {
        let place = self.place.to_owned();
        let path = self.path.to_owned();
        let source: Cause = Box::new(trouble.clone());
        let meaning = match trouble {
            Trouble::Refused { meaning, .. } => *meaning,
            Trouble::Unreachable(_) | Trouble::Silent(_) => return Error::Unreachable { place, source },
            Trouble::Untrusted(_) => return Error::Untrusted { place, source },
            Trouble::Unsendable(_) => Meaning::Other,
        };
        match meaning {
            Meaning::NotFound => Error::NotFound { path },
            Meaning::NoBucket => Error::Missing {
                place,
                why: MissingWhy::NoBucket,
            },
            Meaning::Exists => Error::AlreadyExists { path },
            Meaning::Forbidden if self.changes => Error::ReadOnly {
                at: format!("{path} in {place}"),
                source,
            },
            Meaning::Denied | Meaning::Forbidden => Error::Denied {
                place,
                what: self.secret,
                source,
            },
            Meaning::Full => Error::Full {
                place,
                object: path,
                written: self.written,
                free: None,
                source,
            },
            Meaning::Busy => Error::Busy {
                place,
                retry_after: trouble.retry_after(),
                source,
            },
            Meaning::Altered | Meaning::Corrupted => Error::Corrupted {
                path,
                detail: trouble.to_string(),
            },
            Meaning::Interrupted => Error::Unreachable { place, source },
            Meaning::Other => Error::Failed {
                what: self.what,
                at: path,
                source,
            },
        }
    }

    /// For what opendal finds wrong itself. Its own words may hold an answer's headers, so only its kind is told.
    fn by_kind(&self, error: &opendal::Error) -> Error {
        use opendal::ErrorKind as Kind;
        let place = self.place.to_owned();
        let path = self.path.to_owned();
        let source: Cause = Box::new(Odd(error.kind()));
        match error.kind() {
            Kind::NotFound => Error::NotFound { path },
            Kind::AlreadyExists | Kind::ConditionNotMatch => Error::AlreadyExists { path },
            Kind::PermissionDenied if self.changes => Error::ReadOnly { at: path, source },
            Kind::PermissionDenied => Error::Denied {
                place,
                what: self.secret,
                source,
            },
            Kind::RateLimited => Error::Busy {
                place,
                retry_after: None,
                source,
            },
            _ if error.is_temporary() => Error::Unreachable { place, source },
            _ => Error::Failed {
                what: self.what,
                at: path,
                source,
            },
        }
    }
}

/// An answer that opendal makes nothing of.
#[derive(Debug)]
struct Odd(opendal::ErrorKind);

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server's answer makes no sense here ({})", self.0)
    }
}

impl std::error::Error for Odd {}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const DOING: Doing<'static> = Doing {
        place: "gs://backups",
        secret: "service account key",
        what: "writing",
        path: "shop/dump",
        changes: true,
        written: 7,
    };

    fn refused(meaning: Meaning) -> Trouble {
        Trouble::Refused {
            status: 400,
            code: "Code".into(),
            message: "words".into(),
            meaning,
            retry_after: None,
        }
    }

    #[test]
    fn what_went_wrong_survives_the_way_through_opendal() {
        let error = refused(Meaning::Full).into_opendal().with_operation("write");
        let told = DOING.failed(&error);
        assert!(matches!(told, Error::Full { written: 7, .. }), "{told:?}");
    }

    #[rstest]
    #[case(Meaning::Busy, true)]
    #[case(Meaning::Altered, true)]
    #[case(Meaning::Corrupted, false)]
    #[case(Meaning::Denied, false)]
    #[case(Meaning::Forbidden, false)]
    #[case(Meaning::Exists, false)]
    fn only_what_may_pass_is_asked_again(#[case] meaning: Meaning, #[case] again: bool) {
        assert_eq!(refused(meaning).may_pass(), again);
    }

    #[test]
    fn a_right_that_lacks_is_a_matter_of_writing_or_of_the_key() {
        let forbidden = refused(Meaning::Forbidden);
        assert!(matches!(DOING.troubled(&forbidden), Error::ReadOnly { .. }));
        let reading = Doing {
            changes: false,
            ..DOING
        };
        assert!(matches!(reading.troubled(&forbidden), Error::Denied { .. }));
    }

    #[test]
    fn an_error_of_opendals_own_does_not_repeat_its_context() {
        let error = opendal::Error::new(opendal::ErrorKind::Unexpected, "parse")
            .with_context("response", "x-ms-thing: sig=SECRET");
        let told = DOING.failed(&error);
        assert!(!format!("{told:?} {told} {:?}", told.to_failure()).contains("SECRET"));
    }
}
