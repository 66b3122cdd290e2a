//! Addresses as the machines and their drivers exchange them.

use std::fmt;
use std::net::IpAddr;

use crate::wire::ParameterType;
use crate::wire::param::encapsulation;
use crate::wire::param::transport::{SctpTransport, TcpTransport, Transport, TransportUse, UdpTransport};

/// The UDP port registered for SCTP over UDP (RFC 6951 section 8).
pub const ENCAPSULATION_PORT: u16 = encapsulation::DEFAULT_PORT;

/// A transport protocol of ours; other protocols are only resolved and passed on.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// SCTP, native or in UDP.
    Sctp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Sctp => "sctp",
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// Where a registrar listens for ASAP or ENRP, or a pool element for ASAP; one address of a multi-homed
/// endpoint is enough, as SCTP tells the others.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RegistrarAddress {
    /// SCTP or TCP.
    pub protocol: Protocol,
    /// IP address.
    pub ip: IpAddr,
    /// SCTP or TCP port, usually 3863.
    pub port: u16,
    /// UDP port of an encapsulated SCTP endpoint, 0 for native SCTP; without meaning for TCP.
    pub encapsulation: u16,
    /// Whether the protocol is in TLS; TCP only.
    pub secured: bool,
}

impl RegistrarAddress {
    /// Returns the address of an SCTP endpoint at the usual encapsulation port.
    pub const fn sctp(ip: IpAddr, port: u16) -> RegistrarAddress {
        RegistrarAddress {
            protocol: Protocol::Sctp,
            ip,
            port,
            encapsulation: ENCAPSULATION_PORT,
            secured: false,
        }
    }

    /// Returns the address of a TCP endpoint.
    pub const fn tcp(ip: IpAddr, port: u16) -> RegistrarAddress {
        RegistrarAddress { protocol: Protocol::Tcp, ip, port, encapsulation: 0, secured: false }
    }

    /// Returns the address of a TLS endpoint.
    pub const fn tls(ip: IpAddr, port: u16) -> RegistrarAddress {
        RegistrarAddress { secured: true, ..RegistrarAddress::tcp(ip, port) }
    }
}

impl fmt::Display for RegistrarAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, ip, port, encapsulation, secured } = self;
        let socket = std::net::SocketAddr::new(*ip, *port);
        if *secured {
            return write!(f, "tls:{socket}");
        }
        write!(f, "{protocol}:{socket}")?;
        match (protocol, *encapsulation) {
            (Protocol::Tcp | Protocol::Udp, _) | (Protocol::Sctp, ENCAPSULATION_PORT) => Ok(()),
            (Protocol::Sctp, 0) => f.write_str("/native"),
            (Protocol::Sctp, udp) => write!(f, "/udp:{udp}"),
        }
    }
}

impl fmt::Debug for RegistrarAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where a pool element serves its users.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserTransport {
    /// Transport protocol.
    pub protocol: Protocol,
    /// One or more addresses; exactly one for TCP and UDP.
    pub addresses: Vec<IpAddr>,
    /// Port of the protocol.
    pub port: u16,
    /// Whether ASAP's control channel is on the same association; SCTP only.
    pub transport_use: TransportUse,
    /// UDP port of an encapsulated SCTP endpoint; without meaning for the others.
    pub encapsulation: u16,
}

impl UserTransport {
    /// Returns the wire's form: the transport parameter, and the encapsulation port where it must be told.
    ///
    /// TCP and UDP carry the first address only (RFC 5354 sections 3.5 and 3.6).
    /// Returns `None` without any address.
    pub fn to_wire(&self) -> Option<(Transport, Option<u16>)> {
        let &address = self.addresses.first()?;
        let (port, unknown) = (self.port, Vec::new());
        Some(match self.protocol {
            Protocol::Sctp => {
                let told = Some(self.encapsulation).filter(|&udp| udp != ENCAPSULATION_PORT);
                let (transport_use, addresses) = (self.transport_use, self.addresses.clone());
                (Transport::Sctp(SctpTransport { port, transport_use, addresses, unknown }), told)
            }
            Protocol::Tcp => (Transport::Tcp(TcpTransport { port, reserved: 0, address, unknown }), None),
            Protocol::Udp => (Transport::Udp(UdpTransport { port, address, unknown }), None),
        })
    }

    /// Returns the transport in a resolved pool element, `None` for protocols we do not speak.
    pub fn from_wire(transport: &Transport, encapsulation: Option<u16>) -> Option<UserTransport> {
        let protocol = match transport.kind() {
            ParameterType::SCTP_TRANSPORT => Protocol::Sctp,
            ParameterType::TCP_TRANSPORT => Protocol::Tcp,
            ParameterType::UDP_TRANSPORT => Protocol::Udp,
            _ => return None,
        };
        Some(UserTransport {
            protocol,
            addresses: transport.addresses().to_vec(),
            port: transport.port()?,
            transport_use: transport.transport_use(),
            encapsulation: encapsulation.unwrap_or(ENCAPSULATION_PORT),
        })
    }
}

/// The far end of an accepted connection, as the driver sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remote {
    /// SCTP or TCP.
    pub protocol: Protocol,
    /// All addresses of the association or connection.
    pub addresses: Vec<IpAddr>,
    /// The far port.
    pub port: u16,
    /// The UDP port the SCTP association comes from (RFC 6951); `None` for native SCTP and for TCP.
    pub encapsulation: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_transport_survives_the_wire_and_tells_unusual_encapsulation_only() {
        let usual = UserTransport {
            protocol: Protocol::Sctp,
            addresses: vec![IpAddr::from([127, 1, 2, 3])],
            port: 4739,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            encapsulation: ENCAPSULATION_PORT,
        };
        let unusual = UserTransport { encapsulation: 9900, ..usual.clone() };
        let (wire, told) = usual.to_wire().unwrap();
        assert_eq!((UserTransport::from_wire(&wire, told), told), (Some(usual), None));
        let (wire, told) = unusual.to_wire().unwrap();
        assert_eq!((UserTransport::from_wire(&wire, told), told), (Some(unusual), Some(9900)));
    }

    #[test]
    fn registrar_addresses_print_what_a_configuration_says() {
        let sctp = RegistrarAddress::sctp(IpAddr::from([127, 0, 0, 1]), 3863);
        assert_eq!(sctp.to_string(), "sctp:127.0.0.1:3863");
        assert_eq!(
            RegistrarAddress { encapsulation: 9900, ..sctp }.to_string(),
            "sctp:127.0.0.1:3863/udp:9900"
        );
        assert_eq!(RegistrarAddress::tcp(sctp.ip, 3863).to_string(), "tcp:127.0.0.1:3863");
        assert_eq!(RegistrarAddress::tls(sctp.ip, 3864).to_string(), "tls:127.0.0.1:3864");
    }
}
