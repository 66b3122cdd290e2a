//! The registrar's driver: one machine in one task, all input and output around it.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rserpool::{ConnectionEvent, Connections, NotSent};
use rserpool_proto::registrar::{Event, Registrar, RegistrarConfig};
use rserpool_proto::{ConnectionId, Output, Protocol, Remote, handlespace};
use service::{Context, Exit, Failure, OrExit as _};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use transport::tls::{self, Identity};
use transport::{
    Association, Connector, Endpoint, EndpointConfig, Listener, PeerAddress, Ppid, QueueLimits, tcp,
};

use crate::config::{Config, Limits};
use crate::metrics::Metrics;

/// How often figures that change with every message are published.
const TICK: Duration = Duration::from_millis(250);

/// Associations that wait for the machine, over all listeners.
const ACCEPTED: usize = 64;

/// What one peer can make us keep, in octets: it is a message of the greatest length or a few hundred usual ones.
const QUEUES: QueueLimits = QueueLimits { send: 256 << 10, receive: 64 << 10 };
const WINDOW: usize = 128 << 10;

/// Runs the registrar until the context asks for the end.
pub async fn run(config: Config, context: Context) -> Result<(), Failure> {
    let [listening] = context.health.conditions(["listening"]);
    let pulse = context.health.pulse("registrar");
    let (sink, mut accepted) = mpsc::channel(ACCEPTED);
    let identity = identity(&config)?;
    // Dropping the endpoint would end its associations.
    let _endpoint = listen(&config, identity.as_ref(), &sink).await?;

    let mut driver = Driver::new(&config, &context, identity);
    info!(id = %driver.machine.id(), profile = driver.profile, "registrar ready");
    listening.met();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        driver.perform_outputs();
        tokio::select! {
            (connection, event) = driver.connections.next() => driver.handle(connection, event),
            Some(association) = accepted.recv() => driver.accept(association),
            () = sleep_until(driver.machine.poll_timeout()) => driver.machine.handle_timeout(Instant::now()),
            _ = tick.tick() => {
                driver.publish();
                pulse.beat();
            }
            () = context.shutdown.requested() => break,
        }
    }
    listening.unmet("shutting down");
    driver.connections.shutdown().await;
    Ok(())
}

/// Waits for ever without a deadline.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Reads the certificates, now and at each SIGHUP.
fn identity(config: &Config) -> Result<Option<Identity>, Failure> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let identity = tls.read().context("[tls]").or_exit(Exit::Configuration)?;
    let reloading = identity.clone();
    service::on_hangup(move || reloading.reload_or_tell())?;
    Ok(Some(identity))
}

/// Opens every listener; what comes in goes into `accepted`. Returns the SCTP endpoint.
async fn listen(
    config: &Config,
    identity: Option<&Identity>,
    accepted: &mpsc::Sender<Association>,
) -> Result<Option<Endpoint>, Failure> {
    let mut sctp = None;
    if let Some((first, others)) = config.listen.asap.split_first() {
        let mut settings = EndpointConfig::new(first.ip());
        settings.more_addresses = others.iter().map(SocketAddr::ip).collect();
        settings.encapsulation = config.listen.encapsulation_port;
        settings.stack = config.listen.stack;
        settings.max_associations = config.limits.connections;
        settings.max_per_address = config.limits.connections_per_address;
        (settings.queues, settings.window) = (QUEUES, WINDOW);
        settings.profile = config.profile.timers.transport();
        let endpoint = Endpoint::bind(settings).map_err(cannot_listen)?;
        let listener = endpoint.listen(first.port()).await.map_err(cannot_listen)?;
        tokio::spawn(accept(listener, endpoint.peer_addresses(first.port()), accepted.clone()));
        sctp = Some(endpoint);
    }
    let mut options = tcp::Options::default();
    options.profile = config.profile.timers.transport();
    (options.queues, options.mptcp) = (QUEUES, config.listen.mptcp);
    for &address in &config.listen.asap_tcp {
        let listener = tcp::listen(address, options.clone()).await.map_err(cannot_listen)?;
        let local = vec![listener.local()];
        tokio::spawn(accept(listener, local, accepted.clone()));
    }
    if let (Some(tls), Some(identity)) = (&config.tls, identity) {
        let peers = tls.peers();
        for &address in &config.listen.asap_tls {
            let listener = tls::listen(address, options.clone(), identity, &peers).await;
            let listener = listener.map_err(cannot_listen)?;
            let local = vec![listener.local()];
            tokio::spawn(accept(listener, local, accepted.clone()));
        }
    }
    Ok(sctp)
}

fn cannot_listen(error: io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::Io,
    };
    Failure::new(exit, format!("cannot listen: {error}"))
}

/// Ends with the listener, or with the registrar.
async fn accept(mut listener: Listener, local: Vec<PeerAddress>, accepted: mpsc::Sender<Association>) {
    for address in local {
        info!(%address, "listening for ASAP");
    }
    loop {
        tokio::select! {
            association = listener.accept() => match association {
                Ok(association) => if accepted.send(association).await.is_err() { return },
                Err(error) => return warn!(%error, address = %listener.local(), "no longer listening"),
            },
            () = accepted.closed() => return,
        }
    }
}

