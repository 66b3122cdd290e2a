//! Deregistration (RFC 5352 section 3.2): only the registrant deregisters (section 2.2.2).
//!
//! One that has lost its home deregisters with another registrar. That becomes its home before it removes the element, as
//! it would by a registration: peers believe the removal of an element of its home alone (`enrp::authority`).

use std::net::IpAddr;
use std::time::Instant;

use super::{Event, Key, Registrar, Removal};
use crate::ConnectionId;
use crate::wire::asap::deregistration::Deregistration;
use crate::wire::{CauseCode, ErrorCause};

impl Registrar {
    pub(super) fn handle_deregistration(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        message: Deregistration,
    ) {
        let key = (message.pool, message.pe);
        if !self.may_deregister(connection, &key) {
            let causes = vec![ErrorCause::plain(CauseCode::SECURITY)];
            self.send_deregistration_response(connection, &key, causes);
            return;
        }
        self.take_home(now, connection, &key);
        self.remove_for(now, &key, Removal::Deregistered, Some(connection));
        // "If the ENRP server fails to find any record of the PE [...] it SHOULD consider the
        // de-registration granted".
        self.send_deregistration_response(connection, &key, vec![]);
    }

    /// The registrant is the connection it registered over, or one from an address of the element after that was lost.
    /// That of another registrar's element comes from where the element is, whatever may be registered here.
    fn may_deregister(&self, connection: ConnectionId, key: &Key) -> bool {
        let Some(element) = self.element(key) else { return true };
        let Some(peer) = self.peers.get(&connection) else { return false };
        let Some(monitor) = self.monitors.get(key) else {
            let own = Self::addresses_of(&element);
            let from_there =
                peer.remote.addresses.iter().any(|address| own.contains(&address.to_canonical()));
            return from_there && peer.authority.allows(&key.0);
        };
        if let Some(registrant) = monitor.connection {
            return registrant == connection;
        }
        if !monitor.names.is_empty() {
            return monitor.names == peer.authority.names;
        }
        let allows = |address: &IpAddr| self.config.address_check.allows(*address, &peer.remote);
        // An element on a stack with one path has one of its addresses now.
        element.user_transport.addresses().iter().any(allows)
    }

    /// Becomes home of an element of another registrar.
    fn take_home(&mut self, now: Instant, connection: ConnectionId, key: &Key) {
        let Some(from) = self.home_of(key).filter(|&home| home != self.id) else { return };
        self.handlespace.set_home(&key.0, key.1, self.id);
        self.watch(now, connection, key, 0);
        self.announce_add(key);
        let (pool, pe) = key.clone();
        self.event(Event::HomeChanged { pool, pe, from, to: self.id });
        self.home_lost(now, key, from);
    }
}
