//! Google Drive as a destination.
//!
//! **How objects lie there.** As files in folders, named by the parts of their paths: people find
//! `Howdah/laptop/shop/shop/20261122T040000Z-k3x9qa/dump.pgdump.zst` where they look for it, and whatever copies the folder to
//! another account or disk keeps it usable: there is no second truth in hidden properties. A list is taken folder by folder
//! while these are few; from [some two dozen on one level](tree) all that we can see is listed at once, 1000 files a page, and the
//! paths are put together from names and parents: 10,000 backups of five files are some 60 pages. (One query for many parents
//! would be fewer, but Drive is known to answer such with less than there is: rclone's issues 3114 and 4289.)
//!
//! **What we can see** is what was made with the same OAuth client (scope `drive.file`): not the user's other files. Hence files
//! are deleted for good, since they would fill the user's quota, but a folder that has become empty *to our eyes* goes into the bin:
//! deleting it would take along what the user has put into it.
//!
//! **Never replaced, and not quite atomic.** Drive lets several files have one name in one folder. So we look before we write, and
//! once more after, and whoever then sees another's file removes its own; two machines at the same moment may thereby both fail,
//! and neither shadows the other. Where there are several all the same, the oldest counts.
//!
//! **What is unfinished** is an upload session: it is no file, nobody sees it, and it takes no space. An upload that is given up ends its
//! session; the session of a process that was killed is dropped by Google within a week.
//!
//! Metadata, lists and deletions go through the crate `google-drive3`; sign-in, tokens, uploads and downloads are ours, because the
//! crate's own can neither go on with an upload nor read a range.

mod api;
mod client;
mod download;
mod endpoints;
mod session;
pub mod sign_in;
mod tokens;
mod tree;
mod trouble;
mod upload;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use howdah_domain::Secret;
use howdah_domain::destination::DrivePlace;
use tokio_util::sync::CancellationToken;

use self::api::{Api, Item};
pub use self::client::{OAuthClient, StoredGrant, built_in_client};
#[cfg(feature = "testing")]
pub use self::endpoints::emulate_google;
pub use self::endpoints::{Endpoints, Patience};
use self::tree::Tree;
use self::trouble::Trouble;
use self::upload::Sending;
use crate::destination::{Destination, Entry, MANIFEST, Object, ObjectWriter, Stat};
use crate::upload::{Uploading, unless_cancelled};
use crate::{Error, ObjectPath};

/// Deletions at once.
const AT_ONCE: usize = 4;

/// A folder in Google Drive.
#[derive(Debug, Clone)]
pub struct Drive {
    inner: Arc<Inner>,
}

/// What the destination and its writers share.
#[derive(Debug)]
struct Inner {
    api: Api,
    tree: Tree,
    /// The folder in Drive, for messages.
    place: String,
    /// The account that the place is meant to be in.
    account: Option<String>,
}

impl Drive {
    /// The destination at a place, with what [`StoredGrant::to_secret`] gave. Nobody is asked.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] where there is no OAuth client, [`Error::SignInNeeded`] where there is no grant.
    pub fn new(place: &DrivePlace, secret: Option<&Secret>) -> Result<Self, Error> {
        Self::build(place, secret, Endpoints::default(), Patience::default())
    }

    /// As [`Drive::new`], with an emulator in Google's place.
    ///
    /// # Errors
    /// As [`Drive::new`].
    #[cfg(feature = "testing")]
    pub fn emulated(
        place: &DrivePlace,
        secret: Option<&Secret>,
        endpoints: Endpoints,
        patience: Patience,
    ) -> Result<Self, Error> {
        Self::build(place, secret, endpoints, patience)
    }

    fn build(
        place: &DrivePlace,
        secret: Option<&Secret>,
        endpoints: Endpoints,
        patience: Patience,
    ) -> Result<Self, Error> {
        let secret = secret.ok_or_else(|| Error::SignInNeeded {
            place: client::PLACE.to_owned(),
            source: "the keyring holds no sign-in for it".into(),
        })?;
        let grant = StoredGrant::from_secret(secret)?;
        let client = match (&place.client_id, grant.client_secret) {
            (Some(id), secret) => OAuthClient {
                id: id.clone(),
                // Google has clients without a secret, and takes an empty one for none.
                secret: secret.unwrap_or_else(|| Secret::new("")),
            },
            (None, _) => built_in_client().ok_or_else(|| Error::Misconfigured {
                why: "This build of Howdah has no OAuth client of its own for Google Drive: enter the id and the secret of \
                      one of yours."
                    .to_owned(),
            })?,
        };
        let folder = place.folder.trim_matches('/');
        if folder.is_empty() {
            return Err(Error::Misconfigured {
                why: "The folder in Google Drive is missing.".to_owned(),
            });
        }
        let name = format!("{folder} in Google Drive");
        Ok(Self {
            inner: Arc::new(Inner {
                api: Api::new(client, grant.refresh_token, endpoints, patience)?,
                tree: Tree::new(folder, name.clone()),
                place: name,
                account: place.account.clone(),
            }),
        })
    }

    /// Whether the user's grant still holds, by asking Google for a new access token. To be asked from time to time, so that a
    /// grant that has gone is told before the next backup needs it.
    ///
    /// # Errors
    /// [`Error::SignInNeeded`] where it has gone; [`Error::Unreachable`] and [`Error::Busy`] say nothing about it.
    pub async fn check_grant(&self, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, async {
            let renewed = self.inner.api.tokens.renew().await;
            renewed.map_err(|trouble| self.inner.told(trouble, "signing in to", client::PLACE))
        })
        .await
    }
}

