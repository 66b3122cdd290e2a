//! Who is at the far end of each connection, and how many connections an address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rserpool_proto::hashing::Table;
use rserpool_proto::{ConnectionId, ControlProtocol};
use transport::PeerAddress;

/// The far end of a connection that has ended.
const UNKNOWN: &str = "unknown";

/// The far ends of all connections.
#[derive(Debug)]
pub(crate) struct Remotes {
    known: Table<ConnectionId, Known>,
    per_address: HashMap<IpAddr, usize>,
    max_per_address: usize,
}

#[derive(Debug)]
struct Known {
    protocol: ControlProtocol,
    peer: PeerAddress,
    /// The peer, and what its certificate says, where it has one.
    name: Arc<str>,
    /// It counts for its address.
    counted: bool,
}

impl Remotes {
    /// Nobody yet. `max_per_address` holds for connections that others open.
    pub(crate) fn new(max_per_address: usize) -> Remotes {
        Remotes { known: Table::default(), per_address: HashMap::new(), max_per_address }
    }

    /// Adds a connection that the far end opened; returns whether its address may have one more.
    pub(crate) fn add(
        &mut self,
        connection: ConnectionId,
        protocol: ControlProtocol,
        peer: PeerAddress,
        names: &[String],
    ) -> bool {
        if let Some(address) = peer.ip() {
            let count = self.per_address.entry(address).or_default();
            if *count >= self.max_per_address {
                return false;
            }
            *count += 1;
        }
        let mut name = peer.to_string();
        if !names.is_empty() {
            name = format!("{name} ({})", names.join(", "));
        }
        self.known.insert(connection, Known { protocol, peer, name: name.into(), counted: true });
        true
    }

    /// Adds a connection of our own.
    pub(crate) fn add_own(&mut self, connection: ConnectionId, protocol: ControlProtocol, peer: PeerAddress) {
        self.known
            .insert(connection, Known { protocol, peer, name: peer.to_string().into(), counted: false });
    }

    /// Forgets a connection that has ended.
    pub(crate) fn remove(&mut self, connection: ConnectionId) {
        let Some(known) = self.known.remove(&connection).filter(|known| known.counted) else { return };
        let Some(address) = known.peer.ip() else { return };
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
    }

    /// Returns what a connection carries.
    pub(crate) fn protocol(&self, connection: ConnectionId) -> Option<ControlProtocol> {
        self.known.get(&connection).map(|known| known.protocol)
    }

    /// Returns how many connections carry `protocol`.
    pub(crate) fn count(&self, protocol: ControlProtocol) -> usize {
        self.known.values().filter(|known| known.protocol == protocol).count()
    }

    /// Returns the far end as operators and the audit log see it.
    pub(crate) fn name(&self, connection: ConnectionId) -> &str {
        self.known.get(&connection).map_or(UNKNOWN, |known| &known.name)
    }

    /// The same, to be kept.
    pub(crate) fn shared_name(&self, connection: ConnectionId) -> Arc<str> {
        self.known.get(&connection).map_or_else(|| UNKNOWN.into(), |known| Arc::clone(&known.name))
    }
}
