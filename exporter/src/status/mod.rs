//! What the exporter shows of itself over HTTP: `/api/v1/status` and `/api/v1/flows` in JSON, and the page at `/` made of the same
//! (docs/status.md).
//!
//! Requests are answered in the driver's own loop, from what it knows, and from the metrics where the observation threads
//! count. These are asked for the largest flows, and whoever wants to see them waits in a task of their own. What is remembered is bounded: some failovers, and the rates of the last minutes.
#![expect(clippy::disallowed_methods, reason = "driver: tells the wall clock")]

pub(crate) mod flows;
mod history;
mod page;
mod rates;
pub(crate) mod value;

use std::time::{Instant, SystemTime};

use delivery::ExporterState;
use serde_json::{Map, Value, json};
use service::scrape::{Samples, Series};
use service::{ApiRequest, Context, Metrics, time_text};

use crate::config::{Config, Input};
use crate::observe::Observer;

pub(crate) use history::{Failover, History, Peer};
pub(crate) use rates::{NAMES, Rates, Totals};

/// What is shown beside what the driver knows when it is asked.
#[derive(Debug)]
pub(crate) struct Status {
    /// Collectors that were left.
    pub(crate) history: History,
    /// What went through lately.
    pub(crate) rates: Rates,
    begin: Instant,
    metrics: Metrics,
    source: String,
    domain: u32,
    incarnation: Option<ExporterState>,
    /// Flows are metered here.
    meters: bool,
    max_flows: usize,
    memory: usize,
}

/// What a driver knows when it is asked.
#[derive(Debug)]
pub(crate) struct View {
    /// What it does.
    pub(crate) state: State,
    /// The collector in use.
    pub(crate) collector: Value,
    /// The collector that stands by.
    pub(crate) standby: Value,
    /// The pool as it looks from here; null without one.
    pub(crate) pool: Value,
    /// The books of each class.
    pub(crate) classes: Vec<Value>,
    /// The spool; null without one.
    pub(crate) spool: Value,
}

/// What an exporter does.
#[derive(Debug)]
pub(crate) enum State {
    /// A collector takes its records.
    Exporting,
    /// None does, for this reason.
    Searching(String),
    /// Its source has ended, or it was told to end, and it waits for acknowledgements.
    Ending,
}

impl Status {
    /// Nothing has happened yet. Without a pool there is no `incarnation`.
    pub(crate) fn new(
        now: Instant,
        config: &Config,
        context: &Context,
        incarnation: Option<ExporterState>,
    ) -> Self {
        Self {
            history: History::default(),
            rates: Rates::new(now),
            begin: now,
            metrics: context.metrics.clone(),
            source: config.input().map_or_else(|_| String::new(), |input| input.to_string()),
            domain: config.metering.observation_domain,
            incarnation,
            meters: matches!(config.input(), Ok(Input::Packets(_))),
            max_flows: config.metering().max_flows,
            memory: config.retention.memory.as_usize(),
        }
    }

    /// Answers a request; `view` is asked for what the driver knows, `observer` for flows.
    pub(crate) fn answer(
        &self,
        now: Instant,
        request: ApiRequest,
        observer: &Observer,
        view: impl FnOnce() -> View,
    ) {
        if request.is_page() {
            return self.show(request, &self.json(now, view()), observer);
        }
        match request.segments()[..] {
            [b"v1", b"status"] => request.answer(self.json(now, view()).to_string()),
            [b"v1", b"flows"] if !self.meters => request.not_found("a relay meters no flows"),
            [b"v1", b"flows"] if !request.is_local() => request.forbidden(flows::ONLY_HERE),
            [b"v1", b"flows"] => {
                let asked = observer.ask_for_largest();
                tokio::spawn(async move { request.answer(flows::json(&asked.all().await).to_string()) });
            }
            _ => request.not_found("no such path; /api/v1/ has status and flows"),
        }
    }

    /// Answers with the page, which has flows for who may see them, and where any are metered.
    fn show(&self, request: ApiRequest, status: &Value, observer: &Observer) {
        let mut page = page::page(status, self.rates.series(), &time_text(SystemTime::now()));
        if !self.meters {
            return request.show(&page);
        }
        if !request.is_local() {
            flows::hide(&mut page);
            return request.show(&page);
        }
        let asked = observer.ask_for_largest();
        tokio::spawn(async move {
            flows::show(&mut page, &flows::json(&asked.all().await));
            request.show(&page);
        });
    }

