use super::*;
use crate::wire::enrp::handle_table::{HandleTableRequest, HandleTableResponse, PoolEntry};

fn request(own_children_only: bool) -> HandleTableRequest {
    HandleTableRequest { own_children_only, unknown: vec![] }
}

/// The elements in the one table response among what was done, and whether there is more.
fn part(done: &[Did]) -> (Vec<u32>, bool) {
    let all = messages(done);
    let [(_, Body::HandleTableResponse(table))] = &all[..] else { panic!("{done:?}") };
    let elements = table.entries.iter().flat_map(|entry| &entry.elements);
    (elements.map(|element| element.pe.0).collect(), table.more_to_send)
}

fn table(elements: &[u32], home: RegistrarId, more_to_send: bool) -> HandleTableResponse {
    let elements = elements.iter().map(|&pe| element(pe, home)).collect();
    let entries = vec![PoolEntry { pool: pool(), elements }];
    HandleTableResponse { rejected: false, more_to_send, entries, unknown: vec![] }
}

#[test]
fn a_table_comes_in_parts_of_128_and_starts_afresh_when_nobody_waits_for_more() {
    let mut bench = Bench::ready();
    for pe in 1..=200 {
        bench.register(pe);
    }
    let connection = bench.join(LOW);
    let (first, more) = part(&bench.say(connection, LOW, request(true)));
    assert_eq!((first, more), ((1..=128).collect(), true));
    let (second, more) = part(&bench.say(connection, LOW, request(true)));
    assert_eq!((second, more), ((129..=200).collect(), false));
    assert_eq!(part(&bench.say(connection, LOW, request(true))).0[0], 1);
    // The session ends when nothing is asked for a while.
    bench.pass_with(Duration::from_millis(1_500), &[(connection, LOW)]);
    assert_eq!(part(&bench.say(connection, LOW, request(true))).0[0], 1);
}

#[test]
fn changes_during_a_download_lose_no_element_and_send_none_twice() {
    let mut bench = Bench::ready();
    let mut connections = BTreeMap::new();
    for pe in (2..=400).step_by(2) {
        connections.insert(pe, bench.register(pe));
    }
    let peer = bench.join(LOW);
    let (mut seen, mut more) = part(&bench.say(peer, LOW, request(true)));
    let place = *seen.last().unwrap();
    // One element comes before the place, one behind it; the one at the place and one behind go.
    bench.register(1);
    bench.register(399);
    bench.lose(connections[&place]);
    bench.lose(connections[&300]);
    bench.pass_with(Duration::from_millis(500), &[(peer, LOW)]);
    while more {
        let (elements, again) = part(&bench.say(peer, LOW, request(true)));
        seen.extend(elements);
        more = again;
    }
    assert!(seen.is_sorted_by(|one, other| one < other));
    assert!(seen.contains(&399));
    assert_eq!(seen.len(), 201, "all that were there, and the new one behind the place");
}

#[test]
fn our_elements_only_are_told_if_they_only_are_asked_for() {
    let mut bench = Bench::ready();
    bench.register(0xa1);
    let connection = bench.join(LOW);
    bench.say(connection, LOW, add(element(0xa2, LOW)));
    assert_eq!(part(&bench.say(connection, LOW, request(true))).0, [0xa1]);
    assert_eq!(part(&bench.say(connection, LOW, request(false))).0, [0xa1, 0xa2]);
}

#[test]
fn a_mismatch_brings_the_peers_table_and_purges_what_it_does_not_list() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    for pe in [0xa1, 0xa2] {
        bench.say(connection, LOW, add(element(pe, LOW)));
    }
    let mut other = Bench::ready();
    let there = other.join(LOW);
    for pe in [0xa2, 0xa3] {
        other.say(there, LOW, add(element(pe, LOW)));
    }
    let told = other.registrar.handlespace().checksum(LOW).0;
    let done = bench.say(connection, LOW, presence(LOW, false, told));
    assert!(
        matches!(&messages(&done)[..], [(_, Body::HandleTableRequest(request))] if request.own_children_only)
    );
    let done = bench.say(connection, LOW, table(&[0xa2, 0xa3], LOW, false));
    assert!(events(&done).contains(&Event::TableDownloaded { peer: LOW, own: true, elements: 2 }));
    assert_eq!([0xa1, 0xa2, 0xa3].map(|pe| bench.home(pe)), [None, Some(LOW), Some(LOW)]);
    assert_eq!(bench.registrar.handlespace().checksum(LOW).0, told);
}