struct Driver {
    machine: Registrar,
    connections: Connections,
    metrics: Metrics,
    profile: &'static str,
    limits: Limits,
    next_connection: u64,
    peers: HashMap<ConnectionId, IpAddr>,
    per_address: HashMap<IpAddr, usize>,
    /// The handlespace is not as it was last published.
    changed: bool,
}

impl Driver {
    fn new(config: &Config, context: &Context, identity: Option<Identity>) -> Driver {
        let Limits { pools, pool_elements, pool_elements_per_pool, connections, .. } = config.limits;
        let profile = config.profile.timers.rserpool();
        let machine = RegistrarConfig {
            profile,
            limits: handlespace::Limits {
                pools,
                elements: pool_elements,
                elements_per_pool: pool_elements_per_pool,
            },
            max_connections: connections,
            address_check: config.registration.addresses.check(),
            networks: config.registration.networks.clone(),
            ..RegistrarConfig::default()
        };
        let seed = getrandom::u64().expect("the operating system has randomness");
        Driver {
            machine: Registrar::new(machine, seed),
            connections: Connections::new(Connector::default()),
            metrics: Metrics::new(context.metrics.clone(), identity),
            profile: profile.name,
            limits: config.limits,
            next_connection: 0,
            peers: HashMap::new(),
            per_address: HashMap::new(),
            changed: true,
        }
    }

    fn accept(&mut self, association: Association) {
        let Some(remote) = remote(&association) else { return };
        let address = remote.addresses[0];
        let count = self.per_address.entry(address).or_default();
        if *count >= self.limits.connections_per_address {
            debug!(%address, "too many connections from this address");
            return;
        }
        *count += 1;
        let connection = ConnectionId::accepted(self.next_connection);
        self.next_connection += 1;
        debug!(%connection, peer = %association.peer(), "connected");
        self.peers.insert(connection, address);
        self.connections.accept(connection, association);
        self.machine.handle_accepted(Instant::now(), connection, remote);
    }

    fn forget(&mut self, connection: ConnectionId) {
        let Some(address) = self.peers.remove(&connection) else { return };
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
    }

    fn handle(&mut self, connection: ConnectionId, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Message { ppid: Ppid::ASAP, data } => {
                self.machine.handle_message(Instant::now(), connection, &data);
            }
            ConnectionEvent::Message { ppid, .. } => {
                debug!(%connection, %ppid, "ignored what is not ASAP");
                self.metrics.not_asap();
            }
            ConnectionEvent::Restarted => {
                // The peer knows nothing of what it registered and asked; it comes again.
                self.connections.abort(connection);
                self.lost(connection);
            }
            ConnectionEvent::Lost(reason) => {
                debug!(%connection, %reason, "disconnected");
                self.lost(connection);
            }
            // Nothing here connects to a peer.
            _ => {}
        }
    }

    fn lost(&mut self, connection: ConnectionId) {
        self.forget(connection);
        self.machine.handle_lost(Instant::now(), connection);
    }

    fn perform_outputs(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { connection, octets } => {
                    if self.connections.send(connection, octets) == Err(NotSent::Stuck) {
                        debug!(%connection, "aborted: the peer does not read");
                        self.lost(connection);
                    }
                }
                Output::Disconnect { connection } => {
                    self.connections.close(connection);
                    self.forget(connection);
                }
                Output::Event(event) => self.tell(&event),
                // The ASAP side only answers.
                Output::Connect { .. } | Output::Announce { .. } => {}
            }
        }
    }

    fn tell(&mut self, event: &Event) {
        self.changed = true;
        self.metrics.count(event);
        match event {
            Event::ElementRegistered { pool, pe } => info!(%pool, %pe, "pool element registered"),
            Event::ElementUpdated { pool, pe } => debug!(%pool, %pe, "pool element updated"),
            Event::ElementRemoved { pool, pe, reason } => {
                info!(%pool, %pe, reason = reason.label(), "pool element removed");
            }
            Event::ElementSuspect { pool, pe } => debug!(%pool, %pe, "pool element suspect"),
            Event::ElementRecovered { pool, pe } => debug!(%pool, %pe, "pool element recovered"),
            Event::RegistrationRejected { pool, pe, cause } => {
                debug!(%pool, %pe, %cause, "registration refused");
            }
            Event::Malformed { connection, error } => debug!(%connection, %error, "malformed message"),
            Event::Stalled { duration } => {
                warn!(
                    milliseconds = duration.as_millis(),
                    "this process was stopped; all deadlines are put off"
                );
            }
        }
    }

    fn publish(&mut self) {
        self.metrics.publish(self.machine.counters(), self.connections.len());
        if std::mem::take(&mut self.changed) {
            self.metrics.publish_pools(self.machine.pools());
        }
    }
}

/// The far end with every address the association has told; that in use comes first.
fn remote(association: &Association) -> Option<Remote> {
    let peer = association.peer();
    let protocol = match peer {
        PeerAddress::Sctp { .. } => Protocol::Sctp,
        PeerAddress::Tcp(_) | PeerAddress::Tls(_) => Protocol::Tcp,
        PeerAddress::Udp(_) | PeerAddress::Sim(_) => return None,
    };
    let addresses: Vec<IpAddr> = association.peer_addresses().iter().filter_map(PeerAddress::ip).collect();
    let encapsulation = match peer {
        PeerAddress::Sctp { encapsulation, .. } => encapsulation,
        _ => None,
    };
    (!addresses.is_empty()).then(|| Remote { protocol, addresses, port: peer.port(), encapsulation })
}
