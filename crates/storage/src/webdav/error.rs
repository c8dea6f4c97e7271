//! What an answer of a WebDAV server, or the lack of one, means. It looks at status codes and types, and at no words.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};

use crate::error::Cause;
use crate::{Error, MissingWhy};

/// Bytes of a refusal that are looked at for the server's own words.
const WORDS: usize = 8 * 1024;

/// What was tried when the server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Reading,
    Listing,
    /// With the bytes that were sent until then.
    Writing {
        sent: u64,
        /// Whether the length was told beforehand.
        length_told: bool,
    },
    MakingFolder,
    Moving,
    Removing,
}

impl Doing {
    fn words(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Listing => "listing",
            Self::Writing { .. } => "writing",
            Self::MakingFolder => "making the folder",
            Self::Moving => "renaming to",
            Self::Removing => "removing",
        }
    }

    fn changes_something(self) -> bool {
        !matches!(self, Self::Reading | Self::Listing)
    }
}

/// A refusal in the server's terms, for the details.
#[derive(Debug, thiserror::Error)]
#[error("HTTP {status}{words}")]
struct Refusal {
    status: StatusCode,
    words: String,
}

/// Makes an error of an answer that is no success. `at` is the object or folder.
pub(super) async fn refused(place: &str, doing: Doing, at: &str, response: Response) -> Error {
    let status = response.status();
    let headers = response.headers().clone();
    let words = match tokio::time::timeout(Duration::from_secs(5), words(response)).await {
        Ok(Some(words)) => format!(": {words}"),
        _ => String::new(),
    };
    meaning(place, doing, at, status, &headers, words)
}

/// What a status means.
pub(super) fn meaning(
    place: &str,
    doing: Doing,
    at: &str,
    status: StatusCode,
    headers: &HeaderMap,
    words: String,
) -> Error {
    let source: Cause = Refusal { status, words }.into();
    let place = place.to_owned();
    let at = at.to_owned();
    match status {
        status if status.is_redirection() => moved(&place, headers),
        StatusCode::UNAUTHORIZED => match other_schemes(headers) {
            Some(schemes) => Error::Misconfigured {
                why: format!(
                    "{place} wants a login by {schemes}, and Howdah knows Basic only. Allow Basic on the server, or use \
                     an app password where it has those."
                ),
            },
            None => Error::Denied {
                place,
                what: "password",
                source,
            },
        },
        StatusCode::FORBIDDEN if doing.changes_something() => Error::ReadOnly { at, source },
        StatusCode::PRECONDITION_FAILED if doing == Doing::Moving => Error::AlreadyExists { path: at },
        StatusCode::INSUFFICIENT_STORAGE => Error::Full {
            place,
            object: at,
            written: match doing {
                Doing::Writing { sent, .. } => sent,
                _ => 0,
            },
            free: None,
            source,
        },
        StatusCode::LENGTH_REQUIRED | StatusCode::NOT_IMPLEMENTED if is_streamed(doing) => {
            Error::Misconfigured {
                why: format!(
                    "{place} takes no upload whose length is not told beforehand (HTTP {status}), and a dump's length is \
                     known only at its end. Allow chunked requests on the server or on the proxy before it."
                ),
            }
        }
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED if doing == Doing::Listing => {
            no_webdav(&place, status)
        }
        StatusCode::LOCKED | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Error::Busy {
            place,
            retry_after: retry_after(headers),
            source,
        },
        status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => Error::Busy {
            place,
            retry_after: retry_after(headers),
            source,
        },
        _ => Error::Failed {
            what: doing.words(),
            at,
            source,
        },
    }
}

fn is_streamed(doing: Doing) -> bool {
    matches!(
        doing,
        Doing::Writing {
            length_told: false,
            ..
        }
    )
}

/// What answers is a web server, and no WebDAV.
pub(super) fn no_webdav(place: &str, status: StatusCode) -> Error {
    Error::Misconfigured {
        why: format!(
            "{place} answers, but not as a WebDAV folder does (HTTP {status}). Check the URL's path: Nextcloud shows the \
             right one under Files, Settings, WebDAV."
        ),
    }
}

/// Redirects are not followed: the password would go where nobody meant it to.
fn moved(place: &str, headers: &HeaderMap) -> Error {
    let target = headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .map_or_else(String::new, |target| format!(" to {target}"));
    Error::Misconfigured {
        why: format!(
            "{place} sends us elsewhere{target}. Howdah does not follow with the password: if that address is right, \
             enter it."
        ),
    }
}

