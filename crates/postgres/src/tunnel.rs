//! A server within reach: straight, or through an SSH tunnel that is open as long as somebody holds it.
//!
//! What connects to a server takes a [`Connection`]. One with a tunnel can be used only while the tunnel is open, and then
//! says where its near end listens ([`Connection::forwarded`]): sessions and client programs go there, and keep the real host
//! name for everything else, so that certificates are verified as if there were no tunnel.
//!
//! A tunnel that breaks shows to what uses it as a connection that breaks. So every failure of work that was done within a
//! [`Reach`] is shown to [`Reach::judge`], which knows better.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use howdah_domain::{Connection, Failure, FailureCode, Secret};
use howdah_ssh::{Far, Forwarder, Options, Route};
use tokio_util::sync::CancellationToken;

use crate::Error;

/// A program hears that its connection broke a moment before it is known that it was the tunnel.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A server, and the tunnel to it where it has one. Dropping it closes the tunnel.
#[derive(Debug)]
pub struct Reach {
    connection: Connection,
    forwarder: Option<Forwarder>,
}

impl Reach {
    /// Opens the connection's tunnel; where it has none, this does nothing and cannot fail.
    ///
    /// `ssh_secret` is the SSH login's passphrase or password, and `known_hosts` Howdah's own file of accepted host keys, which
    /// is read beside the user's.
    ///
    /// # Errors
    /// [`Error::Failed`] with [`FailureCode::HostKeyUnknown`] (the key is in the details; [`howdah_ssh::Route`] gives it as a
    /// type), [`FailureCode::HostKeyChanged`], [`FailureCode::TunnelFailed`], [`FailureCode::TunnelLost`], or a code for
    /// reaching a server; [`Error::Cancelled`].
    pub async fn open(
        connection: &Connection,
        ssh_secret: Option<&Secret>,
        known_hosts: Option<&Path>,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let options = Options {
            known_hosts: known_hosts.map(Path::to_owned),
            ..Options::default()
        };
        Self::open_with(connection, ssh_secret, &options, cancel)
            .await
            .map_err(|error| of_ssh(&error))
    }

    /// As [`Reach::open`], with more said about sessions, and with the error of SSH itself: an unknown host key is there as what
    /// [`howdah_ssh::accept_host_key`] takes.
    ///
    /// # Errors
    /// Any of [`howdah_ssh::Error`].
    pub async fn open_with(
        connection: &Connection,
        ssh_secret: Option<&Secret>,
        options: &Options,
        cancel: &CancellationToken,
    ) -> Result<Self, howdah_ssh::Error> {
        let mut connection = connection.clone();
        connection.forwarded = None;
        let Some(target) = &connection.tunnel else {
            return Ok(Self {
                connection,
                forwarder: None,
            });
        };
        let far = if connection.is_socket() {
            Far::Socket {
                path: format!(
                    "{}/.s.PGSQL.{}",
                    connection.host.trim_end_matches('/'),
                    connection.port
                ),
            }
        } else {
            Far::Tcp {
                host: connection.host.clone(),
                port: connection.port,
            }
        };
        let route = Route::resolve(target, ssh_secret, options, cancel).await?;
        let forwarder = Box::pin(Forwarder::open(route, far, cancel)).await?;
        connection.forwarded = Some(forwarder.address());
        Ok(Self {
            connection,
            forwarder: Some(forwarder),
        })
    }

    /// The connection to use, for as long as this is held; other databases are reached by
    /// [`Connection::with_database`] of it.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What a failure of work within this reach really is: where the tunnel broke, that, whatever the work made of it.
    pub async fn judge(&self, failure: Failure) -> Failure {
        let Some(forwarder) = &self.forwarder else {
            return failure;
        };
        if !may_come_of_the_way(failure.code) {
            return failure;
        }
        if forwarder.trouble().is_none() {
            // Where nothing comes, nothing came of the tunnel.
            let _ = tokio::time::timeout(LAST_WORDS, forwarder.lost()).await;
        }
        match forwarder.trouble() {
            Some(trouble) => said_of(&trouble, &failure),
            None => failure,
        }
    }

    /// Waits until the tunnel breaks while something is using it. Where there is no tunnel, for ever.
    pub async fn lost(&self) -> Failure {
        match &self.forwarder {
            Some(forwarder) => forwarder.lost().await.to_failure(),
            None => std::future::pending().await,
        }
    }
}

/// Accepts an SSH server's key from now on: writes `line`, host and key as the details of [`FailureCode::HostKeyUnknown`] have
/// them, into Howdah's own file of accepted keys.
///
/// # Errors
/// The file cannot be written, or `line` is no host and key.
pub fn accept_host_key(known_hosts: &Path, line: &str) -> Result<(), Error> {
    howdah_ssh::accept_host_key(known_hosts, line).map_err(|error| of_ssh(&error))
}

/// The tunnel's trouble, with what the work made of it in the details.
fn said_of(trouble: &howdah_ssh::Error, failure: &Failure) -> Failure {
    use howdah_ssh::Error as Ssh;
    let mut told = trouble.to_failure();
    // The tunnel stood before: that the way to its server is gone now is the same as if it had broken.
    if matches!(
        trouble,
        Ssh::HostNotFound { .. } | Ssh::Unreachable { .. } | Ssh::Timeout { .. }
    ) {
        told = Failure {
            code: FailureCode::TunnelLost,
            message: format!(
                "The SSH tunnel broke, and cannot be made anew now. {}",
                told.message
            ),
            ..told
        };
    }
    let mut details: Vec<String> = told.details.take().into_iter().collect();
    details.push(failure.message.clone());
    details.extend(failure.details.clone());
    told.details(details.join("\n"))
}

/// Whether an error may be what a broken tunnel looks like.
fn may_come_of_the_way(code: FailureCode) -> bool {
    use FailureCode as Code;
    matches!(
        code,
        Code::ConnectionLost
            | Code::ConnectionRefused
            | Code::Unreachable
            | Code::Timeout
            | Code::NotPostgres
            | Code::TlsUnavailable
            | Code::ServerStarting
            | Code::Stalled
            | Code::ProgramFailed
            | Code::RestoreFailed
            | Code::DumpTruncated
            | Code::DumpMalformed
            | Code::Internal
    )
}

/// An error of SSH as one of reaching a server.
fn of_ssh(error: &howdah_ssh::Error) -> Error {
    if error.is_cancelled() {
        Error::Cancelled
    } else {
        error.to_failure().into()
    }
}

/// Where a connection is to be dialled instead of its own host, where it has a tunnel.
///
/// # Errors
/// [`FailureCode::Internal`] where its tunnel is not open: going straight would reach another server, or none.
pub(crate) fn near_end(connection: &Connection) -> Result<Option<SocketAddr>, Error> {
    match (&connection.tunnel, connection.forwarded) {
        (None, _) => Ok(None),
        (Some(_), Some(address)) => Ok(Some(address)),
        (Some(ssh), None) => Err(Failure::new(
            FailureCode::Internal,
            format!(
                "The SSH tunnel to {} by {} was not opened.",
                connection.host, ssh.host
            ),
        )
        .hint("This is a fault of Howdah: please report it.")
        .into()),
    }
}
