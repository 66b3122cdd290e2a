//! What the demo does: a pool of two collectors at two registrars, a capture replayed in a loop; the registrar that
//! watches the collectors is killed, and then the collector in use.
#![expect(clippy::disallowed_methods, reason = "measures real processes by the clock")]

use std::io;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::pool::{Plan, Pool};
use crate::process::{Daemon, pause};
use crate::report::{Outcome, Progress};
use crate::scrape::Samples;
use crate::stage::{self, Stage};

/// At least so many flows are exported.
const FLOWS: usize = 5_000;
/// The replay takes about this long.
const LENGTH: Duration = Duration::from_secs(9);
/// The whole run takes this long at most.
const LIMIT: Duration = Duration::from_secs(60);
/// Part of the flows that are acknowledged when the registrar is killed, and when the collector is.
const KILL_REGISTRAR_AT: f64 = 0.15;
const KILL_AT: f64 = 0.5;
const LOOK: Duration = Duration::from_millis(10);

/// Returns the demo's replay.
pub(crate) fn plan() -> anyhow::Result<Plan> {
    Plan::make(FLOWS, LENGTH)
}

/// The pool and what was seen of it.
pub(crate) struct Story {
    pool: Pool,
    killed: Option<Killed>,
    killed_registrar: Option<KilledRegistrar>,
    peak_memory: f64,
}

#[derive(Clone, Copy, Debug)]
struct Killed {
    collector: u8,
    at: Instant,
    acknowledged: f64,
    /// When the other collector had its first record.
    carried_on: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct KilledRegistrar {
    index: u8,
    at: Instant,
    /// When the other one was home of every collector.
    taken_over: Option<Instant>,
}

impl Story {
    /// Starts the pool and the exporter.
    pub(crate) fn begin(plan: Plan, stage: Stage) -> anyhow::Result<Self> {
        stage.furnish(&plan)?;
        let pool = Pool::start(&std::env::current_exe()?, plan, stage)?;
        Ok(Self { pool, killed: None, killed_registrar: None, peak_memory: 0.0 })
    }

    /// Watches the exporter until its capture is exported, and kills a registrar and the collector in use on the way.
    pub(crate) fn watch(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        let total = self.pool.plan.flows.len();
        let mut covered = 0.0;
        let mut next_memory = Instant::now();
        loop {
            if self.pool.is_done()? {
                progress.finish(total, self.pool.begin.elapsed());
                return Ok(());
            }
            if self.pool.begin.elapsed() > LIMIT {
                bail!("not done within {LIMIT:?}; the exporter says:\n{}", self.pool.exporter.last_words());
            }
            if let Ok(metrics) = Samples::scrape(self.pool.stage.exporter_http()) {
                covered = metrics.sum("ipfix_exporter_records_covered_total");
                self.kill_registrar(covered, progress)?;
                self.act(&metrics, covered, progress)?;
            }
            self.see_it_carry_on();
            self.see_the_takeover(progress);
            if next_memory <= Instant::now() {
                self.weigh();
                next_memory = Instant::now() + Duration::from_millis(250);
            }
            progress.show(covered, total, self.pool.begin.elapsed());
            pause(LOOK);
        }
    }

    fn kill_registrar(&mut self, covered: f64, progress: &mut Progress) -> anyhow::Result<()> {
        let enough = covered >= KILL_REGISTRAR_AT * self.pool.plan.flows.len() as f64;
        if self.killed_registrar.is_some() || !enough {
            return Ok(());
        }
        let Some(index) = self.pool.home() else { return Ok(()) };
        let (pid, address) = (self.pool.kill_registrar(index)?, self.pool.stage.registrar_at(index));
        self.killed_registrar = Some(KilledRegistrar { index, at: Instant::now(), taken_over: None });
        progress.say(&format!(
            "registrar {} (pid {pid}, {address}), home of collectors, killed with SIGKILL at {covered:.0} flows \
             acknowledged",
            index + 1
        ));
        Ok(())
    }

    fn see_the_takeover(&mut self, progress: &mut Progress) {
        let Some(killed) = self.killed_registrar.as_mut().filter(|killed| killed.taken_over.is_none()) else {
            return;
        };
        let other = self.pool.stage.registrar_http_at(1 - killed.index);
        let elsewhere = Samples::scrape(other).is_ok_and(|metrics| {
            let changes = |event| metrics.value("rserpool_pool_element_changes_total", "event", event);
            // An element that notices the loss comes by itself; the others are asked.
            changes("home_changed").max(changes("taken_over")) >= changes("replicated")
        });
        if elsewhere {
            killed.taken_over = Some(Instant::now());
            let seconds = killed.at.elapsed().as_secs_f64();
            progress.say(&format!(
                "registrar {} is home of every collector after {seconds:.2} s",
                2 - killed.index
            ));
        }
    }

