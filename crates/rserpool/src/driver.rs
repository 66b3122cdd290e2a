//! What the drivers of both machines share: outputs become associations and messages, and what comes
//! back goes into the machine together with the time.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use rserpool_proto::registrar::Network;
use rserpool_proto::{AnnounceError, ConnectionId, ControlProtocol, Output, PoolHandle, Profile};
use tracing::{debug, info, warn};
use transport::{Association, ConnectOptions, Connector, Ppid};

use crate::address::peer;
use crate::announces::Announces;
use crate::connections::{ConnectionEvent, Connections, NotSent};
use crate::lookup::Lookup;
use crate::{AnnounceConfig, ConfiguredRegistrar, RegistrarAddress, Resolver};

/// The verbs of a machine that has one home registrar.
pub(crate) trait Machine {
    type Event;

    fn poll_output(&mut self) -> Option<Output<Self::Event>>;
    fn poll_timeout(&self) -> Option<Instant>;
    fn set_registrars(&mut self, registrars: Vec<rserpool_proto::RegistrarAddress>);
    fn await_lookups(&mut self);
    fn hunt_rounds(&self) -> u64;
    fn believe_announces(&mut self, networks: Vec<Network>);
    fn handle_announce(&mut self, now: Instant, from: SocketAddr, octets: &[u8])
    -> Result<(), AnnounceError>;
    fn handle_timeout(&mut self, now: Instant);
    fn handle_connected(&mut self, now: Instant, connection: ConnectionId);
    fn handle_connect_failed(&mut self, now: Instant, connection: ConnectionId);
    fn handle_lost(&mut self, now: Instant, connection: ConnectionId);
    fn handle_message(&mut self, now: Instant, connection: ConnectionId, octets: &[u8]);
}

macro_rules! machine {
    ($machine:ty, $event:ty) => {
        impl crate::driver::Machine for $machine {
            type Event = $event;

            fn poll_output(&mut self) -> Option<rserpool_proto::Output<$event>> {
                <$machine>::poll_output(self)
            }
            fn poll_timeout(&self) -> Option<std::time::Instant> {
                <$machine>::poll_timeout(self)
            }
            fn set_registrars(&mut self, registrars: Vec<rserpool_proto::RegistrarAddress>) {
                <$machine>::set_registrars(self, registrars);
            }
            fn await_lookups(&mut self) {
                <$machine>::await_lookups(self);
            }
            fn hunt_rounds(&self) -> u64 {
                <$machine>::hunt_rounds(self)
            }
            fn believe_announces(&mut self, networks: Vec<rserpool_proto::registrar::Network>) {
                <$machine>::believe_announces(self, networks);
            }
            fn handle_announce(
                &mut self,
                now: std::time::Instant,
                from: std::net::SocketAddr,
                octets: &[u8],
            ) -> Result<(), rserpool_proto::AnnounceError> {
                <$machine>::handle_announce(self, now, from, octets)
            }
            fn handle_timeout(&mut self, now: std::time::Instant) {
                <$machine>::handle_timeout(self, now);
            }
            fn handle_connected(
                &mut self,
                now: std::time::Instant,
                connection: rserpool_proto::ConnectionId,
            ) {
                <$machine>::handle_connected(self, now, connection);
            }
            fn handle_connect_failed(
                &mut self,
                now: std::time::Instant,
                connection: rserpool_proto::ConnectionId,
            ) {
                <$machine>::handle_connect_failed(self, now, connection);
            }
            fn handle_lost(&mut self, now: std::time::Instant, connection: rserpool_proto::ConnectionId) {
                <$machine>::handle_lost(self, now, connection);
            }
            fn handle_message(
                &mut self,
                now: std::time::Instant,
                connection: rserpool_proto::ConnectionId,
                octets: &[u8],
            ) {
                <$machine>::handle_message(self, now, connection, octets);
            }
        }
    };
}
pub(crate) use machine;

/// The longest handle the reference implementation takes, in octets.
const RSPLIB_HANDLE: usize = 32;

/// Returns whether the reference implementation is expected.
pub(crate) fn expects_reference(profile: &Profile) -> bool {
    profile.name == Profile::RSPLIB.name
}

/// Tells the operator of a handle that the reference implementation refuses, where it is expected.
pub(crate) fn warn_of_long_handle(pool: &PoolHandle, profile: &Profile) {
    let octets = pool.as_octets().len();
    if expects_reference(profile) && octets > RSPLIB_HANDLE {
        warn!(octets, most = RSPLIB_HANDLE, "rsplib refuses a pool handle as long as this one");
    }
}

/// A machine and its associations with registrars.
pub(crate) struct Driver<M: Machine> {
    pub(crate) machine: M,
    connections: Connections,
    /// How they are set up.
    options: ConnectOptions,
    lookup: Lookup,
    announces: Announces,
    /// Connections accepted so far; names them.
    accepted: u64,
    events: VecDeque<M::Event>,
    /// Why the last attempt to reach a registrar failed, or the last association with one was lost.
    failure: Option<String>,
    /// The operator knows that no registrar is reachable: one log line per change.
    told: bool,
}

