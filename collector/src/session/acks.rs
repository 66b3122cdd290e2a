//! Cookies of one session: what is durable here, told to the exporter (docs/wire.md section 5).
//!
//! Every batch and letter of the session waits here with the numbers it carries until the outputs have synced it.
//! [`CookieSchedule`] tells when a cookie is due.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use delivery::cookie::{Cookie, Entry, MAX_ENTRIES, State};
use delivery::{CookieSchedule, Holdings, KeyRing, Series};

use crate::output::Progress;

/// Ranges remembered; the exporter keeps what earlier cookies told.
const MAX_RANGES: usize = 1 << 16;

/// What signs cookies.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) keys: KeyRing,
    /// Random per start of the collector.
    pub(crate) incarnation: u64,
}

/// What one session has received and how far it is durable.
#[derive(Debug)]
pub(crate) struct Acks {
    /// None: this collector sends no cookies.
    signer: Option<Arc<Signer>>,
    progress: Arc<Progress>,
    tickets: u64,
    letters: u64,
    waiting: VecDeque<Waiting>,
    /// Durable numbers of this session.
    covered: Holdings,
    /// Whether the exporter has asked for cookies.
    asked: bool,
    state: State,
    schedule: CookieSchedule,
    /// Entries already told by the last cookie of a round, when they do not fit in one.
    told: usize,
}

/// A batch that is not synced yet. It is when the ticket is, and the letter is.
#[derive(Debug)]
struct Waiting {
    ticket: u64,
    letter: u64,
    numbers: Vec<(Series, Range<u64>)>,
}

impl Acks {
    pub(crate) fn new(signer: Option<Arc<Signer>>, progress: Arc<Progress>) -> Self {
        Self {
            signer,
            progress,
            tickets: 0,
            letters: 0,
            waiting: VecDeque::new(),
            covered: Holdings::new(),
            asked: false,
            state: State::Ok,
            schedule: CookieSchedule::new(),
            told: 0,
        }
    }

    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// The exporter has asked for cookies.
    pub(crate) fn ask(&mut self, now: Instant) {
        if self.signer.is_some() {
            self.asked = true;
            self.schedule.handle_session_record(now);
        }
    }

    /// Tells in the next cookie how the collector is.
    pub(crate) fn set_state(&mut self, state: State) {
        if std::mem::replace(&mut self.state, state) != state {
            self.schedule.handle_news(self.is_uncovered());
        }
    }

    /// Notes a batch with these numbers; returns (its ticket, the number of its letter).
    pub(crate) fn wait_for(
        &mut self,
        numbers: impl IntoIterator<Item = (Series, Range<u64>)>,
        has_text: bool,
        has_letter: bool,
    ) -> (u64, u64) {
        self.tickets += u64::from(has_text);
        self.letters += u64::from(has_letter);
        let numbers = numbers.into_iter().collect();
        self.waiting.push_back(Waiting { ticket: self.tickets, letter: self.letters, numbers });
        self.schedule.handle_received();
        (self.tickets, self.letters)
    }

    /// Takes in what the outputs have synced since.
    pub(crate) fn collect(&mut self) {
        let synced = self.progress.synced().unwrap_or(u64::MAX);
        let letter = self.progress.letter();
        let mut news = false;
        let is_durable = |first: &Waiting| first.ticket <= synced && first.letter <= letter;
        while self.waiting.front().is_some_and(is_durable) {
            let Some(Waiting { numbers, .. }) = self.waiting.pop_front() else { break };
            news |= !numbers.is_empty();
            numbers.into_iter().for_each(|(series, range)| self.covered.insert_range(series, range));
        }
        if news {
            self.schedule.handle_news(self.is_uncovered());
        }
        if self.covered.range_count() > MAX_RANGES {
            self.covered = Holdings::new();
        }
    }

    /// Whether the exporter may be waiting: something received is not durable, or reading has stopped, so that something may
    /// be on its way.
    fn is_uncovered(&self) -> bool {
        !self.waiting.is_empty() || self.state == State::Slow
    }

    /// Returns whether everything received is durable.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns when the next cookie is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.schedule.poll_timeout()
    }

    /// Returns the cookie's octets if one is due.
    pub(crate) fn cookie(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.schedule.is_due(now).then(|| self.make(now)).flatten()
    }

    /// Returns the octets of a cookie, due or not; `None` if nobody wants one.
    pub(crate) fn make(&mut self, now: Instant) -> Option<Vec<u8>> {
        let signer = self.signer.as_ref().filter(|_| self.asked)?;
        let mut entries: Vec<Entry> = Vec::new();
        let all = self
            .covered
            .iter()
            .flat_map(|(series, ranges)| ranges.iter().map(move |numbers| (series, numbers)));
        entries
            .extend(all.skip(self.told).take(MAX_ENTRIES).map(|(series, numbers)| Entry { series, numbers }));
        let complete = self.told + entries.len() == self.covered.range_count();
        self.told = if complete { 0 } else { self.told + entries.len() };
        self.schedule.handle_sent(now, self.is_uncovered());
        if !complete {
            self.schedule.handle_news(self.is_uncovered());
        }
        Some(Cookie { incarnation: signer.incarnation, state: self.state, entries }.encode(&signer.keys))
    }

    /// The last cookie was not sent.
    pub(crate) fn repeat(&mut self) {
        self.told = 0;
        self.schedule.handle_news(self.is_uncovered());
    }

    /// Forgets the session's numbers, as after an association restart.
    pub(crate) fn restart(&mut self) {
        self.waiting.iter_mut().for_each(|waiting| waiting.numbers.clear());
        self.covered = Holdings::new();
        self.asked = false;
        self.schedule = CookieSchedule::new();
        self.told = 0;
    }
}
