//! The next generation: to whom it is told, and long identifiers (docs/wire.md sections 15 to 17).

use super::*;
use crate::wire::asap::handle_resolution::HandleResolution;
use crate::wire::enrp::handle_table::{HandleTableRequest, HandleTableResponse, PoolEntry};
use crate::wire::enrp::list::{ListRequest, ListResponse};
use crate::wire::param::long_pe_identifier::LongPeId;
use crate::wire::param::pe_checksum32::PeChecksum32;

const ON: fn(&mut EnrpConfig) = |enrp| enrp.next_generation = true;

pub(super) fn long(upper: u32, id: RegistrarId) -> LongRegistrarId {
    LongRegistrarId::new(upper, id)
}

/// A presence that tells a long identifier, from the host of another registrar.
fn presence_at(host: RegistrarId, told: LongRegistrarId, id: RegistrarId) -> Presence {
    let mut presence = presence(id, false, 0xffff);
    let information = presence.information.as_mut().unwrap();
    information.transport.addresses = vec![ip(host)];
    information.unknown.push(told.to_parameter());
    presence
}

fn telling(upper: u32, id: RegistrarId) -> Presence {
    presence_at(id, long(upper, id), id)
}

fn presences(done: &[Did]) -> Vec<Presence> {
    let presence = |(_, body)| if let Body::Presence(presence) = body { Some(presence) } else { None };
    messages(done).into_iter().filter_map(presence).collect()
}

/// The long identifier and the checksum a presence tells.
fn told(presence: &Presence) -> (Option<LongRegistrarId>, Option<PeChecksum32>) {
    let information = presence.information.as_ref().unwrap();
    let long = LongRegistrarId::find(&information.unknown).unwrap();
    (long, PeChecksum32::find(&presence.unknown).unwrap())
}

fn conflicts(done: &[Did]) -> Vec<(LongRegistrarId, LongRegistrarId)> {
    let conflict = |event| match event {
        Event::IdConflict { holder, newcomer, .. } => Some((holder, newcomer)),
        _ => None,
    };
    events(done).into_iter().filter_map(conflict).collect()
}

fn with_long(mut element: PoolElementParameter, upper: u32) -> PoolElementParameter {
    element.unknown = vec![LongPeId::new(upper, element.pe).to_parameter()];
    element
}

impl Bench {
    /// A peer connects and tells its long identifier.
    fn join_telling(&mut self, upper: u32, id: RegistrarId) -> ConnectionId {
        let (connection, _) = self.accept(ip(id));
        self.say(connection, id, telling(upper, id));
        connection
    }

    /// One that tells it, connected to the configured peer `LOW`.
    fn connected() -> (Bench, ConnectionId) {
        let peer = RegistrarAddress::sctp(ip(LOW), 9901);
        let mut bench = Bench::with(|enrp| {
            ON(enrp);
            enrp.peers = vec![peer];
        });
        let [(connection, ..)] = connects(&bench.start())[..] else { panic!() };
        bench.registrar.handle_connected(bench.now, connection, Bench::remote(ip(LOW)));
        (bench, connection)
    }

    fn long_of(&self, id: RegistrarId) -> Option<LongRegistrarId> {
        self.registrar.peers().find(|peer| peer.id == id).unwrap().long_id
    }

    fn long_of_element(&self, pe: u32) -> Option<LongPeId> {
        self.registrar.handlespace().pool(&pool())?.element(PeId(pe))?.long_id()
    }
}

#[test]
fn who_connects_offers_it_and_whoever_does_not_answer_in_kind_hears_no_more_of_it() {
    let (mut bench, connection) = Bench::connected();
    let [offer] = &presences(&bench.drain())[..] else { panic!() };
    let ours = bench.registrar.long_id().unwrap();
    assert_eq!((ours.short(), told(offer)), (ME, (Some(ours), Some(PeChecksum32(u32::MAX)))));
    let mut done = bench.say(connection, LOW, presence(LOW, true, 0xffff));
    done.extend(bench.pass_with(Duration::from_secs(3), &[(connection, LOW)]));
    let later = presences(&done);
    assert!(later.len() > 3 && later.iter().all(|presence| told(presence) == (None, None)));
}

