//! The exporter's I/O: one endpoint, the collectors in use and standing by, the observation thread behind it.
//!
//! All decisions about records are [`Failover`]'s; when a collector is left, and for which role another one is sought, is
//! [`Choice`]'s to say, and who that is, the pool user's. This loop connects, sends, receives and keeps the time.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod choosing;
mod collector;
mod memory;
mod paths;
mod pauses;
mod relays;
pub(crate) mod setup;
mod spooling;
mod status;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rserpool::{PoolUser, PoolUserState};
use service::{ApiRequest, Condition, Context, Exit, Failure, Metrics, OrExit as _, Pulse, Shutdown};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};
use transport::Connector;

use crate::capture::CaptureError;
use crate::config::{Config, Pool, Service, Transport};
use crate::export::options::Teller;
use crate::failover::{Books, Choice, ChoiceConfig, Failover, Role, Sign};
use crate::metrics::{COLLECTOR_INFO, Exported, TlsMetrics};
use crate::observe::{Batch, Encoded, Observation, Observer};
use crate::relay::{Catalog, Relayed, TableMetrics};
use crate::spooling::Event as SpoolEvent;
use crate::state;
use crate::status::Status;

pub(crate) use collector::addresses;
use collector::{Collector, LinkEvent, Links};
use memory::Memory;
use paths::Paths;
use pauses::Pauses;
use relays::Relays;
use setup::Connectors;
use spooling::Spool;
use summary::Summary;

/// Events of a collector taken in before it is blamed for silence, at most.
const EVENTS_AT_ONCE: usize = 64;
/// The loop turns at least so often, so that who watches sees that it does.
const BEAT: Duration = Duration::from_secs(1);

/// Runs the exporter until its source ends and everything is acknowledged, or until it is told to stop.
///
/// Fails when files, keys or sockets cannot be used, when the capture is damaged (what is before
/// the damage is exported), and when collectors did not acknowledge everything in time.
pub(crate) async fn run(config: &Config, pool: &Pool, context: Context) -> Result<(), Failure> {
    let [registrar, collector, spool] = context.health.conditions(["registrar", "collector", "spool"]);
    let requests = context.api.requests();
    let input = config.input().or_exit(Exit::Configuration)?;
    let (classes, sorting) = setup::classes(config)?;
    let keys = setup::read_keys(&pool.key_file)?;
    let incarnation = match &config.state.directory {
        Some(directory) => state::open(directory).or_exit(Exit::Io)?,
        None => state::ephemeral()?,
    };
    let metrics = Exported::new(&classes, config.retention.memory.as_usize());
    let names: Vec<String> = classes.iter().map(|(_, class)| class.name.clone()).collect();
    let timers = config.profile.timers;
    let Connectors { collectors, registrars, identity } = setup::connectors(config, pool).await?;
    let Pool { transport, service, reconnect_pause, .. } = *pool;
    let address = pool.addresses.first().copied();
    let address = address.or_else(|| Some(collectors.endpoint.as_ref()?.local_address().ip()));
    let teller = Teller::new(config.metering.observation_domain, std::process::id(), address);
    if transport != Transport::Sctp
        && let Some((_, lossy)) = classes.iter().find(|(_, class)| class.kind.is_lossy())
    {
        let (transport, class) = (transport.name(), &lossy.name);
        warn!(transport, class, "every record is delivered reliably over this transport, whatever its class");
    }
    let (spool, spool_config) = spooling::open(config, incarnation, spool)?;
    let failover_config = setup::failover_config(config, classes.clone(), keys, spool_config);
    let failover = Failover::new(failover_config, incarnation, random()?);
    let standby = pool.standby.unwrap_or(transport == Transport::Sctp);
    let choice = Choice::new(ChoiceConfig { standby, rebalance: pool.rebalance }, random()?);
    let directory = config.state.directory.as_ref().filter(|_| pool.sticky);
    let last = directory.and_then(|directory| state::last_collector(directory, &pool.handle));
    let memory = directory.map(|directory| Memory::new(directory.clone(), pool.handle.clone()));
    let handle = pool.handle.clone();
    let user = setup::pool_user(pool, timers, last)?;
    let (observer, catalog) = setup::begin(config, &classes, sorting, &teller.facts())?;
    let relays = Relays::join(config, pool, &registrars)?;
    let pool = Arc::new(PoolUser::spawn(user, registrars));
    info!(ledger = %incarnation.ledger, epoch = %incarnation.epoch, classes = names.join(","), "exporting");
    let driver = Driver {
        failover,
        teller,
        spool,
        choice,
        observer,
        catalog: catalog.map(|catalog| (catalog, TableMetrics::new())),
        templates: 0,
        relays,
        links: Links::default(),
        pool,
        connector: collectors,
        transport,
        service,
        pauses: Pauses::new(reconnect_pause.0),
        tls: identity.map(TlsMetrics::new),
        capture: input.to_string(),
        source_waits: input.waits(),
        source_ended: None,
        stopping: false,
        deadline: None,
        drain_timeout: config.retention.drain_timeout.0,
        health: Conditions { registrar, collector },
        pulse: context.health.pulse("exporter"),
        metrics,
        paths: Paths::new(),
        status: Status::new(Instant::now(), config, &context, Some(incarnation)),
        requests,
        handle,
        shown: context.metrics,
        failovers: 0,
        domain: config.metering.observation_domain,
        memory,
    };
    driver.run(context.shutdown).await
}

