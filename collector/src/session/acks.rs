//! Cookies of one session: what is durable here, told to the exporter (docs/wire.md section 5).
//!
//! [`SessionAcks`] knows what waits for what; here it meets what the outputs have synced, and the keys of the pool.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use delivery::cookie::State;
use delivery::session_acks::Ticket;
use delivery::{Cookie, KeyRing, Series, SessionAcks};

use crate::output::Progress;

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
    acks: SessionAcks,
}

impl Acks {
    pub(crate) fn new(signer: Option<Arc<Signer>>, progress: Arc<Progress>) -> Self {
        Self { signer, progress, acks: SessionAcks::new() }
    }

    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// The exporter has asked for cookies.
    pub(crate) fn ask(&mut self, now: Instant) {
        if self.signer.is_some() {
            self.acks.ask(now);
        }
    }

    /// Tells in the next cookie how the collector is.
    pub(crate) fn set_state(&mut self, state: State) {
        self.acks.set_state(state);
    }

    /// Notes a batch with these numbers; returns its ticket.
    pub(crate) fn wait_for(
        &mut self,
        numbers: impl IntoIterator<Item = (Series, Range<u64>)>,
        has_text: bool,
        has_letter: bool,
    ) -> Ticket {
        self.acks.wait_for(numbers, has_text, has_letter)
    }

    /// Takes in what the outputs have synced since.
    pub(crate) fn collect(&mut self) {
        self.acks.collect(self.progress.synced(), self.progress.letter());
    }

    /// Returns whether everything received is durable.
    pub(crate) fn is_settled(&self) -> bool {
        self.acks.is_settled()
    }

    /// Returns when the next cookie is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.acks.poll_timeout()
    }

    /// Returns the cookie's octets if one is due.
    pub(crate) fn cookie(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.sign(|acks, incarnation| acks.cookie(now, incarnation))
    }

    /// Returns the octets of a cookie, due or not; `None` if nobody wants one.
    pub(crate) fn cookie_now(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.sign(|acks, incarnation| acks.cookie_now(now, incarnation))
    }

    fn sign(&mut self, make: impl FnOnce(&mut SessionAcks, u64) -> Option<Cookie>) -> Option<Vec<u8>> {
        let signer = self.signer.as_ref()?;
        Some(make(&mut self.acks, signer.incarnation)?.encode(&signer.keys))
    }

    /// The last cookie was not sent.
    pub(crate) fn repeat(&mut self) {
        self.acks.repeat();
    }

    /// Forgets the session's numbers, as after an association restart.
    pub(crate) fn restart(&mut self) {
        self.acks.restart();
    }
}
