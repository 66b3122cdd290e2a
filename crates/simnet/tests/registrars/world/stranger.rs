//! Somebody who speaks as the test tells him to.

use std::time::Instant;

use rserpool_proto::{ConnectionId, ControlProtocol, RegistrarAddress};

use super::node::{ASAP_PORT, ENRP_PORT, Machine};
use super::{Node, World};

/// Connects, sends what he is told, and keeps what he gets.
#[derive(Debug, Default)]
pub(crate) struct Stranger {
    connections: u64,
    /// Connections that are up.
    pub(crate) up: Vec<ConnectionId>,
    pub(crate) received: Vec<(ConnectionId, Vec<u8>)>,
}

impl Stranger {
    pub(super) fn handle_connected(&mut self, _: Instant, connection: ConnectionId) {
        self.up.push(connection);
    }

    pub(super) fn handle_lost(&mut self, connection: ConnectionId) {
        self.up.retain(|up| *up != connection);
    }

    pub(super) fn handle_message(&mut self, connection: ConnectionId, octets: &[u8]) {
        self.received.push((connection, octets.to_vec()));
    }
}

impl World {
    /// Adds somebody at this address.
    pub(crate) fn add_stranger(&mut self, ip: std::net::IpAddr) -> Node {
        self.add(format!("stranger {ip}"), ip, Machine::Stranger(Stranger::default()))
    }

    pub(crate) fn stranger(&mut self, node: Node) -> &mut Stranger {
        let Machine::Stranger(stranger) = &mut self.places[node.0].machine else { panic!("no stranger") };
        stranger
    }

    /// Lets a stranger connect; the connection has that name when it is up.
    pub(crate) fn stranger_connect(
        &mut self,
        from: Node,
        to: Node,
        protocol: ControlProtocol,
    ) -> ConnectionId {
        let stranger = self.stranger(from);
        stranger.connections += 1;
        let name = ConnectionId(stranger.connections);
        let port = if protocol == ControlProtocol::Asap { ASAP_PORT } else { ENRP_PORT };
        let address = RegistrarAddress::sctp(self.ip(to), port);
        self.connect(from, name, protocol, address);
        name
    }

    pub(crate) fn stranger_disconnect(&mut self, from: Node, connection: ConnectionId) {
        self.disconnect(from, connection);
    }

    pub(crate) fn stranger_send(&mut self, from: Node, connection: ConnectionId, octets: Vec<u8>) {
        self.send(from, connection, octets);
    }
}
