//! A bucket of Amazon S3, or of anything that speaks its protocol, as a destination.
//!
//! An object appears by one request: `PutObject`, or the completion of a multipart upload. Both carry `If-None-Match: *`, so on
//! a store that heeds it exactly one of several writers succeeds. Not all do, and some refuse the header: Amazon's is known to
//! heed it, any other is tried by [`Destination::prepare`](crate::Destination::prepare); until then, and where it is not
//! heeded, we look before we write.
//!
//! Bytes are signed by their SHA-256 and sent with their CRC32; to a store that has not shown that it compares that, with their
//! MD5 too, which every store knows. Larger objects go in parts, three of them in memory at most; see [`parts`].

mod client;
mod learned;
mod look;
mod parts;
mod read;
mod refusal;
mod request;
mod sweep;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use howdah_domain::destination::S3Place;
use howdah_domain::{BackupId, Secret};
use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use self::client::Settings;
use self::learned::{Conditions, Learned};
use self::parts::{LARGEST_OBJECT, Parts};
use self::refusal::{At, Kind, Refusal};
use self::upload::S3Upload;
use crate::destination::{Destination, Entry, MANIFEST, Object, ObjectWriter, Stat};
use crate::patience::Patience;
use crate::upload::{Uploading, unless_cancelled};
use crate::{Error, ObjectPath};

/// A bucket as a destination. Clones share connections and what was learned of the store.
#[derive(Clone)]
pub struct S3 {
    inner: Arc<Inner>,
}

struct Inner {
    place: S3Place,
    shown: String,
    settings: Settings,
    patience: Patience,
    client: OnceCell<Client>,
    learned: Learned,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("place", &self.inner.place)
            .field("learned", &self.inner.learned)
            .finish_non_exhaustive()
    }
}

impl S3 {
    /// The destination at a place; `secret` is the secret access key. Asks nobody.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] where the place cannot be one, or its certificate file cannot be read.
    pub fn new(place: &S3Place, secret: Option<&Secret>) -> Result<Self, Error> {
        Self::patient(place, secret, request::usual_patience())
    }

    /// As [`S3::new`], with a patience of the caller's own.
    ///
    /// # Errors
    /// As [`S3::new`].
    pub fn patient(place: &S3Place, secret: Option<&Secret>, patience: Patience) -> Result<Self, Error> {
        let settings = Settings::read(place, secret)?;
        let prefix = place.prefix.trim_matches('/');
        let shown = if prefix.is_empty() {
            format!("s3://{}", place.bucket)
        } else {
            format!("s3://{}/{prefix}", place.bucket)
        };
        let conditions = if place.endpoint.is_none() {
            Conditions::Heeded
        } else {
            Conditions::Unknown
        };
        Ok(Self {
            inner: Arc::new(Inner {
                place: S3Place {
                    prefix: prefix.to_owned(),
                    ..place.clone()
                },
                shown,
                settings,
                patience,
                client: OnceCell::new(),
                learned: Learned::new(conditions),
            }),
        })
    }

    async fn client(&self) -> &Client {
        let connect = self.inner.patience.connect;
        self.inner
            .client
            .get_or_init(|| self.inner.settings.client(connect))
            .await
    }

    fn place(&self) -> &S3Place {
        &self.inner.place
    }

    fn bucket(&self) -> &str {
        &self.inner.place.bucket
    }

    fn learned(&self) -> &Learned {
        &self.inner.learned
    }

    fn patience(&self) -> &Patience {
        &self.inner.patience
    }

    /// What people know the place by.
    fn shown(&self) -> &str {
        &self.inner.shown
    }

    /// The key of an object's path.
    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.below(None))
    }

    /// What the keys of everything in a folder begin with.
    fn below(&self, folder: Option<&ObjectPath>) -> String {
        let mut start = self.inner.place.prefix.clone();
        if let Some(folder) = folder {
            if !start.is_empty() {
                start.push('/');
            }
            start.push_str(folder.as_str());
        }
        if !start.is_empty() {
            start.push('/');
        }
        start
    }

    fn at<'a>(&'a self, what: &'static str, object: &'a str) -> At<'a> {
        At {
            place: self.shown(),
            what,
            object,
            writes: false,
            written: 0,
        }
    }

    fn removing<'a>(&'a self, object: &'a str) -> At<'a> {
        At {
            writes: true,
            ..self.at("removing", object)
        }
    }

    /// Aborts uploads, and removes objects, of a folder.
    async fn clear(&self, folder: &ObjectPath) -> Result<(), Refusal> {
        let below = self.below(Some(folder));
        let manifest = format!("{below}{MANIFEST}");
        self.delete_key(&manifest).await?;
        let keys = self.listed(&below).await?;
        let keys = keys.into_iter().map(|listed| listed.key).collect();
        self.delete_keys(keys).await?;
        for upload in self.unfinished(&below).await? {
            self.abort_upload(&upload.key, &upload.id).await?;
        }
        Ok(())
    }
}

