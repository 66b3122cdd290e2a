//! The transport session with one collector over UDP (RFC 7011 sections 8.4 and 10.3): what is packed, what waits for
//! the socket, and when templates are repeated. Without sockets and clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipfix::{Content, ExportingConfig, ExportingSession, OutMessage};

use crate::export::options::{self, Sent, Told};
use crate::export::{TemplateIndex, Templates};

/// UDP has no streams.
const STREAM: u16 = 0;
/// Messages that wait for the socket at most, before no more records are taken.
const QUEUE: usize = 64;

/// What a [`Session`] needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionConfig {
    /// Observation Domain ID.
    pub(super) domain: u32,
    /// Octets of a message at most, at first.
    pub(super) max_message: usize,
    /// How often templates are repeated.
    pub(super) template_refresh: Duration,
    /// After how many messages of records they are repeated as well.
    pub(super) template_refresh_packets: u32,
    /// How long a record waits for its message to fill.
    pub(super) linger: Duration,
}

/// Where all flow records are: metered = sent + dropped + waiting.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Books {
    /// Flow records taken.
    pub(super) metered: u64,
    /// Those given to the network. What becomes of them nobody tells.
    pub(super) sent: u64,
    /// Those this host refused to send.
    pub(super) dropped: u64,
    /// Those in no message yet, or in one that waits for the socket.
    pub(super) waiting: u64,
    /// Messages given to the network, and their octets.
    pub(super) messages: u64,
    /// See `messages`.
    pub(super) octets: u64,
    /// How often templates were repeated.
    pub(super) refreshes: u64,
}

/// A message that waits for the socket.
#[derive(Debug)]
pub(super) struct Queued {
    message: OutMessage,
    /// Flow records in it.
    flows: u64,
}

impl AsRef<[u8]> for Queued {
    fn as_ref(&self) -> &[u8] {
        self.message.as_ref()
    }
}

#[derive(Debug)]
pub(super) struct Session {
    config: SessionConfig,
    exporting: ExportingSession,
    queue: VecDeque<Queued>,
    books: Books,
    /// What options records tell; without it there are none.
    told: Option<Told>,
    /// Messages of records since the templates.
    since_templates: u32,
    next_refresh: Instant,
    /// When the message being filled goes as it is.
    flush_at: Option<Instant>,
}

impl Session {
    /// Returns a session whose first messages are the templates, twice: one copy may get lost
    /// (RFC 7011 section 8.4). Options records follow them each time. `export_time` here and below is in seconds since the Unix epoch.
    pub(super) fn new(config: SessionConfig, templates: &Templates, now: Instant, export_time: u32) -> Self {
        let SessionConfig { domain, max_message, .. } = config;
        let mut exporting = ExportingSession::new(ExportingConfig { domain, max_message });
        for template in templates.records(STREAM) {
            exporting.define(STREAM, template).expect("flow templates are valid and have ids of their own");
        }
        let mut session = Self {
            config,
            exporting,
            queue: VecDeque::new(),
            books: Books::default(),
            told: None,
            since_templates: 0,
            next_refresh: now + config.template_refresh,
            flush_at: None,
        };
        session.exporting.repeat_templates(export_time);
        session.exporting.repeat_templates(export_time);
        session.collect(now, export_time);
        session
    }

