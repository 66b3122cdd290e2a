//! Replicated registrars with pool elements and pool users, among faults.

mod check;
mod describe;
mod hostile;
mod ladders;
mod next_generation;
mod promises;
mod scenario;
mod world;

use std::time::Duration;

use scenario::Scenario;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Says why a scenario failed, and what of it suffices to fail; `REGISTRARS_SEED=N` replays it with its ladder.
fn check(seed: u64) -> check::Outcome {
    let scenario = Scenario::random(seed);
    scenario.run_and_shrink().unwrap_or_else(|failure| panic!("{}\nin {}", failure.1, failure.0))
}

#[test]
fn nobody_is_lost_whatever_fails_in_a_thousand_seeds() {
    if let Ok(seed) = std::env::var("REGISTRARS_SEED") {
        let mut scenario = Scenario::random(seed.parse().expect("a number"));
        scenario.options.ladder = true;
        scenario.run().unwrap_or_else(|violation| panic!("{violation}\nin {scenario}"));
        return;
    }
    let mut total = check::Outcome::default();
    let seeds = std::env::var("REGISTRARS_SEEDS").map_or(1_000, |seeds| seeds.parse().expect("a number"));
    for seed in 0..seeds {
        total += check(seed);
    }
    println!("{total:?}");
    if seeds >= 1_000 {
        assert!(
            total.takeovers > 300 && total.takeovers_abandoned > 100,
            "registrars are taken over: {total:?}"
        );
        assert!(total.adoptions > 400 && total.removals > 1_000, "elements move and end: {total:?}");
        assert!(total.mismatches > 1_000, "tables differ meanwhile: {total:?}");
    }
}
