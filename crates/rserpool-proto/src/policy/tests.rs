//! The sequences of each policy, and the distributions of a million selections. Elements are `a1`, `a2`, and so on,
//! in the order of registration.

use super::*;
use crate::handlespace::{Pool, Registered};
use crate::wire::param::transport::{TcpTransport, Transport};
use crate::wire::{PoolElementParameter, RegistrationLife};
use crate::{PeId, Random, RegistrarId};

const SELECTIONS: u32 = 1_000_000;

fn element(number: u32, policy: Policy) -> PoolElementParameter {
    let address = std::net::IpAddr::from([192, 0, 2, 1]);
    PoolElementParameter {
        pe: PeId(number),
        home: RegistrarId(1),
        life: RegistrationLife(30),
        user_transport: Transport::Tcp(TcpTransport { port: 1, reserved: 0, address, unknown: vec![] }),
        policy,
        asap_transport: None,
        encapsulation: None,
        unknown: vec![],
    }
}

fn register(pool: &mut Pool, number: u32, policy: Policy) -> Registered {
    pool.insert(element(number, policy), true).unwrap().0
}

fn pool(policies: &[Policy]) -> Pool {
    let mut pool = Pool::new(rule(policies[0].policy_type()).unwrap());
    for (number, policy) in (1..).zip(policies) {
        assert_eq!(register(&mut pool, number, policy.clone()), Registered::New);
    }
    pool
}

/// Selects one element `times` times.
fn sequence(pool: &mut Pool, times: usize) -> String {
    let mut random = Random::new(7);
    let chosen: Vec<String> = (0..times)
        .map(|_| match pool.select(1, &mut random, |_| true)[..] {
            [pe] => format!("a{}", pe.0),
            _ => "none".into(),
        })
        .collect();
    chosen.join(" ")
}

fn weighted(weights: &[u32]) -> Vec<Policy> {
    weights.iter().map(|&weight| Policy::WeightedRoundRobin { weight }).collect()
}

fn loaded(make: impl Fn(Load) -> Policy, percents: &[u64]) -> Vec<Policy> {
    percents.iter().map(|&percent| make(Load::of(percent, 100))).collect()
}

#[test]
fn round_robin_takes_turns() {
    assert_eq!(sequence(&mut pool(&vec![Policy::RoundRobin; 3]), 7), "a1 a2 a3 a1 a2 a3 a1");
}

#[test]
fn a_new_element_takes_its_turn_after_all_others() {
    let mut pool = pool(&vec![Policy::RoundRobin; 2]);
    assert_eq!(sequence(&mut pool, 1), "a1");
    register(&mut pool, 3, Policy::RoundRobin);
    assert_eq!(sequence(&mut pool, 4), "a2 a1 a3 a2");
}

#[test]
fn weighted_round_robin_spreads_each_element_over_the_list() {
    let select = |weights: &[u32], times| sequence(&mut pool(&weighted(weights)), times);
    assert_eq!(select(&[1, 2, 3], 12), "a1 a2 a3 a2 a3 a3 a1 a2 a3 a2 a3 a3");
    assert_eq!(select(&[1, 1, 5], 14), "a1 a3 a3 a2 a3 a3 a3 a1 a3 a3 a2 a3 a3 a3");
    assert_eq!(select(&[1, 1, 1], 5), "a1 a2 a3 a1 a2");
    assert_eq!(select(&[50, 50], 4), "a1 a2 a1 a2");
    assert_eq!(select(&[50, 100], 6), "a1 a2 a2 a1 a2 a2");
    assert_eq!(select(&[7], 3), "a1 a1 a1");
}

#[test]
fn weight_zero_is_never_chosen_in_turn_or_by_chance() {
    assert_eq!(sequence(&mut pool(&weighted(&[0, 2, 1])), 6), "a2 a3 a2 a2 a3 a2");
    assert_eq!(sequence(&mut pool(&weighted(&[0, 0])), 1), "none");
    let mut none = pool(&[Policy::WeightedRandom { weight: 0 }]);
    assert_eq!(sequence(&mut none, 2), "none none");
    let weights = [0, 1].map(|weight| Policy::WeightedRandom { weight });
    assert_eq!(sequence(&mut pool(&weights), 3), "a2 a2 a2");
    assert_eq!(pool(&weights).select(2, &mut Random::new(1), |_| true), [PeId(2)]);
}

