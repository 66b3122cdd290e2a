//! The addresses of one SCTP endpoint, as lists of `IP:PORT`.

use std::net::SocketAddr;

use super::Invalid;

/// Refuses, at its place in the list `key`, an address that cannot be one of an SCTP endpoint's (RFC 9260 section
/// 1.3: several addresses, one port): the wildcard, another port than the first one's, and what is listed twice.
pub fn check_endpoint(key: &str, addresses: &[SocketAddr]) -> Result<(), Invalid> {
    for (at, address) in addresses.iter().enumerate() {
        let invalid = |message: String| Err(Invalid::new(format!("{key}.{at}"), message));
        if address.ip().is_unspecified() {
            return invalid("must be a specific address, not the wildcard: it is what peers are told".into());
        }
        let (first, earlier) = (addresses[0], &addresses[..at]);
        if address.port() != first.port() {
            return invalid(format!(
                "has port {}, but {first} has port {}: all addresses here are one SCTP endpoint, which has one port",
                address.port(),
                first.port()
            ));
        }
        if earlier.contains(address) {
            return invalid(format!("{address} is listed twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(addresses: &[&str]) -> Option<Invalid> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        check_endpoint("listen.ipfix", &addresses).err()
    }

    #[test]
    fn addresses_of_both_families_are_one_endpoint() {
        assert_eq!(error(&["192.0.2.1:4739", "[2001:db8::1]:4739", "198.51.100.1:4739"]), None);
        assert_eq!(error(&[]), None);
    }

    #[test]
    fn another_port_is_refused_at_its_place() {
        let Invalid { key, message, .. } = error(&["192.0.2.1:4739", "198.51.100.1:4740"]).unwrap();
        assert_eq!(key, "listen.ipfix.1");
        assert!(message.contains("has port 4740, but 192.0.2.1:4739 has port 4739"), "{message}");
    }

    #[test]
    fn the_wildcard_and_repeats_are_refused() {
        assert!(error(&["192.0.2.1:1", "[::]:1"]).unwrap().message.contains("not the wildcard"));
        assert!(error(&["192.0.2.1:1", "192.0.2.1:1"]).unwrap().message.contains("listed twice"));
    }
}
