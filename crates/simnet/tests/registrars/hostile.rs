//! Strangers, and peers that do what no registrar does: nothing changes, and nothing grows without bound
//! (RFC 5355).

use std::collections::BTreeMap;
use std::net::IpAddr;

use rserpool_proto::registrar::{PeerState, Registrar};
use rserpool_proto::wire::asap::deregistration::Deregistration;
use rserpool_proto::wire::asap::registration::Registration;
use rserpool_proto::wire::asap::unreachable::EndpointUnreachable;
use rserpool_proto::wire::enrp::handle_table::{HandleTableResponse, PoolEntry};
use rserpool_proto::wire::enrp::handle_update::{HandleUpdate, UpdateAction};
use rserpool_proto::wire::enrp::list::ListResponse;
use rserpool_proto::wire::enrp::presence::Presence;
use rserpool_proto::wire::enrp::takeover::{InitTakeover, InitTakeoverAck, TakeoverServer};
use rserpool_proto::wire::enrp::{self, Body};
use rserpool_proto::wire::param::pe_checksum::PeChecksum;
use rserpool_proto::wire::param::server_information::ServerInformation;
use rserpool_proto::wire::{self, PoolElementParameter, SctpTransport, Transport, TransportUse};
use rserpool_proto::{ConnectionId, ControlProtocol, PeId, PoolHandle, RegistrarId};

use crate::world::{Node, Options, World, pool};
use crate::{milliseconds, seconds};

/// The attacker's identifier where he uses his own.
const OWN: RegistrarId = RegistrarId(9);
const FIRST: RegistrarId = RegistrarId(1);
const SECOND: RegistrarId = RegistrarId(2);
const NOBODY: RegistrarId = RegistrarId(0x77);

/// Two registrars with an element each, and an attacker.
struct Siege {
    world: World,
    registrars: [Node; 2],
    attacker: Node,
    connection: ConnectionId,
}

impl Siege {
    /// The attacker's address is that of a configured peer, which has never been there.
    fn by_a_peer() -> Self {
        Self::by(World::registrar_ip(9), ControlProtocol::Enrp)
    }

    fn by(ip: IpAddr, protocol: ControlProtocol) -> Self {
        let mut world = World::new(Options::default());
        let registrars = [1, 2].map(|number| {
            let config = world.registrar_config(number, &[1, 2, 9]);
            let node = world.add_registrar(number, config);
            world.run(seconds(3));
            node
        });
        for (pe, number) in [(0xa1, 1), (0xa2, 2)] {
            let config = world.element_config(pe, &[number]);
            world.add_element(pe, config);
        }
        world.run(seconds(1));
        let attacker = world.add_stranger(ip);
        let connection = world.stranger_connect(attacker, registrars[0], protocol);
        world.run(milliseconds(50));
        world.begin_ladder();
        Self { world, registrars, attacker, connection }
    }

    fn is_connected(&mut self) -> bool {
        let connection = self.connection;
        self.world.stranger(self.attacker).up.contains(&connection)
    }

    fn say(&mut self, sender: RegistrarId, body: impl Into<Body>) {
        let message = enrp::Message { sender, receiver: RegistrarId::UNDETERMINED, body: body.into() };
        self.world.stranger_send(self.attacker, self.connection, message.to_octets().unwrap());
        self.world.run(milliseconds(5));
    }

    fn say_asap(&mut self, message: &wire::Message) {
        self.world.stranger_send(self.attacker, self.connection, message.to_octets().unwrap());
        self.world.run(milliseconds(5));
    }

    fn introduce(&mut self) {
        self.say(OWN, presence(None));
        assert!(self.is_connected(), "{}", self.world.ladder());
    }

    /// What the attacker received since he last looked, by type of message.
    fn received(&mut self) -> Vec<enrp::Message> {
        let received = std::mem::take(&mut self.world.stranger(self.attacker).received);
        received.iter().filter_map(|(_, octets)| enrp::Message::decode(octets).ok()).collect()
    }

    fn first(&self) -> &Registrar {
        self.world.registrar(self.registrars[0])
    }

