//! The collector in its pools: one registration per `[[pool]]`, by RFC 5352's pool element machine.
//!
//! A registrar that is gone changes nothing for the exporters that are connected; it is looked for until it is back.
//! Load (policies by load): records per second of the configured capacity, or how full the fullest output's queue is;
//! told when it has changed by 1/32 at least.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rserpool::wire::PoolElementParameter;
use rserpool::{
    ConfigError, DeregisterError, Load, PoolElement, PoolElementConfig, PoolElementState, PoolHandle,
    Protocol, ScopeRule, TransportUse, UserTransport,
};
use rserpool_proto::InvalidPoolHandle;
use service::Condition;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};
use transport::tls::Identity;
use transport::{Connector, Endpoint, tcp};

use crate::cards::Cards;
use crate::config::{Config, Pool, Service, Transport};
use crate::metrics::PoolMetrics;
use crate::output::Outputs;
use crate::policy::LoadSource;

/// How often the load is measured.
const LOAD_INTERVAL: Duration = Duration::from_secs(1);
/// A change below this share of full load is not told.
const LOAD_STEP: u32 = u32::MAX / 32;
/// What a deregistration may take.
const DEREGISTRATION: Duration = Duration::from_millis(1_500);

/// Why a pool cannot be joined by anyone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistrationError {
    /// The handle does not fit its parameter.
    #[error("pool {handle:?}: {error}")]
    Handle { handle: String, error: InvalidPoolHandle },
    /// The registration is impossible.
    #[error("pool {handle:?}: {error}")]
    Config { handle: String, error: ConfigError },
}

/// Every registration of the collector.
#[derive(Debug)]
pub(crate) struct Registrations {
    config: Config,
    endpoint: Option<Endpoint>,
    identity: Option<Identity>,
    cards: Arc<watch::Sender<Cards>>,
    joined: Arc<Joined>,
    /// Empty while the collector is out of its pools.
    elements: Vec<Registered>,
    watching: JoinSet<()>,
    /// Deregistrations on their way.
    leaving: JoinSet<Result<(), DeregisterError>>,
    /// Records received since the start, of all sessions.
    records: Arc<AtomicU64>,
    measured: u64,
    timer: Interval,
}

#[derive(Debug)]
struct Registered {
    element: PoolElement,
    metrics: PoolMetrics,
    /// How load is measured and the records per second that are full load, if the policy asks.
    measure: Option<(LoadSource, u32)>,
    load: Load,
}

impl Registrations {
    /// Returns those of a collector that is in none of its pools yet. `condition` is met while all are joined.
    pub(crate) fn new(
        config: &Config,
        endpoint: Option<&Endpoint>,
        identity: Option<&Identity>,
        records: Arc<AtomicU64>,
        condition: Condition,
        cards: watch::Sender<Cards>,
    ) -> Self {
        let mut timer = interval(LOAD_INTERVAL);
        // A late measurement would see fewer records in the one after it.
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let missing = AtomicU64::new(config.pool.len() as u64);
        let joined = Arc::new(Joined { missing, drained: AtomicBool::new(false), condition });
        joined.tell();
        Self {
            config: config.clone(),
            endpoint: endpoint.cloned(),
            identity: identity.cloned(),
            cards: Arc::new(cards),
            joined,
            elements: Vec::new(),
            watching: JoinSet::new(),
            leaving: JoinSet::new(),
            records,
            measured: 0,
            timer,
        }
    }

    /// Starts to register in every pool.
    pub(crate) fn join(&mut self) -> Result<(), RegistrationError> {
        for (at, pool) in self.config.pool.iter().enumerate() {
            let handle = PoolHandle::new(pool.handle.as_bytes())
                .map_err(|error| RegistrationError::Handle { handle: pool.handle.clone(), error })?;
            let connector = connector(pool, &self.config, self.endpoint.as_ref(), self.identity.as_ref());
            let element = PoolElement::spawn(element(pool, handle, &self.config), connector)
                .map_err(|error| RegistrationError::Config { handle: pool.handle.clone(), error })?;
            let metrics = PoolMetrics::new(&pool.handle);
            self.watching.spawn(watch(element.state(), Arc::clone(&self.joined), metrics.clone()));
            self.watching.spawn(follow_peers(element.peers(), at, Arc::clone(&self.cards)));
            let measure = pool.policy.load();
            self.elements.push(Registered { element, metrics, measure, load: Load::default() });
        }
        Ok(())
    }

