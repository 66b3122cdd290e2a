//! What is sent, and how the receiving end keeps count of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use transport::{Message, MsgOut, Ppid, Reliability, Token};

/// Messages of 1,400 octets, over all streams.
pub(crate) const MESSAGES: u32 = 5_000;
/// Octets of such a message.
pub(crate) const LENGTH: usize = 1_400;
/// Octets of the long messages that stream 0 has among the others.
pub(crate) const LONG: usize = 60_000;
/// One message of stream 0 in so many is long.
const LONG_EVERY: u32 = 250;

/// The streams: one reliability each, as the exporter's classes, and all our payload protocol identifiers.
pub(crate) const STREAMS: [(Ppid, Reliability); 4] = [
    (Ppid::IPFIX, Reliability::Full),
    (Ppid::ASAP, Reliability::MaxRetransmits(0)),
    (Ppid::ENRP, Reliability::MaxRetransmits(1)),
    (Ppid::IPFIX, Reliability::Lifetime(Duration::from_millis(500))),
];

/// All messages in the order they are sent.
pub(crate) fn messages() -> impl Iterator<Item = MsgOut> {
    let mut next = [0_u32; STREAMS.len()];
    let streams = (0..MESSAGES).map(|i| usize::try_from(i).unwrap() % STREAMS.len());
    streams.flat_map(move |stream| {
        let mut messages = vec![message(stream, &mut next[stream], LENGTH)];
        if stream == 0 && next[0] % LONG_EVERY == LONG_EVERY - 1 {
            messages.push(message(stream, &mut next[stream], LONG));
        }
        messages
    })
}

fn message(stream: usize, next: &mut u32, length: usize) -> MsgOut {
    let (ppid, reliability) = STREAMS[stream];
    let number = *next;
    *next += 1;
    let stream = u16::try_from(stream).unwrap();
    MsgOut {
        stream,
        reliability,
        token: Some(Token(u64::from(stream) << 32 | u64::from(number))),
        ..MsgOut::new(ppid, content(stream, number, length))
    }
}

/// Stream and number, then octets that follow from them.
fn content(stream: u16, number: u32, length: usize) -> Bytes {
    let mut octets = Vec::with_capacity(length);
    octets.extend(stream.to_be_bytes());
    octets.extend(number.to_be_bytes());
    let first = number.wrapping_mul(31);
    octets.extend((first..).take(length - octets.len()).map(|n| n.to_be_bytes()[3]));
    octets.into()
}

/// What became of the messages of one stream; zero where an end has nothing to say of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    // The sending end.
    pub(crate) sent: u32,
    pub(crate) delivered: u32,
    pub(crate) abandoned: u32,
    pub(crate) unknown: u32,
    // The receiving end.
    pub(crate) received: u32,
    pub(crate) long: u32,
    /// Messages between two that arrived.
    pub(crate) skipped: u32,
    /// Most of them in one place.
    pub(crate) longest_skip: u32,
    /// Out of order, twice, with a wrong PPID or other octets.
    pub(crate) wrong: u32,
    /// The number expected next.
    pub(crate) next: u32,
    /// Longest time between two messages, in milliseconds.
    pub(crate) silence: u32,
}

macro_rules! fields {
    ($self:ident, $each:expr) => {
        fields!(@ $self, $each, sent delivered abandoned unknown received long skipped longest_skip wrong next silence)
    };
    (@ $self:ident, $each:expr, $($field:ident)*) => { $($each(stringify!($field), &mut $self.$field);)* };
}

impl Tally {
    /// One line: `sent=5000 delivered=…`.
    pub(crate) fn line(mut self) -> String {
        let mut words = Vec::new();
        fields!(self, |name: &str, value: &mut u32| words.push(format!("{name}={value}")));
        words.join(" ")
    }

    /// Reads [`Tally::line`].
    pub(crate) fn parse(line: &str) -> Tally {
        let words: BTreeMap<&str, u32> = line
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect();
        let mut tally = Tally::default();
        fields!(tally, |name: &str, value: &mut u32| *value = words[name]);
        tally
    }
}

/// Checks and counts what arrives.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    pub(crate) tallies: [Tally; STREAMS.len()],
    last: [Option<Instant>; STREAMS.len()],
}

impl Receiver {
    /// Whether nothing has arrived yet.
    pub(crate) fn is_unused(&self) -> bool {
        self.tallies.iter().all(|tally| *tally == Tally::default())
    }

    pub(crate) fn take(&mut self, message: &Message, now: Instant) {
        let stream = usize::from(message.stream);
        let number = u32::from_be_bytes(message.data[2..6].try_into().unwrap());
        let tally = &mut self.tallies[stream];
        let right = message.ppid == STREAMS[stream].0
            && message.data == content(message.stream, number, message.data.len())
            && number >= tally.next;
        if !right {
            tally.wrong += 1;
            return;
        }
        tally.received += 1;
        tally.long += u32::from(message.data.len() == LONG);
        let skip = number - tally.next;
        tally.skipped += skip;
        tally.longest_skip = tally.longest_skip.max(skip);
        tally.next = number + 1;
        let silence = self.last[stream].map_or(Duration::ZERO, |last| now - last);
        tally.silence = tally.silence.max(u32::try_from(silence.as_millis()).unwrap());
        self.last[stream] = Some(now);
    }
}

#[test]
fn the_traffic_is_5_000_messages_on_4_streams_and_5_long_ones() {
    let messages: Vec<_> = messages().collect();
    let with = |length| messages.iter().filter(|message| message.data.len() == length).count();
    assert_eq!((with(LENGTH), with(LONG), messages.len()), (5_000, 5, 5_005));
}

#[test]
fn a_receiver_counts_what_is_skipped_repeated_and_damaged() {
    let mut receiver = Receiver::default();
    let mut take = |number, damage: u8| {
        let mut data = content(0, number, LENGTH).to_vec();
        data[1_000] ^= damage;
        let message = Message { stream: 0, ppid: Ppid::IPFIX, unordered: false, data: data.into() };
        receiver.take(&message, Instant::now());
    };
    for (number, damage) in [(0, 0), (3, 0), (2, 0), (4, 1), (5, 0)] {
        take(number, damage);
    }
    let tally = Tally { silence: 0, ..receiver.tallies[0] };
    let expected = Tally { received: 3, skipped: 3, longest_skip: 2, wrong: 2, next: 6, ..Tally::default() };
    assert_eq!(tally, expected);
    assert_eq!(Tally::parse(&expected.line()), expected);
}