#[test]
fn a_mentor_that_offers_it_is_told_it_in_the_first_word() {
    let mut bench = Bench::with(ON);
    bench.start();
    let (low, _) = bench.accept(ip(LOW));
    let said = presences(&bench.say(low, LOW, telling(7, LOW)));
    assert!(said.len() > 1 && said.iter().all(|presence| told(presence).0.is_some()), "{said:?}");
}

#[test]
fn a_peer_that_tells_nothing_of_it_gets_the_same_octets_as_without_it() {
    let trace = |next_generation| {
        let mut bench = Bench::ready_with(|enrp| enrp.next_generation = next_generation);
        bench.join_telling(7, HIGH);
        let (connection, mut done) = bench.accept(ip(LOW));
        done.extend(bench.say(connection, LOW, presence(LOW, true, 0xffff)));
        bench.register(1);
        done.extend(bench.say(connection, LOW, ListRequest::default()));
        done.extend(bench.say(
            connection,
            LOW,
            HandleTableRequest { own_children_only: false, unknown: vec![] },
        ));
        done.extend(bench.pass_with(Duration::from_secs(5), &[(connection, LOW)]));
        let to_it = |did: &Did| matches!(did, Did::Enrp(to, _) if *to == connection);
        done.into_iter().filter(to_it).collect::<Vec<_>>()
    };
    let with = trace(true);
    assert!(with.len() > 8, "{with:?}");
    assert_eq!(with.len(), trace(false).len());
    for (with, without) in with.iter().zip(trace(false)) {
        let (Did::Enrp(_, with), Did::Enrp(_, without)) = (with, without) else { unreachable!() };
        if let (Body::ListResponse(with), Body::ListResponse(without)) = (&with.body, &without.body) {
            // What HIGH told is not passed on to whom it does not concern.
            assert_eq!((with.peers.len(), without.peers.len()), (1, 1));
            assert_eq!(with.peers[0], information(HIGH));
            continue;
        }
        assert_eq!(with.to_octets(), without.to_octets());
    }
}

#[test]
fn it_is_told_to_who_tells_it_until_a_presence_without_it() {
    let mut bench = Bench::ready_with(ON);
    let low = bench.join_telling(7, LOW);
    let ours = bench.registrar.long_id();
    let [answer] = &presences(&bench.say(low, LOW, Presence { reply_required: true, ..telling(7, LOW) }))[..]
    else {
        panic!()
    };
    assert_eq!(told(answer).0, ours);
    assert_eq!(bench.long_of(LOW), Some(long(7, LOW)));
    let [answer] = &presences(&bench.say(low, LOW, presence(LOW, true, 0xffff)))[..] else { panic!() };
    assert_eq!((told(answer), bench.long_of(LOW)), ((None, None), None));
}

#[test]
fn a_list_passes_on_the_long_identifiers_to_who_tells_one() {
    let mut bench = Bench::ready_with(ON);
    bench.join_telling(7, HIGH);
    let low = bench.join_telling(3, LOW);
    let done = bench.say(low, LOW, ListRequest::default());
    let [(_, Body::ListResponse(list))] = &messages(&done)[..] else { panic!("{done:?}") };
    assert_eq!(LongRegistrarId::find(&list.peers[0].unknown), Ok(Some(long(7, HIGH))));
}

#[test]
fn the_upper_half_is_drawn_unless_it_is_configured_and_nothing_else_depends_on_it() {
    let drawn = Bench::ready_with(ON).registrar.long_id().unwrap();
    assert!(drawn.short() == ME && drawn.0 >> 32 != 0);
    let configured = Bench::ready_with(|enrp| {
        ON(enrp);
        enrp.upper = Some(0x0102_0304);
    });
    assert_eq!(configured.registrar.long_id(), Some(long(0x0102_0304, ME)));
    assert_eq!(Bench::ready().registrar.long_id(), None);
}

