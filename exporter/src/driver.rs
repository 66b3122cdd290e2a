//! The exporter's I/O: one endpoint, one collector at a time, the observation thread behind it.
//!
//! All decisions about records are [`Failover`]'s; which collector is next is the pool user's. This loop connects,
//! sends, receives and keeps the time.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod collector;
mod memory;
mod paths;
mod pauses;
pub(crate) mod setup;
mod spooling;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use delivery::cookie::State;
use rserpool::wire::Message as Asap;
use rserpool::{PoolUser, PoolUserState, Selected};
use service::{Condition, Context, Exit, Failure, Metrics, OrExit as _, Shutdown};
use tokio::sync::watch;
use tracing::{debug, info, warn};
use transport::{ConnectError, Connector, Event, Ppid};

use crate::capture::CaptureError;
use crate::config::{Config, Pool, Service, Transport};
use crate::failover::{Books, Failover, Sign};
use crate::metering::Meter;
use crate::metrics::{COLLECTOR_INFO, Exported, Observed, TlsMetrics};
use crate::observe::{Encoded, Observation, Observer};
use crate::spooling::Event as SpoolEvent;
use crate::state;

use collector::{Collector, Link, LinkEvent, addresses};
use memory::Memory;
use paths::Paths;
use pauses::Pauses;
use setup::Connectors;
use spooling::Spool;
use summary::Summary;

/// Events of a collector taken in before it is blamed for silence, at most.
const EVENTS_AT_ONCE: usize = 64;