impl<M: Machine> Driver<M> {
    /// `machine` knows no registrar yet.
    pub(crate) fn new(
        mut machine: M,
        registrars: Vec<ConfiguredRegistrar>,
        announce: Option<AnnounceConfig>,
        connector: Connector,
    ) -> Driver<M> {
        let lookup = Lookup::new(registrars, Resolver::default());
        machine.set_registrars(lookup.addresses());
        if lookup.is_needed() {
            machine.await_lookups();
        }
        let announces = Announces::join(announce.as_ref(), connector.endpoint.as_ref());
        machine.believe_announces(announce.map(|announce| announce.networks).unwrap_or_default());
        Driver {
            machine,
            connections: Connections::new(connector),
            options: ConnectOptions::default(),
            lookup,
            announces,
            accepted: 0,
            events: VecDeque::new(),
            failure: None,
            told: false,
        }
    }

    /// From here on connects from this SCTP port.
    pub(crate) fn connect_from(&mut self, port: u16) {
        self.options = ConnectOptions::from_port(port);
    }

    /// Gives the machine a command, with the time.
    pub(crate) fn command<T>(&mut self, command: impl FnOnce(&mut M, Instant) -> T) -> T {
        command(&mut self.machine, Instant::now())
    }

    /// Adds a connection that was accepted; returns its name.
    pub(crate) fn accept(&mut self, association: Association) -> ConnectionId {
        self.accepted += 1;
        let connection = ConnectionId::accepted(self.accepted);
        self.connections.accept(connection, association);
        connection
    }

    /// Drives the machine until it has an event. Cancel safe.
    pub(crate) async fn event(&mut self) -> M::Event {
        loop {
            self.perform_outputs();
            self.lookup.begin(self.machine.hunt_rounds());
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            tokio::select! {
                (connection, event) = self.connections.next() => self.handle(connection, event),
                (from, octets) = self.announces.next() => self.hear(from, &octets),
                registrars = self.lookup.next() => self.machine.set_registrars(registrars),
                () = sleep_until(self.machine.poll_timeout()) => self.machine.handle_timeout(Instant::now()),
            }
        }
    }

    /// Returns the count of announces that were not believed.
    pub(crate) fn announces_refused(&self) -> Arc<AtomicU64> {
        self.announces.refused()
    }

    fn hear(&mut self, from: SocketAddr, octets: &[u8]) {
        if let Err(error) = self.machine.handle_announce(Instant::now(), from, octets) {
            let refused = self.announces.refuse();
            debug!(%from, %error, refused, "announce not believed");
        }
    }

    /// Does what the machine wants done, without waiting for anything.
    pub(crate) fn perform_outputs(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Connect { connection, address, .. } => {
                    let (peer, asap) = (peer(&address), ControlProtocol::Asap);
                    self.connections.connect(connection, asap, peer, self.options);
                }
                Output::Send { connection, octets } => {
                    if self.connections.send(connection, octets) == Err(NotSent::Stuck) {
                        self.machine.handle_lost(Instant::now(), connection);
                    }
                }
                Output::Disconnect { connection } => self.connections.close(connection),
                // Only a registrar announces itself, or looks for peers.
                Output::Announce { .. } | Output::LookUp { .. } => {}
                Output::Event(event) => self.events.push_back(event),
            }
        }
    }

    /// Tells the operator that the machine has found no registrar so far.
    pub(crate) fn tell_no_registrar(&mut self) {
        let error = self.failure.as_ref().map(tracing::field::display);
        warn!(error, "no registrar reachable, retrying");
        self.told = true;
    }

    /// Tells the operator that the machine has found one, if he was told that there is none.
    pub(crate) fn tell_registrar_found(&mut self, registrar: RegistrarAddress) {
        self.failure = None;
        if std::mem::take(&mut self.told) {
            info!(%registrar, "registrar found");
        }
    }

    fn handle(&mut self, connection: ConnectionId, event: ConnectionEvent) {
        let now = Instant::now();
        match event {
            ConnectionEvent::Up { .. } => self.machine.handle_connected(now, connection),
            ConnectionEvent::Failed(error) => {
                debug!(%error, "registrar not reached");
                self.failure = Some(error.to_string());
                self.machine.handle_connect_failed(now, connection);
            }
            ConnectionEvent::Message { ppid: Ppid::ASAP, data } => {
                self.machine.handle_message(now, connection, &data);
            }
            ConnectionEvent::Message { ppid, .. } => {
                debug!(%ppid, "registrar sent something that is not ASAP");
            }
            ConnectionEvent::Restarted => {
                self.connections.abort(connection);
                self.machine.handle_lost(now, connection);
            }
            ConnectionEvent::Lost(reason) => {
                debug!(%reason, "association with the registrar ended");
                self.failure = Some(reason.to_string());
                self.machine.handle_lost(now, connection);
            }
        }
    }
}

/// Waits for ever without a deadline.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
