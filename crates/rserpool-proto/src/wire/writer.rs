//! Writes messages, parameters and error causes: a closure writes the value, the length follows from it.

use super::{CauseCode, EncodeError, ParameterType};

/// Appends a message: type, flags, length, and what `body` writes.
pub(crate) fn message(
    out: &mut Vec<u8>,
    kind: u8,
    flags: u8,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    with_header(out, [kind, flags], body)
}

/// Appends a parameter and pads it with zero octets to a multiple of 4.
pub(crate) fn parameter(
    out: &mut Vec<u8>,
    kind: ParameterType,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    with_header(out, kind.0.to_be_bytes(), body)
}

/// Appends an error cause, padded like a parameter.
pub(crate) fn cause(out: &mut Vec<u8>, code: CauseCode, information: &[u8]) -> Result<(), EncodeError> {
    with_header(out, code.0.to_be_bytes(), |out| {
        out.extend(information);
        Ok(())
    })
}

/// Appends two octets, the 16-bit length of all but the padding, the value, the padding.
fn with_header(
    out: &mut Vec<u8>,
    head: [u8; 2],
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend([head[0], head[1], 0, 0]);
    body(out)?;
    let octets = out.len() - start;
    let length = u16::try_from(octets).map_err(|_| EncodeError::TooLong { octets })?;
    out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
    out.resize(start + octets.next_multiple_of(4), 0);
    Ok(())
}
