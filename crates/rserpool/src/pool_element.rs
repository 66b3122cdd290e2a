//! The driver of a pool element's registration.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rserpool_proto::pe::{self, ConfigError, Event, HomeRefusal};
use rserpool_proto::wire::{CauseCode, ErrorCause, Load, Policy, PoolElementParameter, TransportUse};
use rserpool_proto::{
    ENCAPSULATION_PORT, LostReason, PeId, PoolHandle, Profile, Protocol, RegistrarId, UserTransport,
};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Instrument as _, debug, info, info_span, warn};
use transport::{Association, Connector, Endpoint, Listener, PeerAddress};

use crate::address::seen;
use crate::driver::{Driver, expects_reference, machine, warn_of_long_handle};
use crate::{AnnounceConfig, ConfiguredRegistrar, Network, RegistrarAddress, ScopeRule};

machine!(pe::PoolElement, Event);

/// The operator is told of refused registrars at most once in this time.
const REFUSALS: Duration = Duration::from_secs(60);

/// Events that wait for [`PoolElement::next_event`]; beyond, they are dropped.
const EVENTS: usize = 64;

/// What a pool element registers, and where.
#[derive(Clone, Debug)]
pub struct PoolElementConfig {
    /// The pool.
    pub pool: PoolHandle,
    /// The identifier; `None` draws one, and another one when it is taken.
    pub pe: Option<PeId>,
    /// Where the element serves, and whether that association carries control too (transport use 1).
    pub transport: UserTransport,
    /// The pool's policy, with this element's values.
    pub policy: Policy,
    /// The registrars to choose from.
    pub registrars: Vec<ConfiguredRegistrar>,
    /// Where announces of further registrars are heard; `None`: nowhere.
    pub announce: Option<AnnounceConfig>,
    /// Where registrars may be that make themselves the element's home (RFC 5352 section 3.4), beside those of
    /// `registrars` and the networks of `announce`. Empty: nowhere else, but for an element that is reached on this host
    /// only, which follows every registrar of this host.
    pub registrar_networks: Vec<Network>,
    /// Which of the addresses are registered where.
    pub scope: ScopeRule,
    /// Behind a translator (NAT) that passes the element's ports on: the address a registrar sees is registered in
    /// place of those it refuses.
    pub observed_address: bool,
    /// Whether a long identifier is registered beside the one of RFC 5354 (docs/wire.md section 17), which tells apart
    /// two elements that have drawn the same.
    pub next_generation: bool,
    /// Whether the pool's other elements are learnt, for business cards (RFC 5352 section 3.9).
    pub watch_peers: bool,
    /// Timers and thresholds.
    pub profile: Profile,
}

impl PoolElementConfig {
    /// Returns the configuration of an element with a random identifier, policy Round Robin and the timers `fast`.
    pub fn new(
        pool: PoolHandle,
        transport: UserTransport,
        registrars: Vec<ConfiguredRegistrar>,
    ) -> PoolElementConfig {
        PoolElementConfig {
            pool,
            pe: None,
            transport,
            policy: Policy::RoundRobin,
            registrars,
            announce: None,
            registrar_networks: Vec::new(),
            scope: ScopeRule::default(),
            observed_address: false,
            next_generation: false,
            watch_peers: false,
            profile: Profile::FAST,
        }
    }
}

/// How a registration stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PoolElementState {
    /// No registrar is connected.
    Searching,
    /// A registrar is connected and has not answered yet.
    Registering {
        /// The registrar.
        registrar: RegistrarAddress,
    },
    /// The element is in the pool.
    Registered {
        /// The element.
        pe: PeId,
        /// Its home registrar.
        registrar: RegistrarAddress,
    },
    /// The registrar refuses the element; it is tried again from time to time.
    Rejected {
        /// Why.
        causes: Vec<ErrorCause>,
    },
    /// The element is out of the pool, as asked, or its task has ended.
    Deregistered,
}

/// What happened to a registration.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PoolElementEvent {
    /// The element is in the pool: the first time, or again after it was not.
    Registered {
        /// The element.
        pe: PeId,
        /// Its home registrar.
        registrar: RegistrarAddress,
    },
    /// The registrar refused the element.
    Rejected {
        /// Why.
        causes: Vec<ErrorCause>,
        /// When it is tried again; `None`: never.
        retry: Option<Duration>,
    },
    /// Another registrar made itself the home.
    HomeChanged {
        /// The element.
        pe: PeId,
        /// Where the registrar connected from.
        registrar: RegistrarAddress,
    },
    /// The home registrar is lost; another one is being looked for. Says nothing about data associations.
    RegistrarLost,
    /// The element is out of the pool, as asked.
    Deregistered,
}

