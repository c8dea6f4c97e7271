//! What goes wrong between us and Google, told by status and `reason` and never by the words of a message, and whether and
//! when it is tried again.
//!
//! Source: <https://developers.google.com/workspace/drive/api/guides/handle-errors>. A 403 is five different things, which
//! only its `reason` tells apart.

use std::time::Duration;

use serde::Deserialize;

use super::client::PLACE;
use super::endpoints::Patience;
use super::tokens::Tokens;
use crate::error::{Cause, chain};
use crate::{Error, MissingWhy};

/// How often one request is made, all in all, while nothing changes.
const ATTEMPTS: u32 = 6;

/// One request that did not go well.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There was no answer, or not the whole of one.
    Broken(Cause),
    /// Its certificate is not trusted.
    Untrusted(Cause),
    /// Google answered, and not with what was asked for.
    Answer(Answer),
    /// It is told already, and nothing is to be tried again: no access token could be had.
    Told(Error),
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Google's word for it: `storageQuotaExceeded`. Empty where the body was not Google's JSON.
    pub reason: String,
    /// Google's sentence for people.
    pub message: String,
    /// When it wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// What an answer means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The access token is not valid (any more).
    Unauthorized,
    /// The sign-in did not give the right to use Drive.
    NotGranted,
    /// The project that the OAuth client belongs to has not switched the Drive API on.
    NotEnabled,
    /// Too much, too fast, or Google has trouble of its own.
    Busy,
    /// No space, or a limit on the number of files.
    Full,
    /// Any other "you may not".
    Forbidden,
    /// It is not there.
    Missing,
    /// Something else.
    Other,
}

#[derive(Deserialize)]
struct Body {
    error: BodyError,
}

#[derive(Deserialize)]
struct BodyError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<BodyReason>,
}

#[derive(Deserialize)]
struct BodyReason {
    #[serde(default)]
    reason: String,
}

impl Answer {
    /// Reads an answer's body; one that is not Google's JSON (a proxy's page) gives no reason.
    pub(super) fn new(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let (reason, message) = serde_json::from_slice::<Body>(body).map_or_else(
            |_| (String::new(), String::new()),
            |body| {
                let reason = body.error.errors.into_iter().next();
                (
                    reason.map_or_else(String::new, |first| first.reason),
                    body.error.message,
                )
            },
        );
        Self {
            status,
            reason,
            message,
            retry_after,
        }
    }

    fn meaning(&self) -> Meaning {
        match (self.status, self.reason.as_str()) {
            (401, _) => Meaning::Unauthorized,
            (403, "insufficientPermissions" | "insufficientScopes") => Meaning::NotGranted,
            (403, "accessNotConfigured" | "SERVICE_DISABLED") => Meaning::NotEnabled,
            (
                403,
                "rateLimitExceeded"
                | "userRateLimitExceeded"
                | "dailyLimitExceeded"
                | "sharingRateLimitExceeded",
            )
            | (408 | 429 | 500..=599, _) => Meaning::Busy,
            (
                403,
                "storageQuotaExceeded"
                | "quotaExceeded"
                | "teamDriveFileLimitExceeded"
                | "numChildrenInNonRootLimitExceeded"
                | "activeItemCreationLimitExceeded",
            ) => Meaning::Full,
            (403, _) => Meaning::Forbidden,
            (404 | 410, _) => Meaning::Missing,
            _ => Meaning::Other,
        }
    }

    fn words(&self) -> Cause {
        let mut words = format!("Google answered {}", self.status);
        for part in [&self.reason, &self.message] {
            if !part.is_empty() {
                words.push_str(": ");
                words.push_str(part);
            }
        }
        words.into()
    }
}

impl Trouble {
    /// From an error of reqwest, without the URL: that of an upload session is all that is needed to write to it.
    pub(super) fn from_reqwest(error: reqwest::Error) -> Self {
        Self::from_connection(error.without_url())
    }

