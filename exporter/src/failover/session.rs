//! One transport session with one collector: a lane for each class, packed in order of their rank.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use delivery::retention::{HoldBack, Mark, Outgoing, SessionId};
use delivery::{AckWatch, ClassRecord, Retention, SessionRecord, class_record, session_record};
use ipfix::{Content, ExportingConfig, ExportingSession, TemplateRecord};
use transport::{Outcome, Ppid, Token};

use super::books::Books;
use super::buffer::Buffer;
use super::control::Control;
use super::lane::{Carrier, Lane, Unsettled};
use super::passed::Passed;
use super::telling::Schedule;
use super::{FailoverConfig, Transmit};
use crate::export::options::{OptionsRecord, Told, reliability};
use crate::export::templates::{class_record_id, options_template, session_record_id};
use crate::export::{Class, ClassIndex, Classes, Templates};

/// How often hold-back is looked at, for collectors without cookies.
const RELEASE: Duration = Duration::from_millis(250);

/// A message for the collector, and the flow records in it.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) message: Transmit,
    pub(super) class: ClassIndex,
    pub(super) records: u32,
}

/// A finished message.
#[derive(Debug)]
struct Ready {
    lane: usize,
    content: Content,
    octets: Vec<u8>,
    records: u32,
    mark: Option<Mark>,
}

/// What stays the same while messages are filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// Seconds since the Unix epoch.
    pub(super) export_time: u32,
    /// Nothing waits for its message to fill.
    pub(super) finishing: bool,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) watch: AckWatch,
    pub(super) carrier: Carrier,
    /// RFC 6526 is followed: for that it takes streams.
    per_stream: bool,
    pub(super) domain: u32,
    /// One for each lane, or one for all where they share a stream.
    exporting: Vec<ExportingSession>,
    /// By class.
    lanes: Vec<Lane>,
    /// Encoded class records, by class.
    class_records: Vec<Vec<u8>>,
    pub(super) control_stream: Control,
    /// Its messages, which go before all others.
    pub(super) control: VecDeque<Transmit>,
    /// Of options records about the exporter.
    pub(super) schedule: Schedule,
    /// What other exporters told before this was sent.
    pub(super) passed: u64,
    /// The lane whose records the one stream carries at present.
    open: Option<usize>,
    templates: Templates,
    /// Flow templates of class `reliable` follow its first session record.
    flow_templates_defined: bool,
    /// How many templates of other versions are defined.
    foreign_templates: usize,
    /// All lanes were announced, before any record.
    announced: bool,
    /// Finished messages in the order to be sent.
    ready: VecDeque<Ready>,
    release_at: Option<Instant>,
    record: Vec<u8>,
}

impl Session {
    /// `settled`: the books of the classes as earlier sessions left them.
    pub(super) fn new(
        config: &FailoverConfig,
        max_lossy_message: usize,
        settled: &[Books],
        id: SessionId,
        watch: AckWatch,
        carrier: Carrier,
    ) -> Self {
        let exporting =
            |max_message| ExportingSession::new(ExportingConfig { domain: config.domain, max_message });
        let per_stream = config.per_stream && carrier == Carrier::Streams;
        let lanes = config.classes.iter().zip(settled).map(|((index, class), books)| {
            let stream = config.classes.stream(index);
            Lane::new(index, class.kind, stream, carrier, per_stream, config.linger, books.dropped())
        });
        let lanes: Vec<Lane> = lanes.collect();
        let exporting = match carrier {
            Carrier::OneStream => vec![exporting(config.max_message)],
            Carrier::Streams => {
                let sizes = lanes
                    .iter()
                    .map(|lane| if lane.kind.is_lossy() { max_lossy_message } else { config.max_message });
                sizes.map(exporting).collect()
            }
        };
        let mut session = Self {
            id,
            watch,
            carrier,
            per_stream,
            domain: config.domain,
            exporting,
            lanes,
            class_records: config
                .classes
                .iter()
                .map(|(_, class)| class_record(config.domain, class))
                .collect(),
            control_stream: Control::new(config.domain, config.max_message, per_stream),
            control: VecDeque::new(),
            schedule: Schedule::new(config.options_interval),
            passed: 0,
            open: None,
            templates: config.templates.clone(),
            flow_templates_defined: false,
            foreign_templates: 0,
            announced: false,
            ready: VecDeque::new(),
            release_at: None,
            record: Vec::new(),
        };
        for lane in 0..session.lanes.len() {
            if session.lanes[lane].kind.is_lossy() {
                let id = class_record_id(session.lanes[lane].stream);
                let (fields, scopes) = (&class_record::FIELDS, class_record::SCOPE_FIELDS);
                session.define(lane, options_template(id, fields, scopes));
                session.define_flow_templates(lane);
            } else {
                let id = session_record_id(session.lanes[lane].stream);
                let (fields, scopes) = (&session_record::FIELDS, session_record::SCOPE_FIELDS);
                session.define(lane, options_template(id, fields, scopes));
                if per_stream {
                    // The first records of the session tell the reliability of all others.
                    session.define_reliable_templates(lane);
                }
            }
        }
        session
    }

