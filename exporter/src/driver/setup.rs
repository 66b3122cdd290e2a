//! What the configuration names, opened: capture, keys, endpoint.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use delivery::KeyRing;
use rserpool::{ConfiguredRegistrar, PeId, PoolHandle, PoolUserConfig, ScopeRule, Timers};
use service::{Exit, Failure, OrExit as _};
use tracing::{error, info, warn};
use transport::tls::Identity;
use transport::{Connector, Endpoint, EndpointConfig, tcp};

use crate::capture::live::LiveError;
use crate::capture::{self, CaptureError, Filter, Looped};
use crate::config::{Config, Input, Pool, Source, Transport};
use crate::export::options::Facts;
use crate::export::{Classes, Classifier, OpenRules, Templates};
use crate::failover::{FailoverConfig, SpoolConfig};
use crate::metering::{Meter, MeteringConfig};
use crate::metrics::{Captured, Observed};
use crate::observe::{Observer, Share};
use crate::relay::{self, Catalog};
use crate::replay::progress::{Progress, Shown};

use super::{random, since_epoch};

/// Between two attempts to learn the local address: the first pause, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(5);

pub(super) fn failover_config(
    config: &Config,
    classes: Classes,
    keys: KeyRing,
    spool: Option<SpoolConfig>,
) -> FailoverConfig {
    FailoverConfig {
        domain: config.metering.observation_domain,
        classes,
        templates: templates(config),
        max_message: config.export.max_message.as_usize(),
        max_lossy_message: config.export.max_lossy_message.map(service::config::Size::as_usize),
        linger: config.export.linger.0,
        per_stream: config.export.per_stream,
        options_interval: config.export.options_interval.0,
        memory: config.retention.memory.as_usize(),
        spool,
        keys,
    }
}

/// Returns the templates that flow records have from the start.
pub(super) fn templates(config: &Config) -> Templates {
    match config.relay {
        None => config.encoder().templates().clone(),
        Some(_) => Templates::default(),
    }
}

/// What sorts flow records into classes.
pub(super) enum Sorting {
    /// Those that are metered here.
    Metered(Classifier),
    /// Those of routers.
    Relayed(Arc<OpenRules>),
}

/// Returns the classes, and what sorts flow records into them.
pub(super) fn classes(config: &Config) -> Result<(Classes, Sorting), Failure> {
    Ok(match config.input().or_exit(Exit::Configuration)? {
        Input::Packets(_) => {
            let (classes, classifier) = config.classes().or_exit(Exit::Configuration)?;
            (classes, Sorting::Metered(classifier))
        }
        Input::Routers(_) => {
            let (classes, rules) = config.open_classes().or_exit(Exit::Configuration)?;
            (classes, Sorting::Relayed(Arc::new(rules)))
        }
    })
}

/// Begins to meter, or to listen to routers; then the catalog has their templates.
pub(super) fn begin(
    config: &Config,
    classes: &Classes,
    sorting: Sorting,
    facts: &Arc<Facts>,
) -> Result<(Observer, Option<Arc<Catalog>>), Failure> {
    match (config.input().or_exit(Exit::Configuration)?, sorting) {
        (Input::Routers(relay), Sorting::Relayed(rules)) => {
            let (options, catalog) = (relay.options(config.state.directory.as_ref()), Arc::default());
            let observer = relay::start(&options, &Arc::new(classes.clone()), &rules, &catalog);
            Ok((observer.context("relay.listen").or_exit(Exit::Io)?, Some(catalog)))
        }
        (Input::Packets(source), Sorting::Metered(classifier)) => {
            Ok((observe(config, source, classifier, facts)?, None))
        }
        _ => Err(anyhow::anyhow!("the input has changed").into()),
    }
}

