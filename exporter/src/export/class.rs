//! Classes of data records: one stream, one group of templates, one delivery each (docs/wire.md, "Streams").

use std::fmt;
use std::time::Duration;

use ipfix::Content;
use transport::Reliability;

/// How hard the records of a class are delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Retained until a collector has it on disk.
    Reliable,
    /// Retransmitted, unless the transport needs its room for something of a higher priority (RFC 7496 section 3.2).
    Priority {
        /// 0 is the highest.
        priority: u32,
    },
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

impl Kind {
    /// Returns the word for it in configuration, documents and the collector's metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Priority { .. } => "priority",
            Self::Limited { .. } => "limited",
            Self::Timed { .. } => "timed",
            Self::Unreliable => "unreliable",
        }
    }

    /// Returns the word for it on the wire.
    pub const fn on_the_wire(self) -> delivery::class_record::Reliability {
        use delivery::class_record::Reliability;
        match self {
            Self::Reliable => Reliability::Reliable,
            Self::Priority { .. } => Reliability::Priority,
            Self::Limited { .. } => Reliability::Limited,
            Self::Timed { .. } => Reliability::Timed,
            Self::Unreliable => Reliability::Unreliable,
        }
    }

    /// Tells whether its records may get lost.
    pub const fn is_lossy(self) -> bool {
        match self {
            Self::Reliable => false,
            Self::Priority { .. } | Self::Limited { .. } | Self::Timed { .. } | Self::Unreliable => true,
        }
    }

    /// Returns how a message of this kind is delivered. Templates must arrive, in order (RFC 7011
    /// section 8); only messages of nothing but data sets may be partially reliable (section 10.2.6).
    pub const fn reliability(self, content: Content) -> Reliability {
        match (content, self) {
            (Content::Templates, _) | (Content::DataOnly, Self::Reliable) => Reliability::Full,
            (Content::DataOnly, Self::Priority { priority }) => Reliability::Priority(priority),
            (Content::DataOnly, Self::Limited { max_retransmissions }) => {
                Reliability::MaxRetransmits(max_retransmissions)
            }
            (Content::DataOnly, Self::Timed { lifetime }) => Reliability::Lifetime(lifetime),
            (Content::DataOnly, Self::Unreliable) => Reliability::MaxRetransmits(0),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A class as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Class {
    /// Its name: a metric label.
    pub name: String,
    /// How hard its records are delivered.
    pub kind: Kind,
}

/// Names one of the [`Classes`] by its rank: a lower rank is a higher class.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClassIndex(pub u8);

/// All classes, the highest first: class `reliable`, if there is one, then those that may lose records. Where room is
/// short, the lowest loses first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Classes(Vec<Class>);

impl Classes {
    /// Classes at most, one of them reliable.
    pub const MAX: usize = 8;
    /// Stream of class `reliable`; it alone carries session records.
    pub const RELIABLE_STREAM: u16 = 1;

    /// Returns `classes` by rank: reliable first, the others as given.
    ///
    /// `Err` has the reason in words: there are none, more than [`Classes::MAX`], or several reliable ones.
    pub fn new(mut classes: Vec<Class>) -> Result<Self, String> {
        if classes.is_empty() || classes.len() > Self::MAX {
            return Err(format!("there are {} classes: 1 to {} can be served", classes.len(), Self::MAX));
        }
        classes.sort_by_key(|class| class.kind.is_lossy());
        match &classes[..] {
            [a, b, ..] if !b.kind.is_lossy() => Err(format!(
                "`{}` and `{}` are both reliable: one class holds all records that must not be lost",
                a.name, b.name
            )),
            _ => Ok(Self(classes)),
        }
    }

    /// Returns one class named after its kind.
    pub fn single(kind: Kind) -> Self {
        Self(vec![Class { name: kind.name().to_owned(), kind }])
    }

    /// Returns all of them with their indices, the highest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ClassIndex, &Class)> + ExactSizeIterator {
        #[expect(clippy::cast_possible_truncation, reason = "MAX is below 256")]
        self.0.iter().enumerate().map(|(at, class)| (ClassIndex(at as u8), class))
    }

    /// Returns the class at `index`, which must be of these classes.
    pub fn get(&self, index: ClassIndex) -> &Class {
        &self.0[usize::from(index.0)]
    }

    /// Returns the class called `name`.
    pub fn find(&self, name: &str) -> Option<ClassIndex> {
        self.iter().find(|(_, class)| class.name == name).map(|(index, _)| index)
    }

    /// Tells whether one of them is reliable; it is the first then.
    pub fn has_reliable(&self) -> bool {
        !self.0[0].kind.is_lossy()
    }

    /// Returns the SCTP stream of a class: 1 if it is reliable, else 2, 3, … by rank.
    pub fn stream(&self, index: ClassIndex) -> u16 {
        let above = u16::from(index.0);
        if self.has_reliable() { Self::RELIABLE_STREAM + above } else { Self::RELIABLE_STREAM + 1 + above }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMED: Kind = Kind::Timed { lifetime: Duration::from_millis(500) };

    fn class(name: &str, kind: Kind) -> Class {
        Class { name: name.to_owned(), kind }
    }

    #[test]
    fn templates_are_reliable_in_every_class() {
        let kinds = [
            Kind::Reliable,
            Kind::Priority { priority: 3 },
            Kind::Limited { max_retransmissions: 1 },
            TIMED,
            Kind::Unreliable,
        ];
        for kind in kinds {
            assert!(matches!(kind.reliability(Content::Templates), Reliability::Full), "{kind}");
        }
        assert!(matches!(Kind::Unreliable.reliability(Content::DataOnly), Reliability::MaxRetransmits(0)));
        assert!(matches!(kinds[1].reliability(Content::DataOnly), Reliability::Priority(3)));
    }

    #[test]
    fn the_reliable_class_comes_first_and_every_class_has_its_stream() {
        let classes =
            vec![class("rest", TIMED), class("money", Kind::Reliable), class("dns", Kind::Unreliable)];
        let classes = Classes::new(classes).unwrap();
        let streams = classes.iter().map(|(index, class)| (&*class.name, classes.stream(index)));
        assert_eq!(streams.collect::<Vec<_>>(), [("money", 1), ("rest", 2), ("dns", 3)]);
        assert_eq!(classes.find("dns"), Some(ClassIndex(2)));
        let lossy = Classes::single(TIMED);
        assert_eq!((lossy.stream(ClassIndex(0)), lossy.has_reliable()), (2, false));
    }

    #[test]
    fn two_reliable_classes_are_one_too_many() {
        let error = Classes::new(vec![class("a", Kind::Reliable), class("b", Kind::Reliable)]).unwrap_err();
        assert!(error.contains("`a` and `b` are both reliable"), "{error}");
        assert!(Classes::new(vec![class("a", TIMED); 9]).is_err() && Classes::new(vec![]).is_err());
    }
}