    fn assert_homes(&self) {
        for node in self.registrars {
            let mut homes = BTreeMap::new();
            for (handle, pool) in self.world.registrar(node).handlespace().pools() {
                homes.extend(pool.elements().map(|e| ((handle.clone(), e.pe.0), e.home)));
            }
            let expected = [((pool(), 0xa1), FIRST), ((pool(), 0xa2), SECOND)];
            assert_eq!(homes, BTreeMap::from(expected), "{}", self.world.ladder());
        }
    }

    /// Elements and homes are what they were, registrars know each other as living.
    fn assert_unchanged(&mut self) {
        for time in [0, 20, 1_000, 9_000] {
            self.world.run(milliseconds(time));
            self.assert_homes();
        }
        for (at, other) in [(0, SECOND), (1, FIRST)] {
            let mut peers = self.world.registrar(self.registrars[at]).peers();
            let state = peers.find(|peer| peer.id == other).map(|peer| peer.state);
            assert_eq!(state, Some(PeerState::Active), "{}", self.world.ladder());
        }
        assert!(!self.world.ladder().contains("ElementRemoved"), "{}", self.world.ladder());
    }
}

fn information(registrar: RegistrarId, ip: IpAddr) -> ServerInformation {
    let transport = SctpTransport {
        port: 9901,
        transport_use: TransportUse::DATA_ONLY,
        addresses: vec![ip],
        unknown: vec![],
    };
    ServerInformation { registrar, transport, encapsulation: None, unknown: vec![] }
}

fn presence(checksum: Option<u16>) -> Presence {
    Presence {
        reply_required: false,
        checksum: checksum.map(PeChecksum),
        information: Some(information(OWN, World::registrar_ip(9))),
        unknown: vec![],
    }
}

/// An element of the pool somewhere.
fn element(pe: u32, home: RegistrarId, ip: [u8; 4]) -> PoolElementParameter {
    let addresses = vec![IpAddr::from(ip)];
    let transport = SctpTransport {
        port: 4739,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        addresses,
        unknown: vec![],
    };
    PoolElementParameter {
        pe: PeId(pe),
        home,
        life: wire::RegistrationLife(30),
        user_transport: Transport::Sctp(transport.clone()),
        policy: wire::Policy::RoundRobin,
        asap_transport: Some(transport),
        encapsulation: None,
        unknown: vec![],
    }
}

fn update(action: UpdateAction, element: PoolElementParameter) -> HandleUpdate {
    HandleUpdate { action, takeover_suggested: false, pool: pool(), element, unknown: vec![] }
}

#[test]
fn a_stranger_is_no_peer() {
    let mut siege = Siege::by(IpAddr::from([127, 9, 9, 9]), ControlProtocol::Enrp);
    assert!(!siege.is_connected());
    siege.say(OWN, presence(None));
    siege.say(OWN, update(UpdateAction::DEL_PE, element(0xa1, FIRST, [127, 9, 1, 0xa1])));
    assert_eq!(siege.first().peers().count(), 1);
    siege.assert_unchanged();
}

#[test]
fn enrp_on_the_port_for_asap_changes_nothing() {
    let mut siege = Siege::by(World::registrar_ip(9), ControlProtocol::Asap);
    siege.say(OWN, presence(None));
    siege.say(OWN, update(UpdateAction::DEL_PE, element(0xa2, SECOND, [127, 9, 1, 0xa2])));
    siege.say(OWN, TakeoverServer::of(SECOND));
    siege.assert_unchanged();
}

#[test]
fn strangers_can_neither_deregister_nor_replace_nor_report_an_element_away() {
    let mut siege = Siege::by(IpAddr::from([127, 9, 9, 9]), ControlProtocol::Asap);
    for (pe, home) in [(0xa1, FIRST), (0xa2, SECOND)] {
        let (pool, unknown) = (pool(), vec![]);
        let deregistration = Deregistration { pool: pool.clone(), pe: PeId(pe), unknown };
        siege.say_asap(&wire::Message::Deregistration(deregistration));
        let element = element(pe, home, [127, 9, 9, 9]);
        let registration = Registration { pool: pool.clone(), element, unknown: vec![] };
        siege.say_asap(&wire::Message::Registration(registration));
        for _ in 0..500 {
            let report = EndpointUnreachable { pool: pool.clone(), pe: PeId(pe), unknown: vec![] };
            siege.say_asap(&wire::Message::EndpointUnreachable(report));
        }
    }
    siege.assert_unchanged();
}

