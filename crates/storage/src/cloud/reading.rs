//! An object's bytes, as they come. A connection that breaks in the middle is made anew from there on, a few times; where that
//! does not help, reading ends with an error and never early.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use opendal::{Buffer, BufferStream};
use tokio::time::sleep;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::destination::Object;
use crate::{Error, ObjectPath};

/// A body in the middle of being read.
struct Reading {
    shared: Arc<Shared>,
    path: ObjectPath,
    /// What is still to come.
    rest: Range<u64>,
    source: Option<BufferStream>,
    /// How often the connection may still break without a byte in between.
    left: u32,
    cancel: CancellationToken,
}

/// Opens the bytes `range` of an object, which are all there.
pub(super) async fn open(
    shared: Arc<Shared>,
    path: ObjectPath,
    range: Range<u64>,
    cancel: CancellationToken,
) -> Result<Object, Error> {
    let len = range.end - range.start;
    let left = shared.wire.patience().attempts;
    let mut reading = Reading {
        shared,
        path,
        rest: range,
        source: None,
        left,
        cancel,
    };
    // The first piece shows whether it can be read at all.
    let first = reading.next().await?;
    let others = stream::try_unfold(reading, |mut reading| async move {
        match reading.next().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, reading))),
            Err(error) => Err(told(error)),
        }
    });
    let pieces = stream::iter(first.map(Ok)).chain(others);
    Ok(Object {
        len,
        body: Box::new(StreamReader::new(Box::pin(pieces))),
    })
}

impl Reading {
    /// The next piece; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let cancel = self.cancel.clone();
            let piece = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Error::Cancelled),
                piece = self.piece() => piece,
            };
            let error = match piece {
                Ok(Some(piece)) if piece.len() as u64 <= self.rest.end - self.rest.start => {
                    self.rest.start += piece.len() as u64;
                    self.left = self.shared.wire.patience().attempts;
                    return Ok(Some(piece.to_bytes()));
                }
                Ok(_) => Error::Unreachable {
                    place: self.shared.name.clone(),
                    source: format!(
                        "the answer ended {} bytes from its end",
                        self.rest.end - self.rest.start
                    )
                    .into(),
                },
                Err(error) => self.shared.doing("reading", self.path.as_str()).failed(&error),
            };
            self.source = None;
            self.left = self.left.saturating_sub(1);
            if self.left == 0 || !matches!(error, Error::Unreachable { .. }) {
                return Err(error);
            }
            sleep(self.shared.wire.patience().pause).await;
        }
    }

    async fn piece(&mut self) -> opendal::Result<Option<Buffer>> {
        let source = match &mut self.source {
            Some(source) => source,
            none => {
                let key = format!("{}{}", self.shared.prefix, self.path);
                let reader = self.shared.operator.reader(&key).await?;
                none.insert(reader.into_stream(self.rest.clone()).await?)
            }
        };
        // An empty piece means nothing, and an empty stream the end.
        loop {
            match source.try_next().await? {
                Some(piece) if piece.is_empty() => {}
                piece => return Ok(piece),
            }
        }
    }
}

/// The error as a reader tells it. What it was stays inside. (A cancelled one is not `Interrupted`: readers take that as a
/// reason to go on.)
fn told(error: Error) -> io::Error {
    let kind = match &error {
        Error::Unreachable { .. } | Error::Busy { .. } => io::ErrorKind::ConnectionAborted,
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