    /// Tells whether more records should be given.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < QUEUE
    }

    /// Takes an encoded flow record.
    pub(super) fn push(&mut self, template: TemplateIndex, record: &[u8], now: Instant, export_time: u32) {
        self.books.metered += 1;
        match self.exporting.record(STREAM, template.id(STREAM), record, export_time) {
            Ok(()) => {
                self.books.waiting += 1;
                self.flush_at.get_or_insert(now + self.config.linger);
            }
            // The encoder and the template are of one table.
            Err(_) => self.books.dropped += 1,
        }
        self.collect(now, export_time);
    }

    /// Says what options records tell from here on. Where names changed they go at once.
    pub(super) fn set_told(&mut self, told: Told, export_time: u32) {
        let known = self.told.replace(told);
        let is_known = known.zip(self.told.as_ref());
        if !is_known.is_some_and(|(known, told)| Arc::ptr_eq(&known.described, &told.described)) {
            self.tell(export_time);
        }
    }

    /// Limits messages to so many octets from now on.
    pub(super) fn set_max_message(&mut self, octets: usize) {
        self.exporting.set_max_message(octets);
    }

    /// Finishes the message being filled.
    pub(super) fn flush(&mut self, now: Instant, export_time: u32) {
        self.flush_at = None;
        self.exporting.flush_all(export_time);
        self.collect(now, export_time);
    }

    /// Returns when [`Self::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.flush_at.map_or(self.next_refresh, |flush_at| flush_at.min(self.next_refresh))
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, export_time: u32) {
        if self.next_refresh <= now {
            self.refresh(now, export_time);
        }
        if self.flush_at.is_some_and(|flush_at| flush_at <= now) {
            self.flush(now, export_time);
        }
    }

    /// Returns the messages to be sent, in order.
    pub(super) fn messages(&mut self) -> &[Queued] {
        self.queue.make_contiguous()
    }

    /// The first `count` messages have left.
    pub(super) fn handle_sent(&mut self, count: usize) {
        for Queued { message, flows } in self.queue.drain(..count.min(self.queue.len())) {
            self.books.messages += 1;
            self.books.octets += message.octets.len() as u64;
            self.books.sent += flows;
            self.books.waiting -= flows;
        }
    }

    /// The first message cannot be sent.
    pub(super) fn handle_refused(&mut self) {
        if let Some(Queued { flows, .. }) = self.queue.pop_front() {
            self.books.dropped += flows;
            self.books.waiting -= flows;
        }
    }

    /// Tells whether nothing waits.
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty() && self.flush_at.is_none()
    }

    /// Returns where all flow records are.
    pub(super) const fn books(&self) -> Books {
        self.books
    }

    /// Moves finished messages to the queue, with the templates where they are due between them.
    fn collect(&mut self, now: Instant, export_time: u32) {
        while let Some(message) = self.exporting.poll_message() {
            self.since_templates += u32::from(message.content == Content::DataOnly);
            let flows = message.records.into();
            self.queue.push_back(Queued { message, flows });
            if self.since_templates >= self.config.template_refresh_packets {
                self.refresh(now, export_time);
            }
        }
    }

    fn refresh(&mut self, now: Instant, export_time: u32) {
        self.finish(export_time);
        self.exporting.repeat_templates(export_time);
        self.books.refreshes += 1;
        self.since_templates = 0;
        self.next_refresh = now + self.config.template_refresh;
        self.tell(export_time);
    }

    /// Finishes the message being filled, if options records are to follow.
    fn finish(&mut self, export_time: u32) {
        if self.told.is_some() {
            self.exporting.flush_all(export_time);
            self.flush_at = None;
        }
    }

    /// Sends what there is, then the options records, in messages of their own.
    fn tell(&mut self, export_time: u32) {
        self.finish(export_time);
        let told = self.told.take();
        self.enqueue(|message| message.records.into());
        let Some(told) = told else { return };
        let Books { messages, octets, sent: records, .. } = self.books;
        let records: Vec<_> = options::records(&told, &Sent { messages, octets, records }).collect();
        for record in &records {
            let defined = self.exporting.define(STREAM, record.template.clone());
            defined.expect("options templates are valid and have ids of their own");
        }
        for record in &records {
            let packed = self.exporting.record(STREAM, record.template.id, record.octets(), export_time);
            packed.expect("records are encoded by the templates defined");
        }
        self.told = Some(told);
        self.exporting.flush_all(export_time);
        self.enqueue(|_| 0);
    }

    /// Moves finished messages to the queue.
    fn enqueue(&mut self, flows: impl Fn(&OutMessage) -> u64) {
        while let Some(message) = self.exporting.poll_message() {
            let flows = flows(&message);
            self.queue.push_back(Queued { message, flows });
        }
    }
}

#[cfg(test)]
mod tests;
