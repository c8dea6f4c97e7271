//! What every kind of destination can do. It knows no kind.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
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
    /// Begins an object. Folders on its way are made. [`Error::AlreadyExists`] where a finished object of that name is
    /// there; the leavings of an earlier attempt at it are replaced.
    async fn create(
        &self,
        path: &ObjectPath,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes, as the destination counts them.
    pub len: u64,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its bytes.
    pub len: u64,
}
