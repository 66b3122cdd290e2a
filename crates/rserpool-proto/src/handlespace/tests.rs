use super::*;
use crate::wire::param::transport::{SctpTransport, TcpTransport, Transport, TransportUse};
use crate::wire::{Load, Policy, PolicyType, RegistrationLife};
use crate::{PeId, Random, RegistrarId};
use std::net::IpAddr;

pub(super) fn element(pe: u32, policy: Policy) -> PoolElementParameter {
    PoolElementParameter {
        pe: PeId(pe),
        home: RegistrarId(1),
        life: RegistrationLife(30),
        user_transport: Transport::Sctp(SctpTransport {
            port: 4739,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses: vec![IpAddr::from([127, 0, 0, 1])],
            unknown: vec![],
        }),
        policy,
        asap_transport: None,
        encapsulation: None,
        unknown: vec![],
    }
}

fn least_used(pe: u32, load: u32) -> PoolElementParameter {
    element(pe, Policy::LeastUsed { load: Load(load) })
}

pub(super) fn handle() -> PoolHandle {
    PoolHandle::new("ipfix").unwrap()
}

fn space(elements: impl IntoIterator<Item = PoolElementParameter>) -> Handlespace {
    let mut space = Handlespace::new(Limits::default());
    for element in elements {
        assert_eq!(space.register(&handle(), element), Ok(Registered::New));
    }
    space
}

fn select(space: &mut Handlespace, count: usize) -> Vec<u32> {
    space
        .pool_mut(&handle())
        .unwrap()
        .select(count, &mut Random::new(1), |_| true)
        .into_iter()
        .map(|pe| pe.0)
        .collect()
}

#[test]
fn round_robin_advances_the_head_by_one_for_three_of_five() {
    let mut space = space((1..=5).map(|pe| element(pe, Policy::RoundRobin)));
    assert_eq!(select(&mut space, 3), [1, 2, 3]);
    assert_eq!(select(&mut space, 3), [2, 3, 4]);
    assert_eq!(select(&mut space, 3), [3, 4, 5]);
    assert_eq!(select(&mut space, 3), [4, 5, 1]);
}

#[test]
fn round_robin_passes_over_unwanted_elements_without_taking_their_turn() {
    let mut space = space((1..=3).map(|pe| element(pe, Policy::RoundRobin)));
    let pool = space.pool_mut(&handle()).unwrap();
    assert_eq!(pool.select(1, &mut Random::new(1), |pe| pe.0 != 1), [PeId(2)]);
    assert_eq!(pool.select(1, &mut Random::new(1), |_| true), [PeId(1)]);
    assert_eq!(pool.select(1, &mut Random::new(1), |_| true), [PeId(3)]);
}

#[test]
fn least_used_takes_the_lowest_load_and_ties_take_turns() {
    let mut space = space([least_used(1, 50), least_used(2, 10), least_used(3, 10)]);
    assert_eq!(select(&mut space, 1), [2]);
    assert_eq!(select(&mut space, 1), [3]);
    assert_eq!(select(&mut space, 3), [2, 3, 1]);
    assert_eq!(space.register(&handle(), least_used(1, 0)), Ok(Registered::Changed));
    assert_eq!(select(&mut space, 1), [1]);
    assert_eq!(select(&mut space, 1), [1]);
}

#[test]
fn re_registration_keeps_the_turn() {
    let mut space = space((1..=3).map(|pe| element(pe, Policy::RoundRobin)));
    assert_eq!(space.register(&handle(), element(1, Policy::RoundRobin)), Ok(Registered::Unchanged));
    assert_eq!(select(&mut space, 3), [1, 2, 3]);
}

#[test]
fn another_policy_is_refused_with_the_pools_policy() {
    let mut space = space([element(1, Policy::RoundRobin)]);
    let cause = space.register(&handle(), least_used(2, 0)).unwrap_err();
    assert_eq!(cause.code, CauseCode::INCONSISTENT_POLICY);
    assert_eq!(cause.policy(), Some(Policy::RoundRobin));
    assert_eq!(space.elements(), 1);
}

#[test]
fn another_transport_type_is_refused_with_a_transport_of_the_pool() {
    let mut space = space([element(1, Policy::RoundRobin)]);
    let tcp = Transport::Tcp(TcpTransport {
        port: 4739,
        reserved: 0,
        address: IpAddr::from([127, 0, 0, 1]),
        unknown: vec![],
    });
    let other = PoolElementParameter { user_transport: tcp, ..element(2, Policy::RoundRobin) };
    let cause = space.register(&handle(), other).unwrap_err();
    assert_eq!(cause.code, CauseCode::INCONSISTENT_TRANSPORT);
    assert_eq!(cause.transport(), Some(element(1, Policy::RoundRobin).user_transport));
}

#[test]
fn another_transport_use_is_refused() {
    let mut space = space([element(1, Policy::RoundRobin)]);
    let mut other = element(2, Policy::RoundRobin);
    let Transport::Sctp(sctp) = &mut other.user_transport else { unreachable!() };
    sctp.transport_use = TransportUse::DATA_ONLY;
    let cause = space.register(&handle(), other).unwrap_err();
    assert_eq!(cause, ErrorCause::plain(CauseCode::INCONSISTENT_DATA_CONTROL));
}

