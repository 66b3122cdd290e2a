//! How faults strike: processes end or stop, links are cut, disks stall.

use super::{Event, Fault, Node, TRANSPORT_TIMEOUT, World, index};
use crate::milliseconds;

impl World {
    pub(super) fn break_something(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { collector, restart_after } => {
                if self.collectors[collector].incarnation().is_none() {
                    return;
                }
                let lost = self.collectors[collector].kill(&mut self.random);
                self.outcome.lost_unsynced += lost;
                self.note(collector, format!("killed, {lost} records lost unsynced"));
                self.nodes[collector + 1] = Node::default();
                self.agenda.add(self.now + restart_after, Event::Restart { collector });
                let noticed = self.now + self.random.between(milliseconds(50), milliseconds(300));
                for association in self.associations_of(collector) {
                    self.agenda.add(noticed, Event::LostAtExporter { association });
                }
            }
            Fault::Freeze { collector, time } => {
                self.note(collector, "frozen".into());
                self.nodes[collector + 1].frozen = true;
                self.agenda.add(self.now + time, Event::Thaw { node: collector + 1 });
            }
            Fault::FreezeExporter { time } => {
                self.nodes[0].frozen = true;
                self.agenda.add(self.now + time, Event::Thaw { node: 0 });
            }
            Fault::Cut { collector, time } => {
                let until = self.cut_until[collector].max(self.now + time);
                self.cut_until[collector] = until;
                self.links[collector].cut(until);
                for association in self.associations_of(collector) {
                    self.associations[index(association)].to_collector.cut(until);
                    self.associations[index(association)].to_exporter.cut(until);
                    self.agenda.add(self.now + TRANSPORT_TIMEOUT, Event::PathCheck { association });
                }
            }
            Fault::StallDisk { collector, time } => {
                self.stalled_until[collector] = self.stalled_until[collector].max(self.now + time);
            }
        }
    }

    fn associations_of(&self, collector: usize) -> Vec<u64> {
        let numbered = (0..).zip(&self.associations);
        let of = numbered
            .filter(|(_, association)| association.collector == collector && association.collector_up);
        of.map(|(number, _)| number).collect()
    }

    pub(super) fn thaw(&mut self, node: usize) {
        if !std::mem::take(&mut self.nodes[node].frozen) {
            return;
        }
        if let Some(collector) = node.checked_sub(1) {
            self.note(collector, "goes on".into());
        }
        std::mem::take(&mut self.nodes[node].inbox).into_iter().for_each(|event| self.handle(event));
    }

    pub(super) fn lost_at_collector(&mut self, association: u64) {
        let of = &mut self.associations[index(association)];
        of.collector_up = false;
        self.collectors[of.collector].handle_lost(association);
    }

    pub(super) fn check_path(&mut self, association: u64) {
        if self.associations[index(association)].to_collector.is_cut(self.now) {
            let delay = self.options.link.delay;
            self.agenda.add(self.now, Event::LostAtExporter { association });
            self.agenda.add(self.now + delay, Event::LostAtCollector { association });
        }
    }
}
