//! Keep-alives: proof of life, and change of the home registrar (RFC 5352 section 3.4).

use std::time::Instant;

use super::{Event, Goal, Home, PoolElement, Stage};
use crate::wire::Message;
use crate::wire::asap::keep_alive::{EndpointKeepAlive, EndpointKeepAliveAck};
use crate::{ConnectionId, Output};

impl PoolElement {
    pub(super) fn handle_keep_alive(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        message: EndpointKeepAlive,
    ) {
        // KA1: for another pool or element, or not registered at all: discarded silently.
        let ours = message.pool == self.pool && message.pe.is_none_or(|pe| pe == self.pe);
        if !ours || self.goal != Goal::Registered {
            return;
        }
        let ack = EndpointKeepAliveAck { pool: self.pool.clone(), pe: self.pe, unknown: vec![] };
        self.send(connection, &Message::EndpointKeepAliveAck(ack));
        match &mut self.home {
            Some(home) if home.connection == connection => home.registrar = message.registrar,
            _ if message.home => self.adopt(now, connection, &message),
            // A registrar that only wants to know whether we live.
            _ => {}
        }
    }

    /// KA2.4: the sender becomes the home registrar.
    fn adopt(&mut self, now: Instant, connection: ConnectionId, message: &EndpointKeepAlive) {
        let Some(&address) = self.accepted.get(&connection) else { return };
        let steps = self.hunt.give_up();
        self.perform(steps);
        if let Some(old) = self.home.take() {
            self.outputs.push_back(Output::Disconnect { connection: old.connection });
            self.accepted.remove(&old.connection);
        }
        let registrar = message.registrar;
        self.home = Some(Home { connection, address, registrar });
        self.event(Event::HomeAdopted { registrar, address });
        // Registered, the new home knows us already; everything else is asked again, of it.
        if self.stage != Stage::Registered {
            self.pursue(now);
        }
    }
}
