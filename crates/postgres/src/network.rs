//! Whose fault is it? Whether this machine has a way to a database that did not answer: a failure counts against a database only where it has.
//!
//! Nothing is sent but to the machine's own gateway and its own resolver, and no name is resolved but the database's. What can be told so is
//! limited: a machine whose gateway is there may still be cut off behind it, and a way through a VPN that is down looks like one without. Whether
//! other servers answered lately is known to the caller only.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use async_trait::async_trait;
use howdah_domain::{Failure, FailureCode};
use tokio_util::sync::CancellationToken;

#[cfg(target_os = "linux")]
mod gateway;
mod lookup;
#[cfg(target_os = "linux")]
mod resolvers;
#[cfg(target_os = "linux")]
mod routes;

#[cfg(not(target_os = "linux"))]
mod gateway {
    /// Nothing is known of the gateway.
    pub(super) async fn look(_addresses: &[std::net::IpAddr]) -> super::Outlook {
        super::Outlook::Online
    }
}

use lookup::Lookup;

/// The longest a look takes.
pub const LIMIT: Duration = Duration::from_secs(5);

/// How long the resolver may take to answer.
const RESOLVING: Duration = Duration::from_millis(2_400);

/// What this machine's network looks like from a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlook {
    /// There is a way, as far as this machine can tell: the failure is the database's.
    Online,
    /// There is none: nothing can be said of the database.
    Offline {
        /// Why, in a sentence.
        why: String,
    },
    /// The database is on this machine and needs no network.
    Local,
}

impl Outlook {
    fn offline(why: impl Into<String>) -> Self {
        Self::Offline { why: why.into() }
    }
}

/// Looks at this machine's network.
#[async_trait]
pub trait Network: Send + Sync + Debug {
    /// After `failure` to reach `host` (a name, an address, or a directory with a Unix socket): whether this machine has a way to it. Where there is
    /// a tunnel, `host` and `port` are those of its SSH server. Takes [`LIMIT`] at most. A look that is cancelled can say nothing:
    /// [`Outlook::Offline`].
    async fn look(&self, host: &str, port: u16, failure: &Failure, cancel: &CancellationToken) -> Outlook;
}

/// The network of the system that Howdah runs on. On others than Linux the gateway is not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNetwork;

#[async_trait]
impl Network for SystemNetwork {
    async fn look(&self, host: &str, port: u16, failure: &Failure, cancel: &CancellationToken) -> Outlook {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Outlook::offline("The look at the network was cancelled."),
            outlook = looked(host, port, failure.code) => outlook,
            // Each of its steps has a limit of its own; this is for a machine that is too busy to notice.
            () = tokio::time::sleep(LIMIT) => Outlook::offline("This machine could not look at its network in time."),
        }
    }
}

/// Whether a failure can have come of a missing way. With any other, something has answered.
fn may_be_the_network(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::HostNotFound
            | FailureCode::Unreachable
            | FailureCode::Timeout
            | FailureCode::ConnectionLost
            | FailureCode::TunnelFailed
            | FailureCode::TunnelLost
    )
}

async fn looked(host: &str, port: u16, code: FailureCode) -> Outlook {
    if host.starts_with('/') {
        return Outlook::Local;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return look_at(&[address], port, code).await;
    }
    let found = tokio::time::timeout(RESOLVING, lookup::lookup(host)).await;
    match found.unwrap_or_else(|_| Lookup::NoAnswer("no answer in time".to_owned())) {
        Lookup::Found(addresses) => look_at(&addresses, port, code).await,
        _ if !may_be_the_network(code) => Outlook::Online,
        Lookup::NoSuchName if says_so_only_when_asked() || has_any_route() => Outlook::Online,
        Lookup::NoSuchName => Outlook::offline("This machine has no route to any network."),
        Lookup::NoAnswer(why) => Outlook::offline(format!(
            "The name {host} cannot be looked up: this machine's resolver does not answer ({why})."
        )),
    }
}

/// Whether "no such name" is what a name server has said. Apple's resolver says it without a network, too.
const fn says_so_only_when_asked() -> bool {
    cfg!(target_os = "linux")
}

async fn look_at(addresses: &[IpAddr], port: u16, code: FailureCode) -> Outlook {
    let mut ways = Vec::new();
    let mut refusal = None;
    for address in addresses {
        match way_to(*address, port) {
            Ok(Way::Local) => return Outlook::Local,
            Ok(Way::Remote) => ways.push(*address),
            Err(error) => refusal = Some((*address, error)),
        }
    }
    if !may_be_the_network(code) {
        return Outlook::Online;
    }
    match (ways.first(), refusal) {
        (Some(_), _) => gateway::look(&ways).await,
        (None, Some((address, error))) if is_no_way(&error) => {
            Outlook::offline(format!("This machine has no route to {address} ({error})."))
        }
        // Another error says nothing about the network.
        (None, _) => Outlook::Online,
    }
}

/// Where an address is.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Local,
    Remote,
}

/// Asks the system for the way to an address. Connecting a UDP socket chooses a route and sends nothing.
fn way_to(address: IpAddr, port: u16) -> io::Result<Way> {
    if address.to_canonical().is_loopback() || address.is_unspecified() {
        return Ok(Way::Local);
    }
    let own: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(own, 0))?;
    socket.connect(SocketAddr::new(address, port.max(1)))?;
    // What is sent to an address of one's own comes from it.
    Ok(if socket.local_addr()?.ip() == address {
        Way::Local
    } else {
        Way::Remote
    })
}

fn is_no_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown
            // No address of this machine's that could go there.
            | io::ErrorKind::AddrNotAvailable
    ) || error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT)
}

/// Whether there is a route to the world: to addresses that are for documentation, and nobody's (RFC 5737, RFC 3849).
fn has_any_route() -> bool {
    let nobodys: [IpAddr; 2] = [
        Ipv4Addr::new(192, 0, 2, 1).into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    ];
    nobodys.into_iter().any(|address| way_to(address, 9).is_ok())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/run/postgresql", FailureCode::Timeout)]
    #[case("127.0.0.1", FailureCode::ConnectionRefused)]
    #[case("127.8.9.10", FailureCode::Timeout)]
    #[case("::1", FailureCode::Unreachable)]
    #[case("::ffff:127.0.0.1", FailureCode::Timeout)]
    #[case("localhost", FailureCode::ConnectionRefused)]
    #[tokio::test]
    async fn a_database_on_this_machine_needs_no_network(#[case] host: &str, #[case] code: FailureCode) {
        let failure = Failure::new(code, "It failed.");
        let outlook = SystemNetwork
            .look(host, 5432, &failure, &CancellationToken::new())
            .await;
        assert_eq!(outlook, Outlook::Local);
    }

    #[rstest]
    #[case(FailureCode::AuthenticationFailed)]
    #[case(FailureCode::ConnectionRefused)]
    #[case(FailureCode::NotEqual)]
    #[tokio::test]
    async fn what_has_answered_was_reached(#[case] code: FailureCode) {
        let failure = Failure::new(code, "It failed.");
        let outlook = SystemNetwork
            .look("192.0.2.200", 5432, &failure, &CancellationToken::new())
            .await;
        assert_eq!(outlook, Outlook::Online);
    }

    #[tokio::test]
    async fn a_look_that_is_cancelled_counts_against_nobody() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let failure = Failure::new(FailureCode::Timeout, "It failed.");
        let outlook = SystemNetwork
            .look("db.example.com", 5432, &failure, &cancel)
            .await;
        assert!(matches!(outlook, Outlook::Offline { .. }));
    }
}
