//! In what the clouds differ. It knows nothing of objects and uploads.

use std::fmt;

use async_trait::async_trait;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use opendal::Buffer;

use super::door::Door;
use super::trouble::{Meaning, Trouble};
use super::wire::Wire;

/// An MD5: what both clouds take as a checksum of what they are sent. Against accidents, not against people.
pub(crate) type Md5 = [u8; 16];

/// An answer that is no success, as its cloud reads it.
pub(crate) struct Reading {
    /// The server's code for it.
    pub(crate) code: String,
    /// The server's words.
    pub(crate) message: String,
    /// What that means.
    pub(crate) meaning: Meaning,
}

/// How an object of some size is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Bytes of a part; none where opendal has a size of its own.
    pub(crate) part: Option<usize>,
    /// The most bytes that an object cut like this can have.
    pub(crate) most: u64,
}

/// A cloud's own ways. Requests are made by opendal, and completed by this before they are sent.
#[async_trait]
pub(crate) trait Service: fmt::Debug + Send + Sync + 'static {
    /// What people call the secret: `service account key`.
    fn secret(&self) -> &'static str;

    /// Cuts an object of about `estimate` bytes, or answers the most bytes that an object can have.
    fn cut(&self, estimate: Option<u64>) -> Result<Cut, u64>;

    /// Whether the cloud checks, or tells, the MD5 of a whole object that came in parts.
    fn knows_whole_md5(&self) -> bool;

    /// Adds the checksum of a request's body, or of the whole object where this request is its last.
    fn add_checksum(&self, request: &mut Parts, body: &Buffer, whole: Option<&Md5>);

    /// Adds what lets us in. Once for every attempt: a signature holds the time.
    async fn sign(&self, door: &Door, request: &mut Parts) -> Result<(), Trouble>;

    /// We were not let in: forgets what can be had anew. False where there is nothing else to try.
    async fn renew(&self) -> bool {
        false
    }

    /// Reads an answer that is no success.
    fn read_refusal(&self, request: &Parts, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Reading;

    /// What to ask before a request is sent again, where it may have been carried out; none where sending it twice is the
    /// same as sending it once.
    fn question(&self, _request: &Parts) -> Option<Parts> {
        None
    }

    /// Whether the answer to [`question`](Self::question) is the answer to the request too.
    fn settles(&self, _request: &Parts, _status: StatusCode, _headers: &HeaderMap) -> bool {
        false
    }

    /// Whether "no such object" may mean that the bucket is not there.
    fn hides_missing_bucket(&self) -> bool {
        false
    }

    /// The keys that begin with `prefix` of which only unfinished parts are there and can be removed; none where the cloud
    /// keeps such parts where nobody finds them until they expire.
    async fn unfinished(&self, _wire: &Wire, _prefix: &str) -> Result<Vec<String>, Trouble> {
        Ok(Vec::new())
    }

    /// Whether parts of an object that was given up can be removed by removing the object that is not there.
    fn keeps_unfinished(&self) -> bool {
        false
    }
}
