//! The registrar's driver: one machine in one task, all input and output around it.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod listen;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rserpool::{ConnectionEvent, Connections, NotSent};
use rserpool_proto::registrar::{Event, Registrar};
use rserpool_proto::{ConnectionId, ControlProtocol, Output, Protocol, Remote};
use service::{Context, Failure};
use tokio::sync::mpsc;
use tracing::{debug, info};
use transport::tls::Identity;
use transport::{Association, Connector, PeerAddress, Ppid};

use crate::audit;
use crate::config::Config;
use crate::control::{self, ControlCommand, ControlRequest};
use crate::metrics::Metrics;
use crate::remotes::Remotes;
use crate::view::View;
use listen::Accepted;

/// How often figures that change with every message are published.
const TICK: Duration = Duration::from_millis(250);

/// Associations that wait for the machine, over all listeners.
const ACCEPTED: usize = 64;

/// Events handled before anything else gets its turn.
const AT_ONCE: usize = 256;

/// The type octet of ASAP_HANDLE_RESOLUTION (RFC 5352 section 2.2.5).
const HANDLE_RESOLUTION: u8 = 5;

/// Runs the registrar until the context asks for the end.
pub async fn run(config: Config, context: Context) -> Result<(), Failure> {
    let [listening] = context.health.conditions(["listening"]);
    let pulse = context.health.pulse("registrar");
    let (sink, mut accepted) = mpsc::channel(ACCEPTED);
    let identity = listen::identity(&config)?;
    let connector = listen::listen(&config, identity.as_ref(), &sink).await?;
    let (_socket, mut commands) = match &config.control.socket {
        Some(path) => control::listen(path).map(|(socket, commands)| (Some(socket), commands))?,
        None => (None, mpsc::channel(1).1),
    };
    let mut requests = context.api.requests();

    let mut driver = Driver::new(&config, &context, connector, identity);
    info!(id = %driver.machine.id(), profile = config.profile.timers.rserpool().name, "registrar ready");
    listening.met();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        driver.perform_outputs();
        tokio::select! {
            (connection, event) = driver.connections.next() => driver.handle_several(connection, event),
            Some(association) = accepted.recv() => driver.accept(association),
            () = sleep_until(driver.machine.poll_timeout()) => driver.machine.handle_timeout(Instant::now()),
            Some(request) = requests.recv() => {
                driver.view.request(Instant::now(), request, &driver.machine, &driver.remotes);
            }
            Some(request) = commands.recv() => driver.command(request),
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

struct Driver {
    machine: Registrar,
    connections: Connections,
    remotes: Remotes,
    metrics: Metrics,
    view: View,
    next_connection: u64,
    /// The handlespace is not as it was last published.
    changed: bool,
}

impl Driver {
    fn new(config: &Config, context: &Context, connector: Connector, identity: Option<Identity>) -> Driver {
        let seed = getrandom::u64().expect("the operating system has randomness");
        Driver {
            machine: Registrar::new(config.machine(), seed),
            connections: Connections::new(connector),
            remotes: Remotes::new(config.limits.connections_per_address),
            metrics: Metrics::new(context.metrics.clone(), identity),
            view: View::default(),
            next_connection: 0,
            changed: true,
        }
    }

    fn accept(&mut self, (protocol, association): Accepted) {
        let Some(remote) = remote(&association) else { return };
        let (connection, peer) = (ConnectionId::accepted(self.next_connection), association.peer());
        if !self.remotes.add(connection, protocol, peer) {
            debug!(%peer, "too many connections from this address");
            return;
        }
        self.next_connection += 1;
        debug!(%connection, %peer, ?protocol, "connected");
        self.connections.accept_for(connection, protocol, association);
        match protocol {
            ControlProtocol::Asap => self.machine.handle_accepted(Instant::now(), connection, remote),
            ControlProtocol::Enrp => {}
        }
    }

    /// Handles an event and those that have come meanwhile: their answers share packets and wake-ups.
    fn handle_several(&mut self, connection: ConnectionId, event: ConnectionEvent) {
        let mut next = Some((connection, event));
        for _ in 0..AT_ONCE {
            let Some((connection, event)) = next else { return };
            self.handle(connection, event);
            self.perform_outputs();
            next = self.connections.try_next();
        }
        if let Some((connection, event)) = next {
            self.handle(connection, event);
        }
    }

    fn handle(&mut self, connection: ConnectionId, event: ConnectionEvent) {
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
            // Nothing here connects to a peer.
            _ => {}
        }
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
        let before = Instant::now();
        self.machine.handle_message(before, connection, data);
        if protocol == ControlProtocol::Asap && data.first() == Some(&HANDLE_RESOLUTION) {
            self.metrics.resolved_in(before.elapsed());
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
                        self.machine.handle_lost(Instant::now(), connection);
                    }
                }
                Output::Disconnect { connection } => {
                    self.connections.close(connection);
                    self.remotes.remove(connection);
                }
                Output::Event(event) => self.tell(&event),
                Output::Connect { .. } | Output::Announce { .. } => {}
            }
        }
        for connection in stuck {
            self.remotes.remove(connection);
        }
    }

    fn tell(&mut self, event: &Event) {
        self.changed = true;
        self.metrics.count(event);
        audit::tell(event, &self.remotes);
        self.view.record(Instant::now(), event, &self.remotes);
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
        self.metrics.publish(self.machine.counters(), &self.remotes);
        if std::mem::take(&mut self.changed) {
            self.metrics.publish_pools(self.machine.pools());
        }
        self.view.answer_waiting(Instant::now());
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
    let encapsulation = match peer {
        PeerAddress::Sctp { encapsulation, .. } => encapsulation,
        _ => None,
    };
    let addresses: Vec<IpAddr> = association.peer_addresses().iter().filter_map(PeerAddress::ip).collect();
    (!addresses.is_empty()).then(|| Remote { protocol, addresses, port: peer.port(), encapsulation })
}
