//! The next generation beside registrars that know nothing of it, two registrars with one identifier, and two that
//! find each other over TCP (docs/wire.md sections 15 to 18).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rserpool_proto::pe::PoolElement;
use rserpool_proto::registrar::{Event, PeerState, RegistrarConfig};
use rserpool_proto::wire::enrp::MessageType;
use rserpool_proto::wire::param::long_pe_identifier::LongPeId;
use rserpool_proto::wire::param::registrar_tcp::RegistrarTcp;
use rserpool_proto::{PeId, Protocol, RegistrarId};

use crate::ladders::Scope;
use crate::world::{Node, Told, World, pool};
use crate::{milliseconds, seconds};

impl Scope {
    /// One more registrar, of the next generation, with these as its peers.
    fn join_new(&mut self, number: u8, peers: &[u8], change: impl FnOnce(&mut RegistrarConfig)) -> Node {
        let mut config = self.world.registrar_config(number, peers);
        config.enrp.as_mut().unwrap().next_generation = true;
        change(&mut config);
        let node = self.world.add_registrar(number, config);
        self.registrars.push(node);
        node
    }

    /// Everything registrar 2 does among registrars 1 and 3, which do not know the next generation: returns what it
    /// sent.
    fn beside_old_ones(next_generation: bool) -> (Self, Vec<(Node, Vec<u8>)>) {
        let mut scope = Self::empty();
        scope.world.begin_ladder();
        scope.world.sent = Some(Vec::new());
        let second = scope.join_new(2, &[], |config| {
            let enrp = config.enrp.as_mut().unwrap();
            enrp.next_generation = next_generation;
            enrp.tcp = over_tcp(2);
        });
        scope.world.run(seconds(3));
        scope.join(1, &[2]);
        scope.world.run(seconds(1));
        let element = scope.element(0xa1, &[2]);
        scope.join(3, &[2]);
        scope.world.run(seconds(1));
        scope.assert_tables(&[(0xa1, 2)]);
        scope.world.with_element(element, PoolElement::deregister);
        scope.world.run(seconds(1));
        let sent = scope.world.sent.take().unwrap();
        let sent = sent.into_iter().filter(|(from, ..)| *from == second);
        (scope, sent.map(|(_, to, octets)| (to, octets)).collect())
    }
}

fn over_tcp(number: u8) -> Vec<RegistrarTcp> {
    let address = SocketAddr::new(World::registrar_ip(number), 9901);
    vec![RegistrarTcp { address, tls: false, mptcp: false }]
}

#[test]
fn registrars_that_do_not_know_the_next_generation_get_the_same_octets_as_without_it() {
    let (scope, with) = Scope::beside_old_ones(true);
    let (_, without) = Scope::beside_old_ones(false);
    assert!(with.len() > 20, "{}", with.len());
    assert_eq!(with, without);
    scope.assert_golden(
        "next-generation-old",
        "docs/wire.md section 15: registrar 2 offers the next generation, nobody asks for it",
    );
}

#[test]
fn without_the_setting_a_registrar_sends_rfc_5353_and_the_mark_of_draining() {
    let mut scope = Scope::empty();
    scope.join_new(1, &[], |config| config.enrp.as_mut().unwrap().tcp = over_tcp(1));
    scope.world.run(seconds(3));
    scope.world.sent = Some(Vec::new());
    let second = scope.join(2, &[1]);
    scope.world.run(seconds(1));
    let element = scope.element(0xa1, &[2]);
    let third = scope.join_new(3, &[2], |config| config.enrp.as_mut().unwrap().tcp = over_tcp(3));
    scope.world.run(seconds(3));
    scope.assert_tables(&[(0xa1, 2)]);
    let told = |scope: &mut Scope| -> BTreeSet<_> {
        let registrars = scope.registrars.clone();
        let sent = std::mem::take(scope.world.sent.as_mut().unwrap());
        let sent = sent.into_iter().filter(|(from, to, _)| *from == second && registrars.contains(to));
        sent.flat_map(|(_, _, octets)| extensions(&octets)).collect()
    };
    let mark = (MessageType::PRESENCE, vec![0x8f06]);
    assert_eq!(told(&mut scope), BTreeSet::from([mark.clone()]));
    // What it does not read of an element it hands on.
    scope.world.with_element(element, |element, now| {
        element.use_long_identifier().unwrap();
        element.register(now);
    });
    scope.world.run(seconds(3));
    let of_element = |kind| (kind, vec![0x000a, 0x8f04]);
    assert_eq!(told(&mut scope), BTreeSet::from([mark.clone(), of_element(MessageType::HANDLE_UPDATE)]));
    scope.world.power_off(third);
    scope.world.restart_registrar(third, scope.world.registrar_config(3, &[2]));
    scope.world.run(seconds(3));
    let table = of_element(MessageType::HANDLE_TABLE_RESPONSE);
    assert_eq!(told(&mut scope), BTreeSet::from([mark, table]));
}

