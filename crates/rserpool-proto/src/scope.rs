//! Which addresses of a pool element are of use where: address scopes, filtered both ways.
//!
//! A pool element registers only what users of its registrar can reach, and a pool user uses only what it can
//! reach itself; the address the registrar is reached at tells where that is. An address is
//!
//! | address | registrar on this host (loopback) | on the link | in a private network | at a global address |
//! |---|---|---|---|---|
//! | loopback (127.0.0.0/8, `::1`) | used | left out | left out | left out |
//! | link-local (169.254.0.0/16, `fe80::/10`) | left out | used | left out | left out |
//! | private (RFC 1918, RFC 6598, `fc00::/7`) | used | used | used | used, unless configured |
//! | global (everything else) | used | used | used | used |
//!
//! Loopback and link-local addresses name other hosts elsewhere, so they never leave their scope. A private address
//! beside a registrar at a global one may still be the way to users of the same site (RFC 3484 section 3.1 and RFC 1918
//! section 3), and a user that cannot reach it tries the next one.

use std::net::IpAddr;

use crate::wire::Transport;

/// How far an address reaches; the order is that of reach.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// This host.
    Loopback,
    /// The link.
    LinkLocal,
    /// A site, or a provider's network.
    Private,
    /// Everywhere.
    Global,
}

impl Scope {
    /// Returns the scope of an address; an IPv4-mapped IPv6 address is the IPv4 address.
    pub fn of(address: IpAddr) -> Scope {
        match address.to_canonical() {
            IpAddr::V4(v4) if v4.is_loopback() => Scope::Loopback,
            IpAddr::V4(v4) if v4.is_link_local() => Scope::LinkLocal,
            IpAddr::V4(v4) if v4.is_private() || is_shared(v4.octets()) => Scope::Private,
            IpAddr::V6(v6) if v6.is_loopback() => Scope::Loopback,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Scope::LinkLocal,
            IpAddr::V6(v6) if v6.is_unique_local() => Scope::Private,
            IpAddr::V4(_) | IpAddr::V6(_) => Scope::Global,
        }
    }
}

/// 100.64.0.0/10, between customers and their provider (RFC 6598).
const fn is_shared(octets: [u8; 4]) -> bool {
    octets[0] == 100 && octets[1] & 0xc0 == 64
}

/// Which addresses are used beside a registrar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ScopeRule {
    /// Private addresses are used beside a registrar at a global address. Default: they are.
    pub private_beyond: bool,
}

impl Default for ScopeRule {
    fn default() -> ScopeRule {
        ScopeRule { private_beyond: true }
    }
}

impl ScopeRule {
    /// Returns whether an element's `address` is of use to whoever reaches the registrar at `registrar`.
    pub fn allows(self, address: IpAddr, registrar: IpAddr) -> bool {
        let beside = Scope::of(registrar);
        match Scope::of(address) {
            scope @ (Scope::Loopback | Scope::LinkLocal) => scope == beside,
            Scope::Private => self.private_beyond || beside != Scope::Global,
            Scope::Global => true,
        }
    }

    /// Leaves out of `transport` what is of no use; returns whether anything is left. A transport without addresses
    /// stays as it is.
    pub fn filter(self, transport: &mut Transport, registrar: IpAddr) -> bool {
        match transport {
            Transport::Sctp(sctp) => {
                sctp.addresses.retain(|&address| self.allows(address, registrar));
                !sctp.addresses.is_empty()
            }
            other => other.addresses().iter().all(|&address| self.allows(address, registrar)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::param::transport::{SctpTransport, TcpTransport, TransportUse};

    const OF_EACH: [&str; 8] = [
        "127.1.2.3",
        "::1",
        "169.254.0.1",
        "fe80::1",
        "100.127.0.1",
        "fd00::1",
        "203.0.113.1",
        "2001:db8::1",
    ];

    fn allowed(rule: ScopeRule, registrar: &str) -> Vec<&'static str> {
        let registrar = registrar.parse().unwrap();
        OF_EACH.into_iter().filter(|address| rule.allows(address.parse().unwrap(), registrar)).collect()
    }

    #[test]
    fn every_address_has_its_scope() {
        let scopes = OF_EACH.map(|address| Scope::of(address.parse().unwrap()));
        let of_both =
            [Scope::Loopback, Scope::LinkLocal, Scope::Private, Scope::Global].map(|scope| [scope; 2]);
        assert_eq!(scopes, *of_both.as_flattened());
        for (address, scope) in [
            ("10.0.0.1", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("172.32.0.1", Scope::Global),
            ("192.168.0.1", Scope::Private),
            ("100.63.255.255", Scope::Global),
            ("100.128.0.0", Scope::Global),
            ("::ffff:127.0.0.1", Scope::Loopback),
        ] {
            assert_eq!(Scope::of(address.parse().unwrap()), scope, "{address}");
        }
    }

    #[test]
    fn the_registrars_scope_tells_which_addresses_are_of_use() {
        let rule = ScopeRule::default();
        let (loopback, link, wide) = (&OF_EACH[..2], &OF_EACH[2..4], &OF_EACH[4..]);
        assert_eq!(allowed(rule, "127.0.0.1"), [loopback, wide].concat());
        assert_eq!(allowed(rule, "fe80::9"), [link, wide].concat());
        assert_eq!(allowed(rule, "10.9.9.9"), wide);
        assert_eq!(allowed(rule, "198.51.100.1"), wide);
        let strict = ScopeRule { private_beyond: false };
        assert_eq!(allowed(strict, "198.51.100.1"), OF_EACH[6..]);
        assert_eq!(allowed(strict, "10.9.9.9"), wide);
    }

    #[test]
    fn a_transport_keeps_what_is_of_use() {
        let (rule, registrar) = (ScopeRule::default(), "10.0.0.9".parse().unwrap());
        let mut sctp = Transport::Sctp(SctpTransport {
            port: 1,
            transport_use: TransportUse::DATA_ONLY,
            addresses: OF_EACH.map(|address| address.parse().unwrap()).to_vec(),
            unknown: vec![],
        });
        assert!(rule.filter(&mut sctp, registrar));
        assert_eq!(sctp.addresses().len(), 4);
        let tcp = |address: &str| {
            let address = address.parse().unwrap();
            rule.filter(
                &mut Transport::Tcp(TcpTransport { port: 1, reserved: 0, address, unknown: vec![] }),
                registrar,
            )
        };
        assert!(tcp("10.0.0.1") && !tcp("127.0.0.1"));
    }
}
