//! Pools for both benches, and the same for every run.

use std::net::{IpAddr, Ipv4Addr};

use rserpool_proto::handlespace::{Handlespace, Limits};
use rserpool_proto::wire::{
    Load, Policy, PolicyType, PoolElementParameter, RegistrationLife, SctpTransport, Transport, TransportUse,
};
use rserpool_proto::{PeId, PoolHandle, RegistrarId};

/// A number that looks random, the same in `benches/rsplib/figures.c`.
pub(crate) fn scrambled(number: u32) -> u32 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9);
    mixed ^= mixed >> 16;
    mixed = mixed.wrapping_mul(0x85eb_ca6b);
    mixed ^ (mixed >> 13)
}

/// The values of the `number`th element when it registers for the `round`th time.
pub(crate) fn policy(policy_type: PolicyType, number: u32, round: u32) -> Policy {
    let value = scrambled(number ^ (round << 24));
    let (load, degradation) = (Load(value), Load(0x10_0000));
    let weight = value % 10 + 1;
    match policy_type {
        PolicyType::ROUND_ROBIN => Policy::RoundRobin,
        PolicyType::WEIGHTED_ROUND_ROBIN => Policy::WeightedRoundRobin { weight },
        PolicyType::RANDOM => Policy::Random,
        PolicyType::WEIGHTED_RANDOM => Policy::WeightedRandom { weight },
        PolicyType::PRIORITY => Policy::Priority { priority: value },
        PolicyType::LEAST_USED => Policy::LeastUsed { load },
        PolicyType::LEAST_USED_DEGRADATION => Policy::LeastUsedDegradation { load, degradation },
        PolicyType::PRIORITY_LEAST_USED => Policy::PriorityLeastUsed { load, degradation },
        PolicyType::RANDOMIZED_LEAST_USED => Policy::RandomizedLeastUsed { load },
        other => panic!("no values for {other}"),
    }
}

/// The `number`th element, with one address for its data and its ASAP endpoint, as one decodes it.
pub(crate) fn element(policy_type: PolicyType, number: u32, round: u32) -> PoolElementParameter {
    let sctp = |port| SctpTransport {
        port,
        transport_use: TransportUse::DATA_ONLY,
        addresses: vec![IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | number))],
        unknown: Vec::new(),
    };
    PoolElementParameter {
        pe: PeId(scrambled(number)),
        home: RegistrarId(1),
        life: RegistrationLife(300),
        user_transport: Transport::Sctp(sctp(4739)),
        policy: policy(policy_type, number, round),
        asap_transport: Some(sctp(3863)),
        encapsulation: None,
        unknown: Vec::new(),
    }
}

pub(crate) fn handle() -> PoolHandle {
    PoolHandle::new("FlowCollectors").expect("a handle has at least one octet")
}

/// An empty handlespace without limits.
pub(crate) fn empty() -> Handlespace {
    Handlespace::new(Limits { pools: usize::MAX, elements: usize::MAX, elements_per_pool: usize::MAX })
}

/// Registers elements `1..=elements`.
pub(crate) fn register(space: &mut Handlespace, policy_type: PolicyType, elements: u32, round: u32) {
    let handle = handle();
    for number in 1..=elements {
        space.register(&handle, element(policy_type, number, round)).expect("there are no limits");
    }
}
