//! The largest flows of a table, found a part at a time, so that no packet waits for millions of flows.
//!
//! Nothing on a packet's way knows of it. Whoever begins a [`Survey`] goes on with it when there is time ([`FlowTable::survey`]);
//! meanwhile flows begin, grow and end as ever. Flows that began after it are not found, and those that ended before it was over are
//! left out.

use std::collections::BTreeMap;

use super::FlowTable;
use crate::metering::key::FlowKey;
use crate::metering::record::{FlowEndReason, FlowRecord};

/// Flows that a survey finds.
pub const LARGEST: usize = 50;
/// Flows looked at in one turn: 352 KiB, which take some tens of microseconds.
const TURN: usize = 4096;

/// A search for the flows with the most octets, those of the other direction included.
#[derive(Debug)]
pub struct Survey {
    /// Flows that were not looked at.
    left: usize,
    /// The largest so far, by their octets and index. Another flow may be there at the end.
    largest: BTreeMap<(u64, u32), FlowKey>,
}

impl FlowTable {
    /// Returns a survey in which nothing was looked at.
    pub const fn begin_survey(&self) -> Survey {
        Survey { left: self.flows.len(), largest: BTreeMap::new() }
    }

    /// Looks at some flows more. Returns whether there are others.
    pub fn survey(&self, survey: &mut Survey) -> bool {
        let begin = survey.left.saturating_sub(TURN);
        // There are no more flows than numbers, and places stay.
        let first = u32::try_from(begin).unwrap_or(u32::MAX);
        for (index, flow) in (first..).zip(&self.flows[begin..survey.left]) {
            let octets = flow.octets + self.extra.reverse_octets(index);
            let smallest = survey.largest.first_key_value().map_or(0, |(&(octets, _), _)| octets);
            let is_among = survey.largest.len() < LARGEST || octets > smallest;
            // Of one that has ended the place is still there. Few flows get so far.
            if is_among && self.has(index, &flow.key) {
                survey.largest.insert((octets, index), flow.key);
                if survey.largest.len() > LARGEST {
                    survey.largest.pop_first();
                }
            }
        }
        survey.left = begin;
        begin > 0
    }

    /// Returns the records that would come if the flows found ended at this moment, those with the most octets first.
    pub fn largest(&self, survey: &Survey) -> Vec<FlowRecord> {
        let found = survey.largest.iter().map(|(&(_, index), key)| (index, key));
        let kept = found.filter(|&(index, key)| self.has(index, key));
        let mut records: Vec<FlowRecord> =
            kept.map(|(index, _)| self.describe(index, FlowEndReason::ForcedEnd)).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.octets_both_ways()));
        records
    }

    /// Tells whether the flow at `index` is kept, and has this key.
    fn has(&self, index: u32, key: &FlowKey) -> bool {
        self.flows[index as usize].key == *key
            && self.indices.find(self.hasher.hash(key), |other| other == index).is_some()
    }
}
