//! What the demo does: a pool of two collectors, a capture replayed in a loop, one collector killed.
#![expect(clippy::disallowed_methods, reason = "measures real processes by the clock")]

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use exporter::capture::LoopOptions;
use exporter::metering::{FlowRecord, MeteringConfig};
use serde_json::Value;

use crate::books::{self, Books, Received, Series};
use crate::process::{Daemon, pause, wait_until};
use crate::report::{Outcome, Progress};
use crate::scrape::{self, Metrics};
use crate::stage::{self, Stage, collector_name};

/// Observation domain of the exporter.
pub(crate) const DOMAIN: u32 = 1;
/// Both time-outs of the flows.
const TIMEOUT: Duration = Duration::from_secs(1);
/// At least so many flows are exported.
const FLOWS: usize = 5_000;
/// The replay takes about this long.
const LENGTH: Duration = Duration::from_secs(9);
/// The whole run takes this long at most.
const LIMIT: Duration = Duration::from_secs(60);
/// Part of the flows that are acknowledged when the collector is killed.
const KILL_AT: f64 = 0.3;
const LOOK: Duration = Duration::from_millis(10);

/// How the capture is replayed.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) capture: &'static [u8],
    pub(crate) loops: u64,
    pub(crate) speed: f64,
    pub(crate) start: &'static str,
    packets: u64,
    flows: Vec<FlowRecord>,
}

impl Plan {
    /// Meters the capture and decides how often and how fast it is replayed.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let capture = include_bytes!("../../../pcap-fixtures/demo.pcap");
        let start = "2026-01-01T00:00:00Z";
        let begin = exporter::config::parse_utc(start).context("start of the replay")?;
        let file = std::env::temp_dir().join(format!("flowpool-demo-{}.pcap", std::process::id()));
        std::fs::write(&file, capture)?;
        let config =
            MeteringConfig { idle_timeout: TIMEOUT, active_timeout: TIMEOUT, ..MeteringConfig::default() };
        let meter = |loops| {
            let options = LoopOptions {
                loops: Some(loops),
                start: Some(begin * 1_000_000_000),
                ..LoopOptions::default()
            };
            books::meter(&file, options, config)
        };
        let (_, once) = meter(1)?;
        let loops = (FLOWS / once.len().max(1) + 2) as u64;
        let (packets, flows) = meter(loops)?;
        std::fs::remove_file(&file)?;
        let first = flows.iter().map(|flow| flow.start_ns).min().unwrap_or(0);
        let last = flows.iter().map(|flow| flow.end_ns).max().unwrap_or(0);
        let speed = Duration::from_nanos(last - first).as_secs_f64() / LENGTH.as_secs_f64();
        Ok(Self { capture, loops, speed, start, packets, flows })
    }
}

/// The processes of the pool and what was seen of them.
pub(crate) struct Story {
    plan: Plan,
    stage: Stage,
    registrar: Daemon,
    /// In the order of their names; `None` once killed.
    collectors: [Option<Daemon>; 2],
    exporter: Daemon,
    killed: Option<Killed>,
    peak_memory: f64,
    begin: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Killed {
    collector: u8,
    at: Instant,
    acknowledged: f64,
    /// When the other collector had its first record.
    carried_on: Option<Instant>,
}

impl Story {
    /// Starts the pool and the exporter.
    pub(crate) fn begin(plan: Plan, stage: Stage) -> anyhow::Result<Self> {
        stage.furnish(&plan)?;
        let directory = stage.directory.clone();
        let start = |role: &str, name: &str| Daemon::start(role, name, &stage.config(name), &directory);
        let mut registrar = start("registrar", "registrar")?;
        await_ready(&mut registrar, "registrar", stage.registrar_http())?;
        let mut collectors = [0, 1].map(|index| start("collector", &collector_name(index)).map(Some));
        for (index, collector) in (0..).zip(&mut collectors) {
            let Ok(Some(collector)) = collector else { continue };
            await_ready(collector, &collector_name(index), stage.collector_http(index))?;
        }
        let [a, b] = collectors;
        let collectors = [a?, b?];
        let exporter = start("exporter", "exporter")?;
        let begin = Instant::now();
        Ok(Self { plan, stage, registrar, collectors, exporter, killed: None, peak_memory: 0.0, begin })
    }

