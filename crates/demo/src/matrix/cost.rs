//! What it costs to be safe: how many records a second one exporter and one collector carry, and the processor time that
//! takes, by what is promised of them.
#![expect(clippy::disallowed_methods, reason = "measures real processes by the clock")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::pool::{Plan, await_ready};
use crate::process::{Daemon, wait_until};
use crate::scrape::Samples;
use crate::stage::{Stage, collector_name, exporter_name, registrar_name};

/// Nothing here takes so long.
const LIMIT: Duration = Duration::from_secs(120);

/// What is promised of the records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Promise {
    /// Nothing: no collector acknowledges any.
    Nothing,
    /// They are acknowledged once a collector has synced them.
    Synced,
    /// The same, and the exporter sends none before its own disk has it.
    Spooled,
}

impl Promise {
    /// All of them, the cheapest first.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Synced, Self::Spooled];

    /// Returns by which settings it is made.
    pub const fn settings(self) -> &'static str {
        match self {
            Self::Nothing => "never (`durable = false`)",
            Self::Synced => "when synced (`durable = true`)",
            Self::Spooled => "when synced, and spooled before (`durability = \"spool\"`)",
        }
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    /// What was promised.
    pub promise: Promise,
    /// Records carried.
    pub records: u64,
    /// From the start of the exporter until all were written.
    pub took: Duration,
    /// Processor time of the collector.
    pub collector: Duration,
    /// Processor time of the exporter, but for its last moments.
    pub exporter: Duration,
    /// Cookies the collector sent.
    pub cookies: f64,
}

/// Carries about `flows` flows as fast as it goes.
pub fn measure(program: &Path, flows: usize, promise: Promise) -> anyhow::Result<Throughput> {
    let mut plan = Plan::make(flows, Duration::from_secs(1))?;
    plan.speed = 0.0;
    let mut stage = Stage::set(false)?;
    (stage.collectors, stage.durable) = (1, promise != Promise::Nothing);
    if promise == Promise::Spooled {
        stage.retention = "durability = \"spool\"\n".to_owned();
    }
    stage.furnish(&plan)?;
    let start =
        |role: &str, name: &str| Daemon::start(program, role, name, &stage.config(name), &stage.directory);
    let mut registrar = start("registrar", registrar_name(0))?;
    await_ready(&mut registrar, "registrar", stage.registrar_http())?;
    let mut collector = start("collector", &collector_name(0))?;
    await_ready(&mut collector, "collector", stage.collector_http(0))?;
    let begin = Instant::now();
    let mut exporter = start("exporter", exporter_name(0))?;
    let records = plan.flows.len() as u64;
    let (mut at_collector, mut at_exporter) = (Samples::default(), Samples::default());
    let mut took = Duration::ZERO;
    let done = wait_until(LIMIT, || {
        // The exporter ends as soon as it may.
        at_exporter = Samples::scrape(stage.exporter_http()).unwrap_or(std::mem::take(&mut at_exporter));
        at_collector = Samples::scrape(stage.collector_http(0))?;
        took = begin.elapsed();
        let labels = [("output", "flows"), ("result", "written")];
        let written = at_collector.with("ipfix_collector_output_records_total", &labels);
        Ok(written.is_some_and(|written| written >= records as f64))
    })?;
    if !done {
        bail!("{records} records were not carried within {LIMIT:?}:\n{}", exporter.last_words());
    }
    let ended = wait_until(LIMIT, || Ok(exporter.ended()?.is_some()))?;
    if !ended || !exporter.ended()?.is_some_and(|status| status.success()) {
        bail!("the exporter did not end well:\n{}", exporter.last_words());
    }
    let seconds = |samples: &Samples| Duration::from_secs_f64(samples.sum("process_cpu_seconds_total"));
    Ok(Throughput {
        promise,
        records,
        took,
        collector: seconds(&at_collector),
        exporter: seconds(&at_exporter),
        cookies: at_collector.sum("ipfix_collector_cookies_sent_total"),
    })
}
