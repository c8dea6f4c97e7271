//! The bytes' way to a server: a TCP or Unix socket, encrypted or not, behind one type for the driver. Knows nothing
//! of the protocol but what its very first byte may be.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::ChannelBinding;
use tokio_rustls::client::TlsStream;

/// A way to a server.
pub(crate) struct Wire {
    way: Way,
    /// Whether the server has said something that begins as PostgreSQL does.
    greeted: bool,
    /// How many more bytes may come.
    room: u64,
}

enum Way {
    /// Over TCP, in the clear.
    Tcp(TcpStream),
    /// Over a Unix socket.
    #[cfg(unix)]
    Socket(tokio::net::UnixStream),
    /// Over TCP, encrypted.
    Encrypted {
        /// The TLS session.
        stream: Box<TlsStream<TcpStream>>,
        /// What binds a login to this TLS session.
        binding: Option<Vec<u8>>,
    },
}

/// More came over a [`Wire`] than was to be read.
#[derive(Debug, thiserror::Error)]
#[error("more came than is read of an answer")]
pub(crate) struct TooMuch;

impl Wire {
    fn new(way: Way) -> Self {
        Self {
            way,
            greeted: false,
            room: u64::MAX,
        }
    }

    pub(crate) fn tcp(stream: TcpStream) -> Self {
        Self::new(Way::Tcp(stream))
    }

    #[cfg(unix)]
    pub(crate) fn socket(stream: tokio::net::UnixStream) -> Self {
        Self::new(Way::Socket(stream))
    }

    pub(crate) fn encrypted(stream: TlsStream<TcpStream>, binding: Option<Vec<u8>>) -> Self {
        Self::new(Way::Encrypted {
            stream: Box::new(stream),
            binding,
        })
    }

    /// The same, with no more to be read than this many bytes; what comes beyond is an error with [`TooMuch`] in it.
    pub(crate) fn limited(self, bytes: u64) -> Self {
        Self { room: bytes, ..self }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.way, Way::Encrypted { .. })
    }

    /// What the server presented as its own certificate, where there is TLS.
    pub(crate) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        match &self.way {
            Way::Encrypted { stream, .. } => stream.get_ref().1.peer_certificates()?.first(),
            _ => None,
        }
    }

    /// Looks at what was read after `before`.
    fn admit(&mut self, before: usize, buf: &ReadBuf<'_>) -> io::Result<()> {
        let Some(first) = buf.filled().get(before) else {
            return Ok(());
        };
        if !self.greeted && !is_greeting(*first) && !self.is_encrypted() {
            let text = format!("the server's first byte is {first:#04x}, which is not PostgreSQL's");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.greeted = true;
        let came = u64::try_from(buf.filled().len() - before).unwrap_or(u64::MAX);
        self.room = self
            .room
            .checked_sub(came)
            .ok_or_else(|| io::Error::other(TooMuch))?;
        Ok(())
    }
}

/// The first byte of a server's answer to a startup message: authentication, error, protocol negotiation or notice
/// (PostgreSQL manual, "Message Formats"). Anything else is another protocol, whose text the driver would take for the
/// length of a message and wait for.
fn is_greeting(first: u8) -> bool {
    matches!(first, b'R' | b'E' | b'v' | b'N')
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let before = buf.filled().len();
        let outcome = match &mut wire.way {
            Way::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(unix)]
            Way::Socket(stream) => Pin::new(stream).poll_read(cx, buf),
            Way::Encrypted { stream, .. } => Pin::new(stream).poll_read(cx, buf),
        };
        if let Err(error) = wire.admit(before, buf) {
            return Poll::Ready(Err(error));
        }
        outcome
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().way {
            Way::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(unix)]
            Way::Socket(stream) => Pin::new(stream).poll_write(cx, buf),
            Way::Encrypted { stream, .. } => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().way {
            Way::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(unix)]
            Way::Socket(stream) => Pin::new(stream).poll_flush(cx),
            Way::Encrypted { stream, .. } => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().way {
            Way::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(unix)]
            Way::Socket(stream) => Pin::new(stream).poll_shutdown(cx),
            Way::Encrypted { stream, .. } => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl tokio_postgres::tls::TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.way {
            Way::Encrypted {
                binding: Some(hash), ..
            } => ChannelBinding::tls_server_end_point(hash.clone()),
            _ => ChannelBinding::none(),
        }
    }
}
