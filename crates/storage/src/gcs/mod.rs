//! Google Cloud Storage: buckets, resumable uploads, keys of service accounts.
//!
//! The facts are from Google's reference: [resumable uploads] (a session is invisible, costs nothing and expires after a week;
//! sending bytes twice changes nothing), [preconditions] (`ifGenerationMatch=0`), [checksums] (`x-goog-hash` with the last
//! request), [status codes], and the [quotas] (5 TiB an object).
//!
//! [resumable uploads]: https://cloud.google.com/storage/docs/performing-resumable-uploads
//! [preconditions]: https://cloud.google.com/storage/docs/request-preconditions
//! [checksums]: https://cloud.google.com/storage/docs/data-validation
//! [status codes]: https://cloud.google.com/storage/docs/json_api/v1/status-codes
//! [quotas]: https://cloud.google.com/storage/quotas

mod account;
mod answers;
mod token;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::BASE64;
use howdah_domain::Secret;
use howdah_domain::destination::{GcsPlace, Place};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use opendal::{Buffer, Operator, services};

use self::account::Account;
use self::token::Tokens;
use crate::Error;
use crate::cloud::service::{Cut, Md5, Reading, Service};
use crate::cloud::trouble::Trouble;
use crate::cloud::{Cloud, Door, Patience};

/// Where requests go.
const ENDPOINT: &str = "https://storage.googleapis.com";
/// The most bytes of an object.
const LARGEST_OBJECT: u64 = 5 << 40;
/// The checksum that comes with the last request of an upload.
const HASH: &str = "x-goog-hash";

impl Cloud {
    /// The bucket at a place, with the key of a service account, which is JSON. Touches no network.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] where the key is none, or the place cannot be one.
    pub fn gcs(place: &GcsPlace, secret: Option<&Secret>, patience: Patience) -> Result<Self, Error> {
        let account = Account::read(secret)?;
        let endpoint = place
            .endpoint
            .as_deref()
            .unwrap_or(ENDPOINT)
            .trim_end_matches('/');
        let authority = endpoint
            .parse::<Uri>()
            .ok()
            .and_then(|uri| uri.authority().cloned())
            .ok_or_else(|| Error::Misconfigured {
                why: format!("“{endpoint}” is not a URL such as {ENDPOINT}."),
            })?;
        let builder = services::Gcs::default()
            .root("/")
            .endpoint(endpoint)
            .bucket(&place.bucket)
            .skip_signature();
        let operator = Operator::new(builder).map_err(|error| Error::Misconfigured {
            why: format!(
                "{} is no bucket that can be used ({}).",
                place.bucket,
                error.kind()
            ),
        })?;
        let name = Place::Gcs(GcsPlace {
            endpoint: None,
            ..place.clone()
        });
        let service = Google {
            bucket: place.bucket.clone(),
            authority,
            tokens: Tokens::new(account),
        };
        Self::new(
            name.to_string(),
            &place.prefix,
            operator,
            Arc::new(service),
            patience,
        )
    }
}

/// Cloud Storage, and what lets us in.
struct Google {
    bucket: String,
    /// The only server that is shown our token.
    authority: Authority,
    tokens: Tokens,
}

impl fmt::Debug for Google {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Google")
            .field("bucket", &self.bucket)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Service for Google {
    fn secret(&self) -> &'static str {
        "service account key"
    }

    fn cut(&self, estimate: Option<u64>) -> Result<Cut, u64> {
        if estimate.is_some_and(|bytes| bytes > LARGEST_OBJECT) {
            return Err(LARGEST_OBJECT);
        }
        Ok(Cut {
            part: None,
            most: LARGEST_OBJECT,
        })
    }

    fn knows_whole_md5(&self) -> bool {
        true
    }

    fn add_checksum(&self, request: &mut Parts, _: &Buffer, whole: Option<&Md5>) {
        let Some(whole) = whole.filter(|_| Sent::read(request).is_some_and(|sent| sent.total.is_some()))
        else {
            return;
        };
        if let Ok(value) = HeaderValue::from_str(&format!("md5={}", BASE64.encode(whole))) {
            request.headers.insert(HASH, value);
        }
    }

