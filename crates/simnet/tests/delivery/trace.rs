//! The ladder of what happens, for golden files.

use std::ops::Range;

use super::World;
use crate::collector::{Item, Message};

impl World {
    pub(super) fn trace(&mut self, from: &str, to: &str, what: &str) {
        if let Some(ladder) = &mut self.ladder {
            ladder.message(self.now, from, to, what);
        }
    }

    pub(super) fn note(&mut self, collector: usize, what: String) {
        if let Some(ladder) = &mut self.ladder {
            ladder.event(self.now, name(collector), what);
        }
    }
}

pub(super) fn name(collector: usize) -> String {
    format!("collector {collector}")
}

pub(super) fn describe(message: &Message) -> String {
    let mut parts = Vec::new();
    let mut flows: Option<Range<u64>> = None;
    for item in &message.records {
        match item {
            Item::SessionRecord(octets) => {
                let number = |at: usize| u64::from_be_bytes(octets[at..at + 8].try_into().unwrap());
                parts.extend(flows.take().map(|range| format!("records {range:?}")));
                parts.push(format!(
                    "session record firstNumber={} possibleDuplicateUntil={}",
                    number(24),
                    number(32)
                ));
            }
            Item::Flow(octets) => {
                let number = u64::from_be_bytes(octets[8..].try_into().unwrap());
                flows = Some(flows.map_or(number, |range| range.start)..number + 1);
            }
        }
    }
    parts.extend(flows.map(|range| format!("records {range:?}")));
    parts.join(", ")
}
