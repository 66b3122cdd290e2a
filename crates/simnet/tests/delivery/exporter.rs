//! The exporter of the simulation: the real machines, what the driver does between them, and an oracle of what may be
//! repeated.

use std::time::{Duration, Instant};

use delivery::cookie::Cookie;
use delivery::{Epoch, ExporterState, KeyRing, Ledger, RangeSet, Series};
use exporter::export::{Class, ClassIndex, Classes, FlowEncoder, Kind};
use exporter::failover::{
    Carrier, Choice, ChoiceConfig, Failover, FailoverConfig, Output, Role, Sign, Transmit,
};
use rserpool_proto::PeId;
use transport::{Outcome, Ppid, Token};

use crate::message::{Item, Reader, STREAM, flow};
use crate::pool::Pool;

pub(crate) const SERIES: Series = Series { ledger: Ledger([0xaa; 16]), epoch: Epoch(5), domain: 1 };
const RELIABLE: ClassIndex = ClassIndex(0);
const LOSSY: ClassIndex = ClassIndex(1);

/// An association of this exporter.
pub(crate) type Link = u64;

/// What the exporter does outside.
#[derive(Debug)]
pub(crate) enum Do {
    Connect {
        link: Link,
        pe: PeId,
    },
    Send {
        link: Link,
        message: Transmit,
        /// What an IPFIX message says.
        items: Vec<Item>,
    },
    /// Ends an association; what is on its way still arrives, if it is closed in order.
    Close {
        link: Link,
        in_order: bool,
    },
    /// For the ladder.
    Note(String),
}

struct Collector {
    link: Link,
    pe: PeId,
    reader: Reader,
}

pub(crate) struct Exporter {
    pub(crate) failover: Failover,
    pub(crate) choice: Choice,
    pub(crate) pool: Pool,
    keys: KeyRing,
    /// Collectors send cookies.
    acknowledges: bool,
    memory: usize,
    active: Option<Collector>,
    standby: Option<Collector>,
    candidate: Option<Collector>,
    connecting: Vec<Collector>,
    links: Link,
    encoder: FlowEncoder,
    /// Flow records of class `reliable` that were taken.
    pub(crate) metered: u64,
    pub(crate) moves: Vec<Sign>,
    /// Sent in the session in use.
    sent: RangeSet,
    /// Sent and not covered.
    open: RangeSet,
    /// Were open when a session ended: only these may be repeated.
    pub(crate) exposed: RangeSet,
    done: Vec<Do>,
}

impl Exporter {
    pub(crate) fn new(
        config: ChoiceConfig,
        acknowledges: bool,
        memory: usize,
        seed: u64,
        pool: Pool,
    ) -> Self {
        let keys = || KeyRing::parse(crate::KEY).unwrap();
        let class = |name: &str, kind| Class { name: name.to_owned(), kind };
        let timed = Kind::Timed { lifetime: Duration::from_millis(500) };
        let failover = FailoverConfig {
            domain: SERIES.domain,
            classes: Classes::new(vec![class("reliable", Kind::Reliable), class("rest", timed)]).unwrap(),
            max_message: 1_400,
            max_lossy_message: Some(1_000),
            linger: Duration::from_millis(50),
            memory,
            spool: None,
            keys: keys(),
        };
        let incarnation = ExporterState { ledger: SERIES.ledger, epoch: SERIES.epoch };
        Self {
            failover: Failover::new(failover, incarnation, seed),
            choice: Choice::new(config, seed),
            pool,
            keys: keys(),
            acknowledges,
            memory,
            active: None,
            standby: None,
            candidate: None,
            connecting: Vec::new(),
            links: 0,
            encoder: FlowEncoder::new(),
            metered: 0,
            moves: Vec::new(),
            sent: RangeSet::new(),
            open: RangeSet::new(),
            exposed: RangeSet::new(),
            done: Vec::new(),
        }
    }

    /// Takes a flow record.
    pub(crate) fn meter(&mut self, lossy: bool) {
        let mut record = Vec::new();
        let template = flow(&self.encoder, self.metered, &mut record);
        let class = if lossy { LOSSY } else { RELIABLE };
        self.failover.push(class, template, &record).unwrap();
        self.metered += u64::from(!lossy);
    }

    pub(crate) fn role(&self, link: Link) -> Option<Role> {
        let is = |collector: &Option<Collector>| collector.as_ref().is_some_and(|it| it.link == link);
        if is(&self.active) {
            Some(Role::Active)
        } else if is(&self.standby) {
            Some(Role::Standby)
        } else {
            None
        }
    }