    fn json(&self, now: Instant, view: View) -> Value {
        let View { state, collector, standby, pool, classes, spool } = view;
        let (state, why) = match state {
            State::Exporting => ("exporting", None),
            State::Searching(why) => ("searching", Some(why)),
            State::Ending => ("ending", None),
        };
        let samples = Samples::parse(&self.metrics.render());
        let rates = NAMES.into_iter().zip(self.rates.series());
        let rates = rates.map(|((name, _), series)| (name.to_owned(), series.samples().collect()));
        json!({
            "exporter": {
                "version": env!("CARGO_PKG_VERSION"),
                "source": self.source,
                "domain": self.domain,
                "ledger": self.incarnation.map(|incarnation| incarnation.ledger.to_string()),
                "epoch": self.incarnation.map(|incarnation| incarnation.epoch.0),
                "uptime-seconds": now.saturating_duration_since(self.begin).as_secs(),
            },
            "state": state,
            "why": why,
            "collector": collector,
            "standby": standby,
            "pool": pool,
            "failovers": self.history.json(),
            "flows": flow_table(&samples, self.max_flows),
            "interfaces": interfaces(&samples),
            "packets-dropped": dropped(&samples),
            "classes": classes,
            "memory": self.memory,
            "spool": spool,
            "rates": rates.collect::<Map<_, _>>(),
        })
    }
}

/// The flow table. There is none where nothing is metered.
fn flow_table(samples: &Samples, limit: usize) -> Value {
    let Some(active) = samples.with("ipfix_exporter_flows_active", &[]) else { return Value::Null };
    let ended = samples.series("ipfix_exporter_flows_expired_total");
    let ended = ended.filter_map(|series| Some((series.label("reason")?, json!(whole(series.value)))));
    json!({ "active": whole(active), "limit": limit, "ended": ended.collect::<Map<_, _>>() })
}

/// Where packets come from, as configured, with how many came.
fn interfaces(samples: &Samples) -> Vec<Value> {
    let captured = samples.series("ipfix_exporter_packets_captured_total");
    let interface = |series: Series<'_>| {
        Some(json!({ "interface": series.label("interface")?, "packets": whole(series.value) }))
    };
    captured.filter_map(interface).collect()
}

/// Packets that were not metered, of all interfaces, by stage and reason.
fn dropped(samples: &Samples) -> Vec<Value> {
    let mut sums = std::collections::BTreeMap::new();
    for series in samples.series("ipfix_exporter_packets_dropped_total").filter(|series| series.value > 0.0) {
        if let (Some(stage), Some(reason)) = (series.label("stage"), series.label("reason")) {
            *sums.entry((stage, reason)).or_insert(0) += whole(series.value);
        }
    }
    let json = |((stage, reason), packets)| json!({ "stage": stage, "reason": reason, "packets": packets });
    sums.into_iter().map(json).collect()
}

/// A count out of a metric.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are not below zero")]
const fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_observation_threads_count_is_read_from_the_metrics() {
        let samples = Samples::parse(
            "ipfix_exporter_flows_active 12\n\
             ipfix_exporter_flows_expired_total{reason=\"idle_timeout\"} 3\n\
             ipfix_exporter_packets_captured_total{interface=\"eth0\"} 700\n\
             ipfix_exporter_packets_dropped_total{interface=\"eth0\",stage=\"parse\",reason=\"not_ip\"} 4\n\
             ipfix_exporter_packets_dropped_total{interface=\"eth1\",stage=\"parse\",reason=\"not_ip\"} 5\n\
             ipfix_exporter_packets_dropped_total{interface=\"eth1\",stage=\"kernel\",reason=\"ring_full\"} 0\n",
        );
        let expected = json!({ "active": 12, "limit": 99, "ended": { "idle_timeout": 3 } });
        assert_eq!(flow_table(&samples, 99), expected);
        assert_eq!(interfaces(&samples), [json!({ "interface": "eth0", "packets": 700 })]);
        assert_eq!(dropped(&samples), [json!({ "stage": "parse", "reason": "not_ip", "packets": 9 })]);
        assert_eq!(flow_table(&Samples::parse(""), 99), Value::Null, "a relay meters nothing");
    }
}