    /// From an error of a library for HTTP that got no answer.
    pub(super) fn from_connection(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        let untrusted = is_about_a_certificate(&error);
        // The libraries' own words for the outermost error say little ("client error (Connect)").
        let words: Cause = chain(&error).replace('\n', ": ").into();
        if untrusted {
            Self::Untrusted(words)
        } else {
            Self::Broken(words)
        }
    }

    /// Nothing moved for too long.
    pub(super) fn silence(patience: Patience) -> Self {
        Self::Broken(format!("nothing moved for {} seconds", patience.idle.as_secs()).into())
    }

    fn meaning(&self) -> Option<Meaning> {
        match self {
            Self::Answer(answer) => Some(answer.meaning()),
            _ => None,
        }
    }

    /// Whether the access token was refused.
    pub(super) fn is_unauthorized(&self) -> bool {
        self.meaning() == Some(Meaning::Unauthorized)
    }

    /// Whether what was asked for is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.meaning() == Some(Meaning::Missing)
    }

    /// Whether there is no space left.
    pub(super) fn is_full(&self) -> bool {
        self.meaning() == Some(Meaning::Full)
    }

    /// Whether the same request may go well a little later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Broken(_)) || self.meaning() == Some(Meaning::Busy)
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer(answer) => answer.retry_after,
            _ => None,
        }
    }

    /// As callers of a destination hear it. `place` is the folder in Drive, `at` the object it was about.
    pub(super) fn into_error(self, what: &'static str, place: &str, at: &str) -> Error {
        let answer = match self {
            Self::Told(error) => return error,
            Self::Broken(source) => {
                return Error::Unreachable {
                    place: place.to_owned(),
                    source,
                };
            }
            Self::Untrusted(source) => {
                return Error::Untrusted {
                    place: place.to_owned(),
                    source,
                };
            }
            Self::Answer(answer) => answer,
        };
        let source = answer.words();
        match answer.meaning() {
            Meaning::Unauthorized => Error::Denied {
                place: place.to_owned(),
                what: "Google sign-in",
                source,
            },
            Meaning::NotGranted => Error::SignInNeeded {
                place: PLACE.to_owned(),
                source: "the sign-in did not include the right to keep files in Google Drive".into(),
            },
            Meaning::NotEnabled => Error::Misconfigured {
                why: "The Google Drive API is switched off for the project that the OAuth client belongs to. Switch it on in \
                      the Google Cloud console (APIs & Services, Google Drive API), wait a minute, and try again."
                    .to_owned(),
            },
            Meaning::Busy => Error::Busy {
                place: place.to_owned(),
                retry_after: answer.retry_after,
                source,
            },
            Meaning::Full => Error::Full {
                place: place.to_owned(),
                object: at.to_owned(),
                written: 0,
                free: None,
                source,
            },
            Meaning::Forbidden => Error::ReadOnly {
                at: at.to_owned(),
                source,
            },
            Meaning::Missing | Meaning::Other => Error::Failed {
                what,
                at: at.to_owned(),
                source,
            },
        }
    }
}

/// The folder of a place is not there.
pub(super) fn no_folder(place: &str) -> Error {
    Error::missing(place, MissingWhy::NoFolder)
}

/// The attempts at one request. After each trouble, [`again`](Self::again) waits, or says that it was the last.
pub(super) struct Tries<'a> {
    tokens: Option<&'a Tokens>,
    patience: Patience,
    made: u32,
    renewed: bool,
}

impl<'a> Tries<'a> {
    /// For a request with an access token, which is renewed once when it is refused.
    pub(super) fn new(tokens: &'a Tokens, patience: Patience) -> Self {
        Self {
            tokens: Some(tokens),
            patience,
            made: 0,
            renewed: false,
        }
    }

    /// For a request without one.
    pub(super) fn without_token(patience: Patience) -> Self {
        Self {
            tokens: None,
            patience,
            made: 0,
            renewed: false,
        }
    }

