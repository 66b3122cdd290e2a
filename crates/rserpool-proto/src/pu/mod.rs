//! The pool user's machine (RFC 5352 sections 3.3, 3.5 and 3.6): knows the elements of one pool and
//! chooses among them.
//!
//! It hunts for a registrar, resolves the pool's handle, keeps the answer in a cache, selects by the
//! pool's policy, keeps failed elements in quarantine and reports them. When its registrar is lost it hunts
//! again; nothing here ever asks to end the associations with pool elements.
//!
//! Timers: T1 and T5 (section 7.1). Deviations: a stale cache is still offered while no registrar
//! answers, and while a restarted one does not know the pool yet; it is marked stale. After T1 has expired
//! MAX-REQUEST-RETRANSMIT times the request is not discarded but asked of the next registrar.

mod cache;
mod card;
mod quarantine;
mod report;
mod resolution;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::hunt::{Hunt, Step};
use crate::random::Random;
use crate::registrar::Network;
use crate::scope::ScopeRule;
use crate::timers::Timers;
use crate::wire::{ErrorCause, Message, Policy, PoolElementParameter, WireError};
use crate::{
    AnnounceError, ConnectionId, ControlProtocol, LostReason, Output, PeId, PoolHandle, Profile,
    RegistrarAddress, UserTransport, inbox,
};

use cache::Cache;
use quarantine::Quarantined;

/// Which pool a pool user uses, and whom it asks.
#[derive(Clone, Debug)]
pub struct PoolUserConfig {
    /// The pool.
    pub pool: PoolHandle,
    /// The registrars to choose from.
    pub registrars: Vec<RegistrarAddress>,
    /// How many elements to ask for (handle resolution option); `None` leaves it to the registrar.
    pub items: Option<u32>,
    /// Asks the registrar to tell when the pool changes (S flag).
    pub updates: bool,
    /// Timers and thresholds.
    pub profile: Profile,
}

/// An element to use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Selected {
    /// The element.
    pub pe: PeId,
    /// Where it serves.
    pub transport: UserTransport,
    /// Its policy values.
    pub policy: Policy,
    /// No registrar has confirmed the element for the profile's `stale_cache`.
    pub stale: bool,
}

