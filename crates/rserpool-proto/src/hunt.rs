//! Server hunt: finds a home registrar among those that are known (RFC 5352 section 3.6).
//!
//! Known are the configured ones, which their owner may have to look up by name at each round, and those that have
//! announced themselves within T7-ENRPoutdate. A round tries up to three registrars at once and takes the first that answers; the next round
//! takes the next ones. Timer: T5-serverhunt between the starts of rounds, doubling up to
//! RETRAN-MAX, spread by the profile's jitter. Deviation: a round goes on after T5 while the profile's
//! connect time-out has not passed, so that a short T5 does not end it early.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::registrar::Network;
use crate::{AnnounceError, ConnectionId, Profile, RegistrarAddress, announce};

/// Connections a hunt may open at once (SH1).
const MAX_CONNECTIONS: usize = 3;

/// Registrars known from their announces only, at once.
const MAX_ANNOUNCED: usize = 64;

/// What the hunt wants done.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Connect(ConnectionId, RegistrarAddress),
    Disconnect(ConnectionId),
}

#[derive(Debug)]
pub(crate) struct Hunt {
    known: Registrars,
    /// Where the next round starts in `known`.
    cursor: usize,
    /// Where registrars may be that announce themselves.
    networks: Vec<Network>,
    /// The owner looks registrars up at each round.
    lookup: bool,
    /// The owner has not told what this round's lookup has found.
    pending: bool,
    attempts: BTreeMap<ConnectionId, RegistrarAddress>,
    /// Registrars this round has not tried yet (SH4).
    untried: Vec<RegistrarAddress>,
    next_connection: u64,
    t5: Duration,
    round: Option<Round>,
    /// Rounds of this hunt.
    rounds: u64,
    /// Rounds of all hunts.
    begun: u64,
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
            known: Registrars { configured: registrars, announced: BTreeMap::new() },
            cursor: 0,
            networks: Vec::new(),
            lookup: false,
            pending: false,
            attempts: BTreeMap::new(),
            untried: Vec::new(),
            next_connection: 1,
            t5: profile.t5_hunt,
            round: None,
            rounds: 0,
            begun: 0,
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
        self.begun += 1;
        self.pending = self.lookup;
        let mut steps = self.give_up();
        let next = now + random.jitter(self.t5, profile.jitter_percent);
        self.round = Some(Round { next, end: next.max(now + profile.connect_timeout) });
        self.t5 = (self.t5 * 2).min(profile.t5_max);
        let known = self.known.list(now);
        let count = known.len();
        self.untried = (0..count).map(|step| known[(self.cursor + step) % count]).rev().collect();
        self.cursor = if count == 0 { 0 } else { (self.cursor + MAX_CONNECTIONS.min(count)) % count };
        steps.extend(self.try_more());
        steps
    }

    /// Replaces the configured registrars; a round that is running tries the new ones too.
    pub(crate) fn set_registrars(&mut self, registrars: Vec<RegistrarAddress>) -> Vec<Step> {
        self.pending = false;
        let before = std::mem::replace(&mut self.known.configured, registrars);
        let new: Vec<_> =
            self.known.configured.iter().filter(|registrar| !before.contains(registrar)).copied().collect();
        self.try_new(&new)
    }

    /// The owner looks registrars up at each round, and tells them with [`Hunt::set_registrars`].
    pub(crate) fn await_lookups(&mut self) {
        self.lookup = true;
    }

    /// Returns how many rounds have begun.
    pub(crate) fn begun_rounds(&self) -> u64 {
        self.begun
    }

    /// Says in which networks registrars may be that announce themselves.
    pub(crate) fn believe(&mut self, networks: Vec<Network>) {
        self.networks = networks;
    }

    /// Returns whether a registrar is expected at this address: a configured one, or one in the networks of
    /// those that announce themselves.
    pub(crate) fn expects(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.known.configured.iter().any(|registrar| registrar.ip.to_canonical() == ip)
            || self.networks.iter().any(|network| network.contains(ip))
    }

    /// Tries what a datagram announces, if it is to be believed.
    pub(crate) fn handle_announce(
        &mut self,
        now: Instant,
        from: SocketAddr,
        octets: &[u8],
        profile: &Profile,
    ) -> Result<Vec<Step>, AnnounceError> {
        let told = announce::registrars(from, octets, &self.networks)?;
        Ok(told.into_iter().flat_map(|address| self.announced(now, address, profile)).collect())
    }

    /// A registrar has announced itself: it is known until T7 ends. A round that is running tries it.
    fn announced(&mut self, now: Instant, address: RegistrarAddress, profile: &Profile) -> Vec<Step> {
        let new = !self.known.list(now).contains(&address);
        let taken = self.known.announce(now, address, profile.t7_outdate);
        if new && taken { self.try_new(&[address]) } else { Vec::new() }
    }

    fn try_new(&mut self, new: &[RegistrarAddress]) -> Vec<Step> {
        if !self.is_running() {
            return Vec::new();
        }
        self.untried.splice(0..0, new.iter().rev().copied());
        self.try_more()
    }

    fn try_more(&mut self) -> Vec<Step> {
        let room = MAX_CONNECTIONS.saturating_sub(self.attempts.len());
        (0..room).map_while(|_| self.try_another()).collect()
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
        let known: Vec<_> = self.known.all().collect();
        if let Some(at) = known.iter().position(|registrar| *registrar == address) {
            self.cursor = (at + 1) % known.len();
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
        Some(if self.attempts.is_empty() && !self.pending { round.next } else { round.end })
    }
}

