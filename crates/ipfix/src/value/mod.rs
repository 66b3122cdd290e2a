//! Field values in host form (RFC 7011 section 6).
//!
//! Lenient where a value can still be told: integers of any length from 1 to 8 octets are accepted for every
//! integer type, and a float of either size for both float types. What cannot be told is handed out as octets.

mod display;

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::{DataType, VARIABLE};

/// How to read a field, resolved when its template arrives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Octets,
    Unsigned1,
    Unsigned2,
    Unsigned4,
    Unsigned8,
    /// Unsigned of another length, or of variable length.
    Unsigned,
    Signed,
    Float,
    Boolean,
    Mac,
    Text,
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    Ipv4,
    Ipv6,
    List(ListType),
}

/// Which of RFC 6313's types a list is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ListType {
    Basic,
    SubTemplate,
    SubTemplateMulti,
}

impl Kind {
    /// Returns how a field of this type and specified length is read. `data_type` is `None` for unknown elements.
    pub(crate) const fn of(data_type: Option<DataType>, length: u16) -> Self {
        let Some(data_type) = data_type else { return Self::Octets };
        match data_type {
            DataType::OctetArray | DataType::Unsigned256 => Self::Octets,
            DataType::Unsigned8 | DataType::Unsigned16 | DataType::Unsigned32 | DataType::Unsigned64 => {
                match length {
                    1 => Self::Unsigned1,
                    2 => Self::Unsigned2,
                    4 => Self::Unsigned4,
                    8 => Self::Unsigned8,
                    3 | 5..=7 | VARIABLE => Self::Unsigned,
                    _ => Self::Octets,
                }
            }
            DataType::Signed8 | DataType::Signed16 | DataType::Signed32 | DataType::Signed64 => Self::Signed,
            DataType::Float32 | DataType::Float64 => Self::Float,
            DataType::Boolean => Self::Boolean,
            DataType::MacAddress => Self::Mac,
            DataType::String => Self::Text,
            DataType::DateTimeSeconds => Self::Seconds,
            DataType::DateTimeMilliseconds => Self::Milliseconds,
            DataType::DateTimeMicroseconds => Self::Microseconds,
            DataType::DateTimeNanoseconds => Self::Nanoseconds,
            DataType::Ipv4Address => Self::Ipv4,
            DataType::Ipv6Address => Self::Ipv6,
            DataType::BasicList => Self::List(ListType::Basic),
            DataType::SubTemplateList => Self::List(ListType::SubTemplate),
            DataType::SubTemplateMultiList => Self::List(ListType::SubTemplateMulti),
        }
    }

    /// Reads `octets`; those that do not fit the type come back as they are.
    #[inline(always)]
    pub(crate) fn read(self, octets: &[u8]) -> Value<'_> {
        let value = match self {
            Self::Octets => None,
            Self::Unsigned1 => octets.first().map(|&octet| Value::Unsigned(octet.into())),
            Self::Unsigned2 => exact(octets).map(|octets| Value::Unsigned(u16::from_be_bytes(octets).into())),
            Self::Unsigned4 => exact(octets).map(|octets| Value::Unsigned(u32::from_be_bytes(octets).into())),
            Self::Unsigned8 => exact(octets).map(|octets| Value::Unsigned(u64::from_be_bytes(octets))),
            Self::Unsigned => unsigned(octets).map(Value::Unsigned),
            Self::Signed => signed(octets).map(Value::Signed),
            Self::Float => float(octets).map(Value::Float),
            Self::Boolean => match octets {
                [1] => Some(Value::Boolean(true)),
                [2] => Some(Value::Boolean(false)),
                _ => None,
            },
            Self::Mac => exact(octets).map(Value::Mac),
            Self::Text => Some(Value::String(Text(octets))),
            Self::Seconds => exact(octets).map(|octets| Value::Seconds(u32::from_be_bytes(octets))),
            Self::Milliseconds => exact(octets).map(|octets| Value::Milliseconds(u64::from_be_bytes(octets))),
            Self::Microseconds => {
                exact(octets).map(|octets| Value::Microseconds(NtpTime::from_be_bytes(octets)))
            }
            Self::Nanoseconds => {
                exact(octets).map(|octets| Value::Nanoseconds(NtpTime::from_be_bytes(octets)))
            }
            Self::Ipv4 => exact::<4>(octets).map(|octets| Value::Ipv4(octets.into())),
            Self::Ipv6 => exact::<16>(octets).map(|octets| Value::Ipv6(octets.into())),
            Self::List(_) => Some(Value::List(octets)),
        };
        value.unwrap_or(Value::Octets(octets))
    }
}

#[inline(always)]
fn exact<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    octets.try_into().ok()
}

/// Reads an unsigned integer of 1 to 8 octets (RFC 7011 section 6.2).
fn unsigned(octets: &[u8]) -> Option<u64> {
    if octets.is_empty() || octets.len() > 8 {
        return None;
    }
    Some(octets.iter().fold(0, |value, &octet| value << 8 | u64::from(octet)))
}

/// Reads a signed integer of 1 to 8 octets, extending its sign.
fn signed(octets: &[u8]) -> Option<i64> {
    let unused = 64 - 8 * octets.len().min(8);
    unsigned(octets).map(|value| (value << unused).cast_signed() >> unused)
}

