//! Values with units: `"15s"`, `"64MiB"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// Why a value with a unit was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// The value does not start with a decimal number.
    #[error("`{value}` is no {kind}: expected a whole number and a unit, such as `{example}`")]
    Number {
        /// What was given.
        value: String,
        /// What was expected.
        kind: &'static str,
        /// A good value.
        example: &'static str,
    },
    /// The unit is missing or unknown.
    #[error("`{value}` is no {kind}: its unit must be one of {units}")]
    Unit {
        /// What was given.
        value: String,
        /// What was expected.
        kind: &'static str,
        /// The units there are.
        units: &'static str,
    },
    /// The value does not fit 64 bits.
    #[error("`{value}` is too large")]
    TooLarge {
        /// What was given.
        value: String,
    },
}

/// A length of time: `"500ms"`, `"15s"`, `"2m"`, `"1h"`, `"7d"`.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Period(pub Duration);

/// A number of octets: `"1500B"`, `"64KiB"`, `"64MiB"`, `"1GiB"`; a plain number counts octets.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Size(pub u64);

/// Units of time in milliseconds, the greatest first.
const PERIODS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size in octets, the greatest first.
const SIZES: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Period {
    /// A period of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A period of milliseconds.
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl Size {
    /// A size in mebioctets.
    pub const fn mebi(mebi: u64) -> Self {
        Self(mebi << 20)
    }

    /// Returns the size for use as a length in memory, saturating on 32-bit machines.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(value: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(value, "period", "15s")?;
        let scale = PERIODS.iter().find(|(name, _)| *name == unit).ok_or_else(|| UnitError::Unit {
            value: value.to_owned(),
            kind: "period",
            units: "ms, s, m, h, d",
        })?;
        Ok(Self(Duration::from_millis(multiply(value, number, scale.1)?)))
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(value: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(value, "size", "64MiB")?;
        let scale = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(|| UnitError::Unit {
            value: value.to_owned(),
            kind: "size",
            units: "B, KiB, MiB, GiB, TiB",
        })?;
        Ok(Self(multiply(value, number, scale.1)?))
    }
}

fn split<'a>(
    value: &'a str,
    kind: &'static str,
    example: &'static str,
) -> Result<(&'a str, &'a str), UnitError> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    if digits == 0 {
        return Err(UnitError::Number { value: value.to_owned(), kind, example });
    }
    let (number, unit) = value.split_at(digits);
    Ok((number, unit.trim_start_matches(' ')))
}

fn multiply(value: &str, number: &str, scale: u64) -> Result<u64, UnitError> {
    let product = number.parse().ok().and_then(|number: u64| number.checked_mul(scale));
    product.ok_or_else(|| UnitError::TooLarge { value: value.to_owned() })
}

/// Prints the value in the greatest unit that divides it.
fn display(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |scale: u64| value != 0 && value.is_multiple_of(scale);
    let (unit, scale) = units.iter().find(|(_, scale)| fits(*scale)).unwrap_or(&units[units.len() - 1]);
    write!(f, "{}{unit}", value / scale)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &PERIODS, f)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self.0, &SIZES, f)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a period such as \"15s\" or \"500ms\"")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Period, E> {
                value.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64MiB\" or a number of octets")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Size, E> {
                value.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, octets: u64) -> Result<Size, E> {
                Ok(Size(octets))
            }

            fn visit_i64<E: de::Error>(self, octets: i64) -> Result<Size, E> {
                u64::try_from(octets).map(Size).map_err(|_| E::custom("a size cannot be negative"))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_number_and_a_unit() {
        assert_eq!("500ms".parse(), Ok(Period::milliseconds(500)));
        assert_eq!("15s".parse(), Ok(Period::seconds(15)));
        assert_eq!("2 m".parse(), Ok(Period::seconds(120)));
        assert_eq!("1d".parse(), Ok(Period::seconds(86_400)));
        assert_eq!("0s".parse(), Ok(Period::default()));
    }

    #[test]
    fn a_size_is_a_number_and_a_binary_unit() {
        assert_eq!("1500B".parse(), Ok(Size(1500)));
        assert_eq!("64MiB".parse(), Ok(Size::mebi(64)));
        assert_eq!("1GiB".parse(), Ok(Size(1 << 30)));
    }

    #[test]
    fn a_value_prints_as_it_would_be_written() {
        for text in ["500ms", "15s", "90s", "2m", "36h", "7d"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in ["0B", "1500B", "64KiB", "64MiB", "1GiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_bad_value_says_what_was_expected() {
        let error = |value: &str| value.parse::<Period>().unwrap_err().to_string();
        assert_eq!(error("15"), "`15` is no period: its unit must be one of ms, s, m, h, d");
        assert_eq!(error("1.5s"), "`1.5s` is no period: its unit must be one of ms, s, m, h, d");
        assert_eq!(error("soon"), "`soon` is no period: expected a whole number and a unit, such as `15s`");
        assert_eq!(error("-1s"), "`-1s` is no period: expected a whole number and a unit, such as `15s`");
        let size = |value: &str| value.parse::<Size>().unwrap_err().to_string();
        assert_eq!(size("64MB"), "`64MB` is no size: its unit must be one of B, KiB, MiB, GiB, TiB");
    }

    #[test]
    fn a_value_beyond_64_bits_is_refused() {
        assert_eq!(
            "99999999999999999999s".parse::<Period>(),
            Err(UnitError::TooLarge { value: "99999999999999999999s".to_owned() })
        );
        assert_eq!(
            "18446744073709551615TiB".parse::<Size>(),
            Err(UnitError::TooLarge { value: "18446744073709551615TiB".to_owned() })
        );
    }
}
