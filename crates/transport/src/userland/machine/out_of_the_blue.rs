//! Packets that belong to no association (RFC 9260 section 8.4).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Machine;
use super::packet::{self, Chunk, Header, chunk};

/// Answers to packets out of the blue, each second.
const ANSWERS: u32 = 100;

/// What is left of this second's answers.
pub(super) struct AnswerLimit {
    left: u32,
    since: Instant,
}

impl AnswerLimit {
    pub(super) fn new(now: Instant) -> AnswerLimit {
        AnswerLimit { left: ANSWERS, since: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        if now - self.since >= Duration::from_secs(1) {
            *self = AnswerLimit::new(now);
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }
}

impl Machine {
    /// RFC 9260 section 8.4, in its order.
    pub(super) fn out_of_the_blue(
        &mut self,
        from: SocketAddr,
        header: Header,
        octets: &[u8],
        first: Chunk<'_>,
        now: Instant,
    ) {
        self.counters.out_of_the_blue.one();
        if packet::has(octets, chunk::ABORT)
            || packet::has(octets, chunk::SHUTDOWN_COMPLETE)
            || matches!(first.kind, chunk::ERROR | chunk::COOKIE_ACK)
            || header.tag == 0
        {
            return;
        }
        let answer = if packet::has(octets, chunk::SHUTDOWN_ACK) {
            packet::shutdown_complete(header.answer(header.tag))
        } else {
            packet::abort(header.answer(header.tag), true)
        };
        self.answer(from, answer, now);
    }

    /// Answers a packet of no association, if not too many were answered this second.
    pub(super) fn answer(&mut self, to: SocketAddr, packet: Vec<u8>, now: Instant) {
        if !self.answers.take(now) {
            return self.counters.answers_suppressed.one();
        }
        self.counters.out_of_the_blue_answers.one();
        self.out.packets.push_back((to, packet));
    }
}
