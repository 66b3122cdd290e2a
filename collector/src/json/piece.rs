//! Texts of bounded length, written into room that is known to suffice.
//!
//! Digits are made some at a time, without a branch for each, and copied in arrays of fixed length: what is copied beyond
//! the text is covered by what comes next.
#![expect(clippy::cast_possible_truncation, reason = "digits and groups of digits, masked or divided before")]

use std::ops::Range;

/// Octets that suffice for any of these texts, and for what is copied beyond it.
pub(super) const WIDEST: usize = 64;

/// The first time that is not told as a date and time, in seconds since 1970: that of the year 10000.
const END_OF_9999: u64 = 253_402_300_800;

/// The numbers 0 to 255, each with a dot behind it, and their octets without it.
static OCTETS: [([u8; 4], u8); 256] = octets();

/// The numbers 0 to 255 in hexadecimal.
pub(super) static HEX_PAIRS: [[u8; 2]; 256] = hex_pairs();

/// ASCII zeros.
const ZEROS: u64 = u64::from_le_bytes(*b"00000000");

/// Text that grows in its room, which has [`WIDEST`] octets beyond a power of two. What is added takes so many at most.
#[derive(Debug)]
pub(super) struct Piece<'a, const ROOM: usize> {
    room: &'a mut [u8; ROOM],
    /// Below `ROOM - WIDEST`.
    length: usize,
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

/// What the times of a few minutes begin with. Most times are of the same minutes as those before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times([Minute; 4]);

/// What the times of a minute begin with: `"2026-11-21T12:34:`.
#[derive(Clone, Copy, Debug)]
struct Minute {
    /// Since 1970.
    number: u64,
    /// [`Minute::LENGTH`] octets, and what is copied beyond.
    text: [u8; 32],
}

impl<'a, const ROOM: usize> Piece<'a, ROOM> {
    /// Keeps the compiler from checks at each copy: a position below this has room for [`WIDEST`] octets.
    const MASK: usize = {
        assert!((ROOM - WIDEST).is_power_of_two());
        ROOM - WIDEST - 1
    };

    pub(super) const fn new(room: &'a mut [u8; ROOM]) -> Self {
        Self { room, length: 0 }
    }

    /// Returns whether texts of so many octets can be added.
    #[inline(always)]
    pub(super) const fn has_room(&self, octets: usize) -> bool {
        self.length + octets <= Self::MASK
    }