impl Inner {
    fn told(&self, trouble: Trouble, what: &'static str, at: &str) -> Error {
        trouble.into_error(what, &self.place, at)
    }

    async fn free_space(&self) -> Result<Option<u64>, Error> {
        let about = self
            .api
            .about()
            .await
            .map_err(|trouble| self.told(trouble, "asking", &self.place))?;
        // An account without a limit tells none.
        Ok(about.storage_quota.and_then(|quota| {
            let left = quota.limit?.saturating_sub(quota.usage.unwrap_or_default());
            Some(u64::try_from(left).unwrap_or_default())
        }))
    }

    /// The file that counts of those of this path.
    async fn find(&self, path: &ObjectPath) -> Result<Option<Item>, Error> {
        let folders = self.tree.folder_ids(&self.api, path.parent().as_ref()).await?;
        let found = self.tree.files_named(&self.api, &folders, path).await?;
        Ok(found.into_iter().next())
    }

    /// Removes every file of this path, those too that others of the same name hide.
    async fn delete(&self, path: &ObjectPath) -> Result<(), Error> {
        let folders = self.tree.folder_ids(&self.api, path.parent().as_ref()).await?;
        for item in self.tree.files_named(&self.api, &folders, path).await? {
            self.api
                .delete(&item.id)
                .await
                .map_err(|trouble| self.told(trouble, "removing", path.as_str()))?;
        }
        Ok(())
    }

    async fn delete_folder(&self, folder: &ObjectPath) -> Result<(), Error> {
        self.delete(&folder.join(MANIFEST)?).await?;
        let below = self.tree.below(&self.api, Some(folder)).await?;
        stream::iter(below.files)
            .map(|(_, item)| async move { self.api.delete(&item.id).await })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
            .map_err(|trouble| self.told(trouble, "removing", folder.as_str()))?;
        self.tree.remove_folder(&self.api, folder).await
    }

    async fn prepare(&self) -> Result<(), Error> {
        let about = self
            .api
            .about()
            .await
            .map_err(|trouble| self.told(trouble, "asking", &self.place))?;
        let signed_in = about.user.and_then(|user| user.email_address);
        if let (Some(meant), Some(signed_in)) = (&self.account, signed_in)
            && !meant.eq_ignore_ascii_case(&signed_in)
        {
            return Err(Error::Misconfigured {
                why: format!(
                    "This destination is in the Google Drive of {meant}, and Howdah is signed in as {signed_in}. Sign in \
                     again as {meant}, or add another destination."
                ),
            });
        }
        self.tree.make_root(&self.api).await
    }
}

#[async_trait]
impl Destination for Drive {
    fn name(&self) -> String {
        self.inner.place.clone()
    }

    async fn prepare(&self, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, self.inner.prepare()).await
    }

    async fn create(
        &self,
        path: &ObjectPath,
        _: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn ObjectWriter>, Error> {
        // Drive takes files of 5 TB: no estimate comes near.
        let inner = Arc::clone(&self.inner);
        let sending = unless_cancelled(cancel, async {
            let folders = inner.tree.make(&inner.api, path.parent().as_ref()).await?;
            let named = inner.tree.files_named(&inner.api, &folders, path).await?;
            if !named.is_empty() {
                return Err(Error::AlreadyExists {
                    path: path.to_string(),
                });
            }
            Sending::begin(Arc::clone(&inner), path, folders).await
        })
        .await?;
        Ok(Box::new(Uploading::new(path.clone(), sending, cancel.clone())))
    }

    async fn read(
        &self,
        path: &ObjectPath,
        range: Option<Range<u64>>,
        cancel: &CancellationToken,
    ) -> Result<Object, Error> {
        unless_cancelled(cancel, async {
            let item = self.inner.find(path).await?.ok_or_else(|| Error::NotFound {
                path: path.to_string(),
            })?;
            let range = range.map_or(0..item.len, |range| {
                range.start.min(item.len)..range.end.min(item.len)
            });
            download::open(&self.inner.api, &item, range, cancel)
                .await
                .map_err(|trouble| match trouble {
                    trouble if trouble.is_missing() => Error::NotFound {
                        path: path.to_string(),
                    },
                    trouble => self.inner.told(trouble, "reading", path.as_str()),
                })
        })
        .await
    }

    async fn list(
        &self,
        folder: Option<&ObjectPath>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, Error> {
        unless_cancelled(cancel, async {
            let below = self.inner.tree.below(&self.inner.api, folder).await?;
            Ok(below.into_entries())
        })
        .await
    }

    async fn stat(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<Option<Stat>, Error> {
        unless_cancelled(cancel, async {
            let found = self.inner.find(path).await?;
            Ok(found.map(|item| Stat {
                len: item.len,
                checksum: upload::checksum(&item),
            }))
        })
        .await
    }

    async fn delete(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, self.inner.delete(path)).await
    }

    async fn delete_folder(&self, folder: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        unless_cancelled(cancel, self.inner.delete_folder(folder)).await
    }

    async fn free_space(&self, cancel: &CancellationToken) -> Result<Option<u64>, Error> {
        unless_cancelled(cancel, self.inner.free_space()).await
    }
}
