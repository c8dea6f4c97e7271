//! Opening a socket to a server: its name's addresses one after the other, or its Unix socket. Nothing is said over it yet.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use howdah_domain::{Connection, Failure, FailureCode};
use tokio::net::TcpStream;

use crate::wire::Wire;
use crate::{Error, classify, words};

#[cfg(unix)]
pub(crate) async fn dial_socket(connection: &Connection) -> Result<Wire, Error> {
    let path = format!("{}/.s.PGSQL.{}", connection.host, connection.port);
    match tokio::net::UnixStream::connect(&path).await {
        Ok(stream) => Ok(Wire::socket(stream)),
        Err(error) => {
            let mut failure = words::connecting(classify::dial_code(&error), connection);
            if error.kind() == io::ErrorKind::PermissionDenied {
                failure = Failure::new(
                    FailureCode::Unreachable,
                    format!("This user may not use the socket {path}."),
                )
                .hint("Check the permissions of the socket and its directory (unix_socket_permissions), or use TCP.");
            }
            Err(failure.details(format!("{path}: {error}")).into())
        }
    }
}

#[cfg(not(unix))]
pub(crate) async fn dial_socket(connection: &Connection) -> Result<Wire, Error> {
    Err(Failure::new(
        FailureCode::InvalidConnection,
        format!("{} is a Unix socket; this machine has none.", connection.host),
    )
    .hint("Use localhost.")
    .into())
}

/// Between the starts of attempts at a name's addresses, so that a dead IPv6 route does not hold up IPv4 (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

pub(crate) async fn dial_tcp(connection: &Connection) -> Result<TcpStream, Error> {
    let host = connection.host.as_str();
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((host, connection.port)).await {
        Ok(addresses) => addresses.take(16).collect(),
        Err(error) => {
            return Err(words::connecting(FailureCode::HostNotFound, connection)
                .details(format!("{host}: {error}"))
                .into());
        }
    };
    if addresses.is_empty() {
        return Err(words::connecting(FailureCode::HostNotFound, connection)
            .details(format!("{host}: no address"))
            .into());
    }
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut refusals: Vec<(SocketAddr, io::Error)> = Vec::new();
    attempts.extend(waiting.next().map(dial_address));
    loop {
        tokio::select! {
            Some((address, outcome)) = attempts.next() => match outcome {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    refusals.push((address, error));
                    attempts.extend(waiting.next().map(dial_address));
                    if attempts.is_empty() {
                        return Err(dial_failure(connection, &refusals).into());
                    }
                }
            },
            () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {
                attempts.extend(waiting.next().map(dial_address));
            }
        }
    }
}

pub(crate) async fn dial_address(address: SocketAddr) -> (SocketAddr, io::Result<TcpStream>) {
    let outcome = TcpStream::connect(address).await.and_then(|stream| {
        stream.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(stream)
    });
    (address, outcome)
}

/// Idle time before the first TCP keepalive, also for the client programs.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Time between TCP keepalives that are not answered, also for the client programs.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

fn dial_failure(connection: &Connection, refusals: &[(SocketAddr, io::Error)]) -> Failure {
    // The answer of a machine that is there says more than a missing route to another of its addresses.
    let code = refusals
        .iter()
        .map(|(_, error)| classify::dial_code(error))
        .find(|code| *code == FailureCode::ConnectionRefused)
        .or_else(|| refusals.first().map(|(_, error)| classify::dial_code(error)))
        .unwrap_or(FailureCode::Unreachable);
    let details: Vec<String> = refusals
        .iter()
        .map(|(address, error)| format!("{address}: {error}"))
        .collect();
    words::connecting(code, connection).details(details.join("\n"))
}