    pub(crate) fn connected(&mut self, now: Instant, link: Link, up: bool) {
        let Some(at) = self.connecting.iter().position(|collector| collector.link == link) else { return };
        let collector = self.connecting.remove(at);
        let pe = collector.pe;
        if up {
            let others = self.connecting.drain(..);
            self.done.extend(others.map(|Collector { link, .. }| Do::Close { link, in_order: false }));
            self.candidate = Some(collector);
            self.choice.handle_connected(now, pe, self.acknowledges);
        } else {
            self.pool.user.report_unreachable(now, pe);
            self.choice.handle_not_connected(now, pe);
        }
    }

    pub(crate) fn lost(&mut self, now: Instant, link: Link, sign: Sign) {
        match self.role(link) {
            Some(role) => self.choice.handle_sign(now, role, sign),
            None => self.connected(now, link, false),
        }
    }

    pub(crate) fn sent(&mut self, now: Instant, link: Link, token: Token, outcome: Outcome) {
        match self.role(link) {
            Some(Role::Active) => self.failover.handle_sent(now, token, outcome),
            Some(Role::Standby) => self.failover.handle_standby_sent(now, token, outcome),
            None => {}
        }
    }

    /// Takes a cookie; returns what it told.
    pub(crate) fn cookie(&mut self, now: Instant, link: Link, octets: &[u8]) -> String {
        let Some(role) = self.role(link) else { return String::new() };
        let cookie = Cookie::decode(octets, &self.keys).unwrap();
        let before = self.failover.books().covered;
        let state = match role {
            Role::Active => self.failover.handle_cookie(now, octets).unwrap(),
            Role::Standby => self.failover.handle_standby_cookie(octets).unwrap(),
        };
        let numbers = || cookie.entries.iter().map(|entry| entry.numbers.clone());
        if role == Role::Active {
            for told in numbers() {
                self.sent.within(told).for_each(|covered| self.open.remove_range(covered));
            }
        } else {
            assert!(cookie.entries.is_empty(), "nothing was sent there");
        }
        let covered = self.failover.books().covered > before;
        self.choice.handle_cookie(now, role, state, covered);
        let ranges: Vec<_> = numbers().map(|numbers| format!("{numbers:?}")).collect();
        let state = if state == delivery::cookie::State::Ok { String::new() } else { format!(" {state:?}") };
        format!("cookie [{}]{state}", ranges.join(" "))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let times =
            [self.failover.poll_timeout(true), self.choice.poll_timeout(), self.pool.user.poll_timeout()];
        times.into_iter().flatten().min()
    }

