//! The exporter of the model: retention, the watch over the session in use, and an oracle of what may be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use delivery::ack_watch::{AckWatch, Config, Expectation, Failure};
use delivery::cookie::Entry;
use delivery::retention::{HoldBack, Mark, Outgoing, SessionId};
use delivery::{Cookie, Epoch, Identity, KeyRing, Ledger, Retention};

use crate::collector::{Item, Message};

/// Records in one message at most.
const MESSAGE: usize = 20;
/// Windows to the measure of the model's records, 16 octets each.
const WATCH: Config = Config {
    frozen_after: std::time::Duration::from_secs(3),
    shrink_after: std::time::Duration::from_secs(1),
    slow_after: std::time::Duration::from_secs(30),
    initial_window: 2_048,
    min_window: 256,
    max_window: 8_192,
};

pub(crate) struct Active {
    pub(crate) association: u64,
    pub(crate) collector: usize,
    session: SessionId,
    watch: AckWatch,
    sequences: BTreeMap<u32, u32>,
    /// Where sequence numbers begin: in half of the sessions they soon wrap.
    first_sequence: u32,
    sent: BTreeSet<Identity>,
}

pub(crate) struct Exporter {
    pub(crate) retention: Retention,
    pub(crate) active: Option<Active>,
    /// The association that is being opened.
    pub(crate) connecting: Option<u64>,
    /// Sent and not covered.
    open: BTreeSet<Identity>,
    /// Were open when a session ended: only these may be repeated.
    pub(crate) exposed: BTreeSet<Identity>,
}

impl Exporter {
    pub(crate) fn new(ledger: Ledger, epoch: Epoch, limit: usize) -> Self {
        Self {
            retention: Retention::new(ledger, epoch, limit),
            active: None,
            connecting: None,
            open: BTreeSet::new(),
            exposed: BTreeSet::new(),
        }
    }

    pub(crate) fn handle_connected(
        &mut self,
        association: u64,
        collector: usize,
        expectation: Expectation,
        seed: u64,
    ) {
        let session = self.retention.open_session();
        let watch = AckWatch::new(WATCH, expectation, seed);
        let (sequences, sent) = (BTreeMap::new(), BTreeSet::new());
        let first_sequence = if seed.is_multiple_of(2) { 0 } else { u32::MAX - 150 };
        self.active =
            Some(Active { association, collector, session, watch, sequences, first_sequence, sent });
    }

    /// The messages that the window allows.
    pub(crate) fn messages(&mut self, now: Instant) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        let Some(Active { session, watch, sequences, first_sequence, sent, .. }) = &mut self.active else {
            return messages;
        };
        while watch.may_send(self.retention.in_flight(*session)) {
            let Some(outgoing) = self.retention.next(*session) else { break };
            let (domain, item) = match outgoing {
                Outgoing::SessionRecord(record) => {
                    let mut octets = Vec::new();
                    record.encode(&mut octets);
                    (record.series.domain, Item::SessionRecord(octets))
                }
                Outgoing::Record { identity, octets, replayed, .. } => {
                    assert_eq!(
                        replayed,
                        self.exposed.contains(&identity),
                        "replayed is what was open at a failover"
                    );
                    assert!(sent.insert(identity), "a session sends a record once");
                    self.open.insert(identity);
                    watch.handle_sent(now);
                    (identity.domain, Item::Flow(octets.to_vec()))
                }
            };
            let sequence = sequences.entry(domain).or_insert(*first_sequence);
            match messages.last_mut().filter(|last| last.domain == domain && last.records.len() < MESSAGE) {
                Some(last) => last.records.push(item),
                None => messages.push(Message {
                    domain,
                    sequence: *sequence,
                    records: vec![item],
                    spoiled: false,
                }),
            }
            *sequence = sequence.wrapping_add(1);
        }
        messages
    }

    /// Takes a cookie; returns what it told.
    pub(crate) fn handle_cookie(&mut self, now: Instant, octets: &[u8], keys: &KeyRing) -> Vec<Entry> {
        let Cookie { entries, .. } = Cookie::decode(octets, keys).unwrap();
        let Some(Active { session, watch, sent, .. }) = &mut self.active else { return entries };
        let covered = self.retention.cover(*session, &entries);
        for Entry { series, numbers } in &entries {
            let told = series.identity(numbers.start)..series.identity(numbers.end);
            let open: Vec<_> =
                self.open.range(told).filter(|identity| sent.contains(identity)).copied().collect();
            open.iter().for_each(|identity| assert!(self.open.remove(identity)));
        }
        watch.handle_cookie(now, covered.records > 0, self.retention.in_flight(*session));
        entries
    }

    /// How far the session in use has sent.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.retention.mark(self.active.as_ref()?.session)
    }

    /// Takes the transport's acknowledgement of what was sent up to `mark`.
    pub(crate) fn handle_transport_acknowledged(&mut self, now: Instant, mark: Mark) {
        let Some(Active { session, .. }) = &self.active else { return };
        self.retention.handle_transport_acknowledged(*session, mark, now);
    }

    /// Lets go what a collector without cookies has by all likelihood.
    pub(crate) fn cover_by_hold_back(&mut self, now: Instant) {
        let Some(Active { session, watch, .. }) = &self.active else { return };
        if !watch.sends_cookies() {
            let hold_back = HoldBack::within(self.retention.limit());
            self.retention.cover_by_hold_back(*session, now, hold_back);
        }
    }

    /// Ends the session; what it left open may be repeated.
    pub(crate) fn close(&mut self) -> Option<Active> {
        let active = self.active.take()?;
        self.retention.close_session(active.session);
        self.exposed.extend(&self.open);
        Some(active)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.active.as_ref().and_then(|active| active.watch.poll_timeout())
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Failure> {
        let watch = &mut self.active.as_mut()?.watch;
        if watch.poll_timeout().is_some_and(|due| due <= now) {
            watch.handle_timeout(now);
        }
        watch.poll_output()
    }
}
