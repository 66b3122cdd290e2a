//! Where a registrar listens, as written in a configuration file.
//!
//! `registrar.example.org` is looked up each time a registrar is searched for. `192.0.2.1:3863` is SCTP in UDP with encapsulation port 9899; `192.0.2.1` alone takes ASAP's port 3863.
//! `192.0.2.1:3863?encapsulation=9898` names another encapsulation port, `tcp://192.0.2.1:3863` is TCP,
//! `tls://192.0.2.1:3864` is TLS over TCP.
//! IPv6 addresses with a port stand in brackets.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use rserpool_proto::{ENCAPSULATION_PORT, Protocol};
use serde::Deserialize;
use transport::PeerAddress;

use crate::Resolver;

/// The port registrars listen on for ASAP, on SCTP and TCP alike (RFC 5352 section 9.3).
pub const ASAP_PORT: u16 = 3863;

/// The port registrars listen on for ASAP over TLS (RFC 5352 section 9.3).
pub const ASAP_TLS_PORT: u16 = 3864;

/// A registrar as a configuration names it: by its address, or by a DNS name that is looked up when it is needed.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(try_from = "String")]
pub struct ConfiguredRegistrar {
    host: Host,
    /// Everything but the IP address.
    template: rserpool_proto::RegistrarAddress,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// Where a registrar listens for ASAP.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct RegistrarAddress(rserpool_proto::RegistrarAddress);

/// Says why a text is no registrar address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRegistrarAddress {
    /// Neither `HOST` nor `HOST:PORT`.
    #[error(
        "\"{0}\" is neither an IP address nor a DNS name with an optional port, such as 192.0.2.1:3863, \
         [2001:db8::1]:3863 or registrar.example.org:3863"
    )]
    Address(String),
    /// A name where only an address will do.
    #[error("\"{0}\" is a name where an IP address is needed")]
    Name(String),
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

impl ConfiguredRegistrar {
    /// Returns whether it is reached over TLS, for which a certificate is needed.
    pub fn is_tls(&self) -> bool {
        self.template.secured
    }

    /// Returns whether it is reached over SCTP, for which an endpoint is needed.
    pub fn is_sctp(&self) -> bool {
        self.template.protocol == Protocol::Sctp
    }

    /// Returns the name, if it has to be looked up.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Address(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    /// Returns the IP address or the name: what its certificate should carry.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Address(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        }
    }

    /// Returns the address, if it needs no lookup.
    pub fn address(&self) -> Option<RegistrarAddress> {
        match self.host {
            Host::Address(ip) => Some(self.at(ip)),
            Host::Name(_) => None,
        }
    }

    /// Returns the registrar's addresses at present, by the host's resolver where it has a name: 16 at most, in its
    /// order.
    ///
    /// Fails where the name has none.
    pub async fn look_up(&self) -> io::Result<Vec<RegistrarAddress>> {
        Resolver::default().look_up(self).await
    }

    /// Returns this registrar at one of its addresses.
    pub(crate) fn at(&self, ip: IpAddr) -> RegistrarAddress {
        RegistrarAddress(rserpool_proto::RegistrarAddress { ip, ..self.template })
    }
}

impl From<RegistrarAddress> for ConfiguredRegistrar {
    fn from(address: RegistrarAddress) -> ConfiguredRegistrar {
        ConfiguredRegistrar { host: Host::Address(address.0.ip), template: address.0 }
    }
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

impl FromStr for ConfiguredRegistrar {
    type Err = InvalidRegistrarAddress;

    fn from_str(text: &str) -> Result<ConfiguredRegistrar, InvalidRegistrarAddress> {
        ConfiguredRegistrar::parse(text, ASAP_PORT, ASAP_TLS_PORT)
    }
}

impl ConfiguredRegistrar {
    /// Parses where a registrar is that listens on `port` over SCTP and TCP and on `tls_port` over TLS if the text does not
    /// say otherwise.
    ///
    /// Fails with what is wrong with the text.
    pub fn parse(
        text: &str,
        port: u16,
        tls_port: u16,
    ) -> Result<ConfiguredRegistrar, InvalidRegistrarAddress> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("sctp", text));
        let (address, option) = match rest.split_once('?') {
            Some((address, option)) => (address, Some(option)),
            None => (rest, None),
        };
        let well_known = if scheme == "tls" { tls_port } else { port };
        let (host, port) = host_and_port(address, well_known)?;
        let ip = match host {
            Host::Address(ip) => ip,
            Host::Name(_) => Ipv4Addr::UNSPECIFIED.into(),
        };
        let template = match (scheme, option) {
            ("sctp", option) => {
                let encapsulation = option.map_or(Ok(ENCAPSULATION_PORT), encapsulation_port)?;
                let sctp = rserpool_proto::RegistrarAddress::sctp(ip, port);
                rserpool_proto::RegistrarAddress { encapsulation, ..sctp }
            }
            ("tcp", None) => rserpool_proto::RegistrarAddress::tcp(ip, port),
            ("tls", None) => rserpool_proto::RegistrarAddress::tls(ip, port),
            ("tcp" | "tls", Some(option)) => {
                return Err(InvalidRegistrarAddress::Option(option.to_owned()));
            }
            _ => return Err(InvalidRegistrarAddress::Scheme(text.to_owned())),
        };
        Ok(ConfiguredRegistrar { host, template })
    }
}

impl FromStr for RegistrarAddress {
    type Err = InvalidRegistrarAddress;

