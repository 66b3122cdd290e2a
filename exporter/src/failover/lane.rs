//! One class within a transport session: its stream, its templates, what is being packed and what is on its way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use delivery::StatisticsRecord;
use delivery::retention::Mark;
use ipfix::Content;
use transport::{Outcome, Reliability, Token};

use super::books::Abandonment;
use crate::export::{ClassIndex, Kind};

/// How long flow records wait for the acknowledgement of their class's announcement.
const GRACE: Duration = Duration::from_secs(1);

/// How the messages of a transport session travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carrier {
    /// SCTP: a stream for each class.
    Streams,
    /// TCP, TLS: one stream, on which nothing gets lost.
    OneStream,
}

/// A message whose fate the transport tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsettled {
    token: Token,
    /// Flow records of a class that may lose.
    pub(super) lossy_records: u64,
    /// How far class `reliable` was sent with it, for collectors without cookies.
    pub(super) mark: Option<Mark>,
    reliability: Reliability,
    /// Flow records handed over before it.
    position: u64,
    /// What data of a class that may lose must not overtake.
    announces: bool,
}

impl Unsettled {
    /// Returns why its records are lost by this outcome, if they are.
    pub(super) const fn abandonment(&self, outcome: Outcome) -> Option<Abandonment> {
        match outcome {
            Outcome::Delivered => None,
            Outcome::Abandoned => Some(Abandonment::of(self.reliability)),
            Outcome::Unknown => Some(Abandonment::Association),
        }
    }
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) class: ClassIndex,
    pub(super) kind: Kind,
    /// SCTP stream, and which group of template ids.
    pub(super) stream: u16,
    carrier: Carrier,
    /// Every message goes in order (RFC 6526 section 4.3).
    in_order: bool,
    linger: Duration,
    /// How many templates of the table are defined.
    pub(super) templates: usize,
    /// Templates whose records' reliability is to be told, and what to tell.
    pub(super) untold: Vec<(u16, bool)>,
    /// Something waits for its message to fill; how many flow records.
    pub(super) unfinished: bool,
    pub(super) unfinished_flows: u32,
    waiting_since: Option<Instant>,
    unsettled: VecDeque<Unsettled>,
    announcement: Announcement,
    next_token: u64,
    /// Flow records handed over, and of these, given up.
    sent: u64,
    abandoned: u64,
    /// Flow records dropped in earlier sessions.
    not_sent: u64,
}

/// How far the templates and the class record of a class that may lose records have come.
#[derive(Clone, Copy, Debug)]
enum Announcement {
    Unsent,
    OnItsWay {
        /// Messages of it that are not known to have arrived.
        messages: u32,
        /// Flow records wait for them until then at most.
        held_until: Option<Instant>,
    },
    Arrived,
}

impl Lane {
    /// `not_sent`: flow records dropped in earlier sessions.
    pub(super) fn new(
        class: ClassIndex,
        kind: Kind,
        stream: u16,
        carrier: Carrier,
        in_order: bool,
        linger: Duration,
        not_sent: u64,
    ) -> Self {
        Self {
            class,
            kind,
            stream,
            carrier,
            in_order,
            linger,
            templates: 0,
            untold: Vec::new(),
            unfinished: false,
            unfinished_flows: 0,
            waiting_since: None,
            unsettled: VecDeque::new(),
            announcement: Announcement::Unsent,
            next_token: 0,
            sent: 0,
            abandoned: 0,
            not_sent,
        }
    }

    /// Flow records dropped in earlier sessions, for a lane that was made before the last of them ended.
    pub(super) const fn set_not_sent(&mut self, records: u64) {
        self.not_sent = records;
    }

    /// A record was appended to the message being filled.
    pub(super) fn appended(&mut self, now: Instant, flows: u32) {
        self.unfinished = true;
        self.unfinished_flows += flows;
        self.waiting_since.get_or_insert(now);
    }

    /// A message is finished; returns its flow records. Those appended later are in the next.
    pub(super) fn finished(&mut self, content: Content) -> u32 {
        self.waiting_since = None;
        match content {
            Content::Templates => 0,
            Content::DataOnly => std::mem::take(&mut self.unfinished_flows),
        }
    }

    pub(super) fn is_flush_due(&self, now: Instant, at_once: bool) -> bool {
        self.unfinished && (at_once || self.waiting_since.is_some_and(|since| since + self.linger <= now))
    }

