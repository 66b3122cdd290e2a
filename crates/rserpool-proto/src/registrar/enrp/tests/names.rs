//! Peers that are configured by name.

use super::*;

fn at(last: u8) -> RegistrarAddress {
    RegistrarAddress::sctp(IpAddr::from([192, 0, 2, last]), 9901)
}

/// A registrar with `count` names and no networks.
fn named(count: usize) -> Bench {
    Bench::with(|config| {
        config.networks.clear();
        config.named_peers = vec![vec![]; count];
    })
}

fn lookups(done: &[Did]) -> Vec<usize> {
    done.iter().filter_map(|did| if let Did::LookUp(peer) = did { Some(*peer) } else { None }).collect()
}

fn targets(done: &[Did]) -> Vec<RegistrarAddress> {
    connects(done).into_iter().map(|(_, _, address)| address).collect()
}

impl Bench {
    fn found(&mut self, peer: usize, addresses: &[RegistrarAddress]) -> Vec<Did> {
        self.registrar.set_peer_addresses(self.now, peer, addresses);
        self.drain()
    }

    fn is_let_in(&mut self, last: u8) -> bool {
        let (connection, done) = self.accept(at(last).ip);
        !done.contains(&Did::Disconnect(connection))
    }

    /// Lets every attempt fail at once.
    fn fail_all(&mut self, done: &[Did]) -> Vec<Did> {
        for (connection, _, _) in connects(done) {
            self.registrar.handle_connect_failed(self.now, connection);
        }
        self.drain()
    }
}

#[test]
fn a_name_is_looked_up_at_the_start_and_its_addresses_are_connected_to() {
    let mut bench = named(2);
    assert_eq!(lookups(&bench.start()), [0, 1]);
    assert_eq!(targets(&bench.found(1, &[at(1), at(2)])), [at(1), at(2)]);
    assert_eq!(targets(&bench.found(1, &[at(2), at(1)])), [], "in another order they are the same");
}

#[test]
fn a_registrar_with_a_name_alone_waits_for_a_mentor_before_it_serves() {
    let mut bench = named(1);
    bench.start();
    assert!(!bench.registrar.is_ready());
}

#[test]
fn a_name_that_is_not_known_is_asked_for_again_less_and_less_often() {
    let mut bench = named(1);
    bench.start();
    let asked = lookups(&bench.pass(Duration::from_secs(60))).len();
    assert!((12..30).contains(&asked), "{asked} lookups in a minute");
}

#[test]
fn a_name_is_looked_up_again_at_each_attempt_and_not_while_it_is_connected() {
    let mut bench = named(1);
    bench.start();
    let mut done = bench.found(0, &[at(1)]);
    let (mut attempts, mut asked) = (0, 0);
    for _ in 0..600 {
        attempts += targets(&done).len();
        asked += lookups(&done).len();
        let more = bench.fail_all(&done);
        assert_eq!(targets(&more), []);
        done = bench.pass(Duration::from_millis(100));
    }
    // The first attempt follows a lookup.
    assert!(attempts > 10 && (attempts - 1..=attempts).contains(&asked), "{asked} in {attempts} attempts");

    let mut bench = named(1);
    bench.start();
    let [(connection, _, _)] = connects(&bench.found(0, &[at(1)]))[..] else { panic!() };
    bench.registrar.handle_connected(bench.now, connection, Bench::remote(at(1).ip));
    bench.say(connection, LOW, presence(LOW, false, 0xffff));
    let mut asked = 0;
    for _ in 0..20 {
        bench.say(connection, LOW, presence(LOW, false, 0xffff));
        asked += lookups(&bench.pass(Duration::from_millis(500))).len();
    }
    assert_eq!(asked, 0);
}

#[test]
fn only_the_addresses_a_name_has_at_present_may_be_a_peers() {
    let mut bench = named(1);
    bench.start();
    assert!(!bench.is_let_in(1));
    bench.found(0, &[at(1)]);
    assert!(bench.is_let_in(1) && !bench.is_let_in(2));
    bench.found(0, &[at(2)]);
    assert!(!bench.is_let_in(1) && bench.is_let_in(2));
    bench.found(0, &[]);
    assert!(bench.is_let_in(2), "what was found counts until something else is");
}

