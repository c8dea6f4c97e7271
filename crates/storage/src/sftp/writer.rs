//! One object on its way to an SFTP server: written under a temporary name with many requests under way, brought to the disk,
//! checked, renamed.
//!
//! At most [`WINDOW`] bytes wait for an answer, and one piece is being gathered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use russh_sftp::protocol::{OpenFlags, StatusCode};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::connection::{Connection, Kind, OpenFile};
use super::errors::{Trouble, no_folder};
use crate::destination::Stored;
use crate::path::TEMPORARY;
use crate::upload::{CLEANUP_PATIENCE, Upload};
use crate::{Error, ObjectPath};

/// Bytes that wait for an answer, at most.
const WINDOW: usize = 4 * 1024 * 1024;

/// How long a file that is to be removed may take to be closed; then its connection counts as dead.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);

/// How often a folder is made anew that somebody removes at the same time, because it was empty.
const ATTEMPTS: usize = 3;

/// An object's temporary file, and where it is to go.
pub(super) struct SftpUpload {
    shared: Arc<Shared>,
    path: ObjectPath,
    file: Option<Arc<OpenFile>>,
    gathered: Vec<u8>,
    /// Where the next piece goes.
    offset: u64,
    /// Bytes that the server has taken.
    taken: u64,
    waiting: usize,
    under_way: FuturesUnordered<BoxFuture<'static, (usize, Result<(), Trouble>)>>,
}

impl SftpUpload {
    /// Makes the folders on the way and opens the temporary file.
    pub(super) async fn open(
        shared: Arc<Shared>,
        connection: &Arc<Connection>,
        path: &ObjectPath,
    ) -> Result<Self, Error> {
        let place = shared.place.as_str();
        let target = connection.at(Some(path));
        let looked = connection.stat(&target).await;
        if looked
            .map_err(|trouble| trouble.reading(place, &target))?
            .is_some()
        {
            return Err(Error::AlreadyExists {
                path: path.to_string(),
            });
        }
        let temporary = format!("{target}{TEMPORARY}");
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let mut attempt = 0;
        let file = loop {
            match connection.open_file(&temporary, flags).await {
                Ok(file) => break file,
                Err(trouble) if trouble.is(StatusCode::NoSuchFile) && attempt < ATTEMPTS => {
                    attempt += 1;
                    make_folders(&shared, connection, path.parent()).await?;
                }
                Err(trouble) => {
                    return Err(shared
                        .write_error(connection, &trouble, &path.to_string(), 0)
                        .await);
                }
            }
        };
        Ok(Self {
            gathered: Vec::with_capacity(connection.piece()),
            shared,
            path: path.clone(),
            file: Some(Arc::new(file)),
            offset: 0,
            taken: 0,
            waiting: 0,
            under_way: FuturesUnordered::new(),
        })
    }

    fn file(&self) -> Result<&Arc<OpenFile>, Error> {
        self.file.as_ref().ok_or_else(|| Error::Failed {
            what: "writing",
            at: self.path.to_string(),
            source: "the file is closed".into(),
        })
    }

    /// Sends what was gathered.
    fn send(&mut self) -> Result<(), Error> {
        let file = Arc::clone(self.file()?);
        let piece = std::mem::replace(&mut self.gathered, Vec::with_capacity(file.connection().piece()));
        let (len, offset) = (piece.len(), self.offset);
        self.offset += len as u64;
        self.waiting += len;
        let writing = async move { (len, file.write(offset, piece).await) };
        self.under_way.push(writing.boxed());
        Ok(())
    }

    /// Hears answers: those that are there, and further ones until no more than `most` bytes wait.
    async fn hear(&mut self, most: usize) -> Result<(), Error> {
        loop {
            // Asking is what sends the newest request, too.
            let answer = match self.under_way.next().now_or_never() {
                Some(answer) => answer,
                None if self.waiting > most => self.under_way.next().await,
                None => return Ok(()),
            };
            let Some((len, answer)) = answer else {
                return Ok(());
            };
            self.waiting -= len;
            match answer {
                Ok(()) => self.taken += len as u64,
                Err(trouble) => {
                    let connection = Arc::clone(self.file()?.connection());
                    let object = self.path.to_string();
                    return Err(self
                        .shared
                        .write_error(&connection, &trouble, &object, self.taken)
                        .await);
                }
            }
        }
    }
}

/// Makes the folders on the way to an object. The destination's own is never made here: it may be a disk that is not
/// mounted.
async fn make_folders(
    shared: &Shared,
    connection: &Connection,
    folder: Option<ObjectPath>,
) -> Result<(), Error> {
    shared.demand_root(connection).await?;
    let mut missing = Vec::new();
    let mut folder = folder;
    while let Some(current) = folder {
        folder = current.parent();
        missing.push(current);
    }
    for folder in missing.iter().rev() {
        let at = connection.at(Some(folder));
        if let Err(trouble) = connection.make_folder(&at).await {
            return Err(shared.write_error(connection, &trouble, &at, 0).await);
        }
    }
    Ok(())
}

