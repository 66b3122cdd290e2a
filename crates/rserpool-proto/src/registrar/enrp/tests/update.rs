use super::super::super::Removal;
use super::*;
use crate::wire::asap::handle_resolution::{HandleResolution, HandleResolutionResponse};
use crate::wire::asap::unreachable::EndpointUnreachable;

/// The updates sent, as action, element and home.
fn updates(done: &[Did]) -> Vec<(ConnectionId, UpdateAction, u32, RegistrarId)> {
    let update = |(to, body): (ConnectionId, Body)| match body {
        Body::HandleUpdate(update) => Some((to, update.action, update.element.pe.0, update.element.home)),
        _ => None,
    };
    messages(done).into_iter().filter_map(update).collect()
}

fn resolve(bench: &mut Bench, from: ConnectionId) -> Vec<u32> {
    let message = HandleResolution { send_updates: true, pool: pool(), items: None, unknown: vec![] };
    let done = bench.tell(from, &wire::Message::HandleResolution(message));
    responses(&done).pop().unwrap()
}

fn responses(done: &[Did]) -> Vec<Vec<u32>> {
    let response = |did: &Did| match did {
        Did::Asap(_, wire::Message::HandleResolutionResponse(HandleResolutionResponse { elements, .. })) => {
            Some(elements.iter().map(|element| element.pe.0).collect())
        }
        _ => None,
    };
    done.iter().filter_map(response).collect()
}

fn user(bench: &mut Bench) -> ConnectionId {
    bench.accepted += 1;
    let connection = ConnectionId::accepted(bench.accepted);
    bench.asap.insert(connection);
    bench.registrar.handle_accepted(bench.now, connection, Bench::remote(IpAddr::from([10, 0, 2, 1])));
    connection
}

#[test]
fn registration_re_registration_and_deregistration_are_told_to_all_peers() {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    let element = element(0xa1, RegistrarId::UNDETERMINED);
    bench.accepted += 1;
    let pe = ConnectionId::accepted(bench.accepted);
    bench.asap.insert(pe);
    bench.registrar.handle_accepted(bench.now, pe, Bench::remote(element.user_transport.addresses()[0]));
    let registration = wire::Message::Registration(Registration { pool: pool(), element, unknown: vec![] });
    let add = [low, high].map(|to| (to, UpdateAction::ADD_PE, 0xa1, ME));
    assert_eq!(updates(&bench.tell(pe, &registration)), add);
    assert_eq!(updates(&bench.tell(pe, &registration)), add, "lives on");
    let deregistration = wire::asap::deregistration::Deregistration { pool: pool(), pe: PE, unknown: vec![] };
    let done = bench.tell(pe, &wire::Message::Deregistration(deregistration));
    assert_eq!(updates(&done), [low, high].map(|to| (to, UpdateAction::DEL_PE, 0xa1, ME)));
}

#[test]
fn elements_of_others_are_resolved_and_subscribers_told_of_their_changes() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    bench.register(0xa1);
    bench.say(low, LOW, add(element(0xa2, LOW)));
    let user = user(&mut bench);
    let mut found = resolve(&mut bench, user);
    found.sort_unstable();
    assert_eq!(found, [0xa1, 0xa2]);
    bench.say(low, LOW, delete(element(0xa2, LOW)));
    assert_eq!(responses(&bench.pass(Duration::from_millis(50))), [[0xa1]]);
    bench.say(low, LOW, add(element(0xa3, LOW)));
    assert_eq!(responses(&bench.pass(Duration::from_millis(50)))[0].len(), 2);
}

#[test]
fn only_the_home_removes_an_element() {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    bench.register(0xa1);
    bench.say(low, LOW, add(element(0xa2, LOW)));
    bench.say(high, HIGH, delete(element(0xa2, HIGH)));
    bench.say(high, HIGH, delete(element(0xa1, HIGH)));
    assert_eq!((bench.home(0xa1), bench.home(0xa2)), (Some(ME), Some(LOW)));
    assert_eq!(bench.refused(Refusal::NotHome), 2);
    let done = bench.say(low, LOW, delete(element(0xa2, LOW)));
    assert_eq!(bench.home(0xa2), None);
    let why = |event: &Event| matches!(event, Event::ElementRemoved { reason: Removal::HomeSaid, .. });
    assert!(events(&done).iter().any(why));
    bench.say(low, LOW, delete(element(0xa2, LOW)));
    assert_eq!(bench.refused(Refusal::NotHome), 2, "an unknown element is no crime");
}

#[test]
fn an_update_that_names_us_a_third_registrar_or_no_action_changes_nothing() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    bench.say(low, LOW, add(element(0xa1, ME)));
    bench.say(low, LOW, add(element(0xa1, HIGH)));
    bench.say(low, LOW, update(UpdateAction(7), element(0xa1, LOW)));
    assert_eq!(bench.home(0xa1), None);
    let refusals = [Refusal::NamesUs, Refusal::ThirdParty, Refusal::UnknownAction];
    assert_eq!(refusals.map(|refusal| bench.refused(refusal)), [1, 1, 1]);
}