#[test]
fn a_peer_cannot_speak_for_another_one_or_for_us() {
    for id in [FIRST, SECOND, RegistrarId::UNDETERMINED] {
        let mut siege = Siege::by_a_peer();
        siege.say(id, presence(Some(0x1234)));
        siege.say(id, update(UpdateAction::DEL_PE, element(0xa1, FIRST, [127, 9, 1, 0xa1])));
        siege.say(id, update(UpdateAction::DEL_PE, element(0xa2, SECOND, [127, 9, 1, 0xa2])));
        siege.say(id, update(UpdateAction::ADD_PE, element(0xa3, id, [127, 9, 1, 0xa3])));
        siege.assert_unchanged();
    }
}

#[test]
fn who_has_said_who_he_is_cannot_be_somebody_else_afterwards() {
    let mut siege = Siege::by_a_peer();
    siege.introduce();
    siege.say(SECOND, update(UpdateAction::DEL_PE, element(0xa2, SECOND, [127, 9, 1, 0xa2])));
    siege.say(SECOND, InitTakeover::of(FIRST));
    for id in 100..200 {
        siege.say(RegistrarId(id), presence(None));
    }
    assert!(siege.first().peers().count() <= 3, "{}", siege.world.ladder());
    siege.assert_unchanged();
}

#[test]
fn a_peer_changes_nothing_of_what_belongs_to_others() {
    let mut siege = Siege::by_a_peer();
    siege.introduce();
    for (pe, home) in [(0xa1, FIRST), (0xa2, SECOND)] {
        let ip = [127, 9, 1, u8::try_from(pe).unwrap()];
        siege.say(OWN, update(UpdateAction::DEL_PE, element(pe, home, ip)));
        siege.say(OWN, update(UpdateAction::DEL_PE, element(pe, OWN, ip)));
        siege.say(OWN, update(UpdateAction::ADD_PE, element(pe, FIRST, [127, 9, 9, 9])));
        siege.say(OWN, update(UpdateAction::ADD_PE, element(pe, SECOND, [127, 9, 9, 9])));
        siege.say(OWN, update(UpdateAction::ADD_PE, element(pe, OWN, [127, 9, 9, 9])));
        siege.say(OWN, update(UpdateAction(7), element(pe, OWN, ip)));
    }
    for home in [FIRST, SECOND, NOBODY, RegistrarId::UNDETERMINED] {
        siege.say(OWN, update(UpdateAction::ADD_PE, element(0xa3, home, [127, 9, 1, 0xa3])));
    }
    siege.assert_unchanged();
}

#[test]
fn an_element_cannot_be_taken_by_naming_its_addresses() {
    let mut siege = Siege::by_a_peer();
    siege.introduce();
    for (pe, ip) in [(0xa1, 0xa1), (0xa2, 0xa2)] {
        siege.say(OWN, update(UpdateAction::ADD_PE, element(pe, OWN, [127, 9, 1, ip])));
    }
    // Its home asks the element, which answers, and says so again.
    siege.world.run(seconds(4));
    siege.assert_unchanged();
}

