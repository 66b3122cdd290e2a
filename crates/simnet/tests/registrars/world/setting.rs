//! What a world is made of: who is there, at which address, with which configuration.

use std::net::IpAddr;
use std::time::Duration;

use rserpool_proto::pe::{PoolElement, PoolElementConfig};
use rserpool_proto::pu::{PoolUser, PoolUserConfig};
use rserpool_proto::registrar::{Arbitration, EnrpConfig, Network, Registrar, RegistrarConfig};
use rserpool_proto::wire::{Policy, TransportUse};
use rserpool_proto::{
    ENCAPSULATION_PORT, PeId, PoolHandle, Profile, Protocol, RegistrarAddress, RegistrarId, UserTransport,
};
use simnet::Link;

use super::node::{ASAP_PORT, ELEMENT_PORT, ENRP_PORT, Machine};
use super::{Node, Place, State, World};
use crate::scenario::Setting;

/// How a world behaves.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) profile: Profile,
    /// Every pair of nodes has one like this.
    pub(crate) link: Link,
    /// After this much silence a transport gives its connection up; `None`: never.
    pub(crate) transport_timeout: Option<Duration>,
    /// When the peers of a killed process have noticed.
    pub(crate) kill_noticed: Duration,
    /// Elements connect with TCP and cannot be connected to.
    pub(crate) elements_over_tcp: bool,
    /// Whom elements follow beside the registrars they know.
    pub(crate) trusted: Vec<Network>,
    pub(crate) ladder: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            profile: Profile::FAST,
            link: Link::new(Duration::from_millis(1)),
            transport_timeout: None,
            kill_noticed: Duration::from_millis(300),
            elements_over_tcp: false,
            trusted: vec!["127.9.0.0/24".parse().unwrap()],
            ladder: false,
        }
    }
}

pub(crate) fn pool() -> PoolHandle {
    PoolHandle::new("ipfix").unwrap()
}

impl World {
    pub(super) fn add(&mut self, name: String, ip: IpAddr, machine: Machine) -> Node {
        self.places.push(Place {
            name,
            ip,
            machine,
            state: State::Running,
            since: self.now,
            incarnation: 1,
            waiting: std::collections::VecDeque::new(),
        });
        Node(self.places.len() - 1)
    }

    /// Where registrar `number` is.
    pub(crate) fn registrar_ip(number: u8) -> IpAddr {
        IpAddr::from([127, 9, 0, number])
    }

    /// Where the registrars of these numbers listen for ASAP.
    pub(crate) fn registrars(numbers: &[u8]) -> Vec<RegistrarAddress> {
        let address = |&number| RegistrarAddress::sctp(Self::registrar_ip(number), ASAP_PORT);
        numbers.iter().map(address).collect()
    }

    /// Returns the configuration of registrar `number` with these peers.
    pub(crate) fn registrar_config(&self, number: u8, peers: &[u8]) -> RegistrarConfig {
        let transport =
            UserTransport { addresses: vec![Self::registrar_ip(number)], ..EnrpConfig::default().transport };
        let peers = peers.iter().filter(|peer| **peer != number);
        let address = |&number| RegistrarAddress::sctp(Self::registrar_ip(number), ENRP_PORT);
        let enrp = EnrpConfig {
            transport,
            peers: peers.map(address).collect(),
            networks: vec!["127.9.0.0/24".parse().unwrap()],
            ..EnrpConfig::default()
        };
        RegistrarConfig {
            id: Some(RegistrarId(number.into())),
            profile: self.options.profile,
            enrp: Some(enrp),
            ..RegistrarConfig::default()
        }
    }

    pub(crate) fn add_registrar(&mut self, number: u8, config: RegistrarConfig) -> Node {
        let machine = Machine::Registrar(Registrar::new(config, self.random.bits()));
        let node = self.add(format!("registrar {number}"), Self::registrar_ip(number), machine);
        self.with_registrar(node, Registrar::start);
        node
    }

    /// Starts a registrar anew, at the same place.
    pub(crate) fn restart_registrar(&mut self, node: Node, config: RegistrarConfig) {
        let id = config.id;
        let machine = Machine::Registrar(Registrar::new(config, self.random.bits()));
        self.replace(node, machine);
        let id = id.map_or("a new id".to_string(), |id| format!("id {id}"));
        self.note(node, &format!("starts again with {id}"));
        self.with_registrar(node, Registrar::start);
    }

    /// Returns the configuration of registrar `number` among `all`.
    pub(crate) fn scenario_registrar(&self, number: u8, all: &[u8], setting: Setting) -> RegistrarConfig {
        let mut config = self.registrar_config(number, all);
        if let Some(enrp) = &mut config.enrp {
            enrp.multicast = setting.multicast;
            enrp.takeover_suggestion = setting.takeover_suggestion;
            enrp.arbitration = match setting.lowest_wins {
                true => Arbitration::LowestWins,
                false => Arbitration::HighestWins,
            };
        }
        config
    }

    /// An element that listens for registrars at the address it serves at.
    fn new_element(&mut self, config: PoolElementConfig) -> PoolElement {
        let transport_use = TransportUse::DATA_ONLY;
        let asap = UserTransport { port: ELEMENT_PORT, transport_use, ..config.transport.clone() };
        let mut element = PoolElement::new(config, self.random.bits()).unwrap();
        element.trust_registrars(self.options.trusted.clone());
        if !self.options.elements_over_tcp {
            element.set_asap_transport(Some(asap)).unwrap();
        }
        element
    }

    /// Starts an element anew, at the same place.
    pub(crate) fn restart_element(&mut self, node: Node, config: PoolElementConfig) {
        let element = self.new_element(config);
        self.replace(node, Machine::Element(element));
        self.note(node, "starts again");
        self.with_element(node, PoolElement::register);
    }

    fn replace(&mut self, node: Node, machine: Machine) {
        let now = self.now;
        let place = &mut self.places[node.0];
        (place.machine, place.state, place.since) = (machine, State::Running, now);
        place.incarnation += 1;
        place.waiting.clear();
    }

    /// Returns the configuration of element `pe`.
    pub(crate) fn element_config(&self, pe: u8, registrars: &[u8]) -> PoolElementConfig {
        PoolElementConfig {
            pool: pool(),
            pe: Some(PeId(pe.into())),
            transport: UserTransport {
                protocol: Protocol::Sctp,
                addresses: vec![IpAddr::from([127, 9, 1, pe])],
                port: 4739,
                transport_use: TransportUse::DATA_PLUS_CONTROL,
                encapsulation: ENCAPSULATION_PORT,
            },
            policy: Policy::RoundRobin,
            registrars: Self::registrars(registrars),
            profile: self.options.profile,
        }
    }

    /// Adds element `pe`, which starts to register.
    pub(crate) fn add_element(&mut self, pe: u8, config: PoolElementConfig) -> Node {
        let ip = config.transport.addresses[0];
        let element = self.new_element(config);
        let node = self.add(format!("pe {pe:x}"), ip, Machine::Element(element));
        self.with_element(node, PoolElement::register);
        node
    }

    /// Adds pool user `number`, who asks these registrars.
    pub(crate) fn add_user(&mut self, number: u8, registrars: &[u8]) -> Node {
        let config = PoolUserConfig {
            pool: pool(),
            registrars: Self::registrars(registrars),
            items: Some(16),
            updates: false,
            profile: self.options.profile,
        };
        let machine = Machine::User(PoolUser::new(config, self.random.bits()));
        self.add(format!("pu {number}"), IpAddr::from([127, 9, 2, number]), machine)
    }
}
