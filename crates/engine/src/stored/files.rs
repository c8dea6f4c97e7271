//! The files of a backup, for readers that block.

use std::io::{self, Read};
use std::sync::Arc;

use howdah_archive::source::{BackupFolder, RangeSource};
use howdah_domain::{Failure, FailureCode};
use howdah_storage::{Destination, Error, ObjectPath};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::StoredBackup;

/// A file of a backup that can be read at any place. Cheap to clone. Its errors carry a [`Failure`], by which a restore knows that
/// another copy of the backup may do.
#[derive(Clone)]
pub struct StoredFile {
    source: Arc<dyn RangeSource + Send + Sync>,
    /// What it is, for errors: `dump.pgdump.zst in s3://…`.
    what: Arc<str>,
}

impl StoredFile {
    pub(super) fn new(source: impl RangeSource + Send + Sync + 'static, what: impl Into<Arc<str>>) -> Self {
        Self {
            source: Arc::new(source),
            what: what.into(),
        }
    }

    pub(super) fn what(&self) -> Arc<str> {
        Arc::clone(&self.what)
    }

    fn in_words(&self, error: io::Error) -> io::Error {
        // What ends too early or is not what it should be is damaged, which its reader says.
        let is_of_content = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
        );
        if is_of_content || Failure::inside(&error).is_some() {
            return error;
        }
        let stored = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>())
            .map(Error::to_failure);
        let failure = stored.unwrap_or_else(|| {
            Failure::new(
                FailureCode::DestinationFailed,
                format!("{} could not be read any further.", self.what),
            )
            .hint("Look after the disk or the connection, or use another copy of this backup.")
            .details(error.to_string())
        });
        io::Error::new(error.kind(), failure)
    }
}

impl std::fmt::Debug for StoredFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoredFile").field(&self.what).finish()
    }
}

impl RangeSource for StoredFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.source
            .read_at(offset, buffer)
            .map_err(|error| self.in_words(error))
    }

    fn byte_len(&self) -> io::Result<u64> {
        self.source.byte_len().map_err(|error| self.in_words(error))
    }
}

/// A file read from its beginning to its end, some megabytes at a time.
pub(crate) struct Sequential {
    file: StoredFile,
    offset: u64,
    buffer: Vec<u8>,
    /// What of the buffer is not handed out yet.
    rest: std::ops::Range<usize>,
}

impl Sequential {
    /// At the beginning.
    pub(crate) fn new(file: StoredFile) -> Self {
        Self {
            file,
            offset: 0,
            buffer: Vec::new(),
            rest: 0..0,
        }
    }
}

impl Read for Sequential {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        const AHEAD: u64 = 4 << 20;
        if self.rest.is_empty() {
            let left = self.file.byte_len()?.saturating_sub(self.offset).min(AHEAD);
            let len = usize::try_from(left).unwrap_or(0);
            self.buffer.resize(len, 0);
            self.file.read_at(self.offset, &mut self.buffer)?;
            self.offset += left;
            self.rest = 0..len;
        }
        let len = into.len().min(self.rest.len());
        into[..len].copy_from_slice(&self.buffer[self.rest.start..self.rest.start + len]);
        self.rest.start += len;
        Ok(len)
    }
}

/// The files of a backup at a destination that is not a folder of this machine.
pub(super) struct RemoteFolder {
    pub(super) backup: StoredBackup,
    pub(super) runtime: Handle,
    pub(super) cancel: CancellationToken,
}

impl RemoteFolder {
    fn path(&self, name: &str) -> io::Result<ObjectPath> {
        self.backup.folder.join(name).map_err(into_io)
    }
}

impl BackupFolder for RemoteFolder {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let path = self.path(name)?;
        let object = self
            .runtime
            .block_on(self.backup.destination.read(&path, None, &self.cancel))
            .map_err(into_io)?;
        Ok(Box::new(Body {
            body: object.body,
            runtime: self.runtime.clone(),
            cancel: self.cancel.clone(),
        }))
    }

    fn byte_len(&self, name: &str) -> io::Result<u64> {
        let path = self.path(name)?;
        let stat = self
            .runtime
            .block_on(self.backup.destination.stat(&path, &self.cancel))
            .map_err(into_io)?;
        stat.map(|stat| stat.len)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The bytes of an object for a thread that may block.
struct Body {
    body: Box<dyn AsyncRead + Send + Unpin>,
    runtime: Handle,
    cancel: CancellationToken,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Self { body, cancel, .. } = self;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(into_io(Error::Cancelled)),
                read = body.read(into) => read,
            }
        })
    }
}

/// A file at a destination, read by ranged requests.
pub(super) struct RemoteFile {
    pub(super) destination: Arc<dyn Destination>,
    pub(super) path: ObjectPath,
    pub(super) len: u64,
    pub(super) runtime: Handle,
    pub(super) cancel: CancellationToken,
}

impl RangeSource for RemoteFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset
            .checked_add(buffer.len() as u64)
            .filter(|end| *end <= self.len)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        self.runtime.block_on(async {
            let read = async {
                let mut object = self
                    .destination
                    .read(&self.path, Some(offset..end), &self.cancel)
                    .await
                    .map_err(into_io)?;
                object.body.read_exact(buffer).await.map(|_| ())
            };
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(into_io(Error::Cancelled)),
                read = read => read,
            }
        })
    }

    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

/// The error as a reader tells it. (A cancelled one is not `Interrupted`: readers take that as a call to try again, for ever.)
fn into_io(error: Error) -> io::Error {
    let kind = match error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::Unreachable { .. } => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests {
    use howdah_postgres::contents::Contents;

    use super::*;
    use crate::copies::is_about_the_copy;

    /// A disk that has gone bad.
    struct Bad;

    impl RangeSource for Bad {
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::Error::from_raw_os_error(nix::libc::EIO))
        }

        fn byte_len(&self) -> io::Result<u64> {
            Ok(100)
        }
    }

    #[test]
    fn a_restore_knows_that_a_copy_could_not_be_read_any_further() {
        let file = StoredFile::new(Bad, "dump.pgdump.zst in /mnt/disk/shop".to_owned());
        let failure = Contents::open(Sequential::new(file)).err().unwrap().to_failure();
        assert_eq!(failure.code, FailureCode::DestinationFailed, "{failure:?}");
        assert!(failure.message.contains("/mnt/disk/shop"), "{failure:?}");
        assert!(is_about_the_copy(&failure));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cancelled_read_is_not_tried_again_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        cancel.cancel();
        let file = RemoteFile {
            destination: Arc::new(howdah_storage::Folder::new(folder.path())),
            path: ObjectPath::new("dump").unwrap(),
            len: 100,
            runtime: Handle::current(),
            cancel,
        };
        let file = StoredFile::new(file, "dump".to_owned());
        // Whoever reads to the end takes `Interrupted` as a call to try again.
        let read = tokio::task::spawn_blocking(move || Sequential::new(file).read_to_end(&mut Vec::new()));
        let error = tokio::time::timeout(std::time::Duration::from_secs(20), read)
            .await
            .expect("it ends")
            .unwrap()
            .unwrap_err();
        assert!(
            Failure::inside(&error).is_some_and(Failure::is_cancelled),
            "{error:?}"
        );
    }
}
