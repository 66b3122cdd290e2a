//! Replicated registrars with pool elements and pool users, among faults.

mod check;
mod describe;
mod scenario;
mod world;

use std::time::Duration;

use scenario::Scenario;
use world::{Options, World};

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn an_element_that_loses_power_is_gone_within_3500_ms() {
    let mut world = World::new(Options { ladder: true, ..Options::default() });
    let config = world.registrar_config(1);
    let registrar = world.add_registrar(1, config);
    let config = world.element_config(0xa1, &[1]);
    let element = world.add_element(0xa1, config);
    let user = world.add_user(1, &[1]);
    world.select(user);
    world.run(milliseconds(2_000));
    assert!(world.select(user).is_some());
    world.power_off(element);
    world.run(milliseconds(3_500));
    assert_eq!(world.registrar(registrar).handlespace().elements(), 0);
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
    for seed in 0..1_000 {
        total += check(seed);
    }
    println!("{total:?}");
}
