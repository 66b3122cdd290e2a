//! ASAP messages (RFC 5352 section 2.2): one file per family.
//!
//! ```text
//! +---------------+---------------+-------------------------------+
//! |     Type      |     Flags     |  Length (header and value)    |
//! +---------------+---------------+-------------------------------+
//! :                 Value: fields and parameters                  :
//! +---------------------------------------------------------------+
//! ```
//!
//! Flags that have no meaning are sent as zero and ignored (RFC 5354 section 4).

pub mod announce;
pub mod business_card;
pub mod cookie;
pub mod deregistration;
pub mod error;
pub mod handle_resolution;
pub mod keep_alive;
pub mod registration;
pub mod unreachable;

use announce::ServerAnnounce;
use business_card::BusinessCard;
use cookie::{Cookie, CookieEcho};
use deregistration::{Deregistration, DeregistrationResponse};
use error::AsapError;
use handle_resolution::{HandleResolution, HandleResolutionResponse};
use keep_alive::{EndpointKeepAlive, EndpointKeepAliveAck};
use registration::{Registration, RegistrationResponse};
use unreachable::EndpointUnreachable;

use super::message_type::message_types;
use super::reader::Reader;
use super::unknown::{Found, Report, UnknownParameter, parameters};
use super::{EncodeError, ErrorCause, ParameterType, WireError, open_message};
use crate::wire::param::{pe_identifier, pool_handle};
use crate::{PeId, PoolHandle};

