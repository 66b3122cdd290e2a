//! Which metrics there are: what was described, and with which labels it was recorded. Handles are made seldom, so that a lock
//! costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

/// One metric, whatever its series.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Described {
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// A sentence; empty if nobody described it.
    pub help: String,
    /// The names of its labels, with the values that were seen.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

/// Notes what it passes on.
pub(super) struct Catalogue {
    pub(super) inner: PrometheusRecorder,
    metrics: Mutex<BTreeMap<String, Described>>,
}

impl Catalogue {
    pub(super) fn new(inner: PrometheusRecorder) -> Self {
        Self { inner, metrics: Mutex::default() }
    }

    pub(super) fn metrics(&self) -> BTreeMap<String, Described> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a gauge that is shown without being recorded; its labels may have any values.
    pub(super) fn note_info(&self, name: &str, help: &str, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(label, _)| ((*label).to_owned(), BTreeSet::new())).collect();
        let described = Described { kind: "gauge", help: help.to_owned(), labels };
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), described);
    }

    fn describe(&self, kind: &'static str, name: &KeyName, help: &SharedString) {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let described = metrics.entry(name.as_str().to_owned()).or_default();
        described.kind = kind;
        described.help = help.to_string();
    }

    fn register(&self, kind: &'static str, key: &Key) {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let described = metrics.entry(key.name().to_owned()).or_default();
        described.kind = kind;
        for label in key.labels() {
            let values = described.labels.entry(label.key().to_owned()).or_default();
            values.insert(label.value().to_owned());
        }
    }
}

impl Recorder for Catalogue {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("counter", &name, &help);
        self.inner.describe_counter(name, unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("gauge", &name, &help);
        self.inner.describe_gauge(name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("histogram", &name, &help);
        self.inner.describe_histogram(name, unit, help);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.register("counter", key);
        self.inner.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.register("gauge", key);
        self.inner.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.register("histogram", key);
        self.inner.register_histogram(key, metadata)
    }
}
