//! Our registrar and rsplib's as peers (RFC 5353).

use rserpool::Policy;

use crate::check::{Check, wait_for};
use crate::element::{self, Find};
use crate::group::{OURS, THEIRS, THIRD, World};
use crate::ours::{Registrar, Settings};
use crate::reference::{dump, owned};

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn ours_joins_rspregistrar() {
    let check = Check::begin(
        "ours joins an rspregistrar that was told of no peer: table, checksums, updates both ways",
    );
    let world = World::new();
    let theirs = world.theirs(THEIRS, 1, &[]);
    let _first = world.element(0xa1, 0, 1);
    world.wait_for(1, &[(0xa1, THEIRS)], || theirs.said());
    let ours = world.ours(OURS, 0, &[1]);
    world.wait_for(0, &[(0xa1, THEIRS)], || ours.process.said());
    // Updates both ways.
    let _second = world.element(0xa2, 1, 0);
    world.wait_for(1, &[(0xa1, THEIRS), (0xa2, OURS)], || {
        format!("{}\n{}", ours.process.said(), theirs.said())
    });
    let third = world.element(0xa3, 2, 1);
    world.wait_for(0, &[(0xa1, THEIRS), (0xa2, OURS), (0xa3, THEIRS)], || ours.process.said());
    let checksum = ours.wait_for_peer(THEIRS, 2);
    assert!(third.stop().success());
    world.wait_for(0, &[(0xa1, THEIRS), (0xa2, OURS)], || ours.process.said());
    assert_ne!(ours.wait_for_peer(THEIRS, 1), checksum);
    let [seen_at_ours, seen_at_theirs] =
        [0, 1].map(|registrar| dump(&world.network, &world.user, &world.registrars[registrar]));
    for dump in [&seen_at_ours, &seen_at_theirs] {
        assert_eq!((owned(dump, OURS), owned(dump, THEIRS)), (1, 1), "{dump}");
    }
    check.passed("equal tables and checksums, at hsdump too; registrations and a deregistration cross");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn rspregistrar_joins_ours() {
    let check = Check::begin("rspregistrar joins ours: table, checksums, updates both ways");
    let world = World::new();
    let ours = world.ours(OURS, 0, &[1]);
    let _first = world.element(0xa1, 0, 0);
    world.wait_for(0, &[(0xa1, OURS)], || ours.process.said());
    let theirs = world.theirs(THEIRS, 1, &[0]);
    let said = || format!("{}\n{}", ours.process.said(), theirs.said());
    world.wait_for(1, &[(0xa1, OURS)], said);
    let second = world.element(0xa2, 1, 1);
    world.wait_for(0, &[(0xa1, OURS), (0xa2, THEIRS)], said);
    let third = world.element(0xa3, 2, 0);
    world.wait_for(1, &[(0xa1, OURS), (0xa2, THEIRS), (0xa3, OURS)], said);
    ours.wait_for_peer(THEIRS, 1);
    assert_eq!(ours.peers()[0]["is-reference"], true, "detected by what it sends");
    assert!(third.stop().success());
    world.wait_for(1, &[(0xa1, OURS), (0xa2, THEIRS)], said);
    assert!(second.stop().success());
    world.wait_for(0, &[(0xa1, OURS)], said);
    // Once it is a peer by its own association, it is not looked for any more.
    let said = ours.process.said();
    let (_, after) = said.split_once("registrar joined").unwrap();
    assert!(!after.contains("connecting connection"), "{after}");
    check.passed("rspregistrar has our table before it is ready; updates cross");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn ours_takes_over_from_rspregistrar() {
    let check = Check::begin("ours takes over rspregistrar's pool element");
    let world = World::new();
    let mut theirs = world.theirs(THEIRS, 1, &[]);
    let ours = world.ours(OURS, 0, &[1]);
    let element = world.element(0xa1, 0, 1);
    world.wait_for(0, &[(0xa1, THEIRS)], || ours.process.said());
    // The element knows only the registrar that dies: nothing but the takeover helps it.
    theirs.kill();
    world.wait_for(0, &[(0xa1, OURS)], || format!("{}\n{}", ours.process.said(), element.said()));
    element.wait_for(&format!("Home registrar is ${OURS:08x}"));
    check.passed("the rspserver took ours as its home");
}

/// rspregistrar ends a takeover at the last acknowledgement; without a third registrar none comes, and it gives up.
#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn rspregistrar_takes_over_from_ours() {
    let check = Check::begin("one of two rspregistrars takes over our pool element");
    let world = World::new();
    let (ours, theirs, other) = world.ours_beside_two();
    let element = world.element(0xa1, 0, 0);
    let said = || format!("{}\n{}\n{}", theirs.said(), element.said(), other.said());
    let winner = world.lose(ours, said);
    element.wait_for(&format!("Home registrar is ${winner:08x}"));
    check.passed("the rspserver took it as its home");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn rspregistrar_takes_over_our_pool_element() {
    let check = Check::begin("rspregistrar takes over a pool element of ours, which listens for it natively");
    let world = World::new();
    let (ours, theirs, other) = world.ours_beside_two();
    let process = element::Process::new(&world.network);
    // It knows only the registrar that dies: nothing but the takeover helps it.
    let element = process.element(Find::At(&world.registrars[0]), "EchoPool", 0xa1, Policy::RoundRobin);
    process.registered(&element, &world.registrars[0]);
    let said = || format!("{}\n{}", theirs.said(), other.said());
    let winner = world.lose(ours, said);
    process.registered(&element, &world.registrars[if winner == OURS { 1 } else { 2 }]);
    check.passed("it took the rspregistrar that connected as its home");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn a_registrar_with_another_profile_reads_lives_in_milliseconds() {
    let check = Check::begin("ours with the profile fast translates the lives of rspregistrar's elements");
    let world = World::new();
    let peers = [&world.registrars[1]];
    let settings = Settings { timers: "fast", ..Settings::beside(OURS, &peers) };
    let ours = Registrar::start_with(&world.network, &world.registrars[0], &settings);
    let theirs = world.theirs(THEIRS, 1, &[0]);
    let _element = world.element(0xa1, 0, 1);
    world.wait_for(0, &[(0xa1, THEIRS)], || format!("{}\n{}", ours.process.said(), theirs.said()));
    let answer = ours.resolve(&world.user, "EchoPool").unwrap();
    assert_eq!(crate::ours::elements(&answer)[0]["life-seconds"], 90, "{answer}");
    check.passed("90,000 ms are 90 s");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn three_registrars_mixed() {
    let check =
        Check::begin("three registrars, two of them ours: equal tables; takeover of rspregistrar's element");
    let world = World::new();
    let ours = world.ours(OURS, 0, &[1, 2]);
    let mut theirs = world.theirs(THEIRS, 1, &[0, 2]);
    let third = world.ours(THIRD, 2, &[0, 1]);
    let _elements = [0, 1, 2].map(|at| world.element(0xa1 + u32::try_from(at).unwrap(), at, at));
    let all = [(0xa1, OURS), (0xa2, THEIRS), (0xa3, THIRD)];
    let said = || format!("{}\n{}", ours.process.said(), third.process.said());
    for registrar in 0..3 {
        world.wait_for(registrar, &all, said);
    }
    for (registrar, peers) in [(&ours, [THEIRS, THIRD]), (&third, [OURS, THEIRS])] {
        for peer in peers {
            registrar.wait_for_peer(peer, 1);
        }
    }
    theirs.kill();
    // By the rule of the group, the least identifier of those that start at once goes on.
    wait_for("takeover by one of ours", said, || {
        let homes = [&ours, &third].map(|registrar| {
            let answer = registrar.resolve(&world.user, "EchoPool").unwrap_or_default();
            let elements = crate::ours::elements(&answer);
            let orphan = elements.iter().find(|element| crate::ours::text(element, "pe") == "000000a2");
            orphan.map(|element| crate::ours::text(element, "home")).unwrap_or_default()
        });
        let new = [OURS, THIRD].map(|id| format!("{id:08x}"));
        (homes[0] == homes[1] && new.contains(&homes[0])).then_some(())
    });
    check.passed("tables and checksums equal at all three; one of ours took over, and both say which");
}
