//! A folder on an FTP server as a destination (RFC 959, 3659), with explicit or implicit TLS (RFC 4217) or none.
//!
//! An object is written under its name and `.part`, its size is checked, and then it is renamed. FTP has no way to rename only
//! where nothing is, so it is looked for first, and [`Destination::excludes_others`] stays false. Nor does FTP tell how much
//! space is left.
//!
//! All paths are given from the server's root on; folders are entered and then listed, since servers differ in how they read
//! a path behind a list command.

mod download;
mod error;
mod listing;
mod server;
mod session;
mod tls;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use howdah_domain::Secret;
use howdah_domain::destination::FtpPlace;
use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, Entry, MANIFEST, Object, ObjectWriter, Stat};
use crate::patience::Patience;
use crate::upload::{Uploading, unless_cancelled};
use crate::{Error, ObjectPath};
use download::Part;
use error::{Doing, Trouble};
use listing::{Item, Kind};
use server::{Lease, Server};
use upload::FtpUpload;

/// Folders in one another, at most: a server that shows a folder in itself must not keep us for ever.
const DEEPEST: usize = 64;

/// A folder on an FTP server.
pub struct Ftp {
    server: Arc<Server>,
}

impl Ftp {
    /// The destination at a place. Reads its certificate file, and asks nobody.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] where something holds a control character, or the certificate file cannot be used.
    pub fn new(place: &FtpPlace, secret: Option<&Secret>) -> Result<Self, Error> {
        Self::with_patience(place, secret, Patience::default())
    }

    /// As [`Ftp::new`], with another patience.
    ///
    /// # Errors
    /// As [`Ftp::new`].
    pub fn with_patience(
        place: &FtpPlace,
        secret: Option<&Secret>,
        patience: Patience,
    ) -> Result<Self, Error> {
        Ok(Self {
            server: Arc::new(Server::new(place, secret, patience)?),
        })
    }

    async fn len(&self, path: &ObjectPath) -> Result<Option<u64>, Error> {
        let server = &self.server;
        server
            .patience
            .retrying(|| async {
                let mut lease = server.lease().await?;
                let len = file_len(server, &mut lease, path.as_str()).await?;
                if len.is_none() {
                    demand_root(server, &mut lease).await?;
                }
                Ok(len)
            })
            .await
    }

    async fn open(&self, path: &ObjectPath, range: Option<Range<u64>>) -> Result<Object, Error> {
        let Some(total) = self.len(path).await? else {
            return Err(Error::NotFound {
                path: path.to_string(),
            });
        };
        let range = range.unwrap_or(0..total);
        let begin = range.start.min(total);
        let end = range.end.clamp(begin, total);
        if begin == end {
            return Ok(Object {
                len: 0,
                body: Box::new(tokio::io::empty()),
            });
        }
        let part = Part {
            begin,
            len: end - begin,
            to_the_end: end == total,
        };
        let server = &self.server;
        server
            .patience
            .retrying(|| download::begin(server, path, part))
            .await
    }

