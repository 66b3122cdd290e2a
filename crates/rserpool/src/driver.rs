//! What the drivers of both machines share: outputs become associations and messages, and what comes
//! back goes into the machine together with the time.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rserpool_proto::{ConnectionId, Output};
use tracing::{debug, info, warn};
use transport::{Endpoint, Ppid};

use crate::address::peer;
use crate::connections::{ConnectionEvent, Connections, NotSent};

/// A hunt that takes longer is told to the operator even if no attempt has failed by then.
const HUNT_NOTICE: Duration = Duration::from_secs(1);

/// The verbs of a machine that has one home registrar.
pub(crate) trait Machine {
    type Event;

    fn poll_output(&mut self) -> Option<Output<Self::Event>>;
    fn poll_timeout(&self) -> Option<Instant>;
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

/// A machine and its associations with registrars.
pub(crate) struct Driver<M: Machine> {
    pub(crate) machine: M,
    connections: Connections,
    events: VecDeque<M::Event>,
    hunt: Hunt,
}

/// What the operator knows about the search for a registrar: one log line per change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hunt {
    /// There is a registrar, or none is wanted.
    Idle,
    /// Searching; to be told at this time.
    Quiet(Instant),
    /// Searching, and told.
    Told,
}

impl<M: Machine> Driver<M> {
    pub(crate) fn new(machine: M, endpoint: Option<Endpoint>) -> Driver<M> {
        Driver { machine, connections: Connections::new(endpoint), events: VecDeque::new(), hunt: Hunt::Idle }
    }

    /// Gives the machine a command, with the time.
    pub(crate) fn command<T>(&mut self, command: impl FnOnce(&mut M, Instant) -> T) -> T {
        command(&mut self.machine, Instant::now())
    }

    /// Drives the machine until it has an event. Cancel safe.
    pub(crate) async fn event(&mut self) -> M::Event {
        loop {
            self.perform_outputs();
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let notice = match self.hunt {
                Hunt::Quiet(at) => Some(at),
                Hunt::Idle | Hunt::Told => None,
            };
            let deadline = [self.machine.poll_timeout(), notice].into_iter().flatten().min();
            tokio::select! {
                (connection, event) = self.connections.next() => self.handle(connection, event),
                () = sleep_until(deadline) => self.handle_timeout(Instant::now()),
            }
        }
    }

    /// Does what the machine wants done, without waiting for anything.
    pub(crate) fn perform_outputs(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Connect { connection, address } => {
                    if self.hunt == Hunt::Idle {
                        self.hunt = Hunt::Quiet(Instant::now() + HUNT_NOTICE);
                    }
                    self.connections.connect(connection, peer(&address));
                }
                Output::Send { connection, octets } => {
                    if self.connections.send(connection, octets) == Err(NotSent::Stuck) {
                        self.machine.handle_lost(Instant::now(), connection);
                    }
                }
                Output::Disconnect { connection } => self.connections.close(connection),
                Output::Event(event) => self.events.push_back(event),
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        if matches!(self.hunt, Hunt::Quiet(at) if at <= now) {
            self.tell("no answer");
        }
    }

    fn handle(&mut self, connection: ConnectionId, event: ConnectionEvent) {
        let now = Instant::now();
        match event {
            ConnectionEvent::Up { peer, .. } => {
                self.machine.handle_connected(now, connection);
                if std::mem::replace(&mut self.hunt, Hunt::Idle) == Hunt::Told {
                    info!(registrar = %peer, "registrar found");
                }
            }
            ConnectionEvent::Failed(error) => {
                debug!(%error, "registrar not reached");
                self.machine.handle_connect_failed(now, connection);
                self.perform_outputs();
                // The whole round of the hunt has failed.
                if self.connections.is_empty() && matches!(self.hunt, Hunt::Quiet(_)) {
                    self.tell(&error.to_string());
                }
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
                self.machine.handle_lost(now, connection);
            }
        }
    }

    fn tell(&mut self, error: &str) {
        warn!(error, "no registrar reachable, retrying");
        self.hunt = Hunt::Told;
    }
}

/// Waits for ever without a deadline.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
