//! Elements of other registrars that find no room here.

use super::*;
use crate::wire::enrp::handle_table::{HandleTableResponse, PoolEntry};
use crate::wire::{ParameterType, UnknownParameter};

/// An element of a peer that takes somewhat more than 1,000 octets.
fn large(pe: u32, home: RegistrarId) -> PoolElementParameter {
    let unknown = vec![UnknownParameter { kind: ParameterType(0x8bbb), value: vec![0; 1_000] }];
    PoolElementParameter { unknown, ..element(pe, home) }
}

/// A registrar with room for two of them.
fn narrow() -> Bench {
    let mut bench = Bench::ready();
    bench.registrar.config.max_octets = 2_500;
    bench
}

fn table_requests(done: &[Did]) -> usize {
    messages(done).iter().filter(|(_, body)| matches!(body, Body::HandleTableRequest(_))).count()
}

#[test]
fn elements_of_peers_are_stored_as_far_as_their_octets_fit() {
    let mut bench = narrow();
    let connection = bench.join(LOW);
    for pe in 1..=3 {
        bench.say(connection, LOW, add(large(pe, LOW)));
    }
    assert_eq!([1, 2, 3].map(|pe| bench.home(pe)), [Some(LOW), Some(LOW), None]);
    assert_eq!(bench.refused(Refusal::LackOfResources), 1);
    // One that is there may be told again.
    bench.say(connection, LOW, add(large(2, LOW)));
    assert_eq!(bench.refused(Refusal::LackOfResources), 1);
    bench.say(connection, LOW, delete(large(1, LOW)));
    bench.say(connection, LOW, add(large(3, LOW)));
    assert_eq!([1, 2, 3].map(|pe| bench.home(pe)), [None, Some(LOW), Some(LOW)]);
    for pe in [2, 3] {
        bench.say(connection, LOW, delete(large(pe, LOW)));
    }
    assert_eq!(bench.registrar.enrp.replicated.octets(), 0);
}

#[test]
fn elements_of_peers_leave_no_room_for_registrations() {
    let mut bench = narrow();
    let connection = bench.join(LOW);
    for pe in 1..=2 {
        bench.say(connection, LOW, add(large(pe, LOW)));
    }
    let own = large(9, RegistrarId::UNDETERMINED);
    let address = own.user_transport.addresses()[0];
    let asap = ConnectionId::accepted(1_000);
    bench.asap.insert(asap);
    bench.registrar.handle_accepted(bench.now, asap, Bench::remote(address));
    let registration =
        wire::Message::Registration(Registration { pool: pool(), element: own, unknown: vec![] });
    bench.tell(asap, &registration);
    assert_eq!(bench.home(9), None);
    // With the elements' home the room is gone that they took: it is that of our own now.
    bench.say(connection, LOW, delete(large(1, LOW)));
    bench.tell(asap, &registration);
    assert_eq!(bench.home(9), Some(ME));
}

#[test]
fn a_table_that_finds_no_room_is_asked_for_later_each_time_and_told_once_each() {
    let mut bench = narrow();
    let connection = bench.join(LOW);
    let all = || (1..=5).map(|pe| large(pe, LOW)).collect();
    let (mut asked, mut told, mut at) = (Vec::new(), 0, 0);
    for second in 0..240 {
        bench.now += Duration::from_secs(1);
        bench.registrar.handle_timeout(bench.now);
        let mut done = bench.drain();
        done.extend(bench.say(connection, LOW, presence(LOW, false, 0x1234)));
        if table_requests(&done) > 0 {
            asked.push(second - at);
            at = second;
            let entries = vec![PoolEntry { pool: pool(), elements: all() }];
            done =
                bench.say(connection, LOW, HandleTableResponse { entries, ..HandleTableResponse::default() });
            let incomplete = Event::TableIncomplete { peer: LOW, missing: 3 };
            told += events(&done).iter().filter(|event| **event == incomplete).count();
        }
    }
    assert_eq!(told, asked.len());
    assert!(asked.len() <= 7, "{asked:?}");
    assert!(asked.is_sorted(), "{asked:?}");
    assert_eq!(bench.home(1), Some(LOW));
}
