//! The fuzz target of `fuzz/` on plain seeds, so that a stable toolchain exercises it too.
#![expect(clippy::disallowed_methods, reason = "a start for virtual time")]

mod exercise;
#[path = "../hostile/wire.rs"]
#[expect(dead_code, reason = "shared with the tests of hostile packets")]
mod wire;

use std::time::{Duration, Instant};

/// Octets of resident memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let length = random.usize(100..4_000);
    let octets: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
    exercise::exercise(&octets, Instant::now());
}

#[test]
fn packets_of_2_000_seeds_end_no_endpoint_and_hold_no_memory() {
    (0..200).for_each(run);
    let before = resident();
    (200..2_000).for_each(run);
    let grown = resident().saturating_sub(before);
    assert!(grown <= 4 << 20, "{grown} octets");
}

/// As long as `FUZZ_SECONDS` says: `FUZZ_SECONDS=600 cargo test -p transport --test fuzz -- --ignored --nocapture`.
#[test]
#[ignore = "takes as long as it is told"]
fn packets_of_many_seeds_end_no_endpoint() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let (start, mut seed) = (Instant::now(), 1 << 32);
    while start.elapsed() < Duration::from_secs(seconds) {
        run(seed);
        seed += 1;
    }
    println!("{} seeds, {} octets resident", seed - (1 << 32), resident());
}
