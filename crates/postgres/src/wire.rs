//! The bytes' way to a server: a TCP or Unix socket, encrypted or not, behind one type for the driver. Knows nothing
//! of the protocol but what its very first byte may be.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::ChannelBinding;
use tokio_rustls::client::TlsStream;

/// A way to a server.
pub(crate) enum Wire {
    /// Over TCP, in the clear.
    Tcp {
        /// The socket.
        stream: TcpStream,
        /// Whether the server has said something that begins as PostgreSQL does.
        greeted: bool,
    },
    /// Over a Unix socket.
    #[cfg(unix)]
    Socket {
        /// The socket.
        stream: tokio::net::UnixStream,
        /// Whether the server has said something that begins as PostgreSQL does.
        greeted: bool,
    },
    /// Over TCP, encrypted.
    Encrypted {
        /// The TLS session.
        stream: Box<TlsStream<TcpStream>>,
        /// What binds a login to this TLS session.
        binding: Option<Vec<u8>>,
    },
}

impl Wire {
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        Self::Tcp {
            stream,
            greeted: false,
        }
    }

    #[cfg(unix)]
    pub(crate) fn socket(stream: tokio::net::UnixStream) -> Self {
        Self::Socket {
            stream,
            greeted: false,
        }
    }

    pub(crate) fn encrypted(stream: TlsStream<TcpStream>, binding: Option<Vec<u8>>) -> Self {
        Self::Encrypted {
            stream: Box::new(stream),
            binding,
        }
    }
}

/// The first byte of a server's answer to a startup message: authentication, error, protocol negotiation or notice
/// (PostgreSQL manual, "Message Formats"). Anything else is another protocol, whose text the driver would take for the
/// length of a message and wait for.
fn is_greeting(first: u8) -> bool {
    matches!(first, b'R' | b'E' | b'v' | b'N')
}

fn read_greeting<S: AsyncRead + Unpin>(
    stream: &mut S,
    greeted: &mut bool,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buf.filled().len();
    let outcome = Pin::new(stream).poll_read(cx, buf);
    if !*greeted && let Some(first) = buf.filled().get(before) {
        if !is_greeting(*first) {
            let text = format!("the server's first byte is {first:#04x}, which is not PostgreSQL's");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        *greeted = true;
    }
    outcome
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp { stream, greeted } => read_greeting(stream, greeted, cx, buf),
            #[cfg(unix)]
            Self::Socket { stream, greeted } => read_greeting(stream, greeted, cx, buf),
            Self::Encrypted { stream, .. } => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp { stream, .. } => Pin::new(stream).poll_write(cx, buf),
            #[cfg(unix)]
            Self::Socket { stream, .. } => Pin::new(stream).poll_write(cx, buf),
            Self::Encrypted { stream, .. } => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp { stream, .. } => Pin::new(stream).poll_flush(cx),
            #[cfg(unix)]
            Self::Socket { stream, .. } => Pin::new(stream).poll_flush(cx),
            Self::Encrypted { stream, .. } => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            #[cfg(unix)]
            Self::Socket { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            Self::Encrypted { stream, .. } => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl tokio_postgres::tls::TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Self::Encrypted {
                binding: Some(hash), ..
            } => ChannelBinding::tls_server_end_point(hash.clone()),
            _ => ChannelBinding::none(),
        }
    }
}
