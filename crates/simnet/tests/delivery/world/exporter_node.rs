//! What the exporter does outside: it meters, connects and sends.

use exporter::failover::{Sign, Transmit};
use rserpool_proto::PeId;
use transport::Ppid;

use super::{Association, EXPORT_TIME, Event, TRANSPORT_TIMEOUT, World, index};
use crate::exporter::Do;
use crate::message::{Item, identity};
use crate::milliseconds;
use crate::trace::{describe, name};

impl World {
    pub(super) fn tick(&mut self) {
        if self.stopping {
            return;
        }
        if self.now >= self.start + self.options.metering {
            return self.exporter.failover.finish();
        }
        for _ in 0..self.options.burst {
            if self.options.drops || self.exporter.failover.has_room() {
                let lossy = self.random.chance(self.options.lossy);
                self.exporter.meter(lossy);
            }
        }
        if self.options.loads && self.random.chance(1) {
            let collector = usize::try_from(self.random.below(self.loads.len() as u64)).unwrap();
            self.loads[collector] = self.random.below(100);
            self.list();
        }
        self.agenda.add(self.now + self.options.tick, Event::Tick { start: self.exporter.epoch() });
    }

    /// Lets the exporter do what is to be done.
    pub(crate) fn drive(&mut self) {
        if self.nodes[0].frozen.is_some() || !self.exporter_up {
            return;
        }
        let seconds = i64::try_from((self.now - self.start).as_secs()).unwrap();
        let export_time = u32::try_from(EXPORT_TIME + seconds + self.wall_offset).unwrap();
        for done in self.exporter.drive(self.now, export_time) {
            match done {
                Do::Connect { link, pe } => self.connect(link, pe),
                Do::Send { link, message, items } => self.send(link, message, items),
                Do::Close { link, in_order } => {
                    let association = link;
                    let at = if in_order {
                        self.associations[index(link)].to_collector.ordered(self.now, &mut self.random)
                    } else {
                        self.now + self.options.link.delay
                    };
                    self.agenda.add(at, Event::LostAtCollector { association });
                }
                Do::Spool(command) => self.spool_command(command),
                Do::Note(text) => self.note_exporter(&text),
            }
        }
    }

    pub(super) fn connect(&mut self, association: u64, pe: PeId) {
        let collector = pe.0 as usize;
        let link = self.links[collector].clone();
        let incarnation = self.collectors[collector].incarnation();
        let is_cut = link.is_cut(self.now);
        assert_eq!(association, self.associations.len() as u64);
        self.associations.push(Association {
            collector,
            incarnation,
            to_collector: link.clone(),
            to_exporter: link.clone(),
            collector_up: true,
        });
        let frozen = self.nodes[collector + 1].frozen.is_some();
        let (after, event) = if is_cut || frozen {
            (TRANSPORT_TIMEOUT, Event::ConnectFailed { association })
        } else if incarnation.is_none() || self.collectors[collector].is_draining() {
            (2 * link.delay, Event::ConnectFailed { association })
        } else {
            (4 * link.delay, Event::Connected { association })
        };
        self.agenda.add(self.now + after, event);
    }

    pub(super) fn connected(&mut self, association: u64) {
        let Association { collector, incarnation, .. } = self.associations[index(association)];
        self.trace("exporter", &name(collector), "connected");
        self.exporter.connected(self.now, association, true);
        if self.collectors[collector].incarnation() != incarnation {
            let sign = Sign::Lost;
            self.agenda.add(self.now, Event::LostAtExporter { association, sign });
        }
    }

    pub(super) fn send(&mut self, association: u64, message: Transmit, items: Vec<Item>) {
        let Association { collector, to_collector, .. } = &mut self.associations[index(association)];
        let arrival = to_collector.ordered(self.now, &mut self.random);
        let collector = *collector;
        self.check_on_disk(&items);
        let flows = items.iter().filter(|item| matches!(item, Item::Flow { .. })).count();
        let spoiled = flows > 0 && flows == items.len() && self.random.below(1_000) < self.options.spoiled;
        if message.ppid == Ppid::IPFIX {
            self.trace("exporter", &name(collector), &describe(message.stream, &items));
        }
        if message.reliability != transport::Reliability::Full && self.random.chance(10) {
            let token = message.token.expect("its fate is of interest");
            let outcome = transport::Outcome::Abandoned;
            return self.agenda.add(arrival + milliseconds(500), Event::Sent { association, token, outcome });
        }
        self.agenda.add(arrival, Event::Message { association, message, items, spoiled });
    }

    /// What is to be on disk before it is sent is, unless the disk fails.
    fn check_on_disk(&self, items: &[Item]) {
        let Some(spool) = self.spool.as_ref().filter(|_| self.exporter.failover.spool_failing().is_none())
        else {
            return;
        };
        for item in items {
            if let Item::Flow { name, .. } = item {
                let may_be_sent = !self.exporter.spooled.contains(*name) || spool.lets_out(*name);
                assert!(may_be_sent, "{} is sent before it is on disk", identity(*name));
            }
        }
    }
}