    /// Returns whether the collector is out of its pools, by [`Self::leave`] or because it never joined.
    pub(crate) fn is_out(&self) -> bool {
        self.elements.is_empty() && !self.config.pool.is_empty()
    }

    /// Returns whether an operator has taken the collector out of every pool it is in; `/readyz` says so.
    pub(crate) fn is_drained(&self) -> bool {
        let drained = !self.elements.is_empty()
            && self.elements.iter().all(|registered| registered.element.is_draining());
        if self.joined.drained.swap(drained, Ordering::Relaxed) != drained {
            self.joined.tell();
        }
        drained
    }

    /// Starts to leave every pool; [`Self::join`] brings the collector back, as other elements.
    pub(crate) fn leave(&mut self) {
        while self.leaving.try_join_next().is_some() || self.watching.try_join_next().is_some() {}
        for Registered { element, .. } in self.elements.drain(..) {
            if matches!(*element.state().borrow(), PoolElementState::Registered { .. }) {
                // Unconfirmed it is told by the element's own task.
                self.leaving.spawn(async move { element.deregister(DEREGISTRATION).await });
            }
        }
    }

    /// Waits for the next time to measure the load, and tells it where it has changed. Cancel safe. `is_failing`: an output
    /// cannot write, which is full load by any measure.
    pub(crate) async fn measure(&mut self, outputs: &Outputs, is_failing: bool) {
        self.timer.tick().await;
        let records = self.records.load(Ordering::Relaxed);
        let rate = records - std::mem::replace(&mut self.measured, records);
        for Registered { element, metrics, measure, load } in &mut self.elements {
            metrics.announces_refused.absolute(element.announces_refused());
            metrics.homes_refused.absolute(element.homes_refused());
            let new = match *measure {
                None => continue,
                Some(_) if is_failing => Load::FULL,
                Some((LoadSource::Rate, capacity)) => Load::of(rate, capacity.into()),
                Some((LoadSource::Queue, _)) => {
                    let (waiting, size) = outputs.fullest();
                    Load::of(waiting, size)
                }
            };
            if is_worth_telling(*load, new) {
                *load = new;
                metrics.load.set(f64::from(new.0) / f64::from(u32::MAX));
                element.set_load(new);
            }
        }
    }

    /// Leaves every pool, for good.
    pub(crate) async fn deregister(mut self) {
        self.watching.shutdown().await;
        self.leave();
        while self.leaving.join_next().await.is_some() {}
    }
}

/// Whether a load is a step away from the one that was told, or the end or the beginning of any.
fn is_worth_telling(told: Load, new: Load) -> bool {
    new.0.abs_diff(told.0) >= LOAD_STEP || (new == Load::default()) != (told == Load::default())
}

/// How the pool's registrars are reached: from the address the element serves at, since a registrar lets it register
/// no other (RFC 5355 threat 3).
pub(crate) fn connector(
    pool: &Pool,
    config: &Config,
    endpoint: Option<&Endpoint>,
    identity: Option<&Identity>,
) -> Connector {
    let mut tcp = tcp::Options::default();
    tcp.local = config.listen.addresses(pool.transport(&config.listen)).first().map(SocketAddr::ip);
    tcp.profile = config.profile.timers.transport();
    tcp.mptcp = config.listen.mptcp;
    let tls =
        config.tls.as_ref().zip(identity).map(|(tls, identity)| tls.client_of(identity, &pool.registrars));
    Connector { endpoint: endpoint.cloned(), tcp, tls, ..Connector::default() }
}

