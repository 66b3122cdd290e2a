//! The collector's metrics. Handles are made once at start and cloned; none is looked up on the data path.

mod output;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use delivery::class_record::Reliability;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use transport::tls::{Identity, Reason};

pub(crate) use self::output::{DropReason, FailureMetrics, OutputMetrics};

/// Bucket bounds of histograms, in seconds.
pub(crate) const BUCKETS: &[(&str, &[f64])] = &[
    (
        "ipfix_collector_output_write_duration_seconds",
        &[0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0, 60.0],
    ),
    // Headers have whole seconds.
    (
        "ipfix_collector_export_delay_seconds",
        &[-300.0, -60.0, -5.0, 0.0, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0],
    ),
];

/// What one transport has brought.
#[derive(Clone, Debug)]
pub(crate) struct TransportMetrics {
    pub(crate) messages: Counter,
    pub(crate) octets: Counter,
}

/// What all sessions count of one class of records, as their exporters call it.
#[derive(Clone, Debug)]
pub(crate) struct ClassMetrics {
    pub(crate) received: Counter,
    pub(crate) lost: Counter,
    /// The same counter in all classes.
    pub(crate) lost_of_all: Counter,
    pub(crate) late: Counter,
    pub(crate) abandoned: Counter,
    pub(crate) spurious: Counter,
    pub(crate) missing: Gauge,
}

/// What all sessions count.
#[derive(Clone, Debug)]
pub(crate) struct SessionMetrics {
    pub(crate) sctp: TransportMetrics,
    pub(crate) tcp: TransportMetrics,
    pub(crate) tls: TransportMetrics,
    pub(crate) udp: TransportMetrics,
    pub(crate) data: Count,
    pub(crate) options: Count,
    pub(crate) templates_received: Counter,
    pub(crate) options_templates_received: Counter,
    pub(crate) withdrawals: Counter,
    pub(crate) no_template: Count,
    pub(crate) malformed: Count,
    pub(crate) limit: Count,
    /// No output had room, and the sender could not be held back.
    pub(crate) output: Count,
    pub(crate) malformed_messages: Counter,
    pub(crate) lost: Counter,
    pub(crate) late: Counter,
    /// By [`Reliability`].
    pub(crate) classes: [ClassMetrics; Reliability::ALL.len()],
    pub(crate) templates: Gauge,
    pub(crate) associations: Gauge,
    pub(crate) associations_refused: Counter,
    pub(crate) cookies: Counter,
    pub(crate) cookie_echoes: Counter,
    pub(crate) cards_sent: Counter,
    pub(crate) cards_received: Counter,
    pub(crate) asap_ignored: Counter,
    pub(crate) export_delay: Histogram,
    /// Data records received, for the load.
    pub(crate) records: Arc<AtomicU64>,
}

/// Returns the handles of what is counted of UDP.
pub(crate) fn udp(sessions: &SessionMetrics) -> intake::Counts {
    describe_gauge!("ipfix_collector_udp_sessions", "Sources of IPFIX over UDP");
    describe_gauge!(
        "ipfix_collector_udp_penalized_sources",
        "Sources not listened to for the malformed messages they sent"
    );
    describe_counter!(
        "ipfix_collector_udp_kernel_drops_total",
        "Datagrams the kernel dropped because the receive buffer was full"
    );
    describe_counter!(
        "ipfix_collector_udp_datagrams_discarded_total",
        "Datagrams discarded unread: of a source in the penalty box, of a source beyond max-sessions, or come twice"
    );
    describe_counter!(
        "ipfix_collector_netflow_datagrams_received_total",
        "NetFlow datagrams received, by version"
    );
    describe_counter!(
        "ipfix_collector_netflow_datagrams_lost_total",
        "Datagrams of NetFlow version 9 that sequence numbers show missing: how many records they had is not known"
    );
    describe_counter!(
        "ipfix_collector_netflow_datagrams_late_total",
        "Datagrams of NetFlow version 9 that were counted as missing and came after all"
    );
    describe_gauge!("ipfix_collector_udp_held_bytes", "Octets of data sets that wait for their template");
    let netflow = |version: &'static str| counter!("ipfix_collector_netflow_datagrams_received_total", "version" => version);
    let discarded =
        |reason: &'static str| counter!("ipfix_collector_udp_datagrams_discarded_total", "reason" => reason);
    let TransportMetrics { messages, octets } = sessions.udp.clone();
    intake::Counts {
        messages,
        octets,
        sessions: gauge!("ipfix_collector_udp_sessions"),
        penalized: gauge!("ipfix_collector_udp_penalized_sources"),
        kernel_drops: counter!("ipfix_collector_udp_kernel_drops_total"),
        penalty: discarded("penalty"),
        too_many: discarded("sessions"),
        duplicates: discarded("duplicate"),
        netflow: [netflow("5"), netflow("7"), netflow("9")],
        lost: counter!("ipfix_collector_netflow_datagrams_lost_total"),
        late: counter!("ipfix_collector_netflow_datagrams_late_total"),
        held: gauge!("ipfix_collector_udp_held_bytes"),
    }
}

