//! JSON text of the IPFIX abstract data types (RFC 7011 section 6.1), appended to an octet buffer without allocating.
//!
//! Numbers are decimal, addresses and times are strings, octets are hexadecimal. A value whose length does not
//! fit its type is kept, in hexadecimal.

use std::io::Write as _;

pub(crate) use super::piece::Fraction;
use super::piece::{HEX_PAIRS, Piece, Times, WIDEST};

/// Appends what `write` adds to a piece.
#[inline]
fn piece(out: &mut Vec<u8>, write: impl FnOnce(&mut Piece<'_, { 2 * WIDEST }>)) {
    let mut room = [0; 2 * WIDEST];
    let mut piece = Piece::new(&mut room);
    write(&mut piece);
    piece.flush(out);
}

/// Appends `value` in decimal.
pub(crate) fn unsigned(out: &mut Vec<u8>, value: u64) {
    piece(out, |piece| piece.unsigned(value));
}

/// Appends `value` in decimal.
pub(crate) fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(out, value.unsigned_abs());
}

/// Appends the shortest decimal that reads back as `value`; `null` for what JSON cannot say (NaN, infinities).
pub(crate) fn float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{value}");
    } else {
        out.extend_from_slice(b"null");
    }
}

/// As [`float`], with the digits of a single-precision number.
pub(crate) fn float32(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() {
        let _ = write!(out, "{value}");
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends two lower-case hexadecimal digits per octet, without quotes.
pub(crate) fn hex_digits(out: &mut Vec<u8>, octets: &[u8]) {
    out.reserve(octets.len() * 2);
    for &octet in octets {
        out.extend_from_slice(&HEX_PAIRS[usize::from(octet)]);
    }
}

/// Appends a string of hexadecimal digits.
pub(crate) fn hex(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'"');
    hex_digits(out, octets);
    out.push(b'"');
}

/// Appends a MAC address as a string, `"02:00:5e:10:00:01"`.
pub(crate) fn mac(out: &mut Vec<u8>, octets: [u8; 6]) {
    out.push(b'"');
    for (index, octet) in octets.iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        hex_digits(out, std::slice::from_ref(octet));
    }
    out.push(b'"');
}

/// Appends an IPv4 address as a string in dotted decimal.
pub(crate) fn ipv4(out: &mut Vec<u8>, octets: [u8; 4]) {
    piece(out, |piece| piece.ipv4(octets));
}

/// Appends an IPv6 address as a string in the form of RFC 5952.
pub(crate) fn ipv6(out: &mut Vec<u8>, octets: [u8; 16]) {
    piece(out, |piece| piece.ipv6(octets));
}

/// Appends `seconds` since 1970 and `nanos` as an RFC 3339 string in UTC, or, after the year 9999, as a number of milliseconds.
pub(crate) fn time(out: &mut Vec<u8>, seconds: u64, nanos: u32, fraction: Fraction) {
    piece(out, |piece| piece.time(&mut Times::default(), seconds, nanos, fraction));
}

/// Appends a string from the wire: invalid UTF-8 becomes U+FFFD, quotes, backslashes and control characters are escaped.
pub(crate) fn string(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'"');
    for chunk in octets.utf8_chunks() {
        escaped(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            // C0, DEL and C1: a terminal that shows the file must not obey them.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
                out.extend_from_slice(b"\\u");
                let [.., high, low] = u32::from(character).to_be_bytes();
                hex_digits(out, &[high, low]);
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "random numbers")]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// A small deterministic generator (xorshift64).
    fn numbers(mut state: u64) -> impl Iterator<Item = u64> {
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        })
    }

    #[test]
    fn numbers_read_as_the_standard_library_prints_them() {
        let edges = [0, 9, 10, 99, 100, 101, 999, 1000, u64::from(u32::MAX), u64::MAX];
        let random = numbers(1).take(1000).enumerate().map(|(index, number)| number >> (index % 64));
        for number in edges.into_iter().chain(random) {
            assert_eq!(text(|out| unsigned(out, number)), number.to_string());
            assert_eq!(text(|out| signed(out, number as i64)), (number as i64).to_string());
        }
    }

    #[test]
    fn addresses_read_as_the_standard_library_prints_them() {
        for (high, low) in numbers(2).zip(numbers(3)).take(5000) {
            // Blank some groups, so that runs of zeros of every length and place occur.
            let mask = (0..8)
                .filter(|bit| high >> bit & 1 == 1)
                .fold(0_u128, |mask, bit| mask | 0xffff << (16 * bit));
            let address = Ipv6Addr::from((u128::from(high) << 64 | u128::from(low)) & mask);
            assert_eq!(text(|out| ipv6(out, address.octets())), format!("\"{address}\""));
            let address = Ipv4Addr::from(low as u32);
            assert_eq!(text(|out| ipv4(out, address.octets())), format!("\"{address}\""));
        }
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        assert_eq!(text(|out| ipv6(out, mapped.octets())), "\"::ffff:192.0.2.1\"");
        assert_eq!(text(|out| ipv6(out, [0; 16])), "\"::\"");
    }

    #[test]
    fn times_are_rfc_3339_with_the_digits_of_their_type() {
        assert_eq!(text(|out| time(out, 0, 0, Fraction::Milli)), "\"1970-01-01T00:00:00.000Z\"");
        let leap_day = text(|out| time(out, 951_782_400 + 86_399, 123_456_789, Fraction::Micro));
        assert_eq!(leap_day, "\"2000-02-29T23:59:59.123456Z\"");
        let last = text(|out| time(out, 253_402_300_799, 999_999_999, Fraction::Nano));
        assert_eq!(last, "\"9999-12-31T23:59:59.999999999Z\"");
        assert_eq!(text(|out| time(out, 253_402_300_800, 0, Fraction::Milli)), "253402300800000");
        assert_eq!(text(|out| time(out, 1_795_219_200, 0, Fraction::Milli)), "\"2026-11-21T00:00:00.000Z\"");
    }

    #[test]
    fn strings_from_the_wire_cannot_leave_their_quotes_or_steer_a_terminal() {
        let hostile = b"a\"b\\c\n\x1b[2J\x7f\xc2\x9b\xff\xfez\xe2\x82\xac";
        assert_eq!(
            text(|out| string(out, hostile)),
            "\"a\\\"b\\\\c\\n\\u001b[2J\\u007f\\u009b\u{fffd}\u{fffd}z\u{20ac}\""
        );
    }

    #[test]
    fn floats_that_json_cannot_say_are_null() {
        assert_eq!(text(|out| float(out, 0.1)), "0.1");
        assert_eq!(text(|out| float32(out, 0.1)), "0.1");
        assert_eq!(text(|out| float(out, f64::NAN)), "null");
    }

    #[test]
    fn a_mac_address_has_colons() {
        assert_eq!(text(|out| mac(out, [2, 0, 0x5e, 0x10, 0, 0xff])), "\"02:00:5e:10:00:ff\"");
    }
}
