//! Our registrar and rsplib's as peers (RFC 5353).

use rserpool::Policy;

use crate::check::{Check, wait_for};
use crate::element::{self, Find};
use crate::network::{Host, Network};
use crate::ours::{Registrar, Settings, elements, resolve, text, wait_for_homes};
use crate::process::Process;
use crate::reference::{self, dump, pool_element};

const OURS: u32 = 0x0a0b_0c01;
const THEIRS: u32 = 0x0a0b_0c02;
const THIRD: u32 = 0x0a0b_0c03;

/// Hosts of a test: registrars, pool elements, and where handles are resolved.
struct World {
    network: Network,
    registrars: [Host; 3],
    elements: [Host; 3],
    user: Host,
}

impl World {
    fn new() -> Self {
        let network = Network::new(7);
        let registrars = [1, 2, 3].map(|number| network.host(number));
        let elements = [4, 5, 6].map(|number| network.host(number));
        let user = network.host(7);
        Self { network, registrars, elements, user }
    }

    fn ours(&self, id: u32, at: usize, peers: &[usize]) -> Registrar {
        let peers: Vec<&Host> = peers.iter().map(|&peer| &self.registrars[peer]).collect();
        Registrar::start_with(&self.network, &self.registrars[at], &Settings::beside(id, &peers))
    }

    /// `peers` are told to it; ours reach it, and are heard, without.
    fn theirs(&self, id: u32, at: usize, peers: &[usize]) -> Process {
        let peers: Vec<String> =
            peers.iter().map(|&peer| format!("-peer={}:9901", self.registrars[peer].address)).collect();
        let peers: Vec<&str> = peers.iter().map(String::as_str).chain(["-loglevel=4"]).collect();
        reference::registrar(&self.network, &self.registrars[at], id, &peers)
    }

    /// Ours, [`THIRD`], beside two rspregistrars, [`OURS`] and [`THEIRS`].
    fn ours_beside_two(&self) -> (Registrar, Process, Process) {
        (self.ours(THIRD, 0, &[1, 2]), self.theirs(OURS, 1, &[]), self.theirs(THEIRS, 2, &[1]))
    }

    /// Kills ours when both others have its element a1; returns which of them is its home then.
    fn lose(&self, mut ours: Registrar, explain: impl Fn() -> String + Copy) -> u32 {
        self.wait_for(1, &[(0xa1, THIRD)], explain);
        self.wait_for(2, &[(0xa1, THIRD)], explain);
        ours.wait_for_peer(OURS, 0);
        ours.wait_for_peer(THEIRS, 0);
        ours.process.kill();
        self.winner(explain)
    }

    /// Starts an echo server of rsplib's that knows one registrar.
    fn element(&self, pe: u32, at: usize, registrar: usize) -> Process {
        pool_element(&self.network, &self.elements[at], &self.registrars[registrar], pe, &["-echo"])
    }

    /// Waits until two rspregistrars, [`OURS`] and [`THEIRS`], say that the same one of them is the home of element a1:
    /// whichever noticed the death first, or the least identifier where both have.
    fn winner(&self, explain: impl Fn() -> String) -> u32 {
        wait_for("a new home", explain, || {
            let [first, second] = [1, 2].map(|registrar| {
                let answer = resolve(&self.user, &self.registrars[registrar], "EchoPool").unwrap_or_default();
                elements(&answer).first().map(|element| text(element, "home")).unwrap_or_default()
            });
            let named = |id: &u32| first == second && first == format!("{id:08x}");
            [OURS, THEIRS].into_iter().find(named)
        })
    }

    /// Waits until the registrar knows these elements, each `(identifier, home)`.
    fn wait_for(&self, registrar: usize, expected: &[(u32, u32)], explain: impl Fn() -> String) {
        wait_for_homes(&self.user, &self.registrars[registrar], "EchoPool", expected, explain);
    }
}

/// The elements of which hsdump says `home=$…`, and the last checksum of the handlespace.
fn owned(dump: &str, home: u32) -> usize {
    let (_, ownership) = dump.rsplit_once("*-- Ownership:").unwrap_or_default();
    ownership.lines().filter(|line| line.contains(&format!("- ${home:08x} ->"))).count()
}

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
