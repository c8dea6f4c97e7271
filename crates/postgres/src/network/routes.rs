//! The kernel's routing table and its neighbours, as Linux shows them in files (`/proc/net/route`, `/proc/net/ipv6_route`, `/proc/net/arp`; proc(5),
//! and the kernel's `fib_trie.c`, `ip6_fib.c` and `arp.c`). What cannot be read is left out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A route of the main table that leads somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    network: IpAddr,
    /// Bits of `network` that count.
    prefix: u8,
    /// Through whom; none where the network is at the interface itself.
    pub(super) gateway: Option<IpAddr>,
    metric: u32,
    /// The interface's name.
    pub(super) interface: String,
}

/// `RTF_UP`, `RTF_GATEWAY` and `RTF_REJECT` of the kernel's `uapi/linux/route.h`.
const UP: u32 = 1;
const GATEWAY: u32 = 2;
const REJECT: u32 = 0x200;

/// Reads `/proc/net/route`. Addresses are numbers as the machine has them in memory, in its own order of bytes.
pub(super) fn read_v4(file: &str) -> Vec<Route> {
    file.lines().skip(1).filter_map(route_v4).collect()
}

fn route_v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[interface, network, gateway, flags, _, _, metric, mask, ..] = fields.as_slice() else {
        return None;
    };
    let address = |field: &str| {
        let number = u32::from_str_radix(field, 16).ok().filter(|_| field.len() == 8)?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let mask = u32::from(address(mask)?);
    leads_somewhere(flags).then_some(())?;
    Some(Route {
        network: address(network)?.into(),
        prefix: u8::try_from(mask.leading_ones()).ok()?,
        gateway: through(flags, address(gateway)?.into()),
        metric: metric.parse().ok()?,
        interface: interface.to_owned(),
    })
}

/// Reads `/proc/net/ipv6_route`.
pub(super) fn read_v6(file: &str) -> Vec<Route> {
    file.lines().filter_map(route_v6).collect()
}

fn route_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[network, prefix, _, _, gateway, metric, _, _, flags, interface, ..] = fields.as_slice() else {
        return None;
    };
    let address = |field: &str| {
        let number = u128::from_str_radix(field, 16)
            .ok()
            .filter(|_| field.len() == 32)?;
        Some(Ipv6Addr::from(number))
    };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    leads_somewhere(flags).then_some(())?;
    Some(Route {
        network: address(network)?.into(),
        prefix: u8::from_str_radix(prefix, 16)
            .ok()
            .filter(|prefix| *prefix <= 128)?,
        gateway: through(flags, address(gateway)?.into()),
        metric: u32::from_str_radix(metric, 16).ok()?,
        interface: interface.to_owned(),
    })
}

fn leads_somewhere(flags: u32) -> bool {
    flags & UP != 0 && flags & REJECT == 0
}

fn through(flags: u32, gateway: IpAddr) -> Option<IpAddr> {
    (flags & GATEWAY != 0 && !gateway.is_unspecified()).then_some(gateway)
}

impl Route {
    fn covers(&self, address: IpAddr) -> bool {
        let (shift, differ) = match (self.network, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => (
                32_u32.saturating_sub(self.prefix.into()),
                u128::from(u32::from(ours) ^ u32::from(theirs)),
            ),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (
                128_u32.saturating_sub(self.prefix.into()),
                u128::from(ours) ^ u128::from(theirs),
            ),
            _ => return false,
        };
        differ.checked_shr(shift).unwrap_or(0) == 0
    }
}

/// The route that is taken to an address: the most exact one, and of those the one with the lowest metric.
pub(super) fn to(routes: &[Route], address: IpAddr) -> Option<&Route> {
    routes
        .iter()
        .filter(|route| route.covers(address))
        .max_by_key(|route| (route.prefix, std::cmp::Reverse(route.metric)))
}

/// `ATF_COM`: the address of its network card is known.
const COMPLETE: u32 = 2;

