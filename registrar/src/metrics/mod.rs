//! The registrar's metrics: `rserpool_*`.

mod enrp;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use rserpool::Pacing;
use rserpool_proto::hashing::Table;
use rserpool_proto::registrar::{Event, PoolStatus, Registrar, Resolved};
use rserpool_proto::wire::{MessageType, enrp as enrp_wire};
use rserpool_proto::{ControlProtocol, PoolHandle};
use transport::Budget;
use transport::tls::{Identity, Reason};

use crate::remotes::Remotes;

/// Pools with a label of their own; the names come from peers, so later ones share the label `other`.
const MAX_POOL_LABELS: usize = 64;

/// A longer handle is no label.
const MAX_LABEL: usize = 64;

const OTHER: &str = "other";

/// How long the machine takes for a handle resolution; receiving and sending not included.
pub(crate) const RESOLUTION_DURATION: &str = "rserpool_handle_resolution_duration_seconds";

/// Upper bounds of its buckets: 0.5 ms to 1 s, and below that more, as a resolution of one element takes microseconds.
pub(crate) const RESOLUTION_BUCKETS: &[f64] =
    &[1e-6, 1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0];

/// Handles are made once each; pools and message types get theirs when they first appear.
pub(crate) struct Metrics {
    recorder: service::Metrics,
    pools: Gauge,
    connections: [Gauge; 2],
    /// Of unknown pools, and those answered with an error; by pool are the answered ones.
    resolutions: [Counter; 2],
    resolved: HashMap<String, Resolutions>,
    answers_cut: Counter,
    enrp: enrp::Enrp,
    keep_alives: [Counter; 2],
    reports: [Counter; 3],
    malformed: Counter,
    lives_in_seconds: Counter,
    wrong_protocol: [Counter; 2],
    resolution_duration: Histogram,
    stalls: Counter,
    shed: Counter,
    /// Since there were too many in all, and of their address.
    refused_connections: [Counter; 2],
    buffered: Gauge,
    held_back: Counter,
    tls: Option<Tls>,
    /// By protocol, type and direction.
    messages: HashMap<(&'static str, &'static str, &'static str), Counter>,
    causes: HashMap<&'static str, Counter>,
    labels: BTreeSet<String>,
    elements: HashMap<String, Elements>,
    changes: HashMap<(String, &'static str), Counter>,
    /// Of the same, those of pools that have labels of their own.
    labelled: Table<(PoolHandle, &'static str), Counter>,
}

/// How TLS handshakes ended.
struct Tls {
    identity: Identity,
    completed: Counter,
    failed: [Counter; Reason::ALL.len()],
}

impl Tls {
    fn new(identity: Identity) -> Tls {
        let result = |result| counter!("rserpool_tls_handshakes_total", "result" => result);
        Tls { identity, completed: result("ok"), failed: Reason::ALL.map(|reason| result(reason.label())) }
    }

    fn publish(&self) {
        let handshakes = self.identity.handshakes();
        self.completed.absolute(handshakes.completed);
        for (counter, reason) in self.failed.iter().zip(Reason::ALL) {
            counter.absolute(handshakes.failed(reason));
        }
    }
}

/// Handle resolutions that were answered, and the elements in the answers.
struct Resolutions {
    answered: Counter,
    selected: Counter,
}

/// By state: up, suspect, draining.
type Elements = [Gauge; 3];

impl Metrics {
    /// Makes the handles. `identity` counts the TLS handshakes, where there are any.
    pub(crate) fn new(recorder: service::Metrics, identity: Option<Identity>) -> Metrics {
        recorder.clone().scope(|| {
            describe();
            let resolutions = |result| {
                counter!("rserpool_handle_resolutions_total", "pool" => OTHER, "result" => result)
            };
            let keep_alives = |result| counter!("rserpool_keepalives_total", "result" => result);
            let reports = |result| counter!("rserpool_unreachable_reports_total", "result" => result);
            let enrp = enrp::Enrp::new(recorder.clone());
            Metrics {
                recorder,
                pools: gauge!("rserpool_pools"),
                connections: ["asap", "enrp"].map(|protocol| gauge!("rserpool_connections", "protocol" => protocol)),
                resolutions: ["unknown_pool", "refused"].map(resolutions),
                resolved: HashMap::new(),
                answers_cut: counter!("rserpool_handle_resolution_answers_cut_total"),
                enrp,
                keep_alives: [keep_alives("answered"), keep_alives("missed")],
                reports: [reports("accepted"), reports("limited"), reports("unknown_element")],
                malformed: error("malformed"),
                lives_in_seconds: counter!("rserpool_lives_in_seconds_total"),
                wrong_protocol: ["asap", "enrp"].map(|protocol| {
                    counter!("rserpool_message_errors_total", "protocol" => protocol, "cause" => "wrong_protocol")
                }),
                resolution_duration: histogram!(RESOLUTION_DURATION),
                stalls: counter!("rserpool_stalls_total"),
                shed: counter!("rserpool_connections_shed_total"),
                refused_connections: ["connections", "connections_per_address"]
                    .map(|reason| counter!("rserpool_connections_refused_total", "reason" => reason)),
                buffered: gauge!("rserpool_buffered_bytes"),
                held_back: counter!("rserpool_handle_resolutions_held_back_total"),
                tls: identity.map(Tls::new),
                messages: HashMap::new(),
                causes: HashMap::new(),
                labels: BTreeSet::new(),
                elements: HashMap::new(),
                changes: HashMap::new(),
                labelled: Table::default(),
            }
        })
    }

    /// Counts a message with a payload protocol identifier that is not its connection's.
    pub(crate) fn wrong_protocol(&self, protocol: ControlProtocol) {
        match protocol {
            ControlProtocol::Asap => self.wrong_protocol[0].increment(1),
            ControlProtocol::Enrp => self.wrong_protocol[1].increment(1),
        }
    }

    /// Counts a connection that was one too many of its address.
    pub(crate) fn refused_of_address(&self) {
        self.refused_connections[1].increment(1);
    }

    /// Publishes what the connections hold in their buffers, and how they were slowed down or closed.
    pub(crate) fn publish_buffers(&self, budget: &Budget, pacing: &Pacing) {
        self.buffered.set(float(budget.held()));
        self.shed.absolute(budget.closed());
        self.held_back.absolute(pacing.held_back());
    }

    /// Publishes how many lookups of peers' names brought addresses, and how many none.
    pub(crate) fn publish_lookups(&self, counts: (u64, u64)) {
        self.enrp.publish_lookups(counts);
    }

    /// Records how long the machine took for so many handle resolutions in a row: their mean, as often.
    pub(crate) fn resolved_in(&self, duration: Duration, count: usize) {
        self.resolution_duration.record_many(duration.as_secs_f64() / count.max(1) as f64, count);
    }

    /// Counts what happened to a pool element.
    pub(crate) fn count(&mut self, event: &Event) {
        let (pool, change) = match event {
            Event::ElementRegistered { pool, .. } => (pool, "registered"),
            Event::ElementUpdated { pool, .. } => (pool, "updated"),
            Event::ElementReassociated { pool, .. } => (pool, "reassociated"),
            Event::ElementRemoved { pool, reason, .. } => (pool, reason.label()),
            Event::ElementReplicated { pool, .. } => (pool, "replicated"),
            Event::ElementAdopted { pool, from: None, .. } => (pool, "taken_over"),
            Event::ElementAdopted { pool, .. } => (pool, "handed_over"),
            Event::HomeChanged { pool, .. } => (pool, "home_changed"),
            Event::ElementDraining { pool, .. } => (pool, "draining"),
            Event::ElementUndrained { pool, .. } => (pool, "undrained"),
            Event::RegistrationRejected { .. }
            | Event::ElementSuspect { .. }
            | Event::ElementRecovered { .. }
            | Event::Malformed { .. }
            | Event::Ready { .. }
            | Event::PeerJoined { .. }
            | Event::PeerSuspect { .. }
            | Event::PeerRecovered { .. }
            | Event::PeerLost { .. }
            | Event::PeerRefused { .. }
            | Event::IdConflict { .. }
            | Event::NotAccepted { .. }
            | Event::ClaimContradicted { .. }
            | Event::PeerError { .. }
            | Event::TableDownloaded { .. }
            | Event::TableIncomplete { .. }
            | Event::ChecksumMismatch { .. }
            | Event::TakeoverStarted { .. }
            | Event::TakeoverAbandoned { .. }
            | Event::TakenOver { .. }
            | Event::TakeoverLost { .. }
            | Event::Left { .. }
            | Event::Stalled { .. } => return,
        };
        let key = (pool.clone(), change);
        if let Some(counter) = self.labelled.get(&key) {
            return counter.increment(1);
        }
        let label = self.label(pool);
        let recorder = &self.recorder;
        let has_its_own = label != OTHER;
        let counter = self.changes.entry((label, change)).or_insert_with_key(|(label, change)| {
            recorder.scope(|| {
                counter!("rserpool_pool_element_changes_total", "pool" => label.clone(), "event" => *change)
            })
        });
        counter.increment(1);
        if has_its_own {
            self.labelled.insert(key, counter.clone());
        }
    }

    /// Publishes the machine's counters.
    pub(crate) fn publish(&mut self, machine: &mut Registrar, remotes: &Remotes) {
        self.publish_resolved(machine.take_resolved());
        self.enrp.publish(machine);
        let counters = machine.counters();
        for (gauge, protocol) in self.connections.iter().zip([ControlProtocol::Asap, ControlProtocol::Enrp]) {
            gauge.set(float(remotes.count(protocol)));
        }
        self.resolutions[0].absolute(counters.resolutions_unknown);
        self.resolutions[1].absolute(counters.resolutions_refused);
        self.answers_cut.absolute(counters.answers_cut);
        self.keep_alives[0].absolute(counters.keep_alives_answered);
        self.keep_alives[1].absolute(counters.keep_alives_missed);
        self.reports[0].absolute(counters.reports_accepted);
        self.reports[1].absolute(counters.reports_limited);
        self.reports[2].absolute(counters.reports_unknown);
        self.malformed.absolute(counters.malformed);
        self.lives_in_seconds.absolute(counters.lives_in_seconds);
        self.stalls.absolute(counters.stalls);
        self.refused_connections[0].absolute(counters.connections_refused);
        if let Some(tls) = &self.tls {
            tls.publish();
        }
        let named = |counts: &BTreeMap<MessageType, u64>| {
            by_name(counts.iter().map(|(kind, count)| (kind.name(), *count)))
        };
        let (received, sent) = (named(&counters.received), named(&counters.sent));
        let enrp = machine.enrp_counters();
        let named = |counts: &BTreeMap<enrp_wire::MessageType, u64>| {
            by_name(counts.iter().map(|(kind, count)| (kind.name(), *count)))
        };
        let (enrp_received, enrp_sent) = (named(&enrp.received), named(&enrp.sent));
        for (protocol, direction, counts) in [
            ("asap", "received", received),
            ("asap", "sent", sent),
            ("enrp", "received", enrp_received),
            ("enrp", "sent", enrp_sent),
        ] {
            self.publish_messages(protocol, direction, counts);
        }
        let mut causes = BTreeMap::new();
        for (code, count) in &counters.causes {
            *causes.entry(code.label()).or_insert(0) += count;
        }
        for (cause, count) in causes {
            let recorder = &self.recorder;
            let counter = self.causes.entry(cause).or_insert_with(|| recorder.scope(|| error(cause)));
            counter.absolute(count);
        }
    }

    fn publish_messages(
        &mut self,
        protocol: &'static str,
        direction: &'static str,
        counts: BTreeMap<&'static str, u64>,
    ) {
        for (name, count) in counts {
            let recorder = &self.recorder;
            let counter = self.messages.entry((protocol, name, direction)).or_insert_with(|| {
                recorder.scope(|| {
                    counter!("rserpool_messages_total",
                        "protocol" => protocol, "type" => name, "direction" => direction)
                })
            });
            counter.absolute(count);
        }
    }

    fn publish_resolved(&mut self, resolved: BTreeMap<PoolHandle, Resolved>) {
        for (pool, Resolved { answered, selected }) in resolved {
            let label = self.label(&pool);
            let recorder = &self.recorder;
            let counters = self.resolved.entry(label).or_insert_with_key(|label| {
                recorder.scope(|| Resolutions {
                    answered: counter!("rserpool_handle_resolutions_total",
                        "pool" => label.clone(), "result" => "answered"),
                    selected: counter!("rserpool_element_selected_total", "pool" => label.clone()),
                })
            });
            counters.answered.increment(answered);
            counters.selected.increment(selected);
        }
    }

    /// Publishes how many elements each pool has.
    pub(crate) fn publish_pools<'a>(&mut self, pools: impl Iterator<Item = PoolStatus<'a>>) {
        // A pool that is gone has no elements.
        let mut counts: BTreeMap<String, [usize; 3]> =
            self.elements.keys().map(|label| (label.clone(), [0; 3])).collect();
        let mut known = 0;
        for pool in pools {
            known += 1;
            let counts = counts.entry(self.label(pool.pool)).or_default();
            for (count, more) in counts.iter_mut().zip([pool.up, pool.suspect, pool.draining]) {
                *count += more;
            }
        }
        self.pools.set(float(known));
        for (label, counts) in counts {
            let recorder = &self.recorder;
            let elements = self.elements.entry(label).or_insert_with_key(|label| {
                let state =
                    |state| gauge!("rserpool_pool_elements", "pool" => label.clone(), "state" => state);
                recorder.scope(|| ["up", "suspect", "draining"].map(state))
            });
            for (gauge, count) in elements.iter().zip(counts) {
                gauge.set(float(count));
            }
        }
    }

    /// Returns the pool's label: its own while there are not too many.
    fn label(&mut self, pool: &PoolHandle) -> String {
        let label = pool.to_string();
        if self.labels.contains(&label) {
            return label;
        }
        if label.len() > MAX_LABEL || self.labels.len() >= MAX_POOL_LABELS {
            return OTHER.to_owned();
        }
        self.labels.insert(label.clone());
        label
    }
}

/// Types we do not know share one name.
fn by_name(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<&'static str, u64> {
    let mut named = BTreeMap::new();
    for (name, count) in counts {
        *named.entry(name).or_insert(0) += count;
    }
    named
}

fn describe() {
    describe_gauge!("rserpool_pools", "Pools in the handlespace");
    describe_gauge!("rserpool_pool_elements", "Pool elements by pool and state");
    describe_gauge!("rserpool_connections", "Associations and connections of pool elements and pool users");
    describe_counter!("rserpool_pool_element_changes_total", "Changes of the handlespace by pool and event");
    describe_counter!("rserpool_handle_resolutions_total", "Handle resolutions by pool and result");
    describe_counter!(
        "rserpool_element_selected_total",
        "Pool elements in answers to handle resolutions, by pool"
    );
    describe_counter!(
        "rserpool_handle_resolution_answers_cut_total",
        "Answers with fewer elements than were selected, since a message has 65535 octets at most"
    );
    describe_histogram!(
        RESOLUTION_DURATION,
        "Time the registrar needs for a handle resolution, without receiving and sending, in seconds; the mean of those \
         that come together"
    );
    describe_counter!("rserpool_keepalives_total", "Keep-alives sent to pool elements, by result");
    describe_counter!(
        "rserpool_unreachable_reports_total",
        "Reports of unreachable pool elements, by result"
    );
    describe_counter!("rserpool_messages_total", "Messages by protocol, type and direction");
    describe_counter!(
        "rserpool_message_errors_total",
        "Messages that could not be processed, and error causes sent, by protocol and cause"
    );
    describe_counter!("rserpool_tls_handshakes_total", "TLS handshakes by result");
    describe_counter!(
        "rserpool_connections_shed_total",
        "Connections closed since the buffers were full and they held most of them"
    );
    describe_counter!(
        "rserpool_connections_refused_total",
        "Connections closed at once, by the limit that was reached: connections or connections-per-address"
    );
    describe_gauge!(
        "rserpool_buffered_bytes",
        "Octets in the buffers of all connections: incomplete messages, messages that wait, and answers not yet read"
    );
    describe_counter!(
        "rserpool_handle_resolutions_held_back_total",
        "Times a connection was not read for a while since it had asked for more than it may"
    );
    describe_counter!(
        "rserpool_lives_in_seconds_total",
        "Registration lives told in seconds to this registrar, whose profile counts milliseconds"
    );
    describe_counter!("rserpool_stalls_total", "Times this process was stopped for a while");
}

fn error(cause: &'static str) -> Counter {
    counter!("rserpool_message_errors_total", "protocol" => "asap", "cause" => cause)
}

/// Counts here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use rserpool_proto::wire::PolicyType;
    use rserpool_proto::{ConnectionId, PeId};

    use super::*;

    /// The series after 10,000 elements registered in so many pools, were asked for and left.
    fn series(pools: usize) -> usize {
        let recorder = service::Metrics::new(&[(RESOLUTION_DURATION, RESOLUTION_BUCKETS)]);
        let mut metrics = Metrics::new(recorder.clone(), None);
        let handles: Vec<PoolHandle> =
            (0..pools).map(|number| PoolHandle::new(format!("pool-{number}")).unwrap()).collect();
        for (number, pool) in (0..10_000).zip(handles.iter().cycle()) {
            let (pool, pe, by) = (pool.clone(), PeId(number), ConnectionId(number.into()));
            metrics.count(&Event::ElementRegistered { pool: pool.clone(), pe, by });
            metrics.count(&Event::ElementUpdated { pool: pool.clone(), pe, by });
            metrics.publish_resolved(BTreeMap::from([(pool, Resolved { answered: 1, selected: 1 })]));
        }
        let policy = PolicyType::ROUND_ROBIN;
        metrics.publish_pools(handles.iter().map(|pool| PoolStatus {
            pool,
            policy,
            transport: None,
            up: 1,
            suspect: 0,
            draining: 0,
        }));
        recorder.render().lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
    }

    #[test]
    fn ten_thousand_elements_make_a_few_series_in_however_many_pools() {
        assert!(series(10) <= 300, "{}", series(10));
        assert!(series(10_000) <= 1_000, "{}", series(10_000));
    }
}
