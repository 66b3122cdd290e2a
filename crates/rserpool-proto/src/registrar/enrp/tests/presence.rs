use super::*;

#[test]
fn presences_by_multicast_and_error_causes_are_counted() {
    let mut bench = Bench::ready_with(|config| config.multicast = true);
    let sent = |bench: &Bench| {
        bench.registrar.enrp_counters().sent.get(&MessageType::PRESENCE).copied().unwrap_or(0)
    };
    let before = sent(&bench);
    let announced = bench.pass(Duration::from_secs(3));
    let announced = announced.iter().filter(|did| matches!(did, Did::Announce(_))).count();
    assert!(announced > 0);
    assert_eq!(sent(&bench) - before, u64::try_from(announced).unwrap());

    let low = bench.join(LOW);
    bench.registrar.handle_message(bench.now, low, &[0x7f, 0, 0, 4]);
    let error = bench.drain().into_iter().find_map(|did| match did {
        Did::Enrp(_, Message { body: Body::EnrpError(error), .. }) => Some(error),
        _ => None,
    });
    let error = error.expect("an unknown type is answered with an error");
    let counters = bench.registrar.enrp_counters();
    assert_eq!(counters.causes.values().sum::<u64>(), u64::try_from(error.causes.len()).unwrap());
    let label = error.causes[0].code.label();
    bench.say(low, LOW, error);
    assert_eq!(bench.registrar.enrp_counters().causes_received.get(label), Some(&1));
}

#[test]
fn a_newcomer_is_told_who_we_are_and_asked_who_it_is() {
    let mut bench = Bench::ready();
    let (connection, _) = bench.accept(ip(LOW));
    let done = bench.say(connection, LOW, presence(LOW, true, 0xffff));
    let [(to, Body::Presence(answer))] = &messages(&done)[..] else { panic!("{done:?}") };
    assert_eq!((*to, answer.checksum), (connection, Some(PeChecksum(0xffff))));
    assert_eq!(answer.information.as_ref().unwrap().registrar, ME);
    assert!(answer.reply_required);
    assert!(events(&done).contains(&Event::PeerJoined { peer: LOW }));
}

#[test]
fn presences_tell_the_checksum_over_our_elements_only() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    bench.register(0xa1);
    bench.say(connection, LOW, add(element(0xa2, LOW)));
    let done = bench.say(connection, LOW, presence(LOW, true, bench.registrar.handlespace().checksum(LOW).0));
    let [(_, Body::Presence(answer))] = &messages(&done)[..] else { panic!("{done:?}") };
    assert_eq!(answer.checksum, Some(bench.registrar.handlespace().checksum(ME)));
    assert_ne!(answer.checksum, Some(PeChecksum(0xffff)));
}

#[test]
fn every_message_of_a_peer_counts_as_heard() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    for _ in 0..5 {
        let done = bench.pass(Duration::from_millis(1_500));
        assert!(!events(&done).contains(&Event::PeerSuspect { peer: LOW }));
        bench.say(connection, LOW, add(element(0xa1, LOW)));
    }
}

#[test]
fn a_silent_peer_is_asked_and_is_dead_when_it_does_not_answer() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    let done = bench.pass(Duration::from_millis(2_100));
    assert!(events(&done).contains(&Event::PeerSuspect { peer: LOW }));
    let asked = |(to, body): &(ConnectionId, Body)| {
        *to == connection && matches!(body, Body::Presence(presence) if presence.reply_required)
    };
    assert!(messages(&done).iter().any(asked));
    let done = bench.pass(Duration::from_secs(1));
    assert!(events(&done).contains(&Event::PeerLost { peer: LOW, elements: 0 }));
    assert_eq!(bench.registrar.peers().count(), 0, "it owns nothing: nobody takes it over");
}

#[test]
fn a_lost_connection_alone_is_no_proof_of_death() {
    let mut bench = Bench::ready();
    let first = bench.join(LOW);
    bench.say(first, LOW, add(element(0xa1, LOW)));
    let done = bench.lose(first);
    assert!(events(&done).contains(&Event::PeerSuspect { peer: LOW }));
    assert_eq!(connects(&done).len(), 1, "it is looked for at once");
    bench.pass(Duration::from_millis(500));
    let second = bench.join(LOW);
    bench.say(second, LOW, add(element(0xa1, LOW)));
    let done = bench.pass(Duration::from_millis(900));
    assert!(!events(&done).iter().any(|event| matches!(event, Event::PeerLost { .. })));
    assert_eq!(bench.home(0xa1), Some(LOW));
}

#[test]
fn a_registrar_that_was_stopped_declares_nobody_dead() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    bench.say(connection, LOW, add(element(0xa1, LOW)));
    bench.now += Duration::from_secs(60);
    bench.registrar.handle_timeout(bench.now);
    let done = bench.drain();
    assert!(!events(&done).iter().any(|event| matches!(event, Event::PeerSuspect { .. })));
    bench.say(connection, LOW, presence(LOW, false, bench.registrar.handlespace().checksum(LOW).0));
    bench.pass(Duration::from_millis(1_500));
    assert_eq!((bench.home(0xa1), bench.registrar.is_active(LOW)), (Some(LOW), true));
}

#[test]
fn a_multicast_presence_makes_us_connect_and_nothing_else() {
    let mut bench = Bench::ready_with(|config| config.multicast = true);
    let announce = |id: RegistrarId| Message {
        sender: id,
        receiver: RegistrarId::UNDETERMINED,
        body: presence(id, false, 1).into(),
    };
    let octets = announce(LOW).to_octets().unwrap();
    bench.registrar.handle_datagram(bench.now, SocketAddr::new(ip(LOW), 9901), &octets);
    let done = bench.drain();
    let [(_, ControlProtocol::Enrp, address)] = connects(&done)[..] else { panic!("{done:?}") };
    assert_eq!((address.ip, address.port), (ip(LOW), 9901));
    assert_eq!(bench.registrar.peers().count(), 0);
    bench.registrar.handle_datagram(bench.now, "192.0.2.1:9901".parse().unwrap(), &octets);
    assert_eq!((connects(&bench.drain()).len(), bench.refused(Refusal::Stranger)), (0, 1));
    let done = bench.pass(Duration::from_secs(1));
    assert!(done.iter().any(|did| matches!(did, Did::Announce(message) if message.sender == ME)));
}
