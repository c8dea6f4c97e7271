//! The bytes between here and a mail server, as lettre reads and writes them.
//!
//! lettre has TLS of its own, which trusts authorities but no single certificate. So the connection is made here, and lettre
//! speaks SMTP over what it is handed: first the bare connection, and after STARTTLS, anew, the encrypted one. Nothing that came
//! before TLS is read after it, since whatever lettre had read ahead goes with the first conversation.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a server may say in one conversation. A line without an end would otherwise be read for as long as time allows.
const HEARD_LIMIT: usize = 1 << 20;
/// A server greets once, on the bare connection; lettre waits for it on the encrypted one too.
const GREETED: &[u8] = b"220 encrypted\r\n";

/// One conversation's stream. Its clones are the same stream.
pub(super) struct Wire<S> {
    stream: Arc<Mutex<S>>,
    ended: Arc<AtomicBool>,
    peer: SocketAddr,
    greeting: &'static [u8],
    left: usize,
}

impl<S> Wire<S> {
    /// A stream on which the server is about to greet.
    pub(super) fn new(stream: S, peer: SocketAddr) -> Self {
        Self {
            stream: Arc::new(Mutex::new(stream)),
            ended: Arc::new(AtomicBool::new(false)),
            peer,
            greeting: b"",
            left: HEARD_LIMIT,
        }
    }

    /// A stream on which it does not, because it has.
    pub(super) fn greeted(stream: S, peer: SocketAddr) -> Self {
        Self {
            greeting: GREETED,
            ..Self::new(stream, peer)
        }
    }

    /// A second handle.
    pub(super) fn share(&self) -> Self {
        Self {
            stream: Arc::clone(&self.stream),
            ended: Arc::clone(&self.ended),
            peer: self.peer,
            greeting: b"",
            left: 0,
        }
    }

    /// Whether the server has closed the connection.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// The stream itself, once no other handle is left.
    pub(super) fn into_inner(self) -> Option<S> {
        Arc::into_inner(self.stream).map(|stream| stream.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.greeting.is_empty() {
            let (now, later) = self
                .greeting
                .split_at(self.greeting.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.greeting = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        {
            let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
            ready!(Pin::new(&mut *stream).poll_read(context, buffer))?;
        }
        let heard = &mut buffer.filled_mut()[before..];
        if heard.is_empty() {
            self.ended.store(true, Ordering::Relaxed);
        }
        // lettre takes a text in another encoding for a broken connection, though all that matters is its number.
        if std::str::from_utf8(heard).is_err() {
            heard
                .iter_mut()
                .filter(|byte| !byte.is_ascii())
                .for_each(|byte| *byte = b'?');
        }
        let heard = heard.len();
        match self.left.checked_sub(heard) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => {
                buffer.set_filled(before);
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it says more than a mail server has to say",
                )))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> AsyncTokioStream for Wire<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 25);

    #[tokio::test]
    async fn an_answer_in_another_encoding_is_still_read() {
        let (near, mut far) = tokio::io::duplex(1000);
        far.write_all(b"550 Empf\xe4nger unbekannt\r\n").await.unwrap();
        drop(far);
        let mut heard = String::new();
        Wire::greeted(near, PEER)
            .read_to_string(&mut heard)
            .await
            .unwrap();
        assert_eq!(heard, "220 encrypted\r\n550 Empf?nger unbekannt\r\n");
    }

    #[tokio::test]
    async fn a_server_that_never_ends_its_line_is_cut_off() {
        let mut wire = Wire::new(tokio::io::repeat(b'2'), PEER);
        let mut heard = Vec::new();
        let error = wire.read_to_end(&mut heard).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(heard.len() <= HEARD_LIMIT, "{}", heard.len());
    }
}