#[test]
fn an_element_cannot_be_deleted_or_moved_at_a_third_registrar_by_claiming_it_first() {
    let mut siege = Siege::by_a_peer();
    siege.introduce();
    let known = |siege: &Siege| {
        let pool = siege.first().handlespace().pool(&pool()).unwrap();
        pool.element(PeId(0xa2))
    };
    let true_one = known(&siege).unwrap();
    let claim = PoolElementParameter { home: OWN, ..true_one.clone() };
    let moved = PoolElementParameter { home: OWN, ..element(0xa2, OWN, [127, 9, 1, 0xa2]) };
    for _ in 0..10 {
        siege.say(OWN, update(UpdateAction::ADD_PE, claim.clone()));
        for port in [7, 4739] {
            let mut moved = moved.clone();
            if let Transport::Sctp(sctp) = &mut moved.user_transport {
                (sctp.port, sctp.addresses) =
                    (port, vec![IpAddr::from([127, 9, 1, if port == 7 { 0xa2 } else { 9 }])]);
            }
            siege.say(OWN, update(UpdateAction::ADD_PE, moved));
            let transport = known(&siege).map(|element| element.user_transport);
            assert_eq!(transport.as_ref(), Some(&true_one.user_transport), "{}", siege.world.ladder());
        }
        siege.say(OWN, update(UpdateAction::DEL_PE, claim.clone()));
        assert_eq!(known(&siege).as_ref(), Some(&true_one), "{}", siege.world.ladder());
    }
    siege.assert_unchanged();
}

#[test]
fn nobody_takes_over_a_registrar_that_lives() {
    let mut siege = Siege::by_a_peer();
    siege.introduce();
    siege.received();
    for target in [FIRST, SECOND, NOBODY, OWN] {
        siege.say(OWN, InitTakeover::of(target));
        siege.say(OWN, InitTakeoverAck::of(target));
        siege.say(OWN, TakeoverServer::of(target));
        siege.assert_homes();
    }
    siege.world.run(seconds(3));
    for message in siege.received() {
        if let Body::InitTakeoverAck(ack) = message.body {
            assert!(![FIRST, SECOND].contains(&ack.target), "{}", siege.world.ladder());
        }
    }
    siege.assert_unchanged();
}

#[test]
fn tables_and_lists_nobody_asked_for_change_nothing() {
    let mut siege = Siege::by_a_peer();
    siege.introduce();
    siege.world.traffic.clear();
    for round in 0..20 {
        let elements = (0..100).map(|n| element(1 + round * 100 + n, OWN, [127, 9, 1, 1])).collect();
        let entries = vec![PoolEntry { pool: pool(), elements }];
        let table = HandleTableResponse { entries, more_to_send: round % 2 == 0, ..Default::default() };
        siege.say(OWN, table);
        // All of them are where a peer may be.
        let peers = (0..1_000).map(|n| information(RegistrarId(1_000 * round + n), World::registrar_ip(9)));
        siege.say(OWN, ListResponse { rejected: false, peers: peers.collect(), unknown: vec![] });
    }
    assert!(siege.first().peers().count() <= 32);
    let connects = siege.world.traffic.values().map(|traffic| traffic.connects).sum::<u64>();
    assert!(connects < 20, "{connects} connections asked for");
    siege.assert_unchanged();
}

#[test]
fn a_mentor_with_a_table_without_end_and_thousands_of_registrars_is_left() {
    let mut world = World::new(Options::default());
    let mentor = world.add_stranger(World::registrar_ip(9));
    let mut config = world.registrar_config(1, &[9]);
    config.limits.elements = 1_000;
    let registrar = world.add_registrar(1, config);
    let (mut next, mut parts) = (1, 0_u32);
    for _ in 0..20_000 {
        world.run(milliseconds(1));
        for (connection, octets) in std::mem::take(&mut world.stranger(mentor).received) {
            let Ok(message) = enrp::Message::decode(&octets) else { continue };
            let body = match message.body {
                Body::Presence(presence) if presence.reply_required => Body::Presence(self::presence(None)),
                Body::ListRequest(_) => {
                    let peers =
                        (0..2_000).map(|n| information(RegistrarId(1_000 + n), World::registrar_ip(9)));
                    Body::ListResponse(ListResponse {
                        rejected: false,
                        peers: peers.collect(),
                        unknown: vec![],
                    })
                }
                Body::HandleTableRequest(_) => {
                    parts += 1;
                    let elements = (0..100).map(|n| element(next + n, OWN, [127, 9, 1, 1])).collect();
                    next += 100;
                    let pool = PoolHandle::new(format!("pool {parts}")).unwrap();
                    let entries = vec![PoolEntry { pool, elements }];
                    Body::HandleTableResponse(HandleTableResponse {
                        more_to_send: true,
                        entries,
                        ..Default::default()
                    })
                }
                _ => continue,
            };
            let answer = enrp::Message { sender: OWN, receiver: FIRST, body };
            world.stranger_send(mentor, connection, answer.to_octets().unwrap());
        }
        let machine = world.registrar(registrar);
        assert!(machine.peers().count() <= 32 && machine.handlespace().elements() <= 1_000);
    }
    assert!(parts > 0, "the mentor is asked");
    assert!(parts < 200, "asked for {parts} parts in 20 s");
    assert!(world.registrar(registrar).is_ready());
}