    /// Returns the lane's place in `exporting`, and its stream there.
    fn place(&self, lane: usize) -> (usize, u16) {
        match self.carrier {
            Carrier::Streams => (lane, self.lanes[lane].stream),
            Carrier::OneStream => (0, Classes::RELIABLE_STREAM),
        }
    }

    fn define(&mut self, lane: usize, template: TemplateRecord) {
        let (at, stream) = self.place(lane);
        if self.per_stream {
            let lane = &mut self.lanes[lane];
            lane.untold.push((template.id, template.is_options() || !lane.kind.is_lossy()));
            let defined = self.exporting[at].define(stream, reliability::template(stream));
            defined.expect("the template is valid");
        }
        let defined = self.exporting[at].define(stream, template);
        defined.expect("flowpool's templates are valid and have different ids");
    }

    /// Defines the flow templates of class `reliable`, once.
    fn define_reliable_templates(&mut self, lane: usize) {
        if !std::mem::replace(&mut self.flow_templates_defined, true) {
            self.define_flow_templates(lane);
        }
    }

    fn define_flow_templates(&mut self, lane: usize) {
        let Lane { stream, templates: known, .. } = self.lanes[lane];
        let templates: Vec<TemplateRecord> = self.templates.records_from(known, stream).collect();
        self.lanes[lane].templates = self.templates.len();
        templates.into_iter().for_each(|template| self.define(lane, template));
    }

    /// Takes over templates that were learned since the session began: they go before the first record that needs them, or, to a
    /// collector that stands by (`in_advance`), at once.
    pub(super) fn follow_templates(&mut self, templates: &Templates, in_advance: bool) {
        self.templates.follow(templates);
        for lane in 0..self.lanes.len() {
            // Class `reliable` has its templates behind the first session record.
            if !self.lanes[lane].kind.is_lossy() && !self.flow_templates_defined {
                continue;
            }
            let known = self.lanes[lane].templates;
            self.define_flow_templates(lane);
            self.lanes[lane].unfinished |= in_advance && self.announced && known < self.templates.len();
        }
    }

    /// Defines the templates of records that come from the spool of another version.
    fn define_foreign_templates(&mut self, lane: usize, buffer: &Buffer) {
        while let Some(template) = buffer.foreign_templates().get(self.foreign_templates) {
            self.define(lane, template.clone());
            self.foreign_templates += 1;
        }
    }

    /// Returns the next message: of the highest class that has one.
    pub(super) fn next(
        &mut self,
        moment: Moment,
        buffer: &mut Buffer,
        told: Option<&Told>,
        passed: &Passed,
    ) -> Option<Packed> {
        if let Some(told) = told {
            self.tell_in_time(moment, buffer, told);
        }
        if self.control.is_empty() {
            self.pass_on(moment, buffer, passed);
        }
        if self.is_told(moment, buffer) {
            let statistics = self.tell(moment.export_time, buffer, false);
            self.control.extend(statistics);
        }
        if let Some(message) = self.control.pop_front() {
            return Some(self.hand_over_control(message));
        }
        for lane in 0..self.lanes.len() {
            if !self.ready.is_empty() {
                break;
            }
            if self.lanes[lane].kind.is_lossy() {
                self.fill_lossy(lane, moment, buffer);
            } else {
                self.define_foreign_templates(lane, buffer);
                if self.tell_reliability(lane, moment, buffer.retention.mark(self.id)) {
                    // Another record ends the numbering, which goes on with a new session record.
                    buffer.retention.end_run(self.id, self.domain);
                }
                self.fill_reliable(lane, moment, &mut buffer.retention);
            }
        }
        self.ready.pop_front().map(|ready| self.hand_over(ready, moment.now))
    }

