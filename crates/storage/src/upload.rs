//! What writers of remote destinations share: counting, giving up, and that after an error nothing more happens.
//!
//! A kind implements [`Upload`], whose calls come one after the other and need no care for cancelling; [`Uploading`] makes
//! an [`ObjectWriter`] of it that keeps every promise of that trait.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::destination::{ObjectWriter, Stored};
use crate::{Error, ObjectPath};

/// How long the leavings of an upload are tried to be removed. What is left then goes with
/// [`Destination::delete_folder`](crate::Destination::delete_folder), which the ledger sees to.
pub(crate) const CLEANUP_PATIENCE: Duration = Duration::from_secs(20);

/// One object on its way. After an error, only [`abandon`](Self::abandon) is called.
#[async_trait]
pub(crate) trait Upload: Send + 'static {
    /// Appends bytes. May keep them back, up to a bounded number.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Makes the object appear. `len` bytes were written in all; [`Error::WrongSize`] where the destination has another number,
    /// [`Error::AlreadyExists`] where another object has appeared there.
    async fn complete(&mut self, len: u64) -> Result<Stored, Error>;

    /// Removes what was written, as far as it can be. Never the finished object, whoever made it.
    async fn abandon(&mut self);
}

/// The writer of an [`Upload`].
pub(crate) struct Uploading<U: Upload> {
    path: ObjectPath,
    /// None once it has ended, well or badly.
    upload: Option<U>,
    written: u64,
    cancel: CancellationToken,
}

impl<U: Upload> Uploading<U> {
    /// Begins to take bytes for an object.
    pub(crate) fn new(path: ObjectPath, upload: U, cancel: CancellationToken) -> Self {
        Self {
            path,
            upload: Some(upload),
            written: 0,
            cancel,
        }
    }

    /// The answer to calls after the one that told the real error.
    fn lost(&self) -> Error {
        Error::Failed {
            what: "writing",
            at: self.path.to_string(),
            source: "an earlier write failed".into(),
        }
    }

    /// It has ended badly: removes what was written, and answers why.
    async fn end(&mut self, error: Error) -> Error {
        if let Some(mut upload) = self.upload.take() {
            // A destination that is away must not hold up who wants to hear the error.
            let _ = tokio::time::timeout(CLEANUP_PATIENCE, upload.abandon()).await;
        }
        error
    }
}

#[async_trait]
impl<U: Upload> ObjectWriter for Uploading<U> {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let Some(upload) = &mut self.upload else {
            return Err(self.lost());
        };
        let len = bytes.len() as u64;
        let result = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Cancelled),
            result = upload.write(bytes) => result,
        };
        match result {
            Ok(()) => {
                self.written += len;
                Ok(())
            }
            Err(error) => Err(self.end(error).await),
        }
    }

    async fn finish(mut self: Box<Self>, expected_len: u64) -> Result<Stored, Error> {
        let Some(upload) = &mut self.upload else {
            return Err(self.lost());
        };
        let written = self.written;
        let result = if written == expected_len {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(Error::Cancelled),
                result = upload.complete(written) => result,
            }
        } else {
            Err(Error::WrongSize {
                path: self.path.to_string(),
                expected: expected_len,
                found: written,
            })
        };
        match result {
            Ok(stored) => {
                self.upload = None;
                Ok(stored)
            }
            Err(error) => Err(self.end(error).await),
        }
    }

    async fn abort(mut self: Box<Self>) {
        self.end(Error::Cancelled).await;
    }
}

impl<U: Upload> Drop for Uploading<U> {
    /// Dropped in the middle: what was written is removed by a task with a deadline, where there is a runtime left to run it.
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn(async move {
                let _ = tokio::time::timeout(CLEANUP_PATIENCE, upload.abandon()).await;
            }));
        }
    }
}

/// Waits for something that is not to outlast the caller's patience.
pub(crate) async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        result = work => result,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Writes down what it is told; fails, or waits for ever, when told to.
    struct Told {
        log: Arc<Mutex<Vec<&'static str>>>,
        on_write: Option<fn() -> Error>,
        hangs: bool,
    }

    #[async_trait]
    impl Upload for Told {
        async fn write(&mut self, _: Bytes) -> Result<(), Error> {
            self.log.lock().unwrap().push("write");
            if self.hangs {
                std::future::pending::<()>().await;
            }
            self.on_write.map_or(Ok(()), |error| Err(error()))
        }

        async fn complete(&mut self, len: u64) -> Result<Stored, Error> {
            self.log.lock().unwrap().push("complete");
            Ok(Stored { len, checksum: None })
        }

        async fn abandon(&mut self) {
            self.log.lock().unwrap().push("abandon");
        }
    }

    /// What was done with an upload, in order.
    type Log = Arc<Mutex<Vec<&'static str>>>;

    fn uploading(
        on_write: Option<fn() -> Error>,
        hangs: bool,
    ) -> (Box<Uploading<Told>>, Log, CancellationToken) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let cancel = CancellationToken::new();
        let told = Told {
            log: Arc::clone(&log),
            on_write,
            hangs,
        };
        let path = ObjectPath::new("a/b").unwrap();
        (Box::new(Uploading::new(path, told, cancel.clone())), log, cancel)
    }

    #[tokio::test]
    async fn an_upload_that_goes_well_is_completed_and_not_abandoned() {
        let (mut writer, log, _) = uploading(None, false);
        writer.write(Bytes::from_static(b"abc")).await.unwrap();
        assert_eq!(writer.finish(3).await.unwrap().len, 3);
        assert_eq!(*log.lock().unwrap(), ["write", "complete"]);
    }

    #[tokio::test]
    async fn after_an_error_the_upload_is_abandoned_and_never_completed() {
        let (mut writer, log, _) = uploading(Some(|| Error::Cancelled), false);
        assert!(writer.write(Bytes::from_static(b"abc")).await.is_err());
        assert!(matches!(
            writer.write(Bytes::from_static(b"abc")).await,
            Err(Error::Failed { .. })
        ));
        assert!(matches!(writer.finish(3).await, Err(Error::Failed { .. })));
        assert_eq!(*log.lock().unwrap(), ["write", "abandon"]);
    }

    #[tokio::test]
    async fn a_wrong_length_is_never_completed() {
        let (mut writer, log, _) = uploading(None, false);
        writer.write(Bytes::from_static(b"abc")).await.unwrap();
        let error = writer.finish(4).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::WrongSize {
                    expected: 4,
                    found: 3,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(*log.lock().unwrap(), ["write", "abandon"]);
    }

    #[tokio::test]
    async fn a_write_that_hangs_ends_when_cancelled() {
        let (mut writer, log, cancel) = uploading(None, true);
        let write = writer.write(Bytes::from_static(b"abc"));
        let (result, ()) = tokio::join!(write, async { cancel.cancel() });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(*log.lock().unwrap(), ["write", "abandon"]);
    }

    #[tokio::test]
    async fn a_writer_that_is_dropped_is_abandoned() {
        let (writer, log, _) = uploading(None, false);
        drop(writer);
        tokio::task::yield_now().await;
        assert_eq!(*log.lock().unwrap(), ["abandon"]);
    }
}