/// Whether `/proc/net/arp` has the address of an IPv4 neighbour's network card. The kernel forgets it within seconds when somebody who is spoken to
/// does not answer.
pub(super) fn is_neighbour(file: &str, address: IpAddr) -> bool {
    file.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[neighbour, _, flags, ..] = fields.as_slice() else {
            return false;
        };
        let flags = flags
            .strip_prefix("0x")
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        neighbour.parse() == Ok(address) && flags.is_some_and(|flags| flags & COMPLETE != 0)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // A laptop with a cable, wireless and containers; a gateway of its own for a VPN.
    const LAPTOP: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       
wlp3s0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0                                                                           
enp0s31f6\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0                                                                        
tun0\t0000080A\t00000000\t0001\t0\t0\t50\t0000FFFF\t0\t0\t0                                                                              
tun0\t0000090A\t0100080A\t0003\t0\t0\t50\t0000FFFF\t0\t0\t0                                                                              
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0                                                                            
enp0s31f6\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0                                                                        
*\t0000070A\t00000000\t0201\t0\t0\t0\t0000FFFF\t0\t0\t0                                                                                  
";
    const CONTAINER: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
";
    const ALONE: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
    const SIX: &str = "\
20010db8000000010000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001   wlp3s0
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000002 00000000 00000001   wlp3s0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe80000000000000e2286dfffe4b0001 00000258 00000003 00000000 00000003   wlp3s0
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000004 00000000 80200001       lo
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    fn way<'a>(routes: &'a [Route], address: &str) -> Option<(&'a str, Option<String>)> {
        let route = to(routes, address.parse().unwrap())?;
        Some((
            route.interface.as_str(),
            route.gateway.map(|gateway| gateway.to_string()),
        ))
    }

    #[rstest]
    // Two default routes: the lower metric.
    #[case(LAPTOP, "203.0.113.5", Some(("enp0s31f6", Some("192.168.1.1"))))]
    // On the same network, through the VPN itself, and behind a gateway within it.
    #[case(LAPTOP, "192.168.1.77", Some(("enp0s31f6", None)))]
    #[case(LAPTOP, "10.8.3.4", Some(("tun0", None)))]
    #[case(LAPTOP, "10.9.3.4", Some(("tun0", Some("10.8.0.1"))))]
    #[case(LAPTOP, "172.17.0.2", Some(("docker0", None)))]
    // A route that turns everything away is none.
    #[case(LAPTOP, "10.7.0.1", Some(("enp0s31f6", Some("192.168.1.1"))))]
    #[case(CONTAINER, "192.0.2.1", Some(("eth0", Some("172.17.0.1"))))]
    #[case(ALONE, "192.0.2.1", None)]
    #[case("", "192.0.2.1", None)]
    #[case(LAPTOP, "2001:db8::1", None)]
    fn the_way_of_ipv4_is_the_most_exact_one(
        #[case] file: &str,
        #[case] address: &str,
        #[case] expected: Option<(&str, Option<&str>)>,
    ) {
        let routes = read_v4(file);
        let expected = expected.map(|(interface, gateway)| (interface, gateway.map(str::to_owned)));
        assert_eq!(way(&routes, address), expected);
    }

    #[rstest]
    #[case("2001:db8:2::1", Some(("wlp3s0", Some("fe80::e228:6dff:fe4b:1"))))]
    #[case("2001:db8:0:1::5", Some(("wlp3s0", None)))]
    #[case("::1", Some(("lo", None)))]
    #[case("192.0.2.1", None)]
    fn the_way_of_ipv6_is_the_most_exact_one(
        #[case] address: &str,
        #[case] expected: Option<(&str, Option<&str>)>,
    ) {
        let routes = read_v6(SIX);
        let expected = expected.map(|(interface, gateway)| (interface, gateway.map(str::to_owned)));
        assert_eq!(way(&routes, address), expected);
    }

    #[rstest]
    #[case("header\neth0\tXYZ\t00\t0003\t0\t0\t0\t0\n")]
    #[case("header\neth0\t00000000\n\n \u{fffd}\n")]
    #[case("header\neth0\t000000000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")]
    #[case("header\neth0\t00000000\t010200C0\t0003\t0\t0\t-1\t00000000\t0\t0\t0\n")]
    fn what_is_no_route_is_left_out(#[case] file: &str) {
        assert_eq!(read_v4(file), []);
        assert_eq!(read_v6(file), []);
        let too_exact = SIX.replace(" 40 ", " ff ");
        assert_eq!(read_v6(&too_exact).len(), 2);
    }

    #[test]
    fn a_neighbour_is_one_whose_network_card_is_known() {
        const ARP: &str = "\
IP address       HW type     Flags       HW address            Mask     Device
192.168.1.1      0x1         0x2         e0:28:6d:4b:00:01     *        enp0s31f6
192.168.1.9      0x1         0x0         00:00:00:00:00:00     *        enp0s31f6
odd
";
        for (address, expected) in [
            ("192.168.1.1", true),
            ("192.168.1.9", false),
            ("192.168.1.2", false),
        ] {
            assert_eq!(is_neighbour(ARP, address.parse().unwrap()), expected, "{address}");
        }
        assert!(!is_neighbour("", Ipv4Addr::LOCALHOST.into()));
    }
}
