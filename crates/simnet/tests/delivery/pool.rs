//! The pool as the exporter knows it: the real machine of a pool user, and a registrar that answers at once while it is
//! there.

use std::net::IpAddr;
use std::time::Instant;

use rserpool_proto::pu::{Event, Member, PoolUser, PoolUserConfig};
use rserpool_proto::wire::asap::handle_resolution::HandleResolutionResponse;
use rserpool_proto::wire::param::transport::{SctpTransport, Transport, TransportUse};
use rserpool_proto::wire::{Message, Policy, PoolElementParameter, RegistrationLife};
use rserpool_proto::{ConnectionId, Output, PeId, PoolHandle, Profile, RegistrarAddress, RegistrarId};

pub(crate) struct Pool {
    pub(crate) user: PoolUser,
    /// The registrar runs and can be reached.
    up: bool,
    home: Option<ConnectionId>,
    /// What the registrar lists.
    listed: Vec<(PeId, Policy)>,
    /// Whose turn it is among equals.
    turn: usize,
    /// Answers and ends of quarantines.
    pub(crate) news: u64,
    /// The user knows something new.
    dirty: bool,
}

fn handle() -> PoolHandle {
    PoolHandle::new("ipfix").unwrap()
}

fn user(seed: u64) -> PoolUser {
    let config = PoolUserConfig {
        pool: handle(),
        registrars: vec![RegistrarAddress::sctp(IpAddr::from([192, 0, 2, 9]), 3863)],
        items: Some(128),
        updates: true,
        profile: Profile::FAST,
    };
    PoolUser::new(config, seed)
}

impl Pool {
    /// It is the `turn` of that element of those `listed`.
    pub(crate) fn new(now: Instant, seed: u64, turn: usize, listed: Vec<(PeId, Policy)>) -> Self {
        let mut pool = Self { user: user(seed), up: true, home: None, listed, turn, news: 0, dirty: true };
        pool.user.resolve(now);
        pool.exchange(now);
        pool
    }

    /// The user starts again and knows nothing.
    pub(crate) fn restart(&mut self, now: Instant, seed: u64) {
        (self.user, self.home, self.dirty) = (user(seed), None, true);
        self.user.resolve(now);
        self.exchange(now);
    }

    /// The registrar goes away or comes back; meanwhile nothing is known of changes.
    pub(crate) fn set_registrar(&mut self, now: Instant, up: bool) {
        self.up = up;
        if let Some(home) = self.home.take().filter(|_| !up) {
            self.user.handle_lost(now, home);
            self.exchange(now);
        }
    }

    /// The pool's elements change; the user is told.
    pub(crate) fn list(&mut self, now: Instant, listed: Vec<(PeId, Policy)>) {
        let joined_or_left = !self.listed.iter().map(|(pe, _)| pe).eq(listed.iter().map(|(pe, _)| pe));
        self.listed = listed;
        // Registrars do not push loads.
        if let Some(home) = self.home.filter(|_| joined_or_left) {
            self.answer(now, home);
            self.exchange(now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.user.handle_timeout(now);
        self.exchange(now);
    }

    /// Carries what the user and the registrar say to each other.
    pub(crate) fn exchange(&mut self, now: Instant) {
        while let Some(output) = self.user.poll_output() {
            match output {
                Output::Connect { connection, .. } if self.up => {
                    self.home = Some(connection);
                    self.user.handle_connected(now, connection);
                }
                Output::Connect { connection, .. } => self.user.handle_connect_failed(now, connection),
                Output::Send { connection, octets } if self.home == Some(connection) => {
                    if let Ok(Message::HandleResolution(_)) = Message::decode(&octets) {
                        self.answer(now, connection);
                    }
                }
                Output::Event(event) => {
                    self.dirty = true;
                    let is_news = matches!(event, Event::Resolved { .. } | Event::QuarantineEnded { .. });
                    self.news += u64::from(is_news);
                }
                Output::Send { .. }
                | Output::Disconnect { .. }
                | Output::Announce { .. }
                | Output::LookUp { .. } => {}
            }
        }
    }

    fn answer(&mut self, now: Instant, connection: ConnectionId) {
        let element = |(pe, policy): &(PeId, Policy)| PoolElementParameter {
            pe: *pe,
            home: RegistrarId(1),
            life: RegistrationLife(30),
            user_transport: Transport::Sctp(SctpTransport {
                port: 4739,
                transport_use: TransportUse::DATA_PLUS_CONTROL,
                addresses: vec![IpAddr::from([192, 0, 2, 1])],
                unknown: vec![],
            }),
            policy: policy.clone(),
            asap_transport: None,
            encapsulation: None,
            unknown: vec![],
        };
        let mut listed = self.listed.clone();
        listed.rotate_left(self.turn % self.listed.len().max(1));
        self.turn += 1;
        listed.sort_by_key(|(_, policy)| policy.load());
        let response = HandleResolutionResponse {
            updates_accepted: true,
            pool: handle(),
            policy: listed.first().map(|(_, policy)| policy.clone()),
            elements: listed.iter().map(element).collect(),
            causes: None,
            unknown: vec![],
        };
        let octets = Message::HandleResolutionResponse(response).to_octets().unwrap();
        self.user.handle_message(now, connection, &octets);
    }

    /// Returns the elements, once after each change.
    pub(crate) fn changed(&mut self, now: Instant) -> Option<Vec<Member>> {
        std::mem::take(&mut self.dirty).then(|| self.user.members(now).collect())
    }
}
