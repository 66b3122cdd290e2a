//! The pool element's machine (RFC 5352 sections 3.1, 3.2, 3.4 and 3.6): keeps one element registered in
//! one pool.
//!
//! It hunts for a registrar, registers, re-registers before the life ends and whenever the policy's
//! values change, answers keep-alives, adopts a new home registrar, and deregisters. When its
//! registrar is lost it hunts again and registers with the same identifier. Nothing here ever asks to end
//! the associations with pool users: what happens is told in events only.
//!
//! Timers: T2, T3, T4, T5 (section 7.1). Deviations: after MAX-REG-ATTEMPT the profiles `fast` and `rsplib`
//! report the failure and go on; a rejected registration is tried again later, because the
//! condition may end at the registrar (an earlier self not yet expired, resources).

mod config;
mod deregistration;
mod event;
mod keep_alive;
mod peers;
mod registration;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

pub use config::{ConfigError, PoolElementConfig};
pub use event::{Event, HomeRefusal};

use crate::hunt::{Hunt, Step};
use crate::random::Random;
use crate::registrar::Network;
use crate::registrar::token_bucket::TokenBucket;
use crate::scope::ScopeRule;
use crate::timers::Timers;
use crate::wire::param::long_pe_identifier::LongPeId;
use crate::wire::{Load, Message, Policy, PoolElementParameter, SctpTransport, Transport};
use crate::{
    AnnounceError, ConnectionId, ControlProtocol, LostReason, Output, PeId, PoolHandle, Profile,
    RegistrarAddress, RegistrarId, UserTransport, inbox,
};

