//! The upload of one object: chunks from what comes in, going on after a cut, and looking closely at what came out.
//!
//! Memory: one chunk of [`CHUNK`] bytes, which is at the same time what can be sent again, besides what the caller hands over.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes, BytesMut};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::Inner;
use super::api::Item;
use super::session::{QUANTUM, Session, State};
use super::trouble::{Tries, Trouble, no_folder};
use crate::destination::{Checksum, Stored};
use crate::upload::Upload;
use crate::{Error, ObjectPath};

/// Bytes that are sent at once.
pub(super) const CHUNK: usize = 8 * 1024 * 1024;

/// One object on its way to Drive.
pub(super) struct Sending {
    drive: Arc<Inner>,
    path: ObjectPath,
    /// The folders of that path; the file goes into the first.
    folders: Vec<String>,
    /// The id that the file will have.
    id: String,
    session: Session,
    /// What is not sent, or not known to have arrived.
    buffer: BytesMut,
    /// How much Google has: where `buffer` begins.
    arrived: u64,
    hash: Sha256,
    /// Whether the last chunk was sent, so that the file may be there.
    may_be_there: bool,
}

impl Sending {
    /// Opens the session.
    pub(super) async fn begin(
        drive: Arc<Inner>,
        path: &ObjectPath,
        folders: Vec<String>,
    ) -> Result<Self, Error> {
        let Some(folder) = folders.first() else {
            return Err(no_folder(&drive.place));
        };
        let opening = async {
            let id = drive.api.new_id().await?;
            let session = Session::open(&drive.api, &id, folder, path.name()).await?;
            Ok((id, session))
        };
        let (id, session) = opening
            .await
            .map_err(|trouble: Trouble| trouble.into_error("writing", &drive.place, path.as_str()))?;
        Ok(Self {
            drive,
            path: path.clone(),
            folders,
            id,
            session,
            buffer: BytesMut::with_capacity(CHUNK),
            arrived: 0,
            hash: Sha256::new(),
            may_be_there: false,
        })
    }

    /// Sends what is in the buffer: with a total all of it, which ends the session, else as many whole quanta as there are.
    async fn send(&mut self, total: Option<u64>) -> Result<Option<Item>, Error> {
        let drive = Arc::clone(&self.drive);
        let mut tries = drive.api.tries();
        let mut rest = std::mem::take(&mut self.buffer).freeze();
        self.may_be_there |= total.is_some();
        let done = loop {
            let len = if total.is_some() {
                rest.len()
            } else {
                rest.len() / QUANTUM * QUANTUM
            };
            if total.is_none() && len == 0 {
                break None;
            }
            match self.attempt(rest.slice(..len), total, &mut tries).await {
                Ok((State::Has(has), asked)) => {
                    let end = self.arrived + len as u64;
                    let fresh = has.checked_sub(self.arrived).filter(|_| has <= end);
                    let Some(fresh) = fresh else {
                        return Err(self.lost(&format!(
                            "it has {has} bytes after it had {} and was sent up to {end}",
                            self.arrived
                        )));
                    };
                    if fresh > 0 {
                        tries.progress();
                    } else if !asked {
                        // It took nothing and complains of nothing: the same as any other trouble that passes.
                        let trouble = Trouble::Broken("Google took no byte of a chunk".into());
                        tries.again(trouble).await.map_err(|trouble| self.told(trouble))?;
                    }
                    rest.advance(usize::try_from(fresh).unwrap_or(rest.len()));
                    self.arrived = has;
                }
                Ok((State::Done(item), _)) if total.is_some() => break Some(item),
                Ok((State::Done(_), _)) => {
                    self.may_be_there = true;
                    return Err(self.lost("it ended the upload before its end"));
                }
                Err(trouble) if trouble.is_missing() => return Err(self.lost("it has dropped the upload")),
                Err(trouble) if trouble.is_full() => return Err(self.full(trouble).await),
                Err(trouble) => return Err(self.told(trouble)),
            }
        };
        // The memory is taken anew: the old one is still held by the connection.
        self.buffer = BytesMut::with_capacity(CHUNK);
        self.buffer.extend_from_slice(&rest);
        Ok(done)
    }

