//! The collecting side: sockets that share a port, read in batches.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::sys::{self, BATCH};
use crate::datagram::{Batch, EventFd, wait};

/// Settings of [`Receiver::bind`].
#[derive(Clone, Copy, Debug)]
pub struct ReceiverOptions {
    /// Octets the kernel may keep until they are read (`SO_RCVBUF`); it counts its own books in, so that small
    /// datagrams take a multiple of their length. Default 8 MiB.
    pub receive_buffer: usize,
    /// Sockets on the port (`SO_REUSEPORT`), each for a thread of its own. The kernel gives all datagrams from one
    /// address and port to one socket, as long as their number stays. Default 1.
    pub sockets: usize,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self { receive_buffer: 8 << 20, sockets: 1 }
    }
}

/// One socket that receives datagrams from everywhere.
pub struct Receiver {
    socket: Socket,
    local: SocketAddr,
    receive_buffer: usize,
    batch: Batch<BATCH>,
    drops: Drops,
    event: Arc<EventFd>,
}

/// Ends a [`Receiver::wait`] from another thread. Once it has, later waits end at once.
#[derive(Clone)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// Ends the wait, or the next one.
    pub fn wake(&self) {
        self.0.signal();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Receiver {
    /// Returns the sockets that `options` ask for, all at `address`; port 0 takes a free one. A receive buffer
    /// smaller than asked for is told in the log, with the command that allows more.
    ///
    /// Fails if the address cannot be had; the error names it.
    pub fn bind(address: SocketAddr, options: &ReceiverOptions) -> io::Result<Vec<Self>> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("UDP at {address}: {error}"));
        let first = Self::open(address, options).map_err(named)?;
        let local = first.local;
        first.tell_buffer(options.receive_buffer);
        let mut receivers = vec![first];
        while receivers.len() < options.sockets {
            receivers.push(Self::open(local, options).map_err(named)?);
        }
        Ok(receivers)
    }

    fn open(address: SocketAddr, options: &ReceiverOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Only where it is needed: it lets any other process of this user take a share of the datagrams.
        socket.set_reuse_port(options.sockets > 1)?;
        // Linux doubles the value, for its books, and tells the double.
        socket.set_recv_buffer_size(options.receive_buffer.min(i32::MAX as usize / 2))?;
        let receive_buffer = socket.recv_buffer_size()? / 2;
        sys::count_drops(socket.as_fd())?;
        socket.bind(&address.into())?;
        let local = socket.local_addr()?.as_socket().unwrap_or(address);
        let event = Arc::new(EventFd::new()?);
        Ok(Self { socket, local, receive_buffer, batch: Batch::new(), drops: Drops::default(), event })
    }

    fn tell_buffer(&self, asked: usize) {
        let (local, granted) = (self.local, self.receive_buffer);
        if granted < asked {
            tracing::warn!(
                %local, asked, granted,
                "UDP receive buffer smaller than asked for: sysctl -w net.core.rmem_max={asked}"
            );
        } else {
            tracing::debug!(%local, granted, "UDP receive buffer");
        }
    }

    /// Returns where it receives.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Returns the octets of receive buffer that the kernel granted.
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Reads the datagrams that are there, up to a batch of them, in place of those read before; returns how
    /// many. Does not wait.
    pub fn receive(&mut self) -> io::Result<usize> {
        match self.batch.receive(self.socket.as_fd()) {
            Ok(count) => {
                if let Some(dropped) = self.batch.dropped() {
                    self.drops.observe(dropped);
                }
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Those dropped behind the last datagram are told by no datagram.
                if let Some(dropped) = sys::dropped(self.socket.as_fd()) {
                    self.drops.observe(dropped);
                }
                Ok(0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Returns the datagrams of the last [`Receiver::receive`] with the addresses they came from, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.batch.datagrams()
    }

    /// Waits until there is a datagram, a [`Waker`] wakes, or the time is up.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        wait(self.socket.as_fd(), &self.event, false, Some(timeout)).map(drop)
    }

    /// Returns what ends a wait.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.event))
    }

    /// Returns how many datagrams the kernel dropped for want of room or for a wrong checksum (`SO_RXQ_OVFL`), as
    /// far as the last [`Receiver::receive`] could tell: exactly whenever it found nothing more to read.
    pub fn kernel_drops(&self) -> u64 {
        self.drops.total
    }
}

/// The kernel's 32-bit count of drops, made 64 bits long.
#[derive(Debug, Default)]
struct Drops {
    last: u32,
    total: u64,
}

impl Drops {
    /// Takes in a reading. One that is older than the last says nothing new: a datagram tells the count of the
    /// moment at which it was queued.
    fn observe(&mut self, reading: u32) {
        let more = reading.wrapping_sub(self.last);
        if more < 1 << 31 {
            self.total += u64::from(more);
            self.last = reading;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_counted_over_the_wrap_and_old_readings_are_ignored() {
        let mut drops = Drops::default();
        for reading in [0, u32::MAX / 2, u32::MAX - 1, u32::MAX - 5, 3] {
            drops.observe(reading);
        }
        assert_eq!(drops.total, u64::from(u32::MAX) + 4);
    }
}
