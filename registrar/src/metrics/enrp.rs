//! What is measured among registrars (RFC 5353).

use std::collections::HashMap;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use rserpool_proto::registrar::{PeerState, Registrar};

use super::{by_name, float};

const STATES: [PeerState; 4] = [PeerState::Active, PeerState::Suspect, PeerState::Dead, PeerState::Unheard];

/// Handles are made once each; reasons of refusals get theirs when they first appear.
pub(super) struct Enrp {
    recorder: service::Metrics,
    peers: [Gauge; STATES.len()],
    takeovers: [Counter; 3],
    mismatches: Counter,
    malformed: Counter,
    tables: [Counter; 2],
    adoptions: [Counter; 2],
    refused: HashMap<&'static str, Counter>,
    causes: HashMap<&'static str, Counter>,
    causes_received: HashMap<&'static str, Counter>,
    /// Of peers that are configured by name: with an address found, and without.
    lookups: [Counter; 2],
}

impl Enrp {
    pub(super) fn new(recorder: service::Metrics) -> Enrp {
        describe();
        let takeovers = |result| counter!("rserpool_enrp_takeovers_total", "result" => result);
        let tables = |result| counter!("rserpool_enrp_tables_total", "result" => result);
        let adoptions = |result| counter!("rserpool_enrp_adoptions_total", "result" => result);
        Enrp {
            recorder,
            peers: STATES.map(|state| gauge!("rserpool_enrp_peers", "state" => state.label())),
            takeovers: ["started", "abandoned", "completed"].map(takeovers),
            mismatches: counter!("rserpool_enrp_checksum_mismatches_total"),
            malformed: counter!("rserpool_message_errors_total", "protocol" => "enrp", "cause" => "malformed"),
            tables: ["requested", "failed"].map(tables),
            adoptions: ["asked", "acknowledged"].map(adoptions),
            refused: HashMap::new(),
            causes: HashMap::new(),
            causes_received: HashMap::new(),
            lookups: ["ok", "failed"]
                .map(|result| counter!("rserpool_enrp_peer_lookups_total", "result" => result)),
        }
    }

    pub(super) fn publish(&mut self, machine: &Registrar) {
        let counters = machine.enrp_counters();
        let mut peers = [0; STATES.len()];
        for peer in machine.peers() {
            if let Some(at) = STATES.iter().position(|state| *state == peer.state) {
                peers[at] += 1;
            }
        }
        for (gauge, count) in self.peers.iter().zip(peers) {
            gauge.set(float(count));
        }
        let takeovers = [counters.takeovers_started, counters.takeovers_abandoned, counters.takeovers_won];
        let tables = [counters.tables_requested, counters.tables_failed];
        let adoptions = [counters.adoptions_started, counters.adoptions_done];
        let pairs = self.takeovers.iter().zip(takeovers);
        let pairs = pairs.chain(self.tables.iter().zip(tables)).chain(self.adoptions.iter().zip(adoptions));
        for (counter, count) in pairs {
            counter.absolute(count);
        }
        self.mismatches.absolute(counters.mismatches);
        self.malformed.absolute(counters.malformed);
        for (refusal, count) in &counters.refused {
            let recorder = &self.recorder;
            let reason = refusal.label();
            let counter = self.refused.entry(reason).or_insert_with(|| {
                recorder.scope(|| counter!("rserpool_enrp_refused_total", "reason" => reason))
            });
            counter.absolute(*count);
        }
        self.publish_causes(machine);
    }

    pub(super) fn publish_lookups(&self, (answered, failed): (u64, u64)) {
        self.lookups[0].absolute(answered);
        self.lookups[1].absolute(failed);
    }

    fn publish_causes(&mut self, machine: &Registrar) {
        let (recorder, counters) = (&self.recorder, machine.enrp_counters());
        let causes = by_name(counters.causes.iter().map(|(code, count)| (code.label(), *count)));
        for (cause, count) in causes {
            let counter = self.causes.entry(cause).or_insert_with(|| {
                recorder.scope(
                    || counter!("rserpool_message_errors_total", "protocol" => "enrp", "cause" => cause),
                )
            });
            counter.absolute(count);
        }
        for (&cause, &count) in &counters.causes_received {
            let counter = self.causes_received.entry(cause).or_insert_with(|| {
                recorder.scope(|| counter!("rserpool_enrp_error_causes_received_total", "cause" => cause))
            });
            counter.absolute(count);
        }
    }
}

fn describe() {
    describe_gauge!("rserpool_enrp_peers", "Registrars this one knows, by state");
    describe_counter!("rserpool_enrp_takeovers_total", "Takeovers of dead registrars, by result");
    describe_counter!(
        "rserpool_enrp_checksum_mismatches_total",
        "Checksums of registrars that differed from the elements known here"
    );
    describe_counter!("rserpool_enrp_tables_total", "Handle tables asked of registrars, by result");
    describe_counter!(
        "rserpool_enrp_adoptions_total",
        "Pool elements asked to have this registrar as home, by result"
    );
    describe_counter!(
        "rserpool_enrp_error_causes_received_total",
        "Error causes that registrars reported in ENRP_ERROR, by cause"
    );
    describe_counter!(
        "rserpool_enrp_peer_lookups_total",
        "Lookups of registrars that are configured by name, by result"
    );
    describe_counter!("rserpool_enrp_refused_total", "What registrars wanted and may not have, by reason");
}