fn float(octets: &[u8]) -> Option<f64> {
    match octets.len() {
        4 => exact(octets).map(|octets| f32::from_be_bytes(octets).into()),
        8 => exact(octets).map(f64::from_be_bytes),
        _ => None,
    }
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// An octetArray, a field of an unknown element, or octets that do not fit their element's type.
    Octets(&'a [u8]),
    /// unsigned8 to unsigned64, of any encoded size.
    Unsigned(u64),
    /// signed8 to signed64, of any encoded size.
    Signed(i64),
    /// float32 or float64.
    Float(f64),
    /// boolean.
    Boolean(bool),
    /// macAddress.
    Mac([u8; 6]),
    /// string; its octets may be no UTF-8.
    String(Text<'a>),
    /// dateTimeSeconds: seconds since the Unix epoch.
    Seconds(u32),
    /// dateTimeMilliseconds: milliseconds since the Unix epoch.
    Milliseconds(u64),
    /// dateTimeMicroseconds.
    Microseconds(NtpTime),
    /// dateTimeNanoseconds.
    Nanoseconds(NtpTime),
    /// ipv4Address.
    Ipv4(Ipv4Addr),
    /// ipv6Address.
    Ipv6(Ipv6Addr),
    /// basicList, subTemplateList or subTemplateMultiList (RFC 6313);
    /// [`SubTemplates::list`](crate::SubTemplates::list) reads it.
    List(&'a [u8]),
}

impl Value<'_> {
    /// Returns the value if it is an unsigned integer.
    #[must_use]
    pub const fn as_unsigned(&self) -> Option<u64> {
        match *self {
            Self::Unsigned(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the time since the Unix epoch if the value is one of the four dateTime types
    /// (NTP times in the era of RFC 7011 section 6.1.9).
    #[must_use]
    pub fn as_unix_time(&self) -> Option<Duration> {
        match *self {
            Self::Seconds(seconds) => Some(Duration::from_secs(seconds.into())),
            Self::Milliseconds(milliseconds) => Some(Duration::from_millis(milliseconds)),
            Self::Microseconds(time) => Some(time.microseconds_since_unix_epoch()),
            Self::Nanoseconds(time) => Some(time.since_unix_epoch()),
            _ => None,
        }
    }
}

/// The octets of a string, UTF-8 by RFC 7011 section 6.1.6 but not checked.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Text<'a> {
    /// Returns the text; invalid UTF-8 is replaced by U+FFFD.
    #[must_use]
    pub fn to_str_lossy(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.0)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_str_lossy())
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_str_lossy())
    }
}

/// Seconds from the NTP epoch (1900) to the Unix epoch.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// An NTP timestamp (RFC 7011 sections 6.1.9 and 6.1.10).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NtpTime {
    /// Seconds since 1 January 1900, modulo 2^32.
    pub seconds: u32,
    /// Units of 2^-32 seconds.
    pub fraction: u32,
}

impl NtpTime {
    /// Returns the timestamp of a time since the Unix epoch, rounded up to the next unit,
    /// so that [`since_unix_epoch`](Self::since_unix_epoch) gives it back.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds wrap by definition, the fraction is below 2^32"
    )]
    pub const fn from_unix_time(time: Duration) -> Self {
        let fraction = ((time.subsec_nanos() as u64) << 32).div_ceil(1_000_000_000);
        Self { seconds: time.as_secs().wrapping_add(NTP_TO_UNIX) as u32, fraction: fraction as u32 }
    }

    /// Returns the time since the Unix epoch, to the nanosecond. Seconds before it mean the era from 2036 on
    /// (RFC 7011 section 5.2).
    #[must_use]
    pub const fn since_unix_epoch(self) -> Duration {
        let seconds = self.seconds as u64;
        let seconds = if seconds < NTP_TO_UNIX { seconds + (1 << 32) } else { seconds } - NTP_TO_UNIX;
        let nanoseconds = (self.fraction as u64 * 1_000_000_000) >> 32;
        Duration::new(seconds, nanoseconds as u32)
    }

    /// Returns the time since the Unix epoch to the nearest microsecond, without the lowest 11 bits, which
    /// dateTimeMicroseconds ignores (RFC 7011 section 6.1.9).
    #[must_use]
    pub const fn microseconds_since_unix_epoch(self) -> Duration {
        let seconds = Self { seconds: self.seconds, fraction: 0 }.since_unix_epoch();
        let fraction = (self.fraction & !0x7ff) as u64;
        let microseconds = (fraction * 1_000_000 + (1 << 31)) >> 32;
        Duration::from_micros(seconds.as_secs() * 1_000_000 + microseconds)
    }

    /// Encodes the timestamp.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        ((self.seconds as u64) << 32 | self.fraction as u64).to_be_bytes()
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of 64 bits")]
    const fn from_be_bytes(octets: [u8; 8]) -> Self {
        let both = u64::from_be_bytes(octets);
        Self { seconds: (both >> 32) as u32, fraction: both as u32 }
    }
}

#[cfg(test)]
mod tests;
