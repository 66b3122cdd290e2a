//! The exporter, one collector after the other, and the transport between them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use delivery::cookie::{Entry, State};
use delivery::{
    ClassRecord, Cookie, Epoch, ExporterState, Gaps, KeyRing, Ledger, RangeSet, Series, SessionRecord,
    StatisticsRecord,
};
use exporter::export::{Class, ClassIndex, Classes, FlowEncoder, Kind, Templates};
use exporter::failover::{Carrier, Failover, FailoverConfig, Transmit};
use ipfix::{CollectingConfig, CollectingSession, Record, Visitor};
use simnet::{Agenda, Random};
use transport::{Ppid, Reliability, Token};

const KEY: &str = "1 000102030405060708090a0b0c0d0e0f";
const SERIES: Series = Series { ledger: Ledger([7; 16]), epoch: Epoch(2), domain: 9 };
/// Seconds since the Unix epoch.
const EXPORT_TIME: u32 = 1_800_000_000;
/// A retransmission comes so much later.
const RTO: Duration = Duration::from_millis(250);
const TICK: Duration = Duration::from_millis(20);
/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What happened, over all seeds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) failovers: u64,
    /// Sessions that ended in order.
    pub(crate) closed: u64,
    pub(crate) lost: u64,
    pub(crate) spurious: u64,
    pub(crate) dropped: u64,
    pub(crate) reordered: u64,
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.failovers += other.failovers;
        self.closed += other.closed;
        self.lost += other.lost;
        self.spurious += other.spurious;
        self.dropped += other.dropped;
        self.reordered += other.reordered;
    }
}

enum Event {
    Tick,
    /// To the collector of a session.
    Arrive {
        session: u64,
        message: Transmit,
    },
    /// To the exporter.
    Sent {
        session: u64,
        token: Token,
        outcome: transport::Outcome,
    },
    Cookie {
        session: u64,
        octets: Vec<u8>,
    },
    Lost,
}

/// What a collector knows of a session.
#[derive(Default)]
struct Seen {
    gaps: BTreeMap<u16, Gaps>,
    series_offset: Option<u64>,
    numbers: RangeSet,
    flows: BTreeMap<u16, u64>,
    last: BTreeMap<u16, u32>,
    reordered: u64,
    /// Statistics records, and those of streams without class, which there must not be.
    told: BTreeMap<u16, StatisticsRecord>,
}

impl Visitor for Seen {
    fn record(&mut self, record: &Record<'_>) {
        let stream = record.stream;
        let fields = || record.fields().map(|field| (field.pen(), field.id(), field.octets()));
        if let Ok(session) = SessionRecord::from_fields(record.domain, fields()) {
            self.series_offset = Some(session.first_number.wrapping_sub(u64::from(record.sequence) + 1));
        } else if ClassRecord::from_fields(record.domain, fields()).is_ok() {
            assert!(self.gaps.insert(stream, Gaps::new(record.sequence)).is_none(), "one class record");
        } else if let Ok(told) = StatisticsRecord::from_fields(record.domain, fields()) {
            self.gaps.get_mut(&told.stream).expect("a class record before").tell(&told).unwrap();
            self.told.insert(told.stream, told);
        } else {
            *self.flows.entry(stream).or_default() += 1;
            match self.gaps.get_mut(&stream) {
                Some(gaps) => gaps.receive(record.sequence, 1),
                None => {
                    let offset = self.series_offset.expect("a session record before");
                    self.numbers.insert(offset.wrapping_add(record.sequence.into()));
                }
            }
            let last = self.last.insert(stream, record.sequence);
            self.reordered += u64::from(last.is_some_and(|last| last > record.sequence));
        }
    }

    fn no_template(&mut self, _: u32, set: u16, _: &[u8]) {
        panic!("data overtook its template {set}");
    }
}

struct Session {
    number: u64,
    collecting: CollectingSession,
    seen: Seen,
    /// When the last ordered message of a stream arrives.
    ordered: BTreeMap<u16, Instant>,
}

