//! The thread of an endpoint: moves datagrams between the socket and the machine, and keeps its time.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::machine::{
    CookieKey, Machine, NetworkError, QUOTE, TURN, Transmit, cookie_key, system_randomness,
};
use super::sys::{self, BATCH};
use super::{Command, Shared};
use crate::datagram::Batch;

/// A loop that comes this much too late was not running: stopped, or starved.
const STALL: Duration = Duration::from_millis(250);

/// A free port of the dynamic range (RFC 6335 section 6), at random.
pub(crate) fn ephemeral_port() -> io::Result<u16> {
    getrandom::u64().map(super::machine::ephemeral_port).map_err(io::Error::from)
}

pub(crate) fn start(socket: UdpSocket, shared: Arc<Shared>) -> io::Result<()> {
    let key = cookie_key(&mut system_randomness())?;
    std::thread::Builder::new().name(format!("sctp {}", shared.local)).spawn(move || {
        let mut driver = Driver::new(socket, Arc::clone(&shared), key);
        if let Err(error) = driver.run() {
            tracing::error!(%error, local = %shared.local, "SCTP endpoint failed");
        }
        drop(driver);
    })?;
    Ok(())
}

struct Driver {
    socket: UdpSocket,
    shared: Arc<Shared>,
    machine: Machine,
    receiver: Batch<BATCH>,
    /// Taken from the machine and not yet by the socket.
    packets: Vec<Transmit>,
    /// The socket took no more datagrams.
    blocked: bool,
    closed: bool,
}

impl Driver {
    fn new(socket: UdpSocket, shared: Arc<Shared>, key: CookieKey) -> Driver {
        let bell = {
            let shared = Arc::clone(&shared);
            move || shared.event.signal()
        };
        let (config, counters) = (shared.config.clone(), Arc::clone(&shared.counters));
        let random = system_randomness();
        let mut machine =
            Machine::with_counters(config, shared.local, key, random, bell, counters, Instant::now());
        let local = shared.local.ip();
        machine.set_path_payload(Box::new(move |to| sys::path_payload(local, to).ok()));
        let receiver = Batch::new();
        Driver { socket, shared, machine, receiver, packets: Vec::new(), blocked: false, closed: false }
    }

    fn run(&mut self) -> io::Result<()> {
        let mut now = Instant::now();
        while !self.closed {
            self.commands(now);
            if self.shared.handles.load(Ordering::Acquire) == 0 && self.machine.is_idle() {
                break;
            }
            self.machine.handle_timeout(now);
            self.flush()?;

            let before = Instant::now();
            let timeout = self.machine.poll_timeout().map(|due| due.saturating_duration_since(before));
            let ready = sys::wait(self.socket.as_fd(), &self.shared.event, self.blocked, timeout)?;
            let after = Instant::now();
            self.notice_stall(before.saturating_duration_since(now), after);
            if let Some(timeout) = timeout {
                self.notice_stall(after.saturating_duration_since(before + timeout), after);
            }
            now = after;
            if ready.errors {
                self.network_errors(now);
            }
            // Before the timers: what waits here may say that a peer lives.
            let behind = ready.readable && self.receive(now)?;
            self.machine.set_behind(behind);
        }
        Ok(())
    }

    fn notice_stall(&mut self, late: Duration, now: Instant) {
        if late >= STALL {
            self.machine.handle_stall(now, late);
        }
    }

    fn commands(&mut self, now: Instant) {
        let commands = {
            let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut inbox.commands)
        };
        for command in commands {
            match command {
                Command::Listen { port, incoming, reply } => {
                    let result = self.machine.listen(port, incoming);
                    // The caller may have gone; its listener is then removed with its stop command.
                    if reply.send(result).is_err() {
                        self.machine.unlisten(port);
                    }
                }
                Command::Unlisten(port) => self.machine.unlisten(port),
                Command::Connect { peer, port, reply } => match port {
                    Some(port) => self.machine.connect_from(now, port, peer, reply),
                    None => self.machine.connect(now, peer, reply),
                },
                Command::Close => self.closed = true,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let counters = &self.shared.counters;
        let packets = &mut self.packets;
        packets.extend(std::iter::from_fn(|| self.machine.poll_transmit()));
        let mut sent = 0;
        self.blocked = false;
        while sent < packets.len() {
            match sys::send(self.socket.as_fd(), &packets[sent..]) {
                Ok(n) => {
                    counters.packets_out.add(n);
                    counters.octets_out.add(packets[sent..sent + n].iter().map(|(_, p)| p.len()).sum());
                    sent += n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The error of an earlier datagram, reported here by the kernel; the queue has it too.
                Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => {}
                Err(error) => {
                    // This datagram cannot be sent: as if the network lost it.
                    tracing::debug!(%error, to = %packets[sent].0, "datagram not sent");
                    counters.send_failures.one();
                    sent += 1;
                }
            }
        }
        packets.drain(..sent);
        Ok(())
    }

    /// Handles one batch of datagrams. Returns whether more may wait.
    fn receive(&mut self, now: Instant) -> io::Result<bool> {
        let count = match self.receiver.receive(self.socket.as_fd()) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // A pending error of an earlier datagram, or a signal: the next read has the data.
            Err(error) if is_transient(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        let mut octets = 0;
        for i in 0..count {
            let Some((from, datagram)) = self.receiver.datagram(i) else { continue };
            self.shared.counters.packets_in.one();
            self.shared.counters.octets_in.add(datagram.len());
            self.machine.handle_datagram(now, from, datagram);
            octets += datagram.len();
            if octets >= TURN && i + 1 < count {
                octets = 0;
                self.machine.set_behind(true);
                self.machine.handle_timeout(now);
                self.flush()?;
            }
        }
        Ok(count == BATCH)
    }

    fn network_errors(&mut self, now: Instant) {
        let mut quote = [0; QUOTE];
        // Bounded: each entry answers a datagram of ours.
        while let Ok(Some(error)) = sys::network_error(self.socket.as_fd(), &mut quote) {
            let (destination, port_unreachable) = (error.destination, error.port_unreachable);
            let quote = &quote[..error.quoted.min(QUOTE)];
            self.machine.handle_network_error(now, NetworkError { destination, port_unreachable, quote });
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
        || matches!(
            error.raw_os_error(),
            Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EMSGSIZE | libc::EPROTO)
        )
}

impl Drop for Driver {
    /// However the thread ends, every handle hears of it.
    fn drop(&mut self) {
        let commands = {
            let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            inbox.stopped = true;
            std::mem::take(&mut inbox.commands)
        };
        drop(commands);
        if std::thread::panicking() {
            return self.machine.abandon();
        }
        self.machine.close(Instant::now());
        let _ = self.flush();
    }
}
