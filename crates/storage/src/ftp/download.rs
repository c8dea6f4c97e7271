//! Reads one object, or a part of it, over FTP. A task of its own takes the bytes off the connection and gives the connection
//! back when they have all come, or when nobody wants them any more.
//!
//! At most [`QUEUE`] + 2 pieces of [`PIECE`] bytes are held.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::io::StreamReader;

use super::error::{Doing, Trouble};
use super::server::{Lease, Server};
use super::session::Transfer;
use crate::destination::Object;
use crate::exactly::Exactly;
use crate::patience::Silence;
use crate::{Error, ObjectPath};

/// The largest piece on its way to the reader.
const PIECE: usize = 128 * 1024;
/// Pieces on their way to the reader, at most.
const QUEUE: usize = 4;
/// The task says by itself that nothing comes; who reads waits this much longer.
const GRACE: Duration = Duration::from_secs(5);

/// Which bytes of a file are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) begin: u64,
    pub(super) len: u64,
    /// Whether the file ends with them.
    pub(super) to_the_end: bool,
}

/// Begins to read. The object is there, and has these bytes.
pub(super) async fn begin(server: &Arc<Server>, path: &ObjectPath, part: Part) -> Result<Object, Error> {
    let fail = |trouble| server.meaning(Doing::Reading, path.as_str(), trouble);
    let mut lease = server.lease().await?;
    let file = lease.path(path.as_str());
    let (transfer, skip) = match lease.begin_reading(&file, part.begin).await {
        Ok(transfer) => (transfer, 0),
        // It cannot begin in the middle.
        Err(Trouble::Refused { code: 500..=504, .. }) if part.begin > 0 => {
            let transfer = lease.begin_reading(&file, 0).await.map_err(fail)?;
            (transfer, part.begin)
        }
        Err(trouble) => return Err(fail(trouble)),
    };
    let idle = server.patience.idle;
    let (sender, receiver) = mpsc::channel(QUEUE);
    // It ends by itself: with the bytes, when nothing comes for too long, or when nobody listens.
    drop(tokio::spawn(pump(lease, transfer, skip, part, idle, sender)));
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    Ok(Object {
        len: part.len,
        body: Box::new(Exactly::new(
            StreamReader::new(pieces.boxed()),
            part.len,
            idle + GRACE,
        )),
    })
}

/// Takes the bytes off the connection.
async fn pump(
    mut lease: Lease,
    mut transfer: Transfer,
    mut skip: u64,
    part: Part,
    idle: Duration,
    sender: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut left = part.len;
    while left > 0 {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = tokio::select! {
            biased;
            () = sender.closed() => break,
            read = timeout(idle, transfer.read_buf(&mut piece)) => read,
        };
        let failure = match read {
            Ok(Ok(0)) => io::ErrorKind::UnexpectedEof.into(),
            Ok(Ok(_)) => {
                let skipped = usize::try_from(skip).map_or(piece.len(), |skip| skip.min(piece.len()));
                skip -= skipped as u64;
                let mut piece = piece.split_off(skipped).freeze();
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                left -= piece.len() as u64;
                if !piece.is_empty() && sender.send(Ok(piece)).await.is_err() {
                    break;
                }
                continue;
            }
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(
                io::ErrorKind::TimedOut,
                Silence {
                    what: "no byte came",
                    after: idle,
                },
            ),
        };
        // The connection is not used again; the reader hears why.
        let _ = sender.send(Err(failure)).await;
        return;
    }
    drop(sender);
    if left == 0 && part.to_the_end {
        // All bytes are there; what the server says of them changes nothing.
        let _ = lease.end_reading(transfer).await;
    } else {
        lease.cut(transfer).await;
    }
}