/// Why a deregistration was not confirmed. The registration ends with its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeregisterError {
    /// No registrar confirmed it in time.
    #[error("no registrar confirmed the deregistration")]
    Unconfirmed,
}

#[derive(Debug)]
enum Command {
    SetLoad(Load),
    SetPolicy(Policy),
    Deregister(oneshot::Sender<Result<(), DeregisterError>>),
}

/// Keeps one pool element registered, in a task of its own. Dropping it ends the task without a
/// deregistration; the registrar removes the element when its association is gone.
#[derive(Debug)]
pub struct PoolElement {
    commands: mpsc::UnboundedSender<Command>,
    state: watch::Receiver<PoolElementState>,
    events: mpsc::Receiver<PoolElementEvent>,
    announces_refused: Arc<AtomicU64>,
    homes_refused: Arc<AtomicU64>,
    peers: watch::Receiver<Arc<[PoolElementParameter]>>,
    draining: watch::Receiver<bool>,
}

impl PoolElement {
    /// Registers the element and keeps it registered. `connector` is how registrars are reached, its
    /// endpoint alone for SCTP and TCP: it must be bound to the address the element serves at (RFC 5352 section
    /// 3.1, R1). Must run within a tokio runtime.
    ///
    /// The element also listens for registrars, on a free SCTP port of that endpoint that it registers as its ASAP
    /// transport: one that takes over from its home connects there (RFC 5352 section 3.4, KA2). It does not where
    /// there is no endpoint, nor where a registrar is reached over TLS, since nothing would prove who connects.
    pub fn spawn(
        config: PoolElementConfig,
        connector: impl Into<Connector>,
    ) -> Result<PoolElement, ConfigError> {
        let span = info_span!("pool_element", pool = %config.pool);
        span.in_scope(|| warn_of_long_handle(&config.pool, &config.profile));
        let secured = config.registrars.iter().any(ConfiguredRegistrar::is_tls);
        let from_listener = expects_reference(&config.profile);
        let user = config.transport.clone();
        let mut machine = pe::PoolElement::new(
            pe::PoolElementConfig {
                pool: config.pool,
                pe: config.pe,
                transport: config.transport,
                policy: config.policy,
                registrars: Vec::new(),
                profile: config.profile,
            },
            crate::seed(),
        )?;
        machine.set_scope(config.scope);
        if config.watch_peers {
            machine.watch_peers();
        }
        if config.observed_address {
            machine.use_observed_address();
        }
        if config.next_generation {
            machine.use_long_identifier()?;
        }
        let (commands, command_queue) = mpsc::unbounded_channel();
        let (states, state) = watch::channel(PoolElementState::Searching);
        let (event_sink, events) = mpsc::channel(EVENTS);
        let (peer_sink, peers) = watch::channel(Arc::from([]));
        let (draining_sink, draining) = watch::channel(false);
        let connector = connector.into();
        let mut task = Task {
            endpoint: connector.endpoint.clone().filter(|_| !secured),
            listener: None,
            from_listener,
            user,
            networks: config.registrar_networks,
            homes_refused: Arc::default(),
            refusal_told: None,
            driver: Driver::new(machine, config.registrars, config.announce, connector),
            states,
            events: event_sink,
            peers: peer_sink,
            draining: draining_sink,
            registrar: None,
            out_of_scope: false,
            told: None,
            ending: None,
        };
        let announces_refused = task.driver.announces_refused();
        let homes_refused = Arc::clone(&task.homes_refused);
        tokio::spawn(async move { task.run(command_queue).await }.instrument(span));
        Ok(PoolElement { commands, state, events, announces_refused, homes_refused, peers, draining })
    }

    /// Returns a view of the registration's state.
    pub fn state(&self) -> watch::Receiver<PoolElementState> {
        self.state.clone()
    }

    /// Waits for the next event; `None` after the element's end. Cancel safe.
    pub async fn next_event(&mut self) -> Option<PoolElementEvent> {
        self.events.recv().await
    }

