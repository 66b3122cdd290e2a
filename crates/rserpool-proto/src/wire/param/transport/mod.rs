//! The transport parameters (RFC 5354 sections 3.3 to 3.7 and 3.16), one file each.
//!
//! All have a port, two octets of transport use or reserved, and addresses, except opaque.

mod dccp;
mod opaque;
mod sctp;
mod tcp;
mod udp;
mod udp_lite;

use std::net::IpAddr;

pub use dccp::DccpTransport;
pub use opaque::OpaqueTransport;
pub use sctp::{MAX_ADDRESSES, SctpTransport};
pub use tcp::TcpTransport;
pub use udp::UdpTransport;
pub use udp_lite::UdpLiteTransport;

use super::{ParameterType, address};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Found, Report, UnknownParameter, parameters};
use crate::wire::{EncodeError, WireError};

/// How a pool element uses a transport (RFC 5354 section 3.4).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TransportUse(pub u16);

impl TransportUse {
    /// Data only: no cookies, no business cards.
    pub const DATA_ONLY: TransportUse = TransportUse(0);
    /// Data plus the control channel of ASAP.
    pub const DATA_PLUS_CONTROL: TransportUse = TransportUse(1);
}

impl std::fmt::Display for TransportUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            TransportUse::DATA_ONLY => f.write_str("data only"),
            TransportUse::DATA_PLUS_CONTROL => f.write_str("data plus control"),
            TransportUse(other) => write!(f, "transport use {other}"),
        }
    }
}

/// One transport of a pool element or a registrar.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Transport {
    /// DCCP (section 3.3).
    Dccp(DccpTransport),
    /// SCTP (section 3.4).
    Sctp(SctpTransport),
    /// TCP (section 3.5).
    Tcp(TcpTransport),
    /// UDP (section 3.6).
    Udp(UdpTransport),
    /// UDP-Lite (section 3.7).
    UdpLite(UdpLiteTransport),
    /// Anything else the pool agrees on (section 3.16).
    Opaque(OpaqueTransport),
}

impl Transport {
    /// Returns the parameter type, which tells the transport protocol.
    pub fn kind(&self) -> ParameterType {
        match self {
            Transport::Dccp(_) => ParameterType::DCCP_TRANSPORT,
            Transport::Sctp(_) => ParameterType::SCTP_TRANSPORT,
            Transport::Tcp(_) => ParameterType::TCP_TRANSPORT,
            Transport::Udp(_) => ParameterType::UDP_TRANSPORT,
            Transport::UdpLite(_) => ParameterType::UDP_LITE_TRANSPORT,
            Transport::Opaque(_) => ParameterType::OPAQUE_TRANSPORT,
        }
    }

    /// Returns how the transport is used; only SCTP can carry control (section 3.4).
    pub fn transport_use(&self) -> TransportUse {
        match self {
            Transport::Sctp(sctp) => sctp.transport_use,
            Transport::Dccp(_)
            | Transport::Tcp(_)
            | Transport::Udp(_)
            | Transport::UdpLite(_)
            | Transport::Opaque(_) => TransportUse::DATA_ONLY,
        }
    }

    /// Returns the addresses, none for an opaque transport.
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Transport::Sctp(sctp) => &sctp.addresses,
            Transport::Dccp(dccp) => std::slice::from_ref(&dccp.address),
            Transport::Tcp(tcp) => std::slice::from_ref(&tcp.address),
            Transport::Udp(udp) => std::slice::from_ref(&udp.address),
            Transport::UdpLite(lite) => std::slice::from_ref(&lite.address),
            Transport::Opaque(_) => &[],
        }
    }

    /// Returns the port, none for an opaque transport.
    pub fn port(&self) -> Option<u16> {
        match self {
            Transport::Sctp(sctp) => Some(sctp.port),
            Transport::Dccp(dccp) => Some(dccp.port),
            Transport::Tcp(tcp) => Some(tcp.port),
            Transport::Udp(udp) => Some(udp.port),
            Transport::UdpLite(lite) => Some(lite.port),
            Transport::Opaque(_) => None,
        }
    }

    /// Returns the transport in `found`, or `None` when it is no transport parameter.
    pub(crate) fn decode(found: &Found<'_>, report: &mut Report) -> Result<Option<Transport>, WireError> {
        let value = found.value.clone();
        let transport = match found.kind {
            ParameterType::DCCP_TRANSPORT => Transport::Dccp(DccpTransport::decode(value, report)?),
            ParameterType::SCTP_TRANSPORT => Transport::Sctp(SctpTransport::decode(value, report)?),
            ParameterType::TCP_TRANSPORT => Transport::Tcp(TcpTransport::decode(value, report)?),
            ParameterType::UDP_TRANSPORT => Transport::Udp(UdpTransport::decode(value, report)?),
            ParameterType::UDP_LITE_TRANSPORT => Transport::UdpLite(UdpLiteTransport::decode(value, report)?),
            ParameterType::OPAQUE_TRANSPORT => Transport::Opaque(OpaqueTransport::decode(value)),
            _ => return Ok(None),
        };
        Ok(Some(transport))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Transport::Dccp(dccp) => dccp.encode(out),
            Transport::Sctp(sctp) => sctp.encode(out),
            Transport::Tcp(tcp) => tcp.encode(out),
            Transport::Udp(udp) => udp.encode(out),
            Transport::UdpLite(lite) => lite.encode(out),
            Transport::Opaque(opaque) => opaque.encode(out),
        }
    }
}

/// Reads the one address of a transport that has exactly one, and what is skipped around it.
fn one_address(body: Reader<'_>, report: &mut Report) -> Result<(IpAddr, Vec<UnknownParameter>), WireError> {
    let mut address = None;
    let mut end = body.clone();
    end.rest();
    let unknown = parameters(body, report, |found, _| match address::decode(found)? {
        Some(value) => found.once(&mut address, value),
        None => Ok(false),
    })?;
    let missing = WireError::MissingParameter { offset: end.offset(), kind: ParameterType::IPV4_ADDRESS };
    Ok((address.ok_or(missing)?, unknown))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn decode(octets: &[u8]) -> Result<Transport, WireError> {
        let mut transport = None;
        parameters(Reader::new(octets), &mut Report::default(), |found, report| {
            match Transport::decode(found, report)? {
                Some(value) => found.once(&mut transport, value),
                None => Ok(false),
            }
        })?;
        Ok(transport.expect("a transport parameter"))
    }

    /// Decodes, encodes, and expects the same octets again.
    pub(crate) fn round_trip(octets: &[u8]) -> Transport {
        let transport = decode(octets).unwrap();
        let mut out = Vec::new();
        transport.encode(&mut out).unwrap();
        assert_eq!(out, octets);
        transport
    }
}