pub(crate) struct World {
    random: Random,
    now: Instant,
    start: Instant,
    agenda: Agenda<Event>,
    failover: Failover,
    keys: KeyRing,
    session: Option<Session>,
    sessions: u64,
    /// Of a hundred transmissions so many are lost.
    loss: u64,
    templates: Templates,
    metering: Duration,
    metered: u64,
    /// Numbers of class reliable on some disk.
    durable: RangeSet,
    outcome: Outcome,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let start = simnet::start();
        let mut classes = Vec::new();
        for name in 0..=random.below(5) {
            let kind = match random.below(5) {
                0 if classes.iter().all(|class: &Class| class.kind.is_lossy()) => Kind::Reliable,
                0 | 1 => Kind::Priority { priority: 1 },
                2 => Kind::Limited { max_retransmissions: 1 },
                3 => Kind::Timed { lifetime: Duration::from_millis(random.below(1_000)) },
                _ => Kind::Unreliable,
            };
            classes.push(Class { name: format!("class-{name}"), kind });
        }
        let templates = FlowEncoder::new().templates().clone();
        let config = FailoverConfig {
            domain: SERIES.domain,
            classes: Classes::new(classes).unwrap(),
            templates: templates.clone(),
            max_message: 1_000,
            max_lossy_message: Some(600),
            linger: Duration::from_millis(50),
            per_stream: false,
            options_interval: Duration::from_secs(600),
            memory: if random.below(3) == 0 { 20_000 } else { 1 << 20 },
            spool: None,
            keys: KeyRing::parse(KEY).unwrap(),
        };
        let incarnation = ExporterState { ledger: SERIES.ledger, epoch: SERIES.epoch };
        let mut agenda = Agenda::new();
        agenda.add(start, Event::Tick);
        for _ in 0..random.below(3) {
            agenda.add(start + Duration::from_millis(200 + random.below(14_000)), Event::Lost);
        }
        let metering = Duration::from_millis(500 + random.below(15_000));
        let (loss, failover) = (random.below(30), Failover::new(config, incarnation, seed));
        Self {
            random,
            now: start,
            start,
            agenda,
            failover,
            keys: KeyRing::parse(KEY).unwrap(),
            session: None,
            sessions: 0,
            loss,
            templates,
            metering,
            metered: 0,
            durable: RangeSet::new(),
            outcome: Outcome::default(),
        }
    }

    pub(crate) fn run(mut self) -> Outcome {
        while !(self.failover.is_done() && self.agenda_is_quiet()) {
            assert!(self.now < self.start + PATIENCE, "not done: {:?}", self.failover.books());
            let (at, event) = self.agenda.take().expect("the tick never ends");
            self.now = at;
            self.handle(event);
            if self.failover.poll_timeout(true).is_some_and(|due| due <= self.now)
                && self.failover.handle_timeout(self.now).is_some()
            {
                self.lose(false);
            }
            self.transmit();
        }
        self.close();
        self.check();
        self.outcome
    }

    /// Tells whether the messages of the session have arrived: a shutdown waits for them.
    fn agenda_is_quiet(&self) -> bool {
        let session = self.session.as_ref();
        session.is_none_or(|session| session.ordered.values().all(|arrival| *arrival < self.now))
    }

    fn handle(&mut self, event: Event) {
        let current = self.session.as_ref().map(|session| session.number);
        match event {
            Event::Tick => self.tick(),
            Event::Arrive { session, message } if current == Some(session) => self.arrive(&message),
            Event::Sent { session, token, outcome } if current == Some(session) => {
                self.failover.handle_sent(self.now, token, outcome);
            }
            Event::Cookie { session, octets } if current == Some(session) => {
                self.failover.handle_cookie(self.now, &octets).unwrap();
            }
            Event::Arrive { .. } | Event::Sent { .. } | Event::Cookie { .. } => {}
            Event::Lost => {
                let in_order = self.random.below(2) == 0;
                self.lose(in_order);
            }
        }
    }

    fn tick(&mut self) {
        self.agenda.add(self.now + TICK, Event::Tick);
        if self.now < self.start + self.metering {
            for _ in 0..self.random.below(8) {
                self.meter();
            }
        } else {
            self.failover.finish();
        }
        match &self.session {
            None => {
                self.failover.handle_connected(Carrier::Streams, true);
                self.session = Some(Session {
                    number: self.sessions,
                    collecting: CollectingSession::new(CollectingConfig::default()),
                    seen: Seen::default(),
                    ordered: BTreeMap::new(),
                });
                self.sessions += 1;
            }
            Some(session) if !session.seen.numbers.is_empty() => {
                let numbers = session.seen.numbers.iter();
                let entries = numbers.map(|numbers| Entry { series: SERIES, numbers }).collect();
                session.seen.numbers.iter().for_each(|numbers| self.durable.insert_range(numbers));
                let octets = Cookie { incarnation: 1, state: State::Ok, entries }.encode(&self.keys);
                let event = Event::Cookie { session: session.number, octets };
                self.agenda.add(self.now + Duration::from_millis(5), event);
            }
            Some(_) => {}
        }
    }

    fn meter(&mut self) {
        let classes = self.failover.classes().iter().len() as u64;
        let class = ClassIndex(u8::try_from(self.random.below(classes)).unwrap());
        let template = self.templates.indices().nth(usize::try_from(self.random.below(4)).unwrap()).unwrap();
        let length: u16 = self.templates.get(template).fields().iter().map(|field| field.length).sum();
        // What does not fit is counted as dropped.
        let _ = self.failover.push(class, template, &vec![0; length.into()]);
        self.metered += 1;
    }

    fn transmit(&mut self) {
        while let Some(message) = self.failover.poll_transmit(self.now, EXPORT_TIME) {
            self.send(message);
        }
    }

    /// Draws a message's fate.
    fn send(&mut self, message: Transmit) {
        let Some(session) = &mut self.session else { return };
        let attempts = match message.reliability {
            Reliability::Full | Reliability::Priority(_) => u64::MAX,
            Reliability::MaxRetransmits(n) => u64::from(n) + 1,
            Reliability::Lifetime(lifetime) => {
                1 + u64::try_from(lifetime.as_millis() / RTO.as_millis()).unwrap()
            }
        };
        let (mut arrival, mut told, mut at) = (None, None, self.now);
        for _ in 0..attempts {
            let there = at + self.random.between(Duration::from_millis(1), Duration::from_millis(30));
            let arrives = self.random.below(100) >= self.loss;
            if arrives {
                arrival = arrival.or(Some(there));
            }
            if arrives && self.random.below(100) >= self.loss {
                told = Some(there + Duration::from_millis(5));
                break;
            }
            at += RTO;
        }
        if !message.unordered {
            let after = session.ordered.entry(message.stream).or_insert(self.now);
            if let Some(arrival) = &mut arrival {
                *after = (*after).max(*arrival);
                *arrival = *after;
            }
        }
        let number = session.number;
        if let Some(token) = message.token {
            let (at, outcome) = match told {
                Some(told) => (told.max(arrival.unwrap_or(told)), transport::Outcome::Delivered),
                None => (at.max(arrival.unwrap_or(at)), transport::Outcome::Abandoned),
            };
            self.agenda.add(at + Duration::from_millis(1), Event::Sent { session: number, token, outcome });
        }
        if let Some(arrival) = arrival {
            self.agenda.add(arrival, Event::Arrive { session: number, message });
        }
    }

    fn arrive(&mut self, message: &Transmit) {
        let Some(session) = &mut self.session else { return };
        if message.ppid == Ppid::IPFIX {
            session.collecting.decode(message.stream, &message.octets, &mut session.seen).unwrap();
        }
    }

    /// The collector fails, or (`in_order`) is left: what was on its way arrives before the association ends.
    fn lose(&mut self, in_order: bool) {
        if self.session.is_none() {
            return;
        }
        self.outcome.failovers += 1;
        if in_order {
            for message in self.failover.farewell(EXPORT_TIME) {
                self.send(message);
            }
        }
        self.failover.handle_lost(self.now);
        if in_order {
            let number = self.session.as_ref().map(|session| session.number);
            let mut others = Vec::new();
            while let Some((at, event)) = self.agenda.take() {
                match event {
                    Event::Arrive { session, message } if Some(session) == number => self.arrive(&message),
                    Event::Sent { .. } | Event::Cookie { .. } => {}
                    other => others.push((at, other)),
                }
            }
            others.into_iter().for_each(|(at, event)| self.agenda.add(at, event));
            self.close();
        } else {
            // What it had not acknowledged is gone with it.
            self.session = None;
        }
    }

    /// A session ends in order: its books close.
    fn close(&mut self) {
        let Some(Session { mut seen, .. }) = self.session.take() else { return };
        self.outcome.reordered += seen.reordered;
        let with_gaps: BTreeSet<u16> = seen.gaps.keys().copied().collect();
        assert!(seen.told.keys().all(|stream| with_gaps.contains(stream)));
        for (stream, gaps) in &mut seen.gaps {
            gaps.close();
            let counts = gaps.counts();
            let received = seen.flows.get(stream).copied().unwrap_or(0);
            assert_eq!((counts.received, counts.late), (received, 0), "stream {stream}");
            if !seen.told.contains_key(stream) {
                // It was left before it had acknowledged the class record.
                continue;
            }
            assert_eq!(counts.sent, received + counts.lost, "stream {stream}: sent = received + lost");
            let spurious = counts.spurious().expect("it is known what was sent");
            assert_eq!(spurious, counts.abandoned - counts.lost, "stream {stream}");
            self.outcome.lost += counts.lost;
            self.outcome.spurious += spurious;
            self.outcome.closed += 1;
        }
    }

    fn check(&mut self) {
        let mut metered = 0;
        for (index, class) in self.failover.classes().iter() {
            let books = self.failover.class_books(index);
            let settled = books.covered + books.delivered + books.abandoned() + books.dropped();
            assert_eq!((books.metered, books.waiting), (settled, 0), "{}: {books:?}", class.kind);
            if class.kind.is_lossy() {
                assert_eq!(books.exported, books.delivered + books.abandoned(), "{}: {books:?}", class.kind);
            } else {
                assert!(self.durable.covers(0..books.covered), "every number is on a disk");
                assert_eq!(books.abandoned(), 0);
            }
            metered += books.metered;
            self.outcome.dropped += books.dropped();
        }
        assert_eq!(metered, self.metered);
    }
}
