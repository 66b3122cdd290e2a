//! The ladder of what happens, for golden files.

use std::ops::Range;

use crate::message::Item;
use crate::world::World;

impl World {
    pub(crate) fn trace(&mut self, from: &str, to: &str, what: &str) {
        if let Some(ladder) = &mut self.ladder {
            ladder.message(self.now, from, to, what);
        }
    }

    pub(crate) fn note(&mut self, collector: usize, what: String) {
        if let Some(ladder) = &mut self.ladder {
            ladder.event(self.now, name(collector), what);
        }
    }
}

pub(crate) fn name(collector: usize) -> String {
    format!("collector {collector}")
}

pub(crate) fn describe(stream: u16, items: &[Item]) -> String {
    let mut parts = Vec::new();
    let mut flows: Option<Range<u64>> = None;
    let mut lossy = 0;
    for item in items {
        match item {
            Item::Session { record, .. } => {
                parts.push(format!(
                    "session record firstNumber={} possibleDuplicateUntil={}",
                    record.first_number, record.possible_duplicate_until
                ));
            }
            Item::Flow { name, .. } => flows = Some(flows.map_or(*name, |range| range.start)..name + 1),
            Item::Lossy => lossy += 1,
            Item::Other => parts.push("class or statistics record".into()),
        }
    }
    parts.extend(flows.map(|range| format!("records {range:?}")));
    if lossy > 0 {
        parts.push(format!("{lossy} records"));
    }
    if parts.is_empty() {
        parts.push("templates".into());
    }
    format!("stream {stream}: {}", parts.join(", "))
}