#[async_trait]
impl Upload for SftpUpload {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        let piece = self.file()?.connection().piece();
        while !bytes.is_empty() {
            let room = piece - self.gathered.len();
            let part = bytes.split_to(bytes.len().min(room));
            self.gathered.extend_from_slice(&part);
            if self.gathered.len() == piece {
                self.send()?;
                self.hear(WINDOW - piece).await?;
            }
        }
        Ok(())
    }

    async fn complete(&mut self, len: u64) -> Result<Stored, Error> {
        if !self.gathered.is_empty() {
            self.send()?;
        }
        self.hear(0).await?;
        let shared = Arc::clone(&self.shared);
        let place = shared.place.as_str();
        let object = self.path.to_string();
        let file = self.file.take().and_then(Arc::into_inner);
        let file = file.expect("BUG: all requests of the file were answered");
        let connection = Arc::clone(file.connection());
        let closed = async {
            file.sync().await?;
            file.close().await
        };
        if let Err(trouble) = closed.await {
            return Err(shared.write_error(&connection, &trouble, &object, len).await);
        }
        let target = connection.at(Some(&self.path));
        let temporary = format!("{target}{TEMPORARY}");
        let found = connection.stat(&temporary).await;
        let found = found.map_err(|trouble| trouble.reading(place, &temporary))?;
        let found = found.map_or(0, |(_, found)| found);
        if found != len {
            return Err(Error::WrongSize {
                path: object,
                expected: len,
                found,
            });
        }
        // By the protocol a rename replaces nothing, and OpenSSH's is atomic in that; other servers are not so strict.
        let there = connection.stat(&target).await;
        let there = there
            .map_err(|trouble| trouble.reading(place, &target))?
            .is_some();
        if there {
            return Err(Error::AlreadyExists { path: object });
        }
        match connection.rename(&temporary, &target).await {
            Ok(()) => Ok(Stored { len, checksum: None }),
            Err(trouble @ Trouble::Said(_)) => {
                // "It is there" has no code of its own.
                if matches!(connection.stat(&target).await, Ok(Some(_))) {
                    return Err(Error::AlreadyExists { path: object });
                }
                if matches!(connection.stat(connection.root()).await, Ok(None)) {
                    return Err(no_folder(place));
                }
                Err(trouble.changing("renaming", place, &target))
            }
            Err(trouble) => {
                // Whether it was renamed is not known. If so, it must not stay: nobody will have been told that it is there.
                undo_rename(&shared, &target, len).await;
                Err(trouble.changing("renaming", place, &target))
            }
        }
    }

    async fn abandon(&mut self) {
        self.under_way.clear();
        // Some servers bring a file back that is removed while it is open.
        if let Some(file) = self.file.take().and_then(Arc::into_inner) {
            let connection = Arc::clone(file.connection());
            let closing = tokio::time::timeout(CLOSING_PATIENCE, file.close());
            if !connection.is_dead() && closing.await.is_err() {
                connection.give_up();
            }
        }
        let path = &self.path;
        let shared = &*self.shared;
        let removing = |connection: Arc<Connection>| {
            async move {
                let temporary = format!("{}{TEMPORARY}", connection.at(Some(path)));
                let removed = async {
                    connection.remove(&temporary).await?;
                    connection.remove_empty_folders(path.parent()).await
                };
                let removed = removed.await;
                removed.map_err(|trouble| trouble.changing("removing", &shared.place, &temporary))
            }
            .boxed()
        };
        if let Err(error) = shared.repeating(&CancellationToken::new(), removing).await {
            tracing::warn!(%error, path = %self.path, "an unfinished file was left at the destination");
        }
    }
}

/// The connection broke while the file got its name: removes it where it has it and the temporary one is gone.
async fn undo_rename(shared: &Shared, target: &str, len: u64) {
    let undoing =
        |connection: Arc<Connection>| {
            async move {
            let undone = async {
                let temporary = connection.stat(&format!("{target}{TEMPORARY}")).await?;
                let renamed = temporary.is_none()
                    && matches!(connection.stat(target).await?, Some((Kind::File, found)) if found == len);
                if renamed { connection.remove(target).await } else { Ok(()) }
            };
            let undone = undone.await;
            undone.map_err(|trouble| trouble.changing("removing", &shared.place, target))
        }
        .boxed()
        };
    let never = CancellationToken::new();
    let undone = tokio::time::timeout(CLEANUP_PATIENCE, shared.repeating(&never, undoing));
    if !matches!(undone.await, Ok(Ok(()))) {
        tracing::warn!(%target, "a file that may have got its name was left at the destination");
    }
}