    /// Watches the exporter until its capture is exported, and kills the collector in use on the way.
    pub(crate) fn watch(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        let total = self.plan.flows.len();
        let mut covered = 0.0;
        let mut next_memory = Instant::now();
        loop {
            if let Some(status) = self.exporter.ended()? {
                if !status.success() {
                    bail!("the exporter ended with {status}:\n{}", self.exporter.last_words());
                }
                progress.finish(total, self.begin.elapsed());
                return Ok(());
            }
            if self.begin.elapsed() > LIMIT {
                bail!("not done within {LIMIT:?}; the exporter says:\n{}", self.exporter.last_words());
            }
            if let Ok(metrics) = Metrics::scrape(self.stage.exporter_http()) {
                covered = metrics.sum("ipfix_exporter_records_covered_total");
                self.act(&metrics, covered, progress)?;
            }
            self.see_it_carry_on();
            if next_memory <= Instant::now() {
                self.weigh();
                next_memory = Instant::now() + Duration::from_millis(250);
            }
            progress.show(covered, total, self.begin.elapsed());
            pause(LOOK);
        }
    }

    fn act(&mut self, metrics: &Metrics, covered: f64, progress: &mut Progress) -> anyhow::Result<()> {
        let enough = covered >= KILL_AT * self.plan.flows.len() as f64;
        if self.killed.is_some() || !enough {
            return Ok(());
        }
        let Some(address) = metrics.label("ipfix_exporter_collector_info", "address") else { return Ok(()) };
        let used = (0..2).find(|index| address.contains(&self.stage.collector(*index).to_string()));
        let index = used.with_context(|| format!("the exporter uses {address}, which is no collector"))?;
        let slot = &mut self.collectors[usize::from(index)];
        let mut collector = slot.take().context("the exporter uses a collector that was killed")?;
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
        let other = self.stage.collector_http(1 - killed.collector);
        let received =
            Metrics::scrape(other).map(|metrics| metrics.sum("ipfix_collector_records_received_total"));
        if received.is_ok_and(|received| received > 0.0) {
            killed.carried_on = Some(Instant::now());
        }
    }

    /// Adds up the memory of all processes, this one included.
    fn weigh(&mut self) {
        let addresses = [
            self.stage.registrar_http(),
            self.stage.collector_http(0),
            self.stage.collector_http(1),
            self.stage.exporter_http(),
        ];
        let daemons = addresses.iter().filter_map(|address| Metrics::scrape(*address).ok());
        let memory: f64 = daemons.map(|metrics| metrics.sum("process_resident_memory_bytes")).sum();
        self.peak_memory = self.peak_memory.max(memory + own_memory());
    }

    /// Ends the collectors and the registrar, and settles the books.
    pub(crate) fn settle(mut self) -> anyhow::Result<(Outcome, Stage)> {
        let took = self.begin.elapsed();
        let summary = self.summary()?;
        let series = Series {
            ledger: text(&summary, "ledger")?.to_owned(),
            epoch: number(&summary, "epoch")?,
            domain: DOMAIN.into(),
        };
        for collector in self.collectors.iter_mut().filter_map(Option::take) {
            let log = collector.log.clone();
            let status = collector.stop(Duration::from_secs(10))?;
            if !status.success() {
                bail!("a collector ended with {status}, see {}", log.display());
            }
        }
        self.registrar.stop(Duration::from_secs(10))?;
        let files = [0, 1].map(|index| books::read(&self.stage.flows(index), &series));
        let [a, b] = files;
        let received: [Received; 2] = [a?, b?];
        let books: Books = books::balance(&self.plan.flows, &received);
        let outcome = Outcome {
            packets: (self.plan.packets, number(&summary, "packets")?),
            flows: (self.plan.flows.len() as u64, number(&summary, "flows")?),
            received: received.each_ref().map(|file| file.flows.len() as u64),
            killed: self.killed.map(|killed| (stage::name(killed.collector), killed.acknowledged)),
            torn: received.iter().map(|file| file.torn).sum(),
            resent: number(&summary, "resent")?,
            failovers: number(&summary, "failovers")?,
            books,
            failover: self.killed.and_then(|killed| Some(killed.carried_on?.duration_since(killed.at))),
            memory: self.peak_memory,
            took,
        };
        Ok((outcome, self.stage))
    }

