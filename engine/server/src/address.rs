//! Where a client is: its own address, or what the proxies in front of us say.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use base::ClientAddress;

/// The address that tells the client apart, if there is one.
///
/// Only a peer within our own network counts as a proxy: anybody else could write any
/// `X-Forwarded-For`. Its fields, the last one first, are what each proxy has seen in front of it;
/// the first `proxy_count` hops, the peer included, are ours; with 0 the peer is the client,
/// whoever it is. Without the fields such a peer may stand for many clients, and tells nothing.
pub(crate) fn client_address<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    proxy_count: usize,
) -> Option<ClientAddress> {
    let peer = peer.to_canonical();
    if proxy_count == 0 || !is_ours(peer) {
        return Some(address(peer));
    }
    let said = forwarded.flat_map(|value| value.split(',')).rev();
    let hops = said.map(|text| parse(text.trim()));
    let mut clients =
        hops.skip(proxy_count - 1).skip_while(|hop| hop.is_some_and(|hop| hop.is_loopback()));
    clients.next().flatten().map(address)
}

/// An address, with a port or without.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port).map(|ip: IpAddr| ip.to_canonical())
}

fn is_ours(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// One customer has a network of 56 bits for itself.
fn address(ip: IpAddr) -> ClientAddress {
    ClientAddress(match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 72 << 72).octets(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_proxies_are_believed() {
        let check = |peer: &str, forwarded: &[&str], count, expected: Option<&str>| {
            let peer = peer.parse().unwrap();
            let found = client_address(peer, forwarded.iter().copied(), count);
            let expected = expected.map(|text| address(text.parse().unwrap()));
            assert_eq!(found, expected, "{peer} {forwarded:?}");
        };
        check("203.0.113.9", &[], 1, Some("203.0.113.9"));
        check("203.0.113.9", &["198.51.100.1"], 1, Some("203.0.113.9"));
        check("::ffff:203.0.113.9", &[], 1, Some("203.0.113.9"));
        check("127.0.0.1", &[], 1, None);
        check("10.0.0.2", &["198.51.100.1"], 1, Some("198.51.100.1"));
        check("10.0.0.2", &["192.0.2.66, 198.51.100.1"], 1, Some("198.51.100.1"));
        check("10.0.0.2", &["192.0.2.66", "198.51.100.1"], 1, Some("198.51.100.1"));
        check("10.0.0.2", &["198.51.100.1, 10.0.0.3"], 2, Some("198.51.100.1"));
        check("::1", &["2001:db8::1, 127.0.0.1"], 1, Some("2001:db8::1"));
        check("::1", &["127.0.0.1"], 1, None);
        check("fd00::1", &["nonsense"], 1, None);
        check("fd00::1", &["198.51.100.1, nonsense"], 1, None);
        check("10.0.0.2", &["198.51.100.1"], 3, None);
        check("10.0.0.2", &["198.51.100.1:5123"], 1, Some("198.51.100.1"));
        check("10.0.0.2", &["[2001:db8::1]:5123"], 1, Some("2001:db8::1"));
        check("10.0.0.2", &["[2001:db8::1]"], 1, Some("2001:db8::1"));
        check("10.0.0.2", &["198.51.100.1"], 0, Some("10.0.0.2"));
    }

    #[test]
    fn a_client_has_a_whole_network_of_version_6() {
        let of = |text: &str| address(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:ff:ffff::7"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:102::1"));
        assert_ne!(of("203.0.113.9"), of("203.0.113.10"));
    }
}
