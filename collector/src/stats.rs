//! `/api/v1/stats`: the books of the collector, as JSON.
//!
//! For every output: received = written + duplicates + dropped + in flight, in flow records, whatever the moment: what an output
//! is about to count may be in flight and written at once, for as long as that takes. Beside that, "split": how many of those
//! written are two uniflows there.

use serde_json::{Map, Value, json};

use crate::metrics::{DropReason, OutputMetrics, SessionMetrics};

/// Returns the books: what sessions received, and what outputs have, by their names.
pub(crate) fn stats<'a>(
    sessions: &SessionMetrics,
    outputs: impl Iterator<Item = (&'a str, &'a OutputMetrics)>,
) -> Value {
    let outputs: Map<String, Value> =
        outputs.map(|(name, metrics)| (name.to_owned(), books(metrics))).collect();
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
