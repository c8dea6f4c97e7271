//! A stream that can be cut from outside: reading and writing fail from then on.
//!
//! The library's task of a session ends by itself only when it gets to look whether anybody still needs it; one that waits for
//! a key exchange, or for a server that takes nothing, does not. Cutting its stream always ends it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A stream until its token is cancelled.
pub(crate) struct Cut<S> {
    stream: S,
    read: Pin<Box<WaitForCancellationFutureOwned>>,
    write: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Cut<S> {
    pub(crate) fn new(stream: S, token: &CancellationToken) -> Self {
        Self {
            stream,
            read: Box::pin(token.clone().cancelled_owned()),
            write: Box::pin(token.clone().cancelled_owned()),
        }
    }

    fn poll_write_side(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        use std::future::Future as _;
        match self.write.as_mut().poll(cx) {
            Poll::Ready(()) => Err(cut()),
            Poll::Pending => Ok(()),
        }
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the session was closed")
}

impl<S: AsyncRead + Unpin> AsyncRead for Cut<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        use std::future::Future as _;
        if self.read.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cut<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_side(cx)?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_side(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn cutting_ends_a_read_and_a_write_that_wait() {
        let (near, _far) = tokio::io::duplex(4);
        let token = CancellationToken::new();
        let (mut reader, mut writer) = tokio::io::split(Cut::new(near, &token));
        let read = async { reader.read_u8().await.unwrap_err().kind() };
        let write = async { writer.write_all(&[0; 64]).await.unwrap_err().kind() };
        let cut = async {
            tokio::task::yield_now().await;
            token.cancel();
        };
        let (read, write, ()) = tokio::join!(read, write, cut);
        assert_eq!([read, write], [io::ErrorKind::ConnectionAborted; 2]);
    }
}
