//! Keep-alives: proof of life, and change of the home registrar (RFC 5352 section 3.4).
//!
//! Deviations from KA2 and KA2.4: who is not expected to be a registrar does not become home, nor does anybody who
//! wants to more often than a registrar has reason to. He gets no acknowledgement either, which would tell a registrar
//! that it is home, and is sent away. While the home lives and answers, another registrar is followed all the same:
//! so it is when the home itself has suggested that one.

use std::time::Instant;

use super::{Event, Goal, Home, HomeRefusal, PoolElement, Stage, TokenBucket};
use crate::wire::Message;
use crate::wire::asap::keep_alive::{EndpointKeepAlive, EndpointKeepAliveAck};
use crate::{ConnectionId, Output, RegistrarAddress};

/// Changes of home in a second, five times as many at once: parted registrars may each take over, and give back.
const HOME_CHANGES: u32 = 1;

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
        let accepted = self.accepted.get(&connection).copied();
        match &mut self.home {
            Some(home) if home.connection == connection => {
                home.registrar = message.registrar;
                self.set_draining(message.draining);
            }
            _ if message.home => {
                let Some(address) = accepted else { return };
                if let Err(why) = self.may_become_home(now, address) {
                    self.event(Event::HomeRefused { registrar: message.registrar, address, why });
                    return self.close_accepted(connection);
                }
                self.acknowledge(connection);
                self.set_draining(message.draining);
                return self.adopt(now, Home { connection, address, registrar: message.registrar });
            }
            // A registrar that only wants to know whether we live.
            _ => {}
        }
        self.acknowledge(connection);
    }

    fn acknowledge(&mut self, connection: ConnectionId) {
        let ack = EndpointKeepAliveAck { pool: self.pool.clone(), pe: self.pe, unknown: vec![] };
        self.send(connection, &Message::EndpointKeepAliveAck(ack));
    }

    /// What the home last said of it (docs/wire.md section 19).
    fn set_draining(&mut self, draining: bool) {
        if std::mem::replace(&mut self.draining, draining) != draining {
            self.event(Event::DrainingChanged { draining });
        }
    }

    /// Unsecured, the address is all there is to know a registrar by; secured, none is let in.
    fn may_become_home(&mut self, now: Instant, address: RegistrarAddress) -> Result<(), HomeRefusal> {
        if !self.is_trusted(address.ip) {
            return Err(HomeRefusal::Stranger);
        }
        let changes = self.home_changes.get_or_insert_with(|| TokenBucket::new(HOME_CHANGES, now));
        // Any home is better than none.
        if changes.take(now) || self.home.is_none() { Ok(()) } else { Err(HomeRefusal::TooOften) }
    }

    /// KA2.4: the sender becomes the home registrar.
    fn adopt(&mut self, now: Instant, new: Home) {
        let steps = self.hunt.give_up();
        self.perform(steps);
        if let Some(old) = self.home.replace(new) {
            self.outputs.push_back(Output::Disconnect { connection: old.connection });
            self.accepted.remove(&old.connection);
        }
        self.event(Event::HomeAdopted { registrar: new.registrar, address: new.address });
        // Registered, the new home knows us already; everything else is asked again, of it.
        if self.stage != Stage::Registered {
            self.pursue(now);
        }
    }
}
