//! What a registrar's owner decides.

use std::net::IpAddr;

use super::{Announcement, EnrpConfig, Network};
use crate::handlespace::Limits;
use crate::{Profile, RegistrarId, Remote};

/// Which addresses an element may register (RFC 5352 section 2.2.1: those of its association).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressCheck {
    /// Addresses of the association only; no loopback addresses.
    Association,
    /// The same, and any loopback address over an association from a loopback address.
    AssociationOrLoopback,
    /// Anything: the owner trusts everyone who can connect.
    None,
}

impl AddressCheck {
    /// Returns whether an element behind `remote` may register `address`.
    pub fn allows(self, address: IpAddr, remote: &Remote) -> bool {
        let address = address.to_canonical();
        let same = || remote.addresses.iter().any(|known| known.to_canonical() == address);
        let loopback = || remote.addresses.iter().any(|known| known.to_canonical().is_loopback());
        match self {
            AddressCheck::None => true,
            AddressCheck::Association => !address.is_loopback() && same(),
            AddressCheck::AssociationOrLoopback if address.is_loopback() => loopback(),
            AddressCheck::AssociationOrLoopback => same(),
        }
    }
}

/// Settings of a registrar.
#[derive(Clone, Debug)]
pub struct RegistrarConfig {
    /// The identifier; `None`: a random one.
    pub id: Option<RegistrarId>,
    /// Timers and thresholds.
    pub profile: Profile,
    /// How much the handlespace may hold.
    pub limits: Limits,
    /// Connections at once.
    pub max_connections: usize,
    /// Elements registered over one connection.
    pub max_elements_per_connection: usize,
    /// Octets of all registrations that are kept: handles and element parameters as they came.
    pub max_octets: usize,
    /// The same of one connection.
    pub max_octets_per_connection: usize,
    /// Connections and pools that wait to be told of changes.
    pub max_subscriptions: usize,
    /// Elements in one answer, whatever was asked for.
    pub max_items: u32,
    /// Elements in an answer when the pool user does not say how many.
    pub default_items: u32,
    /// Which addresses an element may register.
    pub address_check: AddressCheck,
    /// Networks with elements whose transport stack has one path: an element connected from one of them that
    /// registers an address by [`RegistrarConfig::address_check`] may register further ones in any of them.
    pub networks: Vec<Network>,
    /// What to announce by multicast; `None`: nothing.
    pub announce: Option<Announcement>,
    /// Registrations one address, or one name in certificates, may send in a second, and five times as many at once.
    pub registrations_per_second: u32,
    /// The same for all connections together.
    pub all_registrations_per_second: u32,
    /// Reports of unreachability one address, or one name in certificates, may send in a second, and five times as
    /// many at once.
    pub reports_per_second: u32,
    /// Peers and how to get along with them; `None`: there are none.
    pub enrp: Option<EnrpConfig>,
}

impl Default for RegistrarConfig {
    fn default() -> RegistrarConfig {
        RegistrarConfig {
            id: None,
            profile: Profile::FAST,
            limits: Limits::default(),
            max_connections: 10_000,
            max_elements_per_connection: 1_000,
            max_octets: 12 << 20,
            max_octets_per_connection: 1 << 20,
            max_subscriptions: 65_536,
            max_items: 128,
            default_items: 128,
            address_check: AddressCheck::AssociationOrLoopback,
            networks: Vec::new(),
            announce: None,
            registrations_per_second: 200,
            all_registrations_per_second: 20_000,
            reports_per_second: 1,
            enrp: None,
        }
    }
}

impl RegistrarConfig {
    /// Returns whether an element behind `remote` may register `address` beside one that
    /// [`RegistrarConfig::address_check`] allows.
    pub fn allows_further(&self, address: IpAddr, remote: &Remote) -> bool {
        let listed = |address: IpAddr| self.networks.iter().any(|network| network.contains(address));
        listed(address) && remote.addresses.iter().copied().any(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    fn remote(address: [u8; 4]) -> Remote {
        Remote {
            protocol: Protocol::Sctp,
            addresses: vec![IpAddr::from(address)],
            port: 1,
            encapsulation: None,
        }
    }

    #[test]
    fn only_addresses_of_the_association_are_allowed() {
        let check = AddressCheck::Association;
        assert!(check.allows(IpAddr::from([10, 0, 0, 1]), &remote([10, 0, 0, 1])));
        assert!(!check.allows(IpAddr::from([10, 0, 0, 2]), &remote([10, 0, 0, 1])));
        assert!(!check.allows(IpAddr::from([127, 0, 0, 1]), &remote([127, 0, 0, 1])));
    }

    #[test]
    fn any_loopback_address_is_allowed_from_a_loopback_address_only() {
        let check = AddressCheck::AssociationOrLoopback;
        assert!(check.allows(IpAddr::from([127, 5, 6, 7]), &remote([127, 0, 0, 1])));
        assert!(!check.allows(IpAddr::from([127, 5, 6, 7]), &remote([10, 0, 0, 1])));
        assert!(!check.allows(IpAddr::from([10, 0, 0, 2]), &remote([127, 0, 0, 1])));
    }

    #[test]
    fn a_mapped_ipv6_address_is_the_ipv4_address() {
        let mapped = IpAddr::from(std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert!(AddressCheck::Association.allows(mapped, &remote([10, 0, 0, 1])));
    }
}
