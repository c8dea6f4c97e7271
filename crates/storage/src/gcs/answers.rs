//! What Google's refusals mean. The code is the `reason` of the first error in the answer's JSON.

use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;

use super::HASH;
use crate::cloud::service::Reading;
use crate::cloud::trouble::Meaning;

/// The most of the server's words that is kept.
const MOST_WORDS: usize = 300;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Words,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Words {
    message: String,
    errors: Vec<Reason>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reason {
    reason: String,
}

/// Reads a refusal.
pub(super) fn read(bucket: &str, request: &Parts, status: StatusCode, body: &[u8]) -> Reading {
    let words = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
    let code = words
        .errors
        .into_iter()
        .next()
        .map(|first| first.reason)
        .unwrap_or_default();
    Reading {
        meaning: meaning(status.as_u16(), &code, &About::read(bucket, request)),
        message: words.message.chars().take(MOST_WORDS).collect(),
        code,
    }
}

/// What a request is about, as far as the meaning of its refusal hangs on it.
#[derive(Debug, Clone, Copy, Default)]
struct About {
    /// The bucket as a whole: a list, or the beginning of an upload.
    bucket: bool,
    /// An upload that was begun.
    session: bool,
    /// Something with a checksum.
    checked: bool,
}

impl About {
    fn read(bucket: &str, request: &Parts) -> Self {
        let session = request
            .uri
            .query()
            .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("upload_id=")));
        Self {
            bucket: !session && request.uri.path().ends_with(&format!("/b/{bucket}/o")),
            session,
            checked: request.headers.contains_key(HASH),
        }
    }
}

fn meaning(status: u16, reason: &str, about: &About) -> Meaning {
    match (status, reason) {
        (404 | 410, _) if about.session => Meaning::Interrupted,
        (404, _) if about.bucket => Meaning::NoBucket,
        (404, _) => Meaning::NotFound,
        (412, _) => Meaning::Exists,
        (401, _) => Meaning::Denied,
        (403, "rateLimitExceeded" | "userRateLimitExceeded" | "usageLimitsRateLimitExceeded") => {
            Meaning::Busy
        }
        (403, "quotaExceeded") | (507, _) => Meaning::Full,
        (403, _) => Meaning::Forbidden,
        (400, "invalid") if about.checked => Meaning::Corrupted,
        (408 | 429 | 500 | 502..=504, _) => Meaning::Busy,
        _ => Meaning::Other,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use rstest::rstest;

    use super::*;

    fn request(url: &str) -> Parts {
        Request::get(url).body(()).unwrap().into_parts().0
    }

    #[rstest]
    #[case("https://g/storage/v1/b/backups/o?prefix=a", Meaning::NoBucket)]
    #[case(
        "https://g/upload/storage/v1/b/backups/o?uploadType=resumable&name=a",
        Meaning::NoBucket
    )]
    #[case(
        "https://g/upload/storage/v1/b/backups/o?uploadType=resumable&upload_id=7",
        Meaning::Interrupted
    )]
    #[case("https://g/storage/v1/b/backups/o/shop%2Fdump", Meaning::NotFound)]
    #[case("https://g/storage/v1/b/backups/o/b%2Fbackups%2Fo", Meaning::NotFound)]
    fn what_is_missing_shows_in_what_was_asked(#[case] url: &str, #[case] expected: Meaning) {
        let reading = read("backups", &request(url), StatusCode::NOT_FOUND, b"{}");
        assert_eq!(reading.meaning, expected);
    }

    #[rstest]
    #[case(403, "forbidden", Meaning::Forbidden)]
    #[case(403, "quotaExceeded", Meaning::Full)]
    #[case(403, "userRateLimitExceeded", Meaning::Busy)]
    #[case(429, "rateLimitExceeded", Meaning::Busy)]
    #[case(401, "authError", Meaning::Denied)]
    #[case(412, "conditionNotMet", Meaning::Exists)]
    #[case(503, "backendError", Meaning::Busy)]
    #[case(400, "invalid", Meaning::Other)]
    fn each_reason_has_its_meaning(#[case] status: u16, #[case] reason: &str, #[case] expected: Meaning) {
        let body = format!(
            r#"{{"error": {{"code": {status}, "message": "Words.", "errors": [{{"domain": "global", "reason": "{reason}"}}]}}}}"#
        );
        let status = StatusCode::from_u16(status).unwrap();
        let reading = read(
            "b",
            &request("https://g/storage/v1/b/b/o/x"),
            status,
            body.as_bytes(),
        );
        assert_eq!((reading.meaning, reading.code.as_str()), (expected, reason));
        assert_eq!(reading.message, "Words.");
    }

    #[test]
    fn a_checksum_that_does_not_fit_is_told_as_that() {
        let mut request = request("https://g/upload/storage/v1/b/b/o?upload_id=1");
        request.headers.insert(HASH, "md5=AAAA".parse().unwrap());
        let body = br#"{"error": {"code": 400, "message": "m", "errors": [{"reason": "invalid"}]}}"#;
        let reading = read("b", &request, StatusCode::BAD_REQUEST, body);
        assert_eq!(reading.meaning, Meaning::Corrupted);
    }
}
