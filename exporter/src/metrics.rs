//! The exporter's metrics. Handles are made once; the packet path updates them per batch.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use transport::tls::{Identity, Reason};

use crate::capture::InterfaceDrops;
use crate::capture::live::Counts;
use crate::export::{ClassIndex, Classes};
use crate::failover::{Abandonment, Books, DropReason, Failover, SpoolCounts};
use crate::metering::{FlowEndReason, Meter};
use crate::packet::Unparsed;

/// Upper bounds of the failover histogram, in seconds.
pub const FAILOVER_BUCKETS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Names the collector in use, in one series.
pub const COLLECTOR_INFO: &str = "ipfix_exporter_collector_info";

/// Name of the failover histogram.
pub const FAILOVER_DURATION: &str = "ipfix_exporter_failover_duration_seconds";

/// What an observation thread counts. Several may have handles of the same metrics, which are the sums then.
pub struct Observed {
    /// None where they are counted by interface.
    packets: Option<Total>,
    tunnelled: Total,
    truncated: Total,
    unknown_fragments: Total,
    unparsed: [Total; Unparsed::ALL.len()],
    not_selected: Total,
    flows_active: Gauge,
    flows: f64,
    expired: [Total; FlowEndReason::ALL.len()],
}

/// A counter that follows a figure of one thread.
struct Total {
    counter: Counter,
    counted: u64,
}

impl Total {
    fn follow(&mut self, total: u64) {
        self.counter.increment(total - self.counted);
        self.counted = total;
    }
}

impl From<Counter> for Total {
    fn from(counter: Counter) -> Self {
        Self { counter, counted: 0 }
    }
}

impl Observed {
    /// Returns the handles for the source called `interface`.
    pub fn new(interface: &str) -> Self {
        let counter = counter!("ipfix_exporter_packets_captured_total", "interface" => interface.to_owned());
        // None at all: files have every packet that was captured.
        let _ = lost(interface);
        Self { packets: Some(counter.into()), ..Self::live(interface) }
    }

    /// Returns the handles for packets that are counted by [`Captured`] where they come from.
    pub fn live(interface: &str) -> Self {
        describe_counter!("ipfix_exporter_packets_captured_total", "Packets read from the source");
        describe_counter!("ipfix_exporter_packets_dropped_total", "Packets that were not metered");
        describe_counter!(
            "ipfix_exporter_packets_tunnelled_total",
            "Packets metered that travelled in a packet that was metered, too (layers = both)"
        );
        describe_counter!(
            "ipfix_exporter_packets_truncated_total",
            "Packets metered without ports or control bits, because what was captured of them ends before"
        );
        describe_counter!(
            "ipfix_exporter_fragments_unknown_total",
            "Fragments metered without ports, because the first of their packet was not seen before"
        );
        describe_gauge!("ipfix_exporter_flows_active", "Flows kept at present");
        describe_counter!("ipfix_exporter_flows_expired_total", "Flows that ended, by flowEndReason");
        let interface = interface.to_owned();
        let not_selected = counter!("ipfix_exporter_packets_dropped_total", "interface" => interface.clone(),
            "stage" => "sampling", "reason" => "not_selected");
        Self {
            packets: None,
            not_selected: not_selected.into(),
            tunnelled: counter!("ipfix_exporter_packets_tunnelled_total", "interface" => interface.clone())
                .into(),
            truncated: counter!("ipfix_exporter_packets_truncated_total", "interface" => interface.clone())
                .into(),
            unknown_fragments:
                counter!("ipfix_exporter_fragments_unknown_total", "interface" => interface.clone()).into(),
            unparsed: Unparsed::ALL.map(|reason| {
                counter!("ipfix_exporter_packets_dropped_total", "interface" => interface.clone(),
                    "stage" => "parse", "reason" => reason.label())
                .into()
            }),
            flows_active: gauge!("ipfix_exporter_flows_active"),
            flows: 0.0,
            expired: FlowEndReason::ALL.map(|reason| {
                counter!("ipfix_exporter_flows_expired_total", "reason" => reason.label()).into()
            }),
        }
    }

