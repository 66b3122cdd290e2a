//! Delivery between an exporter and a pool of collectors that are killed, frozen, drained, cut off and restarted.
//!
//! The machines are the real ones: the exporter's ([`exporter::failover`]) with its IPFIX messages, the pool user's with its
//! quarantine ([`rserpool_proto::pu`]), and the collector's acknowledgements ([`delivery`]). The driver's part between
//! them is in `exporter.rs`; `spool/oracle.rs` follows each message of the spool.
//!
//! Checked for each seed: every record is on the disk of one collector at least, be it as a dead letter, or counted as dropped; no
//! collector has one twice; repeats across collectors are records that were uncovered at a failover; the books of each class
//! balance and memory is within its bound at every step; no cookie speaks of a record that is not on its collector's disk;
//! who stands by gets no records.
//!
//! In a third of the seeds the exporter has its spool: the real worker ([`exporter::spooling::Worker`]) on files in memory, a
//! disk that stalls, fails and fills up, and an exporter that is killed, or ends in good order, and starts again. Then each
//! record that it knew to be on disk is found by the next start or on a collector's disk; what it says to wait there at its end is found;
//! what makes room in a full spool is counted to the record; nothing is released that no collector has; octets on disk are
//! within the limit; and in the end nothing is left there.
//!
//! `DELIVERY_SEEDS=N` runs so many seeds, from `DELIVERY_FIRST` on; `DELIVERY_SEED=N` replays one and prints its ladder.

mod check;
mod collector;
mod crowd;
mod exporter;
mod faults;
mod message;
mod pool;
mod scenario;
mod spool;
mod trace;
mod world;

use std::time::Duration;

use scenario::{Fault, Options, Outcome};
use simnet::golden;
use world::World;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
const KEY: &str = "1 00112233445566778899aabbccddeeff";

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{variable}: {value:?}")))
}

#[test]
fn nothing_is_lost_whatever_fails_in_a_thousand_seeds() {
    if let Some(seed) = number("DELIVERY_SEED") {
        let (outcome, ladder) = World::random(seed, true).run_with_ladder();
        return println!("{ladder}{outcome:?}");
    }
    let first = number("DELIVERY_FIRST").unwrap_or(0);
    let seeds = number("DELIVERY_SEEDS").unwrap_or(1_000);
    let mut total = Outcome::default();
    for seed in first..first + seeds {
        let outcome = std::panic::catch_unwind(|| World::random(seed, false).run());
        total += outcome.unwrap_or_else(|_| panic!("seed {seed}; DELIVERY_SEED={seed} shows its ladder"));
    }
    println!("{seeds} seeds from {first}: {total:?}");
    if seeds < 1_000 {
        return;
    }
    assert!(total.failovers > 1_000, "the simulation fails over: {total:?}");
    assert!(total.replayed > 10_000 && total.repeats > 1_000, "and replays: {total:?}");
    assert!(total.lost_unsynced > 1_000, "collectors lose what they had not synced: {total:?}");
    assert!(total.refused > 1_000, "malformed messages are covered as dead letters: {total:?}");
    assert!(total.slow > 50 && total.frozen > 50, "collectors are found slow and frozen: {total:?}");
    assert!(total.draining > 100 && total.drained > 100, "and drained: {total:?}");
    assert!(total.rebalanced > 10, "better ones are moved to: {total:?}");
    assert_spool_was_used(&total);
}

/// What is never reached is not tested.
fn assert_spool_was_used(total: &Outcome) {
    assert!(total.kills > 200 && total.stopped > 80, "exporters end and start again: {total:?}");
    assert!(total.torn > 30, "while their disk writes, too: {total:?}");
    assert!(total.spooled > 300_000 && total.spilled > 30_000, "records go to disk: {total:?}");
    assert!(total.recovered > 100_000 && total.doubles > 100, "the next start finds them: {total:?}");
    assert!(total.full > 10_000, "the spool is full: {total:?}");
    assert!(total.failing > 80 && total.disk_failures > 300, "and its disk fails: {total:?}");
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
fn a_draining_collector_is_left_without_a_repeat() {
    let mut world = World::new(Options { ladder: true, ..Options::default() });
    world.plan(milliseconds(450), Fault::Drain { collector: 0, restart_after: milliseconds(60_000) });
    let (outcome, ladder) = world.run_with_ladder();
    assert_eq!((outcome.failovers, outcome.draining, outcome.drained), (1, 1, 1));
    assert_eq!((outcome.replayed, outcome.repeats, outcome.lost_unsynced), (0, 0, 0));
    golden::check(format!("{GOLDEN}/delivery-drain.ladder"), &ladder);
}

#[test]
fn a_thousand_exporters_behind_a_storage_stall_of_all_collectors_do_not_oscillate() {
    assert_calm(crowd::Options { exporters: 1_000, collectors: 3, tells: false, loads: false });
}

#[test]
fn nor_do_they_where_collectors_say_that_they_are_slow_and_loads_are_followed() {
    assert_calm(crowd::Options { exporters: 1_000, collectors: 5, tells: true, loads: true });
}

fn assert_calm(options: crowd::Options) {
    let others = options.collectors - 1;
    let outcome = crowd::run(options);
    println!("{outcome:?}");
    assert!(outcome.stalled_moves >= 1_000, "each looks at another collector: {outcome:?}");
    assert!(outcome.most_moves <= others, "and stays after a look at each: {outcome:?}");
    assert!(outcome.later_moves <= 100, "nor do they run when storage works again: {outcome:?}");
    assert!(
        outcome.fullest <= 2_000 / (others + 1),
        "no collector has twice its share in the end: {outcome:?}"
    );
}

#[test]
fn a_frozen_collector_is_left_after_three_seconds_and_its_late_records_are_repeats() {
    let mut world = World::new(Options { kernel: true, ..Options::default() });
    world.plan(milliseconds(450), Fault::Freeze { collector: 0, time: milliseconds(10_000) });
    let outcome = world.run();
    assert_eq!((outcome.failovers, outcome.frozen), (1, 1));
    assert!(outcome.repeats > 0);
}

#[test]
fn without_cookies_what_the_transport_acknowledged_lately_is_replayed() {
    for seed in 0..50 {
        // Until the end of metering: then what the transport has acknowledged is all there is to wait for.
        let metering = milliseconds(2_000);
        let mut world = World::new(Options { seed, foreign: true, metering, ..Options::default() });
        let at = milliseconds(400 + 20 * seed);
        world.plan(at, Fault::Kill { collector: 0, restart_after: milliseconds(2_000) });
        let outcome = world.run();
        assert_eq!(outcome.failovers, 1);
        assert!(outcome.replayed >= outcome.lost_unsynced && outcome.repeats > 0, "{outcome:?}");
    }
}
