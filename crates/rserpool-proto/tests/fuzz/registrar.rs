//! Octets from a fuzzer, taken for what the world does to a registrar: connections from elements, users,
//! peers and strangers, messages well and badly formed, losses, round trips, what the operator wants, time that
//! passes or is slept through.
//!
//! Panics if the machine does, if it breaks its promises to its driver, goes beyond its limits, or if its
//! PE checksums are not those of its table.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rserpool_proto::handlespace::Limits;
use rserpool_proto::registrar::{
    Announcement, Authority, EnrpConfig, PoolPattern, Registrar, RegistrarConfig,
};
use rserpool_proto::wire::param::draining;
use rserpool_proto::wire::{self, enrp};
use rserpool_proto::{
    ConnectionId, ControlProtocol, Output, PeId, PoolHandle, Protocol, RegistrarAddress, RegistrarId, Remote,
    UserTransport,
};

use crate::message;
use crate::octets::Octets;

const LIMITS: Limits = Limits { pools: 4, elements: 24, elements_per_pool: 12 };
const CONNECTIONS: usize = 12;
/// Connections the machine asks for and has at once, at most.
const CONNECTS: usize = 64;
/// More than any one step can make.
const MANY: usize = 2_000;
const PEERS: usize = 4;
const ME: RegistrarId = RegistrarId(2);
/// Messages kept to be sent back to where they came from.
const KEPT: usize = 16;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The machine asked for it.
    Wanted,
    Up,
}

struct Bench {
    registrar: Registrar,
    now: Instant,
    connections: BTreeMap<ConnectionId, (ControlProtocol, Stage)>,
    accepted: u64,
    /// The largest name the machine gave.
    wanted: Option<ConnectionId>,
    kept: Vec<Vec<u8>>,
}

/// The peers are at the same few addresses as everybody else; the last of them may not be a peer.
fn config() -> RegistrarConfig {
    let peer = |last| RegistrarAddress::sctp(IpAddr::from([127, 0, 0, last]), 9_901);
    let own = EnrpConfig::default().transport;
    let enrp = EnrpConfig {
        transport: UserTransport { addresses: vec![IpAddr::from([127, 0, 0, 9])], ..own },
        peers: vec![peer(1), peer(2)],
        networks: vec!["127.0.0.3/32".parse().unwrap()],
        multicast: true,
        max_peers: PEERS,
        adoptions: 8,
        distance_step: Some(Duration::from_millis(4)),
        ..EnrpConfig::default()
    };
    RegistrarConfig {
        enrp: Some(enrp),
        id: Some(ME),
        limits: LIMITS,
        max_connections: CONNECTIONS,
        registrations_per_second: 1_000,
        announce: Some(Announcement::default()),
        ..RegistrarConfig::default()
    }
}

/// Does what the octets say.
pub(crate) fn exercise(octets: &[u8], now: Instant) {
    let mut octets = Octets::new(octets);
    let mut registrar = Registrar::new(config(), u64::from(octets.octet()));
    registrar.start(now);
    let mut bench =
        Bench { registrar, now, connections: BTreeMap::new(), accepted: 0, wanted: None, kept: Vec::new() };
    bench.look();
    if octets.chance() {
        bench.begin();
    }
    while !octets.is_empty() {
        bench.step(&mut octets);
        bench.look();
    }
}

impl Bench {
    /// Two peers have introduced themselves, whose mentor we had rather be.
    fn begin(&mut self) {
        for last in [1, 2] {
            self.accepted += 1;
            let connection = ConnectionId::accepted(self.accepted);
            self.connections.insert(connection, (ControlProtocol::Enrp, Stage::Up));
            let addresses = vec![IpAddr::from([127, 0, 0, last])];
            let remote = Remote { protocol: Protocol::Sctp, addresses, port: 9_901, encapsulation: None };
            self.registrar.handle_peer_accepted(self.now, connection, remote);
            let sender = Self::sender(connection);
            let message = enrp::Message { sender, receiver: ME, body: message::presence().into() };
            self.registrar.handle_message(self.now, connection, &message.to_octets().unwrap());
        }
        for _ in 0..8 {
            self.pass_to_timeout();
            self.look();
        }
    }