fn element(pool: &Pool, handle: PoolHandle, config: &Config) -> PoolElementConfig {
    let transport_use = match pool.service {
        Service::Full => TransportUse::DATA_PLUS_CONTROL,
        Service::Minimal => TransportUse::DATA_ONLY,
    };
    let transport = pool.transport(&config.listen);
    let protocol = match transport {
        Transport::Sctp => Protocol::Sctp,
        Transport::Tcp | Transport::Tls => Protocol::Tcp,
    };
    let addresses = config.listen.addresses(transport);
    let port = addresses.first().map_or(0, SocketAddr::port);
    let addresses = addresses.iter().map(SocketAddr::ip).collect();
    PoolElementConfig {
        pool: handle,
        // A new one at each start: an earlier self that has not expired yet is another element.
        pe: None,
        transport: UserTransport {
            protocol,
            addresses,
            port,
            transport_use,
            encapsulation: config.listen.encapsulation_port,
        },
        policy: pool.policy.wire(),
        registrars: pool.registrars.clone(),
        announce: pool.announce.clone(),
        registrar_networks: pool.registrar_networks.clone(),
        scope: ScopeRule { private_beyond: pool.private_addresses },
        observed_address: pool.observed_address,
        next_generation: pool.next_generation,
        watch_peers: pool.service == Service::Full,
        profile: config.profile.timers.rserpool(),
    }
}

/// How many pools are not joined, told to `/readyz`.
#[derive(Debug)]
struct Joined {
    missing: AtomicU64,
    drained: AtomicBool,
    condition: Condition,
}

impl Joined {
    fn change(&self, registered: bool) {
        if registered {
            self.missing.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.missing.fetch_add(1, Ordering::Relaxed);
        }
        self.tell();
    }

    fn tell(&self) {
        match self.missing.load(Ordering::Relaxed) {
            0 if self.drained.load(Ordering::Relaxed) => {
                self.condition.unmet("drained: `rserpool-registrar drain --undo` puts it back");
            }
            0 => self.condition.met(),
            missing => self.condition.unmet(&format!("in {missing} pools not registered")),
        }
    }
}

/// Follows one registration, for metrics and readiness; the operator's lines come from its driver.
async fn watch(mut state: watch::Receiver<PoolElementState>, joined: Arc<Joined>, metrics: PoolMetrics) {
    let mut registered = false;
    let mut home = None;
    loop {
        let state_now = state.borrow_and_update().clone();
        let now = match state_now {
            PoolElementState::Registered { registrar, .. } => Some(registrar),
            _ => None,
        };
        if home.is_some() && now.is_some() && home != now {
            metrics.moved.increment(1);
        }
        home = now;
        let is_registered = home.is_some();
        if std::mem::replace(&mut registered, is_registered) != is_registered {
            metrics.registered.set(if registered { 1.0 } else { 0.0 });
            let changes = match state_now {
                PoolElementState::Registered { .. } => &metrics.joined,
                PoolElementState::Deregistered => &metrics.deregistered,
                _ => &metrics.left,
            };
            changes.increment(1);
            joined.change(registered);
        }
        if state.changed().await.is_err() {
            // Its end was not confirmed by a registrar.
            if registered {
                metrics.registered.set(0.0);
                metrics.deregistered.increment(1);
                joined.change(false);
            }
            return;
        }
    }
}

/// Keeps the card of the pool at this place up to date.
async fn follow_peers(
    mut peers: watch::Receiver<Arc<[PoolElementParameter]>>,
    at: usize,
    cards: Arc<watch::Sender<Cards>>,
) {
    while peers.changed().await.is_ok() {
        let others = Arc::clone(&peers.borrow_and_update());
        cards.send_modify(|cards| cards.set(at, others));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_told_again_after_a_step_and_not_before() {
        let share = |of_1000: u64| Load::of(of_1000, 1_000);
        for (told, new, is_told) in [
            (500, 500, false),
            (500, 530, false),
            (500, 470, false),
            (500, 532, true),
            (500, 468, true),
            // However little: the collector is idle no longer, or at last.
            (0, 1, true),
            (1, 0, true),
            (0, 0, false),
            (1_000, 2_000, false),
        ] {
            assert_eq!(is_worth_telling(share(told), share(new)), is_told, "{told} and then {new}");
        }
    }

    #[test]
    fn small_changes_in_one_direction_add_up() {
        let (mut told, mut count) = (Load::of(100, 1_000), 0);
        for of_1000 in 101..=900 {
            let new = Load::of(of_1000, 1_000);
            if is_worth_telling(told, new) {
                (told, count) = (new, count + 1);
            }
        }
        assert_eq!(count, 25, "800 of 1000 in steps of a 32nd, which are 32 of 1000");
    }
}