/// The parameters of an ENRP message that RFC 5354 does not know, each behind those that hold it; not by the decoder.
fn extensions(octets: &[u8]) -> Vec<(MessageType, Vec<u16>)> {
    let kind = MessageType(octets[0]);
    let fixed = match kind {
        MessageType::HANDLE_UPDATE
        | MessageType::INIT_TAKEOVER
        | MessageType::INIT_TAKEOVER_ACK
        | MessageType::TAKEOVER_SERVER => 16,
        _ => 12,
    };
    let mut found = Vec::new();
    walk(&octets[fixed..], &mut Vec::new(), &mut found);
    let unknown = |path: &Vec<u16>| path.last().is_some_and(|kind| *kind > 0x0010);
    found.into_iter().filter(unknown).map(|path| (kind, path)).collect()
}

fn walk(mut octets: &[u8], inside: &mut Vec<u16>, found: &mut Vec<Vec<u16>>) {
    while let [a, b, c, d, ..] = *octets {
        let (kind, length) = (u16::from_be_bytes([a, b]), usize::from(u16::from_be_bytes([c, d])));
        inside.push(kind);
        found.push(inside.clone());
        // What stands before the parameters inside: of transports, a pool element, a server information.
        match kind {
            0x0004..=0x0007 | 0x000b => walk(&octets[8..length], inside, found),
            0x000a => walk(&octets[16..length], inside, found),
            _ => {}
        }
        inside.pop();
        octets = &octets[length.next_multiple_of(4).min(octets.len())..];
    }
    assert!(octets.is_empty(), "{octets:?}");
}

#[test]
fn registrars_of_the_next_generation_tell_each_other_what_others_do_not_hear() {
    let mut scope = Scope::empty();
    scope.join_new(1, &[], |_| {});
    scope.world.run(seconds(3));
    scope.join(2, &[1]);
    scope.world.run(seconds(1));
    scope.element(0xa1, &[1]);
    scope.world.begin_ladder();
    scope.join_new(3, &[1], |_| {});
    scope.world.run(seconds(1));
    scope.assert_tables(&[(0xa1, 1)]);
    scope.assert_golden(
        "next-generation",
        "docs/wire.md section 15: registrars 1 and 3 are of the next generation, registrar 2 is not",
    );
}

#[test]
fn of_two_registrars_with_one_identifier_the_second_is_refused_and_nothing_is_lost() {
    let mut scope = Scope::empty();
    scope.join_new(1, &[2], |_| {});
    scope.join_new(2, &[1], |_| {});
    scope.world.run(seconds(3));
    scope.element(0xa1, &[2]);
    scope.world.begin_ladder();
    let third = scope.join_new(3, &[1], |config| config.id = Some(RegistrarId(2)));
    scope.world.run(milliseconds(100));
    scope.world.remark("registrar 3 has the identifier of registrar 2, and is given its own");
    let stopped = scope.registrars.pop();
    assert_eq!(stopped, Some(third));
    scope.assert_tables(&[(0xa1, 2)]);
    let mut config = scope.world.registrar_config(3, &[1]);
    config.enrp.as_mut().unwrap().next_generation = true;
    scope.world.restart_registrar(third, config);
    scope.registrars.push(third);
    scope.world.run(seconds(1));
    scope.assert_tables(&[(0xa1, 2)]);
    scope.assert_golden(
        "next-generation-conflict",
        "docs/wire.md section 17: two registrars with one short identifier and long ones that differ",
    );
}

