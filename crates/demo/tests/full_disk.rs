//! A pool of real processes where collectors' disks are full, by a limit on the length of their files.
//!
//! The stops are real time, because how long a disk is full is what is tested.

mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use demo::pool::Pool;
use demo::process::{Daemon, pause, wait_until};
use demo::scrape::{Samples, ready};
use world::PATIENCE;

/// Starts a pool whose exporter takes about `seconds`, of daemons to which a file beyond its limit is an error and no signal.
fn pool(seconds: u64) -> Pool {
    let (plan, stage) = world::stage(seconds);
    let program = stage.directory.join("demo.sh");
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n", world::program().display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Pool::start(&program, plan, stage).unwrap()
}

/// Lets no file of the daemon grow beyond `length` octets.
fn limit(daemon: &Daemon, length: &str) {
    let arguments = [format!("--pid={}", daemon.pid()), format!("--fsize={length}:unlimited")];
    assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
}

/// Lets the flows of collector `index` grow by no more than half a line.
fn fill(pool: &Pool, index: u8) {
    let length = fs::metadata(pool.stage.flows(index)).map_or(0, |metadata| metadata.len());
    limit(pool.collectors[usize::from(index)].as_ref().unwrap(), &(length + 100).to_string());
}

fn wait_for_failing(pool: &Pool, index: u8) {
    let http = pool.stage.collector_http(index);
    let out = wait_until(PATIENCE, || {
        let metrics = Samples::scrape(http)?;
        Ok(metrics.sum("ipfix_collector_output_failing") == 1.0
            && metrics.sum("ipfix_collector_pool_registered") == 0.0)
    });
    assert!(out.unwrap(), "the collector is still in its pool");
}

#[test]
fn an_exporter_moves_from_a_collector_whose_disk_is_full_and_no_record_is_lost() {
    let mut pool = pool(10);
    let used = world::wait_for_part(&mut pool, 0.2);
    fill(&pool, used);
    world::wait_for_another(&mut pool, used);
    wait_for_failing(&pool, used);
    limit(pool.collectors[usize::from(used)].as_ref().unwrap(), "unlimited");
    let http = pool.stage.collector_http(used);
    assert!(wait_until(PATIENCE, || Ok(ready(http))).unwrap(), "it comes back into the pool");
    let (settlement, _stage) = world::settle(pool);
    assert_eq!(settlement.failovers, 1);
}

#[test]
fn a_pool_of_one_collector_whose_disk_is_full_for_a_while_loses_no_record() {
    let mut pool = pool(10);
    let used = world::wait_for_part(&mut pool, 0.2);
    drop(pool.take_collector(1 - used).unwrap());
    fill(&pool, used);
    wait_for_failing(&pool, used);
    pause(Duration::from_secs(2));
    let collector = pool.collectors[usize::from(used)].as_ref().unwrap();
    limit(collector, "unlimited");
    assert_eq!(collector.logged().matches("an output fails").count(), 1, "it is told once");
    world::settle(pool);
}
