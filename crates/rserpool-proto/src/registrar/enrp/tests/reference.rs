//! What differs towards the reference implementation.

use super::*;
use crate::wire::enrp::error::EnrpError;
use crate::wire::enrp::handle_table::HandleTableRequest;
use crate::wire::{CauseCode, ErrorCause};

/// A peer that fills the receiver of its updates in, as the reference implementation does.
fn join_reference(bench: &mut Bench, life: u32) -> ConnectionId {
    let connection = bench.join(LOW);
    let element = PoolElementParameter { life: RegistrationLife(life), ..element(0xb1, LOW) };
    let message = Message { sender: LOW, receiver: ME, body: add(element).into() };
    bench.registrar.handle_message(bench.now, connection, &message.to_octets().unwrap());
    bench.drain();
    assert!(bench.registrar.peers().all(|peer| peer.is_reference));
    connection
}

fn table(done: &[Did]) -> Vec<(PoolHandle, PoolElementParameter)> {
    let all = messages(done);
    let [(_, Body::HandleTableResponse(table))] = &all[..] else { panic!("{done:?}") };
    let entries = table.entries.iter();
    entries.flat_map(|e| e.elements.iter().map(|element| (e.pool.clone(), element.clone()))).collect()
}

#[test]
fn its_lives_are_milliseconds_both_ways() {
    let mut bench = Bench::ready();
    let connection = join_reference(&mut bench, 90_000);
    assert_eq!(bench.registrar.element(&key(0xb1)).unwrap().life, RegistrationLife(90));
    bench.register(0xa1);
    let done = bench.say(connection, LOW, HandleTableRequest { own_children_only: true, unknown: vec![] });
    assert_eq!(table(&done)[0].1.life, RegistrationLife(30_000));
}

#[test]
fn a_life_of_days_or_a_private_cause_give_it_away() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    bench.say(low, LOW, add(PoolElementParameter { life: RegistrationLife(90_000), ..element(0xb1, LOW) }));
    assert!(bench.registrar.peers().all(|peer| peer.is_reference));
    assert_eq!(bench.registrar.element(&key(0xb1)).unwrap().life, RegistrationLife(90));

    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    bench.say(low, LOW, EnrpError { causes: vec![ErrorCause::plain(CauseCode(0x10))], unknown: vec![] });
    assert!(bench.registrar.peers().all(|peer| peer.is_reference));
}

#[test]
fn it_is_told_no_handle_above_32_octets_and_no_element_without_asap_transport() {
    let mut bench = Bench::ready();
    let connection = join_reference(&mut bench, 90_000);
    let high = bench.join(HIGH);
    let long = PoolHandle::new([b'x'; 33]).unwrap();
    let lonely = PoolElementParameter { asap_transport: None, ..element(0xb2, HIGH) };
    bench.say(high, HIGH, HandleUpdate { pool: long, ..add(element(0xb3, HIGH)) });
    bench.say(high, HIGH, add(lonely));
    let done = bench.say(connection, LOW, HandleTableRequest { own_children_only: false, unknown: vec![] });
    let told = table(&done);
    assert!(told.iter().all(|(handle, _)| *handle == pool()));
    assert!(told.iter().all(|(_, element)| element.asap_transport.is_some()));
    assert_eq!(told.len(), 2);
}

#[test]
fn its_tables_have_at_most_1400_octets() {
    let mut bench = Bench::ready();
    for pe in 1..=60 {
        bench.register(pe);
    }
    let connection = join_reference(&mut bench, 90_000);
    let mut told = vec![];
    loop {
        let done =
            bench.say(connection, LOW, HandleTableRequest { own_children_only: true, unknown: vec![] });
        let [Did::Enrp(_, message)] = &done[..] else { panic!("{done:?}") };
        assert!(message.to_octets().unwrap().len() <= 1_400);
        told.extend(table(&done).into_iter().map(|(_, element)| element.pe.0));
        let Body::HandleTableResponse(part) = &message.body else { panic!() };
        if !part.more_to_send {
            break;
        }
    }
    assert_eq!(told, (1..=60).collect::<Vec<_>>());
}

/// The captured messages from one registrar to another, of one run.
fn captured(sender_and_receiver: &str) -> Vec<Vec<u8>> {
    let all = include_str!("../../../../tests/data/03-peering-mentor-list-table-updates.enrp.txt");
    let hex = all.lines().filter_map(|line| line.rsplit(' ').next());
    let chosen = hex.filter(|hex| hex[8..].starts_with(sender_and_receiver));
    let octets = |hex: &str| {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    chosen.map(octets).collect()
}

#[test]
fn what_it_said_in_a_capture_leads_to_the_checksums_it_told() {
    let (r1, r2) = (RegistrarId(0x0a0b_0c01), RegistrarId(0x0a0b_0c02));
    let enrp = EnrpConfig { networks: vec!["10.77.0.0/24".parse().unwrap()], ..EnrpConfig::default() };
    let config = RegistrarConfig { id: Some(r2), enrp: Some(enrp), ..RegistrarConfig::default() };
    let registrar = Registrar::new(config, 1);
    let mut bench = Bench { registrar, now: Instant::now(), accepted: 0, asap: BTreeSet::new() };
    bench.start();
    bench.pass(Duration::from_secs(3));
    let (connection, _) = bench.accept(IpAddr::from([10, 77, 0, 11]));
    let mut asked_for_its_table = false;
    for octets in captured("0a0b0c010a0b0c02") {
        bench.registrar.handle_message(bench.now, connection, &octets);
        let done = bench.drain();
        asked_for_its_table |=
            messages(&done).iter().any(|(_, body)| matches!(body, Body::HandleTableRequest(_)));
        let held = bench.registrar.handlespace().checksum(r1).0;
        match Message::decode(&octets).unwrap().body {
            Body::HandleTableResponse(_) => assert_eq!(held, 0xe5c7),
            Body::HandleUpdate(update) if update.action == UpdateAction::DEL_PE => assert_eq!(held, 0x5417),
            _ => {}
        }
    }
    assert!(asked_for_its_table);
    assert_eq!(bench.registrar.handlespace().elements(), 2);
    let lives: BTreeSet<_> =
        bench.registrar.handlespace().after(None).map(|(_, element)| element.life.0).collect();
    assert_eq!(lives, BTreeSet::from([90]), "seconds here");
    assert!(bench.registrar.peers().all(|peer| peer.is_reference));
}
