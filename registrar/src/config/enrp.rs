//! The sections `[enrp]` and `[[peer]]`: the registrars this one replicates with (RFC 5353).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rserpool::{ConfiguredRegistrar, InvalidRegistrarAddress, Timers};
use rserpool_proto::registrar::{Arbitration, EnrpConfig, Network, Reach};
use rserpool_proto::wire::TransportUse;
use rserpool_proto::wire::param::registrar_tcp::RegistrarTcp;
use rserpool_proto::{Protocol, UserTransport};
use serde::Deserialize;
use service::config::{Faults, Period};
use transport::tcp;

use super::{Config, Listen, is_secured, networks};

/// The port registrars listen on for ENRP (RFC 5353 section 5.3).
pub(super) const ENRP_PORT: u16 = 9901;

/// The same over TLS.
const ENRP_TLS_PORT: u16 = 9902;

/// The section `[enrp]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Enrp {
    /// Networks further registrars may come from.
    #[serde(deserialize_with = "networks")]
    pub networks: Vec<Network>,
    /// Who goes on when two want to take over. Default: the profile's.
    pub arbitration: Option<ArbitrationRule>,
    /// Whether registrars hand over their pool elements when they end, and take what others hand over.
    pub takeover_suggestion: bool,
    /// In which steps the distance of pool elements is told, for policies that have one. Default: it is not measured.
    pub distance_step: Option<Period>,
    /// Whether parameters of the next generation are told, and used with registrars that tell them too.
    pub next_generation: bool,
}

impl Default for Enrp {
    fn default() -> Enrp {
        let EnrpConfig { takeover_suggestion, next_generation, .. } = EnrpConfig::default();
        Enrp {
            networks: Vec::new(),
            arbitration: None,
            takeover_suggestion,
            distance_step: None,
            next_generation,
        }
    }
}

/// Who goes on when two registrars want to take over the same one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum ArbitrationRule {
    /// The greatest identifier, as RFC 5353 says.
    HighestWins,
    /// The least, as in the reference implementation.
    LowestWins,
}

/// One `[[peer]]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Peer {
    /// Where it listens for ENRP.
    pub address: PeerRegistrar,
}

/// A registrar's address or name as [`ConfiguredRegistrar`] reads it, with the well-known ports of ENRP.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct PeerRegistrar(pub ConfiguredRegistrar);

impl TryFrom<String> for PeerRegistrar {
    type Error = InvalidRegistrarAddress;

    fn try_from(text: String) -> Result<PeerRegistrar, InvalidRegistrarAddress> {
        ConfiguredRegistrar::parse(&text, ENRP_PORT, ENRP_TLS_PORT).map(PeerRegistrar)
    }
}

impl Config {
    /// The rule that is configured, or that of the profile.
    fn arbitration(&self) -> Arbitration {
        match (self.enrp.arbitration, self.profile.timers) {
            (Some(ArbitrationRule::LowestWins), _) | (None, Timers::Rsplib) => Arbitration::LowestWins,
            (Some(ArbitrationRule::HighestWins), _) | (None, Timers::Fast | Timers::Rfc) => {
                Arbitration::HighestWins
            }
        }
    }

    /// Returns the machine's settings about its peers; `None` where it has none. `is_native`: our SCTP is the
    /// kernel's, and reached without UDP.
    pub(super) fn enrp_machine(&self, is_native: bool) -> Option<EnrpConfig> {
        let listen = &self.listen;
        if listen.enrp.is_empty() && listen.enrp_tcp.is_empty() && listen.enrp_tls.is_empty() {
            return None;
        }
        let defaults = EnrpConfig::default();
        let secured = is_secured(self).is_some();
        Some(EnrpConfig {
            transport: UserTransport {
                protocol: Protocol::Sctp,
                addresses: listen.enrp.iter().map(SocketAddr::ip).collect(),
                port: listen.enrp.first().map_or(ENRP_PORT, SocketAddr::port),
                transport_use: TransportUse::DATA_ONLY,
                encapsulation: if is_native { 0 } else { listen.encapsulation_port },
            },
            peers: self.peers().filter_map(ConfiguredRegistrar::address).map(Into::into).collect(),
            named_peers: vec![Vec::new(); self.named_peers().len()],
            networks: self.enrp.networks.clone(),
            arbitration: self.arbitration(),
            takeover_suggestion: self.enrp.takeover_suggestion,
            distance_step: self.enrp.distance_step.map(Duration::from),
            next_generation: self.enrp.next_generation,
            upper: self.id.and_then(|id| id.upper),
            tcp: self.told_over_tcp(),
            reach: Reach {
                sctp: !listen.asap.is_empty() || !listen.enrp.is_empty(),
                tcp: !secured,
                tls: self.tls.is_some(),
            },
            multicast: self.announce.enrp.is_some(),
            ..defaults
        })
    }