    /// One chunk, and after a trouble the question how far it came, until there is an answer; and whether it was asked.
    async fn attempt(
        &self,
        chunk: Bytes,
        total: Option<u64>,
        tries: &mut Tries<'_>,
    ) -> Result<(State, bool), Trouble> {
        let api = &self.drive.api;
        let mut result = self.session.send(api, self.arrived, chunk, total).await;
        let mut asked = false;
        loop {
            match result {
                Ok(state) => return Ok((state, asked)),
                Err(trouble) => tries.again(trouble).await?,
            }
            result = self.session.ask(api).await;
            asked = true;
        }
    }

    fn told(&self, trouble: Trouble) -> Error {
        trouble.into_error("writing", &self.drive.place, self.path.as_str())
    }

    /// The session cannot go on, and what went before is not in our hands any more: only the whole object anew.
    fn lost(&self, why: &str) -> Error {
        Error::Failed {
            what: "writing",
            at: self.path.to_string(),
            source: io::Error::new(
                io::ErrorKind::ConnectionAborted,
                format!("Google Drive does not go on with the upload: {why}"),
            )
            .into(),
        }
    }

    async fn full(&self, trouble: Trouble) -> Error {
        let left = self.drive.free_space().await.ok().flatten();
        match self.told(trouble) {
            Error::Full {
                place,
                object,
                source,
                ..
            } => Error::Full {
                place,
                object,
                written: self.arrived,
                free: left,
                source,
            },
            other => other,
        }
    }

    /// Looks at what is there now: as long, the same bytes, where it belongs, and alone.
    async fn inspect(&self, item: Item, len: u64) -> Result<Stored, Error> {
        if item.len != len {
            return Err(Error::WrongSize {
                path: self.path.to_string(),
                expected: len,
                found: item.len,
            });
        }
        let ours = HEXLOWER.encode(&self.hash.clone().finalize());
        if let Some(theirs) = &item.sha256
            && !theirs.eq_ignore_ascii_case(&ours)
        {
            return Err(Error::Corrupted {
                path: self.path.to_string(),
                detail: format!("SHA-256 {theirs} instead of {ours}"),
            });
        }
        if item.trashed {
            return Err(self.lost("its folder was removed meanwhile"));
        }
        let named = self
            .drive
            .tree
            .files_named(&self.drive.api, &self.folders, &self.path)
            .await?;
        if named.iter().any(|other| other.id != item.id) {
            return Err(Error::AlreadyExists {
                path: self.path.to_string(),
            });
        }
        Ok(Stored {
            len,
            checksum: checksum(&item),
        })
    }
}

/// What Drive knows of the content without reading it. Files of this age have a SHA-256; where one has none, the MD5 serves
/// for comparing with an earlier answer.
pub(super) fn checksum(item: &Item) -> Option<Checksum> {
    match (&item.sha256, &item.md5) {
        (Some(sha256), _) => Some(Checksum::Sha256(sha256.to_ascii_lowercase())),
        (None, Some(md5)) => Some(Checksum::Other(format!("md5:{md5}"))),
        (None, None) => None,
    }
}

#[async_trait]
impl Upload for Sending {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            // A full buffer is sent when more comes: the last chunk is known as such only at the end, and must not be empty.
            if self.buffer.len() >= CHUNK {
                self.send(None).await?;
            }
            let piece = bytes.split_to(bytes.len().min(CHUNK - self.buffer.len()));
            self.hash.update(&piece);
            self.buffer.extend_from_slice(&piece);
        }
        Ok(())
    }

    async fn complete(&mut self, len: u64) -> Result<Stored, Error> {
        match self.send(Some(len)).await? {
            Some(item) => self.inspect(item, len).await,
            None => Err(self.lost("it does not end the upload")),
        }
    }

    async fn abandon(&mut self) {
        // In this order: a session that is given up cannot make the file after it was looked for.
        self.session.give_up(&self.drive.api).await;
        if self.may_be_there
            && let Err(trouble) = self.drive.api.delete(&self.id).await
        {
            tracing::warn!(path = %self.path, ?trouble, "an unfinished file may be left in Google Drive");
        }
    }
}
