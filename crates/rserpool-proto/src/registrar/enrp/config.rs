//! What a registrar's owner decides about its peers.

use std::net::IpAddr;
use std::time::Duration;

use crate::wire::TransportUse;
use crate::wire::param::long_registrar_identifier::LongRegistrarId;
use crate::wire::param::registrar_tcp::RegistrarTcp;
use crate::wire::param::server_information::ServerInformation;
use crate::wire::param::transport::SctpTransport;
use crate::{ENCAPSULATION_PORT, Protocol, RegistrarAddress, RegistrarId, UserTransport};

use super::super::Network;

/// Who goes on when two registrars want to take over the same one; the same rule in the whole operational scope.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Arbitration {
    /// The greatest identifier goes on (RFC 5353 section 3.5.1).
    #[default]
    HighestWins,
    /// The least identifier goes on, as in the reference implementation.
    LowestWins,
}

impl Arbitration {
    /// Returns whether `one` goes on against `other`.
    pub fn prefers(self, one: RegistrarId, other: RegistrarId) -> bool {
        match self {
            Arbitration::HighestWins => one > other,
            Arbitration::LowestWins => one < other,
        }
    }
}

/// Over what a registrar connects to others it was told of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reach {
    /// SCTP.
    pub sctp: bool,
    /// TCP without TLS. A secured registrar does not: nobody may lead it to less (RFC 5355 threat 9).
    pub tcp: bool,
    /// TLS.
    pub tls: bool,
}

impl Default for Reach {
    /// Everything but TLS.
    fn default() -> Reach {
        Reach { sctp: true, tcp: true, tls: false }
    }
}

/// SCTP addresses of one registrar that are tried.
const MAX_ADDRESSES: usize = 8;

/// Settings of a registrar that has peers.
#[derive(Clone, Debug)]
pub struct EnrpConfig {
    /// Where we listen for ENRP; SCTP, with encapsulation port 0 for native SCTP.
    pub transport: UserTransport,
    /// Registrars to look for, and to believe.
    pub peers: Vec<RegistrarAddress>,
    /// The same of those that are configured by name: where each is at present. None is known to begin with;
    /// [`Registrar::set_peer_addresses`](crate::registrar::Registrar::set_peer_addresses) tells.
    pub named_peers: Vec<Vec<RegistrarAddress>>,
    /// Networks further peers may come from; nobody else becomes a peer (RFC 5355 threat 5).
    pub networks: Vec<Network>,
    /// Who goes on when two want to take over.
    pub arbitration: Arbitration,
    /// Announce our presence by multicast, and look for who announces himself.
    pub multicast: bool,
    /// Follow takeover suggestions, and make some when leaving.
    pub takeover_suggestion: bool,
    /// Unit of distances between registrars and pool elements; `None`: not measured.
    pub distance_step: Option<Duration>,
    /// Tell parameters of the next generation (docs/wire.md section 15), and use them with peers that tell them too.
    pub next_generation: bool,
    /// The upper half of our long identifier; `None`: a random one (docs/wire.md section 17).
    pub upper: Option<u32>,
    /// Where we listen for ENRP over TCP and TLS (docs/wire.md section 18).
    pub tcp: Vec<RegistrarTcp>,
    /// Over what registrars are connected to that we are told of.
    pub reach: Reach,
    /// Peers at most, known and looked for.
    pub max_peers: usize,
    /// Messages a peer may send in a second, and five times as many at once.
    pub messages_per_second: u32,
    /// Connections to pool elements of a dead registrar at once.
    pub adoptions: usize,
}

impl Default for EnrpConfig {
    fn default() -> EnrpConfig {
        EnrpConfig {
            transport: UserTransport {
                protocol: Protocol::Sctp,
                addresses: Vec::new(),
                port: 9901,
                transport_use: TransportUse::DATA_ONLY,
                encapsulation: ENCAPSULATION_PORT,
            },
            peers: Vec::new(),
            named_peers: Vec::new(),
            networks: Vec::new(),
            arbitration: Arbitration::default(),
            multicast: false,
            takeover_suggestion: true,
            distance_step: None,
            next_generation: false,
            upper: None,
            tcp: Vec::new(),
            reach: Reach::default(),
            max_peers: 32,
            messages_per_second: 5_000,
            adoptions: 64,
        }
    }
}

