//! What every kind of destination can do. It knows no kind.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

use crate::{Error, ObjectPath};

/// The file that makes a folder a backup: written last, removed first.
pub const MANIFEST: &str = "manifest.json";

/// A place that keeps objects under relative paths.
///
/// Every method may last (a share, a network), takes a token, and answers [`Error::Cancelled`] soon after that is
/// cancelled. All of them answer [`Error::Missing`] where the place itself is not there.
#[async_trait]
pub trait Destination: fmt::Debug + Send + Sync {
    /// What people know the place by, for messages: a path, `s3://bucket/prefix`. Holds no secret.
    fn name(&self) -> String;

    /// Whether of several machines that create the same object at the same moment exactly one succeeds, and the others get
    /// [`Error::AlreadyExists`]. Where not, [`create`](Self::create) looks first, which is enough for one machine.
    fn excludes_others(&self) -> bool {
        false
    }

    /// Whether the place itself is there, as it was prepared: [`Error::Missing`] where a disk or a share is not connected. Where that
    /// cannot be told from an empty place, this says nothing.
    async fn is_there(&self, _cancel: &CancellationToken) -> Result<(), Error> {
        Ok(())
    }

    /// Finds out what [`excludes_others`](Self::excludes_others) tells, where that cannot be known without trying. Leaves nothing.
    async fn learn(&self, _cancel: &CancellationToken) -> Result<(), Error> {
        Ok(())
    }

    /// Makes the place ready when the user chooses it, and finds out whether it can be used at all. To be called once: calling
    /// it before every backup would make a folder anew that is only not mounted. Buckets and containers are not made.
    async fn prepare(&self, cancel: &CancellationToken) -> Result<(), Error>;

    /// Begins an object. Folders on its way are made. [`Error::AlreadyExists`] where a finished object of that name is
    /// there; the leavings of an earlier attempt at it are replaced. `estimate` is about how many bytes it will have, rather
    /// too many than too few, where that is known: [`Error::TooLarge`] where the place could not keep so many.
    async fn create(
        &self,
        path: &ObjectPath,
        estimate: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn ObjectWriter>, Error>;

    /// Opens an object, or the bytes `range` of it (the end is not included, and is cut to the object's own end).
    /// [`Error::NotFound`] where it is not there.
    async fn read(
        &self,
        path: &ObjectPath,
        range: Option<Range<u64>>,
        cancel: &CancellationToken,
    ) -> Result<Object, Error>;

    /// Every finished object below a folder (`None`: everywhere), in the order of their paths. A folder that is not
    /// there has no objects.
    async fn list(
        &self,
        folder: Option<&ObjectPath>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, Error>;

    /// What is known of an object; none where it is not there.
    async fn stat(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<Option<Stat>, Error>;

    /// Removes an object. It is no error where it is not there.
    async fn delete(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error>;

    /// Removes a folder with all that is in it, unfinished objects too: [`MANIFEST`] first and for good, then the rest,
    /// then the folders above that have become empty. It is no error where the folder is not there.
    async fn delete_folder(&self, folder: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error>;

    /// Removes what uploads of backups' files left that were begun before `before` and never ended, where leavings are no objects:
    /// those of machines that are no more. Answers how many.
    async fn sweep(&self, _before: Timestamp, _cancel: &CancellationToken) -> Result<u64, Error> {
        Ok(0)
    }

    /// Bytes that could still be written; none where the place does not tell.
    async fn free_space(&self, cancel: &CancellationToken) -> Result<Option<u64>, Error>;
}

/// Takes the bytes of one object. Dropped before [`ObjectWriter::finish`], it removes what it wrote.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Appends bytes. Waits while the destination is slower than the caller; buffers at most some megabytes. After an
    /// error the object is lost, and every further call repeats that it failed.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Makes the object appear, whole and on stable storage, if it has exactly `expected_len` bytes; otherwise
    /// ([`Error::WrongSize`], or any other error) nothing appears.
    async fn finish(self: Box<Self>, expected_len: u64) -> Result<Stored, Error>;

    /// Removes what was written, and returns when it is gone.
    async fn abort(self: Box<Self>);
}

/// An object that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes, as the destination counts them.
    pub len: u64,
    /// The destination's own checksum of it, where it has one that [`Stat`] will tell again.
    pub checksum: Option<Checksum>,
}

/// A destination's own checksum of an object, as it tells it without the object being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// The SHA-256 of the whole object, in lower-case hex: what a manifest has too.
    Sha256(String),
    /// Something else that changes with the object's bytes: `crc64nvme:…`, `md5:…`, `etag:…`. Only good for being compared
    /// with what the same destination told of the same object earlier.
    Other(String),
}

impl Checksum {
    /// As one text, to be kept and compared.
    pub fn into_text(self) -> String {
        match self {
            Self::Sha256(hex) => format!("sha256:{hex}"),
            Self::Other(text) => text,
        }
    }
}

/// An object opened for reading.
pub struct Object {
    /// Bytes that `body` holds.
    pub len: u64,
    /// The bytes.
    pub body: Box<dyn AsyncRead + Send + Unpin>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: ObjectPath,
    /// Its bytes.
    pub len: u64,
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its bytes.
    pub len: u64,
    /// The destination's own checksum, where it has one.
    pub checksum: Option<Checksum>,
}