/// Runs the exporter until its source ends and everything is acknowledged, or until it is told to stop.
///
/// Fails when files, keys or sockets cannot be used, when the capture is damaged (what is before
/// the damage is exported), and when collectors did not acknowledge everything in time.
pub(crate) async fn run(config: &Config, pool: &Pool, context: Context) -> Result<(), Failure> {
    let [registrar, collector, spool] = context.health.conditions(["registrar", "collector", "spool"]);
    let (classes, classifier) = config.classes().or_exit(Exit::Configuration)?;
    let keys = setup::read_keys(&pool.key_file)?;
    let incarnation = match &config.state.directory {
        Some(directory) => state::open(directory).or_exit(Exit::Io)?,
        None => state::ephemeral()?,
    };
    let metrics = Exported::new(&classes, config.retention.memory.as_usize());
    let names: Vec<String> = classes.iter().map(|(_, class)| class.name.clone()).collect();
    let source = setup::open(&config.source, since_epoch())?;
    let meter = Meter::new(config.metering.metering(), random()?);
    let timers = config.profile.timers;
    let Connectors { collectors, registrars, identity } = setup::connectors(config, pool).await?;
    let Pool { transport, service, reconnect_pause, .. } = *pool;
    if transport != Transport::Sctp
        && let Some((_, lossy)) = classes.iter().find(|(_, class)| class.kind.is_lossy())
    {
        let (transport, class) = (transport.name(), &lossy.name);
        warn!(transport, class, "every record is delivered reliably over this transport, whatever its class");
    }
    let (spool, spool_config) = spooling::open(config, incarnation, spool)?;
    let failover_config = setup::failover_config(config, classes, keys, spool_config);
    let failover = Failover::new(failover_config, incarnation, random()?);
    let directory = config.state.directory.as_ref().filter(|_| pool.sticky);
    let last = directory.and_then(|directory| state::last_collector(directory, &pool.handle));
    let memory = directory.map(|directory| Memory::new(directory.clone(), pool.handle.clone()));
    let pool = Arc::new(PoolUser::spawn(setup::pool_user(pool, timers, last)?, registrars));
    let observer = Observer::start(source, meter, classifier, config.source.speed, Observed::new("pcap"))?;
    info!(ledger = %incarnation.ledger, epoch = %incarnation.epoch, classes = names.join(","), "exporting");
    let driver = Driver {
        failover,
        spool,
        observer,
        link: Link::wait(&pool),
        pool,
        connector: collectors,
        transport,
        service,
        pauses: Pauses::new(reconnect_pause.0),
        tls: identity.map(TlsMetrics::new),
        capture: config.source.pcap.clone(),
        source_waits: config.source.speed.is_unpaced(),
        source_ended: None,
        stopping: false,
        deadline: None,
        drain_timeout: config.retention.drain_timeout.0,
        health: Conditions { registrar, collector },
        metrics,
        paths: Paths::new(),
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
    spool: Option<Spool>,
    observer: Observer,
    pool: Arc<PoolUser>,
    connector: Connector,
    transport: Transport,
    service: Service,
    pauses: Pauses,
    tls: Option<TlsMetrics>,
    link: Link,
    capture: PathBuf,
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
    metrics: Exported,
    paths: Paths,
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
    Time,
}

impl Driver {
    async fn run(mut self, shutdown: Shutdown) -> Result<(), Failure> {
        let mut pool = self.pool.state();
        let mut settled = 0;
        loop {
            if let Some(spool) = &self.spool {
                spool.obey(&mut self.failover, Instant::now());
            }
            self.transmit();
            self.tell(&pool.borrow_and_update());
            let books = self.failover.books();
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
                    self.deadline = Some(Instant::now() + self.drain_timeout);
                }
                Wake::Observation(observation) => self.observed(observation),
                Wake::Link(event) => self.link_event(event),
                Wake::Pool => {}
                Wake::Spool(event) => self.failover.handle_spool(event),
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
        let can_send = matches!(&self.link, Link::Up(collector) if collector.has_room());
        let due = [self.failover.poll_timeout(can_send), self.failover.spool_timeout(), self.deadline];
        tokio::select! {
            () = shutdown.requested(), if !self.stopping => Wake::Shutdown,
            event = self.link.next() => Wake::Link(event),
            observation = self.observer.observations.recv(), if wants_records => Wake::Observation(observation),
            Ok(()) = pool.changed() => Wake::Pool,
            event = spooling::event(&mut self.spool) => Wake::Spool(event),
            () = until(due.into_iter().flatten().min()) => Wake::Time,
        }
    }

    /// Fires what is due, after what the collector has said by then: it must not be blamed for a time in which
    /// this process did not run.
    async fn timeout(&mut self) {
        for _ in 0..EVENTS_AT_ONCE {
            let Some(event) = self.link.ready().await else { break };
            self.link_event(event);
        }
        match self.failover.handle_timeout(Instant::now()) {
            None => {}
            Some(Sign::Slow) if self.pool.state().borrow().elements < 2 => {
                info!("collector makes no progress, and the pool has no other");
            }
            Some(sign) => self.leave(sign, "no acknowledgement"),
        }
    }

    fn observed(&mut self, observation: Option<Observation>) {
        match observation {
            Some(Observation::Flows(batch)) => {
                for Encoded { template, class, octets } in batch.iter() {
                    if let Err(error) = self.failover.push(class, template, octets) {
                        // It is counted.
                        debug!(%error, "flow record dropped");
                    }
                }
            }
            Some(Observation::End(result)) => self.source_over(result),
            None => self.source_over(Ok(())),
        }
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

    fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Element(element) => self.connect(element),
            LinkEvent::Connected(collector) => self.connected(collector),
            LinkEvent::NotConnected { pe, error } => {
                self.link = Link::wait(&self.pool);
                // Whom this exporter does not trust is no business of the registrar.
                if let ConnectError::Tls(..) = error {
                    warn!(%pe, %error, "collector refused, taking the next");
                    self.pool.set_aside(pe);
                } else {
                    debug!(%pe, %error, "collector not reached, taking the next");
                    self.pool.report_unreachable(pe);
                }
            }
            LinkEvent::Unblocked => {}
            LinkEvent::Association(event) => self.association_event(event),
        }
    }

    /// Connects to the element the pool offers, if it is for this exporter and its time has come.
    fn connect(&mut self, element: Selected) {
        let (pe, now) = (element.pe, Instant::now());
        let addresses = addresses(&element, self.transport);
        let pause = self.pauses.remaining(now, &addresses);
        if addresses.is_empty() {
            let (has, wanted) = (element.transport.protocol, self.transport.name());
            info!(%pe, %has, wanted, "collector not used: it has another transport");
            self.pool.set_aside(pe);
            self.link = Link::wait(&self.pool);
        } else if pause > Duration::ZERO {
            debug!(%pe, seconds = pause.as_secs_f64(), "collector not connected to yet, taking the next");
            self.pool.put_off(pe, pause);
            self.link = Link::wait(&self.pool);
        } else {
            self.pauses.note(now, &addresses);
            self.link = Link::connect(&self.connector, element, addresses);
        }
    }

    fn connected(&mut self, collector: Collector) {
        let (pe, peer) = (collector.element.pe, collector.association.peer());
        self.failover.set_path(collector.association.status().max_payload);
        self.failover.handle_connected(collector.carrier(), collector.acknowledges(self.service));
        info!(%pe, %peer, "collector connected");
        collector.describe(&self.shown);
        self.paths.begin(&collector.association);
        self.memory.iter().for_each(|memory| memory.note(pe));
        self.link = Link::Up(Box::new(collector));
    }

    fn association_event(&mut self, event: Event) {
        let now = Instant::now();
        if let (Event::Message(_), Link::Up(collector)) = (&event, &mut self.link) {
            collector.heard = true;
        }
        match event {
            Event::Message(message) if message.ppid == Ppid::ASAP => self.control_message(now, &message.data),
            Event::Message(message) => debug!(ppid = %message.ppid, "message from a collector ignored"),
            Event::Sent { token, outcome } => self.failover.handle_sent(now, token, outcome),
            // The collector has lost our templates with its state (RFC 7011 section 8.1).
            Event::Restarted => self.leave(Sign::Lost, "restarted"),
            Event::PeerShutdown => self.leave(Sign::Shutdown, "shutdown"),
            Event::Lost(reason) => self.leave(Sign::Lost, &reason.to_string()),
            event => self.path_event(event),
        }
    }

    fn path_event(&mut self, event: Event) {
        let Link::Up(collector) = &self.link else { return };
        match event {
            Event::PathUp(path) => self.paths.up(path, &collector.association),
            Event::PathDown(path) => self.paths.down(path, &collector.association),
            _ => {}
        }
    }

    fn control_message(&mut self, now: Instant, octets: &[u8]) {
        let Link::Up(collector) = &self.link else { return };
        if !collector.acknowledges(self.service) {
            return debug!("message on the control channel ignored: the service is minimal");
        }
        let cookie = match Asap::decode(octets) {
            Ok(Asap::Cookie(message)) => message.cookie,
            Ok(Asap::BusinessCard(card)) => {
                self.metrics.business_card();
                return self.pool.business_card(card);
            }
            Ok(message) => {
                return debug!(message = %message.message_type(), "message on the control channel ignored");
            }
            Err(error) => return debug!(%error, "message on the control channel refused"),
        };
        let taken = self.failover.handle_cookie(now, &cookie);
        self.metrics.cookie(taken.is_ok());
        match taken {
            Ok(State::Draining) => self.leave(Sign::Draining, "draining"),
            Ok(State::Ok | State::Slow) => {}
            Err(error) => debug!(%error, "cookie refused"),
        }
    }

    /// Leaves the collector: what it does not have on disk goes to the next one.
    fn leave(&mut self, sign: Sign, detail: &str) {
        let Some(mut collector) = self.take_collector() else { return };
        if !sign.is_gone() {
            // Losing them costs the collector some figures.
            self.failover
                .farewell(export_time())
                .into_iter()
                .try_for_each(|message| collector.send(message))
                .ok();
        }
        self.failover.handle_lost(Instant::now());
        let pe = collector.element.pe;
        warn!(%pe, %sign, detail, unacknowledged = self.failover.books().waiting, "collector lost, failing over");
        self.shown.clear_info(COLLECTOR_INFO);
        // Whom a collector does not trust has no say in whether it stays in the pool.
        if sign.is_gone() && !collector.may_have_refused() {
            self.pool.report_unreachable(pe);
        } else {
            self.pool.set_aside(pe);
        }
        self.metrics.failover(sign.label());
        self.failovers += 1;
        collector.close(sign);
    }

    /// Returns the collector in use and looks for the next one.
    fn take_collector(&mut self) -> Option<Box<Collector>> {
        match std::mem::replace(&mut self.link, Link::wait(&self.pool)) {
            Link::Up(collector) => {
                self.paths.end();
                Some(collector)
            }
            other => {
                self.link = other;
                None
            }
        }
    }

    /// Gives the transport what it takes.
    fn transmit(&mut self) {
        let Link::Up(collector) = &mut self.link else { return };
        let export_time = export_time();
        while collector.has_room() {
            let Some(message) = self.failover.poll_transmit(Instant::now(), export_time) else { break };
            if let Err(error) = collector.send(message) {
                return self.leave(Sign::Unusable, &error.to_string());
            }
        }
        if let Some(gap) = self.failover.take_gap() {
            info!(seconds = gap.as_secs_f64(), "failed over");
            self.metrics.failed_over(gap);
        }
    }

    /// Shows the state outside.
    fn tell(&self, pool: &PoolUserState) {
        let connected = matches!(self.link, Link::Up(_));
        self.metrics.update(&self.failover, connected, pool.registrar.is_some());
        self.metrics.announces_refused(self.pool.announces_refused());
        self.tls.iter().for_each(TlsMetrics::publish);
        match pool.registrar {
            Some(_) => self.health.registrar.met(),
            None => self.health.registrar.unmet("no registrar reached"),
        }
        match &self.link {
            Link::Up(_) => self.health.collector.met(),
            Link::Connecting(_) => self.health.collector.unmet("connecting to a collector"),
            Link::Waiting(_) if pool.pool_unknown => {
                self.health.collector.unmet("the registrar does not know the pool");
            }
            Link::Waiting(_) => self.health.collector.unmet("waiting for a collector"),
        }
    }

    /// Closes the association, prints the summary, and settles how the run ended.
    async fn end(mut self) -> Result<(), Failure> {
        if let Some(collector) = self.take_collector() {
            self.shown.clear_info(COLLECTOR_INFO);
            collector.finish().await;
        }
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
                Err(error.context(format!("{} is damaged ({rest})", self.capture.display())).into())
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
