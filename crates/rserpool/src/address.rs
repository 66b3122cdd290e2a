//! Where a registrar listens, as written in a configuration file.
//!
//! `192.0.2.1:3863` is SCTP in UDP with encapsulation port 9899; `192.0.2.1` alone takes ASAP's port 3863.
//! `192.0.2.1:3863?encapsulation=9898` names another encapsulation port, `tcp://192.0.2.1:3863` is TCP,
//! `tls://192.0.2.1:3864` is TLS over TCP.
//! IPv6 addresses with a port stand in brackets.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use rserpool_proto::{ENCAPSULATION_PORT, Protocol};
use serde::Deserialize;
use transport::PeerAddress;

/// The port registrars listen on for ASAP, on SCTP and TCP alike (RFC 5352 section 9.3).
pub const ASAP_PORT: u16 = 3863;

/// The port registrars listen on for ASAP over TLS (RFC 5352 section 9.3).
pub const ASAP_TLS_PORT: u16 = 3864;

/// Where a registrar listens for ASAP.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct RegistrarAddress(rserpool_proto::RegistrarAddress);

/// Says why a text is no registrar address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRegistrarAddress {
    /// Neither `IP` nor `IP:PORT`.
    #[error(
        "\"{0}\" is not an IP address with an optional port, such as 192.0.2.1:3863 or [2001:db8::1]:3863"
    )]
    Address(String),
    /// A port nobody can be reached at.
    #[error("\"{0}\" has port 0")]
    PortZero(String),
    /// A scheme other than `sctp`, `tcp` and `tls`.
    #[error("\"{0}\" is none of sctp://, tcp:// and tls://")]
    Scheme(String),
    /// Something else than `?encapsulation=PORT` at the end, or that on TCP.
    #[error("\"?{0}\" is not ?encapsulation=PORT of an SCTP address")]
    Option(String),
}

impl RegistrarAddress {
    /// Returns the address as the transport takes it.
    pub fn peer(&self) -> PeerAddress {
        peer(&self.0)
    }

    /// Returns whether it is a TLS address, for which a certificate is needed.
    pub fn is_tls(&self) -> bool {
        self.0.secured
    }

    /// Returns whether it is an SCTP address, for which an endpoint is needed.
    pub fn is_sctp(&self) -> bool {
        self.0.protocol == Protocol::Sctp
    }
}

/// Returns the machines' form of an address in the transport's form.
pub(crate) fn peer(address: &rserpool_proto::RegistrarAddress) -> PeerAddress {
    let rserpool_proto::RegistrarAddress { protocol, ip, port, encapsulation, secured } = *address;
    match protocol {
        Protocol::Sctp => {
            PeerAddress::Sctp { ip, port, encapsulation: Some(encapsulation).filter(|&udp| udp != 0) }
        }
        Protocol::Tcp if secured => PeerAddress::Tls(SocketAddr::new(ip, port)),
        // A registrar is never reached over UDP (RFC 5352 section 2.1).
        Protocol::Tcp | Protocol::Udp => PeerAddress::Tcp(SocketAddr::new(ip, port)),
    }
}

/// Returns where an accepted association comes from, in the machines' form; `None` for what is no registrar's.
pub(crate) fn seen(peer: PeerAddress) -> Option<rserpool_proto::RegistrarAddress> {
    match peer {
        PeerAddress::Sctp { ip, port, encapsulation } => Some(rserpool_proto::RegistrarAddress {
            encapsulation: encapsulation.unwrap_or(0),
            ..rserpool_proto::RegistrarAddress::sctp(ip, port)
        }),
        PeerAddress::Tcp(_) | PeerAddress::Tls(_) | PeerAddress::Udp(_) | PeerAddress::Sim(_) => None,
    }
}

impl From<RegistrarAddress> for rserpool_proto::RegistrarAddress {
    fn from(address: RegistrarAddress) -> rserpool_proto::RegistrarAddress {
        address.0
    }
}

impl From<rserpool_proto::RegistrarAddress> for RegistrarAddress {
    fn from(address: rserpool_proto::RegistrarAddress) -> RegistrarAddress {
        RegistrarAddress(address)
    }
}

impl FromStr for RegistrarAddress {
    type Err = InvalidRegistrarAddress;

