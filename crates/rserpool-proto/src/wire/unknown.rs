//! What happens to parameters and messages whose type is not known (RFC 5354 sections 3 and 4).
//!
//! The two highest bits of a type tell a receiver that does not know it what to do. The rules
//! apply to nested parameters too. A parameter that is known, but not where it stands, is
//! treated as unknown there.

use super::reader::Reader;
use super::writer;
use super::{EncodeError, ErrorCause, ParameterType, WireError};

/// What the two highest bits of an unknown parameter type ask for (RFC 5354 section 3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParameterRule {
    /// `00`: stop, discard the message, say nothing.
    Stop,
    /// `01`: stop, discard the message, report the parameter.
    StopAndReport,
    /// `10`: skip the parameter.
    Skip,
    /// `11`: skip the parameter and report it.
    SkipAndReport,
}

impl ParameterRule {
    /// Returns the rule in the two highest bits of `kind`.
    pub const fn of(kind: ParameterType) -> ParameterRule {
        match kind.0 >> 14 {
            0 => ParameterRule::Stop,
            1 => ParameterRule::StopAndReport,
            2 => ParameterRule::Skip,
            _ => ParameterRule::SkipAndReport,
        }
    }
}

/// A skipped parameter, kept so that it survives decoding and encoding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownParameter {
    /// Its type.
    pub kind: ParameterType,
    /// Its value without header and padding.
    pub value: Vec<u8>,
}

impl UnknownParameter {
    /// Decodes it after all: an extension of ours stays among what was skipped until it is asked for. Offsets of
    /// errors count from its own begin.
    pub(crate) fn read<T>(
        &self,
        decode: impl Fn(&Found<'_>) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        let mut octets = Vec::new();
        // It has been decoded, so it fits.
        let _ = self.encode(&mut octets);
        let mut read = None;
        parameters(Reader::new(&octets), &mut Report::default(), |found, _| {
            found.once(&mut read, decode(found)?)
        })?;
        read.ok_or(WireError::MissingParameter { offset: 0, kind: self.kind })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, self.kind, |out| {
            out.extend(&self.value);
            Ok(())
        })
    }
}

pub(crate) fn encode_all(unknown: &[UnknownParameter], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    unknown.iter().try_for_each(|parameter| parameter.encode(out))
}

/// The error causes a message deserves, collected while it is decoded; the receiver
/// answers them in one ASAP_ERROR (RFC 5352 section 2.2.14).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    causes: Vec<ErrorCause>,
    octets: usize,
    blamed: bool,
}

impl Report {
    /// The causes of one report together have at most this many octets, so that the answer fits a message.
    pub const MAX_OCTETS: usize = 32_768;

    /// Returns the causes in the order they were found.
    pub fn causes(&self) -> &[ErrorCause] {
        &self.causes
    }

    /// Returns whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.causes.is_empty()
    }

    pub(crate) fn add(&mut self, cause: ErrorCause) {
        let octets = cause.information.len() + 4;
        if self.octets + octets <= Self::MAX_OCTETS {
            self.octets += octets;
            self.causes.push(cause);
        }
    }

    /// Reports the innermost parameter that holds the malformed value.
    fn blame(&mut self, parameter: &[u8], error: WireError) {
        let stopped = matches!(error, WireError::UnrecognizedParameter { .. });
        if !stopped && !std::mem::replace(&mut self.blamed, true) {
            self.add(ErrorCause::invalid_values(parameter));
        }
    }
}

/// One parameter as found: its type, where it starts, its value, its octets without padding.
pub(crate) struct Found<'a> {
    pub(crate) kind: ParameterType,
    pub(crate) offset: usize,
    pub(crate) value: Reader<'a>,
    pub(crate) octets: &'a [u8],
}

impl Found<'_> {
    /// The error for a value whose size its type does not have.
    pub(crate) fn wrong_length(&self) -> WireError {
        let length = u16::try_from(self.octets.len()).unwrap_or(u16::MAX);
        WireError::ParameterLength { offset: self.offset, kind: self.kind, length }
    }

    /// Stores `value` in `place`, which must be empty.
    pub(crate) fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<bool, WireError> {
        if place.is_some() {
            return Err(WireError::DuplicateParameter { offset: self.offset, kind: self.kind });
        }
        *place = Some(value);
        Ok(true)
    }
}

/// Hands every parameter of `body` to `known` and returns the skipped ones.
///
/// `known` returns whether it knows the type here; the rules above decide about the others.
pub(crate) fn parameters<'a>(
    mut body: Reader<'a>,
    report: &mut Report,
    mut known: impl FnMut(&Found<'a>, &mut Report) -> Result<bool, WireError>,
) -> Result<Vec<UnknownParameter>, WireError> {
    let mut skipped = Vec::new();
    while body.left() > 0 {
        let found = next(&mut body)?;
        let taken = known(&found, report).inspect_err(|&error| report.blame(found.octets, error))?;
        if taken {
            continue;
        }
        let rule = ParameterRule::of(found.kind);
        if matches!(rule, ParameterRule::StopAndReport | ParameterRule::SkipAndReport) {
            report.add(ErrorCause::unrecognized_parameter(found.octets));
        }
        if matches!(rule, ParameterRule::Stop | ParameterRule::StopAndReport) {
            return Err(WireError::UnrecognizedParameter { offset: found.offset, kind: found.kind });
        }
        skipped.push(UnknownParameter { kind: found.kind, value: found.value.clone().rest().to_vec() });
    }
    Ok(skipped)
}

/// Reads one parameter and its padding; the last one's padding may be missing.
fn next<'a>(body: &mut Reader<'a>) -> Result<Found<'a>, WireError> {
    let offset = body.offset();
    let mut peek = body.clone();
    let kind = ParameterType(peek.u16()?);
    let length = peek.u16()?;
    if length < 4 || usize::from(length) > body.left() {
        return Err(WireError::ParameterLength { offset, kind, length });
    }
    let octets = body.take(length.into())?;
    let value = peek.window(usize::from(length) - 4)?;
    let padding = (usize::from(length).next_multiple_of(4) - usize::from(length)).min(body.left());
    body.take(padding)?;
    Ok(Found { kind, offset, value, octets })
}
