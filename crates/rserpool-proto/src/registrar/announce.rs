//! Announces to pool elements and pool users by multicast (RFC 5352 section 3.6): ASAP_SERVER_ANNOUNCE every
//! (N + 1) * T6-serverannounce, N being the other registrars, so that together they make about one a second.
//!
//! None is sent before the handlespace is complete, nor while the registrar ends.

use std::time::{Duration, Instant};

use super::{Registrar, Timer};
use crate::wire::asap::announce::ServerAnnounce;
use crate::wire::param::ParameterType;

use crate::wire::{Message, Transport, UnknownParameter};
use crate::{ControlProtocol, ENCAPSULATION_PORT, Output};

/// T6-serverannounce (RFC 5352 section 7.1).
const T6_SERVERANNOUNCE: Duration = Duration::from_secs(1);

/// What a registrar announces.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Announcement {
    /// Where it is reached for ASAP. The reference implementation tells none and means where the datagram comes from.
    pub transports: Vec<Transport>,
    /// The UDP port of the SCTP transports.
    pub encapsulation: u16,
}

impl Registrar {
    pub(super) fn begin_announcing(&mut self, now: Instant) {
        if self.config.announce.is_some() {
            self.timers.set(Timer::Announce, now);
        }
    }

    pub(super) fn announce_server(&mut self, now: Instant) {
        let Some(announcement) = self.config.announce.clone().filter(|_| !self.is_leaving()) else { return };
        let others = u32::try_from(self.peers().count()).unwrap_or(u32::MAX);
        let interval = T6_SERVERANNOUNCE.saturating_mul(others.saturating_add(1));
        let delay = self.random.jitter(interval, self.config.profile.jitter_percent);
        self.timers.set(Timer::Announce, now + delay);
        if !self.is_ready() {
            return;
        }
        let Announcement { transports, encapsulation } = announcement;
        let unknown = match encapsulation {
            0 | ENCAPSULATION_PORT => vec![],
            _ if transports.is_empty() => vec![],
            port => {
                let [high, low] = port.to_be_bytes();
                vec![UnknownParameter {
                    kind: ParameterType::ENCAPSULATION_PORT,
                    value: vec![high, low, 0, 0],
                }]
            }
        };
        let message = Message::ServerAnnounce(ServerAnnounce { registrar: self.id, transports, unknown });
        if let Ok(octets) = message.to_octets() {
            self.counters.count_sent(&message);
            self.outputs.push_back(Output::Announce { protocol: ControlProtocol::Asap, octets });
        }
    }
}
