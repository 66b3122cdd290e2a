//! A pool of real processes for one test, on a network of its own, and what is asked of it while it runs.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use demo::books::Books;
use demo::pool::{Plan, Pool, Settlement};
use demo::process::{Daemon, ROLE, wait_until};
use demo::scrape::Samples;
use demo::stage::Stage;

/// Nothing here takes so long on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_demo"))
}

/// Tells a registrar to drain an element of the pool, or to put it back, over its control socket.
pub(crate) fn drain(socket: &Path, arguments: &[&str]) {
    let mut child = Command::new(program())
        .args([ROLE, "registrar", "drain", "ipfix"])
        .args(arguments)
        .arg("--socket")
        .arg(socket)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // A daemon of the demo ends when this pipe closes.
    let stdin = child.stdin.take();
    assert!(child.wait().unwrap().success());
    drop(stdin);
}

/// Returns the stage of a pool whose exporter takes about `seconds`. Its directory stays if the test fails.
pub(crate) fn stage(seconds: u64) -> (Plan, Stage) {
    let plan = Plan::make(5_000, Duration::from_secs(seconds)).unwrap();
    let stage = Stage::set(true).unwrap();
    stage.furnish(&plan).unwrap();
    println!("configuration, logs and flows are in {}", stage.directory.display());
    (plan, stage)
}

/// Starts a pool whose exporter takes about `seconds`.
pub(crate) fn pool(seconds: u64) -> Pool {
    let (plan, stage) = stage(seconds);
    Pool::start(program(), plan, stage).unwrap()
}

/// Scrapes the exporter until `condition` holds of its metrics; returns these.
pub(crate) fn wait_for(pool: &mut Pool, what: &str, condition: impl Fn(&Samples) -> bool) -> Samples {
    let mut metrics = Samples::default();
    let held = wait_until(PATIENCE, || {
        assert!(!pool.is_done().unwrap(), "the exporter ended before {what}");
        metrics = Samples::scrape(pool.stage.exporter_http()).unwrap_or_default();
        Ok(condition(&metrics))
    });
    assert!(held.unwrap(), "no {what}; the exporter says:\n{}", pool.exporter.last_words());
    metrics
}

/// Waits until collectors have `part` of the flows on disk; returns the collector in use.
pub(crate) fn wait_for_part(pool: &mut Pool, part: f64) -> u8 {
    let enough = pool.plan.flows.len() as f64 * part;
    let what = format!("{enough} flows on a collector's disk");
    let metrics = wait_for(pool, &what, |metrics| covered(metrics) >= enough);
    pool.used(&metrics).unwrap().expect("a collector in use").0
}

/// Waits until the exporter uses the collector other than `index`, and that has received records.
pub(crate) fn wait_for_another(pool: &mut Pool, index: u8) {
    let address = pool.stage.collector(1 - index).to_string();
    wait_for(pool, "another collector in use", |metrics| {
        metrics.label("ipfix_exporter_collector_info", "address").is_some_and(|used| used.contains(&address))
    });
    let http = pool.stage.collector_http(1 - index);
    let received = wait_until(PATIENCE, || {
        Ok(Samples::scrape(http)?.sum("ipfix_collector_records_received_total") > 0.0)
    });
    assert!(received.unwrap(), "nothing at the other collector");
}

pub(crate) fn covered(metrics: &Samples) -> f64 {
    metrics.sum("ipfix_exporter_records_covered_total")
}

/// Waits until the registrar has `count` elements and as many collectors say they are registered.
pub(crate) fn wait_for_registrations(pool: &Pool, count: f64) {
    let mut seen = String::new();
    let whole = wait_until(PATIENCE, || {
        let at_registrar =
            Samples::scrape(pool.stage.registrar_http()).unwrap_or_default().sum("rserpool_pool_elements");
        let registered = [0, 1].map(|index| {
            let metrics = Samples::scrape(pool.stage.collector_http(index)).unwrap_or_default();
            metrics.sum("ipfix_collector_pool_registered")
        });
        seen = format!("the registrar has {at_registrar}, collectors say {registered:?}");
        Ok(at_registrar == count && registered.iter().sum::<f64>() == count)
    });
    assert!(whole.unwrap(), "no {count} registrations: {seen}");
}

/// Waits until the exporter is done, ends the pool and checks that nothing is lost or wrong.
/// The stage is returned because its files go with it.
pub(crate) fn settle(mut pool: Pool) -> (Settlement, Stage) {
    let done = wait_until(PATIENCE, || Ok(pool.is_done().unwrap())).unwrap();
    assert!(done, "the exporter is not done; it says:\n{}", pool.exporter.last_words());
    let (settlement, mut stage) = pool.settle().unwrap();
    assert_eq!(settlement.packets.0, settlement.packets.1, "packets metered here and by the exporter");
    assert_eq!(settlement.flows.0, settlement.flows.1, "flows metered here and by the exporter");
    let Books { lost, repeated, wrong } = settlement.books;
    assert_eq!((lost, wrong), (0, 0), "flows lost, and flows not as metered");
    assert!(repeated <= settlement.resent, "{repeated} repeated, {} sent again", settlement.resent);
    stage.keep = false;
    (settlement, stage)
}

/// Settles a pool in which nothing may have happened to the data association.
pub(crate) fn settle_undisturbed(pool: Pool) {
    let logged = |daemon: &Option<Daemon>, text: &str| {
        daemon.as_ref().map_or(0, |daemon| daemon.logged().matches(text).count())
    };
    // One is in use, the other stands by.
    let connected = pool.collectors.iter().map(|daemon| logged(daemon, "exporter connected"));
    assert!(connected.max() <= Some(1), "associations with one collector");
    let (settlement, _stage) = settle(pool);
    assert_eq!((settlement.failovers, settlement.resent), (0, 0), "failovers, and flows sent again");
    assert_eq!(settlement.books.repeated, 0);
}