macro_rules! messages {
    ($($(#[$doc:meta])* $variant:ident($body:ty), $name:ident = $value:literal, $text:literal;)*) => {
        message_types! {
            /// An ASAP message type (RFC 5352 section 2.2).
            { $($(#[$doc])* $name = $value, $text;)* }
        }

        /// An ASAP message.
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum Message {
            $($(#[$doc])* $variant($body),)*
        }

        impl Message {
            /// Returns the message's type.
            pub fn message_type(&self) -> MessageType {
                match self {
                    $(Message::$variant(_) => MessageType::$name,)*
                }
            }

            fn decode_body(
                kind: MessageType,
                flags: u8,
                body: Reader<'_>,
                report: &mut Report,
            ) -> Result<Message, WireError> {
                match kind {
                    $(MessageType::$name => <$body>::decode(flags, body, report).map(Message::$variant),)*
                    _ => Err(WireError::UnrecognizedMessage { kind: kind.0 }),
                }
            }

            fn encode_any(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                match self {
                    $(Message::$variant(message) => message.encode(out),)*
                }
            }
        }
    };
}

messages! {
    /// A pool element registers or re-registers (section 2.2.1).
    Registration(Registration), REGISTRATION = 0x01, "ASAP_REGISTRATION";
    /// A pool element leaves its pool (section 2.2.2).
    Deregistration(Deregistration), DEREGISTRATION = 0x02, "ASAP_DEREGISTRATION";
    /// Answer to a registration (section 2.2.3).
    RegistrationResponse(RegistrationResponse), REGISTRATION_RESPONSE = 0x03, "ASAP_REGISTRATION_RESPONSE";
    /// Answer to a deregistration, or notice of an expired life (section 2.2.4).
    DeregistrationResponse(DeregistrationResponse), DEREGISTRATION_RESPONSE = 0x04,
        "ASAP_DEREGISTRATION_RESPONSE";
    /// Asks which elements a pool has (section 2.2.5).
    HandleResolution(HandleResolution), HANDLE_RESOLUTION = 0x05, "ASAP_HANDLE_RESOLUTION";
    /// The elements of a pool (section 2.2.6).
    HandleResolutionResponse(HandleResolutionResponse), HANDLE_RESOLUTION_RESPONSE = 0x06,
        "ASAP_HANDLE_RESOLUTION_RESPONSE";
    /// Asks a pool element whether it lives (section 2.2.7).
    EndpointKeepAlive(EndpointKeepAlive), ENDPOINT_KEEP_ALIVE = 0x07, "ASAP_ENDPOINT_KEEP_ALIVE";
    /// A pool element lives (section 2.2.8).
    EndpointKeepAliveAck(EndpointKeepAliveAck), ENDPOINT_KEEP_ALIVE_ACK = 0x08, "ASAP_ENDPOINT_KEEP_ALIVE_ACK";
    /// Reports a pool element that cannot be reached (section 2.2.9).
    EndpointUnreachable(EndpointUnreachable), ENDPOINT_UNREACHABLE = 0x09, "ASAP_ENDPOINT_UNREACHABLE";
    /// A registrar makes itself known (section 2.2.10).
    ServerAnnounce(ServerAnnounce), SERVER_ANNOUNCE = 0x0a, "ASAP_SERVER_ANNOUNCE";
    /// A pool element's state for its successor (section 2.2.11).
    Cookie(Cookie), COOKIE = 0x0b, "ASAP_COOKIE";
    /// The last cookie of a failed pool element (section 2.2.12).
    CookieEcho(CookieEcho), COOKIE_ECHO = 0x0c, "ASAP_COOKIE_ECHO";
    /// Pool handle and preferred order of failover (section 2.2.13).
    BusinessCard(BusinessCard), BUSINESS_CARD = 0x0d, "ASAP_BUSINESS_CARD";
    /// Reports what could not be recognized (section 2.2.14).
    Error(AsapError), ERROR = 0x0e, "ASAP_ERROR";
}

impl Message {
    /// Returns the message in `octets`, which hold it and at most its padding.
    pub fn decode(octets: &[u8]) -> Result<Message, WireError> {
        Message::decode_reporting(octets, &mut Report::default())
    }

    /// Like [`Message::decode`], and collects in `report` what the sender is to be told in an
    /// ASAP_ERROR, whether the message can be processed or not (RFC 5352 section 2.2.14).
    pub fn decode_reporting(octets: &[u8], report: &mut Report) -> Result<Message, WireError> {
        open_message(octets, report, |kind, flags, body, report| {
            Message::decode_body(MessageType(kind), flags, body, report)
        })
    }

    /// Appends the message; on failure `out` is as before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        self.encode_any(out).inspect_err(|_| out.truncate(start))
    }

    /// Returns the octets of the message.
    pub fn to_octets(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(USUAL);
        self.encode(&mut out)?;
        Ok(out)
    }
}

/// Most messages have no more octets.
const USUAL: usize = 128;

/// What most ASAP messages consist of: a pool handle, and often a PE identifier and an operation error.
struct Common {
    pool: PoolHandle,
    pe: Option<PeId>,
    causes: Option<Vec<ErrorCause>>,
    unknown: Vec<UnknownParameter>,
    end: usize,
}

impl Common {
    /// Reads the common parameters and leaves the others to `more`.
    fn decode(
        body: Reader<'_>,
        report: &mut Report,
        mut more: impl FnMut(&Found<'_>, &mut Report) -> Result<bool, WireError>,
    ) -> Result<Common, WireError> {
        let end = body.offset() + body.left();
        let (mut pool, mut pe, mut causes) = (None, None, None);
        let unknown = parameters(body, report, |found, report| match found.kind {
            ParameterType::POOL_HANDLE => found.once(&mut pool, pool_handle::decode(found)?),
            ParameterType::PE_IDENTIFIER => found.once(&mut pe, pe_identifier::decode(found)?),
            ParameterType::OPERATION_ERROR => {
                found.once(&mut causes, super::param::operation_error::decode(found)?)
            }
            _ => more(found, report),
        })?;
        let missing = WireError::MissingParameter { offset: end, kind: ParameterType::POOL_HANDLE };
        Ok(Common { pool: pool.ok_or(missing)?, pe, causes, unknown, end })
    }

    fn pe(&self) -> Result<PeId, WireError> {
        let missing = WireError::MissingParameter { offset: self.end, kind: ParameterType::PE_IDENTIFIER };
        self.pe.ok_or(missing)
    }
}

/// For messages without further parameters.
fn nothing_more(_: &Found<'_>, _: &mut Report) -> Result<bool, WireError> {
    Ok(false)
}

#[cfg(test)]
mod tests;