#[test]
fn a_weight_changed_by_registering_again_counts_from_the_round_the_pool_is_in() {
    let mut pool = pool(&weighted(&[1, 1]));
    assert_eq!(sequence(&mut pool, 101), ["a1 a2"; 50].join(" ") + " a1");
    register(&mut pool, 1, Policy::WeightedRoundRobin { weight: 3 });
    let counted = sequence(&mut pool, 400);
    assert!((298..=302).contains(&counted.matches("a1").count()), "{counted}");
}

#[test]
fn who_was_set_aside_does_not_make_up_for_the_rounds_it_missed() {
    let mut pool = pool(&weighted(&[2, 2]));
    assert!(pool.set_aside(PeId(1), true));
    assert_eq!(sequence(&mut pool, 50), ["a2"; 50].join(" "));
    pool.set_aside(PeId(1), false);
    assert_eq!(sequence(&mut pool, 4), "a1 a2 a1 a2");
}

#[test]
fn priority_takes_the_highest_and_equals_take_turns() {
    let policies = [5, 9, 9].map(|priority| Policy::Priority { priority });
    assert_eq!(sequence(&mut pool(&policies), 4), "a2 a3 a2 a3");
    assert_eq!(pool(&policies).select(3, &mut Random::new(1), |_| true), [PeId(2), PeId(3), PeId(1)]);
}

#[test]
fn least_used_takes_the_lowest_load_and_equals_take_turns() {
    let mut pool = pool(&loaded(|load| Policy::LeastUsed { load }, &[50, 10, 10]));
    assert_eq!(sequence(&mut pool, 4), "a2 a3 a2 a3");
    register(&mut pool, 1, Policy::LeastUsed { load: Load(0) });
    assert_eq!(sequence(&mut pool, 2), "a1 a1");
}

#[test]
fn degradation_is_counted_once_for_each_selection() {
    let degradation = Load(0x1000_0000);
    let policies =
        [0, 0x1800_0000].map(|load| Policy::LeastUsedDegradation { load: Load(load), degradation });
    assert_eq!(sequence(&mut pool(&policies), 6), "a1 a1 a2 a1 a2 a1");
}

#[test]
fn every_element_returned_counts_a_degradation() {
    let policies = [0, 5].map(|load| Policy::LeastUsedDegradation { load: Load(load), degradation: Load(4) });
    let mut pool = pool(&policies);
    let mut random = Random::new(1);
    assert_eq!(pool.select(2, &mut random, |_| true), [PeId(1), PeId(2)]);
    // 4 and 9
    assert_eq!(sequence(&mut pool, 3), "a1 a1 a2");
}

#[test]
fn registering_again_sets_the_degradation_back() {
    let policy = Policy::LeastUsedDegradation { load: Load(0), degradation: Load(10) };
    let mut pool =
        pool(&[policy.clone(), Policy::LeastUsedDegradation { load: Load(15), degradation: Load(10) }]);
    assert_eq!(sequence(&mut pool, 3), "a1 a1 a2");
    assert_eq!(register(&mut pool, 1, policy), Registered::Unchanged);
    assert_eq!(sequence(&mut pool, 3), "a1 a1 a1");
}

#[test]
fn a_degraded_load_is_full_at_most() {
    let policy = Policy::LeastUsedDegradation { load: Load(1), degradation: Load::FULL };
    assert_eq!(sequence(&mut pool(&[policy.clone(), policy]), 6), "a1 a2 a1 a2 a1 a2");
}

#[test]
fn priority_least_used_adds_the_load_of_one_more() {
    let make = |load, degradation| Policy::PriorityLeastUsed {
        load: Load::of(load, 100),
        degradation: Load::of(degradation, 100),
    };
    // The example of RFC 5356 section 5.3.1.
    assert_eq!(sequence(&mut pool(&[make(50, 50), make(50, 10)]), 3), "a2 a2 a2");
}