#[test]
fn a_policy_we_cannot_select_by_is_an_invalid_value() {
    let mut space = space([]);
    let policy = Policy::Other { policy_type: PolicyType(0xb000_2004), data: vec![0; 8] };
    let cause = space.register(&handle(), element(1, policy)).unwrap_err();
    assert_eq!(cause.code, CauseCode::INVALID_VALUES);
    assert_eq!(space.pools().count(), 0);
}

#[test]
fn limits_refuse_new_elements_but_not_those_that_are_there() {
    let mut space = Handlespace::new(Limits { pools: 1, elements: 2, elements_per_pool: 2 });
    let lack = Err(ErrorCause::plain(CauseCode::LACK_OF_RESOURCES));
    assert!(space.register(&handle(), least_used(1, 0)).is_ok());
    assert_eq!(space.register(&PoolHandle::new("other").unwrap(), least_used(1, 0)), lack);
    assert!(space.register(&handle(), least_used(2, 0)).is_ok());
    assert_eq!(space.register(&handle(), least_used(3, 0)), lack);
    assert_eq!(space.register(&handle(), least_used(2, 7)), Ok(Registered::Changed));
}

#[test]
fn a_pool_ends_with_its_last_element() {
    let mut space = space([least_used(1, 0)]);
    assert!(space.deregister(&handle(), PeId(2)).is_none());
    assert!(space.deregister(&handle(), PeId(1)).is_some());
    assert!(space.pool(&handle()).is_none());
    assert_eq!(space.register(&handle(), element(1, Policy::RoundRobin)), Ok(Registered::New));
}

fn owned(pe: u32, home: u32) -> PoolElementParameter {
    PoolElementParameter { home: RegistrarId(home), ..element(pe, Policy::RoundRobin) }
}

/// Two pools of one registrar, and one element of another.
fn captured() -> (Handlespace, PoolHandle, PoolHandle) {
    let (echo, calc) = (PoolHandle::new("EchoPool").unwrap(), PoolHandle::new("CalcAppPool").unwrap());
    let mut space = Handlespace::new(Limits::default());
    for (handle, element) in
        [(&echo, owned(0xa1, 1)), (&echo, owned(0xa2, 1)), (&echo, owned(0xa4, 2)), (&calc, owned(0xa3, 1))]
    {
        space.register(handle, element).unwrap();
    }
    (space, echo, calc)
}

#[test]
fn checksums_are_those_captured_from_the_reference_implementation() {
    let (mut space, echo, _) = captured();
    assert_eq!(space.checksum(RegistrarId(1)), PeChecksum(0xe5c7));
    assert_eq!(space.checksum(RegistrarId(2)), PeChecksum(0x91ad));
    assert_eq!(space.checksum(RegistrarId(3)), PeChecksum(0xffff));
    space.deregister(&echo, PeId(0xa1));
    assert_eq!(space.checksum(RegistrarId(1)), PeChecksum(0x5417));
}

#[test]
fn a_new_owner_takes_the_element_out_of_the_old_ones_checksum() {
    let (mut space, echo, calc) = captured();
    assert!(space.set_home(&echo, PeId(0xa2), RegistrarId(2)));
    assert!(space.register(&calc, owned(0xa3, 2)).is_ok());
    assert_eq!(space.checksum(RegistrarId(1)), PeChecksum(0x91b0));
    assert_eq!(space.owners().collect::<Vec<_>>(), [(RegistrarId(1), 1), (RegistrarId(2), 3)]);
    assert!(!space.set_home(&calc, PeId(0xa1), RegistrarId(2)));
}

#[test]
fn elements_are_listed_by_handle_and_identifier_from_anywhere_on() {
    let (space, echo, calc) = captured();
    let all: Vec<_> = space.after(None).map(|(handle, element)| (handle.clone(), element.pe.0)).collect();
    assert_eq!(all, [(calc.clone(), 0xa3), (echo.clone(), 0xa1), (echo.clone(), 0xa2), (echo.clone(), 0xa4)]);
    let ids = |last: Option<(&PoolHandle, PeId)>| -> Vec<u32> {
        space.owned_after(RegistrarId(1), last).map(|(_, element)| element.pe.0).collect()
    };
    assert_eq!(ids(None), [0xa3, 0xa1, 0xa2]);
    assert_eq!(ids(Some((&calc, PeId(0xa3)))), [0xa1, 0xa2]);
    assert_eq!(ids(Some((&echo, PeId(0xa1)))), [0xa2]);
    // What was told last may be gone by now.
    assert_eq!(ids(Some((&PoolHandle::new("D").unwrap(), PeId(9)))), [0xa1, 0xa2]);
    assert_eq!(space.owned_by(RegistrarId(2)).count(), 1);
    assert_eq!(space.after(Some((&echo, PeId(0xa4)))).count(), 0);
}
