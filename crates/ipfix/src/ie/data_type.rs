//! Abstract data types and semantics (RFC 7012 section 3), with the numbers of RFC 5610 section 3.

/// Abstract data type of an element (RFC 7012 section 3.1; IANA "IPFIX Information Element Data Types").
/// The variants are IANA's types in IANA's order, so that `as u8` is RFC 5610's number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
#[expect(missing_docs, reason = "the variants are the registry's names")]
pub enum DataType {
    OctetArray,
    Unsigned8,
    Unsigned16,
    Unsigned32,
    Unsigned64,
    Signed8,
    Signed16,
    Signed32,
    Signed64,
    Float32,
    Float64,
    Boolean,
    MacAddress,
    String,
    DateTimeSeconds,
    DateTimeMilliseconds,
    DateTimeMicroseconds,
    DateTimeNanoseconds,
    Ipv4Address,
    Ipv6Address,
    BasicList,
    SubTemplateList,
    SubTemplateMultiList,
    Unsigned256,
}

impl DataType {
    /// All types, in the order of their numbers.
    const ALL: [Self; 24] = [
        Self::OctetArray,
        Self::Unsigned8,
        Self::Unsigned16,
        Self::Unsigned32,
        Self::Unsigned64,
        Self::Signed8,
        Self::Signed16,
        Self::Signed32,
        Self::Signed64,
        Self::Float32,
        Self::Float64,
        Self::Boolean,
        Self::MacAddress,
        Self::String,
        Self::DateTimeSeconds,
        Self::DateTimeMilliseconds,
        Self::DateTimeMicroseconds,
        Self::DateTimeNanoseconds,
        Self::Ipv4Address,
        Self::Ipv6Address,
        Self::BasicList,
        Self::SubTemplateList,
        Self::SubTemplateMultiList,
        Self::Unsigned256,
    ];

    /// Returns the type with this number (RFC 5610 section 3.1), if the registry has it.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Returns the registry's spelling, for example `dateTimeMilliseconds`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OctetArray => "octetArray",
            Self::Unsigned8 => "unsigned8",
            Self::Unsigned16 => "unsigned16",
            Self::Unsigned32 => "unsigned32",
            Self::Unsigned64 => "unsigned64",
            Self::Signed8 => "signed8",
            Self::Signed16 => "signed16",
            Self::Signed32 => "signed32",
            Self::Signed64 => "signed64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Boolean => "boolean",
            Self::MacAddress => "macAddress",
            Self::String => "string",
            Self::DateTimeSeconds => "dateTimeSeconds",
            Self::DateTimeMilliseconds => "dateTimeMilliseconds",
            Self::DateTimeMicroseconds => "dateTimeMicroseconds",
            Self::DateTimeNanoseconds => "dateTimeNanoseconds",
            Self::Ipv4Address => "ipv4Address",
            Self::Ipv6Address => "ipv6Address",
            Self::BasicList => "basicList",
            Self::SubTemplateList => "subTemplateList",
            Self::SubTemplateMultiList => "subTemplateMultiList",
            Self::Unsigned256 => "unsigned256",
        }
    }

    /// Returns the full size in octets; `None` for the types of any length.
    #[must_use]
    pub const fn size(self) -> Option<u16> {
        match self {
            Self::Unsigned8 | Self::Signed8 | Self::Boolean => Some(1),
            Self::Unsigned16 | Self::Signed16 => Some(2),
            Self::Unsigned32 | Self::Signed32 | Self::Float32 | Self::DateTimeSeconds | Self::Ipv4Address => {
                Some(4)
            }
            Self::MacAddress => Some(6),
            Self::Unsigned64
            | Self::Signed64
            | Self::Float64
            | Self::DateTimeMilliseconds
            | Self::DateTimeMicroseconds
            | Self::DateTimeNanoseconds => Some(8),
            Self::Ipv6Address => Some(16),
            Self::Unsigned256 => Some(32),
            Self::OctetArray
            | Self::String
            | Self::BasicList
            | Self::SubTemplateList
            | Self::SubTemplateMultiList => None,
        }
    }
}

impl std::fmt::Display for DataType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Data type semantics of an element (RFC 7012 section 3.2), in the registry's order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
#[expect(missing_docs, reason = "the variants are the registry's names")]
pub enum Semantics {
    Default,
    Quantity,
    TotalCounter,
    DeltaCounter,
    Identifier,
    Flags,
    List,
    SnmpCounter,
    SnmpGauge,
}

impl Semantics {
    /// Returns the semantics with this number (RFC 5610 section 3.6), if the registry has it.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Default,
            1 => Self::Quantity,
            2 => Self::TotalCounter,
            3 => Self::DeltaCounter,
            4 => Self::Identifier,
            5 => Self::Flags,
            6 => Self::List,
            7 => Self::SnmpCounter,
            8 => Self::SnmpGauge,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_and_semantics_has_its_number() {
        for number in 0..=255_u8 {
            assert!(DataType::from_number(number.into()).is_none_or(|found| found as u8 == number));
            assert!(Semantics::from_number(number.into()).is_none_or(|found| found as u8 == number));
        }
        assert_eq!(DataType::from_number(13), Some(DataType::String));
        assert_eq!((DataType::from_number(24), Semantics::from_number(9)), (None, None));
    }
}
