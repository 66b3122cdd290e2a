//! Where the two ends of an association are.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where an SCTP or TCP peer listens.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PeerAddress {
    /// SCTP, encapsulated in UDP (RFC 6951) or native (IP protocol 132).
    Sctp {
        /// The IP address.
        ip: IpAddr,
        /// The SCTP port.
        port: u16,
        /// The UDP port that carries SCTP, 9899 unless told otherwise; native SCTP without one.
        encapsulation: Option<u16>,
    },
    /// TCP.
    Tcp(SocketAddr),
    /// TLS over TCP.
    Tls(SocketAddr),
    /// UDP.
    Udp(SocketAddr),
    /// The simulated pair with this seed.
    Sim(u64),
}

impl PeerAddress {
    /// The SCTP address `ip:port` behind the standard encapsulation port 9899.
    pub const fn sctp(ip: IpAddr, port: u16) -> PeerAddress {
        PeerAddress::Sctp { ip, port, encapsulation: Some(crate::SCTP_ENCAPSULATION_PORT) }
    }

    /// The IP address; none for a simulated pair.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            PeerAddress::Sctp { ip, .. } => Some(*ip),
            PeerAddress::Tcp(address) | PeerAddress::Tls(address) | PeerAddress::Udp(address) => {
                Some(address.ip())
            }
            PeerAddress::Sim(_) => None,
        }
    }

    /// The SCTP, TCP or UDP port; 0 for a simulated pair.
    pub const fn port(&self) -> u16 {
        match self {
            PeerAddress::Sctp { port, .. } => *port,
            PeerAddress::Tcp(address) | PeerAddress::Tls(address) | PeerAddress::Udp(address) => {
                address.port()
            }
            PeerAddress::Sim(_) => 0,
        }
    }
}

/// `sctp 127.0.0.1:4739 (UDP 9899)`, `sctp 192.0.2.1:4739`, `tcp 127.0.0.1:4739`, `tls …`, `udp …`, `sim 7`.
impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Sctp { ip, port, encapsulation } => {
                write!(f, "sctp {}", SocketAddr::new(*ip, *port))?;
                encapsulation.map_or(Ok(()), |udp| write!(f, " (UDP {udp})"))
            }
            PeerAddress::Tcp(address) => write!(f, "tcp {address}"),
            PeerAddress::Tls(address) => write!(f, "tls {address}"),
            PeerAddress::Udp(address) => write!(f, "udp {address}"),
            PeerAddress::Sim(seed) => write!(f, "sim {seed}"),
        }
    }
}
