//! Distance, the 32-bit checksum, and draining (docs/wire.md sections 13, 16 and 19).

use super::*;
use crate::wire::Load;
use crate::wire::enrp::handle_table::HandleTableRequest;
use crate::wire::param::draining;
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

fn marked(pe: u32, home: RegistrarId) -> PoolElementParameter {
    PoolElementParameter { unknown: vec![draining::mark()], ..element(pe, home) }
}

impl Bench {
    /// A peer that knows of draining.
    fn join_knowing(&mut self, id: RegistrarId) -> ConnectionId {
        let (connection, _) = self.accept(ip(id));
        let unknown = vec![draining::mark()];
        self.say(connection, id, Presence { unknown, ..presence(id, false, 0xffff) });
        connection
    }

    fn set_draining(&mut self, pe: u32, wanted: bool) -> Vec<Did> {
        let command = if wanted { Registrar::drain } else { Registrar::undrain };
        command(&mut self.registrar, self.now, &pool(), PeId(pe)).unwrap();
        self.drain()
    }

    fn is_draining(&self, pe: u32) -> bool {
        self.registrar.is_draining(&key(pe))
    }
}

/// What peers are told of elements, by connection: action, identifier, whether it is marked.
fn updates(done: &[Did]) -> Vec<(ConnectionId, UpdateAction, u32, bool)> {
    let told = |(connection, body)| match body {
        Body::HandleUpdate(told) => {
            let marked = draining::is_marked(&told.element.unknown);
            Some((connection, told.action, told.element.pe.0, marked))
        }
        _ => None,
    };
    messages(done).into_iter().filter_map(told).collect()
}

fn checksum_told(done: &[Did], to: ConnectionId) -> Option<PeChecksum> {
    let told = |(connection, body): (ConnectionId, Body)| match body {
        Body::Presence(presence) if connection == to => presence.checksum,
        _ => None,
    };
    messages(done).into_iter().find_map(told)
}

#[test]
fn who_knows_of_draining_is_told_the_mark_and_for_others_the_element_has_left() {
    let mut bench = Bench::ready();
    let (knows, old) = (bench.join_knowing(LOW), bench.join(HIGH));
    bench.register(1);
    bench.register(2);
    let (add, delete) = (UpdateAction::ADD_PE, UpdateAction::DEL_PE);
    let done = bench.set_draining(1, true);
    assert_eq!(updates(&done), [(knows, add, 1, true), (old, delete, 1, true)]);
    // Tables and checksums agree with that.
    let own = HandleTableRequest { own_children_only: true, unknown: vec![] };
    let mut listed = |connection, id| {
        let done = bench.say(connection, id, own.clone());
        let table = messages(&done).into_iter().find_map(|(_, body)| match body {
            Body::HandleTableResponse(table) => Some(table),
            _ => None,
        });
        let elements = table.unwrap().entries.into_iter().flat_map(|entry| entry.elements);
        elements.map(|element| element.pe.0).collect::<Vec<_>>()
    };
    assert_eq!((listed(knows, LOW), listed(old, HIGH)), (vec![1, 2], vec![2]));
    let done = bench.pass(Duration::from_secs(1));
    let only_2 = super::super::table::checksum([key(2)].into_iter());
    assert_eq!(checksum_told(&done, knows), Some(bench.registrar.handlespace().checksum(ME)));
    assert_eq!(checksum_told(&done, old), Some(only_2));
    let done = bench.set_draining(1, false);
    assert_eq!(updates(&done), [(knows, add, 1, false), (old, add, 1, false)]);
}

#[test]
fn an_element_that_drains_elsewhere_is_not_selected_and_keeps_draining_when_it_is_ours() {
    let mut bench = Bench::ready();
    let peer = bench.join_knowing(LOW);
    let done = bench.say(peer, LOW, add(marked(1, LOW)));
    assert!(events(&done).contains(&Event::ElementDraining { pool: pool(), pe: PeId(1) }));
    assert!(bench.is_draining(1));
    // It registers here, as its home is gone, and says nothing of draining.
    let element = ConnectionId::accepted(100);
    bench.asap.insert(element);
    bench.registrar.handle_accepted(bench.now, element, Bench::remote(IpAddr::from([10, 0, 1, 1])));
    let registration =
        Registration { pool: pool(), element: super::element(1, RegistrarId::UNDETERMINED), unknown: vec![] };
    let done = bench.tell(element, &wire::Message::Registration(registration));
    assert_eq!(updates(&done), [(peer, UpdateAction::ADD_PE, 1, true)]);
    assert!(bench.home(1) == Some(ME) && bench.is_draining(1));
    // Whoever is home puts it back.
    bench.set_draining(1, false);
    assert!(!bench.is_draining(1));
}

#[test]
fn an_element_that_is_taken_over_keeps_draining() {
    let mut bench = Bench::ready();
    let peer = bench.join_knowing(LOW);
    bench.say(peer, LOW, add(marked(1, LOW)));
    bench.lose(peer);
    bench.pass(Duration::from_secs(3));
    assert!(bench.home(1) == Some(ME) && bench.is_draining(1));
}
