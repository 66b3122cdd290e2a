//! Which delivery a message gets: by what it holds and by the class of its stream.

use std::fmt;
use std::time::Duration;

use ipfix::Content;
use transport::Reliability;

/// A class of data records: one stream, one group of templates, one delivery (docs/wire.md, "Streams").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Retained until a collector has it on disk.
    Reliable,
    /// Given up after so many retransmissions (RFC 7496 section 3.1).
    Limited {
        /// Retransmissions of a message at most.
        max_retransmissions: u16,
    },
    /// Given up when so old (RFC 3758 section 4).
    Timed {
        /// Age of a message at most.
        lifetime: Duration,
    },
    /// Never retransmitted.
    Unreliable,
}

impl Class {
    /// Stream of class `reliable`; it alone carries session records.
    pub const RELIABLE_STREAM: u16 = 1;
    /// Stream of the class that may lose records.
    pub const LOSSY_STREAM: u16 = 2;

    /// Returns its name, as in the configuration and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Limited { .. } => "limited",
            Self::Timed { .. } => "timed",
            Self::Unreliable => "unreliable",
        }
    }

    /// Returns its SCTP stream.
    pub const fn stream(self) -> u16 {
        match self {
            Self::Reliable => Self::RELIABLE_STREAM,
            Self::Limited { .. } | Self::Timed { .. } | Self::Unreliable => Self::LOSSY_STREAM,
        }
    }

    /// Returns how a message of this class is delivered. Templates must arrive, in order (RFC 7011
    /// section 8); only messages of nothing but data sets may be partially reliable (section 10.2.6).
    pub const fn reliability(self, content: Content) -> Reliability {
        match (content, self) {
            (Content::Templates, _) | (Content::DataOnly, Self::Reliable) => Reliability::Full,
            (Content::DataOnly, Self::Limited { max_retransmissions }) => {
                Reliability::MaxRetransmits(max_retransmissions)
            }
            (Content::DataOnly, Self::Timed { lifetime }) => Reliability::Lifetime(lifetime),
            (Content::DataOnly, Self::Unreliable) => Reliability::MaxRetransmits(0),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_reliable_in_every_class() {
        let classes = [
            Class::Reliable,
            Class::Limited { max_retransmissions: 1 },
            Class::Timed { lifetime: Duration::from_millis(500) },
            Class::Unreliable,
        ];
        for class in classes {
            assert!(matches!(class.reliability(Content::Templates), Reliability::Full), "{class}");
        }
        assert!(matches!(Class::Unreliable.reliability(Content::DataOnly), Reliability::MaxRetransmits(0)));
    }
}