#[test]
fn the_same_element_may_go_over_to_another_home_and_another_element_of_its_identifier_may_not() {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    bench.say(low, LOW, add(element(0xa1, LOW)));
    let mut elsewhere = element(0xa2, HIGH);
    elsewhere.pe = PE;
    bench.say(high, HIGH, add(elsewhere));
    assert_eq!((bench.home(0xa1), bench.refused(Refusal::OtherElement)), (Some(LOW), 1));
    let done = bench.say(high, HIGH, add(element(0xa1, HIGH)));
    assert_eq!(bench.home(0xa1), Some(HIGH));
    assert!(events(&done).contains(&Event::HomeChanged { pool: pool(), pe: PE, from: LOW, to: HIGH }));
    // The late word of the old home does not count.
    bench.say(low, LOW, delete(element(0xa1, LOW)));
    assert_eq!(bench.home(0xa1), Some(HIGH));
}

#[test]
fn an_element_that_answers_us_stays_ours_and_one_that_does_not_goes() {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    let pe = bench.register(0xa1);
    let done = bench.say(high, HIGH, add(element(0xa1, HIGH)));
    assert!(matches!(&done[..], [Did::Asap(to, wire::Message::EndpointKeepAlive(_))] if *to == pe));
    assert_eq!(bench.home(0xa1), Some(ME));
    let done = bench.ack(pe, 0xa1);
    assert_eq!(updates(&done), [low, high].map(|to| (to, UpdateAction::ADD_PE, 0xa1, ME)), "said again");

    bench.pass_with(Duration::from_secs(2), &[(low, LOW), (high, HIGH)]);
    bench.say(high, HIGH, add(element(0xa1, HIGH)));
    let done = bench.lose(pe);
    assert_eq!((bench.home(0xa1), updates(&done)), (Some(HIGH), vec![]), "given without a word");
}

#[test]
fn an_element_whose_association_is_lost_is_given_at_once() {
    let mut bench = Bench::ready();
    let high = bench.join(HIGH);
    let pe = bench.register(0xa1);
    bench.lose(pe);
    let done = bench.say(high, HIGH, add(element(0xa1, HIGH)));
    assert_eq!(bench.home(0xa1), Some(HIGH));
    assert!(events(&done).contains(&Event::HomeChanged { pool: pool(), pe: PE, from: ME, to: HIGH }));
    bench.pass_with(Duration::from_secs(5), &[(high, HIGH)]);
    assert_eq!(bench.home(0xa1), Some(HIGH), "the grace does not end here any more");
}

#[test]
fn two_homes_that_an_element_answers_do_not_contest_it_for_ever() {
    let mut bench = Bench::ready();
    let high = bench.join(HIGH);
    let pe = bench.register(0xa1);
    let mut rounds = 0;
    while bench.home(0xa1) == Some(ME) {
        bench.say(high, HIGH, add(element(0xa1, HIGH)));
        bench.ack(pe, 0xa1);
        for _ in 0..3 {
            bench.pass_with(Duration::from_secs(1), &[(high, HIGH)]);
            bench.ack(pe, 0xa1);
        }
        rounds += 1;
        assert!(rounds < 10);
    }
    assert_eq!(bench.home(0xa1), Some(HIGH), "the greater identifier has it");
}

#[test]
fn an_element_that_lost_its_home_and_registers_here_is_ours_and_all_are_told() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    bench.say(low, LOW, add(element(0xa1, LOW)));
    bench.register(0xa1);
    assert_eq!(bench.registrar.element(&key(0xa1)).unwrap().home, ME);
}

#[test]
fn elements_of_others_expire_by_their_life_unless_their_home_has_them_still() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    bench.say(low, LOW, add(element(0xa1, LOW)));
    bench.pass_with(Duration::from_secs(100), &[(low, LOW)]);
    assert_eq!(bench.home(0xa1), Some(LOW), "the home tells its checksum, with the element in it");
    bench.say(low, LOW, delete(element(0xa1, LOW)));
    assert_eq!(bench.home(0xa1), None);
}

#[test]
fn a_report_about_another_registrars_element_only_puts_it_behind_the_others_for_a_while() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    for pe in [0xa1, 0xa2] {
        bench.say(low, LOW, add(element(pe, LOW)));
    }
    let user = user(&mut bench);
    let report = EndpointUnreachable { pool: pool(), pe: PE, unknown: vec![] };
    let done = bench.tell(user, &wire::Message::EndpointUnreachable(report));
    assert_eq!(connects(&done), [], "asking it is its home's business");
    assert_eq!(resolve(&mut bench, user), [0xa2]);
    bench.pass_with(Duration::from_secs(4), &[(low, LOW)]);
    assert_eq!(resolve(&mut bench, user).len(), 2);
}

#[test]
fn a_suspect_element_that_is_given_away_is_as_good_as_the_others_again() {
    let mut bench = Bench::ready();
    let high = bench.join(HIGH);
    let pe = bench.register(0xa1);
    bench.register(0xa2);
    let user = user(&mut bench);
    bench.lose(pe);
    assert_eq!(resolve(&mut bench, user), [0xa2]);
    bench.say(high, HIGH, add(element(0xa1, HIGH)));
    assert_eq!(resolve(&mut bench, user).len(), 2);
}