    async fn objects(&self, folder: Option<&ObjectPath>) -> Result<Vec<Entry>, Error> {
        let server = &self.server;
        let mut lease = server.lease().await?;
        let mut entries = Vec::new();
        let mut waiting = vec![folder.cloned()];
        while let Some(of) = waiting.pop() {
            let at = of.as_ref().map_or("", ObjectPath::as_str);
            let Some(items) = items(server, &mut lease, at).await? else {
                if of.as_ref() == folder {
                    demand_root(server, &mut lease).await?;
                }
                continue;
            };
            for Item { name, kind } in items {
                let path = match &of {
                    Some(folder) => folder.join(&name),
                    None => ObjectPath::new(name),
                };
                // What is not finished, and other people's files whose names we could not have given.
                let Ok(path) = path else { continue };
                match kind {
                    Kind::File(len) => entries.push(Entry { path, len }),
                    Kind::Folder if path.as_str().matches('/').count() < DEEPEST => waiting.push(Some(path)),
                    Kind::Folder | Kind::Other => {}
                }
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    async fn remove_folder(&self, folder: &ObjectPath) -> Result<(), Error> {
        let server = &self.server;
        let mut lease = server.lease().await?;
        remove_file(server, &mut lease, &format!("{folder}/{MANIFEST}")).await?;
        // A folder is removed when it comes up the second time: its files, and the folders in it, are gone by then.
        let mut waiting = vec![(folder.to_string(), false)];
        let mut was_there = false;
        while let Some((of, is_empty)) = waiting.pop() {
            if is_empty {
                let path = lease.path(&of);
                match lease.remove(&path, true).await {
                    Err(trouble)
                        if trouble.code().is_some() && !is_there(server, &mut lease, &of).await? => {}
                    result => result.map_err(|trouble| server.meaning(Doing::Removing, &of, trouble))?,
                }
                continue;
            }
            let Some(items) = items(server, &mut lease, &of).await? else {
                continue;
            };
            was_there = true;
            let deep = of.matches('/').count() >= DEEPEST;
            waiting.push((of.clone(), true));
            for Item { name, kind } in items {
                let path = format!("{of}/{name}");
                if kind == Kind::Folder && !deep {
                    waiting.push((path, false));
                } else {
                    remove_file(server, &mut lease, &path).await?;
                }
            }
        }
        if !was_there {
            demand_root(server, &mut lease).await?;
        }
        remove_empty_folders(&mut lease, folder.parent()).await;
        Ok(())
    }
}

/// Whether a folder below the root is there (an empty path is the root itself).
async fn is_there(server: &Server, lease: &mut Lease, folder: &str) -> Result<bool, Error> {
    let path = lease.path(folder);
    lease
        .enter(path.trim_end_matches('/'))
        .await
        .map_err(|trouble| server.meaning(Doing::Listing, folder, trouble))
}

/// Fails where the root is not there any more: that something in it is not there then has another reason.
async fn demand_root(server: &Server, lease: &mut Lease) -> Result<(), Error> {
    if is_there(server, lease, "").await? {
        Ok(())
    } else {
        Err(server.missing())
    }
}

/// What lies in a folder; none where it is not there.
async fn items(server: &Server, lease: &mut Lease, folder: &str) -> Result<Option<Vec<Item>>, Error> {
    if !is_there(server, lease, folder).await? {
        return Ok(None);
    }
    let (lines, machine) = lease
        .list()
        .await
        .map_err(|trouble| server.meaning(Doing::Listing, folder, trouble))?;
    match listing::read(&lines, machine) {
        Ok(items) => Ok(Some(items)),
        Err(odd) => Err(Error::Failed {
            what: "listing",
            at: format!("{}/{folder}", server.name),
            source: odd.into(),
        }),
    }
}

/// What is said of a name in the list of its folder.
async fn look(server: &Server, lease: &mut Lease, path: &str) -> Result<Option<Kind>, Error> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let items = items(server, lease, folder).await?;
    Ok(items
        .into_iter()
        .flatten()
        .find(|item| item.name == name)
        .map(|item| item.kind))
}

/// The length of a file; none where no file is there. Servers refuse SIZE with several codes, some of which mean other
/// things too, so that after a refusal the folder's list decides.
async fn file_len(server: &Server, lease: &mut Lease, path: &str) -> Result<Option<u64>, Error> {
    let full = lease.path(path);
    match lease.size(&full).await {
        Ok(len) if len > 0 => Ok(Some(len)),
        Err(trouble @ Trouble::Refused { code: 421, .. }) => {
            Err(server.meaning(Doing::Reading, path, trouble))
        }
        // Some tell a size of folders too, which is zero.
        Ok(_) | Err(Trouble::Refused { .. }) => match look(server, lease, path).await? {
            Some(Kind::File(len)) => Ok(Some(len)),
            _ => Ok(None),
        },
        Err(trouble) => Err(server.meaning(Doing::Reading, path, trouble)),
    }
}

/// Removes a file. It is no error where it is not there.
async fn remove_file(server: &Server, lease: &mut Lease, path: &str) -> Result<(), Error> {
    let full = lease.path(path);
    match lease.remove(&full, false).await {
        Err(trouble) if trouble.code().is_some_and(|code| code != 421) => {
            if look(server, lease, path).await?.is_none() {
                return Ok(());
            }
            Err(server.meaning(Doing::Removing, path, trouble))
        }
        result => result.map_err(|trouble| server.meaning(Doing::Removing, path, trouble)),
    }
}

/// Makes the folders on the way to an object. The root is not made.
async fn make_parents(server: &Server, lease: &mut Lease, object: &ObjectPath) -> Result<(), Error> {
    let Some(parent) = object.parent() else {
        return demand_root(server, lease).await;
    };
    if is_there(server, lease, parent.as_str()).await? {
        return Ok(());
    }
    demand_root(server, lease).await?;
    let mut folder = String::new();
    let mut refusal = None;
    for part in parent.as_str().split('/') {
        if !folder.is_empty() {
            folder.push('/');
        }
        folder.push_str(part);
        let path = lease.path(&folder);
        // One that is there is refused; what counts is whether the last one is there in the end.
        match lease.make_folder(&path).await {
            Err(trouble) if trouble.code().is_some_and(|code| code != 421) => refusal = Some(trouble),
            result => result.map_err(|trouble| server.meaning(Doing::MakingFolder, &folder, trouble))?,
        }
    }
    if is_there(server, lease, parent.as_str()).await? {
        return Ok(());
    }
    let refusal = refusal.unwrap_or_else(|| Trouble::Lost("the folder is not there after all".into()));
    Err(server.meaning(Doing::MakingFolder, parent.as_str(), refusal))
}

/// Removes a folder and those above it, as long as they are empty and below the root. RMD refuses one that is not empty, which
/// ends it and is no error.
async fn remove_empty_folders(lease: &mut Lease, folder: Option<ObjectPath>) {
    let mut folder = folder;
    while let Some(current) = folder {
        let path = lease.path(current.as_str());
        if let Err(trouble) = lease.remove(&path, true).await {
            let gone = match trouble.code() {
                Some(_) => matches!(lease.enter(&path).await, Ok(false)),
                None => return,
            };
            if !gone {
                return;
            }
        }
        folder = current.parent();
    }
}

impl fmt::Debug for Ftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ftp").field(&self.server.name).finish()
    }
}

