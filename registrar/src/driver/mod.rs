//! The registrar's driver: one machine in one task, all input and output around it.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod listen;
mod multicast;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rserpool::{ConnectionEvent, Connections, Lookup, NotSent, Pacing, RegistrarAddress, Resolver};
use rserpool_proto::registrar::{Event, Registrar};
use rserpool_proto::{ConnectionId, ControlProtocol, Output, Protocol, Remote};
use service::{Context, Failure};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use transport::tls::Identity;
use transport::{Association, Budget, ConnectOptions, Connector, Endpoint, PeerAddress, Ppid, Stack};

use crate::audit::Audit;
use crate::config::Config;
use crate::control::{self, ControlCommand, ControlRequest};
use crate::metrics::Metrics;
use crate::remotes::Remotes;
use crate::view::View;
use listen::Accepted;
use multicast::Multicast;

/// How often figures that change with every message are published.
const TICK: Duration = Duration::from_millis(250);

/// Associations that wait for the machine, over all listeners.
const ACCEPTED: usize = 64;

/// Events handled before anything else gets its turn.
const AT_ONCE: usize = 256;

/// How often answers wait for a further look at the sockets while each look finds more.
const LOOKS: usize = 4;

/// How long nothing more is said about connections closed to make room.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// How long the end may take: handing pool elements over to other registrars, and then closing associations.
const LEAVING: Duration = Duration::from_millis(1_000);
const CLOSING: Duration = Duration::from_millis(800);

/// The type octet of ASAP_HANDLE_RESOLUTION (RFC 5352 section 2.2.5).
const HANDLE_RESOLUTION: u8 = 5;

/// Runs the registrar until the context asks for the end.
pub async fn run(config: Config, context: Context) -> Result<(), Failure> {
    run_with(config, context, Resolver::default()).await
}

/// The same with another resolver than the host's for peers that are configured by name.
pub async fn run_with(config: Config, context: Context, resolver: Resolver) -> Result<(), Failure> {
    let [listening, synchronized] = context.health.conditions(["listening", "synchronized"]);
    let pulse = context.health.pulse("registrar");
    let (sink, mut accepted) = mpsc::channel(ACCEPTED);
    let identity = listen::identity(&config)?;
    let budget = Budget::new(config.limits.buffer_octets);
    let connector = listen::listen(&config, identity.as_ref(), &budget, &sink).await?;
    let (_socket, mut commands) = match &config.control.socket {
        Some(path) => control::listen(path).map(|(socket, commands)| (Some(socket), commands))?,
        None => (None, mpsc::channel(1).1),
    };
    let mut multicast = Multicast::join(&config)?;
    let mut requests = context.api.requests();

    let mut driver = Driver::new(config, &context, connector, identity, budget, resolver);
    driver.machine.start(Instant::now());
    info!(id = %driver.machine.id(), profile = driver.config.profile.timers.rserpool().name, "registrar ready");
    listening.met();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (mut alarm, mut set_to) = (std::pin::pin!(tokio::time::sleep(Duration::ZERO)), None);
    loop {
        driver.perform_outputs();
        for (protocol, octets) in std::mem::take(&mut driver.announces) {
            multicast.send(protocol, &octets).await;
        }
        let deadline = driver.machine.poll_timeout();
        if let Some(deadline) = deadline.filter(|_| deadline != set_to) {
            alarm.as_mut().reset(deadline.into());
        }
        set_to = deadline;
        tokio::select! {
            (connection, event) = driver.connections.next() => {
                service::hold_log(driver.handle_burst(connection, event)).await;
            }
            Some(association) = accepted.recv() => driver.accept(association),
            () = &mut alarm, if deadline.is_some() => driver.machine.handle_timeout(Instant::now()),
            peer = driver.lookup.ended() => driver.looked_up(peer),
            (from, octets) = multicast.next() => {
                driver.machine.handle_datagram(Instant::now(), from, &octets);
            }
            Some(request) = requests.recv() => {
                driver.view.request(Instant::now(), request, &driver.machine, &driver.remotes);
            }
            Some(request) = commands.recv() => driver.command(request),
            _ = tick.tick() => {
                driver.publish();
                driver.measure();
                driver.audit.tell_suppressed(Instant::now());
                if driver.machine.is_ready() {
                    synchronized.met();
                }
                pulse.beat();
            }
            () = context.shutdown.requested() => break,
        }
    }
    listening.unmet("shutting down");
    drop(accepted);
    driver.leave().await;
    let _ = tokio::time::timeout(CLOSING, driver.connections.shutdown()).await;
    Ok(())
}

