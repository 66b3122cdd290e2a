//! One class within a transport session: its stream, its templates, what is being packed and what is on its way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use delivery::retention::Mark;
use ipfix::Content;
use transport::{Outcome, Reliability, Token};

use super::books::Abandonment;
use crate::export::{ClassIndex, Kind};

/// How long the templates of a class may be unacknowledged before its messages may get lost all the same.
const TEMPLATE_GRACE: Duration = Duration::from_secs(1);

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
    /// The templates of a class that may lose.
    templates: bool,
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
    linger: Duration,
    /// Something waits for its message to fill; how many flow records.
    pub(super) unfinished: bool,
    pub(super) unfinished_flows: u32,
    waiting_since: Option<Instant>,
    unsettled: VecDeque<Unsettled>,
    templates: Templates,
    next_token: u64,
}

/// How far the templates of a class that may lose records have come.
#[derive(Clone, Copy, Debug)]
enum Templates {
    Unsent,
    Sent(Instant),
    Arrived,
}

impl Lane {
    pub(super) fn new(
        class: ClassIndex,
        kind: Kind,
        stream: u16,
        carrier: Carrier,
        linger: Duration,
    ) -> Self {
        Self {
            class,
            kind,
            stream,
            carrier,
            linger,
            unfinished: false,
            unfinished_flows: 0,
            waiting_since: None,
            unsettled: VecDeque::new(),
            templates: Templates::Unsent,
            next_token: 0,
        }
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

    /// Returns when the message being filled is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting_since.filter(|_| self.unfinished).map(|since| since + self.linger)
    }

    /// Returns how a message handed over at `now` is delivered, and whether it may overtake others.
    ///
    /// Data must not overtake its templates, nor arrive without them: until these are acknowledged it goes in order,
    /// and reliably for a moment. From then on it goes out of order, as RFC 7011 section 10.2.6 allows: a lost message
    /// keeps none behind it waiting, and a receiver that skips it skips nothing else.
    pub(super) fn delivery(&self, now: Instant, content: Content) -> (Reliability, bool) {
        let reliability = self.kind.reliability(content);
        if !self.kind.is_lossy() || content == Content::Templates || self.carrier == Carrier::OneStream {
            return (Reliability::Full, false);
        }
        match self.templates {
            Templates::Arrived => (reliability, true),
            Templates::Sent(at) if now < at + TEMPLATE_GRACE => (Reliability::Full, false),
            Templates::Sent(_) | Templates::Unsent => (reliability, false),
        }
    }

    /// A message with these flow records is handed over. Returns a token where its fate is of interest.
    pub(super) fn hand_over(
        &mut self,
        now: Instant,
        content: Content,
        flows: u32,
        mark: Option<Mark>,
        reliability: Reliability,
    ) -> Option<Token> {
        let lossy = self.kind.is_lossy();
        let templates = lossy && content == Content::Templates;
        if templates {
            self.templates = Templates::Sent(now);
        }
        if !lossy && mark.is_none() {
            return None;
        }
        // The class is in the token, so that its lane is found again.
        let token = Token(self.next_token << 8 | u64::from(self.class.0));
        self.next_token += 1;
        let lossy_records = if lossy { flows.into() } else { 0 };
        self.unsettled.push_back(Unsettled { token, lossy_records, mark, reliability, templates });
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
        if sent.templates && outcome == Outcome::Delivered {
            self.templates = Templates::Arrived;
        }
        Some(sent)
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