    /// Tells whether everything that goes before records was sent without waiting for any.
    pub(super) const fn is_announced(&self) -> bool {
        self.announced
    }

    /// Packs everything that goes before records: options records, templates, `request` on the lane of class `reliable`, class records.
    pub(super) fn announce_all(
        &mut self,
        moment: Moment,
        request: Option<SessionRecord>,
        told: Option<&Told>,
        passed: &Passed,
    ) {
        self.announced = true;
        if let Some(told) = told {
            self.control = self.tell_in_advance(moment, told).into();
        }
        self.pass_on_in_advance(moment, passed);
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].kind.is_lossy() {
                if self.carrier == Carrier::Streams {
                    self.announce(lane, moment);
                }
            } else {
                self.tell_reliability(lane, moment, None);
                if let Some(request) = request {
                    let mut octets = Vec::new();
                    request.encode(&mut octets);
                    let id = session_record_id(self.lanes[lane].stream);
                    self.append(lane, moment, id, &octets, 0, None);
                }
                self.define_reliable_templates(lane);
            }
            self.flush(lane, moment, None);
        }
    }

    /// Returns the next message of what is packed, or being packed.
    pub(super) fn next_begun(&mut self, moment: Moment) -> Option<Packed> {
        if let Some(message) = self.control.pop_front() {
            return Some(self.hand_over_control(message));
        }
        for lane in 0..self.lanes.len() {
            if self.ready.is_empty() && self.lanes[lane].unfinished {
                self.flush(lane, moment, None);
            }
        }
        self.ready.pop_front().map(|ready| self.hand_over(ready, moment.now))
    }

    /// The session comes into use; `settled` are the books of the classes as the one before left them.
    pub(super) fn take_over(&mut self, settled: &[Books]) {
        self.lanes.iter_mut().zip(settled).for_each(|(lane, books)| lane.set_not_sent(books.dropped()));
        self.schedule.hurry();
    }

    /// Tells whether statistics are due: by time, or because they are the last.
    fn is_told(&self, moment: Moment, buffer: &Buffer) -> bool {
        let over = moment.finishing && buffer.is_empty() && !self.is_busy();
        self.control_stream.deadline().is_some_and(|due| over || due <= moment.now)
    }

    /// Returns the messages that tell what became of the records of classes that may lose some.
    pub(super) fn tell(&mut self, export_time: u32, buffer: &Buffer, leaving: bool) -> Vec<Transmit> {
        if self.carrier == Carrier::OneStream || self.lanes.iter().all(|lane| !lane.kind.is_lossy()) {
            return Vec::new();
        }
        let dropped = |lane: &Lane| buffer.queue(lane.class).dropped();
        let told = self.lanes.iter().filter_map(|lane| lane.statistics(self.domain, dropped(lane), leaving));
        self.control_stream.statistics(told, export_time)
    }

    /// Packs records of class `reliable`, as far as the window allows, until a message is finished.
    fn fill_reliable(&mut self, lane: usize, moment: Moment, retention: &mut Retention) {
        while self.ready.is_empty() {
            let room = self.watch.may_send(retention.in_flight(self.id));
            // Up to here the records are in messages that this step may finish.
            let mark = retention.mark(self.id);
            match if room { retention.next(self.id) } else { None } {
                Some(Outgoing::SessionRecord(record)) => {
                    let mut octets = std::mem::take(&mut self.record);
                    octets.clear();
                    record.encode(&mut octets);
                    let id = session_record_id(self.lanes[lane].stream);
                    self.append(lane, moment, id, &octets, 0, mark);
                    self.record = octets;
                    self.define_reliable_templates(lane);
                }
                Some(Outgoing::Record { template, octets, .. }) => {
                    self.append(lane, moment, template, octets, 1, mark);
                }
                None if self.lanes[lane].is_flush_due(moment.now, moment.finishing || !room) => {
                    self.flush(lane, moment, mark);
                }
                None => return,
            }
        }
    }

    /// Packs records of a class that may lose some, until a message is finished.
    fn fill_lossy(&mut self, lane: usize, moment: Moment, buffer: &mut Buffer) {
        if self.carrier == Carrier::Streams && !self.lanes[lane].is_announced() {
            self.announce(lane, moment);
            return self.flush(lane, moment, None);
        }
        if self.lanes[lane].is_held(moment.now) {
            return;
        }
        let mut record = std::mem::take(&mut self.record);
        while self.ready.is_empty() {
            match buffer.pop(self.lanes[lane].class, &mut record) {
                Some(template) => {
                    self.append(lane, moment, template, &record, 1, None);
                    if self.carrier == Carrier::OneStream {
                        // Another record follows those of class `reliable`: they go on with a new session record.
                        buffer.retention.end_run(self.id, self.domain);
                    }
                }
                None if self.lanes[lane].is_flush_due(moment.now, moment.finishing) => {
                    self.flush(lane, moment, None);
                }
                None => break,
            }
        }
        self.record = record;
    }

    /// Packs options records on the one stream, between the records of classes, in messages of their own.
    pub(super) fn tell_between(&mut self, moment: Moment, records: &[OptionsRecord], mark: Option<Mark>) {
        const LANE: usize = 0;
        if let Some(before) = self.open.take() {
            self.flush(before, moment, mark);
        }
        for record in records {
            self.define(LANE, record.template.clone());
        }
        for record in records {
            self.pack(LANE, moment, record.template.id, record.octets(), mark);
        }
        self.flush(LANE, moment, mark);
    }

    fn append(
        &mut self,
        lane: usize,
        moment: Moment,
        template: u16,
        record: &[u8],
        flows: u32,
        mark: Option<Mark>,
    ) {
        if self.carrier == Carrier::OneStream && self.open != Some(lane) {
            // A message holds records of one class, and on the one stream they say which.
            if let Some(before) = self.open.replace(lane) {
                self.flush(before, moment, mark);
            }
            if self.lanes[lane].kind.is_lossy() {
                self.announce(lane, moment);
            }
        }
        self.pack(lane, moment, template, record, mark);
        self.lanes[lane].appended(moment.now, flows);
    }

    /// Packs what tells the reliability of templates' records (RFC 6526 section 4.2), where that is to be told. Returns
    /// whether it was.
    fn tell_reliability(&mut self, lane: usize, moment: Moment, mark: Option<Mark>) -> bool {
        let untold = std::mem::take(&mut self.lanes[lane].untold);
        let id = reliability::id(self.lanes[lane].stream);
        for &(template, is_reliable) in &untold {
            self.pack(lane, moment, id, &reliability::record(template, is_reliable), mark);
            self.lanes[lane].appended(moment.now, 0);
        }
        !untold.is_empty()
    }

    /// Packs the class record.
    fn announce(&mut self, lane: usize, moment: Moment) {
        self.tell_reliability(lane, moment, None);
        let record = std::mem::take(&mut self.class_records[lane]);
        let id = class_record_id(self.lanes[lane].stream);
        self.pack(lane, moment, id, &record, None);
        self.lanes[lane].appended(moment.now, 0);
        self.class_records[lane] = record;
    }

    fn pack(&mut self, lane: usize, moment: Moment, template: u16, record: &[u8], mark: Option<Mark>) {
        let (at, stream) = self.place(lane);
        let taken = self.exporting[at].record(stream, template, record, moment.export_time);
        taken.expect("records are encoded by the templates defined");
        self.collect(lane, mark);
    }

    fn flush(&mut self, lane: usize, moment: Moment, mark: Option<Mark>) {
        let (at, stream) = self.place(lane);
        self.exporting[at].flush(stream, moment.export_time);
        self.collect(lane, mark);
        self.lanes[lane].unfinished = false;
    }

    /// Takes over finished messages. They hold every record before the one appended last.
    fn collect(&mut self, lane: usize, mark: Option<Mark>) {
        let (at, _) = self.place(lane);
        let tells_marks = !self.lanes[lane].kind.is_lossy() && !self.watch.sends_cookies();
        while let Some(out) = self.exporting[at].poll_message() {
            let records = self.lanes[lane].finished(out.content);
            let mark = mark.filter(|_| tells_marks && out.content == Content::DataOnly);
            let ready = Ready { lane, content: out.content, octets: out.octets, records, mark };
            self.ready.push_back(ready);
        }
    }

    fn hand_over(&mut self, ready: Ready, now: Instant) -> Packed {
        let Ready { lane, content, octets, records, mark } = ready;
        let lane = &mut self.lanes[lane];
        let (reliability, unordered) = lane.delivery(content, records);
        let token = lane.hand_over(now, records, mark, reliability);
        match lane.kind.is_lossy() {
            true if self.carrier == Carrier::Streams => self.control_stream.note(now),
            false if records > 0 => self.watch.handle_sent(now),
            _ => {}
        }
        let (stream, ppid) = (lane.stream, Ppid::IPFIX);
        let message = Transmit { stream, ppid, unordered, reliability, token, octets };
        let packed = Packed { message, class: lane.class, records };
        self.schedule.count(&packed);
        packed
    }

    fn hand_over_control(&mut self, message: Transmit) -> Packed {
        let packed = Packed { message, class: ClassIndex::default(), records: 0 };
        self.schedule.count(&packed);
        packed
    }

    /// The transport has told the fate of the message with `token`; returns it and its class.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        token: Token,
        outcome: Outcome,
    ) -> Option<(ClassIndex, Unsettled)> {
        let lane = self.lanes.get_mut(Lane::class_of(token))?;
        let sent = lane.settle(token, outcome)?;
        if sent.lossy_records > 0 && self.carrier == Carrier::Streams {
            self.control_stream.note(now);
        }
        self.release_at.get_or_insert(now + RELEASE);
        Some((lane.class, sent))
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

    /// Returns when something is due; what is to be sent by then only if it `can_send`.
    pub(super) fn deadline(&self, can_send: bool) -> Option<Instant> {
        let acknowledgement =
            if self.watch.sends_cookies() { self.watch.poll_timeout() } else { self.release_at };
        let told = [self.control_stream.deadline(), self.schedule.deadline()];
        let sending = self.lanes.iter().map(Lane::deadline).chain(told);
        let sending = sending.flatten().min().filter(|_| can_send);
        [acknowledgement, sending].into_iter().flatten().min()
    }

    /// Returns a class's flow records that were handed over and whose fate is not known; none of class `reliable`.
    pub(super) fn on_their_way(&self, class: ClassIndex) -> u64 {
        self.lanes[usize::from(class.0)].on_their_way()
    }

    /// Returns a class's flow records that are packed, or being packed, and not handed over; none of class `reliable`.
    pub(super) fn packed(&self, class: ClassIndex) -> u64 {
        let lane = &self.lanes[usize::from(class.0)];
        if !lane.kind.is_lossy() {
            return 0;
        }
        let ready = self.ready.iter().filter(|ready| ready.lane == usize::from(class.0));
        u64::from(ready.map(|ready| ready.records).sum::<u32>() + lane.unfinished_flows)
    }

    /// Tells whether something is packed, or being packed, or its fate is not known.
    pub(super) fn is_busy(&self) -> bool {
        !self.ready.is_empty() || self.lanes.iter().any(Lane::is_busy)
    }

    /// Tells whether there is more to send, or to hear of what was sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.is_busy() || !self.control.is_empty() || self.control_stream.deadline().is_some()
    }
}

fn class_record(domain: u32, class: &Class) -> Vec<u8> {
    let mut octets = Vec::new();
    let record = ClassRecord { domain, reliability: class.kind.on_the_wire(), name: class.name.clone() };
    record.encode(&mut octets);
    octets
}