#[test]
fn priority_least_used_degradation_also_counts_selections() {
    let make = |load, degradation| Policy::PriorityLeastUsedDegradation {
        load: Load(load),
        degradation: Load(degradation),
    };
    // 10 20 30 against 5+20
    assert_eq!(sequence(&mut pool(&[make(0, 10), make(5, 20)]), 4), "a1 a1 a2 a1");
}

#[test]
fn distance_makes_an_element_less_attractive() {
    let make = |load, distance| Policy::LeastUsedDpf { load: Load(load), load_dpf: Load(10), distance };
    // 500+100, 200+1000, 0+1500
    assert_eq!(sequence(&mut pool(&[make(500, 10), make(200, 100), make(0, 150)]), 2), "a1 a1");
    let make = |load, distance| Policy::LeastUsedDegradationDpf {
        load: Load(load),
        degradation: Load(100),
        load_dpf: Load(10),
        distance,
    };
    // 600 700 800.. against 750
    assert_eq!(sequence(&mut pool(&[make(500, 10), make(250, 50)]), 4), "a1 a1 a2 a1");
}

#[test]
fn fully_loaded_elements_are_not_drawn_but_take_turns_when_all_are() {
    let mut one_free = pool(&loaded(|load| Policy::RandomizedLeastUsed { load }, &[100, 99, 100]));
    assert_eq!(sequence(&mut one_free, 100), ["a2"; 100].join(" "));
    let mut full = pool(&loaded(|load| Policy::RandomizedLeastUsed { load }, &[100, 100]));
    assert_eq!(sequence(&mut full, 4), "a1 a2 a1 a2");
}

#[test]
fn randomized_degradation_uses_the_free_capacity_up() {
    let quarter = Load::of(1, 4);
    let policy = Policy::RandomizedLeastUsedDegradation { load: Load(3), degradation: quarter };
    let mut both = pool(&[policy.clone(), policy]);
    let drawn = sequence(&mut both, 8);
    assert_eq!(drawn.matches("a1").count(), 4, "{drawn}");
    let policy = Policy::RandomizedPriorityLeastUsedDegradation { load: Load(3), degradation: quarter };
    let mut both = pool(&[policy.clone(), policy]);
    let drawn = sequence(&mut both, 6);
    assert_eq!(drawn.matches("a1").count(), 3, "{drawn}");
}

#[test]
fn an_element_set_aside_is_passed_over_and_keeps_its_turn() {
    let mut pool = pool(&vec![Policy::RoundRobin; 3]);
    pool.set_aside(PeId(1), true);
    assert_eq!(sequence(&mut pool, 3), "a2 a3 a2");
    pool.set_aside(PeId(1), false);
    assert_eq!(sequence(&mut pool, 4), "a1 a3 a2 a1");
    assert!(!pool.set_aside(PeId(4), true));
}

#[test]
fn when_all_are_aside_they_are_chosen_from_as_the_policy_says() {
    let mut pool = pool(&loaded(|load| Policy::LeastUsed { load }, &[50, 10, 90]));
    (1..=3).for_each(|pe| assert!(pool.set_aside(PeId(pe), true)));
    assert_eq!(sequence(&mut pool, 2), "a2 a2");
    register(&mut pool, 1, Policy::LeastUsed { load: Load(0) });
    assert_eq!(sequence(&mut pool, 2), "a1 a1");
    pool.set_aside(PeId(3), false);
    assert_eq!(sequence(&mut pool, 2), "a3 a3");
}

#[test]
fn a_peek_changes_nothing() {
    let mut pool = pool(&vec![Policy::RoundRobin; 3]);
    assert_eq!(pool.peek(2, &mut Random::new(1), |_| true), [PeId(1), PeId(2)]);
    assert_eq!(sequence(&mut pool, 3), "a1 a2 a3");
}

