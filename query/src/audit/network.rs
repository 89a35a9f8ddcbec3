//! A range of addresses as a filter: one address or a CIDR block, IPv4 or IPv6.
//!
//! Enters: a parameter's text. Leaves: the first and last address of the range as IPv6, with IPv4 mapped (RFC 4291,
//! 2.5.5.2), which is how the engine compares them. Pure.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// The text is neither an address nor a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an address (10.1.2.3, 2001:db8::1) or a block (10.0.0.0/8, 2001:db8::/32)")]
pub struct NetworkError;

impl Network {
    /// Parses an address or a block. Bits beyond the prefix are ignored.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| NetworkError)
    }

    /// The first address.
    pub fn first(self) -> Ipv6Addr {
        mapped(self.0.network())
    }

    /// The last address.
    pub fn last(self) -> Ipv6Addr {
        mapped(self.0.broadcast())
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(text: &str) -> [String; 2] {
        let network = Network::parse(text).unwrap();
        [network.first().to_string(), network.last().to_string()]
    }

    #[test]
    fn a_block_is_its_first_and_last_address() {
        assert_eq!(ends("10.1.2.3"), ["::ffff:10.1.2.3", "::ffff:10.1.2.3"]);
        assert_eq!(ends("10.1.2.3/8"), ["::ffff:10.0.0.0", "::ffff:10.255.255.255"]);
        assert_eq!(ends("0.0.0.0/0"), ["::ffff:0.0.0.0", "::ffff:255.255.255.255"]);
        assert_eq!(ends("2001:db8::7/126"), ["2001:db8::4", "2001:db8::7"]);
        assert_eq!(ends("::/0"), ["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "host",
            "10.0.0.0/33",
            "10.0.0/8",
            "::1/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(Network::parse(text), Err(NetworkError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_range_or_an_error(text in "\\PC{0,40}|[0-9a-f:./]{0,40}") {
            if let Ok(network) = Network::parse(&text) {
                prop_assert!(network.first() <= network.last());
            }
        }
    }
}
