//! What can be wrong with a message, with the octet where it was found.

use super::ParameterType;

/// Says why octets are not a message we can process; `offset` counts from the message's first octet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A field reaches beyond what contains it.
    #[error("octet {offset}: {needed} octets needed, {left} left")]
    Truncated {
        /// Where the field starts.
        offset: usize,
        /// How many octets it has.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// The message length is below 4 or beyond the octets received.
    #[error("octet 2: message length {length} does not fit {octets} octets")]
    MessageLength {
        /// Value of the length field.
        length: u16,
        /// Octets received.
        octets: usize,
    },
    /// More than the padding follows the message.
    #[error("octet {offset}: {extra} octets follow the message")]
    TrailingOctets {
        /// Where the message ends.
        offset: usize,
        /// How many octets follow.
        extra: usize,
    },
    /// A parameter's length is below 4, beyond its container, or not what its type has.
    #[error("octet {offset}: {kind} has length {length}")]
    ParameterLength {
        /// Where the parameter starts.
        offset: usize,
        /// Its type.
        kind: ParameterType,
        /// Value of its length field.
        length: u16,
    },
    /// An error cause's length is below 4 or beyond its parameter.
    #[error("octet {offset}: error cause has length {length}")]
    CauseLength {
        /// Where the cause starts.
        offset: usize,
        /// Value of its length field.
        length: u16,
    },
    /// A mandatory parameter is missing.
    #[error("octet {offset}: {kind} is missing")]
    MissingParameter {
        /// Where the container ends.
        offset: usize,
        /// The type that is missing.
        kind: ParameterType,
    },
    /// A parameter that may be there once is there twice.
    #[error("octet {offset}: second {kind}")]
    DuplicateParameter {
        /// Where the second one starts.
        offset: usize,
        /// Its type.
        kind: ParameterType,
    },
    /// A transport lists more addresses than accepted.
    #[error("octet {offset}: more than {limit} addresses")]
    TooManyAddresses {
        /// Where the first address beyond the limit starts.
        offset: usize,
        /// The limit.
        limit: usize,
    },
    /// A parameter's type is not known here and its upper bits say to stop (RFC 5354 section 3).
    #[error("octet {offset}: unrecognized {kind}")]
    UnrecognizedParameter {
        /// Where the parameter starts.
        offset: usize,
        /// Its type.
        kind: ParameterType,
    },
    /// The message type is not known (RFC 5354 section 4).
    #[error("octet 0: unrecognized message type {kind:#04x}")]
    UnrecognizedMessage {
        /// The message type.
        kind: u8,
    },
}

/// Says why a message cannot be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Something is longer than its 16-bit length field can say.
    #[error("{octets} octets do not fit a 16-bit length field")]
    TooLong {
        /// How long it would be.
        octets: usize,
    },
}
