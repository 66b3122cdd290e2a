//! Values as text (RFC 7373 section 4): numbers and addresses as usual, octets in hexadecimal, strings with control
//! characters escaped, times as RFC 3339 in UTC with the digits their type has.
//!
//! Deliberate deviations: times end in `Z`, which RFC 7373 leaves out and RFC 3339's readers need; lists, which it has no
//! text for, are octets.

use std::fmt::{self, Display, Formatter, Write as _};
use std::time::Duration;

use super::Value;
use crate::view::Hex;

impl Display for Value<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Octets(octets) | Self::List(octets) => Hex(octets).fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Float(value) => float(f, value),
            Self::Boolean(value) => value.fmt(f),
            Self::Mac([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
            Self::String(text) => text.to_str_lossy().chars().try_for_each(|character| match character {
                character if character.is_control() => character.escape_default().fmt(f),
                character => f.write_char(character),
            }),
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            Self::Seconds(_) => time(f, *self, 0),
            Self::Milliseconds(_) => time(f, *self, 3),
            Self::Microseconds(_) => time(f, *self, 6),
            Self::Nanoseconds(_) => time(f, *self, 9),
        }
    }
}

/// Writes a float as RFC 7373 section 4.4 does: with an exponent where there would be many zeros, NaN and infinities by name.
fn float(f: &mut Formatter<'_>, value: f64) -> fmt::Result {
    let has_many_zeros = value != 0.0 && !(1e-5..1e17).contains(&value.abs());
    match value {
        value if value.is_nan() => f.write_str("NaN"),
        value if value.is_infinite() => f.write_str(if value > 0.0 { "+inf" } else { "-inf" }),
        value if has_many_zeros => write!(f, "{value:e}"),
        value => value.fmt(f),
    }
}

/// Writes a time value with this many digits after the second.
fn time(f: &mut Formatter<'_>, value: Value<'_>, digits: usize) -> fmt::Result {
    let time = value.as_unix_time().unwrap_or(Duration::ZERO);
    let (days, second) = (time.as_secs() / 86400, time.as_secs() % 86400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    if digits > 0 {
        let nanoseconds = format!("{:09}", time.subsec_nanos());
        write!(f, ".{}", &nanoseconds[..digits])?;
    }
    f.write_char('Z')
}

/// Returns year, month and day of a day counted from 1 January 1970 in the Gregorian calendar. Years are
/// counted from 1 March, so that the leap day is a year's last; 146,097 days are 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NtpTime, Text};

    #[test]
    fn times_are_shown_with_the_digits_of_their_type() {
        let time = Duration::new(1_709_164_799, 123_456_789);
        let ntp = NtpTime::from_unix_time(time);
        assert_eq!(Value::Seconds(1_709_164_799).to_string(), "2024-02-28T23:59:59Z");
        assert_eq!(Value::Milliseconds(1_709_164_800_007).to_string(), "2024-02-29T00:00:00.007Z");
        assert_eq!(Value::Microseconds(ntp).to_string(), "2024-02-28T23:59:59.123456Z");
        assert_eq!(Value::Nanoseconds(ntp).to_string(), "2024-02-28T23:59:59.123456789Z");
        assert_eq!(Value::Seconds(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Value::Seconds(u32::MAX).to_string(), "2106-02-07T06:28:15Z");
    }

    #[test]
    fn the_largest_time_is_shown_too() {
        assert!(Value::Milliseconds(u64::MAX).to_string().starts_with("584556019-"));
    }

    #[test]
    fn control_characters_of_a_string_are_escaped_and_bad_utf8_replaced() {
        assert_eq!(
            Value::String(Text(b"a\x1b[2J\n\xff\xc3\xa4")).to_string(),
            "a\\u{1b}[2J\\n\u{fffd}\u{e4}"
        );
    }

    #[test]
    fn octets_and_addresses_are_shown_as_usual() {
        assert_eq!(Value::Octets(&[0, 0xab]).to_string(), "00ab");
        assert_eq!(Value::Mac([0, 1, 2, 0xa, 0xb, 0xc]).to_string(), "00:01:02:0a:0b:0c");
        assert_eq!(Value::Signed(-5).to_string(), "-5");
        assert_eq!(Value::Boolean(true).to_string(), "true");
    }
}