    /// It got further: the count begins anew.
    pub(super) fn progress(&mut self) {
        self.made = 0;
        self.renewed = false;
    }

    /// Returns when it is time for the next attempt; the trouble itself where there is to be none.
    pub(super) async fn again(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        if let Some(tokens) = self.tokens
            && trouble.is_unauthorized()
            && !self.renewed
        {
            self.renewed = true;
            tokens.forget().await;
            return Ok(());
        }
        self.made += 1;
        if !trouble.is_passing() || self.made >= ATTEMPTS {
            return Err(trouble);
        }
        let doubled = self.patience.first_pause * 2_u32.pow(self.made - 1);
        let pause = trouble
            .retry_after()
            .map_or(doubled, |asked| asked.max(doubled))
            .min(self.patience.longest_pause);
        tracing::debug!(
            attempt = self.made,
            ?pause,
            ?trouble,
            "Google Drive is asked again"
        );
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// `Retry-After` in seconds; Google sends no dates.
pub(super) fn retry_after(value: Option<&str>) -> Option<Duration> {
    value?.trim().parse().ok().map(Duration::from_secs)
}

fn is_about_a_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // An I/O error does not show what it wraps as its source, but that one's source.
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .map(|inner| inner as &(dyn std::error::Error + 'static));
    wrapped
        .or_else(|| error.source())
        .is_some_and(is_about_a_certificate)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn answer(status: u16, reason: &str) -> Trouble {
        let body = format!(
            r#"{{"error":{{"code":{status},"message":"words","errors":[{{"domain":"global","reason":"{reason}","message":"words"}}]}}}}"#
        );
        Trouble::Answer(Answer::new(status, body.as_bytes(), None))
    }

    #[rstest]
    #[case(403, "storageQuotaExceeded", "Full")]
    #[case(403, "userRateLimitExceeded", "Busy")]
    #[case(403, "rateLimitExceeded", "Busy")]
    #[case(429, "rateLimitExceeded", "Busy")]
    #[case(503, "backendError", "Busy")]
    #[case(403, "insufficientFilePermissions", "ReadOnly")]
    #[case(403, "insufficientPermissions", "SignInNeeded")]
    #[case(403, "accessNotConfigured", "Misconfigured")]
    #[case(401, "authError", "Denied")]
    #[case(404, "notFound", "Failed")]
    #[case(400, "badRequest", "Failed")]
    fn the_reason_says_which_error_it_is(#[case] status: u16, #[case] reason: &str, #[case] expected: &str) {
        let error = answer(status, reason).into_error("writing", "Howdah in Google Drive", "a/b");
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }

    #[test]
    fn an_answer_that_is_not_googles_still_counts_by_its_status() {
        let page = Trouble::Answer(Answer::new(502, b"<html>Bad gateway</html>", None));
        assert!(page.is_passing());
        let page = Trouble::Answer(Answer::new(403, b"<html>Blocked by the office</html>", None));
        assert!(!page.is_passing());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_respect_what_google_asks_for_and_end() {
        let patience = Patience::default();
        let mut tries = Tries::without_token(patience);
        let mut pauses = Vec::new();
        loop {
            let before = tokio::time::Instant::now();
            if tries.again(answer(503, "backendError")).await.is_err() {
                break;
            }
            pauses.push(before.elapsed().as_millis());
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000]);

        let asked = |seconds| {
            Trouble::Answer(Answer {
                status: 429,
                reason: String::new(),
                message: String::new(),
                retry_after: retry_after(Some(seconds)),
            })
        };
        let mut tries = Tries::without_token(patience);
        for (asked_for, waited) in [("7", 7), ("3600", 60)] {
            let before = tokio::time::Instant::now();
            tries.again(asked(asked_for)).await.unwrap();
            assert_eq!(before.elapsed().as_secs(), waited);
        }
    }
}