/// Waits for ever without a deadline.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

struct Driver {
    config: Config,
    machine: Registrar,
    connections: Connections,
    /// Peers that are configured by name, in the machine's order.
    lookup: Lookup,
    remotes: Remotes,
    metrics: Metrics,
    audit: Audit,
    view: View,
    next_connection: u64,
    /// The clock, if it was read since something waited.
    now: Option<Instant>,
    /// Handle resolutions since then.
    resolving: usize,
    /// The handlespace is not as it was last published.
    changed: bool,
    /// Datagrams to be sent.
    announces: Vec<(ControlProtocol, Vec<u8>)>,
    budget: Budget,
    pacing: Pacing,
    /// Connections closed to make room that the log has told of, and when it did.
    told: (u64, Option<Instant>),
    /// The machine has handed over what it could.
    left: bool,
}

impl Driver {
    fn new(
        config: Config,
        context: &Context,
        connector: Connector,
        identity: Option<Identity>,
        budget: Budget,
        resolver: Resolver,
    ) -> Driver {
        let seed = getrandom::u64().expect("the operating system has randomness");
        let stack = connector.endpoint.as_ref().map(Endpoint::stack);
        let pacing = pacing(config.limits.resolutions_per_second);
        Driver {
            machine: Registrar::new(config.machine(stack == Some(Stack::Kernel)), seed),
            connections: Connections::new(connector).paced(pacing.clone()),
            lookup: Lookup::new(config.named_peers(), resolver),
            remotes: Remotes::new(config.limits.connections_per_address),
            metrics: Metrics::new(context.metrics.clone(), identity),
            audit: Audit::default(),
            view: View::default(),
            next_connection: 0,
            now: None,
            resolving: 0,
            changed: true,
            announces: Vec::new(),
            budget,
            pacing,
            told: (0, None),
            left: false,
            config,
        }
    }

    /// Hands pool elements over to other registrars (RFC 5353 section 3.5), as far as they take them in time.
    async fn leave(&mut self) {
        let end = tokio::time::Instant::now() + LEAVING;
        self.machine.leave(Instant::now());
        self.perform_outputs();
        while !self.left {
            tokio::select! {
                (connection, event) = self.connections.next() => self.handle(connection, event),
                () = sleep_until(self.machine.poll_timeout()) => self.machine.handle_timeout(Instant::now()),
                () = tokio::time::sleep_until(end) => return,
            }
            self.perform_outputs();
        }
    }

    /// Tells the machine how far everybody is, if it asks.
    fn measure(&mut self) {
        if self.config.enrp.distance_step.is_some() {
            for (connection, round_trip) in self.connections.round_trips() {
                self.machine.handle_round_trip(Instant::now(), connection, round_trip);
            }
        }
    }

    fn accept(&mut self, (protocol, association): Accepted) {
        let Some(remote) = remote(&association) else { return };
        let (connection, peer) = (ConnectionId::accepted(self.next_connection), association.peer());
        let names = association.peer_names();
        if !self.remotes.add(connection, protocol, peer, names) {
            self.metrics.refused_of_address();
            debug!(%peer, "too many connections from this address");
            return;
        }
        self.next_connection += 1;
        debug!(%connection, %peer, ?protocol, "connected");
        let authority = self.config.authority(names);
        if protocol == ControlProtocol::Enrp {
            // Strangers are sent away at once; the others must not pay for who floods us over ASAP.
            association.spare();
        }
        self.connections.accept_for(connection, protocol, association);
        match protocol {
            ControlProtocol::Asap => {
                self.machine.handle_accepted(Instant::now(), connection, remote);
                self.machine.authorize(connection, authority);
            }
            ControlProtocol::Enrp => self.machine.handle_peer_accepted(Instant::now(), connection, remote),
        }
    }

