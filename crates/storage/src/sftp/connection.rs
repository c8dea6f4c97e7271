//! One SFTP connection: the session it lives in, what the server can do, and requests that are given up when nothing moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use howdah_ssh::{Route, Session};
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::client::rawsession::Limits;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use tokio_util::sync::CancellationToken;

use super::errors::{Trouble, of_ssh};
use crate::{Error, ObjectPath};

/// How long nothing may move before a connection counts as dead.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a server may take to bring a file to its disk.
const SYNC_PATIENCE: Duration = Duration::from_secs(600);
/// Requests have no time limit of the library's: theirs begins when they are queued, however much is before them.
const NO_LIMIT_SECONDS: u64 = 7 * 24 * 3600;
/// The piece that every server takes in one request (draft-ietf-secsh-filexfer-02, 3).
const SMALL_PIECE: u64 = 32 * 1024;
/// The piece that is used where the server says that it takes as much.
const LARGE_PIECE: u64 = 128 * 1024;

/// What the server can do besides the protocol's version 3 (OpenSSH's PROTOCOL, section 4).
#[derive(Debug, Clone, Copy, Default)]
struct Offers {
    fsync: bool,
    statvfs: bool,
}

/// An open connection. Dropping it closes the session.
pub(super) struct Connection {
    session: Session,
    sftp: RawSftpSession,
    offers: Offers,
    /// The destination's folder, absolute, without a slash at its end (`/` is empty).
    root: String,
    piece: usize,
    patience: Duration,
    /// Grows with every answer.
    answers: AtomicU64,
    dead: AtomicBool,
}

/// A file or folder in a list.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) len: u64,
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A link, a device: nothing of ours.
    Other,
}

impl Kind {
    fn of(attributes: &FileAttributes) -> Self {
        // The type's bits of POSIX; a server that tells none tells at least of plain files.
        match attributes.permissions.map(|mode| mode & 0o170_000) {
            Some(0o040_000) => Self::Folder,
            Some(0o100_000 | 0) | None => Self::File,
            Some(_) => Self::Other,
        }
    }
}

impl Connection {
    /// Opens one.
    pub(super) async fn open(
        place: &str,
        folder: &str,
        route: &Route,
        patience: Duration,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let ssh = |error| of_ssh(place, error);
        let session = route.open(cancel).await.map_err(ssh)?;
        let stream = session.subsystem("sftp").await.map_err(ssh)?;
        let config = Config {
            request_timeout_secs: NO_LIMIT_SECONDS,
            ..Config::default()
        };
        let mut connection = Self {
            session,
            sftp: RawSftpSession::new_with_config(stream, config),
            offers: Offers::default(),
            root: String::new(),
            piece: SMALL_PIECE as usize,
            patience,
            answers: AtomicU64::new(0),
            dead: AtomicBool::new(false),
        };
        let told = |trouble: Trouble| trouble.reading(place, place);
        let hello = connection.ask(connection.sftp.init()).await.map_err(told)?;
        let offered = |name: &str| hello.extensions.contains_key(name);
        connection.offers = Offers {
            fsync: offered("fsync@openssh.com"),
            statvfs: offered("statvfs@openssh.com"),
        };
        if offered("limits@openssh.com") {
            let limits = connection.ask(connection.sftp.limits()).await.map_err(told)?;
            let least = [limits.max_read_len, limits.max_write_len]
                .into_iter()
                .filter(|&most| most > 0)
                .min();
            connection.piece = least.unwrap_or(SMALL_PIECE).clamp(4096, LARGE_PIECE) as usize;
            connection.sftp.set_limits(Limits::from(limits));
        }
        connection.root = if folder.starts_with('/') {
            folder.trim_end_matches('/').to_owned()
        } else {
            let home = connection
                .ask(connection.sftp.realpath("."))
                .await
                .map_err(told)?;
            let home = home.files.first().map_or("", |file| file.filename.as_str());
            let home = home.trim_end_matches('/');
            if folder.is_empty() {
                home.to_owned()
            } else {
                format!("{home}/{folder}")
            }
        };
        Ok(connection)
    }

