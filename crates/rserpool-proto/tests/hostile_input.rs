//! Machines fed with mutated captured messages: no panic, and no state beyond the limits.

#![expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rserpool_proto::handlespace::Limits;
use rserpool_proto::pe::{PoolElement, PoolElementConfig};
use rserpool_proto::pu::{PoolUser, PoolUserConfig};
use rserpool_proto::registrar::{AddressCheck, Registrar, RegistrarConfig};
use rserpool_proto::wire::{Policy, TransportUse};
use rserpool_proto::{
    ConnectionId, ENCAPSULATION_PORT, PeId, PoolHandle, Profile, Protocol, RegistrarAddress, Remote,
    UserTransport,
};

struct Mutator {
    messages: Vec<Vec<u8>>,
    state: u64,
}

impl Mutator {
    fn new() -> Mutator {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let mut messages = Vec::new();
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|path| path.to_string_lossy().ends_with(".asap.txt")) {
            for line in std::fs::read_to_string(file).unwrap().lines() {
                let hex = line.rsplit(' ').next().unwrap();
                let octet = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                messages.push((0..hex.len()).step_by(2).map(octet).collect());
            }
        }
        Mutator { messages, state: 0x0123_4567_89ab_cdef }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % u64::try_from(limit).unwrap()).unwrap()
    }

    /// A captured message with up to three octets behind its header changed.
    fn message(&mut self) -> Vec<u8> {
        let chosen = self.below(self.messages.len());
        let mut octets = self.messages[chosen].clone();
        for _ in 0..self.below(4) {
            let at = self.below(octets.len());
            octets[at] = u8::try_from(self.below(256)).unwrap();
        }
        octets
    }
}

const CONNECTIONS: u64 = 4;

#[test]
fn a_registrar_survives_and_keeps_its_limits() {
    let limits = Limits { pools: 20, elements: 50, elements_per_pool: 30 };
    let config = RegistrarConfig { limits, address_check: AddressCheck::None, ..RegistrarConfig::default() };
    let (mut registrar, mut now) = (Registrar::new(config, 1), Instant::now());
    let mut mutator = Mutator::new();
    for number in 0..CONNECTIONS {
        let addresses = vec![IpAddr::from([10, 77, 0, 31])];
        let remote = Remote { protocol: Protocol::Sctp, addresses, port: 1, encapsulation: None };
        registrar.handle_accepted(now, ConnectionId::accepted(number), remote);
    }
    let mut most = 0;
    for _ in 0..100_000 {
        let from = ConnectionId::accepted(u64::try_from(mutator.below(4)).unwrap() % CONNECTIONS);
        registrar.handle_message(now, from, &mutator.message());
        while registrar.poll_output().is_some() {}
        now += Duration::from_millis(u64::try_from(mutator.below(20)).unwrap());
        if registrar.poll_timeout().is_some_and(|at| at <= now) {
            registrar.handle_timeout(now);
        }
        let space = registrar.handlespace();
        most = most.max(space.elements());
        assert!(space.pools().count() <= limits.pools && space.elements() <= limits.elements);
        assert_eq!(space.elements(), space.pools().map(|(_, pool)| pool.len()).sum::<usize>());
    }
    assert!(most > 10, "{most} elements at most: the test does not reach far enough");
}

#[test]
fn a_pool_element_and_a_pool_user_survive() {
    let registrars = vec![RegistrarAddress::sctp(IpAddr::from([127, 0, 0, 9]), 3863)];
    let pool = PoolHandle::new("EchoPool").unwrap();
    let transport = UserTransport {
        protocol: Protocol::Sctp,
        addresses: vec![IpAddr::from([127, 0, 0, 1])],
        port: 4739,
        transport_use: TransportUse::DATA_ONLY,
        encapsulation: ENCAPSULATION_PORT,
    };
    let element = PoolElementConfig {
        pool: pool.clone(),
        pe: Some(PeId(0xa1)),
        transport,
        policy: Policy::RoundRobin,
        registrars: registrars.clone(),
        profile: Profile::FAST,
    };
    let user = PoolUserConfig { pool, registrars, items: None, updates: true, profile: Profile::FAST };
    let (mut element, mut user) = (PoolElement::new(element, 1).unwrap(), PoolUser::new(user, 1));
    let (mut now, mut mutator) = (Instant::now(), Mutator::new());
    let home = ConnectionId(1);
    element.register(now);
    user.resolve(now);
    element.handle_connected(now, home);
    user.handle_connected(now, home);
    for _ in 0..100_000 {
        let octets = mutator.message();
        element.handle_message(now, home, &octets);
        user.handle_message(now, home, &octets);
        if let Some(selected) = user.next_element(now).filter(|_| mutator.state % 7 == 0) {
            user.report_unreachable(now, selected.pe);
        }
        while element.poll_output().is_some() || user.poll_output().is_some() {}
        // Below every time-out, so that the connection stays.
        now += Duration::from_nanos(100);
    }
    assert!(element.is_connected() && user.is_connected());
}