#[test]
fn pool_users_use_the_list_as_each_policy_demands() {
    let list = |policies: &[Policy]| {
        let mut pool = Pool::new(pool_user_rule(policies[0].policy_type()));
        for (number, policy) in (1..).zip(policies) {
            register(&mut pool, number, policy.clone());
        }
        pool
    };
    assert_eq!(sequence(&mut list(&weighted(&[1, 9])), 4), "a1 a2 a1 a2");
    assert_eq!(sequence(&mut list(&[1, 9].map(|priority| Policy::Priority { priority })), 2), "a2 a2");
    let ordered = loaded(|load| Policy::LeastUsed { load }, &[5, 5]);
    assert_eq!(sequence(&mut list(&ordered), 3), "a1 a1 a1");
    let weights = [1, 1_000_000].map(|weight| Policy::WeightedRandom { weight });
    let drawn = sequence(&mut list(&weights), 1_000);
    assert!((400..600).contains(&drawn.matches("a1").count()));
    let other = Policy::Other { policy_type: PolicyType(0x8000_0001), data: vec![] };
    assert_eq!(sequence(&mut list(&[other.clone(), other]), 4), "a1 a2 a1 a2");
}

#[test]
fn every_known_policy_can_be_selected_by() {
    assert_eq!(PolicyType::KNOWN.len(), RULES.len());
    for (&known, rule) in PolicyType::KNOWN.iter().zip(RULES) {
        assert_eq!(rule.policy_type(), known);
    }
}

/// Selects a million times, one each time.
fn counts(policies: &[Policy]) -> Vec<u32> {
    let mut pool = pool(policies);
    let mut random = Random::new(42);
    let mut counts = vec![0; policies.len()];
    let mut chosen = Vec::new();
    for _ in 0..SELECTIONS {
        pool.select_into(1, &mut random, |_| true, &mut chosen);
        counts[chosen[0].0 as usize - 1] += 1;
    }
    counts
}

/// Fails when chi-square is beyond what one in a million correct generators would give.
fn assert_drawn_by(shares: &[f64], counts: &[u32]) {
    let sum: f64 = shares.iter().sum();
    let drawn: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let chi_square: f64 = shares
        .iter()
        .zip(counts)
        .filter(|(share, _)| **share > 0.0)
        .map(|(share, &count)| {
            let expected = share / sum * drawn;
            (f64::from(count) - expected).powi(2) / expected
        })
        .sum();
    let freedom = shares.len() as f64 - 1.0;
    assert!(
        chi_square < freedom + 5.0 * (2.0 * freedom).sqrt() + 10.0,
        "{chi_square}: {counts:?} by {shares:?}"
    );
}

/// Fails when a count is off by more than the list's own granularity.
fn assert_in_turn_by(shares: &[f64], counts: &[u32]) {
    let sum: f64 = shares.iter().sum();
    for (share, &count) in shares.iter().zip(counts) {
        let expected = share / sum * f64::from(SELECTIONS);
        assert!((f64::from(count) - expected).abs() <= 20.0, "{counts:?} by {shares:?}");
    }
}

#[test]
fn a_million_selections_in_turn_come_out_even() {
    let five = |policy: Policy| vec![policy; 5];
    assert_in_turn_by(&[1.0; 5], &counts(&five(Policy::RoundRobin)));
    assert_in_turn_by(&[1.0, 2.0, 3.0, 10.0, 0.0], &counts(&weighted(&[1, 2, 3, 10, 0])));
    assert_in_turn_by(&[1000.0, 1.0, 999.0], &counts(&weighted(&[1000, 1, 999])));
    let priorities = [1, 7, 7, 3].map(|priority| Policy::Priority { priority });
    assert_in_turn_by(&[0.0, 1.0, 1.0, 0.0], &counts(&priorities));
}

#[test]
fn a_million_selections_by_load_go_to_the_lowest() {
    let load = |percent| Load::of(percent, 100);
    let used = loaded(|load| Policy::LeastUsed { load }, &[30, 20, 20, 90]);
    assert_in_turn_by(&[0.0, 1.0, 1.0, 0.0], &counts(&used));
    let priority = [(80, 10), (90, 5), (10, 70)]
        .map(|(percent, more)| Policy::PriorityLeastUsed { load: load(percent), degradation: load(more) });
    assert_in_turn_by(&[0.0, 0.0, 1.0], &counts(&priority));
    let distant = [(0, 100), (40, 10), (41, 0)].map(|(percent, distance)| Policy::LeastUsedDpf {
        load: load(percent),
        load_dpf: Load::of(1, 100),
        distance,
    });
    // 100, 50 and 41 percent
    assert_in_turn_by(&[0.0, 0.0, 1.0], &counts(&distant));
}