    /// Who speaks over a connection, mostly.
    fn sender(connection: ConnectionId) -> RegistrarId {
        [RegistrarId(1), RegistrarId(3), RegistrarId(4)][usize::from(connection.0.to_be_bytes()[7] % 3)]
    }

    fn step(&mut self, octets: &mut Octets<'_>) {
        match octets.below(26) {
            0..2 => self.accept(octets, ControlProtocol::Asap),
            2..4 => self.accept(octets, ControlProtocol::Enrp),
            4 => self.end(octets),
            5 => {
                let octets_of_it = usize::from(octets.octet());
                let raw = octets.some(octets_of_it);
                self.deliver(octets, raw);
            }
            6 => {
                let kept = octets.below(KEPT);
                let Some(mut again) = self.kept.get(kept).cloned() else { return };
                if octets.chance() && !again.is_empty() {
                    let at = usize::from(octets.u16()) % again.len();
                    again[at] = octets.octet();
                }
                self.deliver(octets, &again);
            }
            7..12 => {
                let message = message::asap(octets);
                self.send(octets, ControlProtocol::Asap, message.to_octets());
            }
            12..18 => self.say(octets),
            18..20 => self.answer(octets),
            // Now and then longer than the machine takes for a stop of its process.
            20 if octets.below(8) == 0 => self.pass(Duration::from_millis(octets.u16().into())),
            20 => (0..octets.below(16)).for_each(|_| self.pass_to_timeout()),
            21 => self.pass(Duration::from_millis(octets.octet().into())),
            22 => self.pass_to_timeout(),
            23 if octets.chance() => self.datagram(octets),
            23 if octets.octet() == 0 => self.registrar.leave(self.now),
            24 => self.operate(octets),
            25 => self.tell_of_connection(octets),
            23 if octets.chance() => self.drain(octets),
            _ => self.pass(Duration::from_micros(octets.u16().into())),
        }
    }

    /// The operator takes an element out of selection or puts it back.
    fn operate(&mut self, octets: &mut Octets<'_>) {
        let (pool, pe) = (message::pool(octets), message::pe(octets));
        let _ = match octets.chance() {
            true => self.registrar.drain(self.now, &pool, pe),
            false => self.registrar.undrain(self.now, &pool, pe),
        };
    }

    /// The driver has measured a connection, or knows who is at its far end.
    fn tell_of_connection(&mut self, octets: &mut Octets<'_>) {
        let Some(connection) = self.some(octets, Stage::Up) else { return };
        if octets.chance() {
            let round_trip = Duration::from_micros(octets.u16().into()) * 8;
            self.registrar.handle_round_trip(self.now, connection, round_trip);
        } else {
            let names = (0..octets.below(3)).map(|_| format!("{}.example", octets.below(3))).collect();
            let pools =
                octets.chance().then(|| vec![PoolPattern::new(["p*", "ipfix", "*"][octets.below(3)])]);
            self.registrar.authorize(connection, Authority { names, pools });
        }
    }

    /// The operator drains an element, or puts it back.
    fn drain(&mut self, octets: &mut Octets<'_>) {
        let space = self.registrar.handlespace();
        let keys: Vec<_> = space.after(None).map(|(pool, element)| (pool.clone(), element.pe)).collect();
        let Some((pool, pe)) = keys.get(octets.below(keys.len())) else { return };
        let command = if octets.below(3) > 0 { Registrar::drain } else { Registrar::undrain };
        let done = command(&mut self.registrar, self.now, pool, *pe);
        assert!(done.is_ok() || space_home(&self.registrar, pool, *pe) != Some(ME), "{done:?}");
    }

    fn remote(octets: &mut Octets<'_>) -> Remote {
        let addresses = vec![IpAddr::from([127, 0, 0, 1 + octets.octet() % 4])];
        Remote { protocol: Protocol::Sctp, addresses, port: 9_901, encapsulation: None }
    }

