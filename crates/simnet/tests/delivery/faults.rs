//! How faults strike: processes end, stop or drain, links are cut, disks stall, the registrar is away, clocks jump.

use std::time::{Duration, Instant};

use delivery::cookie::State;
use exporter::failover::Sign;

use crate::milliseconds;
use crate::scenario::Fault;
use crate::spool::Broken;
use crate::world::{Event, KEEP_ALIVE, Node, TRANSPORT_TIMEOUT, World, index};

/// How long a collector that drains waits for its exporters.
const DRAIN: Duration = Duration::from_secs(10);

impl World {
    pub(crate) fn break_something(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { collector, restart_after } => self.kill(collector, restart_after, Sign::Lost),
            Fault::Drain { collector, restart_after } => {
                let Some(incarnation) = self.collectors[collector].incarnation() else { return };
                self.collectors[collector].set_state(State::Draining);
                self.note(collector, "drains".into());
                self.list_soon();
                let until = self.now + DRAIN;
                let check = Event::DrainCheck { collector, incarnation, until, restart_after };
                self.agenda.add(self.now + milliseconds(100), check);
            }
            Fault::Freeze { collector, time } => {
                self.note(collector, "frozen".into());
                self.nodes[collector + 1].frozen.get_or_insert(self.now);
                self.agenda.add(self.now + time, Event::Thaw { node: collector + 1 });
                self.agenda.add(self.now + KEEP_ALIVE + milliseconds(1), Event::List);
                self.check_paths(collector);
            }
            Fault::FreezeExporter { time } => {
                self.nodes[0].frozen.get_or_insert(self.now);
                self.agenda.add(self.now + time, Event::Thaw { node: 0 });
            }
            Fault::Cut { collector, time } => {
                let until = self.cut_until[collector].max(self.now + time);
                self.cut_until[collector] = until;
                self.links[collector].cut(until);
                for association in self.associations_of(collector) {
                    self.associations[index(association)].to_collector.cut(until);
                    self.associations[index(association)].to_exporter.cut(until);
                }
                self.check_paths(collector);
            }
            Fault::StallDisk { collector, time } => {
                self.stalled_until[collector] = self.stalled_until[collector].max(self.now + time);
            }
            Fault::Registrar { time } => {
                self.exporter.pool.set_registrar(self.now, false);
                self.agenda.add(self.now + time, Event::RegistrarUp);
            }
            Fault::Clock { seconds } => self.wall_offset += seconds,
            Fault::CutAll { time } => {
                for collector in 0..self.collectors.len() {
                    self.break_something(Fault::Cut { collector, time });
                }
            }
            Fault::KillExporter { restart_after } => self.kill_exporter(restart_after),
            Fault::StopExporter { drain, restart_after } => {
                self.stop_exporter(restart_after, self.now + drain);
            }
            Fault::BreakSpool { broken, time } => {
                self.spool.iter_mut().for_each(|spool| spool.break_disk(broken));
                self.agenda.add(self.now + time, Event::BreakSpool(Broken::Nothing));
            }
            Fault::StallSpool { time } => {
                let until = self.now + time;
                self.spool.iter_mut().for_each(|spool| spool.stall(until));
            }
        }
    }

    /// Ends the process; what was not synced is lost.
    fn kill(&mut self, collector: usize, restart_after: Duration, sign: Sign) {
        if self.collectors[collector].incarnation().is_none() {
            return;
        }
        let lost = self.collectors[collector].kill(&mut self.random);
        self.outcome.lost_unsynced += lost;
        self.note(collector, format!("ends, {lost} records lost unsynced"));
        self.nodes[collector + 1] = Node::default();
        self.agenda.add(self.now + restart_after, Event::Restart { collector });
        let noticed = self.now + self.random.between(milliseconds(50), milliseconds(300));
        for association in self.associations_of(collector) {
            self.agenda.add(noticed, Event::LostAtExporter { association, sign });
        }
        self.list_soon();
    }

    /// A collector that drains ends when its exporters have gone, or after some time.
    pub(crate) fn check_drain(
        &mut self,
        collector: usize,
        incarnation: u64,
        until: Instant,
        restart_after: Duration,
    ) {
        let is_used = !self.associations_of(collector).is_empty();
        if is_used && self.now < until {
            let check = Event::DrainCheck { collector, incarnation, until, restart_after };
            return self.agenda.add(self.now + milliseconds(100), check);
        }
        self.outcome.drained += u64::from(!is_used);
        self.kill(collector, restart_after, Sign::Shutdown);
    }

    /// The associations of a collector that says nothing are lost later, but not where a kernel answers for it.
    fn check_paths(&mut self, collector: usize) {
        for association in self.associations_of(collector) {
            self.agenda.add(self.now + TRANSPORT_TIMEOUT, Event::PathCheck { association });
        }
    }

    /// The associations that the collector knows of.
    fn associations_of(&self, collector: usize) -> Vec<u64> {
        let numbered = (0..).zip(&self.associations);
        let of = numbered
            .filter(|(_, association)| association.collector == collector && association.collector_up);
        of.map(|(number, _)| number).collect()
    }

    pub(crate) fn thaw(&mut self, node: usize) {
        if self.nodes[node].frozen.take().is_none() {
            return;
        }
        if let Some(collector) = node.checked_sub(1) {
            self.note(collector, "goes on".into());
            self.list_soon();
        }
        for event in std::mem::take(&mut self.nodes[node].inbox) {
            self.handle(event);
            self.drive();
        }
    }

    pub(crate) fn lost_at_collector(&mut self, association: u64) {
        let of = &mut self.associations[index(association)];
        of.collector_up = false;
        self.collectors[of.collector].handle_lost(association);
    }

    pub(crate) fn check_path(&mut self, association: u64) {
        let of = &self.associations[index(association)];
        let silent = self.nodes[of.collector + 1].frozen.is_some_and(|at| at + TRANSPORT_TIMEOUT <= self.now);
        if of.to_collector.is_cut(self.now) || (silent && !self.options.kernel) {
            let delay = self.options.link.delay;
            self.agenda.add(self.now, Event::LostAtExporter { association, sign: Sign::Lost });
            self.agenda.add(self.now + delay, Event::LostAtCollector { association });
        }
    }
}