    /// Returns what the exporter printed when it was done.
    fn summary(&self) -> anyhow::Result<Value> {
        let path = self.stage.directory.join("exporter.out");
        let text = std::fs::read_to_string(&path)?;
        serde_json::from_str(text.lines().last().unwrap_or_default())
            .with_context(|| format!("{}: no summary from the exporter", path.display()))
    }
}

fn await_ready(daemon: &mut Daemon, name: &str, http: std::net::SocketAddr) -> anyhow::Result<()> {
    let mut ended = None;
    let ready = wait_until(Duration::from_secs(10), || {
        ended = daemon.ended()?;
        Ok(ended.is_some() || scrape::ready(http))
    })?;
    match ended {
        Some(status) => bail!("{name} ended with {status}:\n{}", daemon.last_words()),
        None if !ready => bail!("{name} is not ready after 10 s:\n{}", daemon.last_words()),
        None => Ok(()),
    }
}

fn number(summary: &Value, key: &str) -> anyhow::Result<u64> {
    summary.get(key).and_then(Value::as_u64).with_context(|| format!("the exporter's summary has no `{key}`"))
}

fn text<'a>(summary: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    summary.get(key).and_then(Value::as_str).with_context(|| format!("the exporter's summary has no `{key}`"))
}

/// Resident memory of this process, in octets; 0 where /proc does not tell.
fn own_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibi = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kibi.unwrap_or(0.0) * 1024.0
}

/// Keeps a pool running for visitors: both collectors and an exporter that replays for ever.
pub(crate) fn serve(plan: Plan, stage: Stage) -> io::Result<()> {
    let plan = Plan { loops: 0, ..plan };
    stage.furnish(&plan)?;
    let mut daemons = Vec::new();
    for (role, name) in [
        ("registrar", "registrar"),
        ("collector", "collector-a"),
        ("collector", "collector-b"),
        ("exporter", "exporter"),
    ] {
        daemons.push((name, Daemon::start(role, name, &stage.config(name), &stage.directory)?));
    }
    println!("\nThe pool runs on; end it with Ctrl-C. Metrics:\n");
    for (name, address) in [
        ("registrar", stage.registrar_http()),
        ("collector a", stage.collector_http(0)),
        ("collector b", stage.collector_http(1)),
        ("exporter", stage.exporter_http()),
    ] {
        println!("  {name:<12} http://{address}/metrics");
    }
    println!("\nFlows:\n\n  {}\n  {}", stage::show(&stage.flows(0)), stage::show(&stage.flows(1)));
    println!("\nKill a collector yourself and watch the exporter's metrics:\n");
    for (name, daemon) in daemons.iter().filter(|(name, _)| name.starts_with("collector")) {
        println!("  kill -9 {}   # {name}", daemon.pid());
    }
    loop {
        for (name, daemon) in &mut daemons {
            if daemon.ended()?.is_some() && !name.starts_with("collector") {
                return Err(io::Error::other(format!("{name} ended:\n{}", daemon.last_words())));
            }
        }
        pause(Duration::from_millis(200));
    }
}
