//! Every procedure of ENRP between few registrars, to be read beside RFC 5353; the traces are in
//! `tests/golden/registrars`.

use rserpool_proto::pe::PoolElement;
use rserpool_proto::pu::PoolUser;
use rserpool_proto::registrar::{Arbitration, Registrar};
use rserpool_proto::wire::enrp::MessageType;
use rserpool_proto::wire::{Load, Policy};
use rserpool_proto::{ControlProtocol, PeId};

use crate::world::{Node, Options, World, pool};
use crate::{milliseconds, seconds};

/// A world whose registrars know each other and are ready.
pub(crate) struct Scope {
    pub(crate) world: World,
    pub(crate) registrars: Vec<Node>,
}

impl Scope {
    pub(crate) fn empty() -> Self {
        Self { world: World::new(Options::default()), registrars: Vec::new() }
    }

    /// Registrars 1 to `count`, started one after the other.
    fn of(count: u8) -> Self {
        Self::with(count, Arbitration::HighestWins)
    }

    fn with(count: u8, arbitration: Arbitration) -> Self {
        let mut scope = Self::empty();
        for number in 1..=count {
            let all: Vec<u8> = (1..=count).collect();
            let mut config = scope.world.registrar_config(number, &all);
            config.enrp.as_mut().unwrap().arbitration = arbitration;
            scope.registrars.push(scope.world.add_registrar(number, config));
            scope.world.run(seconds(3));
        }
        assert!(scope.registrars.iter().all(|node| scope.world.registrar(*node).is_ready()));
        scope
    }

    /// One more registrar, with these as its peers.
    pub(crate) fn join(&mut self, number: u8, peers: &[u8]) -> Node {
        let config = self.world.registrar_config(number, peers);
        let node = self.world.add_registrar(number, config);
        self.registrars.push(node);
        node
    }

    /// An element that prefers the first of these registrars.
    pub(crate) fn element(&mut self, pe: u8, registrars: &[u8]) -> Node {
        let config = self.world.element_config(pe, registrars);
        let node = self.world.add_element(pe, config);
        self.world.run(milliseconds(300));
        node
    }

    /// Elements with their homes, as a registrar has them.
    pub(crate) fn table(&self, registrar: Node) -> Vec<(u32, u32)> {
        let space = self.world.registrar(registrar).handlespace();
        let pools = space.pools();
        pools.flat_map(|(_, pool)| pool.elements().map(|e| (e.pe.0, e.home.0)).collect::<Vec<_>>()).collect()
    }

    pub(crate) fn assert_tables(&self, expected: &[(u32, u32)]) {
        for &node in self.registrars.iter().filter(|node| self.world.is_running(**node)) {
            assert_eq!(self.table(node), expected, "at {}\n{}", self.world.name(node), self.world.ladder());
        }
    }

    /// Compares the ladder with the file; `about` names the procedure and its section.
    pub(crate) fn assert_golden(&self, name: &str, about: &str) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/registrars");
        simnet::golden::check(
            format!("{folder}/{name}.ladder"),
            &format!("{about}\n\n{}", self.world.ladder()),
        );
    }
}

fn enrp(kind: MessageType) -> (ControlProtocol, u8) {
    (ControlProtocol::Enrp, kind.0)
}

#[test]
fn a_registrar_without_peers_is_alone_and_ready() {
    let mut scope = Scope::empty();
    scope.world.begin_ladder();
    let mut config = scope.world.registrar_config(1, &[]);
    config.enrp.as_mut().unwrap().networks.clear();
    let alone = scope.world.add_registrar(1, config);
    scope.world.run(seconds(1));
    assert!(scope.world.registrar(alone).is_ready());
    scope.assert_golden(
        "start-alone",
        "RFC 5353 section 3.2.2.1: no peer is specified, the registrar is alone",
    );
}

#[test]
fn the_first_of_several_registrars_is_ready_when_nobody_answers() {
    let mut scope = Scope::empty();
    scope.world.begin_ladder();
    let first = scope.join(1, &[2, 3]);
    scope.world.run(seconds(4));
    assert!(scope.world.registrar(first).is_ready());
    scope
        .assert_golden("start-first", "RFC 5353 section 3.2.2.1: peers are specified, none of them is there");
}

