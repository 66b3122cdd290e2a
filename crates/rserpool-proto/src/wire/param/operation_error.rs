//! Operation error parameter and its error causes (RFC 5354 section 3.12).
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x000c         |            Length             |
//! +-------------------------------+-------------------------------+
//! |          Cause Code           |         Cause Length          |
//! +-------------------------------+-------------------------------+
//! :     Cause-specific information, padded; then more causes      :
//! +---------------------------------------------------------------+
//! ```
//!
//! A cause keeps its information as octets: the reference implementation leaves out what the RFC
//! demands (cause 5 comes without the policy) and has private causes.

use std::fmt;

use super::ParameterType;
use super::policy::Policy;
use super::transport::Transport;
use crate::wire::reader::Reader;
use crate::wire::unknown::{Found, Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, WireError, writer};

/// An error cause code (RFC 5354 section 3.12, table 2).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CauseCode(pub u16);

macro_rules! cause_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl CauseCode {
            $($(#[$doc])* pub const $name: CauseCode = CauseCode($value);)*

            /// Returns the cause's name as a metric label, `other` for causes the RFC does not have.
            pub const fn label(self) -> &'static str {
                match self {
                    $(CauseCode::$name => $text,)*
                    CauseCode(_) => "other",
                }
            }
        }
    };
}

cause_codes! {
    /// Unspecified error.
    UNSPECIFIED = 0x0, "unspecified";
    /// Unrecognized parameter; carries it.
    UNRECOGNIZED_PARAMETER = 0x1, "unrecognized_parameter";
    /// Unrecognized message; carries it.
    UNRECOGNIZED_MESSAGE = 0x2, "unrecognized_message";
    /// Invalid values; carries the parameter that has them.
    INVALID_VALUES = 0x3, "invalid_values";
    /// Non-unique PE identifier.
    NON_UNIQUE_PE_ID = 0x4, "non_unique_pe_identifier";
    /// Inconsistent pooling policy; carries the pool's policy.
    INCONSISTENT_POLICY = 0x5, "inconsistent_policy";
    /// Lack of resources.
    LACK_OF_RESOURCES = 0x6, "lack_of_resources";
    /// Inconsistent transport type; carries a transport of the pool.
    INCONSISTENT_TRANSPORT = 0x7, "inconsistent_transport";
    /// Inconsistent data/control configuration.
    INCONSISTENT_DATA_CONTROL = 0x8, "inconsistent_data_control";
    /// Unknown pool handle.
    UNKNOWN_POOL_HANDLE = 0x9, "unknown_pool_handle";
    /// Rejected due to security considerations.
    SECURITY = 0xa, "security";
}

impl fmt::Display for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label() {
            "other" => write!(f, "cause {:#06x}", self.0),
            label => f.write_str(&label.replace('_', " ")),
        }
    }
}

impl fmt::Debug for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CauseCode({self})")
    }
}

/// One error cause.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ErrorCause {
    /// What went wrong.
    pub code: CauseCode,
    /// The details, as the code demands; may be missing.
    pub information: Vec<u8>,
}

impl ErrorCause {
    /// Returns a cause without information.
    pub const fn plain(code: CauseCode) -> ErrorCause {
        ErrorCause { code, information: Vec::new() }
    }

    /// Returns cause 1 for a whole parameter, header included.
    pub fn unrecognized_parameter(parameter: &[u8]) -> ErrorCause {
        ErrorCause { code: CauseCode::UNRECOGNIZED_PARAMETER, information: parameter.to_vec() }
    }

    /// Returns cause 2 for a whole message, header included.
    pub fn unrecognized_message(message: &[u8]) -> ErrorCause {
        ErrorCause { code: CauseCode::UNRECOGNIZED_MESSAGE, information: message.to_vec() }
    }

    /// Returns cause 3 for a whole parameter, header included.
    pub fn invalid_values(parameter: &[u8]) -> ErrorCause {
        ErrorCause { code: CauseCode::INVALID_VALUES, information: parameter.to_vec() }
    }

    /// Returns cause 5 with the pool's policy.
    pub fn inconsistent_policy(pool: &Policy) -> ErrorCause {
        let mut information = Vec::new();
        // A policy that does not fit is left out, which receivers tolerate.
        let _ = pool.encode(&mut information);
        ErrorCause { code: CauseCode::INCONSISTENT_POLICY, information }
    }

    /// Returns cause 7 with a transport of the pool.
    pub fn inconsistent_transport(pool: &Transport) -> ErrorCause {
        let mut information = Vec::new();
        // As above.
        let _ = pool.encode(&mut information);
        ErrorCause { code: CauseCode::INCONSISTENT_TRANSPORT, information }
    }

