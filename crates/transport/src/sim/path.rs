//! The task between two simulated ends.
#![expect(clippy::disallowed_methods, reason = "driver: reads tokio's clock, which tests pause")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Options, Orders, Shared};
use crate::link::{Link, Request};
use crate::{Event, LossReason, Message, MsgOut, Outcome, Reliability, Token};

/// Octets under way, at most: the rest waits in the queue, where it can give way to messages of a higher priority.
const IN_FLIGHT: usize = 256 << 10;

/// A message under way.
struct Flight {
    due: Instant,
    expires: Option<Instant>,
    /// Loses the throw of the dice on arrival.
    lost: bool,
    message: MsgOut,
}

/// The news of a message's end, on its way back.
struct Receipt {
    due: Instant,
    octets: usize,
    token: Option<Token>,
    outcome: Outcome,
}

struct Half {
    link: Arc<Link>,
    queue: VecDeque<MsgOut>,
    flights: VecDeque<Flight>,
    /// Octets of the flights.
    in_flight: usize,
    /// More waits to be taken.
    left: bool,
    receipts: VecDeque<Receipt>,
    request: Request,
    /// When the other side heard that this one closes or aborts.
    told: Option<Instant>,
    /// Since when nothing comes from this side.
    silent_since: Option<Instant>,
    ended: bool,
}

pub(super) struct Path {
    halves: [Half; 2],
    shared: Arc<Shared>,
    options: Options,
    random: u64,
}

impl Half {
    fn new(link: Arc<Link>) -> Half {
        Half {
            link,
            queue: VecDeque::new(),
            flights: VecDeque::new(),
            in_flight: 0,
            left: false,
            receipts: VecDeque::new(),
            request: Request::None,
            told: None,
            silent_since: None,
            ended: false,
        }
    }

    fn end(&mut self, reason: LossReason) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.give_up();
        self.link.end(reason);
    }

    /// Everything that left and whose end is not known stays unknown.
    fn give_up(&mut self) {
        for receipt in self.receipts.drain(..) {
            self.link.finished(receipt.octets, receipt.token, receipt.outcome);
        }
        self.in_flight = 0;
        for flight in self.flights.drain(..) {
            self.link.finished(flight.message.data.len(), flight.message.token, Outcome::Unknown);
        }
    }
}

impl Path {
    pub(super) fn new(links: [Arc<Link>; 2], shared: Arc<Shared>, seed: u64, options: Options) -> Path {
        Path { halves: links.map(Half::new), shared, options, random: seed }
    }

