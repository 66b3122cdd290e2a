use super::*;

#[test]
fn who_is_neither_configured_nor_in_a_network_is_sent_away() {
    let mut bench = Bench::ready();
    let (connection, done) = bench.accept(IpAddr::from([192, 0, 2, 1]));
    assert!(done.contains(&Did::Disconnect(connection)));
    assert_eq!(bench.refused(Refusal::Stranger), 1);
}

#[test]
fn a_connection_speaks_for_one_registrar() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    bench.say(connection, HIGH, add(element(0xa1, HIGH)));
    assert_eq!((bench.home(0xa1), bench.refused(Refusal::WrongSender)), (None, 1));
}

#[test]
fn an_identifier_that_is_connected_from_another_host_is_refused() {
    let mut bench = Bench::ready();
    bench.join(LOW);
    let (second, _) = bench.accept(IpAddr::from([10, 0, 0, 77]));
    let done = bench.say(second, LOW, presence(LOW, false, 0xffff));
    assert!(done.contains(&Did::Disconnect(second)));
    assert_eq!(bench.refused(Refusal::IdConflict), 1);
    // From its own host a second connection is as good as the first.
    let (third, _) = bench.accept(ip(LOW));
    assert!(!bench.say(third, LOW, presence(LOW, false, 0xffff)).contains(&Did::Disconnect(third)));
}

#[test]
fn our_own_identifier_is_refused_and_our_own_address_not_tried_again() {
    let own = RegistrarAddress::sctp(ip(ME), 9901);
    let mut bench = Bench::with(|config| config.peers = vec![own]);
    let [(connection, _, address)] = connects(&bench.start())[..] else { panic!() };
    assert_eq!(address, own);
    bench.registrar.handle_connected(bench.now, connection, Bench::remote(ip(ME)));
    bench.drain();
    assert!(bench.say(connection, ME, presence(ME, false, 0xffff)).contains(&Did::Disconnect(connection)));
    assert_eq!(connects(&bench.pass(Duration::from_secs(60))), []);
    assert_eq!(bench.refused(Refusal::IdConflict), 1);
}

#[test]
fn our_own_address_is_not_tried_again_either_when_the_accepting_end_hears_us_first() {
    let mut bench = Bench::with(|config| {
        config.transport.addresses = vec![ip(ME)];
        config.peers = vec![RegistrarAddress::sctp(ip(ME), 9901)];
    });
    let [(connection, _, _)] = connects(&bench.start())[..] else { panic!() };
    bench.registrar.handle_connected(bench.now, connection, Bench::remote(ip(ME)));
    let (accepted, _) = bench.accept(ip(ME));
    assert!(bench.say(accepted, ME, presence(ME, false, 0xffff)).contains(&Did::Disconnect(accepted)));
    assert_eq!(connects(&bench.lose(connection)), []);
    assert_eq!(connects(&bench.pass(Duration::from_secs(60))), []);
}

#[test]
fn who_has_not_introduced_himself_is_asked_and_changes_nothing() {
    let mut bench = Bench::ready();
    let (connection, _) = bench.accept(ip(LOW));
    let done = bench.say(connection, LOW, add(element(0xa1, LOW)));
    assert_eq!((bench.home(0xa1), bench.refused(Refusal::NotIntroduced)), (None, 1));
    assert!(matches!(&messages(&done)[..], [(_, Body::Presence(presence))] if presence.reply_required));
}

#[test]
fn a_message_for_somebody_else_is_refused() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    let message = Message { sender: LOW, receiver: HIGH, body: add(element(0xa1, LOW)).into() };
    bench.registrar.handle_message(bench.now, connection, &message.to_octets().unwrap());
    assert_eq!((bench.home(0xa1), bench.refused(Refusal::WrongReceiver)), (None, 1));
}

#[test]
fn who_says_nothing_is_disconnected() {
    let mut bench = Bench::ready();
    let (connection, _) = bench.accept(ip(LOW));
    assert!(bench.pass(Duration::from_secs(2)).contains(&Did::Disconnect(connection)));
}

#[test]
fn a_configured_peer_is_looked_for_again_and_again_less_and_less_often() {
    let peer = RegistrarAddress::sctp(ip(LOW), 9901);
    let mut bench = Bench::with(|config| config.peers = vec![peer]);
    let mut attempts = vec![];
    let mut done = bench.start();
    for _ in 0..600 {
        for (connection, protocol, address) in connects(&done) {
            assert_eq!((protocol, address), (ControlProtocol::Enrp, peer));
            attempts.push(bench.now);
            bench.registrar.handle_connect_failed(bench.now, connection);
        }
        done = bench.drain();
        done.extend(bench.pass(Duration::from_millis(100)));
    }
    assert!((12..30).contains(&attempts.len()), "{} attempts in a minute", attempts.len());
}

#[test]
fn a_peer_that_sends_too_much_is_not_heard_out() {
    let mut bench = Bench::ready_with(|config| config.messages_per_second = 10);
    let connection = bench.join(LOW);
    for pe in 1..=100 {
        bench.say(connection, LOW, add(element(pe, LOW)));
    }
    assert!((40..60).contains(&bench.registrar.handlespace().elements()));
    assert!(bench.refused(Refusal::RateLimited) > 40);
}

#[test]
fn an_unknown_parameter_that_asks_for_it_is_reported() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    let mut octets =
        Message { sender: LOW, receiver: ME, body: presence(LOW, true, 0xffff).into() }.to_octets().unwrap();
    octets.extend([0x4b, 0xbb, 0, 4]);
    let length = u16::try_from(octets.len()).unwrap();
    octets[2..4].copy_from_slice(&length.to_be_bytes());
    bench.registrar.handle_message(bench.now, connection, &octets);
    let done = bench.drain();
    let [(_, Body::EnrpError(error))] = &messages(&done)[..] else { panic!("{done:?}") };
    assert_eq!(error.causes, [wire::ErrorCause::unrecognized_parameter(&[0x4b, 0xbb, 0, 4])]);
    assert!(events(&done).iter().any(|event| matches!(event, Event::Malformed { .. })));
}
