//! What outputs count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use super::Count;

/// What one output counts.
#[derive(Clone, Debug)]
pub(crate) struct OutputMetrics {
    pub(crate) written: Count,
    /// Of `written`, biflows that the output has as two uniflows.
    pub(crate) split: Count,
    pub(crate) options: Counter,
    pub(crate) duplicates: Count,
    pub(crate) duplicates_suppressed: Counter,
    pub(crate) files_removed: Counter,
    pub(crate) write_duration: Histogram,
    /// Flow records that sessions gave to it.
    received: Arc<AtomicU64>,
    /// Of these, those that wait for it.
    in_flight: Arc<AtomicU64>,
    queue_depth: Gauge,
    dropped: Counter,
    /// By [`DropReason`].
    dropped_by: [Count; DropReason::ALL.len()],
}

/// Why an output does not have a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DropReason {
    /// There was no room in its queue.
    Full,
    /// It has stopped.
    Failed,
    /// The connection was lost while they were sent, or there was none at the end.
    Connection,
}

impl DropReason {
    pub(crate) const ALL: [Self; 3] = [Self::Full, Self::Failed, Self::Connection];

    /// Returns the label `reason`.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Failed => "failed",
            Self::Connection => "connection",
        }
    }
}

impl OutputMetrics {
    pub(crate) fn new(output: &str, capacity: u64, counts_duplicates: bool) -> Self {
        describe_outputs();
        let output = output.to_owned();
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        gauge!("ipfix_collector_queue_capacity_bytes", "output" => output.clone()).set(capacity as f64);
        let result = |result: &'static str| counter!("ipfix_collector_output_records_total", "output" => output.clone(), "result" => result);
        let dropped = |reason: DropReason| counter!("ipfix_collector_output_records_dropped_total", "output" => output.clone(), "reason" => reason.label());
        Self {
            written: Count::new(result("written")),
            split: Count::new(
                counter!("ipfix_collector_output_biflows_split_total", "output" => output.clone()),
            ),
            options: result("options"),
            duplicates: Count::new(result("duplicate")),
            duplicates_suppressed: if counts_duplicates {
                counter!("ipfix_collector_duplicates_suppressed_total")
            } else {
                Counter::noop()
            },
            files_removed: counter!("ipfix_collector_output_files_removed_total", "output" => output.clone()),
            write_duration: histogram!("ipfix_collector_output_write_duration_seconds", "output" => output.clone()),
            received: Arc::default(),
            in_flight: Arc::default(),
            queue_depth: gauge!("ipfix_collector_queue_depth_records", "output" => output.clone()),
            dropped: result("dropped"),
            dropped_by: DropReason::ALL.map(|reason| Count::new(dropped(reason))),
        }
    }

    /// A session gives so many flow records to the output.
    pub(crate) fn receive(&self, flows: u64) {
        self.received.fetch_add(flows, Ordering::Relaxed);
        self.in_flight.fetch_add(flows, Ordering::Relaxed);
        self.queue_depth.increment(as_gauge(flows));
    }

    /// So many flow records do not wait for the output any more.
    pub(crate) fn release(&self, flows: u64) {
        self.in_flight.fetch_sub(flows, Ordering::Relaxed);
        self.queue_depth.decrement(as_gauge(flows));
    }

    /// So many flow records were taken out of the queue and are not written yet.
    pub(crate) fn hold(&self, flows: u64) {
        self.in_flight.fetch_add(flows, Ordering::Relaxed);
        self.queue_depth.increment(as_gauge(flows));
    }

    /// Returns how many flow records sessions gave to the output.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Returns how many of these wait for it.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns how many it does not have for this reason.
    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped_by[reason as usize].total()
    }

    /// The output will not have these flow records.
    pub(crate) fn discard(&self, reason: DropReason, flows: u64) {
        self.dropped.increment(flows);
        self.dropped_by[reason as usize].increment(flows);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn as_gauge(count: u64) -> f64 {
    count as f64
}

/// How one output fails.
#[derive(Clone, Debug)]
pub(crate) struct FailureMetrics {
    pub(crate) failures: Counter,
    pub(crate) failing: Gauge,
    pub(crate) seconds: Gauge,
}

impl FailureMetrics {
    pub(crate) fn new(output: &str) -> Self {
        describe_counter!(
            "ipfix_collector_output_write_failures_total",
            "Writes and syncs that failed and were tried again"
        );
        describe_gauge!(
            "ipfix_collector_output_failing",
            "Whether the output cannot write, 0 or 1; where it is durable or others wait for it, nothing is acknowledged meanwhile"
        );
        describe_gauge!(
            "ipfix_collector_output_failing_seconds",
            "How long the output has not been able to write; 0 while it is"
        );
        let output = output.to_owned();
        Self {
            failures: counter!("ipfix_collector_output_write_failures_total", "output" => output.clone()),
            failing: gauge!("ipfix_collector_output_failing", "output" => output.clone()),
            seconds: gauge!("ipfix_collector_output_failing_seconds", "output" => output),
        }
    }
}

fn describe_outputs() {
    describe_counter!(
        "ipfix_collector_output_records_total",
        "Records by what the output did with them: flow records written, options records written, repeats, and what it had \
         no room for"
    );
    describe_counter!(
        "ipfix_collector_output_records_dropped_total",
        "Flow records the output does not have, by reason: no room in its queue (full), it has stopped (failed), or its \
         connection was lost (connection)"
    );
    describe_counter!(
        "ipfix_collector_output_biflows_split_total",
        "Biflows among the written records that the output has as two uniflows: it has so many records more"
    );
    describe_counter!(
        "ipfix_collector_output_files_removed_total",
        "Finished files removed because there were more than the output may keep"
    );
    describe_counter!(
        "ipfix_collector_duplicates_suppressed_total",
        "Flow records received again and not written again, by their identity"
    );
    describe_histogram!("ipfix_collector_output_write_duration_seconds", "Time taken by one write");
    describe_gauge!("ipfix_collector_queue_depth_records", "Flow records waiting for the output");
    describe_gauge!("ipfix_collector_queue_capacity_bytes", "Octets that may wait for the output");
}
