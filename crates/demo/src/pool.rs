//! A pool of real processes: a registrar or two, two collectors, and an exporter that replays a capture in a loop.
#![expect(clippy::disallowed_methods, reason = "measures real processes by the clock")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use exporter::capture::LoopOptions;
use exporter::metering::{FlowRecord, MeteringConfig};
use serde_json::Value;

use crate::books::{self, Books, Received, Series};
use crate::process::{Daemon, wait_until};
use crate::scrape::{self, Samples};
use crate::stage::{Stage, collector_name, registrar_name};

/// Observation domain of the exporter.
pub const DOMAIN: u32 = 1;
/// Both time-outs of the flows.
const TIMEOUT: Duration = Duration::from_secs(1);
/// A daemon is ready, or has ended after SIGTERM, within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the capture is replayed.
#[derive(Debug)]
pub struct Plan {
    /// The capture file's octets.
    pub capture: &'static [u8],
    /// Times it is replayed; 0: for ever.
    pub loops: u64,
    /// Capture time per time.
    pub speed: f64,
    /// Time of the first packet.
    pub start: &'static str,
    /// Packets metered in all loops.
    pub packets: u64,
    /// The flows of all loops, by number.
    pub flows: Vec<FlowRecord>,
}

impl Plan {
    /// Meters the capture and decides how often and how fast it is replayed: at least `flows` flows in
    /// about `length`.
    pub fn make(flows: usize, length: Duration) -> anyhow::Result<Self> {
        let capture = include_bytes!("../../../pcap-fixtures/demo.pcap");
        let start = "2026-01-01T00:00:00Z";
        let file = std::env::temp_dir().join(format!("flowpool-demo-{:016x}.pcap", getrandom::u64()?));
        std::fs::write(&file, capture)?;
        let config = metering();
        let meter = |loops| books::meter(&file, looping(start, loops), config);
        let (_, once) = meter(1)?;
        let loops = (flows / once.len().max(1) + 2) as u64;
        let (packets, flows) = meter(loops)?;
        std::fs::remove_file(&file)?;
        let first = flows.iter().map(|flow| flow.start_ns).min().unwrap_or(0);
        let last = flows.iter().map(|flow| flow.end_ns).max().unwrap_or(0);
        let speed = Duration::from_nanos(last - first).as_secs_f64() / length.as_secs_f64();
        Ok(Self { capture, loops, speed, start, packets, flows })
    }

    /// Returns how the exporter reads the capture.
    pub(crate) fn looping(&self) -> LoopOptions {
        looping(self.start, self.loops)
    }
}

fn looping(start: &str, loops: u64) -> LoopOptions {
    let begin = exporter::config::parse_utc(start);
    LoopOptions {
        loops: (loops > 0).then_some(loops),
        start: begin.map(|seconds| seconds * 1_000_000_000),
        ..LoopOptions::default()
    }
}

/// How an exporter meters in all plans.
pub(crate) fn metering() -> MeteringConfig {
    MeteringConfig { idle_timeout: TIMEOUT, active_timeout: TIMEOUT, ..MeteringConfig::default() }
}

/// The processes of the pool.
#[derive(Debug)]
pub struct Pool {
    /// What the exporter replays.
    pub plan: Plan,
    /// Addresses and files.
    pub stage: Stage,
    /// The first registrar.
    pub registrar: Daemon,
    /// The second registrar, where there are two.
    pub second_registrar: Option<Daemon>,
    /// In the order of their names; `None` once killed.
    pub collectors: [Option<Daemon>; 2],
    /// The exporter.
    pub exporter: Daemon,
    /// When the exporter was started.
    pub begin: Instant,
}

impl Pool {
    /// Starts the daemons of a furnished stage; `program` is the demo's executable.
    pub fn start(program: &Path, plan: Plan, stage: Stage) -> anyhow::Result<Self> {
        let mut registrar = start(program, &stage, "registrar", "registrar")?;
        let mut second_registrar = match stage.registrars {
            1 => None,
            _ => Some(start(program, &stage, "registrar", registrar_name(1))?),
        };
        await_ready(&mut registrar, "registrar", stage.registrar_http())?;
        if let Some(second) = &mut second_registrar {
            await_ready(second, registrar_name(1), stage.registrar_http_at(1))?;
        }
        let collectors = [start_collector(program, &stage, 0)?, start_collector(program, &stage, 1)?];
        let exporter = start(program, &stage, "exporter", "exporter")?;
        let collectors = collectors.map(Some);
        Ok(Self { plan, stage, registrar, second_registrar, collectors, exporter, begin: Instant::now() })
    }

    /// Starts a killed collector again, and waits until it is in the pool.
    pub fn restart_collector(&mut self, program: &Path, index: u8) -> anyhow::Result<()> {
        self.collectors[usize::from(index)] = Some(start_collector(program, &self.stage, index)?);
        Ok(())
    }

    /// Returns the collector that exporter metrics `metrics` say is in use, with its address; `None` while there is none.
    pub fn used(&self, metrics: &Samples) -> anyhow::Result<Option<(u8, String)>> {
        let Some(address) = metrics.label("ipfix_exporter_collector_info", "address") else {
            return Ok(None);
        };
        let used = (0..2).find(|index| address.contains(&self.stage.collector(*index).to_string()));
        let index = used.with_context(|| format!("the exporter uses {address}, which is no collector"))?;
        Ok(Some((index, address)))
    }