#[async_trait]
impl Destination for Ftp {
    fn name(&self) -> String {
        self.server.name.clone()
    }

    /// Creates the folder where it is not there.
    async fn prepare(&self, cancel: &CancellationToken) -> Result<(), Error> {
        let server = &self.server;
        unless_cancelled(cancel, async {
            server.patience.retrying(|| server.prepare()).await.map(drop)
        })
        .await
    }

    async fn create(
        &self,
        path: &ObjectPath,
        _estimate: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn ObjectWriter>, Error> {
        let server = &self.server;
        unless_cancelled(cancel, async {
            let make = || async {
                let mut lease = server.lease().await?;
                if file_len(server, &mut lease, path.as_str()).await?.is_some() {
                    return Err(Error::AlreadyExists {
                        path: path.to_string(),
                    });
                }
                make_parents(server, &mut lease, path).await
            };
            server.patience.retrying(make).await
        })
        .await?;
        let upload = FtpUpload::new(Arc::clone(server), path.clone());
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
        let patience = &self.server.patience;
        unless_cancelled(cancel, patience.retrying(|| self.objects(folder))).await
    }

    async fn stat(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<Option<Stat>, Error> {
        unless_cancelled(cancel, async {
            let len = self.len(path).await?;
            Ok(len.map(|len| Stat { len, checksum: None }))
        })
        .await
    }

    async fn delete(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        let server = &self.server;
        let remove = || async {
            let mut lease = server.lease().await?;
            remove_file(server, &mut lease, path.as_str()).await?;
            demand_root(server, &mut lease).await?;
            remove_empty_folders(&mut lease, path.parent()).await;
            Ok(())
        };
        unless_cancelled(cancel, server.patience.retrying(remove)).await
    }

    async fn delete_folder(&self, folder: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        let patience = &self.server.patience;
        unless_cancelled(cancel, patience.retrying(|| self.remove_folder(folder))).await
    }

    async fn free_space(&self, cancel: &CancellationToken) -> Result<Option<u64>, Error> {
        let server = &self.server;
        unless_cancelled(cancel, async {
            let ask = || async {
                let mut lease = server.lease().await?;
                demand_root(server, &mut lease).await
            };
            server.patience.retrying(ask).await.map(|()| None)
        })
        .await
    }
}
