//! Selector Report Interpretation (RFC 5476 section 6.5.2): how packets were selected before they were metered.

use super::{OptionsRecord, Template};
use crate::export::fields::SELECTOR_ID as OWN_ID;
use crate::metering;

/// IANA's elements.
const SELECTOR_ID: u16 = 302;
const ALGORITHM: u16 = 304;
const PACKET_INTERVAL: u16 = 305;
const PACKET_SPACE: u16 = 306;
const SIZE: u16 = 309;
const POPULATION: u16 = 310;
const PROBABILITY: u16 = 311;
const PAYLOAD_OFFSET: u16 = 327;
const PAYLOAD_SIZE: u16 = 328;
const OUTPUT_RANGE_MIN: u16 = 329;
const OUTPUT_RANGE_MAX: u16 = 330;
const SELECTED_RANGE_MIN: u16 = 331;
const SELECTED_RANGE_MAX: u16 = 332;

/// One selector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selector {
    /// selectorId, unique in the exporting process; flow records may have it.
    pub id: u64,
    /// How it selects.
    pub method: Method,
}

/// What a selector does (RFC 5475 sections 5 and 6), with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Systematic count-based: `interval` packets are taken, `space` are left out, and again.
    CountBased {
        /// Packets taken in a row.
        interval: u32,
        /// Packets left out in a row.
        space: u32,
    },
    /// Random: `size` out of each `population`.
    OutOf {
        /// Packets taken.
        size: u32,
        /// Packets they are chosen from.
        population: u32,
    },
    /// Random: each with this probability, from 0 to 1.
    Probability(f64),
    /// By a hash over the packet's content: taken where it lies in a part of its range.
    Hash {
        /// IANA's selectorAlgorithm: 6 for BOB, 7 for IPSX, 8 for CRC.
        algorithm: u16,
        /// Where in the IP payload the hashed octets begin, and how many they are.
        payload: (u64, u64),
        /// The smallest and the greatest value the hash may have.
        output: (u64, u64),
        /// The smallest and the greatest value that is selected.
        selected: (u64, u64),
    },
}

impl From<metering::Selector> for Selector {
    /// Returns what to tell of the metering process's own selector.
    fn from(selector: metering::Selector) -> Self {
        let method = match selector {
            metering::Selector::Systematic { interval, space } => Method::CountBased { interval, space },
            metering::Selector::Random { size, population } => Method::OutOf { size, population },
            metering::Selector::Uniform { probability } => Method::Probability(probability),
            metering::Selector::Hash { payload, .. } => {
                let (low, high) = selector.selected_range().unwrap_or(0..=u32::MAX).into_inner();
                Method::Hash {
                    algorithm: selector.algorithm(),
                    payload: (payload.offset.into(), payload.size.into()),
                    output: (0, u32::MAX.into()),
                    selected: (low.into(), high.into()),
                }
            }
        };
        Self { id: OWN_ID, method }
    }
}

impl Selector {
    /// Returns its options record.
    pub(super) fn record(&self) -> OptionsRecord {
        let with = |template, algorithm: u16, more: &[(u16, u16)]| {
            let mut record =
                OptionsRecord::new(template, &[(SELECTOR_ID, 8)], &[&[(ALGORITHM, 2)], more].concat());
            record.writer.unsigned(self.id, 8).unsigned(algorithm.into(), 2);
            record
        };
        match self.method {
            Method::CountBased { interval, space } => {
                let mut record = with(Template::CountBased, 1, &[(PACKET_INTERVAL, 4), (PACKET_SPACE, 4)]);
                record.writer.unsigned(interval.into(), 4).unsigned(space.into(), 4);
                record
            }
            Method::OutOf { size, population } => {
                let mut record = with(Template::OutOf, 3, &[(SIZE, 4), (POPULATION, 4)]);
                record.writer.unsigned(size.into(), 4).unsigned(population.into(), 4);
                record
            }
            Method::Probability(probability) => {
                let mut record = with(Template::Probability, 4, &[(PROBABILITY, 8)]);
                record.writer.float64(probability);
                record
            }
            Method::Hash { algorithm, payload, output, selected } => {
                let elements = [
                    PAYLOAD_OFFSET,
                    PAYLOAD_SIZE,
                    OUTPUT_RANGE_MIN,
                    OUTPUT_RANGE_MAX,
                    SELECTED_RANGE_MIN,
                    SELECTED_RANGE_MAX,
                ];
                let mut record = with(Template::Hash, algorithm, &elements.map(|element| (element, 8)));
                for (low, high) in [payload, output, selected] {
                    record.writer.unsigned(low, 8).unsigned(high, 8);
                }
                record
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::sampling::HashedPayload;

    #[test]
    fn what_is_told_of_the_metering_process_is_what_it_does() {
        let method = |selector: metering::Selector| Selector::from(selector).method;
        let systematic = metering::Selector::Systematic { interval: 1, space: 99 };
        assert_eq!(method(systematic), Method::CountBased { interval: 1, space: 99 });
        let random = metering::Selector::Random { size: 3, population: 100 };
        assert_eq!(method(random), Method::OutOf { size: 3, population: 100 });
        let uniform = metering::Selector::Uniform { probability: 0.25 };
        assert_eq!(method(uniform), Method::Probability(0.25));
        let payload = HashedPayload { offset: 8, size: 12 };
        let hash = metering::Selector::Hash { probability: 0.25, initialiser: 0, payload };
        let Method::Hash { algorithm, payload, output, selected } = method(hash) else {
            panic!("a hash");
        };
        assert_eq!((algorithm, payload, output), (6, (8, 12), (0, 0xffff_ffff)));
        assert_eq!((selected.1 - selected.0 + 1) * 4, output.1 + 1);
        assert_eq!(Selector::from(systematic).id, OWN_ID);
    }
}