    /// Takes collector `index` out of the pool's processes, for whoever is about to kill it.
    pub fn take_collector(&mut self, index: u8) -> anyhow::Result<Daemon> {
        self.collectors[usize::from(index)].take().context("the collector was killed before")
    }

    /// Returns the registrar that watches the collectors: their home.
    pub fn home(&self) -> Option<u8> {
        let watched = |index: &u8| {
            let metrics = Samples::scrape(self.stage.registrar_http_at(*index)).unwrap_or_default();
            metrics.sum("rserpool_keepalives_total") > 0.0
        };
        (0..self.stage.registrars).find(watched)
    }

    /// Ends registrar `index` with SIGKILL; returns the process id it had.
    pub fn kill_registrar(&mut self, index: u8) -> anyhow::Result<u32> {
        let registrar = match index {
            0 => &mut self.registrar,
            _ => self.second_registrar.as_mut().context("there is one registrar")?,
        };
        let pid = registrar.pid();
        registrar.kill()?;
        Ok(pid)
    }

    /// Returns whether the exporter is done. Fails when it ended otherwise than well.
    pub fn is_done(&mut self) -> anyhow::Result<bool> {
        match self.exporter.ended()? {
            Some(status) if !status.success() => {
                bail!("the exporter ended with {status}:\n{}", self.exporter.last_words());
            }
            status => Ok(status.is_some()),
        }
    }

    /// Ends the collectors and the registrars, and settles the books.
    pub fn settle(mut self) -> anyhow::Result<(Settlement, Stage)> {
        let summary = self.summary()?;
        let series = Series {
            ledger: summary.text("ledger")?.to_owned(),
            epoch: summary.number("epoch")?,
            domain: DOMAIN.into(),
        };
        for collector in self.collectors.iter_mut().filter_map(Option::take) {
            let log = collector.log.clone();
            let status = collector.stop(PATIENCE)?;
            if !status.success() {
                bail!("a collector ended with {status}, see {}", log.display());
            }
        }
        for mut registrar in std::iter::once(self.registrar).chain(self.second_registrar) {
            if registrar.ended()?.is_none() {
                registrar.stop(PATIENCE)?;
            }
        }
        let received =
            [books::read(&self.stage.flows(0), &series)?, books::read(&self.stage.flows(1), &series)?];
        let books = books::balance(&self.plan.flows, &received);
        let settlement = Settlement {
            packets: (self.plan.packets, summary.number("packets")?),
            flows: (self.plan.flows.len() as u64, summary.number("flows")?),
            resent: summary.number("resent")?,
            failovers: summary.number("failovers")?,
            received,
            books,
            series,
            metered: self.plan.flows,
        };
        Ok((settlement, self.stage))
    }

    /// Returns what the exporter printed when it was done.
    fn summary(&self) -> anyhow::Result<Summary> {
        let path = self.stage.directory.join("exporter.out");
        let text = std::fs::read_to_string(&path)?;
        let value = serde_json::from_str(text.lines().last().unwrap_or_default());
        Ok(Summary(value.with_context(|| format!("{}: no summary from the exporter", path.display()))?))
    }
}

/// The books of a pool that has ended.
#[derive(Debug)]
pub struct Settlement {
    /// Packets metered here and by the exporter.
    pub packets: (u64, u64),
    /// Flows metered here and exported.
    pub flows: (u64, u64),
    /// Flows sent again.
    pub resent: u64,
    /// Moves of the exporter to another collector.
    pub failovers: u64,
    /// The files of the collectors.
    pub received: [Received; 2],
    /// Metered against received.
    pub books: Books,
    /// The exporter's series.
    pub series: Series,
    /// The flows by number.
    pub metered: Vec<FlowRecord>,
}

struct Summary(Value);

impl Summary {
    fn number(&self, key: &str) -> anyhow::Result<u64> {
        self.0
            .get(key)
            .and_then(Value::as_u64)
            .with_context(|| format!("the exporter's summary has no `{key}`"))
    }

    fn text(&self, key: &str) -> anyhow::Result<&str> {
        self.0
            .get(key)
            .and_then(Value::as_str)
            .with_context(|| format!("the exporter's summary has no `{key}`"))
    }
}

fn start(program: &Path, stage: &Stage, role: &str, name: &str) -> anyhow::Result<Daemon> {
    Ok(Daemon::start(program, role, name, &stage.config(name), &stage.directory)?)
}

fn start_collector(program: &Path, stage: &Stage, index: u8) -> anyhow::Result<Daemon> {
    let name = collector_name(index);
    let mut collector = start(program, stage, "collector", &name)?;
    await_ready(&mut collector, &name, stage.collector_http(index))?;
    Ok(collector)
}

pub(crate) fn await_ready(daemon: &mut Daemon, name: &str, http: std::net::SocketAddr) -> anyhow::Result<()> {
    let mut ended = None;
    let ready = wait_until(PATIENCE, || {
        ended = daemon.ended()?;
        Ok(ended.is_some() || scrape::ready(http))
    })?;
    match ended {
        Some(status) => bail!("{name} ended with {status}:\n{}", daemon.last_words()),
        None if !ready => bail!("{name} is not ready after {PATIENCE:?}:\n{}", daemon.last_words()),
        None => Ok(()),
    }
}