    /// Takes over the figures of `meter`.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn update(&mut self, meter: &Meter) {
        let counters = meter.counters();
        let unparsed: u64 = Unparsed::ALL.map(|reason| meter.unparsed(reason)).iter().sum();
        if let Some(packets) = &mut self.packets {
            packets.follow(counters.packets - meter.tunnelled() + unparsed + meter.not_selected());
        }
        self.tunnelled.follow(meter.tunnelled());
        self.truncated.follow(meter.truncated());
        self.not_selected.follow(meter.not_selected());
        self.unknown_fragments.follow(meter.unknown_fragments());
        for (counter, reason) in self.unparsed.iter_mut().zip(Unparsed::ALL) {
            counter.follow(meter.unparsed(reason));
        }
        let flows = meter.active_flows() as f64;
        self.flows_active.increment(flows - self.flows);
        self.flows = flows;
        for (counter, reason) in self.expired.iter_mut().zip(FlowEndReason::ALL) {
            counter.follow(counters.ended(reason));
        }
    }
}

/// Returns the handles for what interfaces drop: in the kernel, in the device.
fn lost(interface: &str) -> [Counter; 2] {
    describe_counter!(
        "ipfix_exporter_interface_dropped_packets_total",
        "Packets that captured interfaces dropped (rx_dropped), or their devices missed (rx_missed_errors)"
    );
    ["dropped", "missed"].map(|reason| {
        counter!("ipfix_exporter_interface_dropped_packets_total", "interface" => interface.to_owned(),
            "reason" => reason)
    })
}

/// What the rings of interfaces count.
pub struct Captured {
    captured: Counter,
    dropped: Counter,
    /// By the interfaces themselves: in the kernel, in the device.
    lost: [Counter; 2],
}

impl Captured {
    /// Returns the handles for the interfaces of a name or pattern.
    pub fn new(interface: &str) -> Self {
        let lost = lost(interface);
        let interface = interface.to_owned();
        Self {
            lost,
            captured: counter!("ipfix_exporter_packets_captured_total", "interface" => interface.clone()),
            dropped: counter!("ipfix_exporter_packets_dropped_total", "interface" => interface,
                "stage" => "kernel", "reason" => "ring_full"),
        }
    }

    /// Adds what happened since the last time.
    pub fn add(&self, counts: Counts) {
        self.captured.increment(counts.lent);
        self.dropped.increment(counts.dropped);
    }

    /// Adds what interfaces dropped since the last time.
    pub fn lose(&self, InterfaceDrops { dropped, missed }: InterfaceDrops) {
        self.lost.iter().zip([dropped, missed]).for_each(|(counter, packets)| counter.increment(packets));
    }
}

/// How TLS handshakes ended.
pub struct TlsMetrics {
    identity: Identity,
    completed: Counter,
    failed: [Counter; Reason::ALL.len()],
}

impl TlsMetrics {
    /// Returns the handles for the handshakes of `identity`.
    pub fn new(identity: Identity) -> Self {
        describe_counter!("ipfix_exporter_tls_handshakes_total", "TLS handshakes by result");
        let result = |result| counter!("ipfix_exporter_tls_handshakes_total", "result" => result);
        Self { identity, completed: result("ok"), failed: Reason::ALL.map(|reason| result(reason.label())) }
    }

    /// Takes over what was counted.
    pub fn publish(&self) {
        let handshakes = self.identity.handshakes();
        self.completed.absolute(handshakes.completed);
        for (counter, reason) in self.failed.iter().zip(Reason::ALL) {
            counter.absolute(handshakes.failed(reason));
        }
    }
}

/// What the driver counts of one class.
struct ClassMetrics {
    class: ClassIndex,
    metered: Counter,
    recovered: Counter,
    exported: Counter,
    covered: Counter,
    delivered: Counter,
    abandoned: [Counter; Abandonment::ALL.len()],
    dropped: [Counter; DropReason::ALL.len()],
    buffered_records: Gauge,
    buffered_bytes: Gauge,
}

