//! The wire formats of ASAP (RFC 5352 section 2) and ENRP (RFC 5353 section 2), and their parameters (RFC 5354).
//!
//! [`Message::decode`] and [`enrp::Message::decode`] check a whole message before anything is returned; what is skipped by
//! rule is kept in the `unknown` fields, so that decoding and encoding lose nothing. Order of
//! parameters: written as in the RFC's figures, read in any order.
//!
//! Tolerated: a missing padding of the last parameter; an error cause without its information;
//! the PE identifier in ASAP_ENDPOINT_KEEP_ALIVE and the policy in ASAP_BUSINESS_CARD, which the
//! reference implementation adds.

pub mod asap;
pub mod enrp;
pub mod param;

mod error;
mod message_type;
mod reader;
mod unknown;
mod writer;

pub use asap::{Message, MessageType};
pub use error::{EncodeError, WireError};
pub use param::ParameterType;
pub use param::operation_error::{CauseCode, ErrorCause};
pub use param::policy::{Load, Policy, PolicyType};
pub use param::pool_element::{LifeUnit, PoolElementParameter, RegistrationLife};
pub use param::transport::{SctpTransport, TcpTransport, Transport, TransportUse};
pub use unknown::{ParameterRule, Report, UnknownParameter};

use reader::Reader;

/// Reads the header of a message and hands its type, its flags and what follows to `decode`; a message of unknown
/// type is reported if its upper bits are `01` (RFC 5354 section 4).
fn open_message<M>(
    octets: &[u8],
    report: &mut Report,
    decode: impl FnOnce(u8, u8, Reader<'_>, &mut Report) -> Result<M, WireError>,
) -> Result<M, WireError> {
    let mut reader = Reader::new(octets);
    let (kind, flags) = (reader.u8()?, reader.u8()?);
    let length = reader.u16()?;
    let end = usize::from(length);
    if end < 4 || end > octets.len() {
        return Err(WireError::MessageLength { length, octets: octets.len() });
    }
    if octets.len() > end.next_multiple_of(4) {
        return Err(WireError::TrailingOctets { offset: end, extra: octets.len() - end });
    }
    let decoded = decode(kind, flags, reader.window(end - 4)?, report);
    if matches!(decoded, Err(WireError::UnrecognizedMessage { .. })) && kind >> 6 == 1 {
        report.add(ErrorCause::unrecognized_message(&octets[..end]));
    }
    decoded
}
