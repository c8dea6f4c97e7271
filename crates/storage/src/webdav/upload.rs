//! Writes one object over WebDAV: under a name of its own, its size checked, then moved to its place.
//!
//! Up to [`SMALL`] bytes are kept back and sent in one request that tells its length, which every server takes and which can
//! be repeated. What is longer is sent as it comes, in a request whose length is not told (HTTP/1.1 calls it chunked), over a
//! connection of its own. At most [`SMALL`] and [`QUEUE`] × [`PIECE`] bytes (18 MiB) are held.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use futures_util::stream;
use reqwest::Body;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::client::{Client, UNFINISHED};
use super::remove_empty_folders;
use crate::destination::Stored;
use crate::upload::Upload;
use crate::{Error, ObjectPath};

/// Objects up to this length are sent in one piece.
const SMALL: usize = 16 * 1024 * 1024;
/// The largest piece on its way to the connection.
const PIECE: usize = 512 * 1024;
/// Pieces on their way to the connection, at most.
const QUEUE: usize = 4;
/// When the leavings are looked for again: a server may notice late that an upload was cut, keep the file locked until then,
/// and only then put down the rest.
const LOOK_AGAIN: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// One object on its way.
pub(super) struct WebdavUpload {
    client: Arc<Client>,
    object: ObjectPath,
    unfinished: String,
    state: State,
}

enum State {
    /// Bytes that are kept back.
    Small(BytesMut),
    /// A request that is under way.
    Streaming(Streaming),
    /// The request has ended.
    Sent,
}

struct Streaming {
    body: mpsc::Sender<Bytes>,
    answer: AbortOnDropHandle<Result<(), Error>>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    /// Bytes that the connection has taken.
    sent: AtomicU64,
    /// Whether the bytes that were handed over are all.
    whole: AtomicBool,
}

/// The body of the request. One that was given up breaks off, so that the server does not take it for the whole.
async fn next_piece(
    (mut pieces, progress): (mpsc::Receiver<Bytes>, Arc<Progress>),
) -> Option<(io::Result<Bytes>, (mpsc::Receiver<Bytes>, Arc<Progress>))> {
    let piece = match pieces.recv().await {
        Some(piece) => {
            progress.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok(piece)
        }
        None if progress.whole.load(Ordering::Acquire) => return None,
        None => Err(io::Error::other("the upload was given up")),
    };
    Some((piece, (pieces, progress)))
}

impl WebdavUpload {
    pub(super) fn new(client: Arc<Client>, object: ObjectPath) -> Self {
        let unfinished = format!("{object}{UNFINISHED}");
        Self {
            client,
            object,
            unfinished,
            state: State::Small(BytesMut::new()),
        }
    }

    /// Begins the request whose length is not told.
    async fn begin(&mut self) -> Result<(), Error> {
        // Somebody may have removed the folder, empty as it was, since the object was begun.
        self.client.make_parents(&self.object).await?;
        let (body, pieces) = mpsc::channel::<Bytes>(QUEUE);
        let progress = Arc::new(Progress::default());
        let pieces = stream::unfold((pieces, Arc::clone(&progress)), next_piece);
        let answer = tokio::spawn({
            let client = Arc::clone(&self.client);
            let path = self.unfinished.clone();
            let progress = Arc::clone(&progress);
            async move {
                let sent = || progress.sent.load(Ordering::Relaxed);
                client.put_stream(&path, Body::wrap_stream(pieces), sent).await
            }
        });
        let State::Small(kept) = std::mem::replace(
            &mut self.state,
            State::Streaming(Streaming {
                body,
                answer: AbortOnDropHandle::new(answer),
                progress,
            }),
        ) else {
            return Ok(());
        };
        self.send(kept.freeze()).await
    }