/// Opens the source and begins to meter.
///
/// Fails where there is no permission to capture. A file that is no capture is a failure like a damaged one.
pub(crate) fn observe(
    config: &Config,
    source: &Source,
    classifier: Classifier,
    facts: &Arc<Facts>,
) -> Result<Observer, Failure> {
    let metering = config.metering();
    facts.select(metering.sampling.into_iter().map(Into::into).collect());
    let told = || format!("source.filter = {:?}", source.filter.as_deref().unwrap_or_default());
    let filter = source.filter().with_context(told).or_exit(Exit::Configuration)?;
    if source.is_live() {
        return live(config, source, filter, metering, &classifier, facts);
    }
    let context = || format!("source.pcap = {:?}", source.pcap);
    let captures = source.captures().with_context(context).or_exit(Exit::Io)?;
    let progress = source.is_watched.then(|| Progress::new(&captures));
    let opened = Looped::all(captures, source.loop_options(since_epoch()));
    let exit = match &opened {
        Err(CaptureError::Io { .. }) => Exit::Io,
        _ => Exit::Failed,
    };
    let capture = Shown::new(opened.with_context(context).or_exit(exit)?.filtered(filter), progress);
    let meter = Meter::new(metering, random()?);
    let (speed, observed) = (source.speed(), Observed::new("pcap"));
    Ok(Observer::start(capture, meter, config.encoder(), classifier, speed, observed, Arc::clone(facts))?)
}

fn live(
    config: &Config,
    source: &Source,
    filter: Option<Filter>,
    metering: MeteringConfig,
    classifier: &Classifier,
    facts: &Arc<Facts>,
) -> Result<Observer, Failure> {
    let (watch, readers) = capture::live::open(source.live_options(filter)).map_err(|error| match error {
        LiveError::Permission { .. } => Failure::new(Exit::Permission, error),
        error => error.into(),
    })?;
    let captured = source.interfaces.iter().map(|interface| Captured::new(interface)).collect();
    let max_flows = metering.max_flows.div_ceil(readers.len());
    let shares = readers.into_iter().enumerate().map(|(at, reader)| {
        // Each numbers its flows in a range of its own.
        let first_flow_id = (at as u64) << 48 | 1;
        let meter = Meter::new(MeteringConfig { max_flows, first_flow_id, ..metering }, random()?);
        Ok(Share { reader, meter, encoder: config.encoder(), metrics: Observed::live("live") })
    });
    Ok(Observer::live(watch, shares.collect::<Result<_, Failure>>()?, classifier, captured, facts)?)
}

pub(super) fn read_keys(path: &Path) -> Result<KeyRing, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("pool.key-file: {}", path.display()))
        .or_exit(Exit::Io)?;
    KeyRing::parse(&text).with_context(|| path.display().to_string()).or_exit(Exit::Configuration)
}

/// `sticky` is the collector used last, if it is remembered.
pub(crate) fn pool_user(
    pool: &Pool,
    timers: Timers,
    sticky: Option<PeId>,
) -> Result<PoolUserConfig, Failure> {
    let handle =
        PoolHandle::new(pool.handle.as_bytes()).context("pool.handle").or_exit(Exit::Configuration)?;
    let profile = timers.rserpool();
    let announce = pool.announce.clone();
    let scope = ScopeRule { private_beyond: pool.private_addresses };
    let config = PoolUserConfig::new(handle, pool.registrars.clone());
    Ok(PoolUserConfig { announce, scope, sticky, profile, ..config })
}

/// How collectors and registrars are reached.
pub(crate) struct Connectors {
    pub(crate) collectors: Connector,
    pub(crate) registrars: Connector,
    /// Who this exporter is to TLS servers.
    pub(super) identity: Option<Identity>,
}

/// Opens what goes out: an SCTP endpoint only where something speaks SCTP, certificates where there are any.
pub(crate) async fn connectors(config: &Config, pool: &Pool) -> Result<Connectors, Failure> {
    let Pool { transport, registrars, announce, addresses, mptcp, .. } = pool;
    let speaks_sctp = *transport == Transport::Sctp
        || announce.is_some()
        || registrars.iter().any(ConfiguredRegistrar::is_sctp);
    let endpoint =
        if speaks_sctp { open_endpoint(pool, config.profile.timers).await? } else { Opened::default() };
    let mut tcp = tcp::Options::default();
    tcp.profile = config.profile.timers.transport();
    (tcp.local, tcp.mptcp) = (addresses.first().copied(), *mptcp);
    let identity = match &config.tls {
        Some(tls) => Some(tls.read().context("[tls]").or_exit(Exit::Configuration)?),
        None => None,
    };
    if let Some(identity) = identity.clone() {
        service::on_hangup(move || identity.reload_or_tell());
    }
    let tls = config.tls.as_ref().zip(identity.as_ref());
    let Opened { now, later } = endpoint;
    let connector =
        |tls| Connector { endpoint: now.clone(), later: Arc::clone(&later), tcp: tcp.clone(), tls };
    Ok(Connectors {
        collectors: connector(tls.map(|(tls, identity)| tls.peer_client(identity))),
        registrars: connector(tls.map(|(tls, identity)| tls.client_of(identity, registrars))),
        identity,
    })
}