/// How the collector stands in one pool.
#[derive(Clone, Debug)]
pub(crate) struct PoolMetrics {
    pub(crate) registered: Gauge,
    pub(crate) joined: Counter,
    pub(crate) left: Counter,
    pub(crate) deregistered: Counter,
    pub(crate) moved: Counter,
    pub(crate) load: Gauge,
    pub(crate) announces_refused: Counter,
    pub(crate) homes_refused: Counter,
}

/// A counter that can be read.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    shown: Counter,
    total: Arc<AtomicU64>,
}

impl Count {
    fn new(shown: Counter) -> Self {
        Self { shown, total: Arc::default() }
    }

    pub(crate) fn increment(&self, by: u64) {
        self.shown.increment(by);
        self.total.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl SessionMetrics {
    pub(crate) fn new() -> Self {
        describe_sessions();
        let transport = |transport: &'static str| TransportMetrics {
            messages: counter!("ipfix_collector_messages_received_total", "transport" => transport),
            octets: counter!("ipfix_collector_received_bytes_total", "transport" => transport),
        };
        let received =
            |kind: &'static str| counter!("ipfix_collector_records_received_total", "kind" => kind);
        let dropped =
            |reason: &'static str| counter!("ipfix_collector_records_dropped_total", "reason" => reason);
        Self {
            sctp: transport("sctp"),
            tcp: transport("tcp"),
            tls: transport("tls"),
            udp: transport("udp"),
            data: Count::new(received("data")),
            options: Count::new(received("options")),
            templates_received: received("template"),
            options_templates_received: received("options_template"),
            withdrawals: received("withdrawal"),
            no_template: Count::new(dropped("no_template")),
            malformed: Count::new(dropped("malformed")),
            limit: Count::new(dropped("limit")),
            output: Count::new(dropped("output")),
            malformed_messages: counter!("ipfix_collector_messages_malformed_total"),
            lost: counter!("ipfix_collector_records_lost_total"),
            late: counter!("ipfix_collector_records_late_total"),
            classes: Reliability::ALL.map(|class| ClassMetrics::new(class.name())),
            templates: gauge!("ipfix_collector_templates"),
            associations: gauge!("ipfix_collector_associations", "state" => "up"),
            associations_refused: counter!("ipfix_collector_associations_refused_total"),
            cookies: counter!("ipfix_collector_cookies_sent_total"),
            cookie_echoes: counter!("ipfix_collector_cookie_echoes_received_total"),
            cards_sent: counter!("ipfix_collector_business_cards_sent_total"),
            cards_received: counter!("ipfix_collector_business_cards_received_total"),
            asap_ignored: counter!("ipfix_collector_asap_messages_ignored_total"),
            export_delay: histogram!("ipfix_collector_export_delay_seconds"),
            records: Arc::default(),
        }
    }
}

/// How TLS handshakes ended.
pub(crate) struct TlsMetrics {
    identity: Identity,
    completed: Counter,
    failed: [Counter; Reason::ALL.len()],
}

impl TlsMetrics {
    pub(crate) fn new(identity: Identity) -> Self {
        describe_counter!("ipfix_collector_tls_handshakes_total", "TLS handshakes by result");
        let result = |result| counter!("ipfix_collector_tls_handshakes_total", "result" => result);
        Self { identity, completed: result("ok"), failed: Reason::ALL.map(|reason| result(reason.label())) }
    }

