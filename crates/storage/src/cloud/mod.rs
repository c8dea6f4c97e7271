//! Buckets and containers of clouds, by way of opendal: Azure Blob Storage and Google Cloud Storage.
//!
//! All that both have in common is here: which request follows which, what is retried, what is checked. opendal makes the
//! requests and reads the answers; [`wire`] sends them. What differs is a [`Service`](service::Service), in the cloud's own module.
//!
//! opendal needs an HTTP transport before anything works. Its process-wide one (`opendal::install_default`) is not used: every
//! [`Cloud`] brings its own, so there is nothing to be installed and nothing to be forgotten.

mod door;
mod reading;
pub(crate) mod service;
pub(crate) mod trouble;
mod upload;
pub(crate) mod wire;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::{BASE64, HEXLOWER};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use opendal::{Metadata, Operator};
use tokio_util::sync::CancellationToken;

pub(crate) use self::door::Door;
pub use self::door::Patience;
use self::service::Service;
use self::trouble::Doing;
use self::upload::ToCloud;
use self::wire::Wire;
use crate::destination::{Checksum, Destination, Entry, MANIFEST, Object, ObjectWriter, Stat};
use crate::upload::{Uploading, unless_cancelled};
use crate::{Error, ObjectPath};

/// Objects that are removed at the same time.
const REMOVALS: usize = 8;

/// A container of Azure Blob Storage, or a bucket of Google Cloud Storage.
///
/// An upload holds at most two parts in memory, of 8 MiB where the size is known to be small enough and of 256 MiB at most
/// (Azure), or some 24 MiB (Google).
#[derive(Clone)]
pub struct Cloud {
    shared: Arc<Shared>,
}

/// What a destination and its uploads have in common.
pub(crate) struct Shared {
    name: String,
    /// What every key begins with: empty, or with a slash at its end.
    prefix: String,
    operator: Operator,
    wire: Wire,
    service: Arc<dyn Service>,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud")
            .field("name", &self.shared.name)
            .field("service", &self.shared.service)
            .finish_non_exhaustive()
    }
}

impl Cloud {
    /// A destination at an operator's root, below `prefix`. The operator must not sign.
    pub(crate) fn new(
        name: String,
        prefix: &str,
        operator: Operator,
        service: Arc<dyn Service>,
        patience: Patience,
    ) -> Result<Self, Error> {
        let wire = Wire::new(Door::new(patience)?, Arc::clone(&service));
        let mut whole_prefix = String::new();
        for part in prefix.split('/').filter(|part| !part.is_empty()) {
            whole_prefix.push_str(part);
            whole_prefix.push('/');
        }
        Ok(Self {
            shared: Arc::new(Shared {
                name,
                prefix: whole_prefix,
                operator: wire.carry(operator),
                wire,
                service,
            }),
        })
    }
}