    /// Hands bytes to the request that is under way.
    async fn send(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        let State::Streaming(streaming) = &mut self.state else {
            return Err(self.ended_early());
        };
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            let idle = self.client.patience.idle;
            match tokio::time::timeout(idle, streaming.body.send(piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    let answer = (&mut streaming.answer).await;
                    let sent = streaming.progress.sent.load(Ordering::Relaxed);
                    return Err(match answer {
                        Ok(Err(error)) => error,
                        Ok(Ok(())) | Err(_) => Error::Failed {
                            what: "writing",
                            at: self.object.to_string(),
                            source: format!("the server ended the upload after {sent} bytes").into(),
                        },
                    });
                }
                Err(_) => return Err(self.client.silent("no byte was taken", idle)),
            }
        }
        Ok(())
    }

    fn ended_early(&self) -> Error {
        Error::Failed {
            what: "writing",
            at: self.object.to_string(),
            source: "the upload has ended".into(),
        }
    }

    /// Sends what is left to send, and waits until the server has it all.
    async fn send_all(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.state, State::Sent) {
            State::Small(kept) => {
                let bytes = kept.freeze();
                let checksum = HEXLOWER.encode(&Sha256::digest(&bytes));
                let client = &self.client;
                let put = || client.put(&self.unfinished, bytes.clone(), &checksum);
                match client.patience.retrying(put).await {
                    // Mostly the folder is not there any more: somebody removed it, empty as it was.
                    Err(Error::Failed { .. }) => {
                        client.make_parents(&self.object).await?;
                        client.patience.retrying(put).await
                    }
                    result => result,
                }
            }
            State::Streaming(streaming) => {
                let Streaming {
                    body,
                    answer,
                    progress,
                } = streaming;
                progress.whole.store(true, Ordering::Release);
                drop(body);
                let settle = self.client.patience.settle;
                match tokio::time::timeout(settle, answer).await {
                    Ok(Ok(result)) => result,
                    Ok(Err(_)) => Err(self.ended_early()),
                    Err(_) => Err(self.client.silent("no answer to the upload", settle)),
                }
            }
            State::Sent => Err(self.ended_early()),
        }
    }

    /// Whether a move whose answer was lost was made all the same.
    async fn was_moved(&self, len: u64) -> Result<bool, Error> {
        Ok(self.client.file_len(&self.unfinished).await?.is_none()
            && self.client.file_len(self.object.as_str()).await? == Some(len))
    }

    /// Moves the object to its place, where nothing is.
    async fn move_to_its_place(&self, len: u64) -> Result<(), Error> {
        // Not every server honours `Overwrite: F`.
        if self.client.file_len(self.object.as_str()).await?.is_some() {
            return Err(Error::AlreadyExists {
                path: self.object.to_string(),
            });
        }
        let place = self.object.as_str();
        let mut pauses = self.client.patience.pauses.iter();
        loop {
            match self.client.rename(&self.unfinished, place, false).await {
                Ok(()) => return Ok(()),
                Err(error @ (Error::Unreachable { .. } | Error::Busy { .. })) => {
                    let Some(pause) = pauses.next() else {
                        return Err(error);
                    };
                    tokio::time::sleep(*pause).await;
                    if self.was_moved(len).await? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[async_trait]
impl Upload for WebdavUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        if let State::Small(kept) = &mut self.state {
            if kept.len() + bytes.len() <= SMALL {
                kept.extend_from_slice(&bytes);
                return Ok(());
            }
            self.begin().await?;
        }
        self.send(bytes).await
    }

    async fn complete(&mut self, len: u64) -> Result<Stored, Error> {
        let length_told = matches!(self.state, State::Small(_));
        self.send_all().await?;
        match self.client.file_len(&self.unfinished).await? {
            Some(found) if found == len => {}
            // Some web servers hand no body of untold length to the program behind them, and say that all went well.
            Some(0) if !length_told => {
                return Err(Error::Failed {
                    what: "writing",
                    at: self.object.to_string(),
                    source: "the server kept nothing of an upload whose length is not told beforehand: allow chunked \
                             requests on it or on the proxy before it"
                        .into(),
                });
            }
            found => {
                return Err(Error::WrongSize {
                    path: self.object.to_string(),
                    expected: len,
                    found: found.unwrap_or_default(),
                });
            }
        }
        self.move_to_its_place(len).await?;
        Ok(Stored { len, checksum: None })
    }

    async fn abandon(&mut self) {
        let was_sent = !matches!(self.state, State::Small(_));
        self.state = State::Sent;
        if was_sent {
            let mut gone = 0;
            for pause in LOOK_AGAIN {
                match self.client.remove(&self.unfinished, false).await {
                    Ok(true) | Err(Error::Busy { .. }) => gone = 0,
                    Ok(false) => gone += 1,
                    // A server that is away keeps it until the folder is removed.
                    Err(_) => return,
                }
                if gone == 3 {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
        }
        remove_empty_folders(&self.client, self.object.parent()).await;
    }
}
