//! A peer that says to be home of an element whose home lives.

use super::*;

/// A third registrar's view: LOW is home of an element, and HIGH says to be it.
fn claimed() -> (Bench, ConnectionId, ConnectionId) {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    bench.say(low, LOW, add(element(0xa1, LOW)));
    bench.say(high, HIGH, add(element(0xa1, HIGH)));
    assert_eq!(bench.home(0xa1), Some(HIGH), "one that lost its home is found without delay");
    (bench, low, high)
}

fn elsewhere(port: u16, home: RegistrarId) -> PoolElementParameter {
    let element = element(0xa1, home);
    let ip = element.user_transport.addresses()[0];
    PoolElementParameter { user_transport: Transport::Sctp(sctp(ip, port)), ..element }
}

fn stored(bench: &Bench) -> PoolElementParameter {
    bench.registrar.element(&key(0xa1)).unwrap()
}

#[test]
fn who_claims_an_element_and_deletes_it_leaves_it_to_its_living_home_which_is_asked() {
    let (mut bench, low, high) = claimed();
    let done = bench.say(high, HIGH, delete(element(0xa1, HIGH)));
    assert_eq!(stored(&bench), element(0xa1, LOW));
    let asked = |(to, body): &(ConnectionId, Body)| {
        *to == low && matches!(body, Body::Presence(presence) if presence.reply_required)
    };
    assert!(messages(&done).iter().any(asked), "{done:?}");
    // It does have it, or does not: then it is gone after one table.
    let done = bench.say(low, LOW, presence(LOW, false, 0xffff));
    assert!(messages(&done).iter().any(|(_, body)| matches!(body, Body::HandleTableRequest(_))), "{done:?}");
    bench.say(low, LOW, crate::wire::enrp::handle_table::HandleTableResponse::default());
    assert_eq!(bench.home(0xa1), None);
}

#[test]
fn who_claims_an_element_cannot_move_it_while_its_home_lives_and_has_not_given_it() {
    let (mut bench, low, high) = claimed();
    bench.say(high, HIGH, add(elsewhere(9, HIGH)));
    assert_eq!((stored(&bench), bench.refused(Refusal::OtherElement)), (element(0xa1, HIGH), 1));
    // Its home, whose checksum covers it no more, has given it.
    bench.say(low, LOW, presence(LOW, false, 0xffff));
    bench.say(high, HIGH, add(elsewhere(9, HIGH)));
    assert_eq!(stored(&bench), elsewhere(9, HIGH));
    bench.say(high, HIGH, delete(elsewhere(9, HIGH)));
    assert_eq!(bench.home(0xa1), None);
}

#[test]
fn another_port_is_another_element_while_the_home_lives() {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    bench.say(low, LOW, add(element(0xa1, LOW)));
    bench.say(high, HIGH, add(elsewhere(9, HIGH)));
    assert_eq!((bench.home(0xa1), bench.refused(Refusal::OtherElement)), (Some(LOW), 1));
}

#[test]
fn a_claim_the_home_has_contradicted_counts_when_the_home_does_not_list_the_element_any_more() {
    let (mut bench, low, high) = claimed();
    bench.say(low, LOW, add(element(0xa1, LOW)));
    assert_eq!(bench.home(0xa1), Some(LOW));
    bench.say(high, HIGH, add(element(0xa1, HIGH)));
    bench.say(high, HIGH, delete(element(0xa1, HIGH)));
    bench.say(high, HIGH, add(element(0xa1, HIGH)));
    assert_eq!(bench.home(0xa1), Some(LOW), "its home has said so");
    bench.say(low, LOW, presence(LOW, false, 0xffff));
    bench.say(low, LOW, crate::wire::enrp::handle_table::HandleTableResponse::default());
    assert_eq!(bench.home(0xa1), Some(HIGH), "given without a word");
}

#[test]
fn what_the_home_deletes_is_gone_whoever_claimed_it() {
    let (mut bench, low, high) = claimed();
    bench.say(low, LOW, delete(element(0xa1, LOW)));
    bench.say(high, HIGH, delete(element(0xa1, HIGH)));
    assert_eq!(bench.home(0xa1), None);
    let (mut bench, low, _) = claimed();
    bench.say(low, LOW, add(element(0xa1, LOW)));
    bench.say(low, LOW, delete(element(0xa1, LOW)));
    assert_eq!(bench.home(0xa1), None);
}

fn weighted(weight: u32, home: RegistrarId) -> PoolElementParameter {
    PoolElementParameter { policy: Policy::WeightedRoundRobin { weight }, ..element(0xa1, home) }
}

fn weight(bench: &Bench) -> u32 {
    let Policy::WeightedRoundRobin { weight } = stored(bench).policy else { panic!("another policy") };
    weight
}

/// LOW is home of an element with weight 1, and HIGH says that it is and has more.
fn claimed_with_weight() -> (Bench, ConnectionId, ConnectionId) {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    bench.say(low, LOW, add(weighted(1, LOW)));
    bench.say(high, HIGH, add(weighted(8, HIGH)));
    assert_eq!((bench.home(0xa1), weight(&bench)), (Some(HIGH), 1));
    bench.say(high, HIGH, add(weighted(9, HIGH)));
    assert_eq!(weight(&bench), 1, "nor does it when it says so again");
    (bench, low, high)
}

#[test]
fn who_claims_an_element_cannot_change_its_policy_before_its_living_home_has_given_it() {
    let (mut bench, low, _) = claimed_with_weight();
    bench.say(low, LOW, presence(LOW, false, 0xffff));
    assert_eq!((bench.home(0xa1), weight(&bench)), (Some(HIGH), 9), "its checksum covers it no more");

    let (mut bench, low, high) = claimed_with_weight();
    bench.say(low, LOW, delete(weighted(1, LOW)));
    assert_eq!(weight(&bench), 9, "it says so");
    bench.say(high, HIGH, add(weighted(2, HIGH)));
    assert_eq!(weight(&bench), 2);
}

#[test]
fn a_home_that_has_its_element_still_changes_the_policy_whoever_claims_it() {
    let (mut bench, low, high) = claimed_with_weight();
    let done = bench.say(low, LOW, add(weighted(3, LOW)));
    let told = Event::ClaimContradicted { pool: pool(), pe: PE, home: LOW, claimer: HIGH };
    assert!(done.contains(&Did::Event(told)), "{done:?}");
    bench.say(high, HIGH, add(weighted(9, HIGH)));
    assert_eq!((bench.home(0xa1), weight(&bench)), (Some(LOW), 3));
}

#[test]
fn the_policy_of_a_claim_counts_once_the_home_from_before_is_dead() {
    let (mut bench, low, high) = claimed_with_weight();
    bench.lose(low);
    for _ in 0..20 {
        bench.pass(Duration::from_millis(500));
        bench.say(high, HIGH, presence(HIGH, false, 0xffff));
        bench.say(high, HIGH, add(weighted(9, HIGH)));
    }
    assert_eq!((bench.home(0xa1), weight(&bench)), (Some(HIGH), 9));
}