#[test]
fn a_table_whose_beginning_is_missing_purges_nothing_until_the_second_time() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    for pe in [0xa1, 0xa2] {
        bench.say(connection, LOW, add(element(pe, LOW)));
    }
    bench.say(connection, LOW, presence(LOW, false, 0x1234));
    bench.say(connection, LOW, table(&[0xa2], LOW, false));
    assert_eq!(bench.home(0xa1), Some(LOW));
    bench.pass_with(Duration::from_secs(5), &[(connection, LOW)]);
    bench.say(connection, LOW, presence(LOW, false, 0x1234));
    bench.say(connection, LOW, table(&[0xa2], LOW, false));
    assert_eq!(bench.home(0xa1), None);
}

#[test]
fn what_the_home_tells_during_a_download_is_not_purged_at_its_end() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    bench.say(connection, LOW, add(element(0xa1, LOW)));
    bench.say(connection, LOW, presence(LOW, false, 0x1234));
    bench.say(connection, LOW, add(element(0xa1, LOW)));
    bench.say(connection, LOW, add(element(0xa2, LOW)));
    bench.say(connection, LOW, table(&[], LOW, false));
    assert_eq!([0xa1, 0xa2].map(|pe| bench.home(pe)), [Some(LOW), Some(LOW)]);
}

#[test]
fn a_checksum_that_never_matches_costs_one_table_in_five_seconds() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    let mut tables = 0;
    for _ in 0..50 {
        let done = bench.say(connection, LOW, presence(LOW, false, 0x1234));
        if messages(&done).iter().any(|(_, body)| matches!(body, Body::HandleTableRequest(_))) {
            tables += 1;
            bench.say(connection, LOW, table(&[0xa1], LOW, false));
        }
        bench.pass(Duration::from_millis(500));
    }
    assert!((4..=6).contains(&tables), "{tables} tables in 25 s");
}

#[test]
fn every_table_is_audited_now_and_then() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    let done = bench.pass_with(Duration::from_secs(400), &[(connection, LOW)]);
    assert!(messages(&done).iter().any(|(_, body)| matches!(body, Body::HandleTableRequest(_))));
}

#[test]
fn a_table_without_end_is_given_up() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    bench.say(connection, LOW, presence(LOW, false, 0x1234));
    bench.say(connection, LOW, table(&[], LOW, true));
    assert_eq!((bench.refused(Refusal::TooMany), bench.registrar.enrp_counters().tables_failed), (1, 1));
    bench.say(connection, LOW, table(&[0xa1], LOW, false));
    assert_eq!((bench.home(0xa1), bench.refused(Refusal::Unasked)), (None, 1));
}

#[test]
fn an_audit_believes_the_peer_about_its_own_elements_only() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    let high = bench.join(HIGH);
    bench.register(0xa1);
    bench.say(high, HIGH, add(element(0xa2, HIGH)));
    bench.say(low, LOW, presence(LOW, false, 0x1234));
    let mut lies = table(&[0xa2, 0xa3], HIGH, false);
    lies.entries[0].elements.push(element(0xa1, ME));
    bench.say(low, LOW, lies);
    assert_eq!([0xa1, 0xa2, 0xa3].map(|pe| bench.home(pe)), [Some(ME), Some(HIGH), None]);
    assert_eq!((bench.refused(Refusal::ThirdParty), bench.refused(Refusal::NamesUs)), (2, 1));
}

#[test]
fn what_comes_over_two_connections_may_be_in_another_order_and_is_asked_for() {
    let mut bench = Bench::ready();
    let first = bench.join(LOW);
    let (second, _) = bench.accept(ip(LOW));
    bench.say(second, LOW, presence(LOW, false, 0xffff));
    let asks =
        |done: &[Did]| messages(done).iter().any(|(_, body)| matches!(body, Body::HandleTableRequest(_)));
    bench.say(second, LOW, add(element(1, LOW)));
    let held = bench.registrar.handlespace().checksum(LOW).0;
    assert!(!asks(&bench.say(second, LOW, presence(LOW, false, held))), "one connection keeps the order");
    bench.say(first, LOW, add(element(1, LOW)));
    assert!(asks(&bench.say(second, LOW, presence(LOW, false, held))));
}
