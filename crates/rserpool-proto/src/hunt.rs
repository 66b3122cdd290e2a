//! Server hunt: finds a home registrar among the configured ones (RFC 5352 section 3.6).
//!
//! A round tries up to three registrars at once and takes the first that answers; the next round
//! takes the next ones. Timer: T5-serverhunt between the starts of rounds, doubling up to
//! RETRAN-MAX, spread by the profile's jitter. Deviation: a round goes on after T5 while the profile's
//! connect time-out has not passed, so that a short T5 does not end it early.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::{ConnectionId, Profile, RegistrarAddress};

/// Connections a hunt may open at once (SH1).
const MAX_CONNECTIONS: usize = 3;

/// What the hunt wants done.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Connect(ConnectionId, RegistrarAddress),
    Disconnect(ConnectionId),
}

#[derive(Debug)]
pub(crate) struct Hunt {
    registrars: Vec<RegistrarAddress>,
    /// Where the next round starts in `registrars`.
    cursor: usize,
    attempts: BTreeMap<ConnectionId, RegistrarAddress>,
    /// Registrars this round has not tried yet (SH4).
    untried: Vec<RegistrarAddress>,
    next_connection: u64,
    t5: Duration,
    round: Option<Round>,
    /// Rounds of this hunt.
    rounds: u64,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    /// When T5 lets the next round start.
    next: Instant,
    /// When attempts of this round are given up.
    end: Instant,
}

