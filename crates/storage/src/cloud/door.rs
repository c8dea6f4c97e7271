//! One HTTP request and its answer, with an eye on whether anything moves.
//!
//! A client's own time limits do not fit: a total one ends slow uploads that go well, and one per read counts the time
//! that an upload takes. Here every piece that the connection takes or brings starts the wait anew.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http::request::Parts;
use opendal::Buffer;
use tokio::time::{Instant, Sleep, sleep_until};

use super::trouble::Trouble;
use crate::Error;

/// How long to wait for a cloud, and how often to ask it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// While no byte moves.
    pub silence: Duration,
    /// Before the second attempt; each further one waits twice as long.
    pub pause: Duration,
    /// Attempts at a request, with the first.
    pub attempts: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(60),
            pause: Duration::from_millis(500),
            attempts: 5,
        }
    }
}

/// The most bytes of an answer that is held in memory: a page of a list, an error.
const MOST_BYTES: usize = 64 << 20;
/// The piece of a body that is handed to the connection at once.
const PIECE: usize = 64 << 10;

/// Sends requests and receives answers.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    client: reqwest::Client,
    patience: Patience,
}

impl Door {
    /// Makes the client. Touches no network.
    pub(crate) fn new(patience: Patience) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(patience.connect)
            // Neither cloud sends anybody elsewhere; and a signed request is for its own server only.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("howdah/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Misconfigured {
                why: format!(
                    "No HTTPS connection can be made: {}.",
                    crate::error::chain(&error)
                ),
            })?;
        Ok(Self { client, patience })
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// Sends a request, and waits for the head of its answer.
    pub(crate) async fn send(&self, head: Parts, body: Buffer) -> Result<reqwest::Response, Trouble> {
        let url = reqwest::Url::parse(&head.uri.to_string())
            .map_err(|error| Trouble::Unsendable(format!("the address is no URL: {error}")))?;
        let moved = Moved::default();
        let mut request = self.client.request(head.method, url).headers(head.headers);
        if !body.is_empty() {
            request = request.body(reqwest::Body::wrap(Outgoing::new(body, moved.clone())));
        }
        let answer = request.send();
        tokio::pin!(answer);
        loop {
            let patience_ends = moved.patience_ends(self.patience.silence);
            tokio::select! {
                answer = &mut answer => return answer.map_err(Trouble::from_client),
                () = sleep_until(patience_ends) => {
                    if moved.patience_ends(self.patience.silence) <= Instant::now() {
                        return Err(Trouble::Silent(self.patience.silence));
                    }
                }
            }
        }
    }

    /// The body of an answer as it arrives. Ends with an error where less arrives than the answer's head says.
    pub(crate) fn stream(&self, answer: reqwest::Response) -> Incoming {
        Incoming {
            bytes: Box::pin(answer.bytes_stream()),
            wake: Box::pin(sleep_until(Instant::now() + self.patience.silence)),
            silence: self.patience.silence,
        }
    }

    /// The body of an answer, of which at most some megabytes are expected.
    pub(crate) async fn collect(&self, answer: reqwest::Response) -> Result<Bytes, Trouble> {
        let mut pieces = self.stream(answer);
        let mut body = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece?);
            if body.len() > MOST_BYTES {
                return Err(Trouble::Unsendable(
                    "the answer is longer than any that makes sense".to_owned(),
                ));
            }
        }
        Ok(body.freeze())
    }
}

/// When something moved last.
#[derive(Debug, Clone)]
struct Moved {
    begun: Instant,
    last: Arc<Mutex<Instant>>,
}

impl Default for Moved {
    fn default() -> Self {
        let begun = Instant::now();
        Self {
            begun,
            last: Arc::new(Mutex::new(begun)),
        }
    }
}

impl Moved {
    /// When nothing will have moved for too long. The system takes megabytes of a body that go out later, no slower than what went
    /// before: they get as long as that took.
    fn patience_ends(&self, silence: Duration) -> Instant {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last + silence.max(last - self.begun)
    }

    fn now(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// The body of a request, which notes when the connection takes a piece of it.
struct Outgoing {
    rest: Buffer,
    moved: Moved,
}

impl Outgoing {
    fn new(rest: Buffer, moved: Moved) -> Self {
        Self { rest, moved }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        self.moved.now();
        // As they lie, so that nothing is copied.
        let len = match self.rest.current().len() {
            0 => self.rest.len(),
            len => len,
        };
        let piece = self.rest.split_to(len.min(PIECE)).to_bytes();
        Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// The body of an answer, which fails when nothing arrives for too long.
pub(crate) struct Incoming {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send + Sync>>,
    wake: Pin<Box<Sleep>>,
    silence: Duration,
}

impl Stream for Incoming {
    type Item = Result<Bytes, Trouble>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(piece) = self.bytes.as_mut().poll_next(context) {
            let next = Instant::now() + self.silence;
            self.wake.as_mut().reset(next);
            return Poll::Ready(piece.map(|piece| piece.map_err(Trouble::from_client)));
        }
        self.wake
            .as_mut()
            .poll(context)
            .map(|()| Some(Err(Trouble::Silent(self.silence))))
    }
}
