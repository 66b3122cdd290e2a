//! What an [`EndpointConfig`] means for userland SCTP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use dcsctp::api::Options;

use super::sys;
use crate::{EndpointConfig, MAX_MESSAGE};

/// The SCTP packet that fits an Ethernet of 1,500 octets over IPv6 and UDP.
const ETHERNET_MTU: usize = 1_500 - 40 - 8;
/// Where the path takes more, as loopback does: few enough octets that a socket buffer holds a congestion
/// window of packets.
const LARGEST_PACKET: usize = 16_384;

impl EndpointConfig {
    pub(crate) fn bind(&self) -> io::Result<(UdpSocket, SocketAddr)> {
        let address = SocketAddr::new(self.address, self.encapsulation);
        let named = |error: io::Error| {
            let remedy = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "; every daemon of a host needs an address, or an encapsulation port, of its own"
                }
                _ => "",
            };
            io::Error::new(error.kind(), format!("SCTP in UDP at {address} (UDP): {error}{remedy}"))
        };
        if self.address.is_unspecified() {
            return Err(named(io::Error::new(io::ErrorKind::InvalidInput, "a specific address is needed")));
        }
        let socket = UdpSocket::bind(address).map_err(named)?;
        socket.set_nonblocking(true)?;
        sys::set_options(socket.as_fd(), self.address.is_ipv6())?;
        let reference = socket2::SockRef::from(&socket);
        // The kernel grants what it may; less only means losses that SCTP repairs.
        let _ = reference.set_recv_buffer_size(4 << 20);
        let _ = reference.set_send_buffer_size(4 << 20);
        let local = socket.local_addr()?;
        Ok((socket, local))
    }

    /// The longest SCTP packet on a path whose UDP payload is `path` octets at most; unknown is taken for
    /// an Ethernet's.
    pub(crate) fn packet_length(&self, path: Option<usize>) -> usize {
        let path = path.unwrap_or(ETHERNET_MTU).min(LARGEST_PACKET);
        self.mtu.unwrap_or(path).clamp(512, 65_000) & !3
    }

    /// dcsctp's receive buffer.
    pub(crate) fn window(&self) -> usize {
        self.window.clamp(128 << 10, 1 << 30)
    }

    /// `mtu` is the longest SCTP packet.
    pub(crate) fn options(&self, local_port: u16, remote_port: u16, mtu: usize) -> Options {
        let profile = &self.profile;
        Options {
            local_port,
            remote_port,
            announced_maximum_incoming_streams: self.streams,
            announced_maximum_outgoing_streams: self.streams,
            mtu,
            max_message_size: MAX_MESSAGE,
            max_receiver_window_buffer_size: self.window(),
            // Bounded by the link, which charges a message until its end is known.
            max_send_buffer_size: u32::MAX as usize,
            per_stream_send_queue_limit: usize::MAX,
            rto_initial: profile.rto_initial,
            rto_min: profile.rto_min,
            rto_max: profile.rto_max,
            t1_init_timeout: profile.rto_initial,
            t1_cookie_timeout: profile.rto_initial,
            t2_shutdown_timeout: profile.rto_initial,
            max_timer_backoff_duration: Some(profile.rto_max),
            // The machine asks after its peers itself.
            heartbeat_interval: Duration::ZERO,
            delayed_ack_max_timeout: profile.sack_delay,
            rtt_max: Duration::from_secs(60),
            // The driver alone decides when a peer is lost: a stalled reader is not a dead peer.
            max_retransmissions: None,
            max_init_retransmits: None,
            ..Options::default()
        }
    }
}