#[test]
fn a_registrar_gets_list_and_table_from_its_mentor() {
    let mut scope = Scope::of(2);
    scope.element(0xa1, &[1]);
    scope.element(0xa2, &[2]);
    scope.world.begin_ladder();
    scope.join(3, &[1]);
    scope.world.run(milliseconds(600));
    scope.assert_tables(&[(0xa1, 1), (0xa2, 2)]);
    scope.assert_golden(
        "start-mentor",
        "RFC 5353 sections 3.2.2.2 and 3.2.3: server list and handlespace of the mentor",
    );
}

#[test]
fn a_back_up_mentor_helps_when_the_first_one_is_starting_itself() {
    let mut scope = Scope::of(1);
    scope.element(0xa1, &[1]);
    // Registrar 2 looks for registrar 9, who is not there; it cannot help.
    scope.join(2, &[9]);
    scope.world.run(milliseconds(50));
    scope.world.begin_ladder();
    let third = scope.join(3, &[2, 1]);
    scope.world.run(milliseconds(600));
    assert_eq!(scope.table(third), [(0xa1, 1)]);
    scope.assert_golden(
        "start-mentor-rejects",
        "RFC 5353 section 3.2.2.2: the mentor rejects, a back-up mentor helps",
    );
}

#[test]
fn a_back_up_mentor_helps_when_the_first_one_is_silent() {
    let mut scope = Scope::of(2);
    scope.element(0xa1, &[1]);
    let mentor = scope.registrars[1];
    let (protocol, kind) = enrp(MessageType::LIST_RESPONSE);
    scope.world.swallow(mentor, protocol, kind);
    scope.world.begin_ladder();
    let third = scope.join(3, &[2, 1]);
    scope.world.run(seconds(2));
    assert_eq!(scope.table(third), [(0xa1, 1)]);
    scope.assert_golden(
        "start-mentor-silent",
        "RFC 5353 section 3.2.2.2: MAX-TIME-NO-RESPONSE passes, a back-up mentor helps",
    );
}

#[test]
fn a_large_table_comes_in_parts() {
    let mut scope = Scope::of(1);
    for pe in 1..=130 {
        let config = scope.world.element_config(pe, &[1]);
        scope.world.add_element(pe, config);
    }
    scope.world.run(seconds(2));
    scope.world.begin_ladder();
    // 130 times the same.
    scope.world.hushed = Some("ElementReplicated");
    let second = scope.join(2, &[1]);
    scope.world.run(milliseconds(100));
    assert_eq!(scope.table(second).len(), 130);
    scope.assert_golden(
        "table-in-parts",
        "RFC 5353 section 3.2.3: a table that does not fit one message (M flag)",
    );
}

#[test]
fn an_element_comes_changes_and_goes_at_every_registrar() {
    let mut scope = Scope::of(3);
    scope.world.begin_ladder();
    let mut config = scope.world.element_config(0xa1, &[1]);
    config.policy = Policy::LeastUsed { load: Load::of(0, 100) };
    let element = scope.world.add_element(0xa1, config);
    scope.world.run(milliseconds(100));
    scope.assert_tables(&[(0xa1, 1)]);
    scope.world.remark("the element's load changes");
    scope.world.with_element(element, |element, now| element.set_load(now, Load::of(50, 100)));
    scope.world.run(milliseconds(100));
    for &node in &scope.registrars {
        let known =
            scope.world.registrar(node).handlespace().pool(&pool()).unwrap().elements().next().unwrap();
        assert_eq!(known.policy, Policy::LeastUsed { load: Load::of(50, 100) });
    }
    scope.world.remark("the element deregisters");
    scope.world.with_element(element, PoolElement::deregister);
    scope.world.run(milliseconds(100));
    scope.assert_tables(&[]);
    scope.assert_golden(
        "update",
        "RFC 5353 section 3.3: registration, re-registration and deregistration are announced",
    );
}