impl Shared {
    fn doing<'a>(&'a self, what: &'static str, path: &'a str) -> Doing<'a> {
        Doing {
            place: &self.name,
            secret: self.service.secret(),
            what,
            path,
            changes: matches!(what, "writing" | "removing"),
            written: 0,
        }
    }

    /// The object's key. opendal trims blanks off the ends of names, so that another object than the one asked for would be
    /// meant.
    fn key(&self, path: &ObjectPath) -> Result<String, Error> {
        let key = format!("{}{path}", self.prefix);
        if key.trim() == key {
            Ok(key)
        } else {
            Err(Error::InvalidPath {
                path: path.to_string(),
                why: "it begins or ends with a blank, which this kind of destination cannot keep",
            })
        }
    }

    /// What the keys of everything below a folder begin with.
    fn below(&self, folder: Option<&ObjectPath>) -> Result<String, Error> {
        match folder {
            Some(folder) => Ok(format!("{}/", self.key(folder)?)),
            None => Ok(self.prefix.clone()),
        }
    }

    /// Keys and lengths of everything that begins with `prefix`, folders' own entries too.
    async fn keys(&self, prefix: &str) -> opendal::Result<Vec<(String, Metadata)>> {
        let lister = self.operator.lister_with(prefix).recursive(true).await?;
        lister.map_ok(opendal::Entry::into_parts).try_collect().await
    }

    /// What is known of an object. Where the cloud does not say whether the object or the bucket is missing, finds out.
    async fn look(&self, what: &'static str, path: &ObjectPath) -> Result<Metadata, Error> {
        let key = self.key(path)?;
        match self.operator.stat(&key).await {
            Ok(metadata) => Ok(metadata),
            Err(error) => Err(self
                .or_bucket(self.doing(what, path.as_str()).failed(&error))
                .await),
        }
    }

    /// "Not there", or rather that the bucket is not there.
    async fn or_bucket(&self, error: Error) -> Error {
        if matches!(error, Error::NotFound { .. })
            && self.service.hides_missing_bucket()
            && let Err(missing @ Error::Missing { .. }) = self.knock().await
        {
            return missing;
        }
        error
    }

    /// Finds out whether the bucket is there and lets us in.
    async fn knock(&self) -> Result<(), Error> {
        let knocking = async {
            let mut lister = self
                .operator
                .lister_with(&self.prefix)
                .recursive(true)
                .limit(1)
                .await?;
            lister.try_next().await
        };
        match knocking.await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.doing("reading", &self.name).failed(&error)),
        }
    }

    /// Removes an object; nothing is wrong where it is not there.
    async fn remove(&self, key: &str, path: &str) -> Result<(), Error> {
        match self.operator.delete(key).await {
            Ok(()) => Ok(()),
            Err(error) => match self.or_bucket(self.doing("removing", path).failed(&error)).await {
                Error::NotFound { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn remove_all(&self, keys: Vec<String>) -> Result<(), Error> {
        stream::iter(keys)
            .map(|key| async move { self.remove(&key, self.path_of(&key)).await })
            .buffer_unordered(REMOVALS)
            .try_collect::<()>()
            .await
    }

    fn path_of<'a>(&self, key: &'a str) -> &'a str {
        key.strip_prefix(&self.prefix).unwrap_or(key)
    }

    async fn remove_folder(&self, folder: &ObjectPath) -> Result<(), Error> {
        let below = self.below(Some(folder))?;
        self.remove(&format!("{below}{MANIFEST}"), MANIFEST).await?;
        let keys = self
            .keys(&below)
            .await
            .map_err(|error| self.doing("removing", folder.as_str()).failed(&error))?;
        self.remove_all(keys.into_iter().map(|(key, _)| key).collect())
            .await?;
        let unfinished = self
            .service
            .unfinished(&self.wire, &below)
            .await
            .map_err(|trouble| self.doing("removing", folder.as_str()).troubled(&trouble))?;
        self.remove_all(unfinished).await
    }
}

/// The cloud's own checksum: the MD5 where it has one, else what changes with the object.
fn checksum(metadata: &Metadata) -> Option<Checksum> {
    if let Some(md5) = md5(metadata) {
        return Some(Checksum::Other(format!("md5:{}", HEXLOWER.encode(&md5))));
    }
    let etag = metadata.etag()?.trim_matches('"');
    (!etag.is_empty()).then(|| Checksum::Other(format!("etag:{etag}")))
}

fn md5(metadata: &Metadata) -> Option<Vec<u8>> {
    let text = metadata.content_md5().filter(|text| !text.is_empty())?;
    BASE64.decode(text.as_bytes()).ok()
}

#[async_trait]
impl Destination for Cloud {
    fn name(&self) -> String {
        self.shared.name.clone()
    }

    fn excludes_others(&self) -> bool {
        true
    }

    async fn prepare(&self, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, self.shared.knock()).await
    }

    async fn create(
        &self,
        path: &ObjectPath,
        estimate: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn ObjectWriter>, Error> {
        let cut = self
            .shared
            .service
            .cut(estimate)
            .map_err(|limit| Error::TooLarge {
                place: self.shared.name.clone(),
                object: path.to_string(),
                limit,
            })?;
        // The cloud refuses to replace it in the end. Better to know before the first byte.
        let there = unless_cancelled(cancel, self.shared.look("writing", path)).await;
        match there {
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
            Ok(_) => {
                return Err(Error::AlreadyExists {
                    path: path.to_string(),
                });
            }
        }
        let upload = ToCloud::begin(&self.shared, path, cut).await?;
        Ok(Box::new(Uploading::new(path.clone(), upload, cancel.clone())))
    }

    async fn read(
        &self,
        path: &ObjectPath,
        range: Option<Range<u64>>,
        cancel: &CancellationToken,
    ) -> Result<Object, Error> {
        let metadata = unless_cancelled(cancel, self.shared.look("reading", path)).await?;
        let end = metadata.content_length();
        let range = range.unwrap_or(0..end);
        let range = range.start.min(end)..range.end.min(end);
        let opened = reading::open(Arc::clone(&self.shared), path.clone(), range, cancel.clone());
        unless_cancelled(cancel, opened).await
    }

    async fn list(
        &self,
        folder: Option<&ObjectPath>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, Error> {
        let listing = async {
            let below = self.shared.below(folder)?;
            let at = folder.map_or(self.shared.name.as_str(), ObjectPath::as_str);
            let keys = self.shared.keys(&below).await;
            let keys = keys.map_err(|error| self.shared.doing("reading", at).failed(&error))?;
            let mut entries: Vec<_> = keys
                .into_iter()
                .filter(|(_, metadata)| metadata.is_file())
                .filter_map(|(key, metadata)| {
                    // What is no path of ours is not ours.
                    let path = ObjectPath::new(self.shared.path_of(&key)).ok()?;
                    let len = metadata.content_length();
                    Some(Entry { path, len })
                })
                .collect();
            entries.sort_by(|one, other| one.path.cmp(&other.path));
            Ok(entries)
        };
        unless_cancelled(cancel, listing).await
    }

    async fn stat(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<Option<Stat>, Error> {
        match unless_cancelled(cancel, self.shared.look("reading", path)).await {
            Ok(metadata) => Ok(Some(Stat {
                len: metadata.content_length(),
                checksum: checksum(&metadata),
            })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        let removing = async { self.shared.remove(&self.shared.key(path)?, path.as_str()).await };
        unless_cancelled(cancel, removing).await
    }

    async fn delete_folder(&self, folder: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, self.shared.remove_folder(folder)).await
    }

    async fn free_space(&self, _: &CancellationToken) -> Result<Option<u64>, Error> {
        // Neither cloud has an end that it would tell.
        Ok(None)
    }
}
