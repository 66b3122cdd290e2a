//! Registrar's TCP transport, a parameter for the next generation, inside the server information parameter: where
//! the registrar speaks ENRP over TCP, beside the SCTP transport RFC 5354 demands there.
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x8f02         |       Length = 16 or 28       |
//! +-------------------------------+-------------------------------+
//! |           TCP Port            |         Flags         |M|S|
//! +-------------------------------+-------------------------------+
//! :             one IPv4 or IPv6 address parameter                :
//! +---------------------------------------------------------------+
//! ```
//!
//! S (0x0001): TLS. M (0x0002): MPTCP is accepted. A registrar may have several. The type's upper bits are `10`, so
//! others skip it silently.

use std::net::{IpAddr, SocketAddr};

use super::{ParameterType, address};
use crate::wire::unknown::{Found, Report, parameters};
use crate::wire::{UnknownParameter, WireError};

const TLS: u16 = 0x0001;
const MPTCP: u16 = 0x0002;

/// Where a registrar speaks ENRP over TCP or TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RegistrarTcp {
    /// Address and port.
    pub address: SocketAddr,
    /// TLS is spoken there, else plain TCP.
    pub tls: bool,
    /// MPTCP is accepted there.
    pub mptcp: bool,
}

impl RegistrarTcp {
    /// So many of one registrar are read.
    pub const MAX: usize = 8;

    /// Returns the parameters among those that were skipped, [`RegistrarTcp::MAX`] at most. What is malformed, and
    /// what nobody can connect to (port zero, no host's address), is as good as not told.
    pub fn all(skipped: &[UnknownParameter]) -> Vec<RegistrarTcp> {
        let told = skipped.iter().filter(|skipped| skipped.kind == ParameterType::REGISTRAR_TCP);
        let read = told.filter_map(|skipped| skipped.read(RegistrarTcp::decode).ok());
        read.filter(RegistrarTcp::is_usable).take(RegistrarTcp::MAX).collect()
    }

    fn is_usable(&self) -> bool {
        let ip = self.address.ip().to_canonical();
        self.address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
    }

    fn decode(found: &Found<'_>) -> Result<RegistrarTcp, WireError> {
        let mut value = found.value.clone();
        let (port, flags) = (value.u16()?, value.u16()?);
        let mut ip: Option<IpAddr> = None;
        parameters(value, &mut Report::default(), |found, _| match address::decode(found)? {
            Some(address) => found.once(&mut ip, address),
            None => Ok(false),
        })?;
        let offset = found.offset + found.octets.len();
        let ip = ip.ok_or(WireError::MissingParameter { offset, kind: ParameterType::IPV4_ADDRESS })?;
        let address = SocketAddr::new(ip, port);
        Ok(RegistrarTcp { address, tls: flags & TLS != 0, mptcp: flags & MPTCP != 0 })
    }

    /// Returns the parameter, to be sent among those that old peers skip.
    pub fn to_parameter(&self) -> UnknownParameter {
        let flags = if self.tls { TLS } else { 0 } | if self.mptcp { MPTCP } else { 0 };
        let mut value = [self.address.port().to_be_bytes(), flags.to_be_bytes()].concat();
        // An address always fits.
        let _ = address::encode(self.address.ip(), &mut value);
        UnknownParameter { kind: ParameterType::REGISTRAR_TCP, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::reader::Reader;

    fn decode(octets: &[u8]) -> Result<RegistrarTcp, WireError> {
        let mut tcp = None;
        parameters(Reader::new(octets), &mut Report::default(), |found, _| {
            found.once(&mut tcp, RegistrarTcp::decode(found)?)
        })?;
        Ok(tcp.unwrap())
    }

    #[test]
    fn address_port_and_flags_survive() {
        let tcp = RegistrarTcp { address: "192.0.2.1:9902".parse().unwrap(), tls: true, mptcp: false };
        let mut out = Vec::new();
        tcp.to_parameter().encode(&mut out).unwrap();
        assert_eq!(RegistrarTcp::all(&[tcp.to_parameter()]), [tcp]);
        assert_eq!(out, [0x8f, 0x02, 0, 16, 0x26, 0xae, 0, 1, 0, 1, 0, 8, 192, 0, 2, 1]);
        assert_eq!(decode(&out), Ok(tcp));
        let six = RegistrarTcp { address: "[2001:db8::1]:9901".parse().unwrap(), tls: false, mptcp: true };
        let mut out = Vec::new();
        six.to_parameter().encode(&mut out).unwrap();
        assert_eq!(RegistrarTcp::all(&[six.to_parameter()]), [six]);
        assert_eq!((out.len(), decode(&out)), (28, Ok(six)));
    }

    #[test]
    fn what_cannot_be_connected_to_is_not_read_and_of_a_hundred_eight_are() {
        let at = |address: &str| RegistrarTcp { address: address.parse().unwrap(), tls: false, mptcp: false };
        let malformed = UnknownParameter { kind: ParameterType::REGISTRAR_TCP, value: vec![0x26] };
        let useless = ["192.0.2.1:0", "0.0.0.0:9901", "[::]:9901", "224.0.1.185:9901", "[ff02::1]:9901"];
        let mut told: Vec<_> = useless.iter().map(|address| at(address).to_parameter()).collect();
        told.push(malformed);
        assert_eq!(RegistrarTcp::all(&told), []);
        told.extend((1..=100).map(|host| at(&format!("192.0.2.{host}:9901")).to_parameter()));
        let read = RegistrarTcp::all(&told);
        assert_eq!((read.len(), read[0]), (8, at("192.0.2.1:9901")));
    }

    #[test]
    fn a_transport_without_address_is_refused_where_it_should_be() {
        let error = decode(&[0x8f, 0x02, 0, 8, 0x26, 0xae, 0, 0]).unwrap_err();
        assert_eq!(error, WireError::MissingParameter { offset: 8, kind: ParameterType::IPV4_ADDRESS });
    }
}