    /// Returns a view of the pool's other elements, in the registrar's order; empty without `watch_peers`. Other loads
    /// and another order are no change.
    pub fn peers(&self) -> watch::Receiver<Arc<[PoolElementParameter]>> {
        self.peers.clone()
    }

    /// Returns whether an operator has taken the element out of selection at its home registrar: it stays registered, and
    /// its users are to move (docs/wire.md section 19).
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Returns how many announces of registrars were not believed.
    pub fn announces_refused(&self) -> u64 {
        self.announces_refused.load(Ordering::Relaxed)
    }

    /// Returns how many registrars that wanted to make themselves the home were refused.
    pub fn homes_refused(&self) -> u64 {
        self.homes_refused.load(Ordering::Relaxed)
    }

    /// Tells the registrar another load, where the policy has one.
    pub fn set_load(&self, load: Load) {
        let _ = self.commands.send(Command::SetLoad(load));
    }

    /// Tells the registrar other values of the pool's policy.
    pub fn set_policy(&self, policy: Policy) {
        let _ = self.commands.send(Command::SetPolicy(policy));
    }

    /// Takes the element out of its pool, within `deadline`. Pool users may still come for a moment.
    pub async fn deregister(self, deadline: Duration) -> Result<(), DeregisterError> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::Deregister(answer));
        match tokio::time::timeout(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(DeregisterError::Unconfirmed),
        }
    }
}

struct Task {
    /// Where registrars may come in.
    endpoint: Option<Endpoint>,
    listener: Option<Listener>,
    /// Connects from the listener's port: the reference implementation's registrar takes the port it sees for the
    /// element's ASAP transport, whatever is registered, and that is where others connect when it is dead.
    from_listener: bool,
    user: UserTransport,
    /// Where registrars may be that make themselves the home.
    networks: Vec<Network>,
    homes_refused: Arc<AtomicU64>,
    /// When the operator was last told of a refusal.
    refusal_told: Option<Instant>,
    driver: Driver<pe::PoolElement>,
    states: watch::Sender<PoolElementState>,
    events: mpsc::Sender<PoolElementEvent>,
    peers: watch::Sender<Arc<[PoolElementParameter]>>,
    draining: watch::Sender<bool>,
    registrar: Option<RegistrarAddress>,
    /// The operator knows that there is no address for some registrar.
    out_of_scope: bool,
    /// The refusal the operator has read last.
    told: Option<Vec<ErrorCause>>,
    ending: Option<oneshot::Sender<Result<(), DeregisterError>>>,
}

impl Task {
    async fn run(&mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        self.listen().await;
        self.driver.command(pe::PoolElement::register);
        loop {
            tokio::select! {
                association = accept(&mut self.listener) => self.accepted(association),
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                event = self.driver.event() => if self.handle(event) {
                    // The association is closed in the background.
                    self.driver.perform_outputs();
                    return;
                },
            }
        }
    }

    /// Lets registrars in. Without, the element is registered all the same, and found again after its home's end
    /// when it has found another one.
    async fn listen(&mut self) {
        let Some(endpoint) = self.endpoint.take() else { return };
        let listener = match endpoint.listen(0).await {
            Ok(listener) => listener,
            Err(error) => return warn!(%error, "no registrar can take this element over: it does not listen"),
        };
        let asap = asap_transport(&endpoint, &listener, &self.user);
        debug!(port = asap.port, "listening for registrars");
        if self.from_listener {
            self.driver.connect_from(asap.port);
        }
        self.driver.machine.trust_registrars(trusted(&self.networks, &asap.addresses));
        match self.driver.machine.set_asap_transport(Some(asap)) {
            Ok(()) => self.listener = Some(listener),
            Err(error) => warn!(%error, "no registrar can take this element over"),
        }
    }

