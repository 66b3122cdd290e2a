//! ASAP_COOKIE and ASAP_COOKIE_ECHO (RFC 5352 sections 2.2.11 and 2.2.12).
//!
//! ```text
//! | Type = 0x0b or 0x0c |   Flags   |   Length   |
//! :                   cookie                     :
//! ```

use super::MessageType;
use crate::wire::param::{self, ParameterType};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, WireError, writer};

/// A pool element's state, for its successor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cookie {
    /// The octets, which only the pool's elements understand.
    pub cookie: Vec<u8>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl Cookie {
    pub(super) fn decode(_: u8, body: Reader<'_>, report: &mut Report) -> Result<Cookie, WireError> {
        let (cookie, unknown) = decode(body, report)?;
        Ok(Cookie { cookie, unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode(MessageType::COOKIE, &self.cookie, &self.unknown, out)
    }
}

/// The last cookie of a failed pool element, given to its successor by the pool user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CookieEcho {
    /// The octets of the cookie, unmodified.
    pub cookie: Vec<u8>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl CookieEcho {
    pub(super) fn decode(_: u8, body: Reader<'_>, report: &mut Report) -> Result<CookieEcho, WireError> {
        let (cookie, unknown) = decode(body, report)?;
        Ok(CookieEcho { cookie, unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode(MessageType::COOKIE_ECHO, &self.cookie, &self.unknown, out)
    }
}

fn decode(body: Reader<'_>, report: &mut Report) -> Result<(Vec<u8>, Vec<UnknownParameter>), WireError> {
    let end = body.offset() + body.left();
    let mut cookie = None;
    let unknown = parameters(body, report, |found, _| match found.kind {
        ParameterType::COOKIE => found.once(&mut cookie, param::cookie::decode(found)),
        _ => Ok(false),
    })?;
    let missing = WireError::MissingParameter { offset: end, kind: ParameterType::COOKIE };
    Ok((cookie.ok_or(missing)?, unknown))
}

fn encode(
    kind: MessageType,
    cookie: &[u8],
    unknown: &[UnknownParameter],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    writer::message(out, kind.0, 0, |out| {
        param::cookie::encode(cookie, out)?;
        encode_all(unknown, out)
    })
}