    /// Returns the policy in the information of a cause 5, if it is there.
    pub fn policy(&self) -> Option<Policy> {
        let mut policy = None;
        parameters(Reader::new(&self.information), &mut Report::default(), |found, _| match found.kind {
            ParameterType::POLICY => found.once(&mut policy, Policy::decode(found)?),
            _ => Ok(false),
        })
        .ok()?;
        policy
    }

    /// Returns the transport in the information of a cause 7, if it is there.
    pub fn transport(&self) -> Option<Transport> {
        let mut transport = None;
        parameters(Reader::new(&self.information), &mut Report::default(), |found, report| {
            match Transport::decode(found, report)? {
                Some(value) => found.once(&mut transport, value),
                None => Ok(false),
            }
        })
        .ok()?;
        transport
    }
}

impl fmt::Display for ErrorCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)
    }
}

/// Returns the causes of an operation error parameter.
pub(crate) fn decode(found: &Found<'_>) -> Result<Vec<ErrorCause>, WireError> {
    let mut value = found.value.clone();
    let mut causes = Vec::new();
    while value.left() > 0 {
        let offset = value.offset();
        let code = CauseCode(value.u16()?);
        let length = value.u16()?;
        let Some(size) = usize::from(length).checked_sub(4).filter(|&size| size <= value.left()) else {
            return Err(WireError::CauseLength { offset, length });
        };
        causes.push(ErrorCause { code, information: value.take(size)?.to_vec() });
        let padding = (size.next_multiple_of(4) - size).min(value.left());
        value.take(padding)?;
    }
    Ok(causes)
}

pub(crate) fn encode(causes: &[ErrorCause], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    writer::parameter(out, ParameterType::OPERATION_ERROR, |out| {
        causes.iter().try_for_each(|cause| writer::cause(out, cause.code, &cause.information))
    })
}

/// Returns what an error message of either protocol consists of: its causes, and the parameters that were skipped
/// (RFC 5352 section 2.2.14, RFC 5353 section 2.10).
pub(crate) fn decode_message(
    body: Reader<'_>,
    report: &mut Report,
) -> Result<(Vec<ErrorCause>, Vec<UnknownParameter>), WireError> {
    let missing = WireError::MissingParameter {
        offset: body.offset() + body.left(),
        kind: ParameterType::OPERATION_ERROR,
    };
    let mut causes = None;
    let unknown = parameters(body, report, |found, _| match found.kind {
        ParameterType::OPERATION_ERROR => found.once(&mut causes, decode(found)?),
        _ => Ok(false),
    })?;
    Ok((causes.ok_or(missing)?, unknown))
}

/// Appends what [`decode_message`] reads.
pub(crate) fn encode_message(
    causes: &[ErrorCause],
    unknown: &[UnknownParameter],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    encode(causes, out)?;
    encode_all(unknown, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;
    use crate::wire::asap::error::AsapError;

    fn causes(octets: &[u8]) -> Result<Vec<ErrorCause>, WireError> {
        match Message::decode(octets)? {
            Message::Error(AsapError { causes, .. }) => Ok(causes),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_captured_unrecognized_parameter_carries_the_whole_parameter() {
        let captured =
            [0x0e, 0, 0, 0x14, 0, 0x0c, 0, 0x10, 0, 1, 0, 0x0c, 0x4b, 0xbb, 0, 8, 0xde, 0xad, 0xbe, 0xef];
        let expected = ErrorCause::unrecognized_parameter(&[0x4b, 0xbb, 0, 8, 0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(causes(&captured).unwrap(), [expected]);
    }

    #[test]
    fn a_captured_inconsistent_policy_without_the_policy_is_tolerated() {
        let cause = ErrorCause::plain(CauseCode::INCONSISTENT_POLICY);
        assert_eq!(cause.policy(), None);
        assert_eq!(causes(&[0x0e, 0, 0, 0x0c, 0, 0x0c, 0, 8, 0, 5, 0, 4]).unwrap(), [cause]);
    }

    #[test]
    fn policy_and_transport_of_the_pool_can_be_read_back() {
        let policy = Policy::LeastUsed { load: super::super::policy::Load(9) };
        assert_eq!(ErrorCause::inconsistent_policy(&policy).policy(), Some(policy));
        let opaque = Transport::Opaque(super::super::transport::OpaqueTransport { octets: vec![1] });
        assert_eq!(ErrorCause::inconsistent_transport(&opaque).transport(), Some(opaque));
    }

    #[test]
    fn a_cause_shorter_than_its_header_is_refused_with_its_offset() {
        let error = causes(&[0x0e, 0, 0, 0x0c, 0, 0x0c, 0, 8, 0, 5, 0, 3]).unwrap_err();
        assert_eq!(error, WireError::CauseLength { offset: 8, length: 3 });
    }
}
