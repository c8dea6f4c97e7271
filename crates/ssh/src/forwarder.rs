//! A port of this machine that leads to a port or socket of the far side.
//!
//! Every connection at a time has a session of its own; one that is free again is used for the next. Several in one session
//! would stand in each other's way: the library reads and writes a session's channels one after the other, so one that nobody
//! empties (a dump whose destination is slow), or that the server does not empty (a lock), would stop them all.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{ChannelStream, Error, Route, Session};

/// Sessions that are kept for the next connection.
const SPARE: usize = 2;
/// Logins under way at a time: servers turn away who comes with many (`MaxStartups`).
const LOGINS: usize = 2;
/// Bytes of one connection on their way in each direction.
const BUFFER: usize = 128 * 1024;

/// Something that an SSH server can connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Far {
    /// A port, as the server sees it: `localhost` is the server itself.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket of the server.
    Socket {
        /// Its path.
        path: String,
    },
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket { path } => write!(f, "the socket {path}"),
        }
    }
}

/// Listens on a port of 127.0.0.1 and carries each connection to the far side. Dropping it closes all of them.
pub struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder")
            .field("address", &self.address)
            .field("far", &self.shared.far)
            .finish_non_exhaustive()
    }
}

struct Shared {
    route: Route,
    far: Far,
    idle: Mutex<Vec<Session>>,
    logins: Semaphore,
    /// What went wrong with the newest connection that something went wrong with.
    trouble: Mutex<Option<Error>>,
    /// Cancelled when a session was lost while a connection was using it.
    lost: CancellationToken,
    stop: CancellationToken,
}

impl Forwarder {
    /// Logs in, makes sure that the far end can be reached, and begins to listen.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn open(route: Route, far: Far, cancel: &CancellationToken) -> Result<Self, Error> {
        let session = route.open(cancel).await?;
        // A connection that comes to nothing would only show as one that breaks; so a first one is tried here.
        let probe = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            opened = session.open(&far) => opened?,
        };
        drop(probe);
        let listening = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = listening
            .await
            .map_err(|source: std::io::Error| Error::io("listening on", "127.0.0.1", source))?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            route,
            far,
            idle: Mutex::new(vec![session]),
            logins: Semaphore::new(LOGINS),
            trouble: Mutex::new(None),
            lost: CancellationToken::new(),
            stop: stop.clone(),
        });
        // It ends when the forwarder is dropped, and all connections with it.
        drop(tokio::spawn(accept(listener, Arc::clone(&shared))));
        Ok(Self {
            address,
            shared,
            _stop: stop.drop_guard(),
        })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The SSH server, for messages.
    pub fn host(&self) -> String {
        self.shared.route.host()
    }

    /// What went wrong with a connection since the forwarder was opened, if anything did: a session that broke under it, or one
    /// that could not be had.
    pub fn trouble(&self) -> Option<Error> {
        lock(&self.shared.trouble).clone()
    }

    /// Waits until a session breaks while a connection is using it, and says how.
    pub async fn lost(&self) -> Error {
        self.shared.lost.cancelled().await;
        self.trouble().unwrap_or_else(|| Error::Lost {
            host: self.host(),
            why: "it ended".to_owned(),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((local, _)) => {
                    connections.spawn(carry(Arc::clone(&shared), local));
                }
                Err(error) => {
                    // Too many open files, say: it may pass.
                    tracing::warn!(%error, "a forwarded connection was not accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
        }
    }
    // Dropping the set ends what is still being carried.
    lock(&shared.idle).clear();
}

/// Carries one connection to its end.
async fn carry(shared: Arc<Shared>, mut local: TcpStream) {
    let (session, mut far) = match shared.channel().await {
        Ok(both) => {
            // What hurt an earlier connection that never came about hurts this one no more.
            if !shared.lost.is_cancelled() {
                *lock(&shared.trouble) = None;
            }
            both
        }
        // The local side hears it by being closed; what happened is told by `trouble`.
        Err(error) => {
            *lock(&shared.trouble) = Some(error);
            return;
        }
    };
    if let Err(error) = local.set_nodelay(true) {
        tracing::debug!(%error, "a connection's options were not set");
    }
    tokio::select! {
        biased;
        // How it ended is the two ends' affair.
        _ = tokio::io::copy_bidirectional_with_sizes(&mut local, &mut far, BUFFER, BUFFER) => {}
        _ = session.over() => {}
    }
    drop(far);
    if session.is_over() {
        *lock(&shared.trouble) = Some(session.last_words().await);
        shared.lost.cancel();
        // Only now, so that who sees the connection closed finds out why.
        drop(local);
        return;
    }
    drop(local);
    let mut idle = lock(&shared.idle);
    if idle.len() < SPARE && !shared.stop.is_cancelled() {
        idle.push(session);
    }
}

impl Shared {
    /// A connection to the far end, in a session that nothing else uses.
    async fn channel(&self) -> Result<(Session, ChannelStream), Error> {
        while let Some(spare) = self.spare() {
            match spare.open(&self.far).await {
                Ok(far) => return Ok((spare, far)),
                // It broke while nobody used it, which hurts nobody.
                Err(_) if spare.is_over() => {}
                Err(error) => return Err(error),
            }
        }
        let _turn = self.logins.acquire().await;
        let session = self.route.open(&self.stop).await?;
        let far = session.open(&self.far).await?;
        Ok((session, far))
    }

    fn spare(&self) -> Option<Session> {
        let mut idle = lock(&self.idle);
        idle.retain(|session| !session.is_over());
        idle.pop()
    }
}