#[test]
fn two_registrars_without_a_path_over_sctp_find_each_other_over_tcp_by_a_common_mentor() {
    let mut scope = Scope::empty();
    let tcp = |number: u8| {
        move |config: &mut RegistrarConfig| {
            config.enrp.as_mut().unwrap().tcp = over_tcp(number);
        }
    };
    scope.join_new(1, &[], tcp(1));
    scope.world.run(seconds(3));
    let second = scope.join_new(2, &[1], tcp(2));
    scope.world.run(seconds(3));
    scope.world.begin_ladder();
    let third = scope.join_new(3, &[1], tcp(3));
    scope.world.without_sctp(second, third);
    scope.world.run(seconds(2));
    scope.element(0xa1, &[3]);
    scope.world.run(seconds(1));
    scope.assert_tables(&[(0xa1, 3)]);
    for (node, other) in [(second, 3), (third, 2)] {
        let peer = scope.world.registrar(node).peers().find(|peer| peer.id == RegistrarId(other)).unwrap();
        assert_eq!((peer.state, peer.protocol), (PeerState::Active, Some(Protocol::Tcp)));
    }
    scope.assert_golden(
        "next-generation-tcp",
        "docs/wire.md section 18: between registrars 2 and 3 no SCTP comes up",
    );
}

#[test]
fn a_pool_element_keeps_its_long_identifier_through_a_takeover() {
    for next_generation in [true, false] {
        let mut scope = Scope::empty();
        for number in 1..=3 {
            scope.join_new(number, &[1, 2, 3], |config| {
                config.enrp.as_mut().unwrap().next_generation = next_generation;
            });
            scope.world.run(seconds(3));
        }
        let element = scope.element(0xa1, &[1]);
        let with_long = |element: &mut PoolElement, now| {
            element.use_long_identifier().unwrap();
            element.register(now);
        };
        scope.world.with_element(element, with_long);
        scope.world.run(seconds(1));
        let long = scope.world.element(element).long_id();
        assert!(long.is_some());
        let known = |scope: &Scope, node: Node| -> Option<LongPeId> {
            let space = scope.world.registrar(node).handlespace();
            space.pool(&pool())?.element(PeId(0xa1))?.long_id()
        };
        let first = scope.registrars.remove(0);
        scope.world.power_off(first);
        scope.world.run(seconds(8));
        for &node in &scope.registrars {
            assert_ne!(scope.table(node), [(0xa1, 1)]);
            assert_eq!(known(&scope, node), long, "registrars that tell nothing of it hand it on as well");
        }
    }
}

#[test]
fn a_pool_element_that_has_drawn_a_taken_identifier_draws_another() {
    let mut scope = Scope::empty();
    scope.join_new(1, &[], |_| {});
    scope.world.run(seconds(3));
    let long = |scope: &mut Scope, node: Node| {
        scope.world.with_element(node, |element, now| {
            element.use_long_identifier().unwrap();
            element.register(now);
        });
        scope.world.run(seconds(1));
    };
    let first = scope.element(0xa1, &[1]);
    long(&mut scope, first);
    // Another one at the same address, as if it were of the same host, that was configured with its identifier.
    let mut config = scope.world.element_config(0xa2, &[1]);
    config.pe = Some(PeId(0xa1));
    config.transport.addresses = vec![scope.world.ip(first)];
    config.transport.port = 4740;
    let second = scope.world.add_element(0xa2, config);
    long(&mut scope, second);
    let rejected = |(_, node, told): &(_, Node, Told)| {
        *node == second && matches!(told, Told::Element(rserpool_proto::pe::Event::Rejected { .. }))
    };
    assert!(scope.world.told.iter().any(rejected));
    scope.assert_tables(&[(0xa1, 1)]);
    let conflict = |(_, _, told): &(_, _, Told)| matches!(told, Told::Registrar(Event::IdConflict { .. }));
    assert!(!scope.world.told.iter().any(conflict));
}