    fn act(&mut self, metrics: &Samples, covered: f64, progress: &mut Progress) -> anyhow::Result<()> {
        let enough = covered >= KILL_AT * self.pool.plan.flows.len() as f64;
        if self.killed.is_some() || !enough {
            return Ok(());
        }
        let Some((index, address)) = self.pool.used(metrics)? else { return Ok(()) };
        let mut collector = self.pool.take_collector(index)?;
        let pid = collector.pid();
        collector.kill()?;
        let at = Instant::now();
        self.killed = Some(Killed { collector: index, at, acknowledged: covered, carried_on: None });
        progress.say(&format!(
            "collector {} (pid {pid}, {address}) killed with SIGKILL at {covered:.0} flows acknowledged",
            stage::name(index)
        ));
        Ok(())
    }

    fn see_it_carry_on(&mut self) {
        let Some(killed) = self.killed.as_mut().filter(|killed| killed.carried_on.is_none()) else { return };
        let other = self.pool.stage.collector_http(1 - killed.collector);
        let received =
            Samples::scrape(other).map(|metrics| metrics.sum("ipfix_collector_records_received_total"));
        if received.is_ok_and(|received| received > 0.0) {
            killed.carried_on = Some(Instant::now());
        }
    }

    /// Adds up the memory of all processes, this one included.
    fn weigh(&mut self) {
        let addresses = [
            self.pool.stage.registrar_http_at(0),
            self.pool.stage.registrar_http_at(1),
            self.pool.stage.collector_http(0),
            self.pool.stage.collector_http(1),
            self.pool.stage.exporter_http(),
        ];
        let daemons = addresses.iter().filter_map(|address| Samples::scrape(*address).ok());
        let memory: f64 = daemons.map(|metrics| metrics.sum("process_resident_memory_bytes")).sum();
        self.peak_memory = self.peak_memory.max(memory + own_memory());
    }

    /// Ends the collectors and the registrars, and settles the books.
    pub(crate) fn settle(self) -> anyhow::Result<(Outcome, Stage)> {
        let took = self.pool.begin.elapsed();
        let (settlement, stage) = self.pool.settle()?;
        let outcome = Outcome {
            packets: settlement.packets,
            flows: settlement.flows,
            received: settlement.received.each_ref().map(|file| file.flows.len() as u64),
            killed: self.killed.map(|killed| (stage::name(killed.collector), killed.acknowledged)),
            torn: settlement.received.iter().map(|file| file.torn).sum(),
            resent: settlement.resent,
            failovers: settlement.failovers,
            books: settlement.books,
            failover: self.killed.and_then(|killed| Some(killed.carried_on?.duration_since(killed.at))),
            takeover: self
                .killed_registrar
                .and_then(|killed| Some(killed.taken_over?.duration_since(killed.at))),
            registrar_killed: self.killed_registrar.is_some(),
            memory: self.peak_memory,
            took,
        };
        Ok((outcome, stage))
    }
}

/// Resident memory of this process, in octets; 0 where /proc does not tell.
fn own_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibi = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kibi.unwrap_or(0.0) * 1024.0
}

/// Keeps a pool running for visitors: both registrars, both collectors and an exporter that replays for ever.
pub(crate) fn serve(plan: Plan, stage: Stage) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let plan = Plan { loops: 0, ..plan };
    stage.furnish(&plan)?;
    let mut daemons = Vec::new();
    for (role, name) in [
        ("registrar", stage::registrar_name(0)),
        ("registrar", stage::registrar_name(1)),
        ("collector", "collector-a"),
        ("collector", "collector-b"),
        ("exporter", "exporter"),
    ] {
        daemons.push((name, Daemon::start(&program, role, name, &stage.config(name), &stage.directory)?));
    }
    println!("\nThe pool runs on; end it with Ctrl-C. Metrics:\n");
    for (name, address) in [
        ("registrar", stage.registrar_http_at(0)),
        ("registrar-2", stage.registrar_http_at(1)),
        ("collector a", stage.collector_http(0)),
        ("collector b", stage.collector_http(1)),
        ("exporter", stage.exporter_http()),
    ] {
        println!("  {name:<12} http://{address}/metrics");
    }
    println!("\nFlows:\n\n  {}\n  {}", stage::show(&stage.flows(0)), stage::show(&stage.flows(1)));
    println!("\nKill a collector or a registrar yourself and watch the exporter's metrics:\n");
    for (name, daemon) in daemons.iter().filter(|(name, _)| *name != "exporter") {
        println!("  kill -9 {}   # {name}", daemon.pid());
    }
    loop {
        for (name, daemon) in &mut daemons {
            if daemon.ended()?.is_some() && *name == "exporter" {
                return Err(io::Error::other(format!("{name} ended:\n{}", daemon.last_words())));
            }
        }
        pause(Duration::from_millis(200));
    }
}