    fn accepted(&mut self, association: Option<Association>) {
        let Some(association) = association else {
            // The endpoint is closed: nothing comes any more.
            self.listener = None;
            return;
        };
        let Some(address) = seen(association.peer()) else { return };
        debug!(registrar = %RegistrarAddress::from(address), "a registrar has connected");
        let connection = self.driver.accept(association);
        self.driver.command(|machine, now| machine.handle_accepted(now, connection, address));
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::SetLoad(load) => self.driver.command(|machine, now| machine.set_load(now, load)),
            Command::SetPolicy(policy) => self.driver.command(|machine, now| machine.set_policy(now, policy)),
            Command::Deregister(answer) => {
                self.ending = Some(answer);
                self.driver.command(pe::PoolElement::deregister);
            }
        }
    }

    /// Returns whether this was the end.
    fn handle(&mut self, event: Event) -> bool {
        match event {
            Event::RegistrarFound { address } => {
                let registrar = RegistrarAddress::from(address);
                self.driver.tell_registrar_found(registrar);
                self.registrar = Some(registrar);
                self.states.send_replace(PoolElementState::Registering { registrar });
            }
            Event::NoRegistrar => self.driver.tell_no_registrar(),
            Event::RegistrarLost { reason, .. } => self.lost(reason),
            Event::Registered { pe, warnings } => self.registered(pe, &warnings),
            Event::Reregistered { pe } => debug!(%pe, "registration confirmed"),
            Event::Rejected { pe, causes, retry } => self.rejected(pe, causes, retry),
            Event::RegistrationFailed { attempts, stopped } => {
                warn!(attempts, stopped, "registrations are not answered");
            }
            Event::PeersChanged => {
                let peers = self.driver.machine.peers();
                debug!(peers = peers.len(), "the pool's other elements have changed");
                self.peers.send_replace(peers.into());
            }
            Event::DrainingChanged { draining } => {
                info!(
                    draining,
                    "an operator takes this element out of selection at its registrar, or puts it back"
                );
                self.draining.send_replace(draining);
            }
            Event::OutOfScope { address, .. } => {
                let registrar = RegistrarAddress::from(address);
                if !std::mem::replace(&mut self.out_of_scope, true) {
                    warn!(%registrar, "its users could not reach this element at any address, trying other registrars");
                }
                self.states.send_replace(PoolElementState::Searching);
            }
            Event::AddressObserved { address } => {
                info!(%address, "the registrar sees this element at another address, which is registered");
            }
            Event::Expired => info!("the registration has expired, registering again"),
            Event::HomeAdopted { registrar, address } => self.adopted(registrar, address.into()),
            Event::HomeRefused { registrar, address, why } => {
                self.home_refused(registrar, address.into(), why);
            }
            Event::Deregistered => return self.end(Ok(())),
            Event::DeregistrationFailed => return self.end(Err(DeregisterError::Unconfirmed)),
            Event::ErrorReceived { causes } => {
                debug!(causes = %Causes(&causes), "registrar reports an error");
            }
            Event::Malformed(error) => debug!(%error, "registrar sent a malformed message"),
        }
        false
    }

    fn lost(&mut self, reason: LostReason) {
        let registrar = self.registrar.take().map(tracing::field::display);
        info!(registrar, ?reason, "registrar lost, looking for one");
        self.states.send_replace(PoolElementState::Searching);
        self.tell(PoolElementEvent::RegistrarLost);
    }

    fn adopted(&mut self, id: RegistrarId, registrar: RegistrarAddress) {
        info!(%registrar, %id, "another registrar took over");
        self.registrar = Some(registrar);
        self.driver.tell_registrar_found(registrar);
        let pe = self.driver.machine.pe();
        let state = match self.driver.machine.is_registered() {
            true => PoolElementState::Registered { pe, registrar },
            false => PoolElementState::Registering { registrar },
        };
        self.states.send_replace(state);
        self.tell(PoolElementEvent::HomeChanged { pe, registrar });
    }

    /// Anybody can provoke this: the operator reads it once in a while.
    fn home_refused(&mut self, id: RegistrarId, registrar: RegistrarAddress, why: HomeRefusal) {
        let refused = self.homes_refused.fetch_add(1, Ordering::Relaxed) + 1;
        let now = self.driver.command(|_, now| now);
        if self.refusal_told.is_some_and(|told| now.duration_since(told) < REFUSALS) {
            return debug!(%registrar, %id, ?why, refused, "a registrar was refused as home");
        }
        self.refusal_told = Some(now);
        match why {
            HomeRefusal::Stranger => warn!(
                %registrar, %id, refused,
                "a registrar wanted to become home and was refused: if it is one of yours, list it in `registrars` or its \
                 network in `registrar-networks`"
            ),
            HomeRefusal::TooOften => {
                warn!(%registrar, %id, refused, "registrars take this element from each other too often");
            }
        }
    }

    fn registered(&mut self, pe: PeId, warnings: &[ErrorCause]) {
        // Only a connected registrar can answer.
        let Some(registrar) = self.registrar else { return };
        info!(%pe, %registrar, "registered");
        if warnings.iter().any(|cause| cause.code == CauseCode::INVALID_VALUES) {
            warn!(
                "the registrar left out addresses that it does not see this element connected from: only its \
                 `[registration] networks` can allow them"
            );
        } else if !warnings.is_empty() {
            warn!(warnings = %Causes(warnings), "the registrar changed the registration");
        }
        (self.told, self.out_of_scope) = (None, false);
        self.states.send_replace(PoolElementState::Registered { pe, registrar });
        self.tell(PoolElementEvent::Registered { pe, registrar });
    }

    fn rejected(&mut self, pe: PeId, causes: Vec<ErrorCause>, retry: Option<Duration>) {
        if self.told.as_ref() == Some(&causes) {
            debug!(%pe, causes = %Causes(&causes), "registration refused again");
        } else {
            warn!(%pe, causes = %Causes(&causes), retry = retry.is_some(), "registration refused");
            self.told = Some(causes.clone());
        }
        self.states.send_replace(PoolElementState::Rejected { causes: causes.clone() });
        self.tell(PoolElementEvent::Rejected { causes, retry });
    }

    fn end(&mut self, result: Result<(), DeregisterError>) -> bool {
        match result {
            Ok(()) => info!("deregistered"),
            Err(error) => warn!("{error}"),
        }
        self.states.send_replace(PoolElementState::Deregistered);
        self.tell(PoolElementEvent::Deregistered);
        if let Some(answer) = self.ending.take() {
            let _ = answer.send(result);
        }
        true
    }

    /// An owner that reads only the state loses no more than events nobody waits for.
    fn tell(&self, event: PoolElementEvent) {
        let _ = self.events.try_send(event);
    }
}

