//! Why a message is refused (RFC 7011 section 9.1: such a message is discarded whole).

/// What is wrong with a message, and at which octet of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are fewer octets than a message header has.
    #[error("octet 0: {octets} octets are too few for a message header")]
    Header {
        /// Octets given.
        octets: usize,
    },
    /// The version is not 10.
    #[error("octet 0: version {version} is not 10")]
    Version {
        /// Version found.
        version: u16,
    },
    /// The length field is not the number of octets given.
    #[error("octet 2: message length {length} but {octets} octets")]
    MessageLength {
        /// Length found.
        length: u16,
        /// Octets given.
        octets: usize,
    },
    /// The message ends within a set header.
    #[error("octet {offset}: {octets} octets are too few for a set header")]
    SetHeader {
        /// Where the set header starts.
        offset: usize,
        /// Octets left.
        octets: usize,
    },
    /// A set's length is below its own header's, or crosses the end of the message.
    #[error("octet {offset}: set length {length} but {octets} octets are left")]
    SetLength {
        /// Where the length field is.
        offset: usize,
        /// Length found.
        length: u16,
        /// Octets left, the set header included.
        octets: usize,
    },
    /// A Template ID is below 256.
    #[error("octet {offset}: template id {id} is below 256")]
    TemplateId {
        /// Where the Template ID is.
        offset: usize,
        /// Template ID found.
        id: u16,
    },
    /// A template record has more fields than its set holds.
    #[error("octet {offset}: template {id} ends in the middle of a field")]
    TemplateTruncated {
        /// Where the incomplete part starts.
        offset: usize,
        /// Template ID.
        id: u16,
    },
    /// An options template has no scope field, or more than it has fields (RFC 7011 section 3.4.2.2).
    #[error("octet {offset}: {scope_fields} scope fields in an options template of {fields} fields")]
    ScopeFieldCount {
        /// Where the Scope Field Count is.
        offset: usize,
        /// Scope Field Count found.
        scope_fields: u16,
        /// Field Count found.
        fields: u16,
    },
    /// A field of variable length crosses the end of its set.
    #[error("octet {offset}: a field of template {id} crosses the end of its set")]
    FieldLength {
        /// Where the field starts.
        offset: usize,
        /// Template ID.
        id: u16,
    },
    /// A list (RFC 6313) ends within its header, or a value or record crosses its list's end.
    #[error("octet {offset}: a list in a record of template {id} does not hold what it says")]
    List {
        /// Where the part starts that does not fit.
        offset: usize,
        /// Template ID of the data set.
        id: u16,
    },
    /// Lists nest too deep.
    #[error("octet {offset}: lists in a record of template {id} nest deeper than {max}", max = crate::MAX_DEPTH)]
    ListDepth {
        /// Where the first list too deep starts.
        offset: usize,
        /// Template ID of the data set.
        id: u16,
    },
}

impl DecodeError {
    /// Returns the offset in the message of the octet that is wrong.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match *self {
            Self::Header { .. } | Self::Version { .. } => 0,
            Self::MessageLength { .. } => 2,
            Self::SetHeader { offset, .. }
            | Self::SetLength { offset, .. }
            | Self::TemplateId { offset, .. }
            | Self::TemplateTruncated { offset, .. }
            | Self::ScopeFieldCount { offset, .. }
            | Self::FieldLength { offset, .. }
            | Self::List { offset, .. }
            | Self::ListDepth { offset, .. } => offset,
        }
    }
}
