//! ENRP messages (RFC 5353 section 2): one file per family.
//!
//! ```text
//! +---------------+---------------+-------------------------------+
//! |     Type      |     Flags     |  Length (header and value)    |
//! +---------------+---------------+-------------------------------+
//! |                     Sending Server's ID                       |
//! |                    Receiving Server's ID                      |
//! +---------------------------------------------------------------+
//! :                 Value: fields and parameters                  :
//! +---------------------------------------------------------------+
//! ```
//!
//! The receiver is zero when everybody is meant, and may be zero otherwise (section 2.1). Flags that have no
//! meaning are sent as zero and ignored (RFC 5354 section 4).

pub mod error;
pub mod handle_table;
pub mod handle_update;
pub mod list;
pub mod presence;
pub mod takeover;

use error::EnrpError;
use handle_table::{HandleTableRequest, HandleTableResponse};
use handle_update::HandleUpdate;
use list::{ListRequest, ListResponse};
use presence::Presence;
use takeover::{InitTakeover, InitTakeoverAck, TakeoverServer};

use super::message_type::message_types;
use super::reader::Reader;
use super::unknown::{Found, Report, UnknownParameter, parameters};
use super::{EncodeError, WireError, open_message, writer};
use crate::RegistrarId;

macro_rules! messages {
    ($($(#[$doc:meta])* $body:ident, $name:ident = $value:literal, $text:literal;)*) => {
        message_types! {
            /// An ENRP message type (RFC 5353 section 2, figure 1).
            { $($(#[$doc])* $name = $value, $text;)* }
        }

        /// What an ENRP message says, apart from who tells it to whom.
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum Body {
            $($(#[$doc])* $body($body),)*
        }

        impl Body {
            /// Returns the type of the message.
            pub fn message_type(&self) -> MessageType {
                match self {
                    $(Body::$body(_) => MessageType::$name,)*
                }
            }

            fn flags(&self) -> u8 {
                match self {
                    $(Body::$body(body) => body.flags(),)*
                }
            }

            fn decode(
                kind: MessageType,
                flags: u8,
                body: Reader<'_>,
                report: &mut Report,
            ) -> Result<Body, WireError> {
                match kind {
                    $(MessageType::$name => <$body>::decode(flags, body, report).map(Body::$body),)*
                    _ => Err(WireError::UnrecognizedMessage { kind: kind.0 }),
                }
            }

            fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                match self {
                    $(Body::$body(body) => body.encode(out),)*
                }
            }
        }

        $(impl From<$body> for Body {
            fn from(body: $body) -> Body {
                Body::$body(body)
            }
        })*
    };
}

messages! {
    /// A registrar lives (section 2.1).
    Presence, PRESENCE = 0x01, "ENRP_PRESENCE";
    /// Asks for a copy of the handlespace (section 2.2).
    HandleTableRequest, HANDLE_TABLE_REQUEST = 0x02, "ENRP_HANDLE_TABLE_REQUEST";
    /// A part of the handlespace (section 2.3).
    HandleTableResponse, HANDLE_TABLE_RESPONSE = 0x03, "ENRP_HANDLE_TABLE_RESPONSE";
    /// A pool element was added, changed or removed (section 2.4).
    HandleUpdate, HANDLE_UPDATE = 0x04, "ENRP_HANDLE_UPDATE";
    /// Asks which registrars there are (section 2.5).
    ListRequest, LIST_REQUEST = 0x05, "ENRP_LIST_REQUEST";
    /// The known registrars (section 2.6).
    ListResponse, LIST_RESPONSE = 0x06, "ENRP_LIST_RESPONSE";
    /// A registrar wants to take over a dead one (section 2.7).
    InitTakeover, INIT_TAKEOVER = 0x07, "ENRP_INIT_TAKEOVER";
    /// No objection to a takeover (section 2.8).
    InitTakeoverAck, INIT_TAKEOVER_ACK = 0x08, "ENRP_INIT_TAKEOVER_ACK";
    /// A registrar has taken over a dead one (section 2.9).
    TakeoverServer, TAKEOVER_SERVER = 0x09, "ENRP_TAKEOVER_SERVER";
    /// Reports what could not be recognized (section 2.10).
    EnrpError, ERROR = 0x0a, "ENRP_ERROR";
}

/// An ENRP message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Who sends it.
    pub sender: RegistrarId,
    /// Whom it is for; zero for everybody.
    pub receiver: RegistrarId,
    /// What it says.
    pub body: Body,
}

impl Message {
    /// Returns the message's type.
    pub fn message_type(&self) -> MessageType {
        self.body.message_type()
    }

    /// Returns the message in `octets`, which hold it and at most its padding.
    pub fn decode(octets: &[u8]) -> Result<Message, WireError> {
        Message::decode_reporting(octets, &mut Report::default())
    }

    /// Like [`Message::decode`], and collects in `report` what the sender is to be told in an
    /// ENRP_ERROR, whether the message can be processed or not (RFC 5353 section 3.7).
    pub fn decode_reporting(octets: &[u8], report: &mut Report) -> Result<Message, WireError> {
        open_message(octets, report, |kind, flags, mut body, report| {
            let kind = MessageType(kind);
            if kind.name() == "unknown" {
                return Err(WireError::UnrecognizedMessage { kind: kind.0 });
            }
            let (sender, receiver) = (RegistrarId(body.u32()?), RegistrarId(body.u32()?));
            Ok(Message { sender, receiver, body: Body::decode(kind, flags, body, report)? })
        })
    }

    /// Appends the message; on failure `out` is as before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let (kind, flags) = (self.message_type().0, self.body.flags());
        writer::message(out, kind, flags, |out| {
            out.extend(self.sender.0.to_be_bytes());
            out.extend(self.receiver.0.to_be_bytes());
            self.body.encode(out)
        })
        .inspect_err(|_| out.truncate(start))
    }

    /// Returns the octets of the message.
    pub fn to_octets(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.encode(&mut out)?;
        Ok(out)
    }
}

/// For messages without parameters.
fn no_parameters(body: Reader<'_>, report: &mut Report) -> Result<Vec<UnknownParameter>, WireError> {
    let nothing = |_: &Found<'_>, _: &mut Report| Ok(false);
    parameters(body, report, nothing)
}

#[cfg(test)]
mod tests;