/// The schemes that a server offers, where Basic is not among them.
fn other_schemes(headers: &HeaderMap) -> Option<String> {
    let schemes: Vec<&str> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split_whitespace().next())
        .collect();
    let has_basic = headers.get_all(WWW_AUTHENTICATE).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.to_ascii_lowercase().contains("basic"))
    });
    (!schemes.is_empty() && !has_basic).then(|| schemes.join(" or "))
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let when = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(when.duration_since(jiff::Timestamp::now())).ok()
}

/// The server's own words, where it sends the error document that SabreDAV (Nextcloud, ownCloud) sends.
async fn words(mut response: Response) -> Option<String> {
    let mut body = Vec::new();
    while body.len() < WORDS
        && let Ok(Some(piece)) = response.chunk().await
    {
        body.extend_from_slice(&piece);
    }
    let text = String::from_utf8_lossy(&body);
    let (_, rest) = text.split_once("<s:message>")?;
    let (message, _) = rest.split_once("</s:message>")?;
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(message.chars().take(300).collect())
}

/// Makes an error of a request that got no answer.
pub(super) fn unanswered(place: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let place = place.to_owned();
    if is_untrusted(&error) {
        return Error::Untrusted {
            place,
            source: error.into(),
        };
    }
    if error.is_builder() {
        return Error::Misconfigured {
            why: format!("{place} cannot be asked: {error}."),
        };
    }
    Error::Unreachable {
        place,
        source: error.into(),
    }
}

/// Whether TLS failed because of the certificate, by the type of the innermost error.
fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(error) = current.downcast_ref::<rustls::Error>() {
            return matches!(error, rustls::Error::InvalidCertificate(_));
        }
        // The source of an io::Error is not what it wraps, but the source of that.
        cause = match current
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        };
    }
    false
}

/// The collection is not there.
pub(super) fn missing(place: &str) -> Error {
    Error::missing(place, MissingWhy::NoFolder)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn told(status: u16, doing: Doing, headers: &[(&'static str, &'static str)]) -> Error {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        meaning(
            "webdavs://cloud.example.com",
            doing,
            "a/b",
            StatusCode::from_u16(status).unwrap(),
            &headers,
            String::new(),
        )
    }

    const STREAMED: Doing = Doing::Writing {
        sent: 7,
        length_told: false,
    };

    #[rstest]
    #[case(401, Doing::Listing, "Denied")]
    #[case(403, STREAMED, "ReadOnly")]
    #[case(403, Doing::Reading, "Failed")]
    #[case(405, Doing::Listing, "Misconfigured")]
    #[case(409, STREAMED, "Failed")]
    #[case(411, STREAMED, "Misconfigured")]
    #[case(501, STREAMED, "Misconfigured")]
    #[case(411, Doing::Writing { sent: 7, length_told: true }, "Failed")]
    #[case(412, Doing::Moving, "AlreadyExists")]
    #[case(413, STREAMED, "Failed")]
    #[case(423, Doing::Removing, "Busy")]
    #[case(429, Doing::Listing, "Busy")]
    #[case(500, Doing::Reading, "Busy")]
    #[case(503, STREAMED, "Busy")]
    #[case(507, STREAMED, "Full { ")]
    #[case(301, Doing::Listing, "Misconfigured")]
    fn a_status_has_a_meaning(#[case] status: u16, #[case] doing: Doing, #[case] expected: &str) {
        let error = format!("{:?}", told(status, doing, &[]));
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn a_server_says_when_to_come_back_in_seconds_or_by_a_date() {
        let wait = |value| match told(503, Doing::Listing, &[("retry-after", value)]) {
            Error::Busy { retry_after, .. } => retry_after,
            error => panic!("{error:?}"),
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert!(wait("Wed, 31 Dec 2200 23:59:59 GMT").unwrap() > Duration::from_secs(1_000_000_000));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn a_login_that_we_do_not_know_is_told_by_its_name() {
        let digest = told(401, Doing::Listing, &[("www-authenticate", "Digest realm=\"x\"")]);
        assert!(digest.to_string().contains("login by Digest"), "{digest}");
        let both = told(401, Doing::Listing, &[("www-authenticate", "Basic realm=\"x\"")]);
        assert!(matches!(both, Error::Denied { .. }), "{both:?}");
    }

    #[test]
    fn a_redirect_names_the_address() {
        let error = told(302, Doing::Listing, &[("location", "https://other.example.com/")]);
        assert!(
            error.to_string().contains("to https://other.example.com/"),
            "{error}"
        );
    }
}
