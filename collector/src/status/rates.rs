//! What sessions do a second, and what all of them did in the last minutes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use service::page::History;

use super::register::Entry;
use crate::tap::SAMPLES;

/// Rates are of the last so many looks.
const LOOKS: usize = 5;
/// Samples of the charts.
const SAMPLES_OF_CHARTS: usize = 150;

/// Looks at the sessions once a second.
#[derive(Debug)]
pub(super) struct Rates {
    sessions: HashMap<u64, Looks>,
    last: Option<Instant>,
    total: Rate,
    /// Records of all sessions found missing since the start.
    pub(super) lost: u64,
    pub(super) records: History,
    pub(super) octets: History,
    pub(super) losses: History,
}

/// What is done a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) messages: f64,
    pub(super) octets: f64,
    pub(super) records: f64,
    /// It waits for an output, and nothing else happens.
    pub(super) is_waiting: bool,
}

/// What a session had done at the last looks, the oldest first.
#[derive(Clone, Debug)]
struct Looks {
    counts: Vec<(Instant, [u64; 3])>,
    lost: u64,
    is_waiting: bool,
}

impl Rates {
    pub(super) fn new(interval: Duration) -> Self {
        let history = || History::new(interval, SAMPLES_OF_CHARTS);
        Self {
            sessions: HashMap::new(),
            last: None,
            total: Rate::default(),
            lost: 0,
            records: history(),
            octets: history(),
            losses: history(),
        }
    }

    /// Looks at the sessions there are.
    pub(super) fn look(&mut self, now: Instant, sessions: &[Arc<Entry>]) {
        let seconds = self.last.map_or(0.0, |last| now.saturating_duration_since(last).as_secs_f64());
        let (mut counts, mut lost) = ([0; 3], 0);
        let mut known = std::mem::take(&mut self.sessions);
        for entry in sessions {
            let done = [entry.messages.get(), entry.octets.get(), entry.records.get()];
            // One that came since the last look had done nothing then.
            let mut looks = known.remove(&entry.id).unwrap_or_else(|| Looks {
                counts: vec![(self.last.unwrap_or(now), [0; 3])],
                lost: 0,
                is_waiting: false,
            });
            let before = looks.counts.last().map_or([0; 3], |(_, counts)| *counts);
            for (sum, (done, before)) in counts.iter_mut().zip(done.into_iter().zip(before)) {
                *sum += done - before;
            }
            let missing = entry.lost.get().saturating_sub(entry.late.get());
            lost += missing.saturating_sub(looks.lost);
            looks.lost = looks.lost.max(missing);
            looks.is_waiting = entry.is_waiting.load(Ordering::Relaxed) && done == before;
            if looks.counts.len() > LOOKS {
                looks.counts.remove(0);
            }
            looks.counts.push((now, done));
            self.sessions.insert(entry.id, looks);
        }
        self.last = Some(now);
        self.lost += lost;
        self.total = Rate::of(counts, seconds);
        self.records.push(self.total.records);
        self.octets.push(self.total.octets);
        self.losses.push(per_second(lost, seconds));
    }

    /// Returns what one session does, on average over the last looks.
    pub(super) fn of(&self, session: u64) -> Rate {
        let Some(Looks { counts, is_waiting, .. }) = self.sessions.get(&session) else {
            return Rate::default();
        };
        let (Some((first, before)), Some((last, done))) = (counts.first(), counts.last()) else {
            return Rate::default();
        };
        let done = [0, 1, 2].map(|at| done[at] - before[at]);
        Rate {
            is_waiting: *is_waiting,
            ..Rate::of(done, last.saturating_duration_since(*first).as_secs_f64())
        }
    }

    /// Returns what all sessions did in the last second.
    pub(super) fn total(&self) -> Rate {
        self.total
    }

    /// Returns how many messages there are for each that is sampled.
    pub(super) fn one_in(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast to integers saturates"
        )]
        let messages = self.total.messages as u32;
        (messages / SAMPLES).max(1)
    }
}

impl Rate {
    fn of([messages, octets, records]: [u64; 3], seconds: f64) -> Self {
        Self {
            messages: per_second(messages, seconds),
            octets: per_second(octets, seconds),
            records: per_second(records, seconds),
            is_waiting: false,
        }
    }
}

fn per_second(count: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use transport::PeerAddress;

    use super::super::register::Register;
    use super::*;

    #[test]
    fn a_rate_is_of_the_last_seconds_and_the_total_of_the_last_one() {
        let (register, start) = (Register::default(), Instant::now());
        let session = register.enter(PeerAddress::Sim(1));
        let mut rates = Rates::new(Duration::from_secs(1));
        for second in 0..20 {
            session.messages.add(if second < 15 { 0 } else { 6_400 });
            session.records.add(if second < 15 { 0 } else { 50 });
            rates.look(start + Duration::from_secs(second), &register.sessions());
        }
        assert_eq!((rates.of(1).records, rates.total().records), (50.0, 50.0));
        assert_eq!(rates.one_in(), 100);
        rates.look(start + Duration::from_secs(20), &register.sessions());
        assert_eq!((rates.of(1).records, rates.total().records), (40.0, 0.0));
        assert_eq!(rates.one_in(), 1);
        assert_eq!(rates.records.samples().filter(|sample| *sample > 0.0).count(), 5);
    }

    #[test]
    fn what_a_session_did_before_its_first_look_counts_and_it_is_forgotten_when_it_ends() {
        let (register, start) = (Register::default(), Instant::now());
        let mut rates = Rates::new(Duration::from_secs(1));
        rates.look(start, &[]);
        let session = register.enter(PeerAddress::Sim(1));
        session.records.add(7);
        session.lost.add(5);
        session.late.add(2);
        rates.look(start + Duration::from_secs(1), &register.sessions());
        assert_eq!((rates.total().records, rates.lost), (7.0, 3));
        drop(session);
        rates.look(start + Duration::from_secs(2), &register.sessions());
        assert_eq!((rates.of(1), rates.sessions.len(), rates.lost), (Rate::default(), 0, 3));
    }

    #[test]
    fn a_session_waits_for_an_output_only_where_nothing_else_happens() {
        let (register, start) = (Register::default(), Instant::now());
        let session = register.enter(PeerAddress::Sim(1));
        let mut rates = Rates::new(Duration::from_secs(1));
        session.is_waiting.store(true, Ordering::Relaxed);
        session.messages.add(1);
        rates.look(start, &register.sessions());
        assert!(!rates.of(1).is_waiting);
        rates.look(start + Duration::from_secs(1), &register.sessions());
        assert!(rates.of(1).is_waiting);
    }
}
