//! The wire format of ASAP (RFC 5352 section 2, RFC 5354).
//!
//! [`Message::decode`] checks a whole message before anything is returned; what is skipped by
//! rule is kept in the `unknown` fields, so that decoding and encoding lose nothing. Order of
//! parameters: written as in the RFC's figures, read in any order.
//!
//! Tolerated: a missing padding of the last parameter; an error cause without its information;
//! the PE identifier in ASAP_ENDPOINT_KEEP_ALIVE and the policy in ASAP_BUSINESS_CARD, which the
//! reference implementation adds.

pub mod asap;
pub mod param;

mod error;
mod reader;
mod unknown;
mod writer;

// ENRP (RFC 5353, PPID 12) has type numbers of its own, so its messages belong in a module `enrp`
// beside `asap` with an enum of their own; framing, parameters and the rules for unknown
// types are shared.

pub use asap::{Message, MessageType};
pub use error::{EncodeError, WireError};
pub use param::ParameterType;
pub use param::operation_error::{CauseCode, ErrorCause};
pub use param::policy::{Load, Policy, PolicyType};
pub use param::pool_element::{LifeUnit, PoolElementParameter, RegistrationLife};
pub use param::transport::{SctpTransport, TcpTransport, Transport, TransportUse};
pub use unknown::{ParameterRule, Report, UnknownParameter};