    /// Returns the registrars to look for.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &ConfiguredRegistrar> {
        self.peer.iter().map(|peer| &peer.address.0)
    }

    /// Returns those of them that have to be looked up, as the machine numbers them.
    pub(crate) fn named_peers(&self) -> Vec<ConfiguredRegistrar> {
        self.peers().filter(|peer| peer.name().is_some()).cloned().collect()
    }

    /// Where other registrars are told that this one speaks ENRP over TCP and TLS (docs/wire.md section 18). They
    /// cannot connect to a wildcard.
    fn told_over_tcp(&self) -> Vec<RegistrarTcp> {
        let Listen { enrp_tcp, enrp_tls, mptcp, .. } = &self.listen;
        let mptcp = *mptcp && tcp::has_multipath();
        let at = |tls| move |&address: &SocketAddr| RegistrarTcp { address, tls, mptcp };
        let told = enrp_tcp.iter().map(at(false)).chain(enrp_tls.iter().map(at(true)));
        told.filter(|tcp| !tcp.address.ip().is_unspecified()).take(RegistrarTcp::MAX).collect()
    }

    /// Where connections over TCP to other registrars come from: they know this registrar by its address. With several
    /// the host's routes decide.
    pub(crate) fn tcp_source(&self) -> Option<IpAddr> {
        let addresses = self.listen.enrp_tcp.iter().chain(&self.listen.enrp_tls).map(SocketAddr::ip);
        let addresses: BTreeSet<IpAddr> = addresses.collect();
        let only = addresses.first().filter(|_| addresses.len() == 1);
        only.copied().filter(|address| !address.is_unspecified())
    }

    pub(super) fn validate_next_generation(&self, faults: &mut Faults) {
        if self.id.is_some_and(|id| id.upper.is_some()) && !self.enrp.next_generation {
            let text = "has sixteen digits, which needs next-generation = true in [enrp]; eight are enough";
            faults.add("id", text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> String {
        PeerRegistrar::try_from(text.to_owned()).unwrap().0.to_string()
    }

    fn enrp(text: &str) -> EnrpConfig {
        let config = service::config::parse("registrar.toml", text, |_, _| {}).map_err(|e| e.to_string());
        let config: Config = config.unwrap();
        config.enrp_machine(false).unwrap()
    }

    #[test]
    fn where_enrp_is_spoken_over_tcp_is_told_and_wildcards_are_not() {
        let open = enrp("[listen]\nenrp-tcp = [\"127.0.0.1:9901\", \"0.0.0.0:9902\"]\n");
        let tcp = RegistrarTcp { address: "127.0.0.1:9901".parse().unwrap(), tls: false, mptcp: false };
        assert_eq!((&open.tcp[..], open.reach), (&[tcp][..], Reach::default()));
        let multipath = enrp("[listen]\nmptcp = true\nenrp-tcp = [\"127.0.0.1:9901\"]\n");
        assert_eq!(multipath.tcp[0].mptcp, tcp::has_multipath());
        let secured = enrp(
            "[listen]\nasap = []\nenrp-tls = [\"127.0.0.1:9902\"]\n\
             [tls]\ncertificate = \"c\"\nkey = \"k\"\nca = \"a\"\n",
        );
        assert!(secured.tcp[0].tls);
        assert_eq!(secured.reach, Reach { sctp: false, tcp: false, tls: true });
    }

    #[test]
    fn a_peer_without_a_port_has_that_of_enrp() {
        assert_eq!(peer("192.0.2.2"), "192.0.2.2:9901");
        assert_eq!(peer("192.0.2.2:7"), "192.0.2.2:7");
        assert_eq!(peer("tcp://192.0.2.2"), "tcp://192.0.2.2:9901");
        assert_eq!(peer("tls://2001:db8::2"), "tls://[2001:db8::2]:9902");
        assert_eq!(peer("192.0.2.2?encapsulation=7"), "192.0.2.2:9901?encapsulation=7");
        assert_eq!(peer("r.example"), "r.example:9901");
        assert_eq!(peer("r.example:7?encapsulation=8"), "r.example:7?encapsulation=8");
        assert_eq!(peer("tcp://r.example"), "tcp://r.example:9901");
        assert_eq!(peer("tls://r.example"), "tls://r.example:9902");
    }

    #[test]
    fn peers_with_names_are_numbered_apart_from_those_with_addresses() {
        let text = "[listen]\nenrp-tcp = [\"127.0.0.1:9901\"]\n\
                    [[peer]]\naddress = \"a.example\"\n[[peer]]\naddress = \"192.0.2.2\"\n\
                    [[peer]]\naddress = \"tcp://b.example\"\n";
        let config: Config = service::config::parse("registrar.toml", text, |_, _| {}).unwrap();
        let named: Vec<String> = config.named_peers().iter().map(ToString::to_string).collect();
        assert_eq!(named, ["a.example:9901", "tcp://b.example:9901"]);
        let machine = config.enrp_machine(false).unwrap();
        assert_eq!((machine.peers.len(), machine.named_peers), (1, vec![vec![]; 2]));
    }
}
