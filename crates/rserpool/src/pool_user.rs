//! The driver of a pool user: resolution and selection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rserpool_proto::pu::{self, Event};
use rserpool_proto::wire::asap::business_card::BusinessCard;
use rserpool_proto::{PeId, PoolHandle, Profile};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Instrument as _, debug, info, info_span, warn};
use transport::Connector;

use crate::driver::{Driver, machine, warn_of_long_handle};
use crate::pool_element::Causes;
use crate::{AnnounceConfig, ConfiguredRegistrar, RegistrarAddress, ScopeRule};

pub use rserpool_proto::pu::{Member, Selected};

machine!(pu::PoolUser, Event);

/// How many elements to ask for. A registrar that tells fewer has told all, which shows when a failed element was
/// removed and came back; the reference implementation never tells more.
const ITEMS: u32 = 128;

/// Which pool to use, and whom to ask.
#[derive(Clone, Debug)]
pub struct PoolUserConfig {
    /// The pool.
    pub pool: PoolHandle,
    /// The registrars to choose from.
    pub registrars: Vec<ConfiguredRegistrar>,
    /// Where announces of further registrars are heard; `None`: nowhere.
    pub announce: Option<AnnounceConfig>,
    /// Which of the resolved addresses are used.
    pub scope: ScopeRule,
    /// The element this user was on before it was restarted: it is selected first, if the pool has it.
    pub sticky: Option<PeId>,
    /// One element is learnt at a time, and the registrar asked for the next when it fails (address hiding).
    pub hide_addresses: bool,
    /// Timers and thresholds.
    pub profile: Profile,
}

impl PoolUserConfig {
    /// Returns the configuration of a user of `pool` with the timers `fast`.
    pub fn new(pool: PoolHandle, registrars: Vec<ConfiguredRegistrar>) -> PoolUserConfig {
        PoolUserConfig {
            pool,
            registrars,
            announce: None,
            scope: ScopeRule::default(),
            sticky: None,
            hide_addresses: false,
            profile: Profile::FAST,
        }
    }
}

/// What a pool user knows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PoolUserState {
    /// The registrar that is connected.
    pub registrar: Option<RegistrarAddress>,
    /// The last registrar that answered does not know the pool.
    pub pool_unknown: bool,
    /// Elements told by the last answer, those in quarantine included.
    pub elements: usize,
    /// Counts the answers of registrars and the ends of quarantines: a reason to ask for an element again.
    pub news: u64,
    /// The same elements, in order of their identifiers.
    pub members: Arc<[Member]>,
}

#[derive(Debug)]
enum Command {
    Resolve,
    NextElement(Vec<PeId>, oneshot::Sender<Option<Selected>>),
    Element(PeId, oneshot::Sender<Option<Selected>>),
    BusinessCard(BusinessCard),
    StickTo(PeId),
    ReportUnreachable(PeId),
    SetAside(PeId),
    PutOff(PeId, Duration),
}

/// Knows the elements of one pool, in a task of its own. Dropping it ends the task.
#[derive(Debug)]
pub struct PoolUser {
    commands: mpsc::UnboundedSender<Command>,
    state: watch::Receiver<PoolUserState>,
    announces_refused: Arc<AtomicU64>,
}

impl PoolUser {
    /// Looks for a registrar and resolves the pool. `connector` is how registrars are reached, its
    /// endpoint alone for SCTP and TCP. Must run within a tokio runtime.
    pub fn spawn(config: PoolUserConfig, connector: impl Into<Connector>) -> PoolUser {
        let span = info_span!("pool_user", pool = %config.pool);
        span.in_scope(|| warn_of_long_handle(&config.pool, &config.profile));
        let mut machine = pu::PoolUser::new(
            pu::PoolUserConfig {
                pool: config.pool,
                registrars: Vec::new(),
                items: Some(if config.hide_addresses { 1 } else { ITEMS }),
                updates: true,
                profile: config.profile,
            },
            crate::seed(),
        );
        machine.set_scope(config.scope);
        if let Some(last) = config.sticky {
            machine.stick_to(last);
        }
        let (commands, command_queue) = mpsc::unbounded_channel();
        let (states, state) = watch::channel(PoolUserState::default());
        let mut task = Task {
            driver: Driver::new(machine, config.registrars, config.announce, connector.into()),
            states,
        };
        let announces_refused = task.driver.announces_refused();
        tokio::spawn(async move { task.run(command_queue).await }.instrument(span));
        PoolUser { commands, state, announces_refused }
    }

    /// Returns a view of what is known.
    pub fn state(&self) -> watch::Receiver<PoolUserState> {
        self.state.clone()
    }

    /// Returns how many announces of registrars were not believed.
    pub fn announces_refused(&self) -> u64 {
        self.announces_refused.load(Ordering::Relaxed)
    }

    /// Asks the registrar now; the state tells when it has answered.
    pub fn resolve(&self) {
        let _ = self.commands.send(Command::Resolve);
    }

    /// Returns the element to use next by the pool's policy, without those in quarantine. `None`: there is none at
    /// present, and the pool is resolved again from time to time.
    ///
    /// Two things come before the policy: the element of [`PoolUser::stick_to`], once, and, while no registrar is
    /// connected, the order of the last business card.
    pub async fn next_element(&self) -> Option<Selected> {
        self.next_element_except(&[]).await
    }

