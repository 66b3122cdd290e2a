//! Collectors start, take messages, sync and acknowledge.

use delivery::cookie::State;
use exporter::failover::Transmit;
use transport::Ppid;

use super::{Association, Event, World, index};
use crate::message::{Item, identity};
use crate::milliseconds;

impl World {
    pub(super) fn start_collector(&mut self, collector: usize) {
        let incarnation = self.random.bits();
        self.collectors[collector].start(incarnation);
        self.note(
            collector,
            format!("starts with {} records", self.collectors[collector].disk.records().len()),
        );
        self.agenda.add(self.now + self.options.sync_interval, Event::SyncStart { collector, incarnation });
        self.list_soon();
    }

    pub(super) fn start_sync(&mut self, collector: usize, incarnation: u64) {
        if !self.is(collector, incarnation) {
            return;
        }
        match self.collectors[collector].begin_sync() {
            Some(sync) => {
                let took = self.random.between(milliseconds(1), milliseconds(60));
                let done = self.stalled_until[collector].max(self.now) + took;
                if done > self.now + milliseconds(1_000) {
                    self.collectors[collector].set_state(State::Slow);
                }
                self.agenda.add(done, Event::DataSynced { collector, incarnation, sync });
            }
            None => {
                let next = self.now + self.options.sync_interval;
                self.agenda.add(next, Event::SyncStart { collector, incarnation });
            }
        }
    }

    pub(super) fn message(&mut self, association: u64, message: &Transmit, items: &[Item], spoiled: bool) {
        let Association { collector, incarnation, collector_up, .. } = self.associations[index(association)];
        let Some(incarnation) = incarnation.filter(|&it| collector_up && self.is(collector, it)) else {
            return;
        };
        if message.ppid == Ppid::IPFIX {
            let identities = || {
                let flows = items.iter().filter_map(|item| match item {
                    Item::Flow { name, .. } => Some(identity(*name)),
                    _ => None,
                });
                flows.collect()
            };
            let (now, octets) = (self.now, (message.stream, &message.octets[..]));
            let letter =
                self.collectors[collector].handle_message(now, association, octets, spoiled.then(identities));
            if let Some(letter) = letter {
                self.outcome.spoiled += 1;
                // One thread writes them, in order.
                let written = self.letters_until[collector].max(now) + milliseconds(30);
                self.letters_until[collector] = written;
                self.agenda.add(written, Event::LetterWritten { collector, incarnation, letter });
            }
        }
        if let Some(token) = message.token {
            let arrival =
                self.associations[index(association)].to_exporter.ordered(self.now, &mut self.random);
            let outcome = transport::Outcome::Delivered;
            self.agenda.add(arrival, Event::Sent { association, token, outcome });
        }
    }

    pub(super) fn send_cookies(&mut self, collector: usize) {
        for (association, octets) in self.collectors[collector].cookies(self.now, &self.keys) {
            if self.options.foreign {
                continue;
            }
            let arrival =
                self.associations[index(association)].to_exporter.ordered(self.now, &mut self.random);
            self.agenda.add(arrival, Event::Cookie { association, octets });
        }
    }
}
