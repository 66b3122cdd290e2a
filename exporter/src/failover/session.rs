//! One transport session with one collector: what was packed, what waits for the transport's word.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use delivery::retention::{HoldBack, Mark, Outgoing, SessionId};
use delivery::{AckWatch, Retention, session_record};
use ipfix::{Content, ExportingConfig, ExportingSession, FieldSpecifier, TemplateRecord};
use transport::{Ppid, Token};

use super::lossy::LossyQueue;
use super::{FailoverConfig, Transmit};
use crate::export::templates::session_record_id;
use crate::export::{Class, FlowTemplate};

/// How often hold-back is looked at, for collectors without cookies.
const RELEASE: Duration = Duration::from_millis(250);

/// A message and the number of flow records in it.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) message: Transmit,
    pub(super) records: u32,
    /// What to remember once it is handed over.
    fate: Option<Unsettled>,
}

/// A message whose fate the transport tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsettled {
    token: Token,
    /// Flow records of a class that may lose.
    pub(super) lossy_records: u64,
    /// How far class `reliable` was sent with it, for collectors without cookies.
    pub(super) mark: Option<Mark>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) watch: AckWatch,
    class: Class,
    linger: Duration,
    exporting: ExportingSession,
    flow_templates_defined: bool,
    ready: VecDeque<Packed>,
    /// Flow records and session records that wait for their message to fill.
    unfinished_flows: u32,
    unfinished: bool,
    waiting_since: Option<Instant>,
    unsettled: VecDeque<Unsettled>,
    next_token: u64,
    release_at: Option<Instant>,
    record: Vec<u8>,
}

impl Session {
    pub(super) fn new(config: &FailoverConfig, id: SessionId, watch: AckWatch) -> Self {
        let exporting = ExportingConfig { domain: config.domain, max_message: config.max_message };
        let mut session = Self {
            id,
            watch,
            class: config.class,
            linger: config.linger,
            exporting: ExportingSession::new(exporting),
            flow_templates_defined: false,
            ready: VecDeque::new(),
            unfinished_flows: 0,
            unfinished: false,
            waiting_since: None,
            unsettled: VecDeque::new(),
            next_token: 0,
            release_at: None,
            record: Vec::new(),
        };
        match config.class {
            Class::Reliable => session.define(session_record_template(Class::RELIABLE_STREAM)),
            Class::Limited { .. } | Class::Timed { .. } | Class::Unreliable => {
                session.define_flow_templates();
            }
        }
        session
    }

    fn define(&mut self, template: TemplateRecord) {
        let defined = self.exporting.define(self.class.stream(), template);
        defined.expect("flowpool's templates are valid and have different ids");
    }

    fn define_flow_templates(&mut self) {
        for template in FlowTemplate::ALL {
            self.define(template.record(self.class.stream()));
        }
        self.flow_templates_defined = true;
    }

    /// Packs records of class `reliable`, as far as the window allows.
    pub(super) fn next_reliable(
        &mut self,
        now: Instant,
        export_time: u32,
        retention: &mut Retention,
        finishing: bool,
    ) -> Option<Packed> {
        loop {
            if let Some(packed) = self.hand_over() {
                if packed.records > 0 {
                    self.watch.handle_sent(now);
                }
                return Some(packed);
            }
            let room = self.watch.may_send(retention.in_flight(self.id));
            // Up to here the records are in messages that this step may finish.
            let mark = retention.mark(self.id);
            match if room { retention.next(self.id) } else { None } {
                Some(Outgoing::SessionRecord(record)) => {
                    let mut octets = std::mem::take(&mut self.record);
                    octets.clear();
                    record.encode(&mut octets);
                    self.append(now, session_record_id(self.class.stream()), &octets, export_time, mark);
                    self.record = octets;
                    if !self.flow_templates_defined {
                        self.define_flow_templates();
                    }
                }
                Some(Outgoing::Record { template, octets, .. }) => {
                    self.append(now, template, octets, export_time, mark);
                    self.unfinished_flows += 1;
                }
                None if self.is_flush_due(now, finishing || !room) => self.flush(export_time, mark),
                None => return None,
            }
        }
    }

    /// Packs records of a class that may lose some.
    pub(super) fn next_lossy(
        &mut self,
        now: Instant,
        export_time: u32,
        queue: &mut LossyQueue,
        finishing: bool,
    ) -> Option<Packed> {
        loop {
            if let Some(packed) = self.hand_over() {
                return Some(packed);
            }
            let mut record = std::mem::take(&mut self.record);
            let template = queue.pop(&mut record);
            if let Some(template) = template {
                self.append(now, template, &record, export_time, None);
                self.unfinished_flows += 1;
            }
            self.record = record;
            match template {
                Some(_) => {}
                None if self.is_flush_due(now, finishing) => self.flush(export_time, None),
                None => return None,
            }
        }
    }

