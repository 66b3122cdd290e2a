//! JSON text of the IPFIX abstract data types (RFC 7011 section 6.1), appended to an octet buffer without allocating.
//!
//! Numbers are decimal, addresses and times are strings, octets are hexadecimal. A value whose length does not
//! fit its type is kept, in hexadecimal.
#![expect(clippy::cast_possible_truncation, reason = "digits and groups of digits, masked or divided before")]

use std::io::Write as _;

/// The two-digit numbers 00 to 99, one after the other.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `value` in decimal.
#[inline]
pub(crate) fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    while value >= 100 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if value >= 10 {
        let pair = value as usize * 2;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + value as u8;
    }
    out.extend_from_slice(&digits[at..]);
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
        out.push(HEX[usize::from(octet >> 4)]);
        out.push(HEX[usize::from(octet & 15)]);
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
#[inline]
pub(crate) fn ipv4(out: &mut Vec<u8>, octets: [u8; 4]) {
    out.push(b'"');
    dotted(out, octets);
    out.push(b'"');
}

/// Appends an IPv6 address as a string in the form of RFC 5952.
pub(crate) fn ipv6(out: &mut Vec<u8>, octets: [u8; 16]) {
    out.push(b'"');
    if octets[..10] == [0; 10] && octets[10..12] == [0xff; 2] {
        // An IPv4-mapped address (RFC 5952 section 5).
        out.extend_from_slice(b"::ffff:");
        dotted(out, [octets[12], octets[13], octets[14], octets[15]]);
    } else {
        groups(out, octets);
    }
    out.push(b'"');
}

fn dotted(out: &mut Vec<u8>, octets: [u8; 4]) {
    unsigned(out, octets[0].into());
    for octet in &octets[1..] {
        out.push(b'.');
        unsigned(out, (*octet).into());
    }
}

fn groups(out: &mut Vec<u8>, octets: [u8; 16]) {
    let bits = u128::from_be_bytes(octets);
    let group = |index: usize| (bits >> (112 - 16 * index)) as u16;
    let (zeros, length) = longest_zero_run(group);
    let mut index = 0;
    while index < 8 {
        if index == zeros && length > 1 {
            out.extend_from_slice(b"::");
            index += length;
            continue;
        }
        if index > 0 && !(length > 1 && index == zeros + length) {
            out.push(b':');
        }
        hex_group(out, group(index));
        index += 1;
    }
}

/// Returns (start, length) of the first longest run of zero groups (RFC 5952 section 4.2.3).
fn longest_zero_run(group: impl Fn(usize) -> u16) -> (usize, usize) {
    let (mut best, mut run) = ((8, 0), (0, 0));
    for index in 0..8 {
        if group(index) == 0 {
            if run.1 == 0 {
                run.0 = index;
            }
            run.1 += 1;
            if run.1 > best.1 {
                best = run;
            }
        } else {
            run.1 = 0;
        }
    }
    best
}

fn hex_group(out: &mut Vec<u8>, group: u16) {
    let digits = (4 - group.leading_zeros() / 4).max(1);
    for digit in (0..digits).rev() {
        out.push(HEX[usize::from(group >> (4 * digit) & 15)]);
    }
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
                let code = character as u32;
                hex_digits(out, &[(code >> 8) as u8, code as u8]);
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// How many digits a time shows after the second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fraction {
    /// Three digits.
    Milli,
    /// Six digits.
    Micro,
    /// Nine digits.
    Nano,
}

/// Appends `seconds` since 1970 and `nanos` as an RFC 3339 string in UTC.
///
/// Every time IPFIX can say in milliseconds up to the year 9999 has this form; a later one is appended as a number of milliseconds.
#[inline]
pub(crate) fn time(out: &mut Vec<u8>, seconds: u64, nanos: u32, fraction: Fraction) {
    const END_OF_9999: u64 = 253_402_300_800;
    if seconds >= END_OF_9999 {
        return unsigned(out, seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000)));
    }
    let (year, month, day) = civil(seconds / 86_400);
    let second = seconds % 86_400;
    let mut text = *b"\"0000-00-00T00:00:00.";
    pair(&mut text[1..3], year / 100);
    pair(&mut text[3..5], year % 100);
    pair(&mut text[6..8], month);
    pair(&mut text[9..11], day);
    pair(&mut text[12..14], second / 3600);
    pair(&mut text[15..17], second / 60 % 60);
    pair(&mut text[18..20], second % 60);
    out.extend_from_slice(&text);
    let mut digits = [0_u8; 9];
    let mut rest = nanos;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let shown = match fraction {
        Fraction::Milli => 3,
        Fraction::Micro => 6,
        Fraction::Nano => 9,
    };
    out.extend_from_slice(&digits[..shown]);
    out.extend_from_slice(b"Z\"");
}

fn pair(text: &mut [u8], value: u64) {
    let at = value as usize * 2;
    text.copy_from_slice(&PAIRS[at..at + 2]);
}

/// Returns (year, month, day) of a day since 1970-01-01 in the Gregorian calendar, by counting years from March.
fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
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