    /// As [`PoolUser::next_element`], without the elements of `exclude`: those in use already, for example.
    pub async fn next_element_except(&self, exclude: &[PeId]) -> Option<Selected> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::NextElement(exclude.to_vec(), answer));
        // The task lives as long as this handle.
        answered.await.ok().flatten()
    }

    /// Waits until there is an element to use, and returns it. Cancel safe.
    pub async fn wait_element(&self) -> Selected {
        let mut state = self.state.clone();
        loop {
            state.borrow_and_update();
            if let Some(selected) = self.next_element().await {
                return selected;
            }
            if state.changed().await.is_err() {
                // Only when the runtime ends.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns this element if the pool has it, as far as is known, to be used whatever the policy says.
    pub async fn element(&self, pe: PeId) -> Option<Selected> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::Element(pe, answer));
        answered.await.ok().flatten()
    }

    /// Waits for the element to use: GET_PRIMARY_SERVER of draft-ietf-rserpool-applic section 3.5. Cancel safe.
    pub async fn get_primary(&self) -> Selected {
        self.wait_element().await
    }

    /// Reports an element as failed and waits for the next one: GET_NEXT_SERVER of draft-ietf-rserpool-applic section
    /// 3.5. Cancel safe.
    pub async fn get_next(&self, failed: PeId) -> Selected {
        self.report_unreachable(failed);
        self.wait_element().await
    }

    /// Takes in a business card of the element in use (RFC 5352 section 3.9): while no registrar is connected, its
    /// elements are offered before the others, in its order.
    pub fn business_card(&self, card: BusinessCard) {
        let _ = self.commands.send(Command::BusinessCard(card));
    }

    /// Goes back to this element at the next selection, if the pool has it and it is not in quarantine: to whom this
    /// user was connected before it was restarted.
    pub fn stick_to(&self, pe: PeId) {
        let _ = self.commands.send(Command::StickTo(pe));
    }

    /// Puts an element in quarantine without a report: it is there, but not to be used for now.
    pub fn set_aside(&self, pe: PeId) {
        let _ = self.commands.send(Command::SetAside(pe));
    }

    /// Does not offer an element for `pause`, which says nothing about it.
    pub fn put_off(&self, pe: PeId, pause: Duration) {
        let _ = self.commands.send(Command::PutOff(pe, pause));
    }

    /// Reports an element that failed, once for each time it was selected, and puts it in quarantine.
    pub fn report_unreachable(&self, pe: PeId) {
        let _ = self.commands.send(Command::ReportUnreachable(pe));
    }
}

struct Task {
    driver: Driver<pu::PoolUser>,
    states: watch::Sender<PoolUserState>,
}

impl Task {
    async fn run(&mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        self.driver.command(pu::PoolUser::resolve);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                event = self.driver.event() => self.handle(event),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Resolve => self.driver.command(pu::PoolUser::resolve),
            Command::NextElement(exclude, answer) => {
                let _ = answer
                    .send(self.driver.command(|machine, now| machine.next_element_except(now, &exclude)));
            }
            Command::Element(pe, answer) => {
                let _ = answer.send(self.driver.command(|machine, now| machine.use_element(now, pe)));
            }
            Command::BusinessCard(card) => {
                let elements = card.elements.len();
                let ours = self.driver.machine.handle_business_card(card);
                debug!(elements, ours, "business card");
            }
            Command::StickTo(pe) => self.driver.machine.stick_to(pe),
            Command::SetAside(pe) => {
                self.driver.command(|machine, now| machine.set_aside(now, pe));
            }
            Command::PutOff(pe, pause) => {
                self.driver.command(|machine, now| machine.put_off(now, pe, pause));
            }
            Command::ReportUnreachable(pe) => {
                let reported = self.driver.command(|machine, now| machine.report_unreachable(now, pe));
                if !reported {
                    debug!(%pe, "unreachable again, reported already");
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::RegistrarFound { address } => {
                self.driver.tell_registrar_found(address.into());
                self.states.send_modify(|state| state.registrar = Some(address.into()));
            }
            Event::NoRegistrar => self.driver.tell_no_registrar(),
            Event::RegistrarLost { address, reason } => {
                let registrar = RegistrarAddress::from(address);
                info!(%registrar, ?reason, "registrar lost, looking for one");
                self.states.send_modify(|state| state.registrar = None);
            }
            Event::Resolved { elements, changed } => self.resolved(elements, changed),
            Event::PoolUnknown => {
                warn!("the registrar does not know the pool, retrying");
                self.states.send_modify(|state| (state.pool_unknown, state.news) = (true, state.news + 1));
            }
            Event::Refused { causes } => {
                warn!(causes = %Causes(&causes), "the registrar refuses to resolve the pool, retrying");
            }
            Event::Reported { pe } => debug!(%pe, "reported as unreachable"),
            Event::Quarantined { pe, duration } => {
                info!(%pe, seconds = duration.as_secs(), "pool element not to be used, in quarantine");
                let members = self.members();
                self.states.send_modify(|state| state.members = members);
            }
            Event::QuarantineEnded { pe } => {
                info!(%pe, "pool element no longer in quarantine");
                let members = self.members();
                self.states.send_modify(|state| (state.members, state.news) = (members, state.news + 1));
            }
            Event::ErrorReceived { causes } => {
                debug!(causes = %Causes(&causes), "registrar reports an error");
            }
            Event::Malformed(error) => debug!(%error, "registrar sent a malformed message"),
        }
    }

    fn resolved(&mut self, elements: usize, changed: bool) {
        if changed {
            info!(elements, "pool resolved");
        }
        let members = self.members();
        self.states.send_modify(|state| {
            (state.pool_unknown, state.elements, state.news) = (false, elements, state.news + 1);
            state.members = members;
        });
    }

    fn members(&mut self) -> Arc<[Member]> {
        self.driver.command(|machine, now| machine.members(now).collect())
    }
}
