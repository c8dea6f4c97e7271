//! What an answer of an FTP server, or the lack of one, means (RFC 959, 4.2). It looks at reply codes, and at no words.

use std::io;

use suppaftp::FtpError;

use super::tls::Handshakes;
use crate::Error;
use crate::error::Cause;
use crate::patience::Silence;

/// What went wrong on a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The server said no. The connection is as good as before (but for 421).
    #[error("FTP {words}")]
    Refused {
        /// The reply's code.
        code: u32,
        /// The reply, with its code.
        words: String,
    },
    /// The connection broke, or what came over it is no FTP.
    #[error("{0}")]
    Lost(Cause),
    /// Nothing came for too long.
    #[error(transparent)]
    Silent(#[from] Silence),
    /// The certificate is not trusted.
    #[error("{0}")]
    Untrusted(Cause),
}

impl Trouble {
    /// The reply's code, where the server said no.
    pub(super) fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// From the library's error. `handshakes` knows what kind a TLS error was.
    pub(super) fn from_library(error: FtpError, handshakes: &Handshakes) -> Self {
        match error {
            FtpError::UnexpectedResponse(response) => {
                let words = String::from_utf8_lossy(&response.body);
                let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
                let words: String = words.chars().take(300).collect();
                // The library's own list of codes is not complete.
                let code = words.get(..3).and_then(|code| code.parse().ok());
                let code = code.unwrap_or_else(|| response.status.code());
                if code < 400 || !is_whole(&response.body) {
                    // No refusal: it belongs to another question, or the connection ended in the middle of it.
                    return Self::Lost(format!("the answer does not fit: {words}").into());
                }
                Self::Refused { code, words }
            }
            FtpError::ConnectionError(error) => Self::from_io(error),
            FtpError::SecureError(words) => match handshakes.take_failure() {
                Some(error) => Self::from_io(error),
                None => Self::Lost(words.into()),
            },
            FtpError::BadResponse => Self::Lost("the answer is no FTP".into()),
            error => Self::Lost(error.into()),
        }
    }

    pub(super) fn from_io(error: io::Error) -> Self {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        if let Some(rustls::Error::InvalidCertificate(_)) = cause {
            return Self::Untrusted(error.into());
        }
        Self::Lost(error.into())
    }
}

/// Whether an answer has its end. The library takes one that the end of the connection cut off for whole: a size would lose
/// digits.
pub(super) fn is_whole(answer: &[u8]) -> bool {
    answer.ends_with(b"\n")
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    LoggingIn,
    Reading,
    Listing,
    /// With the bytes that were sent until then.
    Writing(u64),
    MakingFolder,
    Renaming,
    Removing,
}

impl Doing {
    fn words(self) -> &'static str {
        match self {
            Self::LoggingIn => "logging in to",
            Self::Reading => "reading",
            Self::Listing => "listing",
            Self::Writing(_) => "writing",
            Self::MakingFolder => "making the folder",
            Self::Renaming => "renaming to",
            Self::Removing => "removing",
        }
    }

    fn changes_something(self) -> bool {
        !matches!(self, Self::LoggingIn | Self::Reading | Self::Listing)
    }
}

/// What a trouble means. `at` is the object or folder.
pub(super) fn meaning(place: &str, doing: Doing, at: &str, trouble: Trouble) -> Error {
    let place = place.to_owned();
    let at = at.to_owned();
    let code = match &trouble {
        Trouble::Refused { code, .. } => *code,
        Trouble::Untrusted(_) => {
            return Error::Untrusted {
                place,
                source: trouble.into(),
            };
        }
        Trouble::Lost(_) | Trouble::Silent(_) => {
            return Error::Unreachable {
                place,
                source: trouble.into(),
            };
        }
    };
    let source: Cause = trouble.into();
    match code {
        // Too many connections, about to shut down; a file that somebody uses; a fault of the server's own.
        421 | 434 | 450 | 451 => Error::Busy {
            place,
            retry_after: None,
            source,
        },
        // The data connection could not be made, or broke.
        425 | 426 => Error::Unreachable { place, source },
        332 | 430 | 530 | 532 => Error::Denied {
            place,
            what: "password",
            source,
        },
        452 | 552 => Error::Full {
            place,
            object: at,
            written: match doing {
                Doing::Writing(sent) => sent,
                _ => 0,
            },
            free: None,
            source,
        },
        550 | 553 if doing.changes_something() => Error::ReadOnly { at, source },
        _ => Error::Failed {
            what: doing.words(),
            at,
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use suppaftp::Status;
    use suppaftp::types::Response;

    use super::*;

    #[rstest]
    #[case(421, Doing::Listing, "Busy")]
    #[case(426, Doing::Writing(7), "Unreachable")]
    #[case(450, Doing::Removing, "Busy")]
    #[case(452, Doing::Writing(7), "Full { ")]
    #[case(530, Doing::LoggingIn, "Denied")]
    #[case(550, Doing::Writing(7), "ReadOnly")]
    #[case(550, Doing::Reading, "Failed")]
    #[case(552, Doing::Writing(7), "Full { ")]
    #[case(553, Doing::MakingFolder, "ReadOnly")]
    #[case(502, Doing::Listing, "Failed")]
    fn a_reply_has_a_meaning(#[case] code: u32, #[case] doing: Doing, #[case] expected: &str) {
        let trouble = Trouble::Refused {
            code,
            words: format!("{code} no"),
        };
        let error = format!("{:?}", meaning("ftps://h/x", doing, "a/b", trouble));
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn a_code_that_the_library_does_not_know_is_read_all_the_same() {
        let response = Response::new(Status::Unknown, b"522 use\r\n TLS\r\n".to_vec());
        let trouble = Trouble::from_library(FtpError::UnexpectedResponse(response), &Handshakes::default());
        assert_eq!(trouble.code(), Some(522));
        assert_eq!(trouble.to_string(), "FTP 522 use TLS");
    }

    #[test]
    fn an_answer_to_another_question_or_a_part_of_one_is_no_refusal() {
        for answer in ["213 1000\r\n", "550 No su", "226 Done\r\n"] {
            let response = Response::new(Status::Unknown, answer.as_bytes().to_vec());
            let trouble =
                Trouble::from_library(FtpError::UnexpectedResponse(response), &Handshakes::default());
            assert!(matches!(trouble, Trouble::Lost(_)), "{answer}: {trouble:?}");
        }
    }
}
