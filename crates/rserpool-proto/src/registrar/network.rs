//! IP networks, as an owner lists them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IP network such as `192.0.2.0/24`; an address alone is the network of that address only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNetwork {
    /// Neither `IP` nor `IP/PREFIX`.
    #[error("\"{0}\" is not a network such as 192.0.2.0/24 or 2001:db8::/32")]
    Text(String),
    /// Bits beyond the prefix are set.
    #[error("\"{0}\" has bits beyond its prefix; the network is {1}")]
    HostBits(String, Network),
}

impl Network {
    /// Returns whether `address` is in the network; an IPv4-mapped IPv6 address is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == Some(self.address)
    }
}

/// The first `prefix` bits of `address`, `None` if it has no so many.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let prefix = u32::from(prefix);
    Some(match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32u32.checked_sub(prefix)?).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128u32.checked_sub(prefix)?).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    })
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Network, InvalidNetwork> {
        let invalid = || InvalidNetwork::Text(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let prefix = prefix.unwrap_or(if address.is_ipv4() { 32 } else { 128 });
        let network = Network { address: masked(address, prefix).ok_or_else(invalid)?, prefix };
        if network.address == address {
            Ok(network)
        } else {
            Err(InvalidNetwork::HostBits(text.to_owned(), network))
        }
    }
}

/// Prints the form that is parsed.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_contains_what_has_its_prefix() {
        assert!(contains("192.0.2.0/24", "192.0.2.255"));
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.1"));
        assert!(!contains("192.0.2.0/24", "192.0.3.0"));
        assert!(!contains("192.0.2.0/24", "2001:db8::1"));
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
        assert!(
            contains("2001:db8::/33", "2001:db8:7fff::1") && !contains("2001:db8::/33", "2001:db8:8000::1")
        );
        assert!(contains("0.0.0.0/0", "203.0.113.1") && contains("::/0", "2001:db8::1"));
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        let error = |text: &str| text.parse::<Network>().unwrap_err().to_string();
        assert!(error("192.0.2.7/24").contains("the network is 192.0.2.0/24"));
        for text in ["192.0.2.0/33", "192.0.2.0/-1", "192.0.2/24", "example.org", "::/129", "192.0.2.0/"] {
            assert!(error(text).contains("is not a network"), "{text}");
        }
    }
}
