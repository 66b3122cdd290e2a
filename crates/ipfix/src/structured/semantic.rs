//! Structured Data Type Semantics (RFC 6313 section 4.4).

/// How the members of a list relate (IANA "IPFIX Structured Data Types Semantics").
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ListSemantic {
    /// None of the members is a property of the record.
    NoneOf,
    /// Exactly one member is.
    ExactlyOneOf,
    /// One or more members are.
    OneOrMoreOf,
    /// All members are.
    AllOf,
    /// All are, and their order matters.
    Ordered,
    /// Not told.
    Undefined,
    /// A number the registry does not have.
    Unassigned(u8),
}

impl From<u8> for ListSemantic {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::NoneOf,
            1 => Self::ExactlyOneOf,
            2 => Self::OneOrMoreOf,
            3 => Self::AllOf,
            4 => Self::Ordered,
            255 => Self::Undefined,
            number => Self::Unassigned(number),
        }
    }
}

impl ListSemantic {
    /// Returns the registry's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::NoneOf => 0,
            Self::ExactlyOneOf => 1,
            Self::OneOrMoreOf => 2,
            Self::AllOf => 3,
            Self::Ordered => 4,
            Self::Undefined => 255,
            Self::Unassigned(number) => number,
        }
    }

    /// Returns the registry's name; `unassigned` for a number it does not have.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoneOf => "noneOf",
            Self::ExactlyOneOf => "exactlyOneOf",
            Self::OneOrMoreOf => "oneOrMoreOf",
            Self::AllOf => "allOf",
            Self::Ordered => "ordered",
            Self::Undefined => "undefined",
            Self::Unassigned(_) => "unassigned",
        }
    }
}

impl std::fmt::Display for ListSemantic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
