//! The same element over another association: who it is, and when the old one counts no more (RFC 5352 section 3.1).

use super::*;

#[test]
fn the_same_identifier_from_elsewhere_is_not_unique() {
    let mut bench = Bench::default();
    let third = ConnectionId::accepted(3);
    bench.accept(third, THERE);
    bench.register(FIRST, element(&[HERE]));
    let response = bench.register(third, element(&[THERE]));
    assert_eq!(codes(&response), [CauseCode::NON_UNIQUE_PE_ID]);
    // Nor while the element's association is lost, within the grace.
    bench.registrar.handle_lost(bench.now, FIRST);
    assert!(bench.register(third, element(&[THERE])).rejected);
}

#[test]
fn a_new_association_of_the_same_addresses_waits_until_the_old_one_has_answered() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    let sent = bench.try_register(SECOND, element(&[HERE]));
    assert!(matches!(sent[..], [(FIRST, Message::EndpointKeepAlive(_))]), "{sent:?}");
    let sent = bench.ack(FIRST);
    let [(SECOND, Message::RegistrationResponse(response))] = &sent[..] else { panic!("{sent:?}") };
    assert!(response.rejected);
    assert_eq!(codes(response), [CauseCode::NON_UNIQUE_PE_ID]);
}

#[test]
fn a_new_association_takes_over_when_the_old_one_does_not_answer() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    bench.try_register(SECOND, element(&[HERE]));
    let sent = bench.pass(Duration::from_millis(1_900));
    let granted = |(to, message): &(ConnectionId, Message)| {
        *to == SECOND && matches!(message, Message::RegistrationResponse(response) if !response.rejected)
    };
    assert!(sent.iter().any(granted), "{sent:?}");
    // The old association's end has no meaning any more.
    bench.registrar.handle_lost(bench.now, FIRST);
    assert_eq!(bench.registrar.pools().next().unwrap().up, 1);
}

#[test]
fn a_new_association_takes_over_at_once_when_the_old_one_is_lost() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    bench.try_register(SECOND, element(&[HERE]));
    bench.registrar.handle_lost(bench.now, FIRST);
    let sent = bench.drain();
    let [(SECOND, Message::RegistrationResponse(response))] = &sent[..] else { panic!("{sent:?}") };
    assert!(!response.rejected);
}

#[test]
fn a_registration_over_another_association_is_told_with_its_reason() {
    let mut bench = Bench::default();
    let message =
        Message::Registration(Registration { pool: pool(), element: element(&[HERE]), unknown: vec![] });
    let octets = message.to_octets().unwrap();
    for from in [FIRST, FIRST] {
        bench.registrar.handle_message(bench.now, from, &octets);
        assert_eq!(bench.reassociated(), []);
    }
    bench.registrar.handle_lost(bench.now, FIRST);
    bench.registrar.handle_message(bench.now, SECOND, &octets);
    assert_eq!(bench.reassociated(), [(SECOND, Reassociation::Lost)]);
    let third = ConnectionId::accepted(3);
    bench.accept(third, HERE);
    bench.registrar.handle_message(bench.now, third, &octets);
    while bench.registrar.handlespace().elements() == 1 && bench.reassociated().is_empty() {
        bench.now = bench.registrar.poll_timeout().unwrap();
        bench.registrar.handle_timeout(bench.now);
        let told = bench.reassociated();
        if !told.is_empty() {
            assert_eq!(told, [(third, Reassociation::Silent)]);
            return;
        }
    }
    panic!("the claim does not win");
}
