//! A destination that is a folder reached over SSH (SFTP, version 3 of the protocol: draft-ietf-secsh-filexfer-02, with
//! OpenSSH's extensions where the server offers them).
//!
//! One connection serves all calls, and is made anew when it has broken. Calls that can be repeated are, a few times. A file is
//! written as `NAME.part` and renamed; where the server offers it, it is brought to its disk first. The destination's folder is
//! made by [`Destination::prepare`] only: where it is missing later, a disk is probably not mounted.
//!
//! Memory: a writer holds at most 4.2 MB, a reader 2 MB.

mod connection;
mod errors;
mod reader;
mod tree;
mod writer;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use howdah_domain::destination::SftpPlace;
use howdah_domain::{Place, Secret};
use howdah_ssh::{Options, Route};
use russh_sftp::protocol::StatusCode;
use tokio_util::sync::CancellationToken;

use self::connection::{Connection, Kind, PATIENCE};
use self::errors::{Trouble, no_folder, of_ssh};
use crate::destination::{Destination, Entry, Object, ObjectWriter, Stat};
use crate::upload::{Uploading, unless_cancelled};
use crate::{Error, ObjectPath};

/// How often a call that can be repeated is made.
const ATTEMPTS: u32 = 3;
/// The pause before the second attempt; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// A call that has taken so long is not repeated.
const LONG: Duration = Duration::from_secs(30);

/// A folder reached over SSH, as a destination.
#[derive(Clone)]
pub struct Sftp {
    shared: Arc<Shared>,
}

/// What the destination's calls, writers and readers share.
struct Shared {
    /// Its URL, with how to get in.
    name: String,
    /// What people know it by, for errors: the same without that.
    place: String,
    target: SftpPlace,
    secret: Option<Secret>,
    options: Options,
    patience: Duration,
    /// Found out when it is first needed.
    route: tokio::sync::OnceCell<Route>,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
}

impl fmt::Debug for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sftp")
            .field("place", &self.shared.place)
            .finish_non_exhaustive()
    }
}

impl Sftp {
    /// The destination at a place. Touches no network. `known_hosts` is Howdah's own file of accepted host keys, which is read
    /// beside the user's; it need not exist.
    pub fn new(place: &SftpPlace, secret: Option<&Secret>, known_hosts: Option<&Path>) -> Self {
        let options = Options {
            known_hosts: known_hosts.map(Path::to_owned),
            ..Options::default()
        };
        Self::with_options(place, secret, options, PATIENCE)
    }

    /// As [`Sftp::new`], with more said about sessions, and how long nothing may move.
    pub fn with_options(
        place: &SftpPlace,
        secret: Option<&Secret>,
        options: Options,
        patience: Duration,
    ) -> Self {
        let normal = Place::Sftp(place.clone()).normalized();
        let (name, shown) = (normal.to_string(), normal.shown());
        let target = match normal {
            Place::Sftp(place) => place,
            _ => place.clone(),
        };
        Self {
            shared: Arc::new(Shared {
                name,
                place: shown,
                target,
                secret: secret.cloned(),
                options,
                patience,
                route: tokio::sync::OnceCell::new(),
                connection: tokio::sync::Mutex::new(None),
            }),
        }
    }
}

impl Shared {
    /// The connection, made anew where there is none or it has broken.
    async fn connection(&self, cancel: &CancellationToken) -> Result<Arc<Connection>, Error> {
        let mut slot = unless_cancelled(cancel, async { Ok(self.connection.lock().await) }).await?;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_dead()) {
            return Ok(Arc::clone(connection));
        }
        *slot = None;
        let opening = async {
            let route = self.route.get_or_try_init(|| async {
                let target = &self.target.ssh;
                let route = Route::resolve(target, self.secret.as_ref(), &self.options, cancel);
                route.await.map_err(|error| of_ssh(&self.place, error))
            });
            let route = route.await?;
            let folder = self.target.path.as_str();
            Connection::open(&self.place, folder, route, self.patience, cancel).await
        };
        let connection = Arc::new(unless_cancelled(cancel, Box::pin(opening)).await?);
        *slot = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Makes a call that can be repeated; a connection that breaks is made anew.
    async fn repeating<'a, T>(
        &'a self,
        cancel: &CancellationToken,
        call: impl Fn(Arc<Connection>) -> BoxFuture<'a, Result<T, Error>> + Send + Sync,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            let result = match self.connection(cancel).await {
                Ok(connection) => unless_cancelled(cancel, call(connection)).await,
                Err(error) => Err(error),
            };
            match result {
                Err(Error::Unreachable { .. }) if attempt < ATTEMPTS && begun.elapsed() < LONG => {
                    let pause = PAUSE * 2_u32.pow(attempt - 1);
                    attempt += 1;
                    unless_cancelled(cancel, async {
                        tokio::time::sleep(pause).await;
                        Ok(())
                    })
                    .await?;
                }
                result => return result,
            }
        }
    }

    /// The destination's folder must be there.
    async fn demand_root(&self, connection: &Connection) -> Result<(), Error> {
        let root = connection.root();
        match connection.stat(root).await {
            Ok(Some((Kind::Folder, _))) => Ok(()),
            Ok(_) => Err(no_folder(&self.place)),
            Err(trouble) => Err(trouble.reading(&self.place, root)),
        }
    }

    /// An error of writing: a full disk and a missing folder are told as such.
    async fn write_error(
        &self,
        connection: &Connection,
        trouble: &Trouble,
        object: &str,
        written: u64,
    ) -> Error {
        if trouble.is(StatusCode::NoSuchFile)
            && let Err(missing) = self.demand_root(connection).await
        {
            return missing;
        }
        let free = if trouble.is(StatusCode::Failure) {
            connection.free().await.ok().flatten()
        } else {
            None
        };
        trouble.writing(&self.place, object, written, free)
    }
}

