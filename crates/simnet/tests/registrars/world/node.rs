//! The machines behind one set of verbs.

use std::net::SocketAddr;
use std::time::Instant;

use rserpool_proto::pe::{self, PoolElement};
use rserpool_proto::pu::{self, PoolUser};
use rserpool_proto::registrar::{self, Registrar};
use rserpool_proto::{ConnectionId, ControlProtocol, Output, RegistrarAddress, Remote};

use super::stranger::Stranger;

pub(super) const ASAP_PORT: u16 = 3863;
pub(super) const ENRP_PORT: u16 = 9901;
/// Where a pool element listens for registrars.
pub(super) const ELEMENT_PORT: u16 = 3864;

#[allow(clippy::large_enum_variant, reason = "a world has some ten of them")]
pub(super) enum Machine {
    Registrar(Registrar),
    Element(PoolElement),
    User(PoolUser),
    Stranger(Stranger),
}

/// What a machine told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Registrar(registrar::Event),
    Element(pe::Event),
    User(pu::Event),
}

impl Machine {
    /// Whether anybody can connect to it.
    pub(super) fn listens(&self) -> bool {
        matches!(self, Machine::Registrar(_) | Machine::Element(_) | Machine::Stranger(_))
    }

    pub(super) fn port(&self, protocol: ControlProtocol) -> u16 {
        match (self, protocol) {
            (Machine::Registrar(_), ControlProtocol::Asap) => ASAP_PORT,
            (Machine::Registrar(_) | Machine::Stranger(_), ControlProtocol::Enrp) => ENRP_PORT,
            (Machine::Element(_) | Machine::User(_) | Machine::Stranger(_), _) => ELEMENT_PORT,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Machine::Registrar(registrar) => registrar.poll_timeout(),
            Machine::Element(element) => element.poll_timeout(),
            Machine::User(user) => user.poll_timeout(),
            Machine::Stranger(_) => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Machine::Registrar(registrar) => registrar.handle_timeout(now),
            Machine::Element(element) => element.handle_timeout(now),
            Machine::User(user) => user.handle_timeout(now),
            Machine::Stranger(_) => {}
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output<Told>> {
        match self {
            Machine::Registrar(registrar) => registrar.poll_output().map(|it| wrap(it, Told::Registrar)),
            Machine::Element(element) => element.poll_output().map(|it| wrap(it, Told::Element)),
            Machine::User(user) => user.poll_output().map(|it| wrap(it, Told::User)),
            Machine::Stranger(_) => None,
        }
    }

    pub(super) fn handle_accepted(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        protocol: ControlProtocol,
        remote: Remote,
    ) {
        match (self, protocol) {
            (Machine::Registrar(registrar), ControlProtocol::Asap) => {
                registrar.handle_accepted(now, connection, remote);
            }
            (Machine::Registrar(registrar), ControlProtocol::Enrp) => {
                registrar.handle_peer_accepted(now, connection, remote);
            }
            (Machine::Element(element), _) => {
                let address = RegistrarAddress::sctp(remote.addresses[0], remote.port);
                element.handle_accepted(now, connection, address);
            }
            (Machine::Stranger(stranger), _) => stranger.handle_connected(now, connection),
            (Machine::User(_), _) => panic!("a pool user does not listen"),
        }
    }

    pub(super) fn handle_connected(&mut self, now: Instant, connection: ConnectionId, remote: Remote) {
        match self {
            Machine::Registrar(registrar) => registrar.handle_connected(now, connection, remote),
            Machine::Element(element) => element.handle_connected(now, connection),
            Machine::User(user) => user.handle_connected(now, connection),
            Machine::Stranger(stranger) => stranger.handle_connected(now, connection),
        }
    }

    pub(super) fn handle_connect_failed(&mut self, now: Instant, connection: ConnectionId) {
        match self {
            Machine::Registrar(registrar) => registrar.handle_connect_failed(now, connection),
            Machine::Element(element) => element.handle_connect_failed(now, connection),
            Machine::User(user) => user.handle_connect_failed(now, connection),
            Machine::Stranger(_) => {}
        }
    }

    pub(super) fn handle_lost(&mut self, now: Instant, connection: ConnectionId) {
        match self {
            Machine::Registrar(registrar) => registrar.handle_lost(now, connection),
            Machine::Element(element) => element.handle_lost(now, connection),
            Machine::User(user) => user.handle_lost(now, connection),
            Machine::Stranger(stranger) => stranger.handle_lost(connection),
        }
    }

    pub(super) fn handle_message(&mut self, now: Instant, connection: ConnectionId, octets: &[u8]) {
        match self {
            Machine::Registrar(registrar) => registrar.handle_message(now, connection, octets),
            Machine::Element(element) => element.handle_message(now, connection, octets),
            Machine::User(user) => user.handle_message(now, connection, octets),
            Machine::Stranger(stranger) => stranger.handle_message(connection, octets),
        }
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, from: SocketAddr, octets: &[u8]) {
        match self {
            Machine::Registrar(registrar) => registrar.handle_datagram(now, from, octets),
            Machine::Element(_) | Machine::User(_) | Machine::Stranger(_) => {}
        }
    }
}

fn wrap<E>(output: Output<E>, event: impl FnOnce(E) -> Told) -> Output<Told> {
    match output {
        Output::Connect { connection, protocol, address } => {
            Output::Connect { connection, protocol, address }
        }
        Output::Send { connection, octets } => Output::Send { connection, octets },
        Output::Disconnect { connection } => Output::Disconnect { connection },
        Output::Announce { protocol, octets } => Output::Announce { protocol, octets },
        Output::LookUp { peer } => Output::LookUp { peer },
        Output::Event(told) => Output::Event(event(told)),
    }
}
