//! Who wants to see which records, and the latest of these, until they are asked for.
//!
//! A filter that nobody asks for ends after [`LEASE`]. Those who ask with the same filter share it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use service::ApiRequest;

use super::{Filter, PER_SECOND, Tap, Watch};

/// Filters at once.
const MAX_WATCHES: usize = 8;
/// A filter that nobody has asked for lives so long.
const LEASE: Duration = Duration::from_secs(10);
/// Records kept for each filter, and their octets.
const MAX_LINES: usize = 4_096;
const MAX_OCTETS: usize = 4 << 20;
/// Records of one answer, and their octets.
const ANSWER_LINES: usize = 1_024;
const ANSWER_OCTETS: usize = 1 << 20;
/// Requests that wait for a record at once, and for how long.
const MAX_WAITING: usize = 32;
const MAX_WAIT: Duration = Duration::from_secs(20);
/// Records are gathered for so long before who waits for them is answered.
const GATHER: Duration = Duration::from_millis(100);

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    pub(crate) filter: String,
    /// The number of the first record of interest; all that are kept without it.
    pub(crate) from: Option<u64>,
    /// How long to wait for a record if there is none.
    pub(crate) wait: Duration,
}

/// The filters, and their records.
#[derive(Debug)]
pub(crate) struct Watches {
    tap: Tap,
    living: Vec<Living>,
    waiting: Vec<Waiting>,
    /// When who waits for a record that has come is answered.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Living {
    text: String,
    watch: Arc<Watch>,
    lines: VecDeque<Box<str>>,
    octets: usize,
    /// The number of the first of `lines`; the first record that matched had 0.
    first: u64,
    asked: Instant,
}

#[derive(Debug)]
struct Waiting {
    request: ApiRequest,
    question: Question,
    until: Instant,
}

impl Watches {
    pub(crate) fn new(tap: Tap) -> Self {
        Self { tap, living: Vec::new(), waiting: Vec::new(), due: None }
    }

    /// Answers with the records that match, now or as soon as there is one.
    pub(crate) fn ask(&mut self, now: Instant, request: ApiRequest, question: Question) {
        let Err(error) = self.find(now, &question.filter) else {
            let until = now + question.wait.min(MAX_WAIT);
            if until <= now || self.has_news(&question) || self.waiting.len() >= MAX_WAITING {
                self.answer(now, request, &question);
            } else {
                self.waiting.push(Waiting { request, question, until });
            }
            return;
        };
        request.bad_request(&error);
    }

    /// Returns the latest records of all, as long as somebody asks for them again and again.
    pub(crate) fn latest(&mut self, now: Instant, count: usize) -> Vec<&str> {
        match self.find(now, "") {
            Ok(at) => {
                let lines = &self.living[at].lines;
                lines.iter().rev().take(count).map(|line| &**line).collect()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Finds a filter, or begins with it. Its lease begins anew.
    fn find(&mut self, now: Instant, text: &str) -> Result<usize, String> {
        let text = text.trim();
        if let Some(at) = self.living.iter().position(|living| living.text == text) {
            self.living[at].asked = now;
            return Ok(at);
        }
        let filter = Filter::parse(text).map_err(|error| error.to_string())?;
        if self.living.len() >= MAX_WATCHES {
            return Err(format!(
                "{MAX_WATCHES} other filters are in use; one that nobody asks for ends after {} s",
                LEASE.as_secs()
            ));
        }
        let (text, watch) = (text.to_owned(), Arc::new(Watch::new(filter)));
        let lines = VecDeque::new();
        self.living.push(Living { text, watch, lines, octets: 0, first: 0, asked: now });
        self.tell();
        Ok(self.living.len() - 1)
    }

    fn tell(&self) {
        self.tap.set_watches(self.living.iter().map(|living| Arc::clone(&living.watch)).collect());
    }

    /// Takes in records that a session found, each a line.
    pub(crate) fn take(&mut self, now: Instant, watch: &Arc<Watch>, lines: &[u8]) {
        let Some(living) = self.living.iter_mut().find(|living| Arc::ptr_eq(&living.watch, watch)) else {
            return;
        };
        // Lines of JSON are UTF-8.
        for line in String::from_utf8_lossy(lines).lines() {
            living.push(line);
        }
        if !self.waiting.is_empty() {
            self.due.get_or_insert(now + GATHER);
        }
    }

    /// Returns when [`Self::handle_timeout`] has something to do before the next second.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Answers those for whom there are records, and those who have waited long enough.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due > now) {
            return;
        }
        self.due = None;
        for Waiting { request, question, until } in std::mem::take(&mut self.waiting) {
            if request.is_abandoned() {
                continue;
            }
            // Waiting is asking.
            let is_over = self.find(now, &question.filter).is_err() || until <= now;
            if is_over || self.has_news(&question) {
                self.answer(now, request, &question);
            } else {
                self.waiting.push(Waiting { request, question, until });
            }
        }
    }

    /// A second is over: there is room for more records, and filters that nobody asks for end.
    pub(crate) fn next_second(&mut self, now: Instant) {
        self.handle_timeout(now);
        let before = self.living.len();
        self.living.retain(|living| now.saturating_duration_since(living.asked) < LEASE);
        if self.living.len() != before {
            self.tell();
        }
        for living in &self.living {
            living.watch.room.store(PER_SECOND.into(), Ordering::Relaxed);
        }
    }

    fn has_news(&self, question: &Question) -> bool {
        let living = self.living.iter().find(|living| living.text == question.filter.trim());
        living.is_some_and(|living| living.begin(question.from) < living.next())
    }

    #[cfg(test)]
    pub(super) fn watch(&self, text: &str) -> Arc<Watch> {
        Arc::clone(&self.living.iter().find(|living| living.text == text).unwrap().watch)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.living.len()
    }

    fn answer(&mut self, now: Instant, request: ApiRequest, question: &Question) {
        match self.find(now, &question.filter) {
            Ok(at) => request.answer(self.living[at].answer(question.from)),
            Err(error) => request.bad_request(&error),
        }
    }
}

impl Living {
    fn next(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    fn push(&mut self, line: &str) {
        self.octets += line.len();
        self.lines.push_back(line.into());
        while self.lines.len() > MAX_LINES || self.octets > MAX_OCTETS {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.octets -= oldest.len();
            self.first += 1;
        }
    }

    /// Returns the number of the first record to be told to who wants those from `from` on. Who wants what is still to come
    /// knows the numbers of an earlier filter.
    fn begin(&self, from: Option<u64>) -> u64 {
        from.filter(|from| (self.first..=self.next()).contains(from)).unwrap_or(self.first)
    }

    fn answer(&self, from: Option<u64>) -> String {
        let begin = self.begin(from);
        let missed = from.map_or(0, |from| begin.saturating_sub(from));
        let (mut records, mut count) = (String::new(), 0);
        for line in self.lines.iter().skip(usize::try_from(begin - self.first).unwrap_or(usize::MAX)) {
            if count > 0 && (count == ANSWER_LINES || records.len() + line.len() > ANSWER_OCTETS) {
                break;
            }
            records.extend([if count == 0 { "" } else { ",\n" }, line]);
            count += 1;
        }
        let about = json!({
            "filter": self.text,
            "next": begin + count as u64,
            "missed": missed,
            "matched": self.watch.matched.load(Ordering::Relaxed),
            "dropped": self.watch.dropped.load(Ordering::Relaxed),
        });
        // The records are JSON already.
        let about = about.to_string();
        format!("{},\"records\":[{records}]}}", about.strip_suffix('}').unwrap_or(&about))
    }
}
