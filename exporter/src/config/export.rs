//! `[export]` and `[retention]`: records to messages, and what waits for an acknowledgement.

use serde::Deserialize;
use service::config::{Faults, Period, Size};

/// `[export]`: records to messages.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Export {
    /// Octets of a message at most, in class `reliable`. Fewer, larger messages cost less.
    pub max_message: Size,
    /// Octets of a message at most, in the classes that may lose some. Without it: what one packet of the path carries,
    /// so that a lost packet is one lost message.
    pub max_lossy_message: Option<Size>,
    /// How long a record waits for its message to fill.
    pub linger: Period,
    /// Whether the export follows RFC 6526: every message in order on its stream, and, before any data, options records that
    /// tell which templates' records may get lost.
    pub per_stream: bool,
    /// How often options records about the exporter are sent to a collector of a pool (RFC 7011 section 4). Over UDP they go with
    /// the templates.
    pub options_interval: Period,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            max_message: Size(8 << 10),
            max_lossy_message: None,
            linger: Period::milliseconds(50),
            per_stream: false,
            options_interval: Period::seconds(600),
        }
    }
}

impl Export {
    pub(super) fn validate(&self, faults: &mut Faults) {
        if self.options_interval < Period::seconds(1) {
            faults.add("export.options-interval", "must be at least 1s");
        }
        let sizes = 512..=65_535;
        let lossy = self.max_lossy_message.map(|size| ("export.max-lossy-message", size));
        for (key, size) in [("export.max-message", self.max_message)].into_iter().chain(lossy) {
            if !sizes.contains(&size.0) {
                faults.add(key, "must be from 512B to 65535B");
            }
        }
    }
}

/// Octets of the smallest spool: some segments, and what waits for the disk.
const SMALLEST_SPOOL: u64 = 64 << 20;

/// `[retention]`: records no collector has on disk.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Octets kept in memory. When they are used up, class `reliable` goes to the spool; without one, or when that is full,
    /// a capture file is not read on, but where the replay keeps a pace, the oldest records make room.
    pub memory: Size,
    /// When class `reliable` goes to the spool, which lies in the state directory.
    pub durability: Durability,
    /// Octets of the spool. 0: there is none.
    pub spool_limit: Size,
    /// How long a record waits to be written to the spool with others at most.
    pub sync_interval: Period,
    /// How long collectors get to acknowledge what is left: after SIGTERM in all, after the end of the capture without
    /// progress.
    pub drain_timeout: Period,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            memory: Size::mebi(64),
            durability: Durability::Memory,
            spool_limit: Size::mebi(1024),
            sync_interval: Period::milliseconds(100),
            drain_timeout: Period::seconds(30),
        }
    }
}

/// When class `reliable` is on the exporter's disk.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// When memory is full, and at the end.
    #[default]
    Memory,
    /// Before it is sent.
    Spool,
}

impl RetentionConfig {
    /// `kept`: there is a state directory.
    pub(super) fn validate(&self, kept: bool, faults: &mut Faults) {
        if self.memory.0 < 1 << 20 {
            faults.add("retention.memory", "must be at least 1MiB");
        }
        if !matches!(self.spool_limit.0, 0 | SMALLEST_SPOOL..) {
            faults.add("retention.spool-limit", "must be 0B (no spool) or at least 64MiB");
        } else if kept && self.spool_limit.0 > 0 && self.memory.0 > self.spool_limit.0 {
            let message = "must be at least as much as `memory`, which goes there at the end";
            faults.add("retention.spool-limit", message);
        }
        if self.durability == Durability::Spool && !(kept && self.spool_limit.0 > 0) {
            faults.add(
                "retention.durability",
                "\"spool\" needs `state.directory` to keep it in, and a `spool-limit` above 0",
            );
        }
    }
}