impl ClassMetrics {
    fn new(class: ClassIndex, name: &str, kind: &'static str) -> Self {
        let name = name.to_owned();
        gauge!("ipfix_exporter_class_info", "class" => name.clone(), "kind" => kind).set(1.0);
        let counter = |metric: &'static str| counter!(metric, "class" => name.clone());
        let reason = |metric: &'static str, reason: &'static str| counter!(metric, "class" => name.clone(), "reason" => reason);
        Self {
            class,
            metered: counter("ipfix_exporter_records_metered_total"),
            recovered: counter("ipfix_exporter_records_recovered_total"),
            exported: counter("ipfix_exporter_records_exported_total"),
            covered: counter("ipfix_exporter_records_covered_total"),
            delivered: counter("ipfix_exporter_records_delivered_total"),
            abandoned: Abandonment::ALL
                .map(|why| reason("ipfix_exporter_records_abandoned_total", why.label())),
            dropped: DropReason::ALL.map(|why| reason("ipfix_exporter_records_dropped_total", why.label())),
            buffered_records: gauge!("ipfix_exporter_buffered_records", "class" => name.clone()),
            buffered_bytes: gauge!("ipfix_exporter_buffered_bytes", "class" => name.clone()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    fn update(&self, books: &Books) {
        self.metered.absolute(books.metered);
        self.recovered.absolute(books.recovered);
        self.exported.absolute(books.exported);
        self.covered.absolute(books.covered);
        self.delivered.absolute(books.delivered);
        self.abandoned.iter().zip(books.abandoned).for_each(|(counter, records)| counter.absolute(records));
        self.dropped.iter().zip(books.dropped).for_each(|(counter, records)| counter.absolute(records));
        self.buffered_records.set(books.waiting as f64);
        self.buffered_bytes.set(books.waiting_octets as f64);
    }
}

/// What the driver counts. The books of each class balance: what was metered and recovered is covered, delivered (classes
/// that may lose), abandoned, dropped or buffered.
pub struct Exported {
    classes: Vec<ClassMetrics>,
    resent: Counter,
    window_bytes: Gauge,
    collector_connected: Gauge,
    standby_connected: Gauge,
    registrar_connected: Gauge,
    announces_refused: Counter,
    business_cards: Counter,
    failover_duration: Histogram,
    cookies: [Counter; 2],
    spool: SpoolMetrics,
}

/// The spool of class `reliable`.
struct SpoolMetrics {
    spooled: Counter,
    synced: Gauge,
    records: Gauge,
    bytes: Gauge,
    failing: Gauge,
}

impl SpoolMetrics {
    fn new() -> Self {
        Self {
            spooled: counter!("ipfix_exporter_spooled_records_total"),
            synced: gauge!("ipfix_exporter_spool_synced_number"),
            records: gauge!("ipfix_exporter_spool_records"),
            bytes: gauge!("ipfix_exporter_spool_bytes"),
            failing: gauge!("ipfix_exporter_spool_failing"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    fn update(&self, counts: &SpoolCounts, failing: bool) {
        self.spooled.absolute(counts.spooled);
        self.synced.set(counts.synced_numbers as f64);
        self.records.set(counts.waiting as f64);
        self.bytes.set(counts.octets as f64);
        self.failing.set(f64::from(u8::from(failing)));
    }
}

impl Exported {
    /// Returns the handles of an exporter with these classes of records, which keeps `capacity` octets of them.
    pub fn new(classes: &Classes, capacity: usize) -> Self {
        describe();
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        gauge!("ipfix_exporter_buffer_capacity_bytes").set(capacity as f64);
        Self {
            classes: classes
                .iter()
                .map(|(index, class)| ClassMetrics::new(index, &class.name, class.kind.name()))
                .collect(),
            resent: counter!("ipfix_exporter_resent_records_total"),
            window_bytes: gauge!("ipfix_exporter_window_bytes"),
            collector_connected: gauge!("ipfix_exporter_collector_connected"),
            standby_connected: gauge!("ipfix_exporter_standby_connected"),
            registrar_connected: gauge!("ipfix_exporter_registrar_connected"),
            announces_refused: counter!("ipfix_exporter_announces_refused_total"),
            business_cards: counter!("ipfix_exporter_business_cards_received_total"),
            failover_duration: histogram!(FAILOVER_DURATION),
            cookies: ["accepted", "refused"]
                .map(|result| counter!("ipfix_exporter_cookies_received_total", "result" => result)),
            spool: SpoolMetrics::new(),
        }
    }

    /// Takes over the machine's books and the state of the links.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn update(&self, failover: &Failover, collector: bool, registrar: bool) {
        for metrics in &self.classes {
            let books = failover.class_books(metrics.class);
            metrics.update(&books);
        }
        let books = failover.books();
        self.resent.absolute(books.resent);
        self.spool.update(&failover.spool_counts(), failover.spool_failing().is_some());
        let window = failover.window();
        self.window_bytes.set(if window == u64::MAX { 0.0 } else { window as f64 });
        self.collector_connected.set(f64::from(u8::from(collector)));
        self.registrar_connected.set(f64::from(u8::from(registrar)));
    }

    /// Takes over whether a collector stands by.
    pub fn standby(&self, connected: bool) {
        self.standby_connected.set(f64::from(u8::from(connected)));
    }

    /// Takes over how many announces of registrars were not believed.
    pub fn announces_refused(&self, refused: u64) {
        self.announces_refused.absolute(refused);
    }

    /// Counts a recommendation of other collectors.
    pub fn business_card(&self) {
        self.business_cards.increment(1);
    }

    /// Counts a failover by the sign of loss.
    pub fn failover(&self, reason: &'static str) {
        counter!("ipfix_exporter_failovers_total", "reason" => reason).increment(1);
    }

    /// Counts a cookie.
    pub fn cookie(&self, accepted: bool) {
        self.cookies[usize::from(!accepted)].increment(1);
    }

    /// Records how long the exporter was without a collector.
    pub fn failed_over(&self, after: Duration) {
        self.failover_duration.record(after.as_secs_f64());
    }
}

/// The paths of the association with the collector in use.
pub struct PathMetrics {
    state: [Gauge; 2],
    /// Counts a path that is up, for the first time or again.
    pub up: Counter,
    /// Counts a path that was lost.
    pub down: Counter,
}

impl PathMetrics {
    /// Returns the handles, without any path.
    pub fn without_paths() -> Self {
        describe_gauge!("ipfix_exporter_paths", "Paths to the collector in use, by state");
        describe_counter!(
            "ipfix_exporter_path_changes_total",
            "Paths to collectors lost and regained, by state"
        );
        let change = |state| counter!("ipfix_exporter_path_changes_total", "state" => state);
        let state = ["up", "down"].map(|state| gauge!("ipfix_exporter_paths", "state" => state));
        Self { state, up: change("up"), down: change("down") }
    }

    /// Takes over how many paths are up and how many are down.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn update(&self, up: usize, down: usize) {
        self.state.iter().zip([up, down]).for_each(|(gauge, paths)| gauge.set(paths as f64));
    }
}

pub(crate) fn describe() {
    describe_counter!("ipfix_exporter_records_metered_total", "Flow records given to the exporting process");
    describe_counter!(
        "ipfix_exporter_records_exported_total",
        "Flow records in messages given to the transport, repeats included"
    );
    describe_counter!("ipfix_exporter_resent_records_total", "Flow records sent again after a failover");
    describe_gauge!(
        "ipfix_exporter_class_info",
        "The classes of flow records and their kinds; the value is always 1"
    );
    describe_counter!("ipfix_exporter_records_covered_total", "Flow records a collector has on disk");
    describe_counter!(
        "ipfix_exporter_records_delivered_total",
        "Flow records of a class that may lose some, acknowledged by the collector's transport"
    );
    describe_counter!(
        "ipfix_exporter_records_abandoned_total",
        "Flow records given up by PR-SCTP before the collector acknowledged them"
    );
    describe_counter!("ipfix_exporter_records_dropped_total", "Flow records dropped before they were sent");
    describe_counter!(
        "ipfix_exporter_records_recovered_total",
        "Flow records that an earlier start had left in the spool"
    );
    describe_counter!("ipfix_exporter_spooled_records_total", "Flow records that went to the spool");
    describe_gauge!(
        "ipfix_exporter_spool_synced_number",
        "Flow records of this start with lower numbers are in the spool or on a collector's disk"
    );
    describe_gauge!("ipfix_exporter_spool_records", "Flow records in the spool that memory does not hold");
    describe_gauge!("ipfix_exporter_spool_bytes", Unit::Bytes, "Octets of the spool");
    describe_gauge!("ipfix_exporter_spool_failing", "1 while the spool cannot be written");
    describe_gauge!(
        "ipfix_exporter_buffered_records",
        "Flow records here, in the spool, or on their way to a collector"
    );
    describe_gauge!("ipfix_exporter_buffered_bytes", Unit::Bytes, "Octets of the buffered records");
    describe_gauge!("ipfix_exporter_buffer_capacity_bytes", Unit::Bytes, "Octets the buffer takes at most");
    describe_gauge!(
        "ipfix_exporter_window_bytes",
        Unit::Bytes,
        "Octets that may be sent and not yet on disk"
    );
    describe_gauge!("ipfix_exporter_collector_connected", "1 while a collector is connected");
    describe_gauge!("ipfix_exporter_standby_connected", "1 while a second collector stands by");
    describe_gauge!("ipfix_exporter_registrar_connected", "1 while a registrar answers");
    describe_counter!(
        "ipfix_exporter_announces_refused_total",
        "Announces of registrars that were not believed"
    );
    describe_counter!(
        "ipfix_exporter_business_cards_received_total",
        "Recommendations of other collectors received from the one in use"
    );
    describe_counter!(
        "ipfix_exporter_failovers_total",
        "Moves to another collector, by the reason to leave the one before"
    );
    describe_counter!("ipfix_exporter_cookies_received_total", "Cookies received from collectors");
    describe_histogram!(
        FAILOVER_DURATION,
        Unit::Seconds,
        "From the sign of loss to the first record sent to the next collector"
    );
}