pub(crate) fn random() -> Result<u64, Failure> {
    Ok(getrandom::u64()
        .map_err(|error| anyhow::anyhow!("no randomness from the operating system: {error}"))?)
}

pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the time for message headers, in seconds since the Unix epoch.
pub(crate) fn export_time() -> u32 {
    u32::try_from(since_epoch().as_secs()).unwrap_or(u32::MAX)
}

struct Conditions {
    registrar: Condition,
    collector: Condition,
}

struct Driver {
    failover: Failover,
    teller: Teller,
    spool: Option<Spool>,
    choice: Choice,
    observer: Observer,
    /// The templates that a relay learns, and how many of them the machine knows.
    catalog: Option<(Arc<Catalog>, TableMetrics)>,
    templates: usize,
    /// A relay's place in its own pool.
    relays: Relays,
    pool: Arc<PoolUser>,
    connector: Connector,
    transport: Transport,
    service: Service,
    pauses: Pauses,
    tls: Option<TlsMetrics>,
    links: Links,
    /// The source's name.
    capture: String,
    /// Whether the source waits while there is no room. A replay at a pace goes on like what it replays: the oldest
    /// records make room.
    source_waits: bool,
    source_ended: Option<Result<(), CaptureError>>,
    /// The end was asked for.
    stopping: bool,
    /// When waiting for acknowledgements ends. Progress postpones it unless the end was asked for.
    deadline: Option<Instant>,
    drain_timeout: Duration,
    health: Conditions,
    /// This loop turns at least once in [`BEAT`].
    pulse: Pulse,
    metrics: Exported,
    paths: Paths,
    /// What is shown over HTTP beside the metrics, and who asks for it.
    status: Status,
    requests: mpsc::Receiver<ApiRequest>,
    /// The pool's handle.
    handle: String,
    shown: Metrics,
    failovers: u64,
    domain: u32,
    /// Remembers the collector in use.
    memory: Option<Memory>,
}

/// What the loop woke up for.
enum Wake {
    Shutdown,
    Observation(Option<Observation>),
    Link(LinkEvent),
    Pool,
    Spool(SpoolEvent),
    Request(ApiRequest),
    Time,
}