    /// Handles an event, and all that has come to the sockets meanwhile, before any answer goes out: under load many
    /// share a packet, and a look at the sockets. Their lines of the audit log share a write, before that.
    async fn handle_burst(&mut self, connection: ConnectionId, event: ConnectionEvent) {
        self.handle_several(connection, event);
        for _ in 0..LOOKS {
            // The sockets are asked which of them have something to read, and it is read.
            tokio::task::yield_now().await;
            let Some((connection, event)) = self.connections.try_next() else { return };
            self.handle_several(connection, event);
        }
    }

    /// Handles an event and those that have come meanwhile.
    fn handle_several(&mut self, connection: ConnectionId, event: ConnectionEvent) {
        let mut next = Some((connection, event));
        for _ in 0..AT_ONCE {
            let Some((connection, event)) = next else { break };
            self.handle(connection, event);
            self.perform_outputs();
            next = self.connections.try_next();
        }
        if let Some((connection, event)) = next {
            self.handle(connection, event);
        }
        self.forget_time();
    }

    /// The clock is read anew when the next message comes.
    fn forget_time(&mut self) {
        self.resolved();
        self.now = None;
    }

    fn handle(&mut self, connection: ConnectionId, event: ConnectionEvent) {
        if !matches!(event, ConnectionEvent::Message { .. }) {
            // The machine is told a later time in between, and time does not go back.
            self.forget_time();
        }
        match event {
            ConnectionEvent::Message { ppid, data } => self.message(connection, ppid, &data),
            ConnectionEvent::Restarted => {
                // The peer knows nothing of what it registered and asked; it comes again.
                self.connections.abort(connection);
                self.lost(connection);
            }
            ConnectionEvent::Lost(reason) => {
                debug!(%connection, %reason, "disconnected");
                self.lost(connection);
            }
            ConnectionEvent::Up { peer, .. } => {
                debug!(%connection, %peer, "connected");
                if let Some(remote) = remote_at(peer, vec![]) {
                    self.machine.handle_connected(Instant::now(), connection, remote);
                }
            }
            ConnectionEvent::Failed(error) => {
                debug!(%connection, %error, "not connected");
                self.machine.handle_connect_failed(Instant::now(), connection);
                self.remotes.remove(connection);
            }
            _ => {}
        }
    }

    fn connect(
        &mut self,
        connection: ConnectionId,
        protocol: ControlProtocol,
        address: rserpool_proto::RegistrarAddress,
    ) {
        let peer = RegistrarAddress::from(address).peer();
        debug!(%connection, %peer, ?protocol, "connecting");
        self.remotes.add_own(connection, protocol, peer);
        let mut options = ConnectOptions::default();
        if protocol == ControlProtocol::Enrp {
            // The reference implementation believes a registrar only at the port it tells.
            options.local_port = self.config.listen.enrp.first().map(SocketAddr::port);
        }
        self.connections.connect(connection, protocol, peer, options);
    }

    /// A peer's name was looked up, and perhaps not found.
    fn looked_up(&mut self, peer: usize) {
        let addresses = self.lookup.addresses_of(peer);
        debug!(peer, ?addresses, "looked up");
        self.machine.set_peer_addresses(Instant::now(), peer, &addresses);
    }

    fn message(&mut self, connection: ConnectionId, ppid: Ppid, data: &Bytes) {
        let Some(protocol) = self.remotes.protocol(connection) else { return };
        let expected = match protocol {
            ControlProtocol::Asap => Ppid::ASAP,
            ControlProtocol::Enrp => Ppid::ENRP,
        };
        if ppid != expected {
            debug!(%connection, %ppid, ?protocol, "ignored what is not of the connection's protocol");
            return self.metrics.wrong_protocol(protocol);
        }
        let resolves = protocol == ControlProtocol::Asap && data.first() == Some(&HANDLE_RESOLUTION);
        if !resolves {
            self.resolved();
        }
        let now = *self.now.get_or_insert_with(Instant::now);
        self.machine.handle_message(now, connection, data);
        self.resolving += usize::from(resolves);
    }

    /// Tells how long the handle resolutions took that came one after the other.
    fn resolved(&mut self) {
        if let (Some(begun), 1..) = (self.now, self.resolving) {
            let now = Instant::now();
            self.now = Some(now);
            self.metrics.resolved_in(now.duration_since(begun), std::mem::take(&mut self.resolving));
        }
    }