    async fn sign(&self, door: &Door, request: &mut Parts) -> Result<(), Trouble> {
        if request.uri.authority() == Some(&self.authority) {
            let bearer = self.tokens.bearer(door).await?;
            request.headers.insert(header::AUTHORIZATION, bearer);
        }
        Ok(())
    }

    async fn renew(&self) -> bool {
        self.tokens.forget().await
    }

    fn read_refusal(&self, request: &Parts, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Reading {
        answers::read(&self.bucket, request, status, body)
    }

    /// How much of a resumable upload has arrived.
    fn question(&self, request: &Parts) -> Option<Parts> {
        let sent = Sent::read(request)?;
        let total = sent
            .total
            .map_or_else(|| "*".to_owned(), |total| total.to_string());
        let mut question = request.clone();
        question.headers.remove(HASH);
        question
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(0));
        let range = HeaderValue::from_str(&format!("bytes */{total}")).ok()?;
        question.headers.insert(header::CONTENT_RANGE, range);
        Some(question)
    }

    /// The upload is complete, or all of this part has arrived.
    fn settles(&self, request: &Parts, status: StatusCode, headers: &HeaderMap) -> bool {
        let Some(sent) = Sent::read(request) else {
            return false;
        };
        if status != StatusCode::PERMANENT_REDIRECT {
            return status.is_success();
        }
        let arrived = headers
            .get(header::RANGE)
            .and_then(|range| range.to_str().ok())
            .and_then(|range| range.rsplit_once('-'))
            .and_then(|(_, last)| last.parse::<u64>().ok());
        sent.total.is_none() && arrived.is_some() && arrived >= sent.last
    }

    fn hides_missing_bucket(&self) -> bool {
        true
    }
}

/// Which bytes of an object a request brings.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    /// The last of them; none where it brings none.
    last: Option<u64>,
    /// How many the object has, said with the last ones.
    total: Option<u64>,
}

impl Sent {
    /// Reads `Content-Range: bytes 0-8388607/*`; none where the request is not part of an upload.
    fn read(request: &Parts) -> Option<Self> {
        if request.method != Method::PUT {
            return None;
        }
        let range = request.headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
        let (range, total) = range.strip_prefix("bytes ")?.split_once('/')?;
        Some(Self {
            last: range.split_once('-').and_then(|(_, last)| last.parse().ok()),
            total: total.parse().ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use rstest::rstest;

    use super::*;

    fn put(range: &str) -> Parts {
        let request = Request::put("https://storage.googleapis.com/upload?upload_id=1")
            .header(header::CONTENT_RANGE, range)
            .body(())
            .unwrap();
        request.into_parts().0
    }

    #[rstest]
    #[case("bytes 0-8388607/*", Some(8_388_607), None)]
    #[case("bytes 8388608-8388610/8388611", Some(8_388_610), Some(8_388_611))]
    #[case("bytes */0", None, Some(0))]
    fn what_a_request_brings_is_read_off_its_range(
        #[case] range: &str,
        #[case] last: Option<u64>,
        #[case] total: Option<u64>,
    ) {
        assert_eq!(Sent::read(&put(range)), Some(Sent { last, total }));
    }

    #[rstest]
    #[case("bytes 0-99/*", 308, Some("bytes=0-99"), true)]
    #[case("bytes 0-99/*", 308, Some("bytes=0-50"), false)]
    #[case("bytes 0-99/*", 308, None, false)]
    #[case("bytes 0-99/100", 308, Some("bytes=0-99"), false)]
    #[case("bytes 0-99/100", 200, None, true)]
    #[case("bytes 0-99/100", 201, None, true)]
    fn a_part_is_sent_again_unless_all_of_it_has_arrived(
        #[case] range: &str,
        #[case] status: u16,
        #[case] arrived: Option<&str>,
        #[case] settled: bool,
    ) {
        let google = Google {
            bucket: "b".into(),
            authority: Authority::from_static("storage.googleapis.com"),
            tokens: Tokens::new(Account::for_tests()),
        };
        let headers = arrived.map(|range| (header::RANGE, range.parse().unwrap()));
        let headers = HeaderMap::from_iter(headers);
        assert_eq!(
            google.settles(&put(range), StatusCode::from_u16(status).unwrap(), &headers),
            settled
        );
    }
}
