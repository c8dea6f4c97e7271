//! One object on its way to a cloud.
//!
//! Nobody sees it until the last request, which the cloud carries out only where no object of that name is there. Every
//! object carries a mark of the upload that brought it, so that an upload whose last answer was lost can tell its own object
//! from somebody else's.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};
use opendal::{Metadata, Writer};

use super::service::Cut;
use super::trouble::{Doing, Meaning, Trouble};
use super::wire::Whole;
use super::{Shared, checksum, md5};
use crate::destination::Stored;
use crate::upload::Upload;
use crate::{Error, ObjectPath};

/// The name of the mark in an object's metadata: a C# identifier, as Azure wants it.
const MARK: &str = "howdah_upload";

/// Who wrote the object that is there.
enum Whose {
    Ours,
    SomebodyElses,
    /// None is there, or it cannot be told.
    Nobodys,
}

/// An object on its way.
pub(crate) struct ToCloud {
    shared: Arc<Shared>,
    path: ObjectPath,
    key: String,
    mark: String,
    cut: Cut,
    writer: Writer,
    written: u64,
    /// Bytes that opendal was given, with those of a write that failed.
    handed: u64,
    /// The MD5 of all that was written, and where the wire looks for it; where the cloud does something with it.
    whole: Option<(Md5, Whole)>,
}

impl ToCloud {
    /// Begins an upload. Nothing is sent yet.
    pub(crate) async fn begin(shared: &Arc<Shared>, path: &ObjectPath, cut: Cut) -> Result<Self, Error> {
        let key = shared.key(path)?;
        let mark = new_mark()?;
        let whole = Whole::default();
        let operator = shared
            .wire
            .for_upload(Arc::clone(&whole))
            .carry(shared.operator.clone());
        let mut opening = operator
            .writer_with(&key)
            .if_not_exists(true)
            .user_metadata([(MARK.to_owned(), mark.clone())]);
        if let Some(part) = cut.part {
            opening = opening.chunk(part);
        }
        let writer = opening
            .await
            .map_err(|error| shared.doing("writing", path.as_str()).failed(&error))?;
        Ok(Self {
            shared: Arc::clone(shared),
            path: path.clone(),
            key,
            mark,
            cut,
            writer,
            written: 0,
            handed: 0,
            whole: shared.service.knows_whole_md5().then(|| (Md5::new(), whole)),
        })
    }

    fn failed(&self, error: &opendal::Error) -> Error {
        let doing = Doing {
            written: self.written,
            ..self.shared.doing("writing", self.path.as_str())
        };
        doing.failed(error)
    }

    /// Whose object is there, if any is: the answer to this upload's last request may have been lost.
    async fn whose(&self) -> Whose {
        match self.shared.operator.stat(&self.key).await {
            Ok(metadata) => {
                let marks = metadata.user_metadata();
                match marks.and_then(|marks| marks.get(MARK)) {
                    Some(mark) if mark == self.mark => Whose::Ours,
                    _ => Whose::SomebodyElses,
                }
            }
            Err(_) => Whose::Nobodys,
        }
    }

    /// The last request, which makes the object appear.
    async fn close(&mut self) -> Result<(), Error> {
        let Err(error) = self.writer.close().await else {
            return Ok(());
        };
        let exists = Err(Error::AlreadyExists {
            path: self.path.to_string(),
        });
        match Trouble::inside(&error).and_then(Trouble::meaning) {
            // Parts are gone, too, when another upload of the same name was faster.
            Some(meaning @ (Meaning::Exists | Meaning::Interrupted)) => match self.whose().await {
                Whose::Ours => Ok(()),
                Whose::SomebodyElses => exists,
                Whose::Nobodys if meaning == Meaning::Exists => exists,
                Whose::Nobodys => Err(self.failed(&error)),
            },
            _ => Err(self.shared.or_bucket(self.failed(&error)).await),
        }
    }

    /// Takes our own object away again: what arrived is not what was sent. Never another one, though it has the same name.
    async fn take_back(&self, metadata: &Metadata) {
        let by_version = self
            .shared
            .operator
            .info()
            .capability()
            .delete_with_if_version_match;
        let removal = self.shared.operator.delete_with(&self.key);
        let removed = match (metadata.version(), metadata.etag()) {
            (Some(version), _) if by_version => removal.if_version_match(version).await,
            (_, Some(etag)) => removal.if_match(etag).await,
            _ => return,
        };
        if let Err(error) = removed {
            tracing::warn!(
                path = %self.path,
                error = %self.failed(&error),
                "an object that did not arrive well could not be removed"
            );
        }
    }

    /// Compares what the cloud has with what was sent.
    fn compare(&self, metadata: &Metadata, sent: Option<[u8; 16]>) -> Result<(), Error> {
        if metadata.content_length() != self.written {
            return Err(Error::WrongSize {
                path: self.path.to_string(),
                expected: self.written,
                found: metadata.content_length(),
            });
        }
        match (sent, md5(metadata)) {
            (Some(sent), Some(arrived)) if arrived != sent => Err(Error::Corrupted {
                path: self.path.to_string(),
                detail: format!(
                    "MD5 {} was sent, {} arrived",
                    HEXLOWER.encode(&sent),
                    HEXLOWER.encode(&arrived)
                ),
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Upload for ToCloud {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let len = bytes.len() as u64;
        if self.written + len > self.cut.most {
            return Err(Error::TooLarge {
                place: self.shared.name.clone(),
                object: self.path.to_string(),
                limit: self.cut.most,
            });
        }
        if let Some((md5, _)) = &mut self.whole {
            md5.update(&bytes);
        }
        self.handed += len;
        match self.writer.write(bytes).await {
            Ok(()) => {
                self.written += len;
                Ok(())
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn complete(&mut self, _: u64) -> Result<Stored, Error> {
        let sent = self.whole.take().map(|(md5, whole)| {
            let sent: [u8; 16] = md5.finalize().into();
            *whole.get_or_init(|| sent)
        });
        self.close().await?;
        let metadata = self.shared.look("writing", &self.path).await?;
        if let Err(error) = self.compare(&metadata, sent) {
            self.take_back(&metadata).await;
            return Err(error);
        }
        Ok(Stored {
            len: metadata.content_length(),
            checksum: checksum(&metadata),
        })
    }

    async fn abandon(&mut self) {
        if let Err(error) = self.writer.abort().await {
            tracing::debug!(path = %self.path, error = %self.failed(&error), "an upload could not be ended; it expires");
        }
        let several = self.cut.part.is_some_and(|part| self.handed > part as u64);
        if several && self.shared.service.keeps_unfinished() {
            // Only where there is no object: then its parts are all that is removed.
            if let Err(Error::NotFound { .. }) = self.shared.look("removing", &self.path).await {
                let _ = self.shared.remove(&self.key, self.path.as_str()).await;
            }
        }
    }
}

/// A text that no other upload has.
fn new_mark() -> Result<String, Error> {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(HEXLOWER.encode(&bytes)),
        Err(error) => Err(Error::Failed {
            what: "beginning",
            at: "an upload".to_owned(),
            source: error.to_string().into(),
        }),
    }
}