    /// Takes over what was counted.
    pub(crate) fn publish(&self) {
        let handshakes = self.identity.handshakes();
        self.completed.absolute(handshakes.completed);
        for (counter, reason) in self.failed.iter().zip(Reason::ALL) {
            counter.absolute(handshakes.failed(reason));
        }
    }
}

impl ClassMetrics {
    fn new(class: &'static str) -> Self {
        let counter = |metric: &'static str| counter!(metric, "class" => class);
        Self {
            received: counter("ipfix_collector_class_records_received_total"),
            lost: counter("ipfix_collector_class_records_lost_total"),
            lost_of_all: counter!("ipfix_collector_records_lost_total"),
            late: counter("ipfix_collector_class_records_late_total"),
            abandoned: counter("ipfix_collector_class_records_abandoned_total"),
            spurious: counter("ipfix_collector_class_records_spurious_total"),
            missing: gauge!("ipfix_collector_class_records_missing", "class" => class),
        }
    }
}

impl PoolMetrics {
    pub(crate) fn new(pool: &str) -> Self {
        describe_gauge!(
            "ipfix_collector_pool_registered",
            "Whether the collector is registered in the pool, 0 or 1"
        );
        describe_counter!(
            "ipfix_collector_pool_registration_changes_total",
            "How often the collector came into the pool or left it, its registrar was lost, or another one took it over"
        );
        let pool = pool.to_owned();
        let change = |event: &'static str| counter!("ipfix_collector_pool_registration_changes_total", "pool" => pool.clone(), "event" => event);
        let registered = gauge!("ipfix_collector_pool_registered", "pool" => pool.clone());
        registered.set(0.0);
        describe_gauge!("ipfix_collector_pool_load_ratio", "Load told to the pool, 0 to 1");
        describe_counter!(
            "ipfix_collector_pool_announces_refused_total",
            "Announces of registrars that were not believed"
        );
        describe_counter!(
            "ipfix_collector_pool_homes_refused_total",
            "Registrars that wanted to become the collector's home and were not expected there"
        );
        Self {
            registered,
            joined: change("registered"),
            left: change("lost"),
            deregistered: change("deregistered"),
            moved: change("home_changed"),
            load: gauge!("ipfix_collector_pool_load_ratio", "pool" => pool.clone()),
            announces_refused: counter!("ipfix_collector_pool_announces_refused_total", "pool" => pool.clone()),
            homes_refused: counter!("ipfix_collector_pool_homes_refused_total", "pool" => pool),
        }
    }
}

fn describe_sessions() {
    describe_histogram!(
        "ipfix_collector_export_delay_seconds",
        "From the export time in a message's header to its reception, of one message a second of each session: below zero where \
         the exporter's clock is ahead of this host's"
    );
    describe_counter!(
        "ipfix_collector_messages_received_total",
        "IPFIX messages received, and over UDP datagrams of NetFlow"
    );
    describe_counter!("ipfix_collector_received_bytes_total", "Octets of messages received");
    describe_counter!("ipfix_collector_records_received_total", "Records received in well-formed messages");
    describe_counter!(
        "ipfix_collector_records_dropped_total",
        "Records that were received and are in no output; sets without a template and malformed messages count once each, \
         because their records cannot be counted"
    );
    describe_counter!("ipfix_collector_messages_malformed_total", "Messages discarded whole as malformed");
    describe_counter!("ipfix_collector_records_lost_total", "Records that sequence numbers show missing");
    describe_counter!(
        "ipfix_collector_records_late_total",
        "Records that were counted as missing and came after all"
    );
    describe_classes();
    describe_gauge!("ipfix_collector_templates", "Templates known, of all sessions");
    describe_gauge!("ipfix_collector_associations", "Associations with exporters");
    describe_counter!(
        "ipfix_collector_associations_refused_total",
        "Associations aborted because there were too many"
    );
    describe_counter!("ipfix_collector_cookies_sent_total", "Cookies (durable acknowledgements) sent");
    describe_counter!(
        "ipfix_collector_business_cards_sent_total",
        "Recommendations of other collectors sent to exporters"
    );
    describe_counter!(
        "ipfix_collector_business_cards_received_total",
        "Business cards of exporters that are in a pool themselves"
    );
    describe_counter!(
        "ipfix_collector_cookie_echoes_received_total",
        "ASAP_COOKIE_ECHO messages received from exporters"
    );
    describe_counter!(
        "ipfix_collector_asap_messages_ignored_total",
        "Other ASAP messages received on data associations"
    );
}

fn describe_classes() {
    describe_counter!(
        "ipfix_collector_class_records_received_total",
        "Flow records received in classes that exporters have told"
    );
    describe_counter!(
        "ipfix_collector_class_records_lost_total",
        "Flow records of classes that may lose some, sent and not received: told by the exporter's statistics, the \
         newest at the end of its session"
    );
    describe_counter!(
        "ipfix_collector_class_records_late_total",
        "Flow records received after they were counted as lost"
    );
    describe_counter!(
        "ipfix_collector_class_records_abandoned_total",
        "Flow records that exporters told to have given up on their way"
    );
    describe_gauge!(
        "ipfix_collector_class_records_missing",
        "Flow records of classes that may lose some, sent and not received, that may still come"
    );
    describe_counter!(
        "ipfix_collector_class_records_spurious_total",
        "Flow records received although their exporter had given them up, told at the end of its session"
    );
}
