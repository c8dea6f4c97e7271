//! The bytes of an object, as a stream that goes on after a connection breaks.

use std::io;
use std::ops::Range;

use aws_sdk_s3::config::ResponseChecksumValidation;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::stream;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use super::S3;
use super::refusal::{Kind, Refusal};
use crate::Error;
use crate::destination::Object;
use crate::error::chain;
use crate::upload::unless_cancelled;

/// How often in a row a body may break without a byte in between.
const MOST_BREAKS: u32 = 4;

/// Opens an object, or a range of it.
pub(super) async fn open(
    s3: &S3,
    path: &str,
    range: Option<Range<u64>>,
    cancel: &CancellationToken,
) -> Result<Object, Error> {
    let key = s3.key(path);
    let at = s3.at("reading", path);
    let start = range.as_ref().map_or(0, |range| range.start);
    if range.as_ref().is_some_and(|range| range.start >= range.end) {
        return match s3.head(&key).await {
            Ok(_) => Ok(nothing()),
            Err(refusal) => Err(refusal.into_error(&at)),
        };
    }
    let asked = range.as_ref().map(|range| (range.start, range.end));
    let first = match get(s3, &key, asked, None).await {
        Ok(first) => first,
        Err(refusal) if refusal.kind == Kind::OutsideObject => return Ok(nothing()),
        Err(refusal) => return Err(refusal.into_error(&at)),
    };
    let len = first
        .content_length
        .and_then(|len| u64::try_from(len).ok())
        .ok_or_else(|| failed(path, "the store does not say how long the object is"))?;
    // A store that knows no ranges sends the whole object.
    if range.is_some() && first.content_range.is_none() {
        return Err(failed(
            path,
            "the store does not know how to send a part of an object",
        ));
    }
    if range.is_some_and(|range| len > range.end - range.start) {
        return Err(failed(path, "the store sends more than it was asked for"));
    }
    let rest = Rest {
        s3: s3.clone(),
        path: path.to_owned(),
        key,
        etag: first.e_tag,
        body: Some(first.body),
        next: start,
        end: start + len,
        breaks: 0,
        cancel: cancel.clone(),
    };
    let pieces = stream::try_unfold(rest, |mut rest| async move {
        let piece = rest.piece().await.map_err(into_io)?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, rest)))
    });
    let body: Box<dyn AsyncRead + Send + Unpin> = Box::new(StreamReader::new(Box::pin(pieces)));
    Ok(Object { len, body })
}

fn nothing() -> Object {
    Object {
        len: 0,
        body: Box::new(tokio::io::empty()),
    }
}

fn failed(path: &str, why: &'static str) -> Error {
    Error::Failed {
        what: "reading",
        at: path.to_owned(),
        source: why.into(),
    }
}

/// Another object took the place of the one that is read.
fn replaced(path: &str) -> Error {
    Error::Corrupted {
        path: path.to_owned(),
        detail: "another object took its place while it was read".to_owned(),
    }
}

/// The error as a reader gets it: of a fitting kind, with ours inside.
fn into_io(error: Error) -> io::Error {
    let kind = match error {
        Error::Unreachable { .. } | Error::Busy { .. } => io::ErrorKind::ConnectionReset,
        Error::Corrupted { .. } => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// Asks for an object from a byte to before another. With an `etag`, for that object only, whatever lies there by now.
async fn get(
    s3: &S3,
    key: &str,
    range: Option<(u64, u64)>,
    etag: Option<&str>,
) -> Result<GetObjectOutput, Refusal> {
    let client = s3.client().await;
    s3.patience()
        .send(|_| {
            let asking = client
                .get_object()
                .bucket(s3.bucket())
                .key(key)
                .set_range(range.map(|(start, end)| format!("bytes={start}-{}", end - 1)))
                .set_if_match(etag.map(str::to_owned))
                .customize();
            match range {
                None => asking,
                // Some stores send the whole object's checksum along with a part of it.
                Some(_) => asking.config_override(
                    aws_sdk_s3::config::Builder::new()
                        .response_checksum_validation(ResponseChecksumValidation::WhenRequired),
                ),
            }
            .send()
        })
        .await
}

/// What is left to read.
struct Rest {
    s3: S3,
    path: String,
    key: String,
    etag: Option<String>,
    /// None after a break.
    body: Option<ByteStream>,
    next: u64,
    end: u64,
    breaks: u32,
    cancel: CancellationToken,
}

/// How far an attempt at the next piece came.
enum Step {
    Piece(Bytes),
    End,
    /// The connection broke: it may be taken up again.
    Broken(String),
}

impl Rest {
    /// The next piece; none at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let cancel = self.cancel.clone();
        unless_cancelled(&cancel, async {
            loop {
                let why = match self.step().await? {
                    Step::Piece(piece) => return Ok(Some(piece)),
                    Step::End => return Ok(None),
                    Step::Broken(why) => why,
                };
                self.body = None;
                self.breaks += 1;
                if self.breaks > MOST_BREAKS {
                    return Err(Error::Unreachable {
                        place: self.s3.shown().to_owned(),
                        source: why.into(),
                    });
                }
                tracing::debug!(path = %self.path, at = self.next, %why, "reading on after a break");
            }
        })
        .await
    }

    /// `If-Match` is what it was refused for, where it was refused for a condition.
    fn refused(&self, refusal: Refusal) -> Error {
        // Or for a range that the object that is there now does not have.
        if matches!(refusal.kind, Kind::Exists | Kind::OutsideObject) {
            return replaced(&self.path);
        }
        refusal.into_error(&self.s3.at("reading", &self.path))
    }

    async fn step(&mut self) -> Result<Step, Error> {
        if self.next == self.end {
            return Ok(Step::End);
        }
        let idle = self.s3.patience().idle;
        let body = match &mut self.body {
            Some(body) => body,
            None => {
                let range = Some((self.next, self.end));
                let again = get(&self.s3, &self.key, range, self.etag.as_deref()).await;
                let again = again.map_err(|refusal| self.refused(refusal))?;
                // Not every store heeds the condition.
                if again.e_tag != self.etag {
                    return Err(replaced(&self.path));
                }
                self.body.insert(again.body)
            }
        };
        let piece = match tokio::time::timeout(idle, body.try_next()).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => return Ok(Step::Broken("the object's bytes ended early".to_owned())),
            Ok(Err(error)) => return Ok(Step::Broken(chain(&error))),
            Err(_) => {
                return Ok(Step::Broken(format!(
                    "no byte came for {} seconds",
                    idle.as_secs()
                )));
            }
        };
        self.next += piece.len() as u64;
        self.breaks = 0;
        if self.next > self.end {
            return Err(failed(&self.path, "the store sent more than it said"));
        }
        if self.next == self.end {
            // After the last byte the SDK compares the checksum, where the store keeps one. Nobody gets that byte before.
            if let Ok(Err(error)) = tokio::time::timeout(idle, body.try_next()).await {
                return Err(Error::Corrupted {
                    path: self.path.clone(),
                    detail: chain(&error),
                });
            }
        }
        Ok(Step::Piece(piece))
    }
}