#[test]
fn a_second_registrar_of_one_identifier_is_refused_and_the_table_stays() {
    let mut bench = Bench::ready_with(ON);
    let low = bench.join_telling(7, LOW);
    bench.say(low, LOW, add(element(0xa1, LOW)));
    let mut told = vec![];
    for _ in 0..3 {
        let (connection, _) = bench.accept(ip(HIGH));
        let done = bench.say(connection, LOW, presence_at(HIGH, long(8, LOW), LOW));
        assert!(done.contains(&Did::Disconnect(connection)));
        told.extend(events(&done).into_iter().filter(|event| matches!(event, Event::IdConflict { .. })));
    }
    let [Event::IdConflict { holder, ours: false, holder_at, newcomer, newcomer_at, from: Some(_) }] =
        &told[..]
    else {
        panic!("told once: {told:?}")
    };
    assert_eq!((*holder, *newcomer), (long(7, LOW), long(8, LOW)));
    let at = |host| [RegistrarAddress::sctp(ip(host), 9901)];
    assert_eq!((&holder_at[..], &newcomer_at[..]), (&at(LOW)[..], &at(HIGH)[..]));
    assert_eq!(bench.refused(Refusal::IdConflict), 3);
    assert_eq!((bench.long_of(LOW), bench.home(0xa1)), (Some(long(7, LOW)), Some(LOW)));
}

#[test]
fn a_registrar_of_a_dead_ones_identifier_is_refused_until_that_is_taken_over() {
    let mut bench = Bench::ready_with(ON);
    let low = bench.join_telling(7, LOW);
    bench.say(low, LOW, add(element(0xa1, LOW)));
    bench.lose(low);
    let (connection, _) = bench.accept(ip(THIRD));
    let done = bench.say(connection, LOW, presence_at(THIRD, long(8, LOW), LOW));
    assert_eq!(conflicts(&done), [(long(7, LOW), long(8, LOW))]);
    bench.pass(Duration::from_millis(1_500));
    assert_eq!(bench.home(0xa1), Some(ME), "taken over");
    let (connection, _) = bench.accept(ip(THIRD));
    let done = bench.say(connection, LOW, presence_at(THIRD, long(8, LOW), LOW));
    assert!(!done.contains(&Did::Disconnect(connection)), "{done:?}");
    assert_eq!(bench.long_of(LOW), Some(long(8, LOW)));
}

#[test]
fn a_registrar_that_starts_again_where_it_was_may_have_drawn_another_upper_half() {
    let mut bench = Bench::ready_with(ON);
    bench.join_telling(7, LOW);
    let (connection, _) = bench.accept(ip(LOW));
    let done = bench.say(connection, LOW, telling(8, LOW));
    assert_eq!((conflicts(&done), bench.long_of(LOW)), (vec![], Some(long(8, LOW))));
    // On the same host another port is another place.
    let (connection, _) = bench.accept(ip(LOW));
    let mut elsewhere = telling(9, LOW);
    elsewhere.information.as_mut().unwrap().transport.port = 9902;
    let done = bench.say(connection, LOW, elsewhere);
    assert_eq!(conflicts(&done), [(long(8, LOW), long(9, LOW))]);
}

#[test]
fn the_same_long_identifier_elsewhere_is_a_move_unless_the_known_one_answers() {
    for lives in [true, false] {
        let mut bench = Bench::ready_with(ON);
        let low = bench.join_telling(7, LOW);
        bench.say(low, LOW, add(element(0xa1, LOW)));
        bench.pass(Duration::from_millis(100));
        let moved = presence_at(HIGH, long(7, LOW), LOW);
        let (first, _) = bench.accept(ip(HIGH));
        let done = bench.say(first, LOW, moved.clone());
        assert!(done.contains(&Did::Disconnect(first)) && conflicts(&done).is_empty());
        assert!(messages(&done).iter().any(|(to, body)| {
            *to == low && matches!(body, Body::Presence(question) if question.reply_required)
        }));
        bench.pass(Duration::from_millis(100));
        if lives {
            bench.say(low, LOW, telling(7, LOW));
        }
        let (second, _) = bench.accept(ip(HIGH));
        let done = bench.say(second, LOW, moved);
        assert_eq!(conflicts(&done).len(), usize::from(lives));
        assert_eq!(done.contains(&Did::Disconnect(second)), lives);
        assert_eq!(done.contains(&Did::Disconnect(low)), !lives);
        assert_eq!((bench.home(0xa1), bench.long_of(LOW)), (Some(LOW), Some(long(7, LOW))));
    }
}

