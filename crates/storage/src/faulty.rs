//! A destination that fails on purpose, for tests. It passes everything to another one until its moment comes.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, Entry, Object, ObjectWriter, Stat, Stored};
use crate::{Error, ObjectPath};

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No object can be begun.
    Create,
    /// Writing fails once this many bytes of an object were taken.
    WriteAfter(u64),
    /// The space runs out once this many bytes of an object were taken.
    FullAfter(u64),
    /// Writing waits for ever (until cancelled) once this many bytes of an object were taken.
    StallAfter(u64),
    /// All bytes are taken, and then the object cannot be finished.
    Finish,
    /// All bytes are taken, and the last one is lost on the way, which the size check must notice.
    LoseLastByte,
    /// Nothing can be read.
    Read,
    /// Nothing can be removed.
    Delete,
}

/// A destination with a [`Fault`].
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn Destination>,
    fault: Fault,
    only: Option<String>,
}

impl Faulty {
    /// Puts a fault in front of a destination; every object has it.
    pub fn new(inner: Arc<dyn Destination>, fault: Fault) -> Self {
        Self {
            inner,
            fault,
            only: None,
        }
    }

    /// Limits the fault to objects of this name (the last part of the path).
    #[must_use]
    pub fn only(mut self, name: impl Into<String>) -> Self {
        self.only = Some(name.into());
        self
    }

    fn strikes(&self, path: &ObjectPath) -> bool {
        self.only.as_ref().is_none_or(|name| path.name() == name)
    }
}

fn broken(what: &'static str, path: &ObjectPath) -> Error {
    Error::Failed {
        what,
        at: path.to_string(),
        source: io::Error::other("it fails on purpose").into(),
    }
}

#[async_trait]
impl Destination for Faulty {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn excludes_others(&self) -> bool {
        self.inner.excludes_others()
    }

    async fn is_there(&self, cancel: &CancellationToken) -> Result<(), Error> {
        self.inner.is_there(cancel).await
    }

    async fn sweep(&self, before: Timestamp, cancel: &CancellationToken) -> Result<u64, Error> {
        self.inner.sweep(before, cancel).await
    }

    async fn learn(&self, cancel: &CancellationToken) -> Result<(), Error> {
        self.inner.learn(cancel).await
    }

    async fn prepare(&self, cancel: &CancellationToken) -> Result<(), Error> {
        self.inner.prepare(cancel).await
    }

    async fn create(
        &self,
        path: &ObjectPath,
        estimate: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn ObjectWriter>, Error> {
        if self.fault == Fault::Create && self.strikes(path) {
            return Err(broken("creating", path));
        }
        let inner = self.inner.create(path, estimate, cancel).await?;
        if !self.strikes(path) {
            return Ok(inner);
        }
        Ok(Box::new(FaultyWriter {
            inner: Some(inner),
            fault: self.fault,
            path: path.clone(),
            cancel: cancel.clone(),
            taken: 0,
            held_back: None,
        }))
    }

    async fn read(
        &self,
        path: &ObjectPath,
        range: Option<Range<u64>>,
        cancel: &CancellationToken,
    ) -> Result<Object, Error> {
        if self.fault == Fault::Read && self.strikes(path) {
            return Err(broken("reading", path));
        }
        self.inner.read(path, range, cancel).await
    }

    async fn list(
        &self,
        folder: Option<&ObjectPath>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, Error> {
        self.inner.list(folder, cancel).await
    }

    async fn stat(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<Option<Stat>, Error> {
        self.inner.stat(path, cancel).await
    }

    async fn delete(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        if self.fault == Fault::Delete && self.strikes(path) {
            return Err(broken("removing", path));
        }
        self.inner.delete(path, cancel).await
    }

    async fn delete_folder(&self, folder: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        if self.fault == Fault::Delete {
            return Err(broken("removing", folder));
        }
        self.inner.delete_folder(folder, cancel).await
    }

    async fn free_space(&self, cancel: &CancellationToken) -> Result<Option<u64>, Error> {
        self.inner.free_space(cancel).await
    }
}

struct FaultyWriter {
    inner: Option<Box<dyn ObjectWriter>>,
    fault: Fault,
    path: ObjectPath,
    cancel: CancellationToken,
    taken: u64,
    /// The newest piece, for [`Fault::LoseLastByte`].
    held_back: Option<Bytes>,
}

impl FaultyWriter {
    fn inner(&mut self) -> Result<&mut Box<dyn ObjectWriter>, Error> {
        self.inner.as_mut().ok_or_else(|| broken("writing", &self.path))
    }

    /// The moment has come: what was written is removed, as a real destination's writer would.
    async fn strike(&mut self, error: Error) -> Error {
        if let Some(inner) = self.inner.take() {
            inner.abort().await;
        }
        error
    }
}

#[async_trait]
impl ObjectWriter for FaultyWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let after = self.taken + bytes.len() as u64;
        match self.fault {
            Fault::WriteAfter(limit) if after > limit => {
                let error = broken("writing", &self.path);
                Err(self.strike(error).await)
            }
            Fault::FullAfter(limit) if after > limit => {
                let error = Error::Full {
                    place: "the faulty destination".into(),
                    object: self.path.to_string(),
                    written: self.taken,
                    free: Some(0),
                    source: io::Error::from(io::ErrorKind::StorageFull).into(),
                };
                Err(self.strike(error).await)
            }
            Fault::StallAfter(limit) if after > limit => {
                self.cancel.cancelled().await;
                Err(self.strike(Error::Cancelled).await)
            }
            Fault::LoseLastByte => {
                self.taken = after;
                match self.held_back.replace(bytes) {
                    Some(earlier) => self.inner()?.write(earlier).await,
                    None => Ok(()),
                }
            }
            _ => {
                self.taken = after;
                self.inner()?.write(bytes).await
            }
        }
    }

    async fn finish(mut self: Box<Self>, expected_len: u64) -> Result<Stored, Error> {
        if self.fault == Fault::Finish {
            let error = broken("finishing", &self.path);
            return Err(self.strike(error).await);
        }
        if let Some(last) = self.held_back.take() {
            let shortened = last.slice(..last.len().saturating_sub(1));
            self.inner()?.write(shortened).await?;
        }
        match self.inner.take() {
            Some(inner) => inner.finish(expected_len).await,
            None => Err(broken("finishing", &self.path)),
        }
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(inner) = self.inner.take() {
            inner.abort().await;
        }
    }
}
