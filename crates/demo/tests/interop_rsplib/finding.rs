//! Registrars that are found by multicast (RFC 5352 section 3.6, RFC 5353 section 3.1), in rsplib's groups.

use rserpool::Policy;

use crate::check::Check;
use crate::element::{Find, Process};
use crate::network::{Host, Network};
use crate::ours::{Registrar, Settings, wait_for_homes};
use crate::reference::{announcing_registrar, listening_element, listening_user, pool_element};

const OURS: u32 = 0x0a0b_0c01;
const THEIRS: u32 = 0x0a0b_0c02;

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn rspserver_and_rspterminal_find_our_registrar() {
    let check = Check::begin("rspserver and rspterminal find our registrar by its announces");
    let network = Network::new(3);
    let [host, user, server] = [1, 2, 3].map(|number| network.host(number));
    let settings = Settings { announces: true, ..Settings::default() };
    let registrar = Registrar::start_with(&network, &host, &settings);
    let _element = listening_element(&network, &server, 0xa1, &["-echo"]);
    registrar.wait_for_elements(&user, "EchoPool", &["000000a1"]);
    let terminal = listening_user(&network, &user, "rspterminal", &[]);
    terminal.tell("found");
    terminal.wait_for("from PE $000000a1> found");
    check.passed("registered, resolved, and echoed");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn our_pool_element_and_pool_user_find_rspregistrar() {
    let check = Check::begin("our pool element and pool user find rspregistrar by its announces");
    let network = Network::new(1);
    let host = network.host(1);
    let theirs = announcing_registrar(&network, &host, THEIRS);
    let process = Process::new(&network);
    let element = process.element(Find::Announced, "ipfix", 0xa1, Policy::RoundRobin);
    process.registered(&element, &host);
    let user = process.user(Find::Announced, "ipfix");
    assert_eq!(process.selected(&user).0, 0xa1);
    check.passed("registered, and selected");
    drop(theirs);
}

/// Each registers an element, which the other then has.
fn replicate(network: &Network, ours: &Registrar, theirs: &Host, explain: impl Fn() -> String) {
    let [user, first, second] = [3, 4, 5].map(|number| network.host(number));
    let _elements = [
        pool_element(network, &first, &ours.host, 0xa1, &["-echo"]),
        pool_element(network, &second, theirs, 0xa2, &["-echo"]),
    ];
    let expected = [(0xa1, OURS), (0xa2, THEIRS)];
    wait_for_homes(&user, &ours.host, "EchoPool", &expected, &explain);
    wait_for_homes(&user, theirs, "EchoPool", &expected, &explain);
    ours.wait_for_peer(THEIRS, 1);
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn registrars_find_each_other_when_ours_comes_second() {
    let check = Check::begin("ours and rspregistrar find each other by announces, rspregistrar first");
    let network = Network::new(5);
    let theirs = announcing_registrar(&network, &network.host(2), THEIRS);
    let ours = Registrar::start_with(&network, &network.host(1), &Settings::announcing(OURS));
    let said = || format!("{}\n{}", ours.process.said(), theirs.said());
    replicate(&network, &ours, &network.host(2), said);
    check.passed("equal tables and checksums");
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn registrars_find_each_other_when_ours_comes_first() {
    let check = Check::begin("ours and rspregistrar find each other by announces, ours first");
    let network = Network::new(5);
    let ours = Registrar::start_with(&network, &network.host(1), &Settings::announcing(OURS));
    let theirs = announcing_registrar(&network, &network.host(2), THEIRS);
    let said = || format!("{}\n{}", ours.process.said(), theirs.said());
    replicate(&network, &ours, &network.host(2), said);
    check.passed("equal tables and checksums");
}