#[test]
fn an_element_that_dies_is_taken_out_everywhere() {
    let mut scope = Scope::of(2);
    let element = scope.element(0xa1, &[1]);
    scope.world.run(seconds(2));
    scope.world.begin_ladder();
    scope.world.power_off(element);
    scope.world.run(milliseconds(3_500));
    scope.assert_tables(&[]);
    scope.assert_golden(
        "update-dead-element",
        "RFC 5353 section 3.3.2: an unreachable element is purged everywhere",
    );
}

#[test]
fn peers_tell_their_presence_and_checksum() {
    let mut scope = Scope::of(2);
    scope.element(0xa1, &[1]);
    scope.world.begin_ladder();
    scope.world.repetitions = true;
    scope.world.run(seconds(2));
    scope.assert_golden(
        "heartbeat",
        "RFC 5353 section 3.4.2: presence every PEER-HEARTBEAT-CYCLE, with the PE checksum",
    );
}

#[test]
fn a_checksum_that_does_not_match_brings_the_peers_table() {
    let mut scope = Scope::of(2);
    let gone = scope.element(0xa1, &[1]);
    let (protocol, kind) = enrp(MessageType::HANDLE_UPDATE);
    let first = scope.registrars[0];
    scope.world.begin_ladder();
    scope.world.remark("one element goes and one comes, and both updates are lost");
    scope.world.swallow(first, protocol, kind);
    scope.world.with_element(gone, PoolElement::deregister);
    scope.element(0xa2, &[1]);
    scope.world.swallow_nothing();
    scope.world.run(seconds(1));
    scope.assert_tables(&[(0xa2, 1)]);
    scope.assert_golden(
        "resynchronisation",
        "RFC 5353 sections 3.6.1 and 3.6.3: lost updates show in the PE checksum",
    );
}

#[test]
fn a_dead_registrar_is_taken_over_and_its_elements_move() {
    let mut scope = Scope::of(3);
    scope.element(0xa1, &[1]);
    scope.element(0xa2, &[1]);
    scope.element(0xa3, &[2]);
    scope.world.run(seconds(1));
    scope.world.begin_ladder();
    let first = scope.registrars[0];
    scope.world.power_off(first);
    scope.world.run(seconds(6));
    let homes = scope.table(scope.registrars[1]);
    assert_eq!(homes.len(), 3);
    assert!(homes.iter().all(|(_, home)| *home != 1), "{homes:?}\n{}", scope.world.ladder());
    assert_eq!(homes, scope.table(scope.registrars[2]));
    scope.assert_golden("takeover", "RFC 5353 section 3.5: a registrar without power is taken over");
}

#[test]
fn elements_of_a_killed_registrar_find_another_one_before_it_is_taken_over() {
    let mut scope = Scope::of(2);
    scope.element(0xa1, &[1, 2]);
    scope.world.run(seconds(1));
    scope.world.begin_ladder();
    let first = scope.registrars[0];
    scope.world.kill(first);
    scope.world.run(seconds(3));
    scope.assert_tables(&[(0xa1, 2)]);
    scope.assert_golden(
        "re-registration-elsewhere",
        "RFC 5352 section 3.6, RFC 5353 section 3.3.1: an element whose home was killed registers elsewhere",
    );
}

#[test]
fn an_element_whose_home_was_killed_deregisters_with_another_registrar() {
    let mut scope = Scope::of(3);
    let element = scope.element(0xa1, &[1, 2]);
    scope.element(0xa2, &[2]);
    scope.world.run(seconds(1));
    let first = scope.registrars[0];
    scope.world.begin_ladder();
    scope.world.kill(first);
    scope.world.with_element(element, PoolElement::deregister);
    scope.world.run(milliseconds(200));
    assert_eq!(scope.table(scope.registrars[1]), [(0xa2, 2)], "{}", scope.world.ladder());
    // To the third one the home may live: it does not believe another one until that is settled.
    scope.world.run(seconds(8));
    scope.assert_tables(&[(0xa2, 2)]);
    scope.assert_golden(
        "deregistration-elsewhere",
        "RFC 5352 section 3.2: an element whose home was killed deregisters with another registrar",
    );
}

