//! Delivery between one exporter and a pool of collectors that are killed, frozen, cut off and restarted.
//!
//! The machines are those that the real exporter and collector run ([`delivery`]).
//!
//! Checked for each seed: every record is on the disk of one collector at least, be it as a dead letter; no collector has one twice; repeats
//! across collectors are records that were uncovered at a failover; the exporter's books balance; no cookie speaks of a
//! record that is not on its collector's disk.

#[path = "delivery/collector.rs"]
mod collector;
#[path = "delivery/exporter.rs"]
mod exporter;
#[path = "delivery/world.rs"]
mod world;

use std::time::Duration;

use simnet::golden;
use world::{Fault, Options, World};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn nothing_is_lost_whatever_fails_in_a_thousand_seeds() {
    let mut total = world::Outcome::default();
    for seed in 0..1_000 {
        let outcome = std::panic::catch_unwind(|| World::random(seed).run());
        total += outcome.unwrap_or_else(|_| panic!("seed {seed}"));
    }
    println!("{total:?}");
    assert!(total.failovers > 1_000, "the simulation fails over: {total:?}");
    assert!(total.replayed > 10_000 && total.repeats > 1_000, "and replays: {total:?}");
    assert!(total.lost_unsynced > 1_000, "collectors lose what they had not synced: {total:?}");
    assert!(total.refused > 1_000, "malformed messages are covered as dead letters: {total:?}");
    assert!(total.slow > 0 && total.frozen > 100, "collectors are found slow and frozen: {total:?}");
}

#[test]
fn a_run_without_faults_repeats_nothing() {
    let world = World::new(Options { ladder: true, ..Options::default() });
    let (outcome, ladder) = world.run_with_ladder();
    assert_eq!((outcome.failovers, outcome.replayed, outcome.repeats), (0, 0, 0));
    golden::check(format!("{GOLDEN}/delivery-normal.ladder"), &ladder);
}

#[test]
fn a_killed_collector_costs_a_replay_of_what_it_had_not_covered() {
    let mut world = World::new(Options { ladder: true, ..Options::default() });
    world.plan(milliseconds(450), Fault::Kill { collector: 0, restart_after: milliseconds(60_000) });
    let (outcome, ladder) = world.run_with_ladder();
    assert_eq!(outcome.failovers, 1);
    assert!(outcome.replayed > 0);
    golden::check(format!("{GOLDEN}/delivery-failover.ladder"), &ladder);
}

#[test]
fn a_frozen_collector_is_left_after_three_seconds_and_its_late_records_are_repeats() {
    let mut world = World::new(Options::default());
    world.plan(milliseconds(450), Fault::Freeze { collector: 0, time: milliseconds(10_000) });
    let outcome = world.run();
    assert_eq!((outcome.failovers, outcome.frozen), (1, 1));
    assert!(outcome.repeats > 0);
}

#[test]
fn without_cookies_what_the_transport_acknowledged_lately_is_replayed() {
    for seed in 0..50 {
        let mut world = World::new(Options { seed, foreign: true, ..Options::default() });
        let at = milliseconds(400 + 20 * seed);
        world.plan(at, Fault::Kill { collector: 0, restart_after: milliseconds(2_000) });
        let outcome = world.run();
        assert_eq!(outcome.failovers, 1);
        assert!(outcome.replayed >= outcome.lost_unsynced && outcome.repeats > 0, "{outcome:?}");
    }
}
