//! The ladder of what happens, for golden files.

use std::ops::Range;

use exporter::spooling::{Command, Event};

use crate::exporter::SERIES;
use crate::message::{Item, show};
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

    pub(crate) fn note_exporter(&mut self, what: &str) {
        if let Some(ladder) = &mut self.ladder {
            ladder.event(self.now, "exporter", what);
        }
    }

    pub(crate) fn trace_command(&mut self, command: &Command) {
        if self.ladder.is_some() {
            let what = match command {
                Command::Append(message) => {
                    let memory = if message.in_memory { ", in memory, too" } else { "" };
                    format!(
                        "append {} records of {} octets{memory}",
                        message.flow_records,
                        message.sets.len()
                    )
                }
                Command::Return => "return".to_owned(),
                Command::Release(until) => format!("release before {}", until.0),
                Command::Templates(sets) => format!("templates of {} octets", sets.len()),
            };
            self.trace("exporter", "spool", &what);
        }
    }

    pub(crate) fn trace_told(&mut self, event: &Event) {
        if self.ladder.is_some() {
            let what = match event {
                Event::Synced { until, octets } => format!("synced before {}, {octets} octets", until.0),
                Event::Freed { octets } => format!("freed, {octets} octets"),
                Event::Returned { messages, end } => {
                    let positions: Vec<_> = messages.iter().map(|message| message.position.0).collect();
                    format!("returned {positions:?}{}", if *end { ", all" } else { "" })
                }
                Event::Dropped { until, flow_records } => {
                    format!("dropped before {}, {flow_records} records", until.0)
                }
                // Its text names the folder.
                Event::Failing { .. } => "failing".to_owned(),
                Event::Unread { .. } => "unread".to_owned(),
            };
            self.trace("spool", "exporter", &what);
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
                let epoch = match record.series.epoch {
                    epoch if epoch == SERIES.epoch => String::new(),
                    epoch => format!("epoch={epoch} "),
                };
                parts.push(format!(
                    "session record {epoch}firstNumber={} possibleDuplicateUntil={}",
                    record.first_number, record.possible_duplicate_until
                ));
            }
            Item::Flow { name, .. } => flows = Some(flows.map_or(*name, |range| range.start)..name + 1),
            Item::Lossy => lossy += 1,
            Item::Other => parts.push("class or statistics record".into()),
        }
    }
    parts.extend(flows.map(|range| format!("records {}", show(range))));
    if lossy > 0 {
        parts.push(format!("{lossy} records"));
    }
    if parts.is_empty() {
        parts.push("templates".into());
    }
    format!("stream {stream}: {}", parts.join(", "))
}
