//! How an endpoint is set up.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use dcsctp::api::Options;

use super::sys;
use crate::{MAX_MESSAGE, Profile, QueueLimits};

/// The UDP port of SCTP in UDP (RFC 6951 section 5.1).
pub const SCTP_ENCAPSULATION_PORT: u16 = 9899;

/// The SCTP packet that fits an Ethernet of 1,500 octets over IPv6 and UDP.
const ETHERNET_MTU: usize = 1_500 - 40 - 8;
/// On loopback: few enough octets that a socket buffer holds a congestion window of packets.
const LOOPBACK_MTU: usize = 16_384;

/// How an endpoint is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// The specific local address; the wildcard is refused.
    pub address: IpAddr,
    /// The UDP port; 0 takes a free one. Default 9899.
    pub encapsulation: u16,
    /// Timing. Default [`Profile::fast`].
    pub profile: Profile,
    /// Longest SCTP packet in octets, UDP and IP headers not counted; there is no path MTU discovery,
    /// longer than the path means fragments. Default 16,384 on a loopback address, else 1,452.
    pub mtu: usize,
    /// Bounds of each association's queues.
    pub queues: QueueLimits,
    /// The window a peer may fill while `recv` is not called, beyond `queues.receive`; octets. At least
    /// 128 KiB, so that the longest message fits. Default 1 MiB.
    pub window: usize,
    /// Streams offered in both directions. Default 64.
    pub streams: u16,
    /// Associations waiting for `accept`, per listener. Default 128.
    pub backlog: usize,
    /// Associations in all. Default 16,384.
    pub max_associations: usize,
    /// Associations with one peer IP address. Default 1,024.
    pub max_per_address: usize,
}

impl EndpointConfig {
    /// The defaults, at `address` and UDP port 9899.
    pub fn new(address: IpAddr) -> EndpointConfig {
        EndpointConfig {
            address,
            encapsulation: SCTP_ENCAPSULATION_PORT,
            profile: Profile::fast(),
            mtu: if address.is_loopback() { LOOPBACK_MTU } else { ETHERNET_MTU },
            queues: QueueLimits::default(),
            window: 1 << 20,
            streams: 64,
            backlog: 128,
            max_associations: 16_384,
            max_per_address: 1_024,
        }
    }

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

    pub(crate) fn options(&self, local_port: u16, remote_port: u16) -> Options {
        let profile = &self.profile;
        Options {
            local_port,
            remote_port,
            announced_maximum_incoming_streams: self.streams,
            announced_maximum_outgoing_streams: self.streams,
            mtu: self.mtu.clamp(512, 65_000) & !3,
            max_message_size: MAX_MESSAGE,
            max_receiver_window_buffer_size: self.window.clamp(128 << 10, 1 << 30),
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
            heartbeat_interval: profile.heartbeat,
            heartbeat_interval_include_rtt: false,
            delayed_ack_max_timeout: profile.sack_delay,
            rtt_max: Duration::from_secs(60),
            // The driver alone decides when a peer is lost: a stalled reader is not a dead peer.
            max_retransmissions: None,
            max_init_retransmits: None,
            ..Options::default()
        }
    }
}
