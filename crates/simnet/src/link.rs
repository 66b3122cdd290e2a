//! One direction between two nodes.

use std::time::{Duration, Instant};

use crate::Random;

/// Says when messages arrive. Only that: the simulation carries them.
#[derive(Clone, Debug)]
pub struct Link {
    /// Shortest time a message takes.
    pub delay: Duration,
    /// At most this is added.
    pub jitter: Duration,
    /// Per cent of messages that are lost; on an ordered channel they are sent again.
    pub loss: u64,
    /// Time after which an ordered channel sends a lost message again.
    pub retransmission: Duration,
    cut_until: Option<Instant>,
    last_arrival: Option<Instant>,
}

impl Link {
    /// Returns a link without jitter and loss.
    pub const fn new(delay: Duration) -> Self {
        let retransmission = Duration::from_millis(250);
        Self { delay, jitter: Duration::ZERO, loss: 0, retransmission, cut_until: None, last_arrival: None }
    }

    /// Cuts the link until then (for good: until some far time). What is on the way still arrives.
    pub fn cut(&mut self, until: Instant) {
        self.cut_until = Some(until);
    }

    /// Tells whether the link is cut.
    pub fn is_cut(&self, now: Instant) -> bool {
        self.cut_until.is_some_and(|until| now < until)
    }

    /// Returns when a message of a reliable, ordered channel arrives (an SCTP stream, TCP): after the cut if there is
    /// one, and never before a message sent earlier.
    pub fn ordered(&mut self, now: Instant, random: &mut Random) -> Instant {
        let mut sent = self.cut_until.map_or(now, |until| until.max(now));
        while random.chance(self.loss) {
            sent += self.retransmission;
        }
        let arrival = sent + self.delay + random.between(Duration::ZERO, self.jitter);
        let arrival = self.last_arrival.map_or(arrival, |last| last.max(arrival));
        self.last_arrival = Some(arrival);
        arrival
    }

    /// Returns when a datagram arrives; `None` when it does not.
    pub fn datagram(&self, now: Instant, random: &mut Random) -> Option<Instant> {
        if self.is_cut(now) || random.chance(self.loss) {
            return None;
        }
        Some(now + self.delay + random.between(Duration::ZERO, self.jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(10);

    #[test]
    fn an_ordered_channel_keeps_order_and_loses_nothing() {
        let (mut random, now) = (Random::new(1), crate::start());
        let mut link = Link { jitter: DELAY, loss: 30, ..Link::new(DELAY) };
        let arrivals: Vec<_> = (0..100).map(|at| link.ordered(now + DELAY * at, &mut random)).collect();
        assert!(arrivals.is_sorted());
    }

    #[test]
    fn a_cut_link_delays_an_ordered_channel_and_swallows_datagrams() {
        let (mut random, now) = (Random::new(1), crate::start());
        let mut link = Link::new(DELAY);
        link.cut(now + DELAY * 5);
        assert_eq!(link.datagram(now, &mut random), None);
        assert_eq!(link.ordered(now, &mut random), now + DELAY * 6);
        assert_eq!(link.datagram(now + DELAY * 5, &mut random), Some(now + DELAY * 6));
    }

    #[test]
    fn about_the_given_share_of_datagrams_is_lost() {
        let (mut random, now) = (Random::new(1), crate::start());
        let link = Link { loss: 10, ..Link::new(DELAY) };
        let lost = (0..10_000).filter(|_| link.datagram(now, &mut random).is_none()).count();
        assert!((900..1100).contains(&lost), "{lost}");
    }
}
