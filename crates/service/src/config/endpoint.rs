//! The addresses of one SCTP endpoint, as lists of `IP:PORT`.

use std::net::SocketAddr;

use super::Faults;

impl Faults {
    /// Refuses, each at its place in the list `key`, addresses that cannot be of one SCTP endpoint (RFC 9260 section
    /// 1.3: several addresses, one port): the wildcard, another port than the first one's, and what is listed twice.
    pub fn check_endpoint(&mut self, key: &str, addresses: &[SocketAddr]) {
        for (at, address) in addresses.iter().enumerate() {
            let (first, earlier) = (addresses[0], &addresses[..at]);
            let message = if address.ip().is_unspecified() {
                "must be a specific address, not the wildcard: it is what peers are told".to_owned()
            } else if address.port() != first.port() {
                format!(
                    "has port {}, but {first} has port {}: all addresses here are one SCTP endpoint, which has one port",
                    address.port(),
                    first.port()
                )
            } else if earlier.contains(address) {
                format!("{address} is listed twice")
            } else {
                continue;
            };
            self.add(format!("{key}.{at}"), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with `addresses`, a line each.
    fn errors(addresses: &[&str]) -> Vec<String> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let mut faults = Faults::default();
        faults.check_endpoint("listen.ipfix", &addresses);
        faults.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_of_both_families_are_one_endpoint() {
        assert_eq!(errors(&["192.0.2.1:4739", "[2001:db8::1]:4739", "198.51.100.1:4739"]), [""; 0]);
        assert_eq!(errors(&[]), [""; 0]);
    }

    #[test]
    fn another_port_is_refused_at_its_place() {
        let [error] = &errors(&["192.0.2.1:4739", "198.51.100.1:4740"])[..] else { panic!("one is wrong") };
        assert!(
            error.starts_with("`listen.ipfix.1`: has port 4740, but 192.0.2.1:4739 has port 4739"),
            "{error}"
        );
    }

    #[test]
    fn the_wildcard_and_repeats_are_all_refused() {
        let errors = errors(&["192.0.2.1:1", "[::]:1", "192.0.2.1:1"]);
        assert!(
            errors[0].contains("`listen.ipfix.1`") && errors[0].contains("not the wildcard"),
            "{errors:?}"
        );
        assert!(errors[1].contains("`listen.ipfix.2`") && errors[1].contains("listed twice"), "{errors:?}");
    }
}
