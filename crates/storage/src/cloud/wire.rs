//! What opendal sends its requests through: checksums and signatures are added, and what may pass is asked again.
//!
//! opendal does not sign (its own signing comes before a checksum could be added, and puts a SAS token into addresses that
//! its errors repeat), and does not retry: a request that failed here has failed for good. Retrying below opendal's writers
//! also keeps them whole: `opendal::Writer` loses what it holds back when a write failed and is tried again.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use opendal::raw::Operation;
use opendal::{Buffer, HttpBody, HttpTransport, HttpTransporter, OperationContext, Operator};
use tokio::time::{Instant, sleep, sleep_until};

use super::door::{Door, Patience};
use super::service::{Md5, Service};
use super::trouble::{Meaning, Trouble};

/// The longest that a server may make us wait inside a call. Beyond that the caller is told, and decides.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The MD5 of a whole object, known when its last byte has been written.
pub(crate) type Whole = Arc<OnceLock<Md5>>;

/// The way to a cloud.
#[derive(Clone)]
pub(crate) struct Wire {
    door: Door,
    service: Arc<dyn Service>,
    /// The server has asked for a rest until then. It holds for every request to it.
    rest_until: Arc<Mutex<Option<Instant>>>,
    whole: Option<Whole>,
}

impl Wire {
    pub(crate) fn new(door: Door, service: Arc<dyn Service>) -> Self {
        Self {
            door,
            service,
            rest_until: Arc::default(),
            whole: None,
        }
    }

    /// The same way, for the upload of one object.
    pub(crate) fn for_upload(&self, whole: Whole) -> Self {
        Self {
            whole: Some(whole),
            ..self.clone()
        }
    }

    /// An operator whose requests go this way.
    pub(crate) fn carry(&self, operator: Operator) -> Operator {
        let transport = HttpTransporter::new(self.clone());
        operator.with_context(OperationContext::new().with_http_transport(transport))
    }

    pub(crate) fn patience(&self) -> Patience {
        self.door.patience()
    }

    /// Sends a request, again where that may help, and answers its success.
    pub(crate) async fn ask(&self, request: Request<Buffer>) -> Result<Response<HttpBody>, Trouble> {
        let (mut head, body) = request.into_parts();
        let whole = self.whole.as_ref().and_then(|whole| whole.get());
        self.service.add_checksum(&mut head, &body, whole);
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            self.rest().await;
            let trouble = match self.once(&head, &body).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            if trouble.meaning() == Some(Meaning::Denied) && !renewed && self.service.renew().await {
                renewed = true;
                continue;
            }
            let Some(pause) = self.pause_after(attempt, &trouble) else {
                return Err(trouble);
            };
            tracing::debug!(%trouble, attempt, "a request to a cloud failed, and is sent again");
            sleep(pause).await;
            attempt += 1;
            if let Some(answer) = self.settled(&head).await {
                return Ok(answer);
            }
        }
    }

    /// Waits as long as the server wants to be left alone.
    async fn rest(&self) {
        let until = *self.rest_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            sleep_until(until).await;
        }
    }

    /// How long to wait before the next attempt; none where there is to be none.
    fn pause_after(&self, attempt: u32, trouble: &Trouble) -> Option<Duration> {
        let Patience { pause, attempts, .. } = self.patience();
        if attempt >= attempts || !trouble.may_pass() {
            return None;
        }
        match trouble.retry_after() {
            Some(wait) if wait > LONGEST_WAIT => None,
            Some(wait) => {
                *self.rest_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + wait);
                Some(Duration::ZERO)
            }
            None => Some(pause.saturating_mul(1 << (attempt - 1).min(10)).min(LONGEST_WAIT)),
        }
    }

    /// The answer to a request that failed, where asking shows that it was carried out all the same.
    async fn settled(&self, head: &Parts) -> Option<Response<HttpBody>> {
        let question = self.service.question(head)?;
        let answer = self.once(&question, &Buffer::new()).await.ok()?;
        self.service
            .settles(head, answer.status(), answer.headers())
            .then_some(answer)
    }

    async fn once(&self, head: &Parts, body: &Buffer) -> Result<Response<HttpBody>, Trouble> {
        let mut signed = head.clone();
        self.service.sign(&self.door, &mut signed).await?;
        let mut answer = self.door.send(signed, body.clone()).await?;
        let status = answer.status();
        let headers = std::mem::take(answer.headers_mut());
        // 308 is how Google says "go on" in the middle of an upload.
        if !(status.is_success() || status == StatusCode::PERMANENT_REDIRECT) {
            // Whatever is wrong with the body of a refusal, it is a refusal.
            let body = self.door.collect(answer).await.unwrap_or_default();
            return Err(self.refused(head, status, &headers, &body));
        }
        let body = if head.extensions.get::<Operation>() == Some(&Operation::Read) {
            let len = content_length(&headers).filter(|_| head.method != Method::HEAD);
            let pieces = self.door.stream(answer);
            HttpBody::new(
                pieces.map(|piece| piece.map(Buffer::from).map_err(Trouble::into_opendal)),
                len,
            )
        } else {
            let bytes = self.door.collect(answer).await?;
            let len = bytes.len() as u64;
            HttpBody::new(stream::iter([Ok(Buffer::from(bytes))]), Some(len))
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn refused(&self, head: &Parts, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Trouble {
        let reading = self.service.read_refusal(head, status, headers, body);
        Trouble::Refused {
            status: status.as_u16(),
            code: reading.code,
            message: reading.message,
            meaning: reading.meaning,
            retry_after: retry_after(headers),
        }
    }
}

impl HttpTransport for Wire {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        self.ask(request).await.map_err(Trouble::into_opendal)
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// In seconds, or as the date when (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = at.duration_since(jiff::Timestamp::now());
    Some(wait.unsigned_abs()).filter(|_| wait.is_positive())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())])
    }

    #[test]
    fn when_to_come_back_is_read_in_seconds_and_as_a_date() {
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("soon")), None);
        assert_eq!(retry_after(&headers("Wed, 21 Oct 2015 07:28:00 GMT")), None);
        let later = retry_after(&headers("Wed, 21 Oct 2099 07:28:00 GMT")).unwrap();
        assert!(later > Duration::from_secs(1_000_000));
    }
}
