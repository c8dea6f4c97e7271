//! Whether the gateway on the way to an address is there, or else this machine's resolver: by knocking at ports that one of them is likely to
//! serve. A refusal is as good an answer as any.
//!
//! Only the main routing table is read (that is what `/proc/net/route` has). Where it has no gateway for an address that the system does
//! have a way to, nothing speaks against the way.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

use super::routes::{self, Route};
use super::{Outlook, resolvers};

/// How long an answer to a knock may take: they are near.
const PATIENCE: Duration = Duration::from_millis(1_200);

/// DNS and HTTP, which gateways of homes and offices serve.
const GATEWAY_PORTS: [u16; 2] = [53, 80];

/// Looks at the ways to these addresses, to each of which the system knows one.
pub(super) async fn look(addresses: &[IpAddr]) -> Outlook {
    // Of this thread: its network namespace may be another than the process's.
    let v4 = routes::read_v4(&read("/proc/thread-self/net/route"));
    let v6 = routes::read_v6(&read("/proc/thread-self/net/ipv6_route"));
    let mut doors = Vec::new();
    let mut gateways = Vec::new();
    for address in addresses {
        let all = if address.is_ipv4() { &v4 } else { &v6 };
        let Some((gateway, route)) =
            routes::to(all, *address).and_then(|route| Some((route.gateway?, route)))
        else {
            return Outlook::Online;
        };
        if !gateways.contains(&gateway) {
            gateways.push(gateway);
            doors.extend(GATEWAY_PORTS.map(|port| door(gateway, port, route)));
        }
    }
    if somebody_answers(doors).await {
        return Outlook::Online;
    }
    // One that serves nothing and lets nobody knock still has to say which network card is its own.
    let neighbours = read("/proc/thread-self/net/arp");
    if gateways
        .iter()
        .any(|gateway| routes::is_neighbour(&neighbours, *gateway))
    {
        return Outlook::Online;
    }
    let resolvers = resolvers::read(&[
        &read("/etc/resolv.conf"),
        &read("/run/systemd/resolve/resolv.conf"),
    ]);
    let others = resolvers.iter().filter(|resolver| !gateways.contains(resolver));
    let doors: Vec<SocketAddr> = others.map(|resolver| SocketAddr::new(*resolver, 53)).collect();
    let are_asked = !doors.is_empty();
    if somebody_answers(doors).await {
        return Outlook::Online;
    }
    let gateways: Vec<String> = gateways.iter().map(ToString::to_string).collect();
    let gateways = gateways.join(", ");
    Outlook::offline(if are_asked {
        format!("Neither the gateway {gateways} nor this machine's resolver answers.")
    } else {
        format!("The gateway {gateways} does not answer.")
    })
}

fn read(path: &str) -> String {
    // Files of the kernel's and of a few lines: they are there at once, or not at all.
    std::fs::read(path).map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

/// A gateway's port. A link-local address means something on one interface only.
fn door(gateway: IpAddr, port: u16, route: &Route) -> SocketAddr {
    match gateway {
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            let index = read(&format!("/sys/class/net/{}/ifindex", route.interface));
            SocketAddrV6::new(address, port, 0, index.trim().parse().unwrap_or(0)).into()
        }
        other => SocketAddr::new(other, port),
    }
}

async fn somebody_answers(doors: Vec<SocketAddr>) -> bool {
    let mut knocks: FuturesUnordered<_> = doors.into_iter().map(TcpStream::connect).collect();
    let answered = async {
        while let Some(outcome) = knocks.next().await {
            match outcome {
                Ok(_) => return true,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
                    ) =>
                {
                    return true;
                }
                Err(_) => {}
            }
        }
        false
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap_or(false)
}