/// Both registrars that are left find the third one dead at the same time.
fn arbitrate(arbitration: Arbitration, winner: u32, name: &str, about: &str) {
    let mut scope = Scope::with(3, arbitration);
    scope.element(0xa1, &[2]);
    scope.world.run(seconds(1));
    scope.world.begin_ladder();
    let dead = scope.registrars[1];
    // The connections of both end at the same time.
    scope.world.options.kill_noticed = milliseconds(20);
    scope.world.kill(dead);
    scope.world.run(seconds(5));
    scope.assert_tables(&[(0xa1, winner)]);
    scope.assert_golden(name, about);
}

#[test]
fn of_two_initiators_the_greater_identifier_takes_over() {
    let about = "RFC 5353 section 3.5.1: two initiators, the smaller identifier gives up";
    arbitrate(Arbitration::HighestWins, 3, "arbitration-highest", about);
}

#[test]
fn of_two_initiators_the_lesser_identifier_takes_over_where_that_is_the_rule() {
    let about = "RFC 5353 section 3.5.1 with the rule of the reference implementation: the greater identifier gives up";
    arbitrate(Arbitration::LowestWins, 1, "arbitration-lowest", about);
}

#[test]
fn of_two_registrars_that_die_together_neither_holds_up_the_takeover_of_the_other() {
    let mut scope = Scope::of(3);
    scope.element(0xa1, &[1]);
    scope.element(0xa2, &[2]);
    scope.world.run(seconds(1));
    scope.world.begin_ladder();
    for at in [0, 1] {
        let node = scope.registrars[at];
        scope.world.power_off(node);
    }
    scope.world.run(seconds(6));
    scope.assert_tables(&[(0xa1, 3), (0xa2, 3)]);
    scope.assert_golden(
        "two-die",
        "RFC 5353 section 3.5.1: the acknowledgement of a registrar that died as well is not waited for",
    );
}

#[test]
fn a_target_that_lives_stops_its_takeover() {
    let mut scope = Scope::of(3);
    scope.element(0xa1, &[1]);
    scope.world.run(seconds(1));
    let target = scope.registrars[0];
    scope.world.begin_ladder();
    scope.world.freeze(target);
    let begun = |scope: &Scope| scope.world.ladder().contains("ENRP_INIT_TAKEOVER ");
    for _ in 0..5_000 {
        if begun(&scope) {
            break;
        }
        scope.world.run(milliseconds(1));
    }
    assert!(begun(&scope));
    scope.world.thaw(target);
    scope.world.run(seconds(2));
    scope.assert_tables(&[(0xa1, 1)]);
    scope.assert_golden("target-lives", "RFC 5353 section 3.5.1, rule 1: the target lives and says so");
}

#[test]
fn a_takeover_nobody_is_told_of_is_found_by_updates_and_checksums() {
    let mut scope = Scope::of(3);
    scope.element(0xa1, &[1]);
    scope.world.run(seconds(1));
    for at in 0..3 {
        let node = scope.registrars[at];
        let (protocol, kind) = enrp(MessageType::TAKEOVER_SERVER);
        scope.world.swallow(node, protocol, kind);
    }
    scope.world.begin_ladder();
    let first = scope.registrars[0];
    scope.world.power_off(first);
    scope.world.run(seconds(9));
    let homes = scope.table(scope.registrars[1]);
    assert!(homes.len() == 1 && homes[0].1 != 1, "{homes:?}\n{}", scope.world.ladder());
    assert_eq!(homes, scope.table(scope.registrars[2]));
    scope.assert_golden("takeover-not-told", "RFC 5353 section 3.5.2 with ENRP_TAKEOVER_SERVER lost, as the reference implementation never sends it");
}

