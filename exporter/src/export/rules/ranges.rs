//! Sets of field values, whatever the field's length.

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Values of one information element: ranges of big-endian numbers, ascending and apart from each other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ranges {
    /// Values of fields of at most eight octets: nearly all.
    narrow: Vec<RangeInclusive<u64>>,
    /// Values of longer fields: IPv6 addresses.
    wide: Vec<RangeInclusive<u128>>,
}

impl Ranges {
    /// Returns the numbers of `ranges`.
    pub fn numbers(ranges: impl IntoIterator<Item = RangeInclusive<u64>>) -> Self {
        let wide = ranges.into_iter().map(|range| u128::from(*range.start())..=u128::from(*range.end()));
        let narrow = merge(wide.collect()).into_iter();
        #[expect(clippy::cast_possible_truncation, reason = "they come from u64")]
        let narrow = narrow.map(|range| *range.start() as u64..=*range.end() as u64);
        Self { narrow: narrow.collect(), wide: Vec::new() }
    }

    /// Returns the addresses of these prefixes (address and length); all must be of one IP version, and
    /// no length be longer than the address.
    pub fn prefixes(prefixes: impl IntoIterator<Item = (IpAddr, u8)>) -> Self {
        let (mut narrow, mut wide) = (Vec::new(), Vec::new());
        for (address, length) in prefixes {
            match address {
                IpAddr::V4(address) => {
                    let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                    let first = u32::from(address) & !host;
                    narrow.push(u64::from(first)..=u64::from(first | host));
                }
                IpAddr::V6(address) => {
                    let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                    let first = u128::from(address) & !host;
                    wide.push(first..=first | host);
                }
            }
        }
        Self { wide: merge(wide), ..Self::numbers(narrow) }
    }

    /// Tells whether the number in these octets, big-endian and 16 at most, is one of the values.
    #[inline]
    pub fn contain(&self, octets: &[u8]) -> bool {
        if octets.len() <= 8 {
            let value = octets.iter().fold(0, |value, octet| value << 8 | u64::from(*octet));
            return holds(&self.narrow, &value);
        }
        let value = octets.iter().fold(0, |value, octet| value << 8 | u128::from(*octet));
        holds(&self.wide, &value)
    }

    /// Tells whether all its values are values of `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        is_within(&self.narrow, &other.narrow) && is_within(&self.wide, &other.wide)
    }
}

/// Few ranges are the rule: looked at in turn. Many are searched.
#[inline]
fn holds<N: Ord>(ranges: &[RangeInclusive<N>], value: &N) -> bool {
    match ranges {
        [only] => only.contains(value),
        ranges if ranges.len() <= 8 => ranges.iter().any(|range| range.contains(value)),
        ranges => {
            let at = ranges.partition_point(|range| range.end() < value);
            ranges.get(at).is_some_and(|range| range.contains(value))
        }
    }
}

fn merge(mut ranges: Vec<RangeInclusive<u128>>) -> Vec<RangeInclusive<u128>> {
    ranges.sort_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u128>> = Vec::with_capacity(ranges.len());
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match merged.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}

fn is_within<N: Ord>(inner: &[RangeInclusive<N>], outer: &[RangeInclusive<N>]) -> bool {
    // Ranges that touch are merged, so one of the outer ranges holds the whole of an inner one or nothing does.
    inner
        .iter()
        .all(|inner| outer.iter().any(|outer| outer.start() <= inner.start() && inner.end() <= outer.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap_or_touch_are_one() {
        let ranges = Ranges::numbers([5..=7, 1..=3, 4..=4, 6..=9, 20..=20]);
        assert_eq!(ranges.narrow, [1..=9, 20..=20]);
        assert!(Ranges::numbers([3..=9]).is_within(&ranges));
        assert!(!Ranges::numbers([3..=10]).is_within(&ranges));
    }

    #[test]
    fn a_prefix_is_a_range_of_addresses() {
        let v4 = Ranges::prefixes([([192, 0, 2, 77].into(), 24), ([0; 4].into(), 32)]);
        assert!(v4.contain(&[192, 0, 2, 0]) && v4.contain(&[192, 0, 2, 255]) && v4.contain(&[0; 4]));
        assert!(!v4.contain(&[192, 0, 3, 0]) && !v4.contain(&[0, 0, 0, 1]));
        let v6 = Ranges::prefixes([("2001:db8::".parse().unwrap(), 32)]);
        assert!(v6.contain(&"2001:db8:ffff::1".parse::<std::net::Ipv6Addr>().unwrap().octets()));
        assert!(!v6.contain(&"2001:db9::".parse::<std::net::Ipv6Addr>().unwrap().octets()));
        assert!(Ranges::prefixes([([1; 4].into(), 0)]).contain(&[255; 4]));
    }

    #[test]
    fn many_ranges_are_searched() {
        let even = Ranges::numbers((0..100).map(|number| number * 2..=number * 2));
        for number in 0..=255_u8 {
            assert_eq!(even.contain(&[0, number]), number < 200 && number.is_multiple_of(2), "{number}");
        }
    }
}