/// The registrars to choose from.
#[derive(Debug)]
struct Registrars {
    configured: Vec<RegistrarAddress>,
    /// Those that announced themselves, and when that is out of date.
    announced: BTreeMap<RegistrarAddress, Instant>,
}

impl Registrars {
    fn all(&self) -> impl Iterator<Item = RegistrarAddress> {
        let announced = self.announced.keys().filter(|address| !self.configured.contains(address));
        self.configured.iter().chain(announced).copied()
    }

    fn list(&mut self, now: Instant) -> Vec<RegistrarAddress> {
        self.announced.retain(|_, outdated| *outdated > now);
        self.all().collect()
    }

    /// Returns whether there was room.
    fn announce(&mut self, now: Instant, address: RegistrarAddress, life: Duration) -> bool {
        let room = self.announced.len() < MAX_ANNOUNCED || self.announced.contains_key(&address);
        if room {
            self.announced.insert(address, now + life);
        }
        room
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
mod tests {
    use super::*;

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
    fn a_round_waits_for_its_lookup_and_tries_what_it_has_found() {
        let (mut hunt, now) = (Hunt::new(vec![], &Profile::FAST), Instant::now());
        let exact = Profile { jitter_percent: 0, ..Profile::FAST };
        let mut random = Random::new(1);
        hunt.await_lookups();
        assert_eq!(hunt.start(now, &exact, &mut random), []);
        assert_eq!(hunt.begun_rounds(), 1);
        assert_eq!(hunt.deadline(), Some(now + exact.connect_timeout));
        assert_eq!(tried(&hunt.set_registrars(registrars(5))), [1, 2, 3]);
        assert_eq!(tried(&hunt.set_registrars(registrars(6))), [], "three at once");
        assert_eq!(tried(&Vec::from_iter(hunt.failed(ConnectionId(1)))), [4]);
        for connection in [2, 3, 4] {
            hunt.failed(ConnectionId(connection));
        }
        assert_eq!(
            tried(&hunt.start(now, &exact, &mut random)),
            [1, 2, 3],
            "the next round is looked up too"
        );
        assert_eq!(hunt.begun_rounds(), 2);
        for connection in 5..=12 {
            hunt.failed(ConnectionId(connection));
        }
        assert_eq!(hunt.deadline(), Some(now + exact.connect_timeout));
        assert_eq!(hunt.set_registrars(registrars(6)), [], "nothing new");
        assert!(hunt.deadline().unwrap() < now + exact.connect_timeout);
    }

    #[test]
    fn an_announced_registrar_is_tried_until_it_is_out_of_date() {
        let (mut hunt, now) = (Hunt::new(registrars(1), &Profile::FAST), Instant::now());
        let mut random = Random::new(1);
        let announced = registrars(3)[2];
        assert_eq!(hunt.announced(now, announced, &Profile::FAST), [], "no hunt is running");
        assert_eq!(tried(&hunt.start(now, &Profile::FAST, &mut random)), [1, 3]);
        assert_eq!(tried(&hunt.announced(now, registrars(2)[1], &Profile::FAST)), [2]);
        assert_eq!(hunt.announced(now, announced, &Profile::FAST), [], "it is being tried");
        let later = now + Profile::FAST.t7_outdate;
        assert_eq!(tried(&hunt.start(later, &Profile::FAST, &mut random)), [1]);
    }

    #[test]
    fn announces_fill_no_memory() {
        let (mut hunt, now) = (Hunt::new(vec![], &Profile::FAST), Instant::now());
        for last in 0..=255 {
            hunt.announced(now, registrars(255)[usize::from(last.max(1u8)) - 1], &Profile::FAST);
        }
        assert_eq!(hunt.known.list(now).len(), MAX_ANNOUNCED);
        assert_eq!(hunt.known.list(now + Profile::FAST.t7_outdate).len(), 0);
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
