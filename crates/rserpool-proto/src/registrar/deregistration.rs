//! Deregistration (RFC 5352 section 3.2): only the registrant deregisters (section 2.2.2).

use std::net::IpAddr;
use std::time::Instant;

use super::{Key, Registrar, Removal};
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
        self.remove_for(now, &key, Removal::Deregistered, Some(connection));
        // "If the ENRP server fails to find any record of the PE [...] it SHOULD consider the
        // de-registration granted".
        self.send_deregistration_response(connection, &key, vec![]);
    }

    /// The registrant is the connection it registered over, or one from an address of the element after that was lost.
    fn may_deregister(&self, connection: ConnectionId, key: &Key) -> bool {
        let Some(monitor) = self.monitors.get(key) else { return true };
        if let Some(registrant) = monitor.connection {
            return registrant == connection;
        }
        let names = self.peers.get(&connection).map_or(&[][..], |peer| &peer.authority.names);
        if !monitor.names.is_empty() {
            return monitor.names == names;
        }
        let (Some(element), Some(peer)) = (self.element(key), self.peers.get(&connection)) else {
            return false;
        };
        let allows = |address: &IpAddr| self.config.address_check.allows(*address, &peer.remote);
        // An element on a stack with one path has one of its addresses now.
        element.user_transport.addresses().iter().any(allows)
    }
}
