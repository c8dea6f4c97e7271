//! HTTP/1.1 messages as they lie on the wire: heads, and bodies piece by piece. Nothing is changed in them.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::OwnedReadHalf;

use super::Seen;

/// Longer than any head a test sends.
const LONGEST_HEAD: usize = 256 * 1024;
const MOST_HEADERS: usize = 128;
/// The most bytes of a body that are held.
const PIECE: usize = 64 * 1024;

/// One direction of a connection, with what was read of it and not yet used.
pub(super) struct Incoming {
    half: OwnedReadHalf,
    buffer: BytesMut,
}

impl Incoming {
    pub(super) fn new(half: OwnedReadHalf) -> Self {
        Self {
            half,
            buffer: BytesMut::with_capacity(PIECE),
        }
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(PIECE);
        Ok(self.half.read_buf(&mut self.buffer).await? > 0)
    }

    /// Everything up to and with the next `end`; none where the connection ends before its first byte.
    async fn up_to(&mut self, end: &[u8]) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Ok(Some(self.buffer.split_to(at + end.len()).freeze()));
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err(wrong("a head or a line of it is too long"));
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    async fn line(&mut self) -> io::Result<Bytes> {
        self.up_to(b"\r\n")
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    /// At most `most` bytes; none at the end of the connection.
    async fn some(&mut self, most: u64) -> io::Result<Option<Bytes>> {
        if self.buffer.is_empty() && !self.fill().await? {
            return Ok(None);
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let len = self.buffer.len().min(most);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }

    /// The next head, with the empty line that ends it; none where no further message comes.
    pub(super) async fn head(&mut self) -> io::Result<Option<Bytes>> {
        self.up_to(b"\r\n\r\n").await
    }
}

/// A request's head.
pub(super) struct RequestHead {
    pub(super) seen: Seen,
    pub(super) body: Body,
    /// It waits for `100 Continue` before it sends its body.
    pub(super) waits: bool,
    pub(super) keeps_alive: bool,
}

impl RequestHead {
    pub(super) fn parse(head: &[u8]) -> io::Result<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(head).map_err(wrong)?;
        let seen = Seen {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            headers: owned(request.headers),
        };
        let keeps_alive = keeps_alive(request.version, &seen.headers);
        let body = Body::of(&seen.headers)?.unwrap_or(Body::Length(0));
        let waits = says(&seen.headers, "expect", "100-continue");
        Ok(Self {
            seen,
            body,
            waits,
            keeps_alive,
        })
    }
}

/// An answer's head.
pub(super) struct AnswerHead {
    pub(super) status: u16,
    pub(super) body: Body,
    pub(super) keeps_alive: bool,
}

impl AnswerHead {
    /// `method` is the request's: it decides whether there is a body (RFC 9112, section 6.3).
    pub(super) fn parse(head: &[u8], method: &str) -> io::Result<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        answer.parse(head).map_err(wrong)?;
        let status = answer.code.unwrap_or_default();
        let headers = owned(answer.headers);
        let body = if method.eq_ignore_ascii_case("HEAD") || matches!(status, 100..=199 | 204 | 304) {
            Body::Length(0)
        } else {
            Body::of(&headers)?.unwrap_or(Body::UntilClose)
        };
        let keeps_alive = keeps_alive(answer.version, &headers) && !matches!(body, Body::UntilClose);
        Ok(Self {
            status,
            body,
            keeps_alive,
        })
    }
}

/// What is left of a body, by its framing.
pub(super) enum Body {
    Length(u64),
    Chunked(Chunk),
    UntilClose,
}

/// Where in a chunked body we are.
pub(super) enum Chunk {
    Size,
    Data(u64),
    End,
    Trailer,
    Done,
}

/// Bytes of a body as they lie on the wire.
pub(super) enum Piece {
    /// The body itself.
    Payload(Bytes),
    /// Sizes of chunks, and what follows the last.
    Framing(Bytes),
}

impl Body {
    /// None where the headers name no framing.
    fn of(headers: &[(String, String)]) -> io::Result<Option<Self>> {
        if says(headers, "transfer-encoding", "chunked") {
            return Ok(Some(Self::Chunked(Chunk::Size)));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        match length {
            Some((_, text)) => text
                .trim()
                .parse()
                .map(|length| Some(Self::Length(length)))
                .map_err(wrong),
            None => Ok(None),
        }
    }

    /// The next piece; none at the body's end.
    pub(super) async fn next(&mut self, from: &mut Incoming) -> io::Result<Option<Piece>> {
        match self {
            Self::Length(0) => Ok(None),
            Self::Length(left) => {
                let bytes = from.some(*left).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
                *left -= bytes.len() as u64;
                Ok(Some(Piece::Payload(bytes)))
            }
            Self::UntilClose => Ok(from.some(u64::MAX).await?.map(Piece::Payload)),
            Self::Chunked(chunk) => chunk.next(from).await,
        }
    }
}

impl Chunk {
    async fn next(&mut self, from: &mut Incoming) -> io::Result<Option<Piece>> {
        match self {
            Self::Done => Ok(None),
            Self::Size => {
                let line = from.line().await?;
                let text = String::from_utf8_lossy(&line);
                let size = text.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16).map_err(wrong)?;
                *self = if size == 0 {
                    Self::Trailer
                } else {
                    Self::Data(size)
                };
                Ok(Some(Piece::Framing(line)))
            }
            Self::Data(left) => {
                let bytes = from.some(*left).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
                *left -= bytes.len() as u64;
                if *left == 0 {
                    *self = Self::End;
                }
                Ok(Some(Piece::Payload(bytes)))
            }
            Self::End => {
                let line = from.line().await?;
                *self = Self::Size;
                Ok(Some(Piece::Framing(line)))
            }
            Self::Trailer => {
                let line = from.line().await?;
                if line.len() == 2 {
                    *self = Self::Done;
                }
                Ok(Some(Piece::Framing(line)))
            }
        }
    }
}

fn owned(headers: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|header| {
            (
                header.name.to_ascii_lowercase(),
                String::from_utf8_lossy(header.value).into_owned(),
            )
        })
        .collect()
}

/// Whether a header holds a word, among others or alone.
fn says(headers: &[(String, String)], name: &str, word: &str) -> bool {
    headers
        .iter()
        .filter(|(known, _)| known == name)
        .flat_map(|(_, value)| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(word))
}

fn keeps_alive(version: Option<u8>, headers: &[(String, String)]) -> bool {
    if version == Some(0) {
        says(headers, "connection", "keep-alive")
    } else {
        !says(headers, "connection", "close")
    }
}

fn wrong(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
