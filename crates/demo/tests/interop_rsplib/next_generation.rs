//! The next generation (docs/wire.md sections 15 to 18) beside rsplib, which knows nothing of it and must not notice it.

use serde_json::Value;

use crate::check::{Check, wait_for};
use crate::element;
use crate::group::{OURS, THEIRS, THIRD, World};
use crate::network::Network;
use crate::ours::{Registrar, Settings, text, wait_for_homes};
use crate::process::Process;
use crate::reference::{
    announcing_registrar, dump, listening_element, listening_user, owned, pool_element, pool_user,
};

/// The pool of our elements.
const POOL: &str = "ipfix";

/// What rsplib writes of a message or a parameter that it does not read.
const COMPLAINTS: [&str; 5] = ["invalid", "exceeds", "too short", "too low", "Unexpected"];

fn assert_no_complaint(theirs: &Process) {
    let said = theirs.said();
    let complaint = |line: &&str| COMPLAINTS.iter().any(|text| line.contains(text));
    let complaints: Vec<&str> = said.lines().filter(complaint).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// What ours says of an element's long identifier; empty without one.
fn long_of(ours: &Registrar, pe: u32) -> String {
    let named = |element: &Value| text(element, "pe") == format!("{pe:08x}");
    ours.told_elements(POOL).into_iter().find(named).map(|found| text(&found, "long-pe")).unwrap_or_default()
}

/// That a peer is taken for one that tells nothing of the next generation.
fn assert_plain(ours: &Registrar, peer: u32) {
    let peers = ours.peers();
    let peer = peers.iter().find(|told| text(told, "id") == format!("{peer:08x}")).unwrap();
    assert_eq!((&peer["long-id"], &peer["tcp"]), (&Value::Null, &Value::Array(vec![])), "{peer}");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn ours_with_the_next_generation_joins_rspregistrar() {
    let check =
        Check::begin("ours with next-generation joins rspregistrar: table, checksums, updates both ways");
    let world = World::of_the_next_generation();
    let theirs = world.theirs(THEIRS, 1, &[]);
    let process = element::Process::new(&world.network);
    let _long = process.long_element(&world.registrars[1], POOL, 0xb1);
    let first = world.element(0xa1, 0, 1);
    world.wait_for(1, &[(0xa1, THEIRS)], || theirs.said());
    let ours = world.ours(OURS, 0, &[1]);
    let said = || format!("{}\n{}", ours.process.said(), theirs.said());
    world.wait_for(0, &[(0xa1, THEIRS)], said);
    let _other_long = process.long_element(&world.registrars[0], POOL, 0xb2);
    let second = world.element(0xa2, 1, 0);
    for registrar in [0, 1] {
        world.wait_for(registrar, &[(0xa1, THEIRS), (0xa2, OURS)], said);
        let at = &world.registrars[registrar];
        wait_for_homes(&world.user, at, POOL, &[(0xb1, THEIRS), (0xb2, OURS)], said);
    }
    assert_eq!(long_of(&ours, 0xb1), "", "rspregistrar hands on what it reads");
    assert_eq!(long_of(&ours, 0xb2).get(8..), Some("000000b2"));
    let checksum = ours.wait_for_peer(THEIRS, 2);
    for element in [first, second] {
        assert!(element.stop().success());
    }
    for registrar in [0, 1] {
        world.wait_for(registrar, &[], said);
    }
    assert_ne!(ours.wait_for_peer(THEIRS, 1), checksum);
    assert_plain(&ours, THEIRS);
    let seen = dump(&world.network, &world.user, &world.registrars[1]);
    assert_eq!((owned(&seen, OURS), owned(&seen, THEIRS)), (1, 1), "{seen}");
    assert_no_complaint(&theirs);
    check.passed("equal tables and checksums; nothing that rspregistrar complains of");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn rspregistrar_joins_ours_with_the_next_generation_and_is_taken_over_from() {
    let check = Check::begin("rspregistrar joins ours with next-generation, and ours takes over from it");
    let world = World::of_the_next_generation();
    let ours = world.ours(OURS, 0, &[1]);
    let process = element::Process::new(&world.network);
    let first = process.long_element(&world.registrars[0], POOL, 0xb1);
    process.registered(&first, &world.registrars[0]);
    let mut theirs = world.theirs(THEIRS, 1, &[0]);
    let said = || format!("{}\n{}", ours.process.said(), theirs.said());
    let second = process.long_element(&world.registrars[1], POOL, 0xb2);
    process.registered(&second, &world.registrars[1]);
    let echo = world.element(0xa1, 0, 1);
    for registrar in [0, 1] {
        world.wait_for(registrar, &[(0xa1, THEIRS)], said);
        let at = &world.registrars[registrar];
        wait_for_homes(&world.user, at, POOL, &[(0xb1, OURS), (0xb2, THEIRS)], said);
    }
    ours.wait_for_peer(THEIRS, 2);
    assert_plain(&ours, THEIRS);
    assert_no_complaint(&theirs);
    theirs.kill();
    let said = || format!("{}\n{}", ours.process.said(), echo.said());
    world.wait_for(0, &[(0xa1, OURS)], said);
    wait_for_homes(&world.user, &world.registrars[0], POOL, &[(0xb1, OURS), (0xb2, OURS)], said);
    echo.wait_for(&format!("Home registrar is ${OURS:08x}"));
    process.registered(&second, &world.registrars[0]);
    check.passed("equal tables and checksums; rspserver and our element with a long identifier follow ours");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn rspregistrar_takes_over_from_ours_with_the_next_generation() {
    let check =
        Check::begin("one of two rspregistrars takes over an element with a long identifier from ours");
    let world = World::of_the_next_generation();
    let (ours, theirs, other) = world.ours_beside_two();
    let process = element::Process::new(&world.network);
    let element = process.long_element(&world.registrars[0], "EchoPool", 0xa1);
    process.registered(&element, &world.registrars[0]);
    let said = || format!("{}\n{}", theirs.said(), other.said());
    let winner = world.lose(ours, said);
    process.registered(&element, &world.registrars[if winner == OURS { 1 } else { 2 }]);
    assert_no_complaint(&theirs);
    assert_no_complaint(&other);
    check.passed("it took the rspregistrar that connected as its home");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn two_with_the_next_generation_tell_each_other_beside_rspregistrar() {
    let check =
        Check::begin("two of ours with next-generation and rspregistrar: equal tables, long identifiers");
    let world = World::of_the_next_generation();
    // Both know rspregistrar alone: it tells the second of the first, without what it does not read.
    let theirs = world.theirs(THEIRS, 1, &[]);
    let ours = world.ours(OURS, 0, &[1]);
    ours.wait_for_peer(THEIRS, 0);
    let third = world.ours(THIRD, 2, &[1]);
    let process = element::Process::new(&world.network);
    let _long = process.long_element(&world.registrars[0], POOL, 0xb1);
    let _echo = world.element(0xa1, 0, 1);
    let said = || format!("{}\n{}\n{}", ours.process.said(), third.process.said(), theirs.said());
    for registrar in 0..3 {
        world.wait_for(registrar, &[(0xa1, THEIRS)], said);
        wait_for_homes(&world.user, &world.registrars[registrar], POOL, &[(0xb1, OURS)], said);
    }
    for (registrar, other, elements) in [(&ours, THIRD, 0), (&third, OURS, 1)] {
        registrar.wait_for_peer(THEIRS, 1);
        assert_plain(registrar, THEIRS);
        registrar.wait_for_peer(other, elements);
        wait_for("the other's long identifier", said, || {
            let peers = registrar.peers();
            let other = peers.iter().find(|peer| text(peer, "id") == format!("{other:08x}"))?;
            (text(other, "long-id").len() == 16 && other["tcp"][0].is_string()).then_some(())
        });
    }
    assert_eq!(long_of(&third, 0xb1), long_of(&ours, 0xb1));
    assert_eq!(long_of(&third, 0xb1).len(), 16);
    assert_no_complaint(&theirs);
    check
        .passed("the two know each other's 64 bits and TCP transports, by rspregistrar's list; it sees none");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn rspterminal_selects_an_element_with_a_long_identifier() {
    let check =
        Check::begin("rspterminal is answered with an element that has a long identifier, and takes it");
    let network = Network::new(2);
    let registrar = Registrar::start(&network, &network.host(1));
    let process = element::Process::new(&network);
    let _long = process.long_element(&registrar.host, "EchoPool", 0xa1);
    registrar.wait_for_elements(&network.host(2), "EchoPool", &["000000a1"]);
    let terminal = pool_user(&network, &network.host(2), &registrar.host, "rspterminal", &[]);
    let line = process.served(|| terminal.tell("hello"));
    assert_eq!(line.trim_end(), "hello");
    assert_no_complaint(&terminal);
    check.passed("its line arrives at the element");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn rsplib_finds_ours_with_the_next_generation_by_its_announces() {
    let check =
        Check::begin("rspserver, rspterminal and rspregistrar find ours with next-generation by announces");
    let network = Network::new(5);
    let [at, there, user, server, second] = [1, 2, 3, 4, 5].map(|number| network.host(number));
    let settings = Settings { next_generation: true, ..Settings::announcing(OURS) };
    let ours = Registrar::start_with(&network, &at, &settings);
    let _element = listening_element(&network, &server, 0xa1, &["-echo"]);
    ours.wait_for_elements(&user, "EchoPool", &["000000a1"]);
    let terminal = listening_user(&network, &user, "rspterminal", &[]);
    terminal.tell("found");
    terminal.wait_for("from PE $000000a1> found");
    drop(terminal);
    let theirs = announcing_registrar(&network, &there, THEIRS);
    let _other = pool_element(&network, &second, &there, 0xa2, &["-echo"]);
    let said = || format!("{}\n{}", ours.process.said(), theirs.said());
    for registrar in [&at, &there] {
        wait_for_homes(&user, registrar, "EchoPool", &[(0xa1, OURS), (0xa2, THEIRS)], said);
    }
    ours.wait_for_peer(THEIRS, 1);
    assert_plain(&ours, THEIRS);
    assert_no_complaint(&theirs);
    check.passed("registered, resolved, echoed; equal tables and checksums");
}
