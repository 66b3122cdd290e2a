//! What one session has received, how far it is durable, and what its cookies tell (docs/wire.md section 5).
//!
//! What a session hands to the outputs at once is a *batch*; batches carry *tickets*, counted from 1, and so do the
//! letters to the dead-letter file. The numbers of a batch wait here until the outputs have synced its ticket and its letter stands
//! in the file. Nothing of this is shared between sessions: the outputs tell each session the last ticket they
//! have synced, and a record that came before, in another session, is durable once its repeat is synced.
//!
//! ```text
//! Numberings::record ──> SessionAcks::wait_for ──> batch with its ticket ──> Journal::take, note (each output)
//! SessionAcks::collect <── last ticket synced in every durable output <── write, sync, sidecar, SyncPoint::tickets
//! SessionAcks::cookie  ──> exporter
//! ```
//!
//! Timers: 200 ms between cookies while there is news, 1 s while something received is not durable.

mod schedule;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use self::schedule::CookieSchedule;
use crate::cookie::{Cookie, Entry, MAX_ENTRIES, State};
use crate::holdings::Holdings;
use crate::identity::Series;

/// Ranges remembered. Beyond, all are forgotten: the exporter keeps what cookies told, and sends the rest again.
const MAX_RANGES: usize = 1 << 16;

/// What one session has received and how far it is durable.
#[derive(Clone, Debug)]
pub struct SessionAcks {
    last: Ticket,
    waiting: VecDeque<Waiting>,
    /// Durable numbers of this session.
    covered: Holdings,
    /// Whether the exporter has asked for cookies.
    asked: bool,
    state: State,
    schedule: CookieSchedule,
    round: Round,
}

/// Place of a batch in its session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ticket {
    /// What outputs tell when they have synced the batch.
    pub batch: u64,
    /// What the dead-letter file tells when it has the batch's letter.
    pub letter: u64,
}

/// A batch that is not durable yet.
#[derive(Clone, Debug)]
struct Waiting {
    ticket: Ticket,
    numbers: Vec<(Series, Range<u64>)>,
}

/// Cookies that tell all ranges in turns, when they do not fit into one.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// Series and end of the last range told.
    told: Option<(Series, u64)>,
    /// Ranges have grown since the round began, so another must follow.
    again: bool,
}

impl Default for SessionAcks {
    fn default() -> Self {
        Self {
            last: Ticket::default(),
            waiting: VecDeque::new(),
            covered: Holdings::new(),
            asked: false,
            state: State::Ok,
            schedule: CookieSchedule::new(),
            round: Round::default(),
        }
    }
}

impl SessionAcks {
    /// Returns the acknowledgements of a new session.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a session record, the request for cookies.
    pub fn ask(&mut self, now: Instant) {
        self.asked = true;
        self.schedule.handle_session_record(now);
    }

    /// Tells in the next cookie how the collector is.
    pub fn set_state(&mut self, state: State) {
        if std::mem::replace(&mut self.state, state) != state {
            self.schedule.handle_news(self.is_uncovered());
        }
    }

    /// Notes a batch that carries these numbers, and returns its ticket. A part that the batch does not have (text for the
    /// outputs, a letter) keeps the ticket of the last one that had it.
    pub fn wait_for(
        &mut self,
        numbers: impl IntoIterator<Item = (Series, Range<u64>)>,
        has_text: bool,
        has_letter: bool,
    ) -> Ticket {
        self.last.batch += u64::from(has_text);
        self.last.letter += u64::from(has_letter);
        let ticket = self.last;
        self.waiting.push_back(Waiting { ticket, numbers: numbers.into_iter().collect() });
        self.schedule.handle_received();
        ticket
    }

    /// Takes the last batch that is synced in every durable output, and the last letter that is in the dead-letter
    /// file. Without a durable output (`None`) nothing waits for one, and nothing is ever acknowledged.
    pub fn collect(&mut self, synced: Option<u64>, letter: u64) {
        let is_done = |first: &Waiting| {
            synced.is_none_or(|synced| first.ticket.batch <= synced) && first.ticket.letter <= letter
        };
        let mut news = false;
        while self.waiting.front().is_some_and(is_done) {
            let Some(Waiting { numbers, .. }) = self.waiting.pop_front() else { break };
            if synced.is_some() {
                news |= !numbers.is_empty();
                numbers.into_iter().for_each(|(series, range)| self.covered.insert_range(series, range));
            }
        }
        if news {
            self.schedule.handle_news(self.is_uncovered());
            self.round.again = self.round.told.is_some();
        }
        if self.covered.range_count() > MAX_RANGES {
            self.covered = Holdings::new();
            self.round = Round::default();
        }
    }

    /// Tells whether the exporter may be waiting: something received is not durable, or reading has stopped, so that something
    /// may be on its way.
    fn is_uncovered(&self) -> bool {
        !self.waiting.is_empty() || self.state == State::Slow
    }

    /// Tells whether everything received is durable.
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns when the next cookie is due; `None` while there is nothing to say.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.schedule.poll_timeout()
    }

    /// Returns the cookie if one is due.
    pub fn cookie(&mut self, now: Instant, incarnation: u64) -> Option<Cookie> {
        if self.schedule.is_due(now) { self.cookie_now(now, incarnation) } else { None }
    }

    /// Returns a cookie, due or not; `None` if nobody asked for any.
    pub fn cookie_now(&mut self, now: Instant, incarnation: u64) -> Option<Cookie> {
        if !self.asked {
            return None;
        }
        let entries = self.next_entries();
        self.schedule.handle_sent(now, self.is_uncovered());
        if self.round.told.is_some() || std::mem::take(&mut self.round.again) {
            self.schedule.handle_news(self.is_uncovered());
        }
        Some(Cookie { incarnation, state: self.state, entries })
    }

    /// Returns the ranges for one cookie: those after what this round has told.
    fn next_entries(&mut self) -> Vec<Entry> {
        let all = self
            .covered
            .iter()
            .flat_map(|(series, ranges)| ranges.iter().map(move |numbers| (series, numbers)));
        let told = self.round.told;
        let mut rest =
            all.skip_while(|(series, numbers)| told.is_some_and(|told| (*series, numbers.end) <= told));
        let entries = rest.by_ref().take(MAX_ENTRIES).map(|(series, numbers)| Entry { series, numbers });
        let entries: Vec<_> = entries.collect();
        let is_complete = rest.next().is_none();
        let last = entries.last().map(|entry| (entry.series, entry.numbers.end));
        self.round.told = last.filter(|_| !is_complete);
        entries
    }

    /// Takes back the last cookie, which was not sent.
    pub fn repeat(&mut self) {
        self.round = Round::default();
        self.schedule.handle_news(self.is_uncovered());
    }

    /// Forgets the session's numbers, as after an association restart. Tickets go on.
    pub fn restart(&mut self) {
        self.waiting.iter_mut().for_each(|waiting| waiting.numbers.clear());
        self.covered = Holdings::new();
        self.asked = false;
        self.schedule = CookieSchedule::new();
        self.round = Round::default();
    }
}

#[cfg(test)]
mod tests;