#[test]
fn a_million_selections_with_degradation_keep_the_sums_level() {
    // Each takes as much as its degradation allows, as long as none is full.
    let by = [1.0, 0.5, 0.25, 0.125];
    let steps = [1, 2, 4, 8].map(|step| Load(step * 0x100));
    let plain = steps.map(|degradation| Policy::LeastUsedDegradation { load: Load(0), degradation });
    assert_in_turn_by(&by, &counts(&plain));
    let priority =
        steps.map(|degradation| Policy::PriorityLeastUsedDegradation { load: Load(0), degradation });
    assert_in_turn_by(&by, &counts(&priority));
    let load_dpf = Load(0x100);
    let distant = steps.map(|degradation| Policy::LeastUsedDegradationDpf {
        load: Load(0),
        degradation,
        load_dpf,
        distance: 1,
    });
    assert_in_turn_by(&by, &counts(&distant));
}

#[test]
fn a_million_selections_by_chance_have_the_shares_of_each_policy() {
    assert_drawn_by(&[1.0; 7], &counts(&vec![Policy::Random; 7]));
    let weights = [1, 2, 0, 4, 1000].map(|weight| Policy::WeightedRandom { weight });
    assert_drawn_by(&[1.0, 2.0, 0.0, 4.0, 1000.0], &counts(&weights));
    let used = loaded(|load| Policy::RandomizedLeastUsed { load }, &[0, 50, 90, 100]);
    assert_drawn_by(&[100.0, 50.0, 10.0, 0.0], &counts(&used));
    let degradation = Load::of(10, 100);
    let priority = loaded(|load| Policy::RandomizedPriorityLeastUsed { load, degradation }, &[0, 50, 80]);
    assert_drawn_by(&[90.0, 40.0, 10.0], &counts(&priority));
    // So small a degradation that a million do not matter.
    let degradation = Load(1);
    let used = loaded(|load| Policy::RandomizedLeastUsedDegradation { load, degradation }, &[0, 50, 90]);
    assert_drawn_by(&[100.0, 50.0, 10.0], &counts(&used));
    let priority =
        loaded(|load| Policy::RandomizedPriorityLeastUsedDegradation { load, degradation }, &[0, 50, 90]);
    assert_drawn_by(&[100.0, 50.0, 10.0], &counts(&priority));
    let distant = [0, 500, 2_000].map(|distance| Policy::WeightedRandomDpf {
        weight: 1_000_000,
        weight_dpf: Load::of(1, 1_000),
        distance,
    });
    assert_drawn_by(&[1_000_000.0, 500_000.0, 1.0], &counts(&distant)[..]);
}

#[test]
fn several_are_drawn_without_replacement_each_by_its_share_of_the_rest() {
    let weights = [1_u32, 2, 3, 4];
    let mut pool = pool(&weights.map(|weight| Policy::WeightedRandom { weight }));
    let mut random = Random::new(3);
    let mut counted = [[0; 4]; 4];
    for _ in 0..SELECTIONS / 4 {
        let chosen = pool.select(2, &mut random, |_| true);
        let [first, second] = chosen[..] else { panic!("{chosen:?}") };
        counted[first.0 as usize - 1][second.0 as usize - 1] += 1;
    }
    let (mut shares, mut counts) = (Vec::new(), Vec::new());
    for (first, &one) in weights.iter().enumerate() {
        for (second, &other) in weights.iter().enumerate() {
            let (one, other) = (f64::from(one), f64::from(other));
            shares.push(if first == second { 0.0 } else { one / 10.0 * other / (10.0 - one) });
            counts.push(counted[first][second]);
        }
        assert_eq!(counted[first][first], 0);
    }
    assert_drawn_by(&shares, &counts);
    assert_eq!(pool.select(9, &mut random, |_| true).len(), 4);
    assert_eq!(pool.select(9, &mut random, |pe| pe != PeId(4)).len(), 3);
}