    /// Whether it is of no use any more.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed) || self.session.is_over()
    }

    /// It is of no use any more: the next call makes another one.
    pub(super) fn give_up(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    /// Bytes of one read or write request.
    pub(super) fn piece(&self) -> usize {
        self.piece
    }

    /// The destination's folder.
    pub(super) fn root(&self) -> &str {
        if self.root.is_empty() { "/" } else { &self.root }
    }

    /// Where an object or folder lies; none is the destination's folder itself.
    pub(super) fn at(&self, path: Option<&ObjectPath>) -> String {
        match path {
            Some(path) => format!("{}/{path}", self.root),
            None => self.root().to_owned(),
        }
    }

    /// Waits for an answer as long as anything moves on this connection.
    async fn ask<T>(&self, request: impl Future<Output = Result<T, SftpError>>) -> Result<T, Trouble> {
        self.ask_for(self.patience, request).await
    }

    async fn ask_for<T>(
        &self,
        patience: Duration,
        request: impl Future<Output = Result<T, SftpError>>,
    ) -> Result<T, Trouble> {
        let mut request = std::pin::pin!(request);
        loop {
            let before = self.answers.load(Ordering::Relaxed);
            let answer = tokio::select! {
                biased;
                answer = &mut request => answer,
                how = self.session.over() => {
                    self.dead.store(true, Ordering::Relaxed);
                    return Err(Trouble::Lost(how.to_string()));
                }
                () = tokio::time::sleep(patience) => {
                    if self.answers.load(Ordering::Relaxed) != before {
                        continue;
                    }
                    self.dead.store(true, Ordering::Relaxed);
                    return Err(Trouble::Lost(format!("nothing moved for {} s", patience.as_secs_f32())));
                }
            };
            self.answers.fetch_add(1, Ordering::Relaxed);
            return answer.map_err(|error| match error {
                SftpError::Status(status) => Trouble::Said(status),
                // The library's words for a stream that has ended, or makes no sense any more.
                other => {
                    self.dead.store(true, Ordering::Relaxed);
                    Trouble::Lost(other.to_string())
                }
            });
        }
    }

    /// What is known of a file or folder; none where it is not there.
    pub(super) async fn stat(&self, at: &str) -> Result<Option<(Kind, u64)>, Trouble> {
        match self.ask(self.sftp.stat(at)).await {
            Ok(found) => Ok(Some((Kind::of(&found.attrs), found.attrs.size.unwrap_or(0)))),
            Err(trouble) if trouble.is(StatusCode::NoSuchFile) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Opens a file.
    pub(super) async fn open_file(self: &Arc<Self>, at: &str, flags: OpenFlags) -> Result<OpenFile, Trouble> {
        let opened = self
            .ask(self.sftp.open(at, flags, FileAttributes::empty()))
            .await?;
        Ok(OpenFile {
            connection: Arc::clone(self),
            handle: Some(opened.handle),
        })
    }

    /// What is in a folder. `.` and `..` are left out.
    pub(super) async fn items(&self, at: &str) -> Result<Vec<Item>, Trouble> {
        let handle = self.ask(self.sftp.opendir(at)).await?.handle;
        let mut items = Vec::new();
        let result = loop {
            match self.ask(self.sftp.readdir(handle.as_str())).await {
                Ok(some) => items.extend(
                    some.files
                        .into_iter()
                        .filter(|file| !matches!(file.filename.as_str(), "." | "..")),
                ),
                Err(trouble) if trouble.is(StatusCode::Eof) => break Ok(()),
                Err(trouble) => break Err(trouble),
            }
        };
        if !self.is_dead() {
            // It was only read from.
            let _ = self.ask(self.sftp.close(handle)).await;
        }
        result?;
        Ok(items
            .into_iter()
            .map(|file| Item {
                kind: Kind::of(&file.attrs),
                len: file.attrs.size.unwrap_or(0),
                name: file.filename,
            })
            .collect())
    }

    /// Makes a folder. It is no error where it is there.
    pub(super) async fn make_folder(&self, at: &str) -> Result<(), Trouble> {
        match self.ask(self.sftp.mkdir(at, FileAttributes::empty())).await {
            Ok(_) => Ok(()),
            // "It is there" has no code of its own.
            Err(Trouble::Said(said)) => match self.stat(at).await? {
                Some((Kind::Folder, _)) => Ok(()),
                _ => Err(Trouble::Said(said)),
            },
            Err(trouble) => Err(trouble),
        }
    }

    /// Removes a file. It is no error where it is not there.
    pub(super) async fn remove(&self, at: &str) -> Result<(), Trouble> {
        match self.ask(self.sftp.remove(at)).await {
            Err(trouble) if !trouble.is(StatusCode::NoSuchFile) => Err(trouble),
            _ => Ok(()),
        }
    }

    /// Removes an empty folder, and says whether it did.
    pub(super) async fn remove_folder(&self, at: &str) -> Result<bool, Trouble> {
        match self.ask(self.sftp.rmdir(at)).await {
            Ok(_) => Ok(true),
            Err(Trouble::Said(_)) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// Removes `folder` and those above it, as long as they are empty and below the destination's own.
    pub(super) async fn remove_empty_folders(&self, folder: Option<ObjectPath>) -> Result<(), Trouble> {
        let mut folder = folder;
        while let Some(current) = folder {
            if !self.remove_folder(&self.at(Some(&current))).await? {
                return Ok(());
            }
            folder = current.parent();
        }
        Ok(())
    }

    /// Gives a file another name, which must be free.
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<(), Trouble> {
        self.ask(self.sftp.rename(from, to)).await.map(drop)
    }

    /// Bytes that could still be written to the destination's folder; none where the server does not tell.
    pub(super) async fn free(&self) -> Result<Option<u64>, Trouble> {
        if !self.offers.statvfs {
            return Ok(None);
        }
        match self.ask(self.sftp.statvfs(self.root())).await {
            Ok(disk) => Ok(Some(disk.blocks_avail.saturating_mul(disk.fragment_size))),
            Err(Trouble::Said(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }
}

/// A file that is open on the server. Dropped, it is closed by a task.
pub(super) struct OpenFile {
    connection: Arc<Connection>,
    handle: Option<String>,
}

impl OpenFile {
    /// The connection that it is open on.
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    fn handle(&self) -> &str {
        self.handle.as_deref().unwrap_or_default()
    }

    /// Its bytes, and what it is.
    pub(super) async fn stat(&self) -> Result<(Kind, u64), Trouble> {
        let found = self
            .connection
            .ask(self.connection.sftp.fstat(self.handle()))
            .await?;
        Ok((Kind::of(&found.attrs), found.attrs.size.unwrap_or(0)))
    }

    /// Writes bytes at a place.
    pub(super) async fn write(&self, offset: u64, bytes: Vec<u8>) -> Result<(), Trouble> {
        let request = self.connection.sftp.write(self.handle(), offset, bytes);
        self.connection.ask(request).await.map(drop)
    }

    /// Reads at most `len` bytes at a place; none at the end.
    pub(super) async fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, Trouble> {
        let request = self.connection.sftp.read(self.handle(), offset, len);
        match self.connection.ask(request).await {
            Ok(data) => Ok(data.data),
            Err(trouble) if trouble.is(StatusCode::Eof) => Ok(Vec::new()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Brings it to the server's disk, where the server can be asked to.
    pub(super) async fn sync(&self) -> Result<(), Trouble> {
        if !self.connection.offers.fsync {
            return Ok(());
        }
        let request = self.connection.sftp.fsync(self.handle());
        self.connection.ask_for(SYNC_PATIENCE, request).await.map(drop)
    }

    /// Closes it; only then some servers tell that they could not write it.
    pub(super) async fn close(mut self) -> Result<(), Trouble> {
        match self.handle.take() {
            Some(handle) => self
                .connection
                .ask(self.connection.sftp.close(handle))
                .await
                .map(drop),
            None => Ok(()),
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take()
            && !self.connection.is_dead()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let connection = Arc::clone(&self.connection);
            drop(runtime.spawn(async move {
                // Nobody is left to hear of it.
                let _ = connection.ask(connection.sftp.close(handle)).await;
            }));
        }
    }
}