    /// Moves the text to the end of `out`.
    #[inline(always)]
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.room[..self.length]);
        self.length = 0;
    }

    /// Adds the first `shown` of `octets`.
    #[inline(always)]
    pub(super) fn put<const N: usize>(&mut self, octets: &[u8; N], shown: usize) {
        const { assert!(N <= WIDEST) };
        let at = self.length & Self::MASK;
        self.room[at..at + N].copy_from_slice(octets);
        self.length += shown;
    }

    /// Adds `value` in decimal.
    #[inline(always)]
    pub(super) fn octet(&mut self, value: u8) {
        let (text, shown) = &OCTETS[usize::from(value)];
        self.put(text, usize::from(*shown));
    }

    /// Adds `value` in decimal.
    #[inline(always)]
    pub(super) fn unsigned(&mut self, value: u64) {
        const E8: u64 = 100_000_000;
        if value < E8 {
            return self.leading(value as u32);
        }
        if value < E8 * E8 {
            self.leading((value / E8) as u32);
        } else {
            self.leading((value / (E8 * E8)) as u32);
            self.put(&eight_digits((value / E8 % E8) as u32).to_le_bytes(), 8);
        }
        self.put(&eight_digits((value % E8) as u32).to_le_bytes(), 8);
    }

    /// Adds `value`, below 10^8, in decimal.
    #[inline(always)]
    fn leading(&mut self, value: u32) {
        let digits = eight_digits(value);
        // One digit stays of 0.
        let zeros = ((digits - ZEROS) | 1 << 63).trailing_zeros() / 8;
        self.put(&(digits >> (8 * zeros)).to_le_bytes(), 8 - zeros as usize);
    }

    /// Adds an IPv4 address as a string in dotted decimal.
    #[inline(always)]
    pub(super) fn ipv4(&mut self, octets: [u8; 4]) {
        self.put(b"\"", 1);
        self.dotted(octets);
        self.put(b"\"", 1);
    }

    #[inline(always)]
    fn dotted(&mut self, [a, b, c, d]: [u8; 4]) {
        for octet in [a, b, c] {
            let (text, shown) = &OCTETS[usize::from(octet)];
            self.put(text, usize::from(*shown) + 1);
        }
        self.octet(d);
    }

    /// Adds `seconds` since 1970 and `nanos` as an RFC 3339 string in UTC.
    ///
    /// Every time IPFIX can say in milliseconds up to the year 9999 has this form; a later one is a number of milliseconds.
    #[inline(always)]
    pub(super) fn time(&mut self, times: &mut Times, seconds: u64, nanos: u32, fraction: Fraction) {
        if seconds >= END_OF_9999 {
            let milliseconds = seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000));
            return self.unsigned(milliseconds);
        }
        self.put(times.minute(seconds / 60), Minute::LENGTH);
        let second = (seconds % 60) as u32;
        match fraction {
            Fraction::Milli => return self.seconds(second, nanos / 1_000_000),
            Fraction::Micro => {
                self.put(&(eight_digits(second) >> 48).to_le_bytes(), 2);
                self.put(b".", 1);
                self.put(&(eight_digits(nanos / 1_000) >> 16).to_le_bytes(), 6);
            }
            Fraction::Nano => {
                self.put(&(eight_digits(second) >> 48).to_le_bytes(), 2);
                self.put(b".", 1);
                self.put(&eight_digits(nanos / 10).to_le_bytes(), 8);
                self.put(&[b'0' + (nanos % 10) as u8], 1);
            }
        }
        self.put(b"Z\"", 2);
    }

    /// As [`Self::time`], of milliseconds since 1970.
    #[inline(always)]
    pub(super) fn milliseconds(&mut self, times: &mut Times, time: u64) {
        if time >= END_OF_9999 * 1000 {
            return self.unsigned(time);
        }
        self.put(times.minute(time / 60_000), Minute::LENGTH);
        let rest = (time % 60_000) as u32;
        self.seconds(rest / 1000, rest % 1000);
    }

    /// Adds what follows the minute in a time: `56.789Z"`.
    #[inline(always)]
    fn seconds(&mut self, second: u32, milli: u32) {
        const DOT: u64 = (b'0' - b'.') as u64;
        const END: u64 = u64::from_le_bytes(*b"\0\0\0\0\0\0Z\"");
        // 00560789 without its first two digits, and a dot for the third 0.
        let digits = eight_digits(second * 10_000 + milli) >> 16;
        self.put(&((digits - (DOT << 16)) | END).to_le_bytes(), 8);
    }

    /// Adds an IPv6 address as a string in the form of RFC 5952.
    #[inline(always)]
    pub(super) fn ipv6(&mut self, octets: [u8; 16]) {
        self.put(b"\"", 1);
        if octets[..10] == [0; 10] && octets[10..12] == [0xff; 2] {
            // An IPv4-mapped address (RFC 5952 section 5).
            self.put(b"::ffff:", 7);
            self.dotted([octets[12], octets[13], octets[14], octets[15]]);
        } else {
            self.groups(octets);
        }
        self.put(b"\"", 1);
    }

    #[inline(always)]
    fn groups(&mut self, octets: [u8; 16]) {
        let groups: [[u8; 2]; 8] = std::array::from_fn(|at| [octets[2 * at], octets[2 * at + 1]]);
        let zeros = longest_zero_run(&groups);
        for &group in &groups[..zeros.start] {
            self.hex_group(group);
        }
        if !zeros.is_empty() {
            self.put(b"::", if zeros.start == 0 { 2 } else { 1 });
        }
        for &group in &groups[zeros.end..] {
            self.hex_group(group);
        }
        // The last group has no colon behind it.
        self.length -= usize::from(zeros.end < groups.len());
    }

    /// Adds a group without its leading zeros, and a colon.
    #[inline(always)]
    fn hex_group(&mut self, [high, low]: [u8; 2]) {
        let [[a, b], [c, d]] = [HEX_PAIRS[usize::from(high)], HEX_PAIRS[usize::from(low)]];
        let text = u64::from_le_bytes([a, b, c, d, b':', 0, 0, 0]);
        let zeros = (u16::from_be_bytes([high, low]) | 1).leading_zeros() / 4;
        self.put(&(text >> (8 * zeros)).to_le_bytes(), 5 - zeros as usize);
    }
}