impl Hunt {
    pub(crate) fn new(registrars: Vec<RegistrarAddress>, profile: &Profile) -> Hunt {
        Hunt {
            registrars,
            cursor: 0,
            attempts: BTreeMap::new(),
            untried: Vec::new(),
            next_connection: 1,
            t5: profile.t5_hunt,
            round: None,
            rounds: 0,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.round.is_some()
    }

    /// Returns whether the first round has just been followed by another: nobody was found.
    pub(crate) fn is_fruitless(&self) -> bool {
        self.rounds == 2
    }

    /// Starts a hunt, or a round of it.
    pub(crate) fn start(&mut self, now: Instant, profile: &Profile, random: &mut Random) -> Vec<Step> {
        self.rounds = if self.is_running() { self.rounds + 1 } else { 1 };
        let mut steps = self.give_up();
        let next = now + random.jitter(self.t5, profile.jitter_percent);
        self.round = Some(Round { next, end: next.max(now + profile.connect_timeout) });
        self.t5 = (self.t5 * 2).min(profile.t5_max);
        let count = self.registrars.len();
        self.untried = (0..count).map(|step| self.registrars[(self.cursor + step) % count]).rev().collect();
        self.cursor = if count == 0 { 0 } else { (self.cursor + MAX_CONNECTIONS.min(count)) % count };
        while self.attempts.len() < MAX_CONNECTIONS {
            let Some(step) = self.try_another() else { break };
            steps.push(step);
        }
        steps
    }

    fn try_another(&mut self) -> Option<Step> {
        let address = self.untried.pop()?;
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.attempts.insert(connection, address);
        Some(Step::Connect(connection, address))
    }

    /// Ends all attempts, and the hunt.
    pub(crate) fn give_up(&mut self) -> Vec<Step> {
        self.round = None;
        self.untried.clear();
        std::mem::take(&mut self.attempts).into_keys().map(Step::Disconnect).collect()
    }

    /// A connection is up: the hunt is over (SH3, SH6), the other attempts are given up.
    pub(crate) fn connected(
        &mut self,
        connection: ConnectionId,
        profile: &Profile,
    ) -> Option<(RegistrarAddress, Vec<Step>)> {
        let address = self.attempts.remove(&connection)?;
        self.t5 = profile.t5_hunt;
        // The next hunt prefers another registrar than the one that failed then.
        if let Some(at) = self.registrars.iter().position(|registrar| *registrar == address) {
            self.cursor = (at + 1) % self.registrars.len();
        }
        Some((address, self.give_up()))
    }

    /// An attempt failed: another registrar of the round is tried (SH4).
    pub(crate) fn failed(&mut self, connection: ConnectionId) -> Option<Step> {
        self.attempts.remove(&connection)?;
        self.try_another()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let round = self.round?;
        Some(if self.attempts.is_empty() { round.next } else { round.end })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn registrars(count: u8) -> Vec<RegistrarAddress> {
        (1..=count).map(|last| RegistrarAddress::sctp(IpAddr::from([127, 0, 0, last]), 3863)).collect()
    }

    fn tried(steps: &[Step]) -> Vec<u8> {
        let last = |address: &RegistrarAddress| match address.ip {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(_) => 0,
        };
        steps
            .iter()
            .filter_map(|s| if let Step::Connect(_, to) = s { Some(last(to)) } else { None })
            .collect()
    }

    #[test]
    fn at_most_three_registrars_are_tried_at_once_and_the_rest_as_they_fail() {
        let mut hunt = Hunt::new(registrars(5), &Profile::FAST);
        let steps = hunt.start(Instant::now(), &Profile::FAST, &mut Random::new(1));
        assert_eq!(tried(&steps), [1, 2, 3]);
        assert_eq!(tried(&Vec::from_iter(hunt.failed(ConnectionId(1)))), [4]);
        assert_eq!(tried(&Vec::from_iter(hunt.failed(ConnectionId(2)))), [5]);
        assert_eq!(hunt.failed(ConnectionId(3)), None);
    }

    #[test]
    fn the_first_connection_wins_and_the_next_hunt_starts_behind_it() {
        let (mut hunt, now) = (Hunt::new(registrars(3), &Profile::FAST), Instant::now());
        let mut random = Random::new(1);
        hunt.start(now, &Profile::FAST, &mut random);
        let (address, steps) = hunt.connected(ConnectionId(2), &Profile::FAST).unwrap();
        assert_eq!(address, registrars(3)[1]);
        assert_eq!(steps, [Step::Disconnect(ConnectionId(1)), Step::Disconnect(ConnectionId(3))]);
        assert!(hunt.connected(ConnectionId(3), &Profile::FAST).is_none());
        assert!(!hunt.is_running());
        assert_eq!(tried(&hunt.start(now, &Profile::FAST, &mut random)), [3, 1, 2]);
    }

    #[test]
    fn t5_doubles_up_to_its_maximum_and_starts_again_after_success() {
        let (mut hunt, mut now) = (Hunt::new(registrars(1), &Profile::RFC), Instant::now());
        let (mut random, exact) = (Random::new(1), Profile { jitter_percent: 0, ..Profile::RFC });
        let mut waits = Vec::new();
        for connection in 1..=5 {
            hunt.start(now, &exact, &mut random);
            hunt.failed(ConnectionId(connection));
            let next = hunt.deadline().unwrap();
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [10, 20, 40, 60, 60]);
        hunt.start(now, &exact, &mut random);
        hunt.connected(ConnectionId(6), &exact).unwrap();
        assert!(!hunt.is_running());
        hunt.start(now, &exact, &mut random);
        assert_eq!(hunt.deadline(), Some(now + Duration::from_secs(10)));
    }

    #[test]
    fn without_registrars_the_hunt_waits() {
        let mut hunt = Hunt::new(vec![], &Profile::FAST);
        assert_eq!(hunt.start(Instant::now(), &Profile::FAST, &mut Random::new(1)), []);
        assert!(hunt.deadline().is_some());
        assert!(!hunt.is_fruitless());
        hunt.start(Instant::now(), &Profile::FAST, &mut Random::new(1));
        assert!(hunt.is_fruitless());
        hunt.start(Instant::now(), &Profile::FAST, &mut Random::new(1));
        assert!(!hunt.is_fruitless(), "it is told once");
    }
}