/// An element as a registrar told it last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The element.
    pub pe: PeId,
    /// Its policy values.
    pub policy: Policy,
    /// It is not in quarantine.
    pub usable: bool,
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A connection to a registrar is up.
    RegistrarFound {
        /// The registrar.
        address: RegistrarAddress,
    },
    /// No registrar answered when all were tried; told once, the hunt goes on.
    NoRegistrar,
    /// The home registrar is lost; another one is being looked for.
    RegistrarLost {
        /// The registrar.
        address: RegistrarAddress,
        /// Why.
        reason: LostReason,
    },
    /// The registrar told the pool's elements.
    Resolved {
        /// How many it told and we can use.
        elements: usize,
        /// They are not what was known before.
        changed: bool,
    },
    /// The registrar does not know the pool; told once until it does.
    PoolUnknown,
    /// The registrar refused to resolve the pool for another reason.
    Refused {
        /// Why.
        causes: Vec<ErrorCause>,
    },
    /// An unreachable element was reported to the registrar.
    Reported {
        /// The element.
        pe: PeId,
    },
    /// An element is not offered for a while.
    Quarantined {
        /// The element.
        pe: PeId,
        /// For how long.
        duration: Duration,
    },
    /// An element is offered again, by time or because it registered again.
    QuarantineEnded {
        /// The element.
        pe: PeId,
    },
    /// A registrar complains about a message of ours.
    ErrorReceived {
        /// About what.
        causes: Vec<ErrorCause>,
    },
    /// A registrar sent something we cannot read; discarded.
    Malformed(WireError),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Request {
    /// Nothing to ask.
    None,
    /// To be asked as soon as there is a registrar.
    Wanted,
    /// Asked; `repeated` times again.
    Waiting { repeated: u32 },
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Timer {
    T1,
    Retry,
    Quarantine(PeId),
}

#[derive(Clone, Copy, Debug)]
struct Home {
    connection: ConnectionId,
    address: RegistrarAddress,
}

/// Knows the elements of one pool and chooses among them.
#[derive(Debug)]
pub struct PoolUser {
    config: PoolUserConfig,
    random: Random,
    hunt: Hunt,
    home: Option<Home>,
    request: Request,
    cache: Option<Cache>,
    pool_unknown: bool,
    /// Retries without a usable element in a row.
    retries: u32,
    scope: ScopeRule,
    /// The last business card of the element in use: whom to turn to without a registrar.
    card: Vec<PoolElementParameter>,
    /// The element to go back to.
    last: Option<PeId>,
    quarantine: BTreeMap<PeId, Quarantined>,
    /// Elements handed out since they were last reported.
    handed_out: BTreeSet<PeId>,
    /// Unreachable elements no registrar was told of yet.
    to_report: BTreeSet<PeId>,
    timers: Timers<Timer>,
    outputs: VecDeque<Output<Event>>,
}

impl PoolUser {
    /// Returns a pool user that does nothing until it is asked for an element.
    pub fn new(config: PoolUserConfig, seed: u64) -> PoolUser {
        PoolUser {
            hunt: Hunt::new(config.registrars.clone(), &config.profile),
            config,
            random: Random::new(seed),
            home: None,
            request: Request::None,
            cache: None,
            pool_unknown: false,
            retries: 0,
            scope: ScopeRule::default(),
            card: Vec::new(),
            last: None,
            quarantine: BTreeMap::new(),
            handed_out: BTreeSet::new(),
            to_report: BTreeSet::new(),
            timers: Timers::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Says which resolved addresses are used ([`crate::scope`]), from the next answer on.
    pub fn set_scope(&mut self, rule: ScopeRule) {
        self.scope = rule;
    }

    /// Returns the pool's handle.
    pub fn pool(&self) -> &PoolHandle {
        &self.config.pool
    }

    /// Returns whether a connection to a registrar is up.
    pub fn is_connected(&self) -> bool {
        self.home.is_some()
    }

    /// Replaces the registrars to choose from; a hunt that is running tries the new ones too.
    pub fn set_registrars(&mut self, registrars: Vec<RegistrarAddress>) {
        let steps = self.hunt.set_registrars(registrars);
        self.perform(steps);
    }

    /// Says that the owner looks registrars up, by name, at each round of a hunt and tells them with
    /// [`PoolUser::set_registrars`]: a round in which nobody answers waits for that.
    pub fn await_lookups(&mut self) {
        self.hunt.await_lookups();
    }

    /// Returns how many rounds of hunts have begun; a change is the time to look registrars up.
    pub fn hunt_rounds(&self) -> u64 {
        self.hunt.begun_rounds()
    }

    /// Says in which networks registrars may be that announce themselves; without any, none is believed.
    pub fn believe_announces(&mut self, networks: Vec<Network>) {
        self.hunt.believe(networks);
    }

    /// A datagram arrived on the multicast group of ASAP (RFC 5352 section 3.6): its registrar is known until T7
    /// ends, and a hunt that is running tries it.
    ///
    /// Fails, and changes nothing, where it is no announce, or one of a stranger.
    pub fn handle_announce(
        &mut self,
        now: Instant,
        from: SocketAddr,
        octets: &[u8],
    ) -> Result<(), AnnounceError> {
        let steps = self.hunt.handle_announce(now, from, octets, &self.config.profile)?;
        self.perform(steps);
        Ok(())
    }

    /// Returns what to do next, until there is nothing more.
    pub fn poll_output(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    /// Returns when to call [`PoolUser::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.timers.next(), self.hunt.deadline()].into_iter().flatten().min()
    }

    /// Fires every timer due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.hunt.deadline().is_some_and(|at| at <= now) {
            self.start_hunt(now);
            if self.hunt.is_fruitless() {
                self.event(Event::NoRegistrar);
            }
        }
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::T1 => self.request_timed_out(now),
                Timer::Retry => self.resolve(now),
                Timer::Quarantine(pe) => self.quarantine_timed_out(now, pe),
            }
        }
    }

    /// A connection asked for is up.
    pub fn handle_connected(&mut self, now: Instant, connection: ConnectionId) {
        let Some((address, steps)) = self.hunt.connected(connection, &self.config.profile) else {
            self.outputs.push_back(Output::Disconnect { connection });
            return;
        };
        self.perform(steps);
        self.home = Some(Home { connection, address });
        self.event(Event::RegistrarFound { address });
        self.pursue(now);
    }

    /// A connection asked for did not come up.
    pub fn handle_connect_failed(&mut self, _: Instant, connection: ConnectionId) {
        let step = self.hunt.failed(connection);
        self.perform(step);
    }

    /// A connection that was up has ended.
    pub fn handle_lost(&mut self, now: Instant, connection: ConnectionId) {
        if self.home.is_some_and(|home| home.connection == connection) {
            self.lose_home(now, LostReason::Connection);
        } else {
            self.handle_connect_failed(now, connection);
        }
    }

    /// A message arrived from a registrar.
    pub fn handle_message(&mut self, now: Instant, connection: ConnectionId, octets: &[u8]) {
        if self.home.is_none_or(|home| home.connection != connection) {
            return;
        }
        let (decoded, answer) = inbox::open(octets);
        if let Some(answer) = answer {
            self.send(connection, &answer);
        }
        match decoded {
            Ok(Message::HandleResolutionResponse(response)) => self.handle_resolution_response(now, response),
            Ok(Message::Error(error)) => self.event(Event::ErrorReceived { causes: error.causes }),
            // The rest is not for a pool user.
            Ok(_) => {}
            Err(error) => self.event(Event::Malformed(error)),
        }
    }

    /// Sends what is to be sent, or looks for a registrar to send it to.
    fn pursue(&mut self, now: Instant) {
        match self.home {
            None if !self.hunt.is_running() => self.start_hunt(now),
            None => {}
            Some(home) => {
                self.send_reports(home);
                if self.request == Request::Wanted {
                    self.send_request(now, home, 0);
                }
            }
        }
    }

    fn start_hunt(&mut self, now: Instant) {
        let steps = self.hunt.start(now, &self.config.profile, &mut self.random);
        self.perform(steps);
    }

    /// Forgets the home registrar and looks for another one (section 3.6).
    fn lose_home(&mut self, now: Instant, reason: LostReason) {
        let Some(home) = self.home.take() else { return };
        if reason != LostReason::Connection {
            self.outputs.push_back(Output::Disconnect { connection: home.connection });
        }
        self.event(Event::RegistrarLost { address: home.address, reason });
        self.timers.stop(&Timer::T1);
        if let Request::Waiting { .. } = self.request {
            self.request = Request::Wanted;
        } else if self.config.updates {
            // The next registrar does not know whom to tell (section 2.2.5).
            self.request = Request::Wanted;
        }
        self.pursue(now);
    }

    fn perform(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.outputs.extend(steps.into_iter().map(|step| match step {
            Step::Connect(connection, address) => {
                Output::Connect { connection, protocol: ControlProtocol::Asap, address }
            }
            Step::Disconnect(connection) => Output::Disconnect { connection },
        }));
    }

    fn send(&mut self, connection: ConnectionId, message: &Message) {
        // Only a handle of nearly 64 KiB does not fit; the registrar's silence is told then.
        if let Ok(octets) = message.to_octets() {
            self.outputs.push_back(Output::Send { connection, octets });
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
