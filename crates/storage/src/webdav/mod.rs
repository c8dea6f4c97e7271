//! A WebDAV collection as a destination: Nextcloud, ownCloud, a NAS, a web server (RFC 4918).
//!
//! An object is written under its name and `.unfinished`, its size is checked, and then it is moved to its place with
//! `Overwrite: F`. Servers differ in whether they honour that, and none says that it looks and moves in one step, so it is
//! looked for first, and [`Destination::excludes_others`] stays false.
//!
//! Login is Basic; nothing is redirected, so that the password goes to the place's own host only. Lists are made with
//! `Depth: 1`, folder by folder: many servers refuse `infinity`, and some answer it with one level and do not say so.

mod client;
mod error;
mod propfind;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, TryStreamExt as _};
use howdah_domain::Secret;
use howdah_domain::destination::WebdavPlace;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, Entry, MANIFEST, Object, ObjectWriter, Stat};
use crate::exactly::Exactly;
use crate::patience::Patience;
use crate::upload::{Uploading, unless_cancelled};
use crate::{Error, ObjectPath};
use client::{Child, Client, UNFINISHED};
use upload::WebdavUpload;

/// Folders that are asked for at the same time.
const LISTS_AT_ONCE: usize = 8;

/// A WebDAV collection.
pub struct Webdav {
    client: Arc<Client>,
}

impl Webdav {
    /// The destination at a place. Reads its certificate file, and asks nobody.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] where the URL is none, or the certificate file cannot be used.
    pub fn new(place: &WebdavPlace, secret: Option<&Secret>) -> Result<Self, Error> {
        Self::with_patience(place, secret, Patience::default())
    }

    /// As [`Webdav::new`], with another patience.
    ///
    /// # Errors
    /// As [`Webdav::new`].
    pub fn with_patience(
        place: &WebdavPlace,
        secret: Option<&Secret>,
        patience: Patience,
    ) -> Result<Self, Error> {
        Ok(Self {
            client: Arc::new(Client::new(place, secret, patience)?),
        })
    }

    /// Reads, or says in which way the object is not there.
    async fn open(&self, path: &ObjectPath, range: Option<Range<u64>>) -> Result<Object, Error> {
        let client = &self.client;
        let range = match range {
            Some(range) if range.start >= range.end => return self.nothing_of(path).await,
            range => range,
        };
        let words = range
            .as_ref()
            .map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let response = client
            .patience
            .retrying(|| client.get(path.as_str(), words.as_deref()))
            .await?;
        match response.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(self.not_found(path).await),
            // It begins behind the object's end.
            StatusCode::RANGE_NOT_SATISFIABLE => self.nothing_of(path).await,
            StatusCode::PARTIAL_CONTENT => {
                let range = range.unwrap_or_default();
                let len = partial(&response, &range).ok_or_else(|| Error::Failed {
                    what: "reading",
                    at: path.to_string(),
                    source: format!(
                        "the server sends another part than bytes {} to {}",
                        range.start, range.end
                    )
                    .into(),
                })?;
                Ok(self.body(response, 0, len))
            }
            _ => {
                let total = match response.content_length() {
                    Some(total) => total,
                    None => match client.file_len(path.as_str()).await? {
                        Some(total) => total,
                        None => return Err(self.not_found(path).await),
                    },
                };
                let range = range.unwrap_or(0..total);
                let begin = range.start.min(total);
                Ok(self.body(response, begin, range.end.min(total) - begin))
            }
        }
    }

    /// The bytes of an answer, without the first `skip`: some servers know no ranges and send all.
    fn body(&self, response: Response, skip: u64, len: u64) -> Object {
        let idle = self.client.patience.idle;
        let bytes = response.bytes_stream().map_err(std::io::Error::other).boxed();
        let bytes = StreamReader::new(bytes);
        if skip == 0 {
            return Object {
                len,
                body: Box::new(Exactly::new(bytes, len, idle)),
            };
        }
        let bytes = Exactly::new(bytes, skip + len, idle);
        let skipping = futures_util::stream::once(async move {
            let mut bytes = bytes;
            tokio::io::copy(&mut (&mut bytes).take(skip), &mut tokio::io::sink()).await?;
            Ok::<_, std::io::Error>(tokio_util::io::ReaderStream::new(bytes))
        });
        Object {
            len,
            body: Box::new(StreamReader::new(skipping.try_flatten().boxed())),
        }
    }

    /// No bytes of an object that is there.
    async fn nothing_of(&self, path: &ObjectPath) -> Result<Object, Error> {
        match self.client.file_len(path.as_str()).await? {
            Some(_) => Ok(Object {
                len: 0,
                body: Box::new(tokio::io::empty()),
            }),
            None => Err(self.not_found(path).await),
        }
    }

    /// Why an object is not there.
    async fn not_found(&self, path: &ObjectPath) -> Error {
        match self.client.demand_root().await {
            Ok(()) => Error::NotFound {
                path: path.to_string(),
            },
            Err(error) => error,
        }
    }

    async fn objects(&self, folder: Option<&ObjectPath>) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut waiting = vec![folder.cloned()];
        let mut asked = FuturesUnordered::new();
        loop {
            while asked.len() < LISTS_AT_ONCE
                && let Some(folder) = waiting.pop()
            {
                asked.push(async move {
                    let children = self
                        .client
                        .children(folder.as_ref().map(ObjectPath::as_str))
                        .await;
                    (folder, children)
                });
            }
            let Some((of, children)) = asked.next().await else {
                break;
            };
            let Some(children) = children? else {
                // A folder that vanishes meanwhile has no objects; the one that was asked for, only if the root is there.
                if of.as_ref() == folder {
                    self.client.demand_root().await?;
                }
                continue;
            };
            for Child {
                name,
                collection,
                len,
            } in children
            {
                let path = match &of {
                    Some(folder) => folder.join(&name),
                    None => ObjectPath::new(name.as_str()),
                };
                // What is not finished, and other people's files whose names we could not have given.
                let Some(path) = path.ok().filter(|_| !name.ends_with(UNFINISHED)) else {
                    continue;
                };
                if collection {
                    waiting.push(Some(path));
                } else if let Some(len) = len {
                    entries.push(Entry { path, len });
                } else {
                    return Err(Error::Failed {
                        what: "listing",
                        at: path.to_string(),
                        source: "the server does not tell its size".into(),
                    });
                }
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }
}