#[test]
fn checksums_that_never_match_cost_a_table_in_five_seconds() {
    let mut siege = Siege::by_a_peer();
    siege.introduce();
    siege.received();
    let mut requests = 0;
    for round in 0..3_000_u16 {
        siege.say(OWN, presence(Some(round)));
        siege.world.run(milliseconds(5));
        for message in siege.received() {
            if let Body::HandleTableRequest(request) = message.body {
                assert!(request.own_children_only);
                requests += 1;
                siege.say(OWN, HandleTableResponse::default());
            }
        }
    }
    // 30 s and a little more.
    assert!((2..=8).contains(&requests), "{requests} tables asked for\n{}", siege.world.ladder());
    siege.assert_unchanged();
}

#[test]
fn a_flood_of_questions_is_answered_within_reason() {
    let mut siege = Siege::by_a_peer();
    siege.introduce();
    siege.received();
    let message = enrp::Message {
        sender: OWN,
        receiver: FIRST,
        body: Body::Presence(Presence { reply_required: true, ..presence(None) }),
    };
    let octets = message.to_octets().unwrap();
    for _ in 0..100_000 {
        siege.world.stranger_send(siege.attacker, siege.connection, octets.clone());
    }
    siege.world.run(milliseconds(100));
    let answers = siege.received().len();
    assert!(answers <= 30_000, "{answers} answers");
    siege.assert_unchanged();
}

#[test]
fn many_connections_of_many_identifiers_are_bounded() {
    let mut siege = Siege::by_a_peer();
    for id in 0..500 {
        let to = siege.registrars[0];
        siege.connection = siege.world.stranger_connect(siege.attacker, to, ControlProtocol::Enrp);
        siege.world.run(milliseconds(3));
        siege.say(RegistrarId(0x1000 + id), presence(None));
    }
    assert!(siege.first().peers().count() <= 32);
    siege.world.run(seconds(5));
    siege.assert_unchanged();
}

#[test]
fn an_element_whose_life_has_no_length_keeps_nobody_busy() {
    let mut siege = Siege::by_a_peer();
    siege.introduce();
    let mut element = element(0xa3, OWN, [127, 9, 1, 0xa3]);
    element.life = wire::RegistrationLife(0);
    siege.say(OWN, update(UpdateAction::ADD_PE, element));
    siege.world.run(seconds(5));
}

#[test]
fn a_flood_of_elements_from_a_peer_stays_within_the_limits() {
    let mut siege = Siege::by_a_peer();
    siege.introduce();
    let most = siege.first().handlespace().elements() + 20_000;
    for pe in 0..20_000 {
        let body =
            Body::HandleUpdate(update(UpdateAction::ADD_PE, element(0x1_0000 + pe, OWN, [127, 9, 1, 1])));
        let message = enrp::Message { sender: OWN, receiver: RegistrarId::UNDETERMINED, body };
        siege.world.stranger_send(siege.attacker, siege.connection, message.to_octets().unwrap());
    }
    siege.world.run(milliseconds(100));
    let limits = rserpool_proto::handlespace::Limits::default();
    let elements = siege.first().handlespace().elements();
    assert!(elements <= most.min(limits.elements), "{elements} elements");
    // Its home falls silent: all of them are taken over, found silent, and removed.
    let (attacker, connection) = (siege.attacker, siege.connection);
    siege.world.stranger_disconnect(attacker, connection);
    siege.world.begin_ladder();
    siege.world.hushed = Some("ElementRe");
    siege.world.run(seconds(60));
    assert_eq!(siege.first().handlespace().elements(), 2);
    siege.assert_unchanged();
}
