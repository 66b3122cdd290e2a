//! A pool of real processes of which one collector is taken out in order: exporters move, nothing is lost and nothing is
//! sent twice.

mod world;

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use demo::pool::Pool;
use demo::process::wait_until;
use demo::scrape::{Samples, ready};
use world::{PATIENCE, drain};

/// A collector has this time to end; its `drain-timeout` is longer.
const LEAVING: Duration = Duration::from_secs(20);

/// Ends the pool and checks that every record is in the collectors' files once, without any de-duplication.
fn settle_without_repeats(pool: Pool) {
    let (settlement, _stage) = world::settle(pool);
    assert_eq!((settlement.resent, settlement.books.repeated), (0, 0), "records sent again, and there twice");
    let written: usize = settlement.received.iter().map(|received| received.flows.len()).sum();
    assert_eq!(written, settlement.metered.len());
}

#[test]
fn an_exporter_leaves_a_collector_that_is_told_to_end_and_sends_nothing_twice() {
    let mut pool = world::pool(8);
    let used = world::wait_for_part(&mut pool, 0.3);
    let collector = pool.take_collector(used).unwrap();
    let status = collector.stop(LEAVING).unwrap();
    assert_eq!(status.code(), Some(0), "before its drain-timeout, as its exporter has left");
    world::wait_for_another(&mut pool, used);
    settle_without_repeats(pool);
}

#[test]
fn a_collector_that_only_stands_by_is_not_kept_from_ending() {
    let mut pool = world::pool(6);
    let used = world::wait_for_part(&mut pool, 0.3);
    let collector = pool.take_collector(1 - used).unwrap();
    assert_eq!(collector.stop(LEAVING).unwrap().code(), Some(0), "before its drain-timeout");
    let (settlement, _stage) = world::settle(pool);
    assert_eq!((settlement.failovers, settlement.resent), (0, 0));
}

#[test]
fn an_exporter_leaves_a_collector_that_its_registrar_drains_and_sends_nothing_twice() {
    let (plan, stage) = world::stage(10);
    let socket = stage.directory.join("control");
    let mut config = fs::File::options().append(true).open(stage.config("registrar")).unwrap();
    write!(config, "\n[control]\nsocket = {socket:?}\n").unwrap();
    let mut pool = Pool::start(world::program(), plan, stage).unwrap();
    let used = world::wait_for_part(&mut pool, 0.2);
    let http = pool.stage.collector_http(used);
    let pe = element(&pool, used);

    drain(&socket, &[&pe]);
    world::wait_for_another(&mut pool, used);
    assert!(!ready(http), "no work may be sent to it");
    let registered = Samples::scrape(http).unwrap().sum("ipfix_collector_pool_registered");
    assert_eq!(registered, 1.0, "it stays registered");
    drain(&socket, &[&pe, "--undo"]);
    assert!(wait_until(PATIENCE, || Ok(ready(http))).unwrap(), "it is put back");
    settle_without_repeats(pool);
}

/// Returns the identifier that collector `index` has registered.
fn element(pool: &Pool, index: u8) -> String {
    let logged = pool.collectors[usize::from(index)].as_ref().unwrap().logged();
    let line = logged.lines().find(|line| line.contains("pool_element: registered")).expect("a registration");
    let (_, pe) = line.split_once("pe=").expect("an identifier");
    pe.split_whitespace().next().unwrap().to_owned()
}