    fn accept(&mut self, octets: &mut Octets<'_>, protocol: ControlProtocol) {
        self.accepted += 1;
        let connection = ConnectionId::accepted(self.accepted);
        self.connections.insert(connection, (protocol, Stage::Up));
        match protocol {
            ControlProtocol::Asap => {
                self.registrar.handle_accepted(self.now, connection, Self::remote(octets));
            }
            ControlProtocol::Enrp => {
                self.registrar.handle_peer_accepted(self.now, connection, Self::remote(octets));
            }
        }
    }

    fn some(&self, octets: &mut Octets<'_>, stage: Stage) -> Option<ConnectionId> {
        let of =
            |(name, (_, is)): (&ConnectionId, &(ControlProtocol, Stage))| (*is == stage).then_some(*name);
        let some: Vec<ConnectionId> = self.connections.iter().filter_map(of).collect();
        some.get(octets.below(some.len())).copied()
    }

    fn end(&mut self, octets: &mut Octets<'_>) {
        let Some(connection) = self.some(octets, Stage::Up) else { return };
        self.connections.remove(&connection);
        self.registrar.handle_lost(self.now, connection);
    }

    fn deliver(&mut self, octets: &mut Octets<'_>, message: &[u8]) {
        let Some(connection) = self.some(octets, Stage::Up) else { return };
        self.registrar.handle_message(self.now, connection, message);
    }

    /// Gives it to a connection of the protocol; of any, if none of the first two is.
    fn send(
        &mut self,
        octets: &mut Octets<'_>,
        protocol: ControlProtocol,
        message: Result<Vec<u8>, wire::EncodeError>,
    ) {
        let Ok(message) = message else { return };
        match self.of(octets, protocol) {
            Some(connection) => self.registrar.handle_message(self.now, connection, &message),
            None => self.deliver(octets, &message),
        }
    }

    fn of(&self, octets: &mut Octets<'_>, protocol: ControlProtocol) -> Option<ConnectionId> {
        let up = (0..2).filter_map(|_| self.some(octets, Stage::Up));
        up.collect::<Vec<_>>()
            .into_iter()
            .find(|name| self.connections.get(name).is_some_and(|(is, _)| *is == protocol))
    }

    /// A message of a peer, who mostly is who he was before and speaks to us or to everybody.
    fn say(&mut self, octets: &mut Octets<'_>) {
        let mut message = message::enrp(octets);
        let Some(connection) = self.of(octets, ControlProtocol::Enrp) else { return };
        if octets.below(8) > 0 {
            message.sender = Self::sender(connection);
            if message.receiver != ME {
                message.receiver = RegistrarId::UNDETERMINED;
            }
            message::own(&mut message);
        }
        if let Ok(message) = message.to_octets() {
            self.registrar.handle_message(self.now, connection, &message);
        }
    }

    /// Answers a connection attempt.
    fn answer(&mut self, octets: &mut Octets<'_>) {
        let Some(connection) = self.some(octets, Stage::Wanted) else { return };
        if octets.below(3) > 0 {
            self.connections.entry(connection).and_modify(|(_, stage)| *stage = Stage::Up);
            self.registrar.handle_connected(self.now, connection, Self::remote(octets));
        } else {
            self.connections.remove(&connection);
            self.registrar.handle_connect_failed(self.now, connection);
        }
    }

    fn datagram(&mut self, octets: &mut Octets<'_>) {
        let from = SocketAddr::new(Self::remote(octets).addresses[0], octets.u16());
        let Ok(message) = message::enrp(octets).to_octets() else { return };
        self.registrar.handle_datagram(self.now, from, &message);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.fire();
    }

    fn pass_to_timeout(&mut self) {
        if let Some(at) = self.registrar.poll_timeout() {
            self.now = self.now.max(at);
            self.fire();
        }
    }

    fn fire(&mut self) {
        if self.registrar.poll_timeout().is_some_and(|at| at <= self.now) {
            self.registrar.handle_timeout(self.now);
            assert!(self.registrar.poll_timeout().is_none_or(|at| at > self.now), "a timer is not served");
        }
    }