    /// As a [`ConfiguredRegistrar`], without names.
    fn from_str(text: &str) -> Result<RegistrarAddress, InvalidRegistrarAddress> {
        let registrar = text.parse::<ConfiguredRegistrar>()?;
        registrar.address().ok_or_else(|| InvalidRegistrarAddress::Name(text.to_owned()))
    }
}

fn host_and_port(text: &str, well_known: u16) -> Result<(Host, u16), InvalidRegistrarAddress> {
    let invalid = || InvalidRegistrarAddress::Address(text.to_owned());
    let (host, port) = match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
        (Ok(address), _) => (Host::Address(address.ip()), address.port()),
        (_, Ok(ip)) => (Host::Address(ip), well_known),
        _ => {
            let (name, port) = match text.rsplit_once(':') {
                Some((name, port)) => (name, port.parse().map_err(|_| invalid())?),
                None => (text, well_known),
            };
            if !is_name(name) {
                return Err(invalid());
            }
            (Host::Name(name.to_owned()), port)
        }
    };
    if port == 0 {
        return Err(InvalidRegistrarAddress::PortZero(text.to_owned()));
    }
    Ok((host, port))
}

/// Letters, digits, hyphens and underscores between dots; what ends in a number is a mistyped address (RFC 1123
/// section 2.1).
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
        (1..=63).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(allowed)
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or(text);
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|octet| octet.is_ascii_digit())
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

impl TryFrom<String> for ConfiguredRegistrar {
    type Error = InvalidRegistrarAddress;

    fn try_from(text: String) -> Result<ConfiguredRegistrar, InvalidRegistrarAddress> {
        text.parse()
    }
}

/// Prints the form that is parsed.
impl fmt::Display for ConfiguredRegistrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(ip) => self.at(*ip).fmt(f),
            Host::Name(name) => print(f, &self.template, format_args!("{name}:{}", self.template.port)),
        }
    }
}

/// Prints the form that is parsed.
impl fmt::Display for RegistrarAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, &self.0, format_args!("{}", SocketAddr::new(self.0.ip, self.0.port)))
    }
}

fn print(
    f: &mut fmt::Formatter<'_>,
    address: &rserpool_proto::RegistrarAddress,
    place: fmt::Arguments<'_>,
) -> fmt::Result {
    match (address.protocol, address.encapsulation) {
        _ if address.secured => write!(f, "tls://{place}"),
        (Protocol::Sctp, ENCAPSULATION_PORT) => f.write_fmt(place),
        (Protocol::Sctp, encapsulation) => write!(f, "{place}?encapsulation={encapsulation}"),
        (Protocol::Tcp | Protocol::Udp, _) => write!(f, "tcp://{place}"),
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
            assert_eq!(text.parse::<ConfiguredRegistrar>().unwrap().to_string(), text);
        }
        for text in ["registrar.example.org:3863", "r_1:1?encapsulation=2", "tcp://r:3863", "tls://r.:3864"] {
            assert_eq!(text.parse::<ConfiguredRegistrar>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_name_has_the_ports_and_schemes_of_an_address() {
        let registrar = |text: &str| text.parse::<ConfiguredRegistrar>().unwrap();
        let at = |text: &str| registrar(text).at(IpAddr::from([192, 0, 2, 1])).to_string();
        assert_eq!(at("registrar.example.org"), "192.0.2.1:3863");
        assert_eq!(at("sctp://registrar:7000?encapsulation=2"), "192.0.2.1:7000?encapsulation=2");
        assert_eq!(at("tls://registrar"), "tls://192.0.2.1:3864");
        assert!(registrar("tls://registrar").is_tls() && registrar("registrar").is_sctp());
        assert_eq!(registrar("tcp://r.example").name(), Some("r.example"));
        assert_eq!(registrar("192.0.2.1").address().unwrap().to_string(), "192.0.2.1:3863");
    }

    #[test]
    fn what_is_neither_a_name_nor_an_address_is_told() {
        let refused = ["127.0.0.300", "192.0.2", "r:port", "", "a..b", "-r", "r example", "[::1", "r:", "/r"];
        for text in refused {
            let error = text.parse::<ConfiguredRegistrar>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("\"{text}\" is neither an IP address nor a DNS name")),
                "{error}"
            );
        }
        assert!("r:0".parse::<ConfiguredRegistrar>().unwrap_err().to_string().contains("port 0"));
    }

    #[tokio::test]
    async fn a_name_is_looked_up_when_it_is_asked() {
        let found = "tcp://localhost:7".parse::<ConfiguredRegistrar>().unwrap().look_up().await.unwrap();
        assert!(
            found
                .iter()
                .all(|address| matches!(address.peer(), PeerAddress::Tcp(to) if to.ip().is_loopback()))
        );
        assert!(!found.is_empty());
        let unknown = "no-such-host.invalid".parse::<ConfiguredRegistrar>().unwrap();
        assert!(unknown.look_up().await.is_err());
    }

    #[test]
    fn an_error_names_what_it_found() {
        let error = |text: &str| text.parse::<RegistrarAddress>().unwrap_err().to_string();
        assert!(error("registrar:3863").contains("\"registrar:3863\" is a name"));
        assert!(error("127.0.0.1:0").contains("port 0"));
        assert!(error("udp://127.0.0.1:3863").contains("none of sctp://, tcp:// and tls://"));
        assert!(error("127.0.0.1:3863?port=1").contains("\"?port=1\""));
        assert!(error("tcp://127.0.0.1:3863?encapsulation=9899").contains("\"?encapsulation=9899\""));
        assert!(error("127.0.0.1:3863?encapsulation=0").contains("\"?encapsulation=0\""));
    }
}