    fn hand_over(&mut self) -> Option<Packed> {
        let packed = self.ready.pop_front()?;
        self.unsettled.extend(packed.fate);
        Some(packed)
    }

    fn append(&mut self, now: Instant, template: u16, record: &[u8], export_time: u32, mark: Option<Mark>) {
        let taken = self.exporting.record(self.class.stream(), template, record, export_time);
        taken.expect("records are encoded by the templates defined");
        self.collect(mark);
        self.unfinished = true;
        self.waiting_since.get_or_insert(now);
    }

    fn is_flush_due(&self, now: Instant, at_once: bool) -> bool {
        self.unfinished && (at_once || self.waiting_since.is_some_and(|since| since + self.linger <= now))
    }

    fn flush(&mut self, export_time: u32, mark: Option<Mark>) {
        self.exporting.flush(self.class.stream(), export_time);
        self.collect(mark);
        self.unfinished = false;
    }

    /// Takes over finished messages. They hold every record before the one appended last.
    fn collect(&mut self, mark: Option<Mark>) {
        while let Some(out) = self.exporting.poll_message() {
            let records = match out.content {
                Content::Templates => 0,
                Content::DataOnly => std::mem::take(&mut self.unfinished_flows),
            };
            let lossy = self.class != Class::Reliable;
            let told = out.content == Content::DataOnly && (lossy || !self.watch.sends_cookies());
            let fate = told.then(|| {
                let token = Token(self.next_token);
                self.next_token += 1;
                let lossy_records = if lossy { records.into() } else { 0 };
                Unsettled { token, lossy_records, mark }
            });
            let reliability = self.class.reliability(out.content);
            let token = fate.map(|fate| fate.token);
            let (stream, ppid) = (out.stream, Ppid::IPFIX);
            let message = Transmit { stream, ppid, reliability, token, octets: out.octets };
            self.ready.push_back(Packed { message, records, fate });
            self.waiting_since = None;
        }
    }

    /// The transport has told the fate of the message with `token`.
    pub(super) fn settle(&mut self, now: Instant, token: Token) -> Option<Unsettled> {
        let at = self.unsettled.iter().position(|sent| sent.token == token)?;
        self.release_at.get_or_insert(now + RELEASE);
        self.unsettled.remove(at)
    }

    /// Takes out of retention what a collector without cookies has by all likelihood; at the end, that is
    /// what its transport acknowledged.
    pub(super) fn release(&mut self, now: Instant, retention: &mut Retention, finishing: bool) {
        let hold_back = if finishing {
            HoldBack { time: Duration::ZERO, octets: 0 }
        } else {
            HoldBack::within(retention.limit())
        };
        retention.cover_by_hold_back(self.id, now, hold_back);
        self.release_at = Some(now + RELEASE);
    }

    /// Returns when something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let acknowledgement =
            if self.watch.sends_cookies() { self.watch.poll_timeout() } else { self.release_at };
        let flush = self.waiting_since.filter(|_| self.unfinished).map(|since| since + self.linger);
        [acknowledgement, flush].into_iter().flatten().min()
    }

    /// Returns flow records of classes that may lose that were handed over and whose fate is not known.
    pub(super) fn unsettled(&self) -> u64 {
        self.unsettled.iter().map(|sent| sent.lossy_records).sum()
    }

    /// Returns flow records of classes that may lose that are packed, or being packed, and not handed over.
    pub(super) fn unfinished(&self) -> u64 {
        if self.class == Class::Reliable {
            return 0;
        }
        let ready: u64 = self.ready.iter().map(|packed| u64::from(packed.records)).sum();
        ready + u64::from(self.unfinished_flows)
    }

    /// Tells whether something is packed, or being packed, or (without cookies) its fate is not known.
    pub(super) fn has_unsent(&self) -> bool {
        self.unfinished || !self.ready.is_empty() || !self.unsettled.is_empty()
    }
}

fn session_record_template(stream: u16) -> TemplateRecord {
    let fields = session_record::FIELDS.iter();
    TemplateRecord {
        id: session_record_id(stream),
        scope_fields: session_record::SCOPE_FIELDS,
        fields: fields.map(|&(pen, id, length)| FieldSpecifier { pen, id, length }).collect(),
    }
}
