//! An element that has lost its home deregisters with another registrar (RFC 5352 section 3.2).

use super::*;
use crate::wire::asap::deregistration::Deregistration;
use crate::wire::{CauseCode, ErrorCause};

/// Somebody at this address deregisters 0xa1; returns the causes it is told, and all that was done.
fn deregister(bench: &mut Bench, from: [u8; 4]) -> (Vec<ErrorCause>, Vec<Did>) {
    bench.accepted += 1;
    let connection = ConnectionId::accepted(bench.accepted);
    bench.asap.insert(connection);
    bench.registrar.handle_accepted(bench.now, connection, Bench::remote(from.into()));
    let message = Deregistration { pool: pool(), pe: PE, unknown: vec![] };
    let done = bench.tell(connection, &wire::Message::Deregistration(message));
    let response = done.iter().find_map(|did| match did {
        Did::Asap(to, wire::Message::DeregistrationResponse(response)) if *to == connection => Some(response),
        _ => None,
    });
    (response.expect("an answer").causes.clone(), done)
}

#[test]
fn what_deregisters_with_another_registrar_than_its_home_is_gone_there_and_everywhere() {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    bench.say(low, LOW, add(element(0xa1, LOW)));
    let (causes, done) = deregister(&mut bench, [10, 0, 1, 0xa1]);
    assert_eq!((causes, bench.home(0xa1)), (vec![], None));
    for peer in [low, high] {
        let updates: Vec<_> = messages(&done)
            .into_iter()
            .filter_map(|(to, body)| match body {
                Body::HandleUpdate(update) if to == peer => Some((update.action, update.element.home)),
                _ => None,
            })
            .collect();
        // Nobody believes a deletion of anybody but the home.
        assert_eq!(updates, [(UpdateAction::ADD_PE, ME), (UpdateAction::DEL_PE, ME)]);
    }
}

#[test]
fn a_registrar_is_believed_that_an_element_of_a_silent_home_has_deregistered_with_it() {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    bench.say(low, LOW, add(element(0xa1, LOW)));
    bench.lose(low);
    bench.pass_with(Duration::from_secs(3), &[(high, HIGH)]);
    bench.say(high, HIGH, add(element(0xa1, HIGH)));
    bench.say(high, HIGH, delete(element(0xa1, HIGH)));
    assert_eq!(bench.home(0xa1), None);
}

#[test]
fn nobody_elsewhere_deregisters_an_element_of_another_registrar() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    bench.say(low, LOW, add(element(0xa1, LOW)));
    let (causes, done) = deregister(&mut bench, [10, 0, 1, 0xa2]);
    assert_eq!(causes, [ErrorCause::plain(CauseCode::SECURITY)]);
    assert_eq!((bench.home(0xa1), messages(&done)), (Some(LOW), vec![]));
}

#[test]
fn a_silent_element_is_not_given_to_whom_it_has_deregistered_with() {
    let mut bench = Bench::ready();
    let (high, _) = (bench.join(HIGH), bench.register(0xa1));
    bench.say(high, HIGH, add(element(0xa1, HIGH)));
    bench.say(high, HIGH, delete(element(0xa1, HIGH)));
    bench.pass_with(Duration::from_secs(4), &[(high, HIGH)]);
    assert_eq!(bench.home(0xa1), None);
    assert_eq!(bench.registrar.enrp_counters().elements_given, 0);
}
