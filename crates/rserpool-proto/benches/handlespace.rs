//! What the handlespace does in a second, by policy and number of elements in one pool, and what memory an element
//! takes. Beside the reference implementation, in one run and per CPU second: `cargo xtask bench-handlespace`.

mod common;

use std::alloc::System;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use rserpool_proto::Random;
use rserpool_proto::wire::PolicyType;

use common::{empty, handle, register};

/// Tells the memory of what is registered: see `max alloc` of `registration`.
#[global_allocator]
static ALLOCATOR: AllocProfiler<System> = AllocProfiler::system();

/// The policies of RFC 5356.
const POLICIES: [PolicyType; 9] = [
    PolicyType::ROUND_ROBIN,
    PolicyType::WEIGHTED_ROUND_ROBIN,
    PolicyType::RANDOM,
    PolicyType::WEIGHTED_RANDOM,
    PolicyType::PRIORITY,
    PolicyType::LEAST_USED,
    PolicyType::LEAST_USED_DEGRADATION,
    PolicyType::PRIORITY_LEAST_USED,
    PolicyType::RANDOMIZED_LEAST_USED,
];

const SELECTIONS: u32 = 10_000;

fn main() {
    divan::main();
}

fn cases() -> impl Iterator<Item = String> {
    let sizes = [1_000, 10_000, 100_000];
    POLICIES.into_iter().flat_map(move |policy| sizes.map(|size| format!("{policy} {size}")))
}

fn read(case: &str) -> (PolicyType, u32) {
    let (name, size) = case.split_once(' ').expect("two words");
    let policy = POLICIES.into_iter().find(|policy| policy.to_string() == name).expect("a policy's name");
    (policy, size.parse().expect("a number"))
}

#[divan::bench(args = cases(), sample_count = 5)]
fn registration(bencher: Bencher<'_, '_>, case: &str) {
    let (policy, elements) = read(case);
    bencher.counter(ItemsCount::new(elements)).bench(|| {
        let mut space = empty();
        register(&mut space, policy, elements, 0);
        space
    });
}

#[divan::bench(args = cases(), sample_count = 5)]
fn re_registration(bencher: Bencher<'_, '_>, case: &str) {
    let (policy, elements) = read(case);
    let mut space = empty();
    register(&mut space, policy, elements, 0);
    let mut round = 0;
    bencher.counter(ItemsCount::new(elements)).bench_local(|| {
        round += 1;
        register(&mut space, policy, elements, round);
    });
}

fn selection(bencher: Bencher<'_, '_>, case: &str, count: usize) {
    let (policy, elements) = read(case);
    let mut space = empty();
    register(&mut space, policy, elements, 0);
    let (handle, mut random, mut chosen) = (handle(), Random::new(1), Vec::new());
    bencher.counter(ItemsCount::new(SELECTIONS)).bench_local(|| {
        for _ in 0..SELECTIONS {
            let pool = space.pool_mut(&handle).expect("the pool has elements");
            pool.select_into(count, &mut random, |_| true, &mut chosen);
        }
    });
}

#[divan::bench(args = cases(), sample_count = 20)]
fn selection_of_one(bencher: Bencher<'_, '_>, case: &str) {
    selection(bencher, case, 1);
}

#[divan::bench(args = cases(), sample_count = 20)]
fn selection_of_ten(bencher: Bencher<'_, '_>, case: &str) {
    selection(bencher, case, 10);
}