impl Driver {
    async fn run(mut self, shutdown: Shutdown) -> Result<(), Failure> {
        let mut pool = self.pool.state();
        let (mut settled, mut dropped) = (0, 0);
        loop {
            self.pulse.beat();
            if let Some(spool) = &self.spool {
                spool.obey(&mut self.failover, Instant::now());
            }
            self.obey();
            self.failover.set_told(self.teller.told(dropped, export_time()).clone());
            self.transmit();
            self.tell(&pool.borrow());
            let books = self.failover.books();
            self.sample(&books);
            dropped = books.dropped();
            let progress = books.metered + books.recovered - books.waiting;
            if progress > settled && self.source_ended.is_some() && !self.stopping {
                self.deadline = Some(Instant::now() + self.drain_timeout);
            }
            settled = progress;
            if self.failover.is_done() {
                return self.end().await;
            }
            match self.next(&shutdown, &mut pool).await {
                Wake::Shutdown => {
                    self.stopping = true;
                    self.observer.stop();
                    self.relays.leave();
                    self.deadline = Some(Instant::now() + self.drain_timeout);
                }
                Wake::Observation(observation) => self.observed(observation),
                Wake::Link(event) => self.link_event(event),
                Wake::Spool(event) => self.failover.handle_spool(event),
                Wake::Request(request) => self.answer(request, &pool.borrow()),
                Wake::Pool => {
                    let PoolUserState { news, members, .. } = &*pool.borrow_and_update();
                    self.choice.handle_pool(Instant::now(), *news, members);
                }
                Wake::Time if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                    return self.end().await;
                }
                Wake::Time => self.timeout().await,
            }
        }
    }

    /// Waits for what happens next. Nothing is lost with the branches not taken: a channel keeps its message, an
    /// association its event, a message without room is still [`Collector`]'s.
    async fn next(&mut self, shutdown: &Shutdown, pool: &mut watch::Receiver<PoolUserState>) -> Wake {
        let wants_records = self.source_ended.is_none() && (!self.source_waits || self.failover.has_room());
        let can_send = self.links.active.as_ref().is_some_and(|collector| collector.has_room());
        let machines =
            [self.failover.poll_timeout(can_send), self.failover.spool_timeout(), self.choice.poll_timeout()];
        let beat = Instant::now() + BEAT;
        let due = machines.into_iter().chain([self.deadline, Some(beat)]).flatten().min();
        tokio::select! {
            () = shutdown.requested(), if !self.stopping => Wake::Shutdown,
            event = self.links.next() => Wake::Link(event),
            observation = self.observer.observations.recv(), if wants_records => Wake::Observation(observation),
            Ok(()) = pool.changed() => Wake::Pool,
            event = spooling::event(&mut self.spool) => Wake::Spool(event),
            Some(request) = self.requests.recv() => Wake::Request(request),
            () = until(due) => Wake::Time,
        }
    }

    /// Fires what is due, after what the collector has said by then: it must not be blamed for a time in which
    /// this process did not run.
    async fn timeout(&mut self) {
        for _ in 0..EVENTS_AT_ONCE {
            let Some(event) = self.links.ready().await else { break };
            self.link_event(event);
            self.obey();
        }
        let now = Instant::now();
        if let Some(sign) = self.failover.handle_timeout(now) {
            self.choice.handle_sign(now, Role::Active, sign);
            if sign == Sign::Slow && !self.choice.is_moving() {
                info!("collector makes no progress, and the pool has no other that does");
            }
        }
        self.look(now);
        self.choice.handle_timeout(now);
    }

    fn observed(&mut self, observation: Option<Observation>) {
        match observation {
            Some(Observation::Flows(batch)) => self.push(&batch),
            Some(Observation::Relayed(relayed)) => self.relayed(&relayed),
            Some(Observation::End(result)) => self.source_over(result),
            None => self.source_over(Ok(())),
        }
    }

    fn push(&mut self, batch: &Batch) {
        for Encoded { template, class, octets } in batch.iter() {
            if let Err(error) = self.failover.push(class, template, octets) {
                // It is counted.
                debug!(%error, "flow record dropped");
            }
        }
    }

    /// Takes what routers sent, whose templates are in the catalog already.
    fn relayed(&mut self, relayed: &Relayed) {
        let Some((catalog, metrics)) = &self.catalog else { return };
        if catalog.count() != self.templates {
            let (flows, options) = catalog.tables();
            self.templates = flows.len() + options.len();
            self.failover.follow_templates(&flows);
            self.failover.follow_options_templates(&options);
        }
        for (template, scope, octets) in relayed.options.iter() {
            self.failover.pass_on(template, scope, octets);
        }
        metrics.update(self.templates, self.failover.passed());
        self.push(&relayed.flows);
    }

    fn source_over(&mut self, result: Result<(), CaptureError>) {
        let metered = self.failover.books().metered;
        match &result {
            Ok(()) => info!(metered, "source ended, waiting for acknowledgements"),
            Err(error) => {
                warn!(%error, metered, "capture damaged, waiting for acknowledgements of what is before");
            }
        }
        self.source_ended = Some(result);
        self.failover.finish();
        if !self.stopping {
            self.deadline = Some(Instant::now() + self.drain_timeout);
        }
    }

    /// Gives the transports what they take.
    fn transmit(&mut self) {
        let export_time = export_time();
        while self.links.standby.as_ref().is_some_and(|collector| collector.has_room()) {
            let message = self.failover.poll_standby_transmit(Instant::now(), export_time);
            let Some(message) = message else { break };
            self.send(Role::Standby, message);
        }
        while self.links.active.as_ref().is_some_and(|collector| collector.has_room()) {
            let Some(message) = self.failover.poll_transmit(Instant::now(), export_time) else { break };
            self.send(Role::Active, message);
        }
        if let Some(gap) = self.failover.take_gap() {
            info!(seconds = gap.as_secs_f64(), "failed over");
            self.metrics.failed_over(gap);
            self.status.history.carried_on(gap);
        }
        if self.choice.is_settling() && self.failover.is_settled() {
            self.choice.handle_settled(Instant::now());
            self.obey();
        }
    }

    /// Shows the state outside.
    fn tell(&self, pool: &PoolUserState) {
        let Links { active, standby, .. } = &self.links;
        self.metrics.update(&self.failover, active.is_some(), pool.registrar.is_some());
        self.metrics.standby(standby.is_some());
        self.metrics.announces_refused(self.pool.announces_refused());
        self.tls.iter().for_each(TlsMetrics::publish);
        self.relays.publish();
        match pool.registrar {
            Some(_) => self.health.registrar.met(),
            None => self.health.registrar.unmet("no registrar reached"),
        }
        match self.why_searching(pool) {
            None => self.health.collector.met(),
            Some(why) => self.health.collector.unmet(why),
        }
    }

    /// Returns why no collector is in use, if none is.
    fn why_searching(&self, pool: &PoolUserState) -> Option<&'static str> {
        match &self.links {
            Links { active: Some(_), .. } => None,
            Links { seek, .. } if seek.is_connecting() => Some("connecting to a collector"),
            _ if pool.pool_unknown => Some("the registrar does not know the pool"),
            _ => Some("waiting for a collector"),
        }
    }

    /// Closes the associations, prints the summary, and settles how the run ended.
    async fn end(mut self) -> Result<(), Failure> {
        let Links { active, standby, .. } = std::mem::take(&mut self.links);
        self.paths.end();
        self.shown.clear_info(COLLECTOR_INFO);
        let relays = std::mem::take(&mut self.relays);
        tokio::join!(Collector::finish(active), Collector::finish(standby), relays.left());
        if let Some(memory) = self.memory.take() {
            memory.close().await;
        }
        let kept = self.spool.take().and_then(|spool| spool.close(&mut self.failover, Instant::now()));
        let books = self.failover.books();
        Summary {
            packets: self.observer.packets(),
            books,
            classes: self
                .failover
                .classes()
                .iter()
                .map(|(index, class)| (&*class.name, self.failover.class_books(index))),
            incarnation: self.failover.incarnation(),
            domain: self.domain,
            failovers: self.failovers,
        }
        .print()?;
        let late = self.late(&books, kept);
        match (self.source_ended, late) {
            (Some(Err(error)), late) => {
                let rest = late.unwrap_or_else(|| "what is before the damage was exported".to_owned());
                let error = anyhow::Error::new(error);
                Err(error.context(format!("{} is damaged ({rest})", self.capture)).into())
            }
            (_, Some(late)) => Err(Failure::new(Exit::Failed, late)),
            (_, None) => Ok(()),
        }
    }
}

impl Driver {
    /// Returns what to say of records that no collector has; `kept` is where those of class `reliable` are on disk.
    fn late(&self, books: &Books, kept: Option<PathBuf>) -> Option<String> {
        let waiting = books.waiting;
        let late = format!("{waiting} flow records were not acknowledged by a collector in time");
        let classes = self.failover.classes();
        let lossy = classes.iter().filter(|(_, class)| class.kind.is_lossy());
        let on_their_way: u64 = lossy.map(|(class, _)| self.failover.class_books(class).waiting).sum();
        match kept.map(|folder| folder.display().to_string()) {
            _ if waiting == 0 => None,
            None => Some(late),
            // Whoever stops the exporter starts it again.
            Some(folder) if self.stopping && on_their_way == 0 => {
                info!(waiting, folder, "flow records wait on disk for the next start");
                None
            }
            Some(folder) => Some(format!(
                "{late}; {} of them wait in {folder} for the next start",
                waiting - on_their_way
            )),
        }
    }
}

/// Waits until `due`; for ever if nothing is.
pub(crate) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