#[test]
fn only_two_that_both_told_long_identifiers_are_told_apart_by_them() {
    // The first one told none: its address alone decides, as before.
    let mut bench = Bench::ready_with(ON);
    bench.join(LOW);
    let (second, _) = bench.accept(ip(HIGH));
    let done = bench.say(second, LOW, presence_at(HIGH, long(8, LOW), LOW));
    assert_eq!((conflicts(&done), bench.refused(Refusal::IdConflict)), (vec![], 1));
    // We do not read them.
    let mut bench = Bench::ready();
    bench.join_telling(7, LOW);
    let (second, _) = bench.accept(ip(LOW));
    let done = bench.say(second, LOW, presence_at(HIGH, long(8, LOW), LOW));
    assert!(!done.contains(&Did::Disconnect(second)) && conflicts(&done).is_empty());
}

#[test]
fn another_registrar_with_our_identifier_is_told_and_looked_for_again() {
    let (mut bench, connection) = Bench::connected();
    let done = bench.say(connection, ME, presence_at(LOW, long(8, ME), ME));
    let ours = bench.registrar.long_id().unwrap();
    assert_eq!(conflicts(&done), [(ours, long(8, ME))]);
    assert!(done.contains(&Did::Disconnect(connection)));
    assert!(!connects(&bench.pass(Duration::from_secs(10))).is_empty());
}

#[test]
fn a_long_identifier_of_another_short_one_is_refused_wherever_it_stands() {
    let mut bench = Bench::ready_with(ON);
    let (low, _) = bench.accept(ip(LOW));
    bench.say(low, LOW, presence_at(LOW, long(7, HIGH), LOW));
    assert_eq!((bench.registrar.peers().count(), bench.refused(Refusal::LongIdentifier)), (0, 1));
    bench.say(low, LOW, telling(7, LOW));
    let lying = PoolElementParameter { pe: PE, ..with_long(element(0xa2, LOW), 1) };
    bench.say(low, LOW, add(lying.clone()));
    bench.say(low, LOW, HandleTableRequest { own_children_only: true, unknown: vec![] });
    assert_eq!((bench.home(PE.0), bench.refused(Refusal::LongIdentifier)), (None, 2));
    // In an answer that was asked for.
    let mut bench = Bench::with(ON);
    bench.start();
    let low = bench.join_telling(7, LOW);
    let liar = ServerInformation { unknown: vec![long(7, LOW).to_parameter()], ..information(HIGH) };
    bench.say(low, LOW, ListResponse { rejected: false, peers: vec![liar], unknown: vec![] });
    assert_eq!((bench.registrar.peers().count(), bench.refused(Refusal::LongIdentifier)), (1, 1));
    let entries =
        vec![PoolEntry { pool: pool(), elements: vec![PoolElementParameter { home: HIGH, ..lying }] }];
    bench.say(low, LOW, HandleTableResponse { entries, ..HandleTableResponse::default() });
    assert_eq!((bench.home(PE.0), bench.refused(Refusal::LongIdentifier)), (None, 2));
}

