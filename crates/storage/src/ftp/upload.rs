//! Writes one object over FTP: under a temporary name as the bytes come, its size checked, then renamed.
//!
//! Nothing is held back: a call to write returns when the system has taken the bytes. FTP has no checksums that servers agree
//! on; with TLS nothing can be altered on the way, without it only the size is checked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::error::{Doing, Trouble};
use super::server::{Lease, Server};
use super::session::Transfer;
use super::{file_len, make_parents, remove_empty_folders};
use crate::destination::Stored;
use crate::path::TEMPORARY;
use crate::upload::Upload;
use crate::{Error, ObjectPath};

/// When the leavings are looked for again: a server may notice late that an upload was cut.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// One object on its way.
pub(super) struct FtpUpload {
    server: Arc<Server>,
    object: ObjectPath,
    unfinished: String,
    /// The connection and its transfer, from the first bytes to the last.
    running: Option<(Lease, Transfer)>,
    /// Whether the server may have a file of the temporary name.
    begun: bool,
    written: u64,
}

impl FtpUpload {
    pub(super) fn new(server: Arc<Server>, object: ObjectPath) -> Self {
        Self {
            server,
            unfinished: format!("{object}{TEMPORARY}"),
            object,
            running: None,
            begun: false,
            written: 0,
        }
    }

    fn meaning(&self, trouble: Trouble) -> Error {
        self.server
            .meaning(Doing::Writing(self.written), self.object.as_str(), trouble)
    }

    /// The transfer that is running, or a new one.
    async fn running(&mut self) -> Result<(Lease, Transfer), Error> {
        if let Some(running) = self.running.take() {
            return Ok(running);
        }
        if self.begun {
            return Err(Error::Failed {
                what: "writing",
                at: self.object.to_string(),
                source: "the upload has ended".into(),
            });
        }
        let server = &self.server;
        let mut lease = server.patience.retrying(|| server.lease()).await?;
        let path = lease.path(&self.unfinished);
        self.begun = true;
        let transfer = match lease.begin_writing(&path).await {
            // Somebody may have removed the folder, empty as it was, since the object was begun.
            Err(trouble) if trouble.code().is_some() => {
                make_parents(server, &mut lease, &self.object).await?;
                lease.begin_writing(&path).await
            }
            result => result,
        };
        let transfer = transfer.map_err(|trouble| self.meaning(trouble))?;
        Ok((lease, transfer))
    }

    async fn size_of(&self, path: &str) -> Result<Option<u64>, Error> {
        let server = &self.server;
        server
            .patience
            .retrying(|| async {
                let mut lease = server.lease().await?;
                file_len(server, &mut lease, path).await
            })
            .await
    }

    /// Gives the object its name, where nothing of that name is. RNTO would replace it.
    async fn put_in_place(&self, len: u64) -> Result<(), Error> {
        let server = &self.server;
        let place = self.object.as_str();
        let exists = || Error::AlreadyExists {
            path: place.to_owned(),
        };
        if self.size_of(place).await?.is_some() {
            return Err(exists());
        }
        let mut pauses = server.patience.pauses.iter();
        loop {
            let mut lease = server.lease().await?;
            let (from, to) = (lease.path(&self.unfinished), lease.path(place));
            let Err(trouble) = lease.rename(&from, &to).await else {
                return Ok(());
            };
            drop(lease);
            let is_refusal = trouble.code().is_some();
            let error = server.meaning(Doing::Renaming, place, trouble);
            // The answer may be lost and the work done.
            let found = self.size_of(place).await?;
            if !is_refusal && found == Some(len) && self.size_of(&self.unfinished).await?.is_none() {
                return Ok(());
            }
            if found.is_some() {
                return Err(exists());
            }
            match (pauses.next(), &error) {
                (Some(pause), Error::Unreachable { .. } | Error::Busy { .. }) => {
                    tokio::time::sleep(*pause).await;
                }
                _ => return Err(error),
            }
        }
    }
}

#[async_trait]
impl Upload for FtpUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let (mut lease, mut transfer) = self.running().await?;
        let result = lease.write(&mut transfer, &bytes).await;
        self.running = Some((lease, transfer));
        result.map_err(|trouble| self.meaning(trouble))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    async fn complete(&mut self, len: u64) -> Result<Stored, Error> {
        let (mut lease, transfer) = self.running().await?;
        lease
            .end_writing(transfer)
            .await
            .map_err(|trouble| self.meaning(trouble))?;
        drop(lease);
        let found = self.size_of(&self.unfinished).await?;
        if found != Some(len) {
            return Err(Error::WrongSize {
                path: self.object.to_string(),
                expected: len,
                found: found.unwrap_or_default(),
            });
        }
        self.put_in_place(len).await?;
        Ok(Stored { len, checksum: None })
    }

    async fn abandon(&mut self) {
        if let Some((mut lease, transfer)) = self.running.take() {
            // The server is to have let go of the file before it is removed.
            lease.cut(transfer).await;
        }
        let Ok(mut lease) = self.server.lease().await else {
            return;
        };
        if self.begun {
            let path = lease.path(&self.unfinished);
            let mut pauses = LOOK_AGAIN.iter();
            loop {
                // Refused mostly because it is gone; what cannot be removed now goes with the folder.
                if lease
                    .remove(&path, false)
                    .await
                    .is_err_and(|trouble| trouble.code().is_none())
                {
                    return;
                }
                let Some(pause) = pauses.next() else { break };
                tokio::time::sleep(*pause).await;
            }
        }
        remove_empty_folders(&mut lease, self.object.parent()).await;
    }
}