    fn from_str(text: &str) -> Result<RegistrarAddress, InvalidRegistrarAddress> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("sctp", text));
        let (address, option) = match rest.split_once('?') {
            Some((address, option)) => (address, Some(option)),
            None => (rest, None),
        };
        let well_known = if scheme == "tls" { ASAP_TLS_PORT } else { ASAP_PORT };
        let address = socket_address(address, well_known)?;
        match (scheme, option) {
            ("sctp", option) => {
                let encapsulation = option.map_or(Ok(ENCAPSULATION_PORT), encapsulation_port)?;
                let sctp = rserpool_proto::RegistrarAddress::sctp(address.ip(), address.port());
                Ok(RegistrarAddress(rserpool_proto::RegistrarAddress { encapsulation, ..sctp }))
            }
            ("tcp", None) => {
                Ok(RegistrarAddress(rserpool_proto::RegistrarAddress::tcp(address.ip(), address.port())))
            }
            ("tls", None) => {
                Ok(RegistrarAddress(rserpool_proto::RegistrarAddress::tls(address.ip(), address.port())))
            }
            ("tcp" | "tls", Some(option)) => Err(InvalidRegistrarAddress::Option(option.to_owned())),
            _ => Err(InvalidRegistrarAddress::Scheme(text.to_owned())),
        }
    }
}

fn socket_address(text: &str, well_known: u16) -> Result<SocketAddr, InvalidRegistrarAddress> {
    let address = match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
        (Ok(address), _) => address,
        (_, Ok(ip)) => SocketAddr::new(ip, well_known),
        _ => return Err(InvalidRegistrarAddress::Address(text.to_owned())),
    };
    if address.port() == 0 {
        return Err(InvalidRegistrarAddress::PortZero(text.to_owned()));
    }
    Ok(address)
}

fn encapsulation_port(option: &str) -> Result<u16, InvalidRegistrarAddress> {
    option
        .strip_prefix("encapsulation=")
        .and_then(|port| port.parse().ok())
        .filter(|port| *port != 0)
        .ok_or_else(|| InvalidRegistrarAddress::Option(option.to_owned()))
}

impl TryFrom<String> for RegistrarAddress {
    type Error = InvalidRegistrarAddress;

    fn try_from(text: String) -> Result<RegistrarAddress, InvalidRegistrarAddress> {
        text.parse()
    }
}

/// Prints the form that is parsed.
impl fmt::Display for RegistrarAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = SocketAddr::new(self.0.ip, self.0.port);
        match (self.0.protocol, self.0.encapsulation) {
            _ if self.0.secured => write!(f, "tls://{socket}"),
            (Protocol::Sctp, ENCAPSULATION_PORT) => socket.fmt(f),
            (Protocol::Sctp, encapsulation) => write!(f, "{socket}?encapsulation={encapsulation}"),
            (Protocol::Tcp | Protocol::Udp, _) => write!(f, "tcp://{socket}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> PeerAddress {
        text.parse::<RegistrarAddress>().unwrap().peer()
    }

    #[test]
    fn an_address_without_a_scheme_is_sctp_on_the_well_known_ports() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let well_known = PeerAddress::Sctp { ip, port: 3863, encapsulation: Some(9899) };
        assert_eq!(peer("127.0.0.1:3863"), well_known);
        assert_eq!(peer("127.0.0.1"), well_known);
        assert_eq!(peer("sctp://127.0.0.1"), well_known);
    }

    #[test]
    fn an_encapsulation_port_can_be_named() {
        let ip = "2001:db8::1".parse().unwrap();
        let expected = PeerAddress::Sctp { ip, port: 7000, encapsulation: Some(9898) };
        assert_eq!(peer("[2001:db8::1]:7000?encapsulation=9898"), expected);
    }

    #[test]
    fn tcp_is_told_by_its_scheme() {
        assert_eq!(peer("tcp://127.0.0.1"), PeerAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 3863))));
    }

    #[test]
    fn tls_is_told_by_its_scheme_and_has_a_port_of_its_own() {
        assert_eq!(peer("tls://127.0.0.1"), PeerAddress::Tls(SocketAddr::from(([127, 0, 0, 1], 3864))));
        assert_eq!(peer("tls://[::1]:7"), PeerAddress::Tls("[::1]:7".parse().unwrap()));
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for text in ["127.0.0.1:3863", "[::1]:1?encapsulation=2", "tcp://[::1]:3863", "tls://[::1]:3864"] {
            assert_eq!(text.parse::<RegistrarAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_error_names_what_it_found() {
        let error = |text: &str| text.parse::<RegistrarAddress>().unwrap_err().to_string();
        assert!(error("registrar:3863").contains("\"registrar:3863\" is not an IP address"));
        assert!(error("127.0.0.1:0").contains("port 0"));
        assert!(error("udp://127.0.0.1:3863").contains("none of sctp://, tcp:// and tls://"));
        assert!(error("127.0.0.1:3863?port=1").contains("\"?port=1\""));
        assert!(error("tcp://127.0.0.1:3863?encapsulation=9899").contains("\"?encapsulation=9899\""));
        assert!(error("127.0.0.1:3863?encapsulation=0").contains("\"?encapsulation=0\""));
    }
}
