//! The exporter ends and starts again: what its spool must have kept, and what may be gone with the process.

use std::time::{Duration, Instant};

use delivery::{RangeSet, Series};
use exporter::export::ClassIndex;
use exporter::failover::DropReason;
use exporter::spooling::Event as SpoolEvent;

use super::{Event, Node, World, index};
use crate::message::{names, show};
use crate::milliseconds;
use crate::spool::Turn;

/// What is known of all starts of the exporter before the one that runs.
#[derive(Default)]
pub(crate) struct Past {
    /// How many records each has made.
    pub(crate) made: Vec<(Series, u64)>,
    /// Records that may be nowhere: the process was killed before they were on disk.
    pub(crate) excused: RangeSet,
    /// Records dropped from memory; nobody tells which.
    pub(crate) dropped: u64,
    /// Records that the spool must have for the next start, but for those that collectors have.
    required: RangeSet,
    /// How many wait there, as the exporter said when it ended in good order.
    kept: Option<u64>,
}

impl World {
    /// Ends the process; what the spool has not been told to be on disk may be lost.
    pub(crate) fn kill_exporter(&mut self, restart_after: Duration) {
        if !self.exporter_up {
            return;
        }
        let Some(spool) = &mut self.spool else { return };
        self.outcome.torn += u64::from(spool.kill(&mut self.random));
        self.outcome.kills += 1;
        let mut required = spool.oracle.synced.clone();
        without(&mut required, &spool.oracle.evicted);
        self.exporter_ends(required, "killed", restart_after);
    }

    /// Ends the process in good order, when everything is covered or time is up.
    pub(crate) fn stop_exporter(&mut self, restart_after: Duration, until: Instant) {
        if !self.exporter_up || self.stopping {
            return;
        }
        self.stopping = true;
        self.note_exporter("is to end");
        self.exporter.failover.finish();
        let start = self.exporter.epoch();
        self.agenda.add(self.now, Event::StopCheck { start, until, restart_after });
    }

    pub(crate) fn check_stop(&mut self, until: Instant, restart_after: Duration) {
        if !self.exporter.failover.is_done() && self.now < until {
            let start = self.exporter.epoch();
            let check = Event::StopCheck { start, until, restart_after };
            return self.agenda.add(self.now + milliseconds(50), check);
        }
        let waiting = self.exporter.failover.class_books(ClassIndex(0)).waiting;
        self.outcome.stopped += 1;
        self.outcome.spilled += waiting;
        let closed = self.close_spool();
        let oracle = &self.spool.as_ref().unwrap().oracle;
        let mut required = if closed { self.made() } else { oracle.synced.clone() };
        without(&mut required, if closed { &self.past.excused } else { &oracle.evicted });
        without(&mut required, &oracle.dropped);
        if closed {
            // Those that had come back and had not found room in memory are counted in the end, and not told by name.
            let full = self.exporter.failover.spool_counts().full;
            self.past.dropped += full - self.full;
            self.past.kept = Some(self.exporter.failover.class_books(ClassIndex(0)).waiting);
        }
        self.exporter_ends(required, "ends", restart_after);
    }

    /// Puts everything on disk that no collector has; tells whether the disk took it.
    pub(crate) fn close_spool(&mut self) -> bool {
        let failover = &mut self.exporter.failover;
        let until = failover.spill().unwrap();
        let mut commands = Vec::new();
        while let Some(command) = failover.poll_spool(self.now, 0) {
            commands.push(command);
        }
        let (events, closed) = self.spool.as_mut().unwrap().close(commands, until);
        events.into_iter().for_each(|event| self.take_event(event));
        closed
    }

    fn exporter_ends(&mut self, required: RangeSet, how: &str, restart_after: Duration) {
        let made = self.made();
        let books = self.exporter.failover.class_books(ClassIndex(0));
        self.past.made.push((self.exporter.series(), self.exporter.metered));
        self.full = 0;
        self.outcome.replayed += books.resent;
        self.outcome.spooled += self.exporter.failover.spool_counts().spooled;
        self.past.dropped += books.dropped[DropReason::BufferFull as usize];
        self.note_exporter(&format!("{how}, {} records waiting", books.waiting));
        let mut excused = made;
        without(&mut excused, &required);
        self.past.excused.union(&excused);
        self.past.required = required;
        (self.exporter_up, self.stopping) = (false, false);
        self.nodes[0] = Node::default();
        self.agenda.add(self.now + restart_after, Event::StartExporter);
        for association in 0..self.associations.len() as u64 {
            let of = &mut self.associations[index(association)];
            if of.collector_up {
                let at = of.to_collector.ordered(self.now, &mut self.random);
                self.agenda.add(at, Event::LostAtCollector { association });
            }
        }
    }

