//! Cookie parameter (RFC 5354 section 3.13): octets only the pool's elements understand.

use super::ParameterType;
use crate::wire::unknown::Found;
use crate::wire::{EncodeError, writer};

pub(crate) fn decode(found: &Found<'_>) -> Vec<u8> {
    found.value.clone().rest().to_vec()
}

pub(crate) fn encode(cookie: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    writer::parameter(out, ParameterType::COOKIE, |out| {
        out.extend(cookie);
        Ok(())
    })
}
