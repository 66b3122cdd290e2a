//! What a relay counts.

use ipfix::Summary;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Handles of what is counted of the records of all sources.
#[derive(Clone, Debug)]
pub(super) struct RelayMetrics {
    data: Counter,
    options: Counter,
    templates: Counter,
    options_templates: Counter,
    pub(super) lost: Counter,
    late: Counter,
    pub(super) malformed: Counter,
    pub(super) no_template: Counter,
    pub(super) templates_refused: Counter,
    pub(super) table_full: Counter,
    pub(super) too_long: Counter,
}

impl RelayMetrics {
    pub(super) fn new() -> Self {
        describe_counter!(
            "ipfix_exporter_relay_records_received_total",
            "Records received from routers, by kind"
        );
        describe_counter!(
            "ipfix_exporter_relay_records_lost_total",
            "Flow records that the sequence numbers of routers show missing"
        );
        describe_counter!(
            "ipfix_exporter_relay_records_late_total",
            "Flow records that were counted as missing and came after all"
        );
        describe_counter!(
            "ipfix_exporter_relay_dropped_total",
            "What routers sent and is not passed on: datagrams that are malformed, data sets without a template, templates refused, \
             records for whose template the table has no room, and records that no message can hold"
        );
        let received =
            |kind: &'static str| counter!("ipfix_exporter_relay_records_received_total", "kind" => kind);
        let dropped =
            |reason: &'static str| counter!("ipfix_exporter_relay_dropped_total", "reason" => reason);
        Self {
            data: received("data"),
            options: received("options"),
            templates: received("template"),
            options_templates: received("options_template"),
            lost: counter!("ipfix_exporter_relay_records_lost_total"),
            late: counter!("ipfix_exporter_relay_records_late_total"),
            malformed: dropped("malformed"),
            no_template: dropped("no_template"),
            templates_refused: dropped("template"),
            table_full: dropped("table_full"),
            too_long: dropped("too_long"),
        }
    }

    pub(super) fn count(&self, summary: &Summary) {
        self.data.increment(summary.records.into());
        self.options.increment(summary.options_records.into());
        self.templates.increment(summary.templates.into());
        self.options_templates.increment(summary.options_templates.into());
        self.templates_refused.increment(summary.templates_refused.into());
        self.lost.increment(summary.lost.into());
        self.late.increment(summary.late.into());
    }
}

/// What the driver shows of the tables of a relay.
#[derive(Debug)]
pub(crate) struct TableMetrics {
    templates: Gauge,
    options: Gauge,
    options_refused: Counter,
}

impl TableMetrics {
    /// Returns the handles.
    pub(crate) fn new() -> Self {
        describe_gauge!("ipfix_exporter_relay_templates", "Templates of routers that are told to collectors");
        describe_gauge!(
            "ipfix_exporter_relay_options_records",
            "Options records of routers that are told to every collector"
        );
        describe_counter!(
            "ipfix_exporter_relay_options_records_refused_total",
            "Options records of routers that are not passed on, because there are too many"
        );
        Self {
            templates: gauge!("ipfix_exporter_relay_templates"),
            options: gauge!("ipfix_exporter_relay_options_records"),
            options_refused: counter!("ipfix_exporter_relay_options_records_refused_total"),
        }
    }

    /// Takes over how many there are, and how many options records were refused so far.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub(crate) fn update(&self, templates: usize, (options, refused): (usize, u64)) {
        self.templates.set(templates as f64);
        self.options.set(options as f64);
        self.options_refused.absolute(refused);
    }
}

/// Returns the handles of what is counted of datagrams.
pub(super) fn counts() -> intake::Counts {
    describe_counter!("ipfix_exporter_relay_datagrams_received_total", "Datagrams received from routers");
    describe_counter!("ipfix_exporter_relay_received_bytes_total", "Octets of these datagrams");
    describe_gauge!("ipfix_exporter_relay_sources", "Routers: addresses and ports that send");
    describe_gauge!(
        "ipfix_exporter_relay_penalized_sources",
        "Sources not listened to for the malformed messages they sent"
    );
    describe_counter!(
        "ipfix_exporter_relay_kernel_drops_total",
        "Datagrams the kernel dropped because the receive buffer was full"
    );
    describe_counter!(
        "ipfix_exporter_relay_datagrams_discarded_total",
        "Datagrams discarded unread: of a source in the penalty box, of a source beyond max-sessions, or come twice"
    );
    describe_counter!(
        "ipfix_exporter_relay_netflow_datagrams_received_total",
        "NetFlow datagrams received, by version"
    );
    describe_counter!(
        "ipfix_exporter_relay_netflow_datagrams_lost_total",
        "Datagrams of NetFlow version 9 that sequence numbers show missing: how many records they had is not known"
    );
    describe_counter!(
        "ipfix_exporter_relay_netflow_datagrams_late_total",
        "Datagrams of NetFlow version 9 that were counted as missing and came after all"
    );
    describe_gauge!("ipfix_exporter_relay_held_bytes", "Octets of data sets that wait for their template");
    let netflow = |version: &'static str| counter!("ipfix_exporter_relay_netflow_datagrams_received_total", "version" => version);
    let discarded =
        |reason: &'static str| counter!("ipfix_exporter_relay_datagrams_discarded_total", "reason" => reason);
    intake::Counts {
        messages: counter!("ipfix_exporter_relay_datagrams_received_total"),
        octets: counter!("ipfix_exporter_relay_received_bytes_total"),
        sessions: gauge!("ipfix_exporter_relay_sources"),
        penalized: gauge!("ipfix_exporter_relay_penalized_sources"),
        kernel_drops: counter!("ipfix_exporter_relay_kernel_drops_total"),
        penalty: discarded("penalty"),
        too_many: discarded("sessions"),
        duplicates: discarded("duplicate"),
        netflow: [netflow("5"), netflow("7"), netflow("9")],
        lost: counter!("ipfix_exporter_relay_netflow_datagrams_lost_total"),
        late: counter!("ipfix_exporter_relay_netflow_datagrams_late_total"),
        held: gauge!("ipfix_exporter_relay_held_bytes"),
    }
}
