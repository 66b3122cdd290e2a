//! What the table keeps of a flow only where it is asked for: details, and the other direction of a biflow (RFC 5103).
//!
//! Apart from the flows themselves, under the same indices, so that flows without it need no room for it.

use super::record::{BiflowDirection, Details, FlowRecord, Reverse};
use super::seen::Seen;

/// What is kept beside the flows.
#[derive(Debug, Default)]
pub(super) struct Extra {
    details: Option<Vec<Details>>,
    reverse: Option<Vec<Other>>,
    /// That of the next flow.
    flow_id: u64,
}

/// The other direction, and what becomes different because of it.
#[derive(Clone, Copy, Debug)]
struct Other {
    reverse: Reverse,
    /// The last packet of the flow's own direction; the flow itself has the last of both.
    last: u64,
}

impl Extra {
    pub(super) fn new(details: bool, biflows: bool, first_flow_id: u64) -> Self {
        Self { details: details.then(Vec::new), reverse: biflows.then(Vec::new), flow_id: first_flow_id }
    }

    /// A flow begins at `index`, which follows the last or was used before. `goes_on`: it is the rest of the one there.
    pub(super) fn begin(&mut self, index: u32, seen: &Seen, direction: BiflowDirection, goes_on: bool) {
        if let Some(details) = &mut self.details {
            let flow_id = match details.get(index as usize) {
                Some(before) if goes_on => before.flow_id,
                _ => {
                    let flow_id = self.flow_id;
                    self.flow_id = flow_id.wrapping_add(1);
                    flow_id
                }
            };
            put(details, index, first_details(seen, flow_id));
        }
        if let Some(reverse) = &mut self.reverse {
            put(
                reverse,
                index,
                Other { reverse: Reverse { direction, ..Reverse::default() }, last: seen.timestamp },
            );
        }
    }

    /// A packet is added to the flow.
    #[inline]
    pub(super) fn add(&mut self, index: u32, seen: &Seen, is_reverse: bool) {
        if let Some(details) = &mut self.details {
            let details = &mut details[index as usize];
            details.minimum_length = details.minimum_length.min(seen.octets);
            details.maximum_length = details.maximum_length.max(seen.octets);
        }
        if let Some(reverse) = &mut self.reverse {
            let other = &mut reverse[index as usize];
            if is_reverse {
                add_reverse(&mut other.reverse, seen);
            } else {
                other.last = other.last.max(seen.timestamp);
            }
        }
    }

    /// Returns what depends on what is kept of a flow, and on nothing else: reading it is all that is wanted.
    #[inline]
    pub(super) fn touch(&self, index: u32) -> u64 {
        let details = self.details.as_ref().map_or(0, |details| details[index as usize].flow_id);
        let reverse = self.reverse.as_ref().map_or(0, |reverse| reverse[index as usize].reverse.packets);
        details ^ reverse
    }

    /// Returns the control bits of the other direction's packets, if there were any.
    pub(super) fn reverse_control_bits(&self, index: u32) -> Option<u16> {
        let reverse = &self.reverse.as_ref()?[index as usize].reverse;
        (reverse.packets > 0).then_some(reverse.tcp_control_bits)
    }

    /// Returns the octets of the other direction.
    pub(super) fn reverse_octets(&self, index: u32) -> u64 {
        self.reverse.as_ref().map_or(0, |reverse| reverse[index as usize].reverse.octets)
    }

    /// Returns how the directions of the flow were told apart.
    pub(super) fn direction(&self, index: u32) -> BiflowDirection {
        self.reverse
            .as_ref()
            .map_or(BiflowDirection::Initiator, |reverse| reverse[index as usize].reverse.direction)
    }

    /// Puts what is kept into the flow's record.
    pub(super) fn fill(&self, index: u32, record: &mut FlowRecord) {
        if let Some(details) = &self.details {
            record.details = details[index as usize];
        }
        if let Some(reverse) = &self.reverse {
            let other = &reverse[index as usize];
            record.end_ns = other.last;
            record.reverse = Some(other.reverse).filter(|reverse| reverse.packets > 0);
        }
    }
}

fn put<T>(all: &mut Vec<T>, index: u32, one: T) {
    match all.get_mut(index as usize) {
        Some(place) => *place = one,
        None => all.push(one),
    }
}

fn first_details(seen: &Seen, flow_id: u64) -> Details {
    let mut details = Details {
        flow_id,
        minimum_length: seen.octets,
        maximum_length: seen.octets,
        mpls_top_label: seen.mpls_top_label,
        ..Details::default()
    };
    details.destination_mac.copy_from_slice(&seen.mac_addresses[..6]);
    details.source_mac.copy_from_slice(&seen.mac_addresses[6..]);
    details
}

fn add_reverse(reverse: &mut Reverse, seen: &Seen) {
    if reverse.packets == 0 {
        reverse.start_ns = seen.timestamp;
        reverse.class_of_service = seen.class_of_service;
        reverse.minimum_ttl = seen.ttl;
    }
    reverse.octets += u64::from(seen.octets);
    reverse.packets += 1;
    reverse.start_ns = reverse.start_ns.min(seen.timestamp);
    reverse.end_ns = reverse.end_ns.max(seen.timestamp);
    reverse.tcp_control_bits |= seen.tcp_control_bits;
    reverse.minimum_ttl = reverse.minimum_ttl.min(seen.ttl);
    reverse.maximum_ttl = reverse.maximum_ttl.max(seen.ttl);
}
