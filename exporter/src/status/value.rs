//! Parts of the status as page and terminal show them.

use serde_json::Value;

/// A text; nothing where there is none.
pub(crate) fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list; empty where there is none.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A number; 0 where there is none.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// The sum of an object's numbers.
pub(crate) fn sum(value: &Value) -> u64 {
    value.as_object().into_iter().flatten().map(|(_, records)| number(records)).sum()
}

/// A collector by its identifier and address.
pub(crate) fn peer(peer: &Value) -> String {
    format!("{} {}", words(&peer["pe"]), words(&peer["address"])).trim_start().to_owned()
}

/// Why a collector was left.
pub(crate) fn why_left(failover: &Value) -> String {
    match failover["detail"].as_str() {
        Some(detail) => format!("{}: {detail}", words(&failover["text"])),
        None => words(&failover["text"]).to_owned(),
    }
}

/// What tells this exporter from others.
pub(crate) fn name(exporter: &Value) -> String {
    format!("{}, domain {}", words(&exporter["source"]), exporter["domain"])
}
