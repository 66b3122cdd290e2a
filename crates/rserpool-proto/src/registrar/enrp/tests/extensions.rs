//! Distance, and the 32-bit checksum (docs/wire.md sections 13 and 16).

use super::*;
use crate::wire::Load;
use crate::wire::param::pe_checksum32::PeChecksum32;

const STEP: Duration = Duration::from_millis(10);

fn measuring() -> Bench {
    Bench::ready_with(|enrp| enrp.distance_step = Some(STEP))
}

fn distant(pe: u32, home: RegistrarId, distance: u32) -> PoolElementParameter {
    let policy = Policy::LeastUsedDpf { load: Load(0), load_dpf: Load(1), distance };
    PoolElementParameter { policy, ..element(pe, home) }
}

/// The distances peers are told by updates.
fn told(done: &[Did]) -> Vec<u32> {
    let distance = |(_, body)| match body {
        Body::HandleUpdate(mut update) => update.element.policy.distance_mut().copied(),
        _ => None,
    };
    messages(done).into_iter().filter_map(distance).collect()
}

impl Bench {
    fn distance(&self, pe: u32) -> Option<u32> {
        let mut element = self.registrar.handlespace().pool(&pool())?.element(PeId(pe))?;
        element.policy.distance_mut().copied()
    }

    fn register_distant(&mut self, connection: ConnectionId) -> Vec<Did> {
        let registration =
            Registration { pool: pool(), element: distant(1, RegistrarId::UNDETERMINED, 7), unknown: vec![] };
        self.tell(connection, &wire::Message::Registration(registration))
    }

    fn measure(&mut self, connection: ConnectionId, milliseconds: u64) -> Vec<Did> {
        self.registrar.handle_round_trip(self.now, connection, Duration::from_millis(milliseconds));
        self.drain()
    }
}

#[test]
fn the_home_sets_half_the_round_trip_and_tells_peers_when_it_changes_by_a_step() {
    let mut bench = measuring();
    bench.join(LOW);
    let element = ConnectionId::accepted(100);
    bench.asap.insert(element);
    bench.registrar.handle_accepted(bench.now, element, Bench::remote(IpAddr::from([10, 0, 1, 1])));
    // Whatever the element says of itself.
    assert_eq!(told(&bench.register_distant(element)), [0]);
    assert_eq!(told(&bench.measure(element, 84)), [40]);
    assert_eq!(bench.distance(1), Some(40));
    assert_eq!(told(&bench.measure(element, 92)), [0; 0], "within the step");
    assert_eq!(told(&bench.measure(element, 120)), [60]);
    assert_eq!(told(&bench.register_distant(element)), [60]);
    assert_eq!(bench.distance(1), Some(60));
}

#[test]
fn the_distance_to_who_tells_of_an_element_is_added() {
    let mut bench = measuring();
    let peer = bench.join(LOW);
    bench.measure(peer, 80);
    bench.say(peer, LOW, add(distant(1, LOW, 20)));
    assert_eq!(bench.distance(1), Some(60));
    bench.say(peer, LOW, add(distant(1, LOW, 30)));
    assert_eq!(bench.distance(1), Some(70));
}

#[test]
fn nothing_is_measured_unless_configured_or_of_strangers() {
    let mut bench = Bench::ready();
    let peer = bench.join(LOW);
    bench.measure(peer, 80);
    bench.say(peer, LOW, add(distant(1, LOW, 20)));
    assert_eq!(bench.distance(1), Some(20));
    let mut bench = measuring();
    assert_eq!(bench.measure(ConnectionId::accepted(99), 80), []);
}

/// A peer that tells the right 16-bit checksum and this 32-bit one; returns whether its table is asked for.
fn asks_for_the_table(next_generation: bool, checksum32: Option<u32>) -> bool {
    let mut bench = Bench::ready_with(|enrp| enrp.next_generation = next_generation);
    let peer = bench.join(LOW);
    bench.pass(Duration::from_secs(1));
    let unknown = checksum32.map(|checksum| PeChecksum32(checksum).to_parameter()).into_iter().collect();
    let done = bench.say(peer, LOW, Presence { unknown, ..presence(LOW, false, 0xffff) });
    messages(&done).iter().any(|(_, body)| matches!(body, Body::HandleTableRequest(_)))
}

#[test]
fn the_32_bit_checksum_counts_only_between_two_that_tell_it() {
    assert!(asks_for_the_table(true, Some(0x1234)));
    assert!(!asks_for_the_table(true, Some(u32::MAX)));
    assert!(!asks_for_the_table(true, None));
    assert!(!asks_for_the_table(false, Some(0x1234)));
}
