//! Announces of registrars, as pool elements and pool users hear them (RFC 5352 sections 2.2.10 and 3.6).
//!
//! Anybody on the multicast group can send one, so it is a hint: only registrars within networks that the owner
//! lists are tried (RFC 5355 section 2.12). Deviation: without transport parameters the source port is taken
//! instead of ASAP's; the reference implementation sends from the port it listens on.

use std::net::{IpAddr, SocketAddr};

use crate::registrar::Network;
use crate::wire::asap::announce::ServerAnnounce;
use crate::wire::{Message, MessageType, Transport, WireError};
use crate::{ENCAPSULATION_PORT, Protocol, RegistrarAddress};

/// Addresses taken from one announce.
const MAX_ADDRESSES: usize = 8;

/// Why an announce is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// It is another message.
    #[error("{0} is no announce")]
    OtherMessage(MessageType),
    /// The sender, or every address it tells, is outside the networks registrars may be in.
    #[error("no registrar is expected at {0}")]
    Stranger(IpAddr),
}

/// Returns where the registrar that sent the datagram is reached: what it tells, as far as it is within `networks`.
///
/// Fails where nothing is left.
pub(crate) fn registrars(
    from: SocketAddr,
    octets: &[u8],
    networks: &[Network],
) -> Result<Vec<RegistrarAddress>, AnnounceError> {
    let believed = |ip: IpAddr| networks.iter().any(|network| network.contains(ip));
    if !believed(from.ip()) {
        return Err(AnnounceError::Stranger(from.ip()));
    }
    let announce = match Message::decode(octets)? {
        Message::ServerAnnounce(announce) => announce,
        other => return Err(AnnounceError::OtherMessage(other.message_type())),
    };
    let mut told = told(&announce, from);
    told.retain(|address| believed(address.ip) && address.port != 0);
    told.truncate(MAX_ADDRESSES);
    if told.is_empty() { Err(AnnounceError::Stranger(from.ip())) } else { Ok(told) }
}

fn told(announce: &ServerAnnounce, from: SocketAddr) -> Vec<RegistrarAddress> {
    let encapsulation = announce.encapsulation().unwrap_or(ENCAPSULATION_PORT);
    let sctp = |ip: IpAddr, port| RegistrarAddress {
        encapsulation,
        ..RegistrarAddress::sctp(ip.to_canonical(), port)
    };
    if announce.transports.is_empty() {
        return vec![sctp(from.ip(), from.port())];
    }
    let of_transport = |transport: &Transport| -> Vec<RegistrarAddress> {
        match transport {
            Transport::Sctp(told) => told.addresses.iter().map(|&ip| sctp(ip, told.port)).collect(),
            Transport::Tcp(told) => vec![RegistrarAddress::tcp(told.address.to_canonical(), told.port)],
            // No registrar is reached over these.
            Transport::Dccp(_) | Transport::Udp(_) | Transport::UdpLite(_) | Transport::Opaque(_) => vec![],
        }
    };
    let mut told: Vec<_> = announce.transports.iter().flat_map(of_transport).collect();
    told.sort_by_key(|address| address.protocol != Protocol::Sctp);
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RegistrarId;
    use crate::wire::{ParameterType, SctpTransport, TcpTransport, TransportUse, UnknownParameter};

    const FROM: &str = "10.0.0.1:3863";

    fn announce(transports: Vec<Transport>) -> Vec<u8> {
        octets(ServerAnnounce { registrar: RegistrarId(0x0b), transports, unknown: vec![] })
    }

    fn octets(announce: ServerAnnounce) -> Vec<u8> {
        Message::ServerAnnounce(announce).to_octets().unwrap()
    }

    fn sctp(addresses: &[&str]) -> Transport {
        Transport::Sctp(SctpTransport {
            port: 7000,
            transport_use: TransportUse::DATA_ONLY,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            unknown: vec![],
        })
    }

    fn heard(from: &str, octets: &[u8]) -> Result<Vec<String>, AnnounceError> {
        let networks = ["10.0.0.0/8".parse().unwrap()];
        let told = registrars(from.parse().unwrap(), octets, &networks)?;
        Ok(told.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn without_transports_the_sender_is_meant() {
        assert_eq!(heard(FROM, &announce(vec![])).unwrap(), ["sctp:10.0.0.1:3863"]);
        // The reference implementation's, as captured.
        assert_eq!(
            heard("10.77.0.11:3863", &[0x0a, 0, 0, 8, 0x10, 0x27, 0xda, 0x19]).unwrap(),
            ["sctp:10.77.0.11:3863"]
        );
    }

    #[test]
    fn told_transports_count_and_sctp_comes_first() {
        let tcp = |address: &str| {
            let address = address.parse().unwrap();
            Transport::Tcp(TcpTransport { port: 3863, reserved: 0, address, unknown: vec![] })
        };
        let octets = announce(vec![tcp("10.0.0.9"), sctp(&["10.0.0.2", "10.0.0.3"])]);
        let told = ["sctp:10.0.0.2:7000", "sctp:10.0.0.3:7000", "tcp:10.0.0.9:3863"];
        assert_eq!(heard(FROM, &octets).unwrap(), told);
    }

    #[test]
    fn an_unusual_encapsulation_port_is_told_beside_the_transports() {
        let encapsulation =
            UnknownParameter { kind: ParameterType::ENCAPSULATION_PORT, value: vec![0x26, 0xac, 0, 0] };
        let transports = vec![sctp(&["10.0.0.2"])];
        let announce = ServerAnnounce { registrar: RegistrarId(1), transports, unknown: vec![encapsulation] };
        assert_eq!(heard(FROM, &octets(announce)).unwrap(), ["sctp:10.0.0.2:7000/udp:9900"]);
    }

    #[test]
    fn only_registrars_within_the_networks_are_believed() {
        let stranger = AnnounceError::Stranger("192.0.2.1".parse().unwrap());
        assert_eq!(heard("192.0.2.1:3863", &announce(vec![])), Err(stranger));
        assert_eq!(heard("192.0.2.1:3863", &announce(vec![sctp(&["10.0.0.2"])])), Err(stranger));
        let octets = announce(vec![sctp(&["192.0.2.1", "10.0.0.2"])]);
        assert_eq!(heard(FROM, &octets).unwrap(), ["sctp:10.0.0.2:7000"]);
        let none = AnnounceError::Stranger("10.0.0.1".parse().unwrap());
        assert_eq!(heard(FROM, &announce(vec![sctp(&["192.0.2.1"])])), Err(none));
    }

    #[test]
    fn what_is_no_announce_is_refused() {
        assert_eq!(
            heard(FROM, &[0x0a, 0, 0, 4]).unwrap_err().to_string(),
            "octet 4: 4 octets needed, 0 left"
        );
        let error = heard(FROM, &[0x7f, 0, 0, 4]).unwrap_err();
        assert!(matches!(error, AnnounceError::Malformed(_)), "{error}");
    }
}
