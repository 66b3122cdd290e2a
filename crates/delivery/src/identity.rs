//! The identity of a flow record: ledger, epoch, observation domain, number (docs/wire.md section 1).

use std::fmt;
use std::str::FromStr;

/// 128 random bits that name one exporter's books, made once and kept in its state directory.
/// Displays as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ledger(pub [u8; 16]);

/// Counts the starts of the exporting process within its ledger.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u32);

/// What numbers count in: a ledger, an epoch and an observation domain.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Series {
    /// The exporter's books.
    pub ledger: Ledger,
    /// The exporter's start in which the record was made.
    pub epoch: Epoch,
    /// Observation Domain ID (RFC 7011 section 3.1).
    pub domain: u32,
}

/// Names one flow record for good. Displays as `LEDGER/epoch/domain/number`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    /// The exporter's books.
    pub ledger: Ledger,
    /// The exporter's start in which the record was made.
    pub epoch: Epoch,
    /// Observation Domain ID (RFC 7011 section 3.1).
    pub domain: u32,
    /// Position in the series, from 0.
    pub number: u64,
}

impl Series {
    /// Returns the identity of the record with this number.
    pub const fn identity(self, number: u64) -> Identity {
        Identity { ledger: self.ledger, epoch: self.epoch, domain: self.domain, number }
    }
}

impl Identity {
    /// Returns the series the number counts in.
    pub const fn series(self) -> Series {
        Series { ledger: self.ledger, epoch: self.epoch, domain: self.domain }
    }
}

/// The text is not a ledger: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a ledger is 32 hexadecimal digits")]
pub struct LedgerError;

impl FromStr for Ledger {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, LedgerError> {
        let octets = octets_of_hex(text).ok_or(LedgerError)?;
        Ok(Self(octets.try_into().map_err(|_| LedgerError)?))
    }
}

/// Reads pairs of hexadecimal digits; `None` when there is anything else.
pub(crate) fn octets_of_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger({self})")
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.ledger, self.epoch, self.domain)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.series(), self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_as_ledger_epoch_domain_number() {
        let ledger: Ledger = "00112233445566778899aabbccddeeff".parse().unwrap();
        let identity = Identity { ledger, epoch: Epoch(3), domain: 1, number: 4711 };
        assert_eq!(identity.to_string(), "00112233445566778899aabbccddeeff/3/1/4711");
    }

    #[test]
    fn a_ledger_of_other_than_32_hexadecimal_digits_is_refused() {
        for text in ["", "00", "+0112233445566778899aabbccddeeff", "0011223344556677889\u{e9}abbccddeeff"] {
            assert_eq!(text.parse::<Ledger>(), Err(LedgerError));
        }
    }
}