#[test]
fn a_list_that_tells_another_registrar_of_a_known_identifier_is_not_followed() {
    let mut bench = Bench::with(ON);
    bench.start();
    let high = bench.join_telling(9, HIGH);
    bench.join_telling(7, LOW);
    let impostor = |id, upper| ServerInformation {
        transport: sctp(ip(THIRD), 9901),
        unknown: vec![long(upper, id).to_parameter()],
        ..information(id)
    };
    let peers = vec![impostor(LOW, 8), impostor(ME, 8), impostor(THIRD, 3)];
    let done = bench.say(high, HIGH, ListResponse { rejected: false, peers, unknown: vec![] });
    let ours = bench.registrar.long_id().unwrap();
    assert_eq!(conflicts(&done), [(long(7, LOW), long(8, LOW)), (ours, long(8, ME))]);
    let [(_, _, address)] = connects(&done)[..] else { panic!("{done:?}") };
    assert_eq!(address, RegistrarAddress::sctp(ip(THIRD), 9901));
    assert_eq!(bench.long_of(THIRD), Some(long(3, THIRD)), "as it was told of");
}

#[test]
fn a_server_information_is_kept_in_part_if_it_is_long() {
    let mut bench = Bench::ready_with(ON);
    let (low, _) = bench.accept(ip(LOW));
    let mut presence = telling(7, LOW);
    let unknown = &mut presence.information.as_mut().unwrap().unknown;
    let parameter = |value| wire::UnknownParameter { kind: wire::ParameterType(0x8bbb), value };
    unknown.extend((0..100).map(|_| parameter(vec![0; 300])));
    bench.say(low, LOW, presence);
    let high = bench.join_telling(9, HIGH);
    let done = bench.say(high, HIGH, ListRequest::default());
    let [(_, Body::ListResponse(list))] = &messages(&done)[..] else { panic!("{done:?}") };
    let octets: usize = list.peers[0].unknown.iter().map(|parameter| parameter.value.len()).sum();
    assert!(octets <= 1_024, "{octets}");
    assert_eq!(LongRegistrarId::find(&list.peers[0].unknown), Ok(Some(long(7, LOW))));
}

#[test]
fn an_element_keeps_its_long_identifier_whoever_hands_it_on() {
    let mut bench = Bench::ready_with(ON);
    let low = bench.join_telling(7, LOW);
    let done = bench.say(low, LOW, add(with_long(element(0xa1, LOW), 5)));
    assert_eq!(messages(&done), []);
    let expected = Some(LongPeId::new(5, PE));
    assert_eq!(bench.long_of_element(0xa1), expected);
    // Asked for by a peer and by a pool user.
    let done = bench.say(low, LOW, HandleTableRequest { own_children_only: false, unknown: vec![] });
    let [(_, Body::HandleTableResponse(table))] = &messages(&done)[..] else { panic!("{done:?}") };
    assert_eq!(table.entries[0].elements[0].long_id(), expected);
    let user = ConnectionId::accepted(99);
    bench.asap.insert(user);
    bench.registrar.handle_accepted(bench.now, user, Bench::remote(IpAddr::from([10, 0, 2, 1])));
    let question = HandleResolution { send_updates: false, pool: pool(), items: None, unknown: vec![] };
    let done = bench.tell(user, &wire::Message::HandleResolution(question));
    let [Did::Asap(_, wire::Message::HandleResolutionResponse(answer))] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(answer.elements[0].long_id(), expected);
    // Taken over by us.
    bench.lose(low);
    bench.pass(Duration::from_millis(1_500));
    assert_eq!((bench.home(0xa1), bench.long_of_element(0xa1)), (Some(ME), expected));
}

#[test]
fn another_registrars_element_is_no_other_one_of_the_same_addresses() {
    let mut bench = Bench::ready_with(ON);
    let low = bench.join_telling(7, LOW);
    let high = bench.join_telling(9, HIGH);
    bench.say(low, LOW, add(with_long(element(0xa1, LOW), 5)));
    bench.say(high, HIGH, add(with_long(element(0xa1, HIGH), 6)));
    assert_eq!((bench.home(0xa1), bench.refused(Refusal::OtherElement)), (Some(LOW), 1));
    bench.say(high, HIGH, add(with_long(element(0xa1, HIGH), 5)));
    assert_eq!(bench.home(0xa1), Some(HIGH), "the same element went over");
}
