//! The books: what became of every flow record, by class.

use std::iter::Sum;
use std::ops::AddAssign;

use transport::Reliability;

/// Why flow records were given up after they were handed to the transport.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Abandonment {
    /// Retransmitted as often as the class allows (RFC 7496 section 3.1).
    Retransmissions,
    /// Too old (RFC 3758 section 4).
    Lifetime,
    /// Made room for a higher class (RFC 7496 section 3.2).
    Priority,
    /// On their way when the association ended.
    Association,
}

impl Abandonment {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Retransmissions, Self::Lifetime, Self::Priority, Self::Association];

    /// Returns the reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Retransmissions => "retransmissions",
            Self::Lifetime => "lifetime",
            Self::Priority => "priority",
            Self::Association => "association",
        }
    }

    /// Returns why a transport gives up messages with this reliability; `Full` ones only with the association.
    pub(super) const fn of(reliability: Reliability) -> Self {
        match reliability {
            Reliability::Full => Self::Association,
            Reliability::MaxRetransmits(_) => Self::Retransmissions,
            Reliability::Lifetime(_) => Self::Lifetime,
            Reliability::Priority(_) => Self::Priority,
        }
    }
}

/// Why flow records were dropped before the transport had them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DropReason {
    /// There was no room, or they made room for newer or higher ones.
    BufferFull,
    /// Packed for a collector that was lost before they could be sent.
    Association,
    /// The spool was full, and they made room for newer ones.
    SpoolFull,
    /// They were on disk and cannot be read any more.
    Unreadable,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::BufferFull, Self::Association, Self::SpoolFull, Self::Unreadable];

    /// Returns the reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::Association => "association",
            Self::SpoolFull => "spool_full",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The books of one class, or of all, since the start:
/// `metered + recovered = covered + delivered + abandoned + dropped + waiting`, and in the classes that may lose records `exported = delivered + abandoned` once nothing is on its way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Books {
    /// Flow records taken.
    pub metered: u64,
    /// Class `reliable`: flow records that an earlier start had left on disk.
    pub recovered: u64,
    /// Class `reliable`: flow records a collector has on disk.
    pub covered: u64,
    /// The other classes: flow records in messages that the collector's transport has acknowledged.
    pub delivered: u64,
    /// The other classes: flow records given up on their way, in the order of [`Abandonment::ALL`].
    pub abandoned: [u64; Abandonment::ALL.len()],
    /// Flow records that the transport never had, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Flow records here, on disk included, and those of the other classes on their way.
    pub waiting: u64,
    /// Their octets in memory.
    pub waiting_octets: u64,
    /// Flow records in messages, repeats included.
    pub exported: u64,
    /// Flow records in messages that an earlier session had carried.
    pub resent: u64,
}

impl Books {
    /// Returns the flow records given up for any reason.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.iter().sum()
    }

    /// Returns the flow records dropped for any reason.
    pub fn dropped(&self) -> u64 {
        self.dropped.iter().sum()
    }

    pub(super) fn abandon(&mut self, reason: Abandonment, records: u64) {
        self.abandoned[reason as usize] += records;
    }

    pub(super) fn drop(&mut self, reason: DropReason, records: u64) {
        self.dropped[reason as usize] += records;
    }
}

impl AddAssign for Books {
    fn add_assign(&mut self, other: Self) {
        let Self { metered, recovered, covered, delivered, abandoned, dropped, .. } = other;
        self.metered += metered;
        self.recovered += recovered;
        self.covered += covered;
        self.delivered += delivered;
        self.abandoned.iter_mut().zip(abandoned).for_each(|(sum, part)| *sum += part);
        self.dropped.iter_mut().zip(dropped).for_each(|(sum, part)| *sum += part);
        self.waiting += other.waiting;
        self.waiting_octets += other.waiting_octets;
        self.exported += other.exported;
        self.resent += other.resent;
    }
}

impl Sum for Books {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, books| {
            sum += books;
            sum
        })
    }
}