impl Default for Times {
    fn default() -> Self {
        Self([Minute { number: u64::MAX, text: [0; 32] }; 4])
    }
}

impl Times {
    /// Returns what the times of this minute since 1970, before the year 10000, begin with.
    #[inline(always)]
    fn minute(&mut self, number: u64) -> &[u8; 32] {
        let minute = &mut self.0[(number % 4) as usize];
        if minute.number != number {
            *minute = Minute::of(number);
        }
        &minute.text
    }
}

impl Minute {
    const LENGTH: usize = 18;

    #[cold]
    fn of(number: u64) -> Self {
        let (year, month, day) = civil(number / (24 * 60));
        let (hour, minute) = (number / 60 % 24, number % 60);
        let mut text = [0; 32];
        text[..Self::LENGTH].copy_from_slice(b"\"0000-00-00T00:00:");
        text[1..5].copy_from_slice(&(eight_digits(year as u32) >> 32).to_le_bytes()[..4]);
        for (at, number) in [(6, month), (9, day), (12, hour), (15, minute)] {
            text[at..at + 2].copy_from_slice(&(eight_digits(number as u32) >> 48).to_le_bytes()[..2]);
        }
        Self { number, text }
    }
}

/// Returns the eight digits of a number below 10^8 in ASCII, the first in the lowest octet.
///
/// The number is parted in two, four, and eight numbers side by side in one word; divisions are multiplications by
/// reciprocals that are exact for numbers so small.
#[inline(always)]
const fn eight_digits(value: u32) -> u64 {
    let fours = (value / 10_000) as u64 | ((value % 10_000) as u64) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    ZEROS + (tens | (pairs - 10 * tens) << 8)
}

const fn octets() -> [([u8; 4], u8); 256] {
    let mut octets = [([0; 4], 0); 256];
    let mut value = 0;
    while value < octets.len() {
        let digits = [b'0' + (value / 100) as u8, b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8];
        octets[value] = match digits {
            [b'0', b'0', c] => ([c, b'.', 0, 0], 1),
            [b'0', b, c] => ([b, c, b'.', 0], 2),
            [a, b, c] => ([a, b, c, b'.'], 3),
        };
        value += 1;
    }
    octets
}

const fn hex_pairs() -> [[u8; 2]; 256] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut value = 0;
    while value < pairs.len() {
        pairs[value] = [DIGITS[value >> 4], DIGITS[value & 15]];
        value += 1;
    }
    pairs
}

/// Returns the first longest run of two zero groups or more (RFC 5952 section 4.2); none is empty, at the start.
#[inline(always)]
fn longest_zero_run(groups: &[[u8; 2]; 8]) -> Range<usize> {
    let (mut longest, mut start) = (0..0, 0);
    for (index, group) in groups.iter().enumerate() {
        if *group != [0; 2] {
            start = index + 1;
        } else if index + 1 - start > longest.len().max(1) {
            longest = start..index + 1;
        }
    }
    longest
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