/// Connections of registrars that may become home, at once; one more takes the place of the oldest.
const MAX_ACCEPTED: usize = 8;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Goal {
    Nothing,
    Registered,
    Deregistered,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Not registered, or not known to be.
    Unregistered,
    /// A registration is on its way; `again` when the element was registered before.
    Registering { again: bool },
    /// Registered.
    Registered,
    /// Refused; waits for the retry.
    Rejected,
    /// No address is of use where the home registrar is; waits to look for another.
    OutOfScope,
    /// A deregistration is on its way.
    Deregistering,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Timer {
    T2,
    T3,
    T4,
    Retry,
}

#[derive(Clone, Copy, Debug)]
struct Home {
    connection: ConnectionId,
    address: RegistrarAddress,
    registrar: RegistrarId,
}

/// Keeps one pool element registered.
#[derive(Debug)]
pub struct PoolElement {
    pool: PoolHandle,
    pe: PeId,
    pe_is_random: bool,
    /// The upper half of the long identifier, where one is told.
    upper: Option<u32>,
    transport: Transport,
    encapsulation: Option<u16>,
    asap_transport: Option<SctpTransport>,
    /// Where the registrar sees us, if that is to be registered in place of our addresses.
    observed: Option<IpAddr>,
    use_observed: bool,
    scope: ScopeRule,
    /// The pool's other elements, if they are wanted.
    peers: Vec<PoolElementParameter>,
    watches_peers: bool,
    /// The home says that nobody selects us.
    draining: bool,
    policy: Policy,
    profile: Profile,
    random: Random,
    hunt: Hunt,
    goal: Goal,
    stage: Stage,
    home: Option<Home>,
    /// Connections of registrars, by age.
    accepted: BTreeMap<ConnectionId, RegistrarAddress>,
    /// Where registrars may be that make themselves our home, beside those the hunt expects.
    trusted: Vec<Network>,
    /// Changes of home a registrar may ask for; made with the first one.
    home_changes: Option<TokenBucket>,
    timers: Timers<Timer>,
    /// Unanswered requests in a row.
    attempts: u32,
    /// Rejections in a row.
    rejections: u32,
    /// Values changed while a registration was on its way.
    changed: bool,
    /// Some registrar may hold a registration of ours.
    known: bool,
    outputs: VecDeque<Output<Event>>,
}

impl PoolElement {
    /// Returns an element that does nothing until [`PoolElement::register`].
    pub fn new(config: PoolElementConfig, seed: u64) -> Result<PoolElement, ConfigError> {
        let mut random = Random::new(seed);
        let (transport, encapsulation) = config.transport.to_wire().ok_or(ConfigError::NoAddress)?;
        if config.pe == Some(PeId(0)) {
            return Err(ConfigError::ZeroIdentifier);
        }
        let element = PoolElement {
            pool: config.pool,
            pe: config.pe.unwrap_or_else(|| PeId(random.identifier())),
            pe_is_random: config.pe.is_none(),
            upper: None,
            transport,
            encapsulation,
            asap_transport: None,
            observed: None,
            use_observed: false,
            scope: ScopeRule::default(),
            peers: Vec::new(),
            watches_peers: false,
            draining: false,
            policy: config.policy,
            profile: config.profile,
            hunt: Hunt::new(config.registrars, &config.profile),
            random,
            goal: Goal::Nothing,
            stage: Stage::Unregistered,
            home: None,
            accepted: BTreeMap::new(),
            trusted: Vec::new(),
            home_changes: None,
            timers: Timers::new(),
            attempts: 0,
            rejections: 0,
            changed: false,
            known: false,
            outputs: VecDeque::new(),
        };
        element.check_length()?;
        Ok(element)
    }

    /// Returns the element's identifier.
    pub fn pe(&self) -> PeId {
        self.pe
    }

    /// Returns whether a registrar has confirmed the registration and has not been lost since.
    pub fn is_registered(&self) -> bool {
        matches!(self.stage, Stage::Registered | Stage::Registering { again: true })
    }

    /// Returns whether a connection to a registrar is up.
    pub fn is_connected(&self) -> bool {
        self.home.is_some()
    }

    /// Says where registrars reach this element for ASAP, from the next registration on (RFC 5352 section 3.1, RFC
    /// 5354 section 3.10): one that takes over as home connects there. `None`: nowhere.
    ///
    /// Fails, and changes nothing, if it is not SCTP, has no address, has another encapsulation port than an SCTP
    /// user transport (an element has one endpoint), or does not fit the registration.
    pub fn set_asap_transport(&mut self, asap: Option<UserTransport>) -> Result<(), ConfigError> {
        let (transport, told) =
            match asap.map(|asap| asap.to_wire().ok_or(ConfigError::NoAddress)).transpose()? {
                Some((Transport::Sctp(transport), told)) => (Some(transport), told),
                Some(_) => return Err(ConfigError::AsapTransport),
                None => (None, self.encapsulation),
            };
        if matches!(self.transport, Transport::Sctp(_)) && told != self.encapsulation {
            return Err(ConfigError::AsapTransport);
        }
        let before = (self.asap_transport.take(), self.encapsulation);
        (self.asap_transport, self.encapsulation) = (transport, told);
        self.check_length().inspect_err(|_| (self.asap_transport, self.encapsulation) = before)
    }

    fn check_length(&self) -> Result<(), ConfigError> {
        // Without anything to register, there is nothing too long.
        self.registration().map_or(Ok(()), |registration| Ok(registration.to_octets().map(drop)?))
    }

    /// Says which addresses are registered where ([`crate::scope`]), from the next registration on.
    pub fn set_scope(&mut self, rule: ScopeRule) {
        self.scope = rule;
    }

    /// Registers, in place of its own addresses, the address a registrar sees the element at, where the registrar
    /// refuses its own and says so: behind a translator (NAT) that passes the element's ports on unchanged.
    pub fn use_observed_address(&mut self) {
        self.use_observed = true;
    }

    /// Registers a long identifier, beside the one of RFC 5354 (docs/wire.md section 17): its upper half is drawn
    /// here, and again with each identifier that is taken. To be called before [`PoolElement::register`].
    ///
    /// Fails, and changes nothing, where the registration would not fit a message.
    pub fn use_long_identifier(&mut self) -> Result<(), ConfigError> {
        self.upper = Some(self.random.identifier());
        self.check_length().inspect_err(|_| self.upper = None)
    }

    /// Returns the long identifier, where one is registered.
    pub fn long_id(&self) -> Option<LongPeId> {
        self.upper.map(|upper| LongPeId::new(upper, self.pe))
    }

    /// Registers the element and keeps it registered (RFC 5352 section 3.1).
    pub fn register(&mut self, now: Instant) {
        self.goal = Goal::Registered;
        self.stage = Stage::Unregistered;
        (self.attempts, self.rejections) = (0, 0);
        self.timers.stop(&Timer::Retry);
        self.timers.stop(&Timer::T3);
        self.pursue(now);
    }

    /// Changes the load of a load-based policy and tells the registrar at once.
    pub fn set_load(&mut self, now: Instant, new: Load) {
        let mut policy = self.policy.clone();
        if policy.set_load(new) {
            self.set_policy(now, policy);
        }
    }

    /// Changes the policy's values and tells the registrar at once. The policy's type must stay the
    /// pool's, or the registrar refuses.
    pub fn set_policy(&mut self, now: Instant, policy: Policy) {
        if policy == self.policy {
            return;
        }
        self.policy = policy;
        match self.stage {
            Stage::Registering { .. } => self.changed = true,
            Stage::Registered | Stage::Rejected => self.pursue(now),
            Stage::Unregistered | Stage::OutOfScope | Stage::Deregistering => {}
        }
    }

    /// Replaces the registrars to choose from; a hunt that is running tries the new ones too.
    pub fn set_registrars(&mut self, registrars: Vec<RegistrarAddress>) {
        let steps = self.hunt.set_registrars(registrars);
        self.perform(steps);
    }

    /// Says that the owner looks registrars up, by name, at each round of a hunt and tells them with
    /// [`PoolElement::set_registrars`]: a round in which nobody answers waits for that.
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

    /// Says in which networks registrars may be, beside the configured and the announced ones, that make themselves
    /// this element's home with a keep-alive (RFC 5352 section 3.4, KA2.4). Without any, no others are followed.
    pub fn trust_registrars(&mut self, networks: Vec<Network>) {
        self.trusted = networks;
    }

    /// Whether a registrar at this address may become our home by its own word.
    fn is_trusted(&self, ip: IpAddr) -> bool {
        self.hunt.expects(ip) || self.trusted.iter().any(|network| network.contains(ip))
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
        let steps = self.hunt.handle_announce(now, from, octets, &self.profile)?;
        self.perform(steps);
        Ok(())
    }

    /// Returns what to do next, until there is nothing more.
    pub fn poll_output(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    /// Returns when to call [`PoolElement::handle_timeout`].
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
                Timer::T2 => self.registration_timed_out(now),
                Timer::T3 => self.deregistration_timed_out(now),
                Timer::Retry if self.stage == Stage::OutOfScope => {
                    self.lose_home(now, LostReason::OutOfScope);
                }
                Timer::T4 | Timer::Retry => self.pursue(now),
            }
        }
    }

    /// A connection asked for is up.
    pub fn handle_connected(&mut self, now: Instant, connection: ConnectionId) {
        let Some((address, steps)) = self.hunt.connected(connection, &self.profile) else {
            self.outputs.push_back(Output::Disconnect { connection });
            return;
        };
        self.perform(steps);
        self.home = Some(Home { connection, address, registrar: RegistrarId::UNDETERMINED });
        self.event(Event::RegistrarFound { address });
        self.pursue(now);
    }

    /// A connection asked for did not come up.
    pub fn handle_connect_failed(&mut self, _: Instant, connection: ConnectionId) {
        let step = self.hunt.failed(connection);
        self.perform(step);
    }

    /// A registrar connected to our ASAP transport from `address`, maybe to become our home.
    pub fn handle_accepted(&mut self, _: Instant, connection: ConnectionId, address: RegistrarAddress) {
        self.accepted.insert(connection, address);
        if self.accepted.len() > MAX_ACCEPTED {
            // Strangers must not keep out the registrar that takes over.
            let home = self.home.map(|home| home.connection);
            let others = || self.accepted.iter().filter(|(accepted, _)| Some(**accepted) != home);
            let oldest = others().find(|(_, from)| !self.is_trusted(from.ip)).or_else(|| others().next());
            if let Some(connection) = oldest.map(|(&connection, _)| connection) {
                self.close_accepted(connection);
            }
        }
    }

    fn close_accepted(&mut self, connection: ConnectionId) {
        if self.accepted.remove(&connection).is_some() {
            self.outputs.push_back(Output::Disconnect { connection });
        }
    }

    /// A connection that was up has ended.
    pub fn handle_lost(&mut self, now: Instant, connection: ConnectionId) {
        self.accepted.remove(&connection);
        if self.home.is_some_and(|home| home.connection == connection) {
            self.lose_home(now, LostReason::Connection);
        } else {
            self.handle_connect_failed(now, connection);
        }
    }

    /// A message arrived from a registrar.
    pub fn handle_message(&mut self, now: Instant, connection: ConnectionId, octets: &[u8]) {
        let from_home = self.home.is_some_and(|home| home.connection == connection);
        if !from_home && !self.accepted.contains_key(&connection) {
            return;
        }
        let (decoded, answer) = inbox::open(octets);
        if let Some(answer) = answer {
            self.send(connection, &answer);
        }
        match decoded {
            Ok(Message::RegistrationResponse(response)) if from_home => {
                self.handle_registration_response(now, response);
            }
            Ok(Message::DeregistrationResponse(response)) if from_home => {
                self.handle_deregistration_response(now, response);
            }
            Ok(Message::HandleResolutionResponse(response)) if from_home => self.handle_peers(response),
            Ok(Message::EndpointKeepAlive(message)) => self.handle_keep_alive(now, connection, message),
            Ok(Message::Error(error)) => self.event(Event::ErrorReceived { causes: error.causes }),
            // The rest is not for a pool element's registration.
            Ok(_) => {}
            Err(error) => self.event(Event::Malformed(error)),
        }
    }

    /// Takes the next step towards the goal.
    fn pursue(&mut self, now: Instant) {
        match (self.goal, self.home) {
            (Goal::Nothing, _) => {}
            (_, None) if !self.hunt.is_running() => self.start_hunt(now),
            (_, None) => {}
            (Goal::Registered, Some(home)) => self.send_registration(now, home),
            (Goal::Deregistered, Some(home)) => self.send_deregistration(now, home),
        }
    }

    fn start_hunt(&mut self, now: Instant) {
        let steps = self.hunt.start(now, &self.profile, &mut self.random);
        self.perform(steps);
    }

    /// Forgets the home registrar and looks for another one (section 3.6).
    fn lose_home(&mut self, now: Instant, reason: LostReason) {
        let Some(home) = self.home.take() else { return };
        if reason != LostReason::Connection {
            self.outputs.push_back(Output::Disconnect { connection: home.connection });
            self.accepted.remove(&home.connection);
        }
        self.event(Event::RegistrarLost { address: home.address, reason });
        for timer in [Timer::T2, Timer::T4, Timer::Retry] {
            self.timers.stop(&timer);
        }
        self.stage = Stage::Unregistered;
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
        // Every message of ours is shorter than the registration, which was tried in `new`, and an
        // ASAP_ERROR is bounded by its report.
        if let Ok(octets) = message.to_octets() {
            self.outputs.push_back(Output::Send { connection, octets });
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
