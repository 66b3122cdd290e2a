//! `[udp]`: how datagrams are received.

use serde::Deserialize;
use service::config::{Faults, Period, Size};

/// How IPFIX over UDP is received (RFC 7011 section 10.3).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Udp {
    /// Octets the kernel may keep for each socket until they are read.
    pub receive_buffer: Size,
    /// Sockets, with a thread each, at every address.
    pub sockets: usize,
    /// How long a template lives that is not repeated (RFC 7011 section 8.4). At least three times the exporters'
    /// interval.
    pub template_lifetime: Period,
    /// A source that is silent for longer is forgotten.
    pub idle: Period,
    /// Sources at a time, an address and port each. Datagrams of one more are discarded.
    pub max_sessions: usize,
    /// Octets of data sets of one source that wait for their template; 0: none does.
    pub hold: Size,
    /// The same of all sources together.
    pub hold_total: Size,
    /// How long they wait.
    pub hold_time: Period,
    /// Whether templates are kept in the state directory, for when the collector starts again.
    pub keep_templates: bool,
}

impl Default for Udp {
    fn default() -> Self {
        Self {
            receive_buffer: Size::mebi(8),
            sockets: 1,
            template_lifetime: Period::seconds(30 * 60),
            idle: Period::seconds(30 * 60),
            max_sessions: 4096,
            hold: Size::mebi(1),
            hold_total: Size::mebi(64),
            hold_time: Period::seconds(10 * 60),
            keep_templates: true,
        }
    }
}

impl Udp {
    /// Returns how much is kept of sources.
    pub(crate) fn limits(&self) -> intake::Limits {
        intake::Limits {
            template_lifetime: self.template_lifetime.0,
            idle: self.idle.0,
            max_sessions: self.max_sessions,
            hold: self.hold.as_usize(),
            hold_total: self.hold_total.as_usize(),
            hold_time: self.hold_time.0,
        }
    }

    pub(super) fn validate(&self, faults: &mut Faults) {
        if !(1..=64).contains(&self.sockets) {
            faults.add("udp.sockets", "must be from 1 to 64");
        }
        if !(4 << 10..=1 << 30).contains(&self.receive_buffer.0) {
            faults.add("udp.receive-buffer", "must be from 4KiB to 1GiB");
        }
        for (key, period) in [("udp.template-lifetime", self.template_lifetime), ("udp.idle", self.idle)] {
            if period < Period::seconds(1) {
                faults.add(key, "must be at least 1s");
            }
        }
        if self.max_sessions == 0 {
            faults.add("udp.max-sessions", "must not be 0");
        }
    }
}