    pub(super) async fn run(mut self) {
        loop {
            let now = Instant::now();
            let orders = self.shared.take();
            self.disturb(orders, now);
            for side in 0..2 {
                self.take(side, orders, now);
                self.deliver(side, orders, now);
                self.receipts(side, orders, now);
            }
            for side in 0..2 {
                self.close(side, orders, now);
            }
            if self.halves.iter().all(|half| half.ended) {
                return;
            }
            let has_room = |half: &Half| half.left && half.in_flight < IN_FLIGHT && !half.ended;
            if (0..2).any(|side| has_room(&self.halves[side]) && !orders.frozen[side]) {
                // What was delivered made room.
                continue;
            }
            let next = self.deadline(orders, now);
            let changed = self.shared.changed.notified();
            match next {
                Some(next) if next > now => tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = changed => {}
                },
                // What is due cannot go on before something changes.
                _ => changed.await,
            }
        }
    }

    /// Whether something of `side` can reach the other.
    fn passes(orders: Orders, side: usize) -> bool {
        !orders.cut && !orders.frozen[side] && !orders.killed[side]
    }

    fn disturb(&mut self, orders: Orders, now: Instant) {
        for side in 0..2 {
            let other = 1 - side;
            if orders.restart[side] && !self.halves[other].ended {
                self.halves[other].give_up();
                self.halves[side].give_up();
                self.halves[other].link.push(Event::Restarted);
                self.halves[other].link.push(Event::Up);
            }
            if orders.killed[side] {
                self.halves[side].end(LossReason::EndpointClosed);
            }
            if Path::passes(orders, side) {
                self.halves[side].silent_since = None;
                continue;
            }
            let since = *self.halves[side].silent_since.get_or_insert(now);
            let patience = self.patience(orders, side);
            // A frozen side cannot notice anything.
            if now >= since + patience && !orders.frozen[other] {
                self.halves[other].end(if orders.killed[side] {
                    LossReason::Unreachable(patience)
                } else {
                    LossReason::Silent(patience)
                });
            }
        }
    }

    /// How long the other side bears that nothing comes from this one.
    fn patience(&self, orders: Orders, side: usize) -> Duration {
        let profile = &self.options.profile;
        if orders.killed[side] { profile.unreachable } else { profile.silence }
    }

    fn take(&mut self, side: usize, orders: Orders, now: Instant) {
        if orders.frozen[side] || self.halves[side].ended {
            return;
        }
        let mut queue = std::mem::take(&mut self.halves[side].queue);
        let half = &mut self.halves[side];
        let room = IN_FLIGHT.saturating_sub(half.in_flight);
        (half.request, half.left) = half.link.take_some(&mut queue, room);
        for message in queue.drain(..) {
            let limited = match message.reliability {
                Reliability::Full | Reliability::Priority(_) => false,
                Reliability::MaxRetransmits(_) | Reliability::Lifetime(_) => true,
            };
            let lost = limited && self.chance() < self.options.loss;
            let expires = match message.reliability {
                Reliability::Lifetime(lifetime) => Some(now + lifetime),
                Reliability::Full | Reliability::Priority(_) | Reliability::MaxRetransmits(_) => None,
            };
            let due = now + self.options.delay;
            self.halves[side].in_flight += message.data.len();
            self.halves[side].flights.push_back(Flight { due, expires, lost, message });
        }
        self.halves[side].queue = queue;
    }

    /// A number in [0, 1).
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        f64::from(u32::try_from(z >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    fn deliver(&mut self, side: usize, orders: Orders, now: Instant) {
        let [a, b] = &mut self.halves;
        let (from, to) = if side == 0 { (a, b) } else { (b, a) };
        while let Some(flight) = from.flights.front() {
            if flight.due > now || to.ended {
                return;
            }
            let expired = flight.expires.is_some_and(|expires| expires < now);
            let passes = Path::passes(orders, side) && !orders.frozen[1 - side];
            let limited = matches!(flight.message.reliability, Reliability::MaxRetransmits(_));
            let outcome = if flight.lost || expired || (limited && !passes) {
                Outcome::Abandoned
            } else if passes {
                let message = &flight.message;
                let mut event = Some(Event::Message(Message {
                    stream: message.stream,
                    ppid: message.ppid,
                    unordered: message.unordered,
                    data: message.data.clone(),
                }));
                to.link.fill(|| event.take());
                if event.is_some() {
                    // No room: the link wakes this task when there is some.
                    return;
                }
                Outcome::Delivered
            } else {
                return;
            };
            if let Some(flight) = from.flights.pop_front() {
                from.in_flight -= flight.message.data.len();
                from.receipts.push_back(Receipt {
                    due: now + self.options.delay,
                    octets: flight.message.data.len(),
                    token: flight.message.token,
                    outcome,
                });
            }
        }
    }

    fn receipts(&mut self, side: usize, orders: Orders, now: Instant) {
        let half = &mut self.halves[side];
        while half.receipts.front().is_some_and(|receipt| receipt.due <= now) {
            if !Path::passes(orders, 1 - side) || orders.frozen[side] {
                return;
            }
            if let Some(receipt) = half.receipts.pop_front() {
                half.link.finished(receipt.octets, receipt.token, receipt.outcome);
            }
        }
    }

    fn close(&mut self, side: usize, orders: Orders, now: Instant) {
        let delay = self.options.delay;
        let [a, b] = &mut self.halves;
        let (this, other) = if side == 0 { (a, b) } else { (b, a) };
        let passes = Path::passes(orders, side) && !orders.frozen[1 - side];
        if this.request == Request::Abort && !this.ended {
            this.told = Some(now + delay);
            this.end(LossReason::Aborted);
        }
        if this.ended {
            // Whoever gave up tells the other, as soon as something passes.
            let told = *this.told.get_or_insert(now + delay);
            if passes && now >= told && !other.ended {
                other.end(LossReason::PeerAborted("aborted".to_owned()));
            }
            return;
        }
        if this.request == Request::Shutdown && this.link.is_dry() && passes {
            let told = *this.told.get_or_insert(now + delay);
            if now < told {
                return;
            }
            if !other.link.is_closing() {
                other.link.close_sending();
                other.link.push(Event::PeerShutdown);
            }
            if other.link.is_dry() {
                this.end(LossReason::Closed);
                let closing = other.request == Request::Shutdown;
                other.end(if closing { LossReason::Closed } else { LossReason::PeerClosed });
            }
        }
    }

    /// When something is due that time alone brings.
    fn deadline(&self, orders: Orders, now: Instant) -> Option<Instant> {
        let halves = self.halves.iter().enumerate().flat_map(|(side, half)| {
            let patience = self.patience(orders, side);
            [
                half.flights.front().map(|flight| flight.due),
                half.receipts.front().map(|receipt| receipt.due),
                half.told,
                half.silent_since.map(|since| since + patience),
            ]
        });
        halves.flatten().filter(|&due| due > now).min()
    }
}