    /// Takes the outputs and looks at the table.
    fn look(&mut self) {
        for count in 0.. {
            assert!(count < MANY, "outputs without end");
            let Some(output) = self.registrar.poll_output() else { break };
            self.perform(output);
        }
        let wanted = self.connections.values().filter(|(_, stage)| *stage == Stage::Wanted).count();
        assert!(wanted <= CONNECTS, "{wanted} connections asked for");
        assert!(
            self.connections.len() <= CONNECTIONS * 2 + CONNECTS,
            "{} connections",
            self.connections.len()
        );
        self.look_at_table();
    }

    fn perform<E>(&mut self, output: Output<E>) {
        match output {
            Output::Connect { connection, protocol, .. } => {
                assert_eq!(connection.0 & ConnectionId::ACCEPTED, 0, "{connection} is the driver's to give");
                assert!(self.wanted.is_none_or(|last| last < connection), "{connection} was given before");
                self.wanted = Some(connection);
                self.connections.insert(connection, (protocol, Stage::Wanted));
            }
            Output::Send { connection, octets } => {
                let known = self.connections.get(&connection);
                let &(protocol, stage) = known.unwrap_or_else(|| panic!("{connection} has ended"));
                assert_eq!(stage, Stage::Up, "{connection} is not up");
                Self::check_message(protocol, &octets);
                self.kept.insert(0, octets);
                self.kept.truncate(KEPT);
            }
            Output::Disconnect { connection } => {
                assert!(self.connections.remove(&connection).is_some(), "{connection} has ended before");
            }
            Output::Announce { protocol, octets } => Self::check_message(protocol, &octets),
            Output::LookUp { .. } | Output::Event(_) => {}
        }
    }

    fn check_message(protocol: ControlProtocol, octets: &[u8]) {
        if protocol == ControlProtocol::Asap
            && let Ok(wire::Message::HandleResolutionResponse(answer)) = wire::Message::decode(octets)
        {
            let mut chosen = answer.elements.iter();
            assert!(!chosen.any(|element| draining::is_marked(&element.unknown)), "{answer:?}");
        }
        let decoded = match protocol {
            ControlProtocol::Asap => wire::Message::decode(octets).map(drop),
            ControlProtocol::Enrp => enrp::Message::decode(octets).map(drop),
        };
        assert_eq!(decoded, Ok(()), "{octets:02x?}");
    }

    fn look_at_table(&self) {
        assert!(self.registrar.peers().count() <= PEERS);
        let space = self.registrar.handlespace();
        assert!(space.pools().count() <= LIMITS.pools && space.elements() <= LIMITS.elements);
        assert!(space.pools().all(|(_, pool)| (1..=LIMITS.elements_per_pool).contains(&pool.len())));
        assert_eq!(space.elements(), space.pools().map(|(_, pool)| pool.len()).sum::<usize>());
        for (_, pool) in space.pools() {
            let marked = pool.elements().filter(|element| draining::is_marked(&element.unknown)).count();
            assert_eq!(
                (pool.draining(), pool.ids().filter(|pe| pool.is_draining(*pe)).count()),
                (marked, marked)
            );
        }
        assert_eq!(space.elements(), space.owners().map(|(_, elements)| elements).sum::<usize>());
        for (home, elements) in space.owners() {
            assert_eq!(space.owned_by(home).count(), elements);
            let mut sum = 0_u32;
            for (handle, element) in space.owned_by(home) {
                assert_eq!(element.home, home);
                let mut block = handle.as_octets().to_vec();
                block.resize(block.len().next_multiple_of(4), 0);
                block.extend(element.pe.0.to_be_bytes());
                sum = block
                    .chunks(2)
                    .fold(sum, |sum, word| sum + u32::from(word[0]) * 256 + u32::from(word[1]));
            }
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            let told = space.checksum(home).0;
            let right = u16::try_from(0xffff - sum).unwrap();
            // 0 and 0xffff are the same number in one's complement.
            assert!(told == right || told % 0xffff == right % 0xffff, "{told:04x} is not {right:04x}");
        }
    }
}

fn space_home(registrar: &Registrar, pool: &PoolHandle, pe: PeId) -> Option<RegistrarId> {
    registrar.handlespace().pool(pool)?.home(pe)
}