    /// Tells which collectors are quiet, where it matters.
    pub(crate) fn look(&mut self, now: Instant, is_quiet: impl Fn(Link) -> bool) {
        let links = [(Role::Standby, &self.standby), (Role::Active, &self.active)];
        let links = links.map(|(role, collector)| (role, collector.as_ref().map(|collector| collector.link)));
        for (role, link) in links {
            if let Some(link) = link.filter(|_| self.choice.is_in_doubt()) {
                self.choice.handle_quiet(now, role, is_quiet(link));
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(sign) = self.failover.handle_timeout(now) {
            self.choice.handle_sign(now, Role::Active, sign);
        }
        self.choice.handle_timeout(now);
        self.pool.handle_timeout(now);
    }

    /// Does what is to be done; `export_time` is the wall clock.
    pub(crate) fn drive(&mut self, now: Instant, export_time: u32) -> Vec<Do> {
        loop {
            self.pool.exchange(now);
            if let Some(members) = self.pool.changed(now) {
                self.choice.handle_pool(now, self.pool.news, &members);
            }
            let mut is_quiet = true;
            while let Some(output) = self.choice.poll_output() {
                self.obey(now, export_time, output);
                is_quiet = false;
            }
            while let Some(message) = self.failover.poll_standby_transmit(now, export_time) {
                self.send(Role::Standby, message);
            }
            while let Some(message) = self.failover.poll_transmit(now, export_time) {
                self.send(Role::Active, message);
            }
            if self.choice.is_settling() && self.failover.is_settled() {
                let dropped = self.failover.books().dropped() > 0;
                assert!(
                    self.open.is_empty() || dropped,
                    "who has everything leaves nothing to be sent again"
                );
                self.choice.handle_settled(now);
                is_quiet = false;
            }
            if is_quiet {
                self.check();
                return std::mem::take(&mut self.done);
            }
        }
    }

    fn obey(&mut self, now: Instant, export_time: u32, output: Output) {
        match output {
            Output::Seek { except } => match self.pool.user.next_element_except(now, &except) {
                Some(selected) => {
                    assert!(!except.contains(&selected.pe));
                    self.connect(now, selected.pe);
                }
                None => self.choice.handle_nobody(now),
            },
            Output::SeekElement(pe) => match self.pool.user.use_element(now, pe) {
                Some(selected) => self.connect(now, selected.pe),
                None => self.choice.handle_nobody(now),
            },
            Output::Admit => {
                assert!(self.standby.is_none(), "one stands by");
                self.failover.handle_standby_connected(Carrier::Streams, self.acknowledges);
                self.standby = self.candidate.take();
            }
            Output::Promote => {
                assert!(self.active.is_none() && self.standby.is_some(), "one after the other");
                self.failover.promote();
                self.active = self.standby.take();
                let pe = self.active.as_ref().unwrap().pe;
                self.done.push(Do::Note(format!("collector {} in use", pe.0)));
            }
            Output::Pause => self.failover.pause(now),
            Output::Resume => self.failover.resume(),
            Output::Leave { role, sign } => self.leave(now, export_time, role, sign),
            Output::Resolve => self.pool.user.resolve(now),
        }
    }

    fn connect(&mut self, now: Instant, pe: PeId) {
        let in_use = [&self.active, &self.standby].into_iter().flatten().chain(&self.connecting);
        assert!({ in_use }.all(|collector| collector.pe != pe), "two connections to one");
        let link = self.links;
        self.links += 1;
        self.connecting.push(Collector { link, pe, reader: Reader::new() });
        self.choice.handle_connecting(now, pe);
        self.done.push(Do::Connect { link, pe });
    }

    fn leave(&mut self, now: Instant, export_time: u32, role: Role, sign: Sign) {
        if role == Role::Active {
            if !sign.is_gone() {
                self.failover
                    .farewell(export_time)
                    .into_iter()
                    .for_each(|message| self.send(Role::Active, message));
            }
            self.failover.handle_lost(now);
            self.exposed.union(&self.open);
            self.sent = RangeSet::new();
            self.moves.push(sign);
        } else {
            self.failover.drop_standby();
        }
        let collector = if role == Role::Active { self.active.take() } else { self.standby.take() };
        let Collector { link, pe, .. } = collector.expect("a collector to leave");
        if sign.is_gone() {
            self.pool.user.report_unreachable(now, pe);
        } else if sign != Sign::Rebalance {
            self.pool.user.set_aside(now, pe);
        }
        let waiting = self.failover.books().waiting;
        let text = format!("collector {} left ({role:?}, {}), {waiting} records waiting", pe.0, sign.label());
        self.done.push(Do::Note(text));
        self.done.push(Do::Close { link, in_order: !sign.is_gone() });
    }

    fn send(&mut self, role: Role, message: Transmit) {
        let of = if role == Role::Active { &mut self.active } else { &mut self.standby };
        let Collector { link, reader, .. } = of.as_mut().expect("a collector to send to");
        let link = *link;
        let mut items = Vec::new();
        if message.ppid == Ppid::IPFIX {
            items = reader.read(message.stream, &message.octets);
        }
        for item in &items {
            match item {
                Item::Flow { name, .. } => {
                    assert_eq!(
                        (role, message.stream),
                        (Role::Active, STREAM),
                        "no records for who stands by"
                    );
                    assert!(self.sent.insert(*name), "a session sends a record once");
                    let is_new = !self.exposed.contains(*name);
                    assert_eq!(self.open.insert(*name), is_new, "sent again is what was open at a failover");
                }
                Item::Lossy => assert_eq!(role, Role::Active, "no records for who stands by"),
                Item::Session { .. } | Item::Other => {}
            }
        }
        self.done.push(Do::Send { link, message, items });
    }

    /// What holds at every step.
    fn check(&self) {
        for (class, _) in self.failover.classes().iter() {
            let books = self.failover.class_books(class);
            let settled = books.covered + books.delivered + books.abandoned() + books.dropped();
            assert_eq!(books.metered, settled + books.waiting, "{books:?}");
        }
        let octets = self.failover.books().waiting_octets;
        assert!(octets <= self.memory as u64, "{octets} octets held");
    }
}
