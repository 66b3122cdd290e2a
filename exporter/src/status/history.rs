//! Failovers that are remembered: when, from whom, why, to whom, and how long nobody took records.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use service::time_text;

/// Failovers that are remembered.
const KEPT: usize = 50;

/// One collector that was left.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    /// When.
    pub(crate) time: SystemTime,
    /// The collector that was left.
    pub(crate) from: Peer,
    /// Why, as a metric label and in words.
    pub(crate) reason: &'static str,
    /// See `reason`.
    pub(crate) text: String,
    /// What the transport told beyond that.
    pub(crate) detail: Option<String>,
    /// Flow records that no collector had on disk then.
    pub(crate) unacknowledged: u64,
}

/// A collector, as it is named.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Identifier in the pool; none where there is no pool.
    pub(crate) pe: Option<String>,
    /// Where it is connected.
    pub(crate) address: String,
}

impl Peer {
    pub(crate) fn json(&self) -> Value {
        json!({ "pe": self.pe, "address": self.address })
    }
}

/// The last failovers, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct History {
    count: u64,
    recent: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    failover: Failover,
    to: Option<Peer>,
    gap: Option<Duration>,
}

impl History {
    /// A collector was left.
    pub(crate) fn left(&mut self, failover: Failover) {
        self.count += 1;
        self.recent.truncate(KEPT - 1);
        self.recent.push_front(Entry { failover, to: None, gap: None });
    }

    /// Another one is in use.
    pub(crate) fn promoted(&mut self, to: Peer) {
        if let Some(entry) = self.recent.front_mut().filter(|entry| entry.to.is_none()) {
            entry.to = Some(to);
        }
    }

    /// It has got the first record, `gap` after the sign of loss.
    pub(crate) fn carried_on(&mut self, gap: Duration) {
        if let Some(entry) = self.recent.front_mut().filter(|entry| entry.gap.is_none()) {
            entry.gap = Some(gap);
        }
    }

    /// Returns how many there were, and the last ones, the latest first.
    pub(crate) fn json(&self) -> Value {
        let recent: Vec<Value> = self.recent.iter().map(Entry::json).collect();
        json!({ "count": self.count, "recent": recent })
    }
}

impl Entry {
    fn json(&self) -> Value {
        let Failover { time, from, reason, text, detail, unacknowledged } = &self.failover;
        json!({
            "time": time_text(*time),
            "from": from.json(),
            "reason": reason,
            "text": text,
            "detail": detail,
            "unacknowledged": unacknowledged,
            "to": self.to.as_ref().map(Peer::json),
            "gap-seconds": self.gap.map(|gap| gap.as_secs_f64()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(number: u64) -> Failover {
        Failover {
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(number),
            from: peer("000000a1"),
            reason: "comm_lost",
            text: "association lost".to_owned(),
            detail: None,
            unacknowledged: number,
        }
    }

    fn peer(pe: &str) -> Peer {
        Peer { pe: Some(pe.to_owned()), address: "sctp 192.0.2.1:4739".to_owned() }
    }

    #[test]
    fn a_failover_is_told_with_the_next_collector_and_the_time_without_one() {
        let mut history = History::default();
        history.promoted(peer("000000a1"));
        assert_eq!(history.json(), json!({ "count": 0, "recent": [] }), "the first collector follows none");
        history.left(lost(7));
        assert_eq!(history.json()["recent"][0]["to"], Value::Null);
        history.promoted(peer("000000a2"));
        history.carried_on(Duration::from_millis(250));
        let told = &history.json()["recent"][0];
        assert_eq!(
            (&told["time"], &told["reason"]),
            (&json!("1970-01-01T00:00:07.000Z"), &json!("comm_lost"))
        );
        assert_eq!((&told["to"]["pe"], &told["gap-seconds"]), (&json!("000000a2"), &json!(0.25)));
    }

    #[test]
    fn the_last_ones_are_remembered_and_all_are_counted() {
        let mut history = History::default();
        (0..1_000).for_each(|number| history.left(lost(number)));
        let told = history.json();
        let recent: Vec<u64> = told["recent"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entry| entry["unacknowledged"].as_u64())
            .collect();
        assert_eq!(told["count"], 1_000);
        assert!(recent.iter().copied().eq((950..1_000).rev()), "{recent:?}");
    }
}
