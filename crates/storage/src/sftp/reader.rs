//! An object's bytes from an SFTP server: many requests under way, answers handed on in order. A file that ends before its
//! length is an error, never a short read.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use russh_sftp::protocol::{OpenFlags, StatusCode};
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::connection::{Connection, Kind, OpenFile};
use super::errors::Trouble;
use crate::destination::Object;
use crate::{Error, ObjectPath};

/// Requests under way, each for one piece.
const AHEAD: usize = 16;

/// Opens an object, or a range of it.
pub(super) async fn open(
    shared: &Shared,
    connection: &Arc<Connection>,
    path: &ObjectPath,
    range: Option<Range<u64>>,
    cancel: CancellationToken,
) -> Result<Object, Error> {
    let at = connection.at(Some(path));
    let not_found = || Error::NotFound {
        path: path.to_string(),
    };
    let file = match connection.open_file(&at, OpenFlags::READ).await {
        Ok(file) => file,
        Err(trouble) if trouble.is(StatusCode::NoSuchFile) => {
            shared.demand_root(connection).await?;
            return Err(not_found());
        }
        Err(trouble) => {
            // Some servers open folders, some have no word for why they do not.
            if let Ok(Some((Kind::Folder | Kind::Other, _))) = connection.stat(&at).await {
                return Err(not_found());
            }
            return Err(trouble.reading(&shared.place, &at));
        }
    };
    let (kind, len) = file
        .stat()
        .await
        .map_err(|trouble| trouble.reading(&shared.place, &at))?;
    if kind != Kind::File {
        return Err(not_found());
    }
    let range = range.unwrap_or(0..len);
    let start = range.start.min(len);
    let end = range.end.min(len).max(start);
    let file = Arc::new(file);
    let size = connection.piece() as u64;
    let pieces = (start..end)
        .step_by(connection.piece())
        .map(move |from| from..(from + size).min(end));
    let bodies = stream::iter(pieces)
        .map(move |piece| {
            let (file, cancel) = (Arc::clone(&file), cancel.clone());
            async move {
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => Err(io::Error::other(Error::Cancelled)),
                    bytes = whole(&file, piece) => bytes,
                }
            }
        })
        .buffered(AHEAD);
    Ok(Object {
        len: end - start,
        body: Box::new(StreamReader::new(Box::pin(bodies))),
    })
}

/// Reads all of a piece: servers may answer with less than was asked for.
async fn whole(file: &OpenFile, piece: Range<u64>) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let mut at = piece.start;
    while at < piece.end {
        let wanted = u32::try_from(piece.end - at).unwrap_or(u32::MAX);
        let some = file.read(at, wanted).await.map_err(broken)?;
        if some.is_empty() || some.len() > wanted as usize {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file ended after {at} bytes"),
            ));
        }
        at += some.len() as u64;
        if bytes.is_empty() {
            bytes = some;
        } else {
            bytes.extend_from_slice(&some);
        }
    }
    Ok(bytes.into())
}

fn broken(trouble: Trouble) -> io::Error {
    match trouble {
        Trouble::Lost(how) => io::Error::new(io::ErrorKind::ConnectionAborted, how),
        Trouble::Said(status) => {
            io::Error::other(format!("{}: {}", status.status_code, status.error_message))
        }
    }
}