    pub(crate) fn start_exporter(&mut self) {
        if self.exporter_up {
            return;
        }
        let found = self.spool.as_mut().unwrap().open();
        if let Some(kept) = self.past.kept.take() {
            assert!(
                found.config.flow_records >= kept,
                "{kept} were said to wait on disk: {:?}",
                found.config
            );
        }
        let mut lost = std::mem::take(&mut self.past.required);
        without(&mut lost, &self.delivered());
        without(&mut lost, &found.names);
        let shown: Vec<_> = lost.iter().map(show).collect();
        assert!(lost.count() <= self.past.dropped, "neither found nor delivered: {shown:?}");
        // What was dropped from memory was dropped for good.
        self.past.excused.union(&lost);
        self.outcome.recovered += found.config.flow_records;
        self.outcome.doubles += found.doubles.count();
        self.note_exporter(&format!("starts, {} records found", found.config.flow_records));
        self.exporter.restart(self.now, found);
        self.exporter_up = true;
        let start = self.exporter.epoch();
        self.agenda.add(self.now, Event::Tick { start });
    }

    /// All records of class `reliable` ever made.
    pub(crate) fn made(&self) -> RangeSet {
        let mut made = RangeSet::new();
        let now = [(self.exporter.series(), self.exporter.metered)];
        let running = now.iter().filter(|_| self.exporter_up);
        for &(series, numbers) in self.past.made.iter().chain(running) {
            made.insert_range(names(series, 0..numbers));
        }
        made
    }

    /// Records that collectors have for good, be it as dead letters.
    pub(crate) fn delivered(&self) -> RangeSet {
        let mut delivered = RangeSet::new();
        for collector in &self.collectors {
            for identity in collector.disk.records() {
                delivered.insert(crate::message::name(identity.series(), identity.number));
            }
            for (series, numbers) in collector.disk.letters.iter() {
                numbers.iter().for_each(|numbers| delivered.insert_range(names(series, numbers)));
            }
        }
        delivered
    }

    pub(crate) fn spool_command(&mut self, command: exporter::spooling::Command) {
        self.trace_command(&command);
        let Some(spool) = &mut self.spool else { return };
        let planned = spool.hand_over(self.now, command, &mut self.random);
        self.plan_spool(planned);
    }

    fn plan_spool(&mut self, planned: Option<(Instant, u64, Turn)>) {
        let start = self.exporter.epoch();
        if let Some((at, number, turn)) = planned {
            self.agenda.add(at, Event::SpoolTurn { start, number, turn });
        }
    }

    pub(crate) fn spool_turn(&mut self, number: u64, turn: Turn) {
        let Some(spool) = self.spool.as_mut().filter(|spool| spool.is_planned(number)) else { return };
        let planned = match turn {
            Turn::Take => {
                let dropped = self.past.dropped
                    + self.exporter.failover.class_books(ClassIndex(0)).dropped
                        [DropReason::BufferFull as usize];
                let covered = &self.exporter.covered;
                let is_settled = |names| dropped > 0 || covered.covers(names);
                Some(spool.take_turn(self.now, &mut self.random, is_settled))
            }
            Turn::Sync => {
                let (told, planned) = spool.synced(self.now, &mut self.random);
                let start = self.exporter.epoch();
                told.into_iter().for_each(|at| self.agenda.add(at, Event::SpoolTold { start }));
                planned
            }
        };
        self.plan_spool(planned);
    }

    pub(crate) fn spool_told(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        let event = spool.arrived();
        self.take_event(event);
        self.check_promise();
    }

    fn take_event(&mut self, event: SpoolEvent) {
        self.trace_told(&event);
        let oracle = &mut self.spool.as_mut().unwrap().oracle;
        match &event {
            SpoolEvent::Synced { until, .. } => oracle.reported(until.0),
            SpoolEvent::Dropped { flow_records, .. } => {
                self.outcome.full += flow_records;
                self.full += flow_records;
            }
            SpoolEvent::Failing { .. } => self.outcome.failing += 1,
            _ => {}
        }
        self.exporter.failover.handle_spool(event);
    }

    /// What the exporter says to be on disk is, but for what made room, or was delivered.
    fn check_promise(&self) {
        let oracle = &self.spool.as_ref().unwrap().oracle;
        let numbers = 0..self.exporter.failover.spool_counts().synced_numbers;
        let books = self.exporter.failover.books();
        let mut promised = RangeSet::new();
        promised.insert_range(names(self.exporter.series(), numbers));
        for kept in [&oracle.synced, &oracle.evicted, &self.exporter.covered] {
            without(&mut promised, kept);
        }
        let shown: Vec<_> = promised.iter().map(show).collect();
        assert!(promised.count() <= books.dropped(), "said to be on disk, and are not: {shown:?}");
    }
}

/// Takes `others` out of `names`.
fn without(names: &mut RangeSet, others: &RangeSet) {
    others.iter().for_each(|range| names.remove_range(range));
}
