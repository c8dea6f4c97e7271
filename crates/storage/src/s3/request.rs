//! Sending a request until it is answered: watched while nothing moves, repeated while that may help. It knows no request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::refusal::{Kind, Refusal};
use crate::patience::Patience;

/// How long a store is waited for: it may take minutes to put the parts of an upload together.
pub(super) fn usual_patience() -> Patience {
    Patience {
        settle: Duration::from_secs(600),
        pauses: [300, 1_500, 5_000].map(Duration::from_millis).to_vec(),
        ..Patience::default()
    }
}

/// How a request ended, attempts and all.
pub(super) struct Outcome<T> {
    pub(super) result: Result<T, Refusal>,
    /// An attempt before the last one ended in a way that leaves open whether the store did what it was asked.
    pub(super) in_doubt: bool,
}

impl Patience {
    /// Sends what `make` makes, again and again while that may help. `make` gets the watch that a body is to tell when it moves.
    pub(super) async fn send<T, E, F>(&self, make: impl FnMut(&Arc<Watch>) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.send_within(self.idle, make).await.result
    }

    /// As [`Patience::send`], for an answer that may take so long after the last byte was sent.
    pub(super) async fn send_within<T, E, F>(
        &self,
        idle: Duration,
        mut make: impl FnMut(&Arc<Watch>) -> F,
    ) -> Outcome<T>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut pauses = self.pauses.iter();
        let mut in_doubt = false;
        let mut altered: Option<Refusal> = None;
        loop {
            let watch = Arc::new(Watch::new());
            let answer = tokio::select! {
                // The SDK's futures are of 16 kB.
                answer = Box::pin(make(&watch)) => answer.map_err(|error| Refusal::read(&error)),
                () = watch.rest(idle) => Err(Refusal::stalled(idle)),
            };
            let refusal = match answer {
                Ok(result) => {
                    return Outcome {
                        result: Ok(result),
                        in_doubt,
                    };
                }
                Err(refusal) => refusal,
            };
            let pause = pauses.next().filter(|_| refusal.kind.is_passing());
            let Some(pause) = pause else {
                // Some stores give an upload up when a part of it arrived altered: then that is why it is gone.
                let gone = refusal.kind == Kind::NoUpload;
                return Outcome {
                    result: Err(altered.filter(|_| gone).unwrap_or(refusal)),
                    in_doubt,
                };
            };
            in_doubt |= refusal.kind.leaves_doubt();
            let pause = refusal.retry_after.map_or(*pause, |asked| asked.max(*pause));
            tracing::debug!(?refusal, ?pause, "asking the store again");
            if refusal.kind == Kind::Altered {
                altered = Some(refusal);
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// When something moved last.
#[derive(Debug)]
pub(super) struct Watch {
    begun: Instant,
    moved: Mutex<Moved>,
}

#[derive(Debug, Clone, Copy)]
struct Moved {
    at: Instant,
    /// The last piece of the body was taken: by the system, which may hold megabytes of it for a slow line.
    all: bool,
}

impl Watch {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            moved: Mutex::new(Moved { at: now, all: false }),
        }
    }

    fn moved(&self) -> Moved {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece of the body was taken.
    fn tell(&self, all: bool) {
        let at = Instant::now();
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Moved { at, all };
    }

    /// When nothing will have moved for so long. What the system holds of a body goes out no slower than what went before, and is
    /// less than that; so it gets as long as that took.
    fn until(&self, idle: Duration) -> Instant {
        let Moved { at, all } = self.moved();
        at + if all { idle.max(at - self.begun) } else { idle }
    }

    /// Returns once nothing has moved for so long.
    async fn rest(&self, idle: Duration) {
        loop {
            let until = self.until(idle);
            tokio::time::sleep_until(until).await;
            if self.until(idle) <= until {
                return;
            }
        }
    }
}

/// Sends a body in small pieces, and tells the watch of each. The SDK signs it and takes its checksum before, as a whole.
#[derive(Debug)]
pub(super) struct InPieces {
    bytes: Bytes,
    watch: Arc<Watch>,
}

impl InPieces {
    /// For a request whose body is `bytes`.
    pub(super) fn new(bytes: &Bytes, watch: &Arc<Watch>) -> Self {
        Self {
            bytes: bytes.clone(),
            watch: Arc::clone(watch),
        }
    }
}

impl Intercept for InPieces {
    fn name(&self) -> &'static str {
        "InPieces"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *context.request_mut().body_mut() = SdkBody::from_body_1_x(Pieces {
            left: self.bytes.clone(),
            watch: Arc::clone(&self.watch),
        });
        Ok(())
    }
}

/// So small that a slow line takes one well within the time in which something must move.
const PIECE: usize = 64 * 1024;

struct Pieces {
    left: Bytes,
    watch: Arc<Watch>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let len = self.left.len().min(PIECE);
        let piece = self.left.split_to(len);
        self.watch.tell(self.left.is_empty());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_request_and_a_piece_of_the_body_is_none() {
        let watch = Watch::new();
        let begun = Instant::now();
        for _ in 0..3 {
            let moved = tokio::time::timeout(Duration::from_secs(50), watch.rest(IDLE)).await;
            assert!(moved.is_err(), "it was silent for 50 seconds only");
            watch.tell(false);
        }
        watch.rest(IDLE).await;
        assert_eq!(begun.elapsed().as_secs(), 150 + 60);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_system_holds_of_a_body_gets_as_long_as_what_went_before() {
        let watch = Watch::new();
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(30)).await;
            watch.tell(false);
        }
        watch.tell(true);
        let begun = Instant::now();
        watch.rest(IDLE).await;
        assert_eq!(begun.elapsed().as_secs(), 300);
    }
}