#[test]
fn a_registrar_that_leaves_hands_its_elements_over_before_it_ends() {
    let mut scope = Scope::of(3);
    scope.element(0xa1, &[1]);
    scope.element(0xa2, &[1]);
    scope.element(0xa3, &[2]);
    scope.world.run(seconds(1));
    scope.world.begin_ladder();
    let leaving = scope.registrars[0];
    scope.world.remark("registrar 1 leaves");
    scope.world.with_registrar(leaving, Registrar::leave);
    scope.world.run(milliseconds(500));
    let homes = scope.table(scope.registrars[1]);
    assert_eq!(homes.len(), 3);
    assert!(homes.iter().all(|(_, home)| *home != 1), "{homes:?}\n{}", scope.world.ladder());
    scope.world.kill(leaving);
    scope.world.run(seconds(5));
    assert!(!scope.world.ladder().contains("ElementRemoved"), "{}", scope.world.ladder());
    assert_eq!(scope.table(scope.registrars[1]), homes);
    assert_eq!(scope.table(scope.registrars[2]), homes);
    scope.assert_golden("leave", "Takeover suggestion (T flag): a registrar leaves, make before break");
}

#[test]
fn a_parted_scope_heals() {
    let mut scope = Scope::of(2);
    let near = scope.element(0xa1, &[1]);
    let far = scope.element(0xa2, &[2]);
    scope.world.options.transport_timeout = Some(milliseconds(1_500));
    let (first, second) = (scope.registrars[0], scope.registrars[1]);
    scope.world.begin_ladder();
    scope.world.remark("registrar 1 and a1 are cut from registrar 2 and a2 for 8 s");
    scope.world.part(&[first, near], &[second, far], seconds(8));
    scope.world.run(seconds(8));
    assert!(scope.table(first).contains(&(0xa1, 1)) && scope.table(second).contains(&(0xa2, 2)));
    scope.world.remark("the network is whole again");
    scope.world.run(seconds(8));
    scope.assert_tables(&[(0xa1, 1), (0xa2, 2)]);
    scope.assert_golden(
        "partition",
        "RFC 5353 sections 3.4.3, 3.5 and 3.6: a partition of the scope, and its healing",
    );
}

#[test]
fn registrars_that_start_together_find_each_other() {
    let mut scope = Scope::empty();
    scope.world.begin_ladder();
    for number in 1..=3 {
        scope.join(number, &[1, 2, 3]);
    }
    scope.element(0xa1, &[1]);
    scope.world.run(seconds(4));
    scope.assert_tables(&[(0xa1, 1)]);
    let ready = |node: &Node| scope.world.registrar(*node).is_ready();
    assert!(scope.registrars.iter().all(ready));
    scope.assert_golden(
        "start-together",
        "RFC 5353 section 3.2: three registrars start at once, none can be a mentor",
    );
}

#[test]
fn registrars_that_join_and_leave_at_once_keep_every_element() {
    let mut scope = Scope::of(3);
    for number in 1..=3 {
        scope.element(0xa0 + number, &[number]);
    }
    scope.world.run(seconds(1));
    let leaving = [scope.registrars[0], scope.registrars[1]];
    scope.world.begin_ladder();
    scope.world.remark("registrars 1 and 2 leave, 4 and 5 join");
    // Who leaves lets nobody in any more.
    scope.world.hushed = Some("PeerRefused");
    for node in leaving {
        scope.world.with_registrar(node, Registrar::leave);
    }
    for number in [4, 5] {
        scope.join(number, &[3, 4, 5]);
    }
    scope.world.run(seconds(2));
    for node in leaving {
        scope.world.kill(node);
    }
    scope.world.run(seconds(4));
    let homes = scope.table(scope.registrars[2]);
    assert_eq!(homes.iter().map(|(pe, _)| *pe).collect::<Vec<_>>(), [0xa1, 0xa2, 0xa3]);
    assert!(homes.iter().all(|(_, home)| *home > 2), "{homes:?}\n{}", scope.world.ladder());
    scope.assert_tables(&homes);
    // Nobody was without a home, and nobody had to be taken over.
    for sign in ["ElementRemoved", "NoRegistrar", "TakenOver"] {
        assert!(!scope.world.ladder().contains(sign), "{sign}\n{}", scope.world.ladder());
    }
    scope.assert_golden(
        "join-and-leave",
        "RFC 5353 sections 3.2 and 3.4, and the takeover suggestion: two registrars leave while two others join",
    );
}

