//! Where a request came from, possibly through proxies.
//!
//! Enters: the address of the connection, and `x-forwarded-for`. Leaves: the address of the nearest host that is not a
//! trusted proxy. Guarantees: only what trusted proxies say counts, so a caller cannot make up an address. Pure.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of the proxies.
#[derive(Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// The configured networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// The address that a request came from.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        // By bytes: what is unreadable in the line of a caller must not hide what a proxy appended to it.
        let said = headers.get_all(FORWARDED_FOR).iter();
        let hops: Vec<Option<IpAddr>> = said
            .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
            .map(|hop| address(str::from_utf8(hop).ok()?.trim()))
            .collect();
        let mut client = peer.to_canonical();
        // From nearest to farthest: each entry is only as trustworthy as the host that added it.
        for hop in hops.into_iter().rev() {
            match hop {
                Some(hop) if self.trusts(client) => client = hop.to_canonical(),
                _ => break,
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address, which some proxies write with its port.
fn address(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse().map(|hop: SocketAddr| hop.ip());
    hop.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nobody_but_a_trusted_proxy_can_say_where_it_is(peer in any::<u32>(), said in prop::collection::vec("[ -~]{0,40}|[0-9.,: ]{0,40}", 0..3)) {
            let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
            let mut headers = HeaderMap::new();
            for value in &said {
                headers.append(FORWARDED_FOR, HeaderValue::from_str(value.trim()).unwrap());
            }
            let peer = IpAddr::from(peer.to_be_bytes());
            let client = proxies.client(peer, &headers);
            prop_assert!(proxies.trusts(peer) || client == peer);
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        for (peer, said, expected) in [
            ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
            ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.7, 203.0.113.9, 10.2.3.4", "203.0.113.9"),
            ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
            ("10.0.0.1", "\u{ff}, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "203.0.113.9:52344", "203.0.113.9"),
            ("10.0.0.1", "[2001:db8::1]:52344", "2001:db8::1"),
            ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("10.0.0.1", "", "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, HeaderValue::from_bytes(said.as_bytes()).unwrap());
            let client = proxies.client(peer.parse().unwrap(), &headers);
            assert_eq!(client.to_string(), expected, "{peer} said {said}");
        }
    }
}
