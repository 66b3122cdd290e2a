//! Metrics of one process: the recorder behind the `metrics` macros and its text form.

mod catalogue;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use self::catalogue::Catalogue;
pub use self::catalogue::Described;
use crate::{Daemon, process, reload};

/// Buckets of a histogram nobody gave its own, in seconds: half a millisecond to ten seconds.
pub const DEFAULT_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The metrics of one daemon. Clones share one recorder.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<Catalogue>,
    handle: PrometheusHandle,
    /// By name: help and labels.
    infos: Arc<Mutex<BTreeMap<&'static str, Info>>>,
}

struct Info {
    help: &'static str,
    labels: String,
}

impl Metrics {
    /// An empty recorder. `buckets` are the upper bounds of single histograms by full name.
    ///
    /// # Panics
    ///
    /// When a list of buckets is empty.
    pub fn new(buckets: &[(&str, &[f64])]) -> Self {
        let mut builder =
            PrometheusBuilder::new().set_buckets(DEFAULT_BUCKETS).expect("the default buckets are not empty");
        for (name, bounds) in buckets {
            builder = builder
                .set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)
                .expect("a histogram has at least one bucket");
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let recorder = Arc::new(Catalogue::new(recorder));
        Self { recorder, handle, infos: Arc::default() }
    }

    /// Makes this the recorder of every handle made in this process outside [`Metrics::scope`].
    pub(crate) fn install(&self) -> anyhow::Result<()> {
        metrics::set_global_recorder(Arc::clone(&self.recorder))
            .map_err(|_| anyhow::anyhow!("a metrics recorder is installed already"))
    }

    /// Runs `make` so that handles it makes with `counter!`, `gauge!` and `histogram!` belong to this recorder.
    /// A daemon needs it only where several live in one process, as in tests.
    pub fn scope<T>(&self, make: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.recorder, make)
    }

    /// Shows the gauge `name`, with the value 1, in one series with these labels, in place of the series it had. The
    /// recorder keeps every series for ever, so that a peer's changing identifiers would grow it without bound.
    pub fn set_info(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) {
        self.recorder.note_info(name, help, labels);
        let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
        let info = Info { help, labels: labels.join(",") };
        self.infos.lock().unwrap_or_else(PoisonError::into_inner).insert(name, info);
    }

    /// Shows the gauge `name` of [`Metrics::set_info`] no more.
    pub fn clear_info(&self, name: &str) {
        self.infos.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Returns the Prometheus text form of everything recorded, with the `process_*` metrics of this process.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        process::render(&mut text);
        for (name, Info { help, labels }) in self.infos.lock().unwrap_or_else(PoisonError::into_inner).iter()
        {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{{labels}}} 1\n\n");
        }
        text
    }

    /// Returns the value of one sample by its rendered name, for example
    /// `ipfix_collector_records_dropped_total{reason="malformed"}`; `None` if nothing recorded it. For tests.
    pub fn value(&self, sample: &str) -> Option<f64> {
        let text = self.handle.render();
        text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }

    /// Returns every metric that was described or recorded so far, by name, but for `process_*`: for the reference.
    pub fn catalogue(&self) -> BTreeMap<String, Described> {
        self.recorder.metrics()
    }

    /// Records what every daemon shows: `PREFIX_build_info{version,revision}`, with the revision that FLOWPOOL_REVISION said when
    /// it was built, and that its configuration was read.
    pub fn common<D: Daemon>(&self) {
        let name = format!("{}_build_info", D::METRICS_PREFIX);
        self.scope(|| {
            metrics::describe_gauge!(name.clone(), "Version of the running binary; the value is always 1");
            let revision = option_env!("FLOWPOOL_REVISION").unwrap_or("unknown");
            metrics::gauge!(name, "version" => D::VERSION, "revision" => revision).set(1.0);
            reload::record(D::METRICS_PREFIX, true);
        });
    }

    /// Folds what histograms have gathered; without it they grow until the next scrape.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_info_has_one_series_however_often_its_labels_change() {
        let metrics = Metrics::new(&[]);
        metrics.set_info("x_info", "The peer in use.", &[("peer", "a"), ("name", "say \"a\"\\")]);
        assert!(
            metrics.render().contains("x_info{peer=\"a\",name=\"say \\\"a\\\"\\\\\"} 1\n"),
            "{}",
            metrics.render()
        );
        metrics.set_info("x_info", "The peer in use.", &[("peer", "b")]);
        assert_eq!(metrics.render().matches("x_info{").count(), 1);
        metrics.clear_info("x_info");
        assert!(!metrics.render().contains("x_info"));
    }
}
