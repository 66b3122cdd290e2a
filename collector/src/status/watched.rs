//! The session's side of what is shown of it: its entry in the register, and those who look at its records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ipfix::{Summary, Template};
use transport::PeerAddress;

use super::register::{Entered, Entry, Register};
use crate::tap::{Examiner, Look, Tap};

/// Where sessions are shown. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    sessions: Register,
    tap: Tap,
}

impl Window {
    /// Returns where the sessions of this register are shown, to those who look through this tap.
    pub(crate) fn new(sessions: Register, tap: Tap) -> Self {
        Self { sessions, tap }
    }

    /// A session begins: it is shown until what is returned is dropped.
    pub(crate) fn show(&self, peer: PeerAddress) -> Watched {
        let entry = self.sessions.enter(peer);
        let examiner = self.tap.examiner(entry.id, peer.ip());
        Watched { entry, domain: None, examiner }
    }
}

/// A session that is shown.
#[derive(Debug)]
pub(crate) struct Watched {
    entry: Entered,
    /// Of the last message.
    domain: Option<u32>,
    examiner: Examiner,
}

impl Watched {
    /// Returns the entry, and who looks at the message to come, of so many octets.
    #[inline]
    pub(crate) fn look(&mut self, octets: usize) -> (&Entry, Option<Look<'_>>) {
        (&self.entry, self.examiner.look(octets))
    }

    /// Returns the entry, for those who write parts of it.
    pub(crate) fn share(&self) -> Arc<Entry> {
        self.entry.share()
    }

    /// A message of so many octets came, well-formed or not; `now` is in milliseconds since the Unix epoch.
    #[inline]
    pub(crate) fn message(&self, octets: usize, now: u64) {
        self.entry.messages.add(1);
        self.entry.octets.add(octets as u64);
        self.entry.last.store(now, Ordering::Relaxed);
    }

    /// It was well-formed. Its records are counted last: who sees them sees the rest.
    #[inline]
    pub(crate) fn count(&mut self, summary: &Summary) {
        let entry = &self.entry;
        if self.domain != Some(summary.domain) {
            self.domain = Some(summary.domain);
            entry.add_domain(summary.domain);
        }
        let seldom = summary.options_records
            + summary.lost
            + summary.late
            + summary.no_template_sets
            + summary.templates_refused;
        if seldom > 0 {
            entry.options.add(summary.options_records.into());
            entry.lost.add(summary.lost.into());
            entry.late.add(summary.late.into());
            entry.no_template.add(summary.no_template_sets.into());
            entry.refused.add(summary.templates_refused.into());
        }
        entry.records.add(summary.records.into());
    }

    /// It was malformed.
    pub(crate) fn malformed(&self) {
        self.entry.malformed.add(1);
    }

    /// It has these templates now.
    pub(crate) fn set_templates<'a>(&self, templates: impl Iterator<Item = (u32, &'a Arc<Template>)>) {
        self.entry.set_templates(templates);
    }
}