/// Where registrars may be that make themselves the home of an element reached at `addresses`: as listed, or, where
/// nothing is listed and only this host reaches the element, on this host.
fn trusted(listed: &[Network], addresses: &[IpAddr]) -> Vec<Network> {
    if listed.is_empty() && addresses.iter().all(|address| address.to_canonical().is_loopback()) {
        return ["127.0.0.0/8", "::1"].iter().filter_map(|network| network.parse().ok()).collect();
    }
    listed.to_vec()
}

/// Where registrars reach an element that serves at `user` for ASAP: at every address of its endpoint.
fn asap_transport(endpoint: &Endpoint, listener: &Listener, user: &UserTransport) -> UserTransport {
    let local = listener.local();
    let encapsulation = match (user.protocol, local) {
        // An element has one endpoint, whose encapsulation port is told once.
        (Protocol::Sctp, _) => user.encapsulation,
        (_, PeerAddress::Sctp { encapsulation: Some(port), .. }) => port,
        _ => ENCAPSULATION_PORT,
    };
    let addresses = endpoint.peer_addresses(local.port()).iter().filter_map(PeerAddress::ip).collect();
    let (protocol, transport_use) = (Protocol::Sctp, TransportUse::DATA_ONLY);
    UserTransport { protocol, addresses, port: local.port(), transport_use, encapsulation }
}

/// Waits for the next association; `None` once there will be no more. Cancel safe.
async fn accept(listener: &mut Option<Listener>) -> Option<Association> {
    match listener {
        Some(listener) => listener.accept().await.ok(),
        None => std::future::pending().await,
    }
}

/// Prints causes as an operator reads them: `inconsistent policy, lack of resources`.
pub struct Causes<'a>(pub &'a [ErrorCause]);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no cause given");
        }
        for (at, cause) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{cause}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_element_of_this_host_follows_every_registrar_of_this_host() {
        let networks = |listed: &[&str], addresses: &[&str]| -> Vec<String> {
            let listed: Vec<Network> = listed.iter().map(|network| network.parse().unwrap()).collect();
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            trusted(&listed, &addresses).iter().map(ToString::to_string).collect()
        };
        assert_eq!(networks(&[], &["127.0.0.1", "::1"]), ["127.0.0.0/8", "::1/128"]);
        assert_eq!(networks(&[], &["127.0.0.1", "192.0.2.1"]), [""; 0]);
        assert_eq!(networks(&["192.0.2.0/24"], &["127.0.0.1"]), ["192.0.2.0/24"]);
    }
}