impl EnrpConfig {
    /// Returns whether a registrar at this address may be a peer.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let mut configured = self.peers.iter().chain(self.named_peers.iter().flatten());
        configured.any(|peer| peer.ip.to_canonical() == address)
            || self.networks.iter().any(|network| network.contains(address))
    }

    /// Our own server information, with what is told of the next generation beside `long`; `None` without any
    /// address.
    pub(super) fn information(
        &self,
        id: RegistrarId,
        long: Option<LongRegistrarId>,
    ) -> Option<ServerInformation> {
        let UserTransport { addresses, port, encapsulation, .. } = &self.transport;
        let (mut port, mut addresses, mut unknown) = (*port, addresses.clone(), Vec::new());
        let mut told = Some(*encapsulation).filter(|&udp| udp != ENCAPSULATION_PORT && udp != 0);
        if let Some(long) = long {
            unknown.push(long.to_parameter());
            unknown.extend(self.tcp.iter().map(RegistrarTcp::to_parameter));
            if addresses.is_empty() {
                // RFC 5354 section 3.11 demands an SCTP transport.
                addresses = self.tcp.iter().map(|tcp| tcp.address.ip()).collect();
                addresses.dedup();
                (port, told) = (0, None);
            }
        }
        (!addresses.is_empty()).then(|| ServerInformation {
            registrar: id,
            transport: SctpTransport {
                port,
                transport_use: TransportUse::DATA_ONLY,
                addresses,
                unknown: Vec::new(),
            },
            encapsulation: told,
            unknown,
        })
    }

    /// Where a registrar is that told this, as far as we read it: SCTP first.
    pub(super) fn told_endpoints(&self, told: &ServerInformation) -> Vec<RegistrarAddress> {
        let sctp = self.addresses(&told.transport, told.encapsulation).into_iter();
        let tcp = if self.next_generation { RegistrarTcp::all(&told.unknown) } else { Vec::new() };
        let tcp = tcp.into_iter().map(|tcp| RegistrarAddress {
            secured: tcp.tls,
            ..RegistrarAddress::tcp(tcp.address.ip(), tcp.address.port())
        });
        sctp.filter(|address| address.port != 0).chain(tcp).collect()
    }

    /// Those of them we can and may connect to, as peers.
    pub(super) fn endpoints(&self, told: &ServerInformation) -> Vec<RegistrarAddress> {
        let reached = |address: &RegistrarAddress| match address.protocol {
            Protocol::Sctp => self.reach.sctp,
            Protocol::Tcp if address.secured => self.reach.tls,
            Protocol::Tcp => self.reach.tcp,
            Protocol::Udp => false,
        };
        let mut endpoints = self.told_endpoints(told);
        endpoints.retain(|address| reached(address) && self.allows(address.ip));
        let sctp = endpoints.iter().take_while(|address| address.protocol == Protocol::Sctp).count();
        endpoints.drain(MAX_ADDRESSES.min(sctp)..sctp);
        endpoints
    }

    /// Whether a registrar that is said to be there may be a peer: it could connect, if we cannot.
    pub(super) fn may_be_peer(&self, told: &ServerInformation) -> bool {
        self.told_endpoints(told).iter().any(|address| self.allows(address.ip))
    }

    /// Whether we listen there ourselves.
    pub(super) fn is_own(&self, address: &RegistrarAddress) -> bool {
        let ip = address.ip.to_canonical();
        match address.protocol {
            Protocol::Sctp => {
                let UserTransport { addresses, port, encapsulation, .. } = &self.transport;
                (*port, *encapsulation) == (address.port, address.encapsulation)
                    && addresses.iter().any(|own| own.to_canonical() == ip)
            }
            _ => {
                let at = |tcp: &RegistrarTcp| (tcp.address.ip().to_canonical(), tcp.address.port());
                self.tcp.iter().any(|tcp| at(tcp) == (ip, address.port))
            }
        }
    }

    /// The UDP port of an endpoint that told this one: native where we are native ourselves.
    pub(super) fn encapsulation(&self, told: Option<u16>) -> u16 {
        let usual = if self.transport.encapsulation == 0 { 0 } else { ENCAPSULATION_PORT };
        told.unwrap_or(usual)
    }

    /// The addresses of a registrar's or an element's SCTP endpoint.
    pub(super) fn addresses(&self, sctp: &SctpTransport, told: Option<u16>) -> Vec<RegistrarAddress> {
        let encapsulation = self.encapsulation(told);
        let address =
            |ip: &IpAddr| RegistrarAddress { encapsulation, ..RegistrarAddress::sctp(*ip, sctp.port) };
        sctp.addresses.iter().map(address).collect()
    }
}