#[test]
fn an_address_that_left_is_neither_waited_for_nor_tried_again() {
    let mut bench = named(1);
    bench.start();
    let [(connection, _, _)] = connects(&bench.found(0, &[at(1)]))[..] else { panic!() };
    let done = bench.found(0, &[at(2)]);
    assert!(done.contains(&Did::Disconnect(connection)));
    assert_eq!(targets(&done), [at(2)]);
    let mut done = bench.fail_all(&done);
    for _ in 0..100 {
        done = bench.fail_all(&done);
        done.extend(bench.pass(Duration::from_millis(200)));
        assert!(targets(&done).iter().all(|address| *address == at(2)));
    }
}

#[test]
fn a_connection_stays_when_its_address_leaves_the_name() {
    let mut bench = named(1);
    bench.start();
    let [(connection, _, _)] = connects(&bench.found(0, &[at(1)]))[..] else { panic!() };
    bench.registrar.handle_connected(bench.now, connection, Bench::remote(at(1).ip));
    bench.say(connection, LOW, presence(LOW, false, 0xffff));
    assert!(!bench.found(0, &[at(2)]).contains(&Did::Disconnect(connection)));
    let done = bench.lose(connection);
    assert!(!targets(&done).contains(&at(1)));
    assert!(!targets(&bench.pass(Duration::from_secs(30))).contains(&at(1)));
}

#[test]
fn strangers_cause_lookups_now_and_then() {
    let mut bench = named(1);
    bench.start();
    let [(connection, _, _)] = connects(&bench.found(0, &[at(1)]))[..] else { panic!() };
    bench.registrar.handle_connected(bench.now, connection, Bench::remote(at(1).ip));
    bench.say(connection, LOW, presence(LOW, false, 0xffff));
    bench.pass(Duration::from_millis(500));
    let mut asked = 0;
    for stranger in 0..20 {
        asked += lookups(&bench.accept(at(100 + stranger).ip).1).len();
        bench.say(connection, LOW, presence(LOW, false, 0xffff));
        asked += lookups(&bench.pass(Duration::from_millis(100))).len();
    }
    assert_eq!(asked, 1);
}

#[test]
fn a_name_that_is_somewhere_else_each_time_is_not_asked_for_because_of_that() {
    let mut bench = named(1);
    let mut done = bench.start();
    let mut asked = 0;
    for turn in 0..600_u32 {
        while !lookups(&done).is_empty() && asked < 1_000 {
            asked += 1;
            done = bench.found(0, &[at(u8::try_from((turn + asked) % 250).unwrap())]);
        }
        done = bench.fail_all(&done);
        done.extend(bench.pass(Duration::from_millis(100)));
    }
    assert!((20..400).contains(&asked), "{asked} lookups in a minute");
}

#[test]
fn what_is_no_address_of_a_host_is_left_out() {
    let mut bench = named(1);
    bench.start();
    let [any, group] = [[0, 0, 0, 0], [224, 0, 1, 185]].map(|ip| RegistrarAddress::sctp(ip.into(), 9901));
    assert_eq!(targets(&bench.found(0, &[any, at(1), group])), [at(1)]);
    assert_eq!(bench.found(7, &[at(3)]), []);
}

#[test]
fn one_connection_is_enough_for_all_addresses_of_a_registrar() {
    let mut bench = named(1);
    bench.start();
    let done = bench.found(0, &[at(1), at(2)]);
    let [(first, _, _), (second, _, _)] = connects(&done)[..] else { panic!() };
    bench.registrar.handle_connect_failed(bench.now, second);
    bench.registrar.handle_connected(bench.now, first, Bench::remote(at(1).ip));
    let mut told = presence(LOW, false, 0xffff);
    told.information.as_mut().unwrap().transport.addresses = vec![at(1).ip, at(2).ip];
    for _ in 0..20 {
        bench.say(first, LOW, told.clone());
        assert_eq!(targets(&bench.pass(Duration::from_millis(500))), []);
    }
}