#[test]
fn an_element_that_moved_while_its_home_was_stopped_is_offered_there_again() {
    let mut scope = Scope::of(2);
    scope.world.options.transport_timeout = Some(milliseconds(2_000));
    let (first, second) = (scope.registrars[0], scope.registrars[1]);
    scope.element(0xa1, &[1]);
    scope.element(0xa2, &[2]);
    let user = scope.world.add_user(1, &[1]);
    scope.world.freeze(first);
    scope.world.run(seconds(10));
    assert_eq!(scope.table(second), [(0xa1, 2), (0xa2, 2)]);
    scope.world.begin_ladder();
    scope.world.thaw(first);
    scope.world.run(seconds(4));
    scope.assert_tables(&[(0xa1, 2), (0xa2, 2)]);
    scope.world.with_user(user, PoolUser::resolve);
    scope.world.run(seconds(1));
    let resolved = scope.world.with_user(user, |user, _| user.elements().count());
    assert_eq!(resolved, 2, "{}", scope.world.ladder());
}

#[test]
fn a_load_that_changed_while_a_registrar_was_stopped_is_known_when_it_is_back() {
    let mut scope = Scope::empty();
    scope.world.options.transport_timeout = Some(milliseconds(2_000));
    // The element does not register again by itself.
    scope.world.options.profile.life = seconds(600);
    scope.world.options.profile.t4_max = seconds(600);
    for number in [1, 2] {
        scope.join(number, &[1, 2]);
        scope.world.run(seconds(3));
    }
    let second = scope.registrars[1];
    let mut config = scope.world.element_config(0xa1, &[1]);
    config.policy = Policy::LeastUsed { load: Load::of(0, 100) };
    let element = scope.world.add_element(0xa1, config);
    scope.world.run(seconds(2));
    scope.world.begin_ladder();
    scope.world.freeze(second);
    scope.world.run(seconds(6));
    scope.world.with_element(element, |element, now| element.set_load(now, Load::of(50, 100)));
    scope.world.run(seconds(1));
    scope.world.thaw(second);
    scope.world.run(seconds(20));
    let known = scope.world.registrar(second).handlespace().pool(&pool()).unwrap().elements().next().unwrap();
    assert_eq!(known.policy, Policy::LeastUsed { load: Load::of(50, 100) }, "{}", scope.world.ladder());
}

#[test]
fn a_draining_element_is_selected_nowhere_and_drains_on_at_its_next_home() {
    let mut scope = Scope::of(2);
    scope.element(0xa1, &[1]);
    scope.element(0xa2, &[2]);
    let user = scope.world.add_user(1, &[2]);
    let (first, second) = (scope.registrars[0], scope.registrars[1]);
    scope.world.begin_ladder();
    scope.world.remark("the operator drains a1");
    scope.world.with_registrar(first, |registrar, now| registrar.drain(now, &pool(), PeId(0xa1))).unwrap();
    scope.world.run(milliseconds(100));
    let draining = |scope: &Scope, node| {
        let space = scope.world.registrar(node).handlespace();
        space.pool(&pool()).unwrap().is_draining(PeId(0xa1))
    };
    assert!(draining(&scope, first) && draining(&scope, second));
    scope.world.kill(first);
    scope.world.run(seconds(6));
    assert_eq!(scope.table(second), [(0xa1, 2), (0xa2, 2)]);
    assert!(draining(&scope, second), "{}", scope.world.ladder());
    let resolved = |scope: &mut Scope| {
        scope.world.with_user(user, PoolUser::resolve);
        scope.world.run(seconds(1));
        scope.world.with_user(user, |user, _| user.elements().map(|element| element.pe.0).collect::<Vec<_>>())
    };
    assert_eq!(resolved(&mut scope), [0xa2]);
    scope.world.remark("the operator puts a1 back, at its new home");
    scope.world.with_registrar(second, |registrar, now| registrar.undrain(now, &pool(), PeId(0xa1))).unwrap();
    assert_eq!(resolved(&mut scope).len(), 2);
    scope.assert_golden(
        "draining",
        "docs/wire.md section 19: draining goes with the element to its next home",
    );
}