/// The length of a part, if it is the one that was asked for (`bytes 500-599/1000`).
fn partial(response: &Response, range: &Range<u64>) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (part, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let end = match total.parse::<u64>() {
        Ok(total) => range.end.min(total),
        // `*`: the total is not known.
        Err(_) => range.end,
    };
    let len = (last + 1).checked_sub(first)?;
    (first == range.start && last + 1 == end).then_some(len)
}

/// Removes a folder and those above it, as long as they are empty and below the root. That is a nicety: what stands in its
/// way ends it, and is no error.
///
/// DELETE takes a folder with all that is in it, even with what somebody put there a moment ago: another plan's first backup
/// of that server. So the folder is moved aside first, looked at there, and put back where it is not empty.
async fn remove_empty_folders(client: &Client, folder: Option<ObjectPath>) {
    let mut folder = folder;
    while let Some(current) = folder {
        let name = current.as_str();
        match client.children(Some(name)).await {
            Ok(Some(children)) if children.is_empty() => {
                let aside = format!("{current}{UNFINISHED}");
                if client.rename(name, &aside, true).await.is_err() {
                    return;
                }
                match client.children(Some(&aside)).await {
                    Ok(Some(children)) if children.is_empty() => {}
                    _ => return put_back(client, &aside, name).await,
                }
                if client.remove(&aside, true).await.is_err() {
                    return;
                }
            }
            // It is gone already.
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return,
        }
        folder = current.parent();
    }
}

/// Undoes moving a folder aside, even where another of its name was made meanwhile.
async fn put_back(client: &Client, aside: &str, name: &str) {
    let Err(error) = client.rename(aside, name, true).await else {
        return;
    };
    tracing::warn!(%error, aside, "a folder that was not empty after all could not be put back at once");
    let Ok(Some(children)) = client.children(Some(aside)).await else {
        return;
    };
    for child in children {
        let from = format!("{aside}/{}", child.name);
        let to = format!("{name}/{}", child.name);
        if let Err(error) = client.rename(&from, &to, child.collection).await {
            tracing::warn!(%error, from, "it stays where it is");
        }
    }
}

impl fmt::Debug for Webdav {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webdav").field(&self.client.name).finish()
    }
}

#[async_trait]
impl Destination for Webdav {
    fn name(&self) -> String {
        self.client.name.clone()
    }

    /// Creates the collection where it is not there.
    async fn prepare(&self, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, async {
            if !self.client.root_exists().await? {
                self.client.make_root().await?;
                self.client.demand_root().await?;
            }
            Ok(())
        })
        .await
    }

    async fn create(
        &self,
        path: &ObjectPath,
        _estimate: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn ObjectWriter>, Error> {
        unless_cancelled(cancel, async {
            if path.as_str().split('/').any(|part| part.ends_with(UNFINISHED)) {
                return Err(Error::InvalidPath {
                    path: path.to_string(),
                    why: "names that end with .unfinished are kept for unfinished files",
                });
            }
            if self.client.file_len(path.as_str()).await?.is_some() {
                return Err(Error::AlreadyExists {
                    path: path.to_string(),
                });
            }
            self.client.make_parents(path).await
        })
        .await?;
        let upload = WebdavUpload::new(Arc::clone(&self.client), path.clone());
        Ok(Box::new(Uploading::new(path.clone(), upload, cancel.clone())))
    }

    async fn read(
        &self,
        path: &ObjectPath,
        range: Option<Range<u64>>,
        cancel: &CancellationToken,
    ) -> Result<Object, Error> {
        unless_cancelled(cancel, self.open(path, range)).await
    }

    async fn list(
        &self,
        folder: Option<&ObjectPath>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, Error> {
        unless_cancelled(cancel, self.objects(folder)).await
    }

    async fn stat(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<Option<Stat>, Error> {
        unless_cancelled(cancel, async {
            match self.client.file_len(path.as_str()).await? {
                Some(len) => Ok(Some(Stat { len, checksum: None })),
                None => self.client.demand_root().await.map(|()| None),
            }
        })
        .await
    }

    async fn delete(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, async {
            if self.client.remove(path.as_str(), false).await? {
                remove_empty_folders(&self.client, path.parent()).await;
                Ok(())
            } else {
                self.client.demand_root().await
            }
        })
        .await
    }

    async fn delete_folder(&self, folder: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, async {
            let manifest = format!("{folder}/{MANIFEST}");
            self.client.remove(&manifest, false).await?;
            if !self.client.remove(folder.as_str(), true).await? {
                self.client.demand_root().await?;
            }
            remove_empty_folders(&self.client, folder.parent()).await;
            Ok(())
        })
        .await
    }

    async fn free_space(&self, cancel: &CancellationToken) -> Result<Option<u64>, Error> {
        unless_cancelled(cancel, self.client.available()).await
    }
}