#[async_trait]
impl Destination for Sftp {
    fn name(&self) -> String {
        self.shared.name.clone()
    }

    /// Makes the folder where it is not there, with those above it.
    async fn prepare(&self, cancel: &CancellationToken) -> Result<(), Error> {
        let shared = &self.shared;
        let preparing =
            |connection: Arc<Connection>| async move { tree::prepare(shared, &connection).await }.boxed();
        shared.repeating(cancel, preparing).await
    }

    async fn create(
        &self,
        path: &ObjectPath,
        _estimate: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn ObjectWriter>, Error> {
        let shared = &self.shared;
        let opening = |connection: Arc<Connection>| {
            async move { writer::SftpUpload::open(Arc::clone(shared), &connection, path).await }.boxed()
        };
        let upload = shared.repeating(cancel, opening).await?;
        Ok(Box::new(Uploading::new(path.clone(), upload, cancel.clone())))
    }

    async fn read(
        &self,
        path: &ObjectPath,
        range: Option<Range<u64>>,
        cancel: &CancellationToken,
    ) -> Result<Object, Error> {
        let shared = &self.shared;
        let reading = |connection: Arc<Connection>| {
            let (range, cancel) = (range.clone(), cancel.clone());
            async move { reader::open(shared, &connection, path, range, cancel).await }.boxed()
        };
        shared.repeating(cancel, reading).await
    }

    async fn list(
        &self,
        folder: Option<&ObjectPath>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, Error> {
        let shared = &self.shared;
        let listing = |connection: Arc<Connection>| {
            async move { tree::list(shared, &connection, folder).await }.boxed()
        };
        shared.repeating(cancel, listing).await
    }

    async fn stat(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<Option<Stat>, Error> {
        let shared = &self.shared;
        let looking = |connection: Arc<Connection>| {
            async move {
                let at = connection.at(Some(path));
                let found = connection.stat(&at).await;
                match found.map_err(|trouble| trouble.reading(&shared.place, &at))? {
                    Some((Kind::File, len)) => Ok(Some(Stat { len, checksum: None })),
                    Some(_) => Ok(None),
                    None => shared.demand_root(&connection).await.map(|()| None),
                }
            }
            .boxed()
        };
        shared.repeating(cancel, looking).await
    }

    async fn delete(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        let shared = &self.shared;
        let removing = |connection: Arc<Connection>| {
            async move {
                shared.demand_root(&connection).await?;
                let at = connection.at(Some(path));
                let removed = async {
                    connection.remove(&at).await?;
                    connection.remove_empty_folders(path.parent()).await
                };
                let removed = removed.await;
                removed.map_err(|trouble| trouble.changing("removing", &shared.place, &at))
            }
            .boxed()
        };
        shared.repeating(cancel, removing).await
    }

    async fn delete_folder(&self, folder: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        let shared = &self.shared;
        let removing = |connection: Arc<Connection>| {
            async move { tree::delete_folder(shared, &connection, folder).await }.boxed()
        };
        shared.repeating(cancel, removing).await
    }

    async fn free_space(&self, cancel: &CancellationToken) -> Result<Option<u64>, Error> {
        let shared = &self.shared;
        let asking = |connection: Arc<Connection>| {
            async move {
                shared.demand_root(&connection).await?;
                let free = connection.free().await;
                free.map_err(|trouble| trouble.reading(&shared.place, connection.root()))
            }
            .boxed()
        };
        shared.repeating(cancel, asking).await
    }
}