/// Whether a key lies in a folder that is called as backups are.
fn is_of_a_backup(key: &str) -> bool {
    let mut parts = key.rsplit('/');
    let (_, folder) = (parts.next(), parts.next());
    folder.is_some_and(|folder| BackupId::parse(folder).is_some())
}

#[async_trait]
impl Destination for S3 {
    fn name(&self) -> String {
        self.shown().to_owned()
    }

    fn excludes_others(&self) -> bool {
        self.inner.learned.conditions() == Conditions::Heeded
    }

    async fn learn(&self, cancel: &CancellationToken) -> Result<(), Error> {
        if self.inner.learned.conditions() != Conditions::Unknown {
            return Ok(());
        }
        let at = At {
            writes: true,
            ..self.at("writing", "")
        };
        unless_cancelled(cancel, async {
            self.try_conditions()
                .await
                .map_err(|refusal| refusal.into_error(&at))
        })
        .await
    }

    /// Asks whether the bucket is there and may be listed, also for unfinished uploads; then writes and removes an object that
    /// nobody sees, twice, to learn whether the store keeps objects from being replaced. Leaves nothing.
    async fn prepare(&self, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, async {
            let asking = async {
                self.list_one().await?;
                self.unfinished(&self.below(None)).await
            };
            asking
                .await
                .map_err(|refusal| refusal.into_error(&self.at("reading", "")))?;
            let at = At {
                writes: true,
                ..self.at("writing", "")
            };
            self.try_conditions()
                .await
                .map_err(|refusal| refusal.into_error(&at))
        })
        .await
    }

    async fn create(
        &self,
        path: &ObjectPath,
        estimate: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn ObjectWriter>, Error> {
        let parts = Parts::for_object(estimate).ok_or_else(|| Error::TooLarge {
            place: self.shown().to_owned(),
            object: path.to_string(),
            limit: LARGEST_OBJECT,
        })?;
        unless_cancelled(cancel, self.look_first(path)).await?;
        let upload = S3Upload::new(self.clone(), path.clone(), parts);
        Ok(Box::new(Uploading::new(path.clone(), upload, cancel.clone())))
    }

    /// The body goes on reading where a connection breaks, as long as the same object is there, and ends with an error where
    /// its bytes do not match the checksum that the store keeps of a whole object.
    async fn read(
        &self,
        path: &ObjectPath,
        range: Option<Range<u64>>,
        cancel: &CancellationToken,
    ) -> Result<Object, Error> {
        unless_cancelled(cancel, read::open(self, path.as_str(), range, cancel)).await
    }

    async fn list(
        &self,
        folder: Option<&ObjectPath>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, Error> {
        let at = folder.map_or("", ObjectPath::as_str);
        let listed = unless_cancelled(cancel, async {
            self.listed(&self.below(folder))
                .await
                .map_err(|refusal| refusal.into_error(&self.at("reading", at)))
        })
        .await?;
        let root = self.below(None);
        let mut entries: Vec<Entry> = listed
            .into_iter()
            .filter_map(|listed| {
                let path = listed.key.strip_prefix(&root)?;
                Some(Entry {
                    path: ObjectPath::new(path).ok()?,
                    len: listed.len,
                })
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    async fn stat(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<Option<Stat>, Error> {
        unless_cancelled(cancel, async {
            let refusal = match self.head(&self.key(path.as_str())).await {
                Ok(head) => return Ok(Some(head.stat)),
                Err(refusal) => self.explained(refusal).await,
            };
            if refusal.kind == Kind::NoObject {
                return Ok(None);
            }
            Err(refusal.into_error(&self.at("reading", path.as_str())))
        })
        .await
    }

    async fn delete(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, async {
            self.delete_key(&self.key(path.as_str()))
                .await
                .map_err(|refusal| refusal.into_error(&self.removing(path.as_str())))
        })
        .await
    }

    /// In a bucket that keeps versions, older versions stay, as its owner decided.
    async fn delete_folder(&self, folder: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, async {
            self.clear(folder)
                .await
                .map_err(|refusal| refusal.into_error(&self.removing(folder.as_str())))
        })
        .await
    }

    /// Only what lies in a folder that is called as backups are counts as ours.
    async fn sweep(&self, before: Timestamp, cancel: &CancellationToken) -> Result<u64, Error> {
        let work = async {
            let mut aborted = 0;
            for upload in self.unfinished(&self.below(None)).await? {
                let old = upload.begun.is_some_and(|begun| begun < before.as_second());
                if old && is_of_a_backup(&upload.key) {
                    self.abort_upload(&upload.key, &upload.id).await?;
                    aborted += 1;
                }
            }
            Ok(aborted)
        };
        unless_cancelled(cancel, async {
            work.await
                .map_err(|refusal: Refusal| refusal.into_error(&self.removing("")))
        })
        .await
    }

    /// S3 does not tell.
    async fn free_space(&self, cancel: &CancellationToken) -> Result<Option<u64>, Error> {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(None)
    }
}