    fn lost(&mut self, connection: ConnectionId) {
        self.machine.handle_lost(Instant::now(), connection);
        // What the machine tells about the connection names its far end.
        self.perform_outputs();
        self.remotes.remove(connection);
    }

    fn perform_outputs(&mut self) {
        let mut stuck = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { connection, octets } => {
                    if self.connections.send(connection, octets) == Err(NotSent::Stuck) {
                        debug!(%connection, "aborted: the peer does not read");
                        stuck.push(connection);
                        self.forget_time();
                        self.machine.handle_lost(Instant::now(), connection);
                    }
                }
                Output::Disconnect { connection } => {
                    self.connections.close(connection);
                    self.remotes.remove(connection);
                }
                Output::Event(event) => self.tell(&event),
                Output::Connect { connection, protocol, address } => {
                    self.connect(connection, protocol, address);
                }
                Output::Announce { protocol, octets } => self.announces.push((protocol, octets)),
                Output::LookUp { peer } => self.lookup.look_up(peer),
            }
        }
        for connection in stuck {
            self.remotes.remove(connection);
        }
    }

    /// Says, once in a while, that connections were closed to make room; each of them is a line at DEBUG.
    fn tell_closed(&mut self, now: Instant) {
        let (closed, (before, told)) = (self.budget.closed(), self.told);
        let lately = told.is_some_and(|told| now.saturating_duration_since(told) < TELL_AGAIN);
        if closed > before && !lately {
            self.told = (closed, Some(now));
            let (more, limit) = (closed - before, self.config.limits.buffer_octets);
            warn!(
                more,
                limit,
                "connections closed: what they sent in part, or did not read, filled limits.buffer-octets"
            );
        }
    }

    fn tell(&mut self, event: &Event) {
        self.changed = true;
        self.left |= matches!(event, Event::Left { .. });
        self.metrics.count(event);
        let now = self.now.unwrap_or_else(Instant::now);
        self.audit.tell(now, event, &self.remotes);
        self.view.record(now, event, &self.remotes);
    }

    fn command(&mut self, request: ControlRequest) {
        let now = Instant::now();
        let done = match &request.command {
            ControlCommand::Drain(pool, pe) => self.machine.drain(now, pool, *pe),
            ControlCommand::Undrain(pool, pe) => self.machine.undrain(now, pool, *pe),
        };
        let _ = request.reply.send(done.map_or_else(|error| error.to_string(), |()| "ok".to_owned()));
    }

    fn publish(&mut self) {
        self.metrics.publish(&mut self.machine, &self.remotes);
        self.metrics.publish_buffers(&self.budget, &self.pacing);
        self.metrics.publish_lookups(self.lookup.counts());
        self.tell_closed(Instant::now());
        if std::mem::take(&mut self.changed) {
            self.metrics.publish_pools(self.machine.pools());
        }
        self.view.answer_waiting(Instant::now());
    }
}

/// Who asks more than `per_second` times in a second is read as fast as that (RFC 5355 threat 1); 0: there is no limit.
fn pacing(per_second: u32) -> Pacing {
    let cost = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
    Pacing::new(
        move |message| if message.first() == Some(&HANDLE_RESOLUTION) { cost } else { Duration::ZERO },
    )
}

/// The far end with every address the association has told; that in use comes first.
fn remote(association: &Association) -> Option<Remote> {
    let others = association.peer_addresses().iter().filter_map(PeerAddress::ip).collect();
    remote_at(association.peer(), others)
}

fn remote_at(peer: PeerAddress, mut addresses: Vec<IpAddr>) -> Option<Remote> {
    let (protocol, encapsulation) = match peer {
        PeerAddress::Sctp { encapsulation, .. } => (Protocol::Sctp, encapsulation),
        PeerAddress::Tcp(_) | PeerAddress::Tls(_) => (Protocol::Tcp, None),
        PeerAddress::Udp(_) | PeerAddress::Sim(_) => return None,
    };
    if addresses.is_empty() {
        addresses.extend(peer.ip());
    }
    Some(Remote { protocol, addresses, port: peer.port(), encapsulation })
}