/// The SCTP endpoint, or where it will be.
#[derive(Default)]
struct Opened {
    now: Option<Endpoint>,
    later: Arc<OnceLock<Endpoint>>,
}

/// Opens the SCTP endpoint, at once if the local addresses are known. Where they follow from registrars whose names
/// nobody knows at present, they are looked up until one is known: meanwhile records are kept.
async fn open_endpoint(pool: &Pool, timers: Timers) -> Result<Opened, Failure> {
    let mut opened = Opened::default();
    if !pool.addresses.is_empty() {
        opened.now = Some(bind(pool, timers, &pool.addresses)?);
        return Ok(opened);
    }
    match source_addresses(&pool.registrars).await {
        Ok(addresses) => opened.now = Some(bind(pool, timers, &addresses)?),
        Err(error) => {
            warn!("pool.registrars: {error:#}; trying again, and keeping records meanwhile");
            tokio::spawn(open_later(pool.clone(), timers, Arc::clone(&opened.later)));
        }
    }
    Ok(opened)
}

async fn open_later(pool: Pool, timers: Timers, later: Arc<OnceLock<Endpoint>>) {
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
        let Ok(addresses) = source_addresses(&pool.registrars).await else { continue };
        match bind(&pool, timers, &addresses) {
            Ok(endpoint) => {
                info!(?addresses, "the way to the registrars is known");
                let _ = later.set(endpoint);
                return;
            }
            Err(failure) if !told => {
                told = true;
                error!("{failure}; trying again");
            }
            Err(_) => {}
        }
    }
}

fn bind(pool: &Pool, timers: Timers, addresses: &[IpAddr]) -> Result<Endpoint, Failure> {
    let (first, others) = addresses.split_first().context("pool.addresses").or_exit(Exit::Configuration)?;
    let mut endpoint = EndpointConfig::new(*first);
    endpoint.more_addresses = others.to_vec();
    endpoint.encapsulation = pool.encapsulation_port;
    endpoint.profile = timers.transport();
    endpoint.stack = pool.stack;
    Endpoint::bind(endpoint).context("pool.addresses").or_exit(Exit::Io)
}

/// Returns the addresses this host uses towards the registrars, at least one; a registrar it has no way to, or whose
/// name is not known at present, counts for nothing. Nothing is sent.
async fn source_addresses(registrars: &[ConfiguredRegistrar]) -> anyhow::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    let mut failure = anyhow::anyhow!("no registrar");
    let mut peers: Vec<IpAddr> = Vec::new();
    for registrar in registrars {
        match registrar.look_up().await {
            Ok(found) => peers.extend(found.iter().filter_map(|address| address.peer().ip())),
            Err(error) => {
                failure = anyhow::anyhow!(
                    "registrar {registrar}: {error}, so the local address is not known; set pool.addresses"
                );
            }
        }
    }
    for peer in peers {
        match source_address(peer) {
            Ok(address) if addresses.contains(&address) => {}
            Ok(address) => addresses.push(address),
            Err(error) => failure = error,
        }
    }
    if addresses.is_empty() { Err(failure) } else { Ok(addresses) }
}

fn source_address(peer: IpAddr) -> anyhow::Result<IpAddr> {
    let any: IpAddr = if peer.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((peer, 9)).with_context(|| format!("no route to registrar {peer}; set pool.addresses"))?;
    Ok(socket.local_addr()?.ip())
}
