//! `/api/v1/stats`: the books of the collector, as JSON.
//!
//! For every output: received = written + duplicates + dropped + in flight, in flow records, whatever the moment: what an output
//! is about to count may be in flight and written at once, for as long as that takes. Beside that, "split": how many of those
//! written are two uniflows there.

use serde_json::{Map, Value, json};
use service::ApiRequest;

use crate::metrics::{DropReason, OutputMetrics, SessionMetrics};

/// Answers a request.
pub(crate) fn answer(request: ApiRequest, sessions: &SessionMetrics, outputs: &[(String, OutputMetrics)]) {
    match request.segments()[..] {
        [b"v1", b"stats"] => request.answer(stats(sessions, outputs).to_string()),
        _ => request.not_found("no such path; /api/v1/ has stats"),
    }
}

fn stats(sessions: &SessionMetrics, outputs: &[(String, OutputMetrics)]) -> Value {
    let outputs: Map<String, Value> =
        outputs.iter().map(|(name, metrics)| (name.clone(), books(metrics))).collect();
    json!({
        "received": { "data": sessions.data.total(), "options": sessions.options.total() },
        "dropped": {
            "no_template": sessions.no_template.total(),
            "malformed": sessions.malformed.total(),
            "limit": sessions.limit.total(),
            "output": sessions.output.total(),
        },
        "outputs": outputs,
    })
}

/// The books of one output.
fn books(metrics: &OutputMetrics) -> Value {
    let dropped = DropReason::ALL.map(|reason| (reason.label().to_owned(), metrics.dropped(reason).into()));
    json!({
        "received": metrics.received(),
        "written": metrics.written.total(),
        "split": metrics.split.total(),
        "duplicates": metrics.duplicates.total(),
        "dropped": dropped.into_iter().collect::<Map<String, Value>>(),
        "in_flight": metrics.in_flight(),
    })
}