    /// Returns when the message being filled is due, or when waiting for an acknowledgement ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // What waits for an acknowledgement is not sent before, however long it has waited to fill a message.
        if let Announcement::OnItsWay { held_until: Some(until), .. } = self.announcement {
            return Some(until);
        }
        self.waiting_since.filter(|_| self.unfinished).map(|since| since + self.linger)
    }

    /// Tells whether flow records wait for the acknowledgement of the class's announcement: data must not overtake its
    /// templates and class record, and goes out of order.
    pub(super) fn is_held(&mut self, now: Instant) -> bool {
        let Announcement::OnItsWay { held_until, .. } = &mut self.announcement else { return false };
        *held_until = held_until.filter(|until| now < *until);
        held_until.is_some()
    }

    /// Returns how a message is delivered, and whether it may overtake others.
    ///
    /// Flow records go out of order, as RFC 7011 section 10.2.6 allows: a lost message keeps none behind it waiting, and
    /// a receiver that skips it skips nothing else. They go in order where the class's announcement is not
    /// acknowledged in time, and with RFC 6526 (section 4.3).
    pub(super) fn delivery(&self, content: Content, flows: u32) -> (Reliability, bool) {
        if !self.kind.is_lossy() || flows == 0 || self.carrier == Carrier::OneStream {
            return (Reliability::Full, false);
        }
        (self.kind.reliability(content), !self.in_order && matches!(self.announcement, Announcement::Arrived))
    }

    /// A message with these flow records is handed over. Returns a token where its fate is of interest.
    pub(super) fn hand_over(
        &mut self,
        now: Instant,
        flows: u32,
        mark: Option<Mark>,
        reliability: Reliability,
    ) -> Option<Token> {
        let lossy = self.kind.is_lossy();
        let announces = lossy && flows == 0;
        if announces {
            let before = match self.announcement {
                Announcement::OnItsWay { messages, .. } => messages,
                Announcement::Unsent | Announcement::Arrived => 0,
            };
            let may_overtake = self.carrier == Carrier::Streams && !self.in_order;
            let held_until = Some(now + GRACE).filter(|_| may_overtake);
            self.announcement = Announcement::OnItsWay { messages: before + 1, held_until };
        }
        let position = self.sent;
        self.sent += u64::from(flows);
        if !lossy && mark.is_none() {
            return None;
        }
        // The class is in the token, so that its lane is found again.
        let token = Token(self.next_token << 8 | u64::from(self.class.0));
        self.next_token += 1;
        let lossy_records = if lossy { flows.into() } else { 0 };
        self.unsettled.push_back(Unsettled { token, lossy_records, mark, reliability, position, announces });
        Some(token)
    }

    /// Returns the class whose message has this token.
    pub(super) const fn class_of(token: Token) -> usize {
        (token.0 & 0xff) as usize
    }

    /// The transport has told the fate of the message with `token`.
    pub(super) fn settle(&mut self, token: Token, outcome: Outcome) -> Option<Unsettled> {
        let at = self.unsettled.binary_search_by_key(&token, |sent| sent.token).ok()?;
        let sent = self.unsettled.remove(at)?;
        if sent.abandonment(outcome).is_some() {
            self.abandoned += sent.lossy_records;
        } else if sent.announces
            && let Announcement::OnItsWay { messages, held_until } = self.announcement
        {
            self.announcement = match messages - 1 {
                0 => Announcement::Arrived,
                messages => Announcement::OnItsWay { messages, held_until },
            };
        }
        Some(sent)
    }

    /// Tells whether its class was announced.
    pub(super) const fn is_announced(&self) -> bool {
        !matches!(self.announcement, Announcement::Unsent)
    }

    /// Returns what to tell of the lane: none of class `reliable`, and none before its announcement has arrived. With `leaving`,
    /// what is on its way counts as given up. `dropped` are the flow records dropped in the buffer.
    pub(super) fn statistics(&self, domain: u32, dropped: u64, leaving: bool) -> Option<StatisticsRecord> {
        // They must not overtake the class record either.
        if !self.kind.is_lossy() || !matches!(self.announcement, Announcement::Arrived) {
            return None;
        }
        let first = self.unsettled.iter().find(|sent| sent.lossy_records > 0);
        let (settled, more) = match first {
            Some(first) if !leaving => (first.position, 0),
            _ => (self.sent, self.on_their_way()),
        };
        let (stream, sent, not_sent) = (self.stream, self.sent, self.not_sent + dropped);
        Some(StatisticsRecord { domain, stream, sent, settled, abandoned: self.abandoned + more, not_sent })
    }

    /// Returns flow records of a class that may lose that were handed over and whose fate is not known.
    pub(super) fn on_their_way(&self) -> u64 {
        self.unsettled.iter().map(|sent| sent.lossy_records).sum()
    }

    /// Tells whether something is being packed or its fate is not known.
    pub(super) fn is_busy(&self) -> bool {
        self.unfinished || !self.unsettled.is_empty()
    }
}
