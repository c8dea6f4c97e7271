//! A body of known length: one that ends early is an error and never a short read, and one that stops is not waited for
//! without end. It knows no protocol.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf, Take};
use tokio::time::Sleep;

use crate::patience::Silence;

/// Reads exactly so many bytes of another reader; what it has beyond them is left there.
pub(crate) struct Exactly<R> {
    inner: Take<R>,
    idle: Duration,
    /// Runs while the inner reader has nothing.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<R: AsyncRead + Unpin> Exactly<R> {
    /// The next `len` bytes of `inner`, of which one must come every `idle`.
    pub(crate) fn new(inner: R, len: u64, idle: Duration) -> Self {
        Self {
            inner: inner.take(len),
            idle,
            alarm: None,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Exactly<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.inner.limit() == 0 || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() == before => {
                let missing = self.inner.limit();
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the connection ended {missing} bytes early"),
                )))
            }
            Poll::Ready(result) => {
                self.alarm = None;
                Poll::Ready(result)
            }
            Poll::Pending => {
                let idle = self.idle;
                let alarm = self
                    .alarm
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                alarm.as_mut().poll(cx).map(|()| {
                    Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        Silence {
                            what: "no byte came",
                            after: idle,
                        },
                    ))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_bytes_come_and_no_more_than_asked_for() {
        let mut bytes = Vec::new();
        Exactly::new(&b"0123456789"[..], 4, IDLE)
            .read_to_end(&mut bytes)
            .await
            .unwrap();
        assert_eq!(bytes, b"0123");
    }

    #[tokio::test]
    async fn a_body_that_ends_early_is_an_error() {
        let error = Exactly::new(&b"0123456789"[..], 11, IDLE)
            .read_to_end(&mut Vec::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_not_waited_for_without_end() {
        let (mut sender, receiver) = tokio::io::duplex(64);
        let mut body = Exactly::new(receiver, 100, IDLE);
        let mut first = [0; 5];
        tokio::io::AsyncWriteExt::write_all(&mut sender, b"hello")
            .await
            .unwrap();
        body.read_exact(&mut first).await.unwrap();
        let error = body.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
