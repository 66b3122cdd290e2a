//! `[udp]`: one collector of any make, over UDP (RFC 7011 section 10.3), in place of a pool.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use service::config::{Faults, Period, Size};

/// `[udp]`: one collector, over UDP.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Udp {
    /// Where the collector receives IPFIX.
    pub collector: SocketAddr,
    /// Local address; without it, the one the host uses towards the collector.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// How often templates are repeated (RFC 7011 section 8.4).
    #[serde(default = "template_refresh")]
    pub template_refresh: Period,
    /// After so many messages templates are repeated as well, whichever comes first.
    #[serde(default = "template_refresh_packets")]
    pub template_refresh_packets: u32,
    /// Octets of a message at most; without it, and where it is more, what the path takes in one packet.
    #[serde(default)]
    pub max_message: Option<Size>,
}

const fn template_refresh() -> Period {
    Period::seconds(600)
}

const fn template_refresh_packets() -> u32 {
    4096
}

impl Udp {
    pub(super) fn validate(&self, faults: &mut Faults) {
        let Self { collector, address, template_refresh, template_refresh_packets, max_message } = self;
        if collector.port() == 0 || collector.ip().is_unspecified() {
            faults.add("udp.collector", "must be the address and port of one collector");
        }
        if address.is_some_and(|address| address.is_ipv4() != collector.is_ipv4()) {
            faults.add("udp.address", "must be of the IP version of `udp.collector`");
        }
        if *template_refresh < Period::seconds(1) {
            faults.add("udp.template-refresh", "must be at least 1s");
        }
        if *template_refresh_packets == 0 {
            faults.add("udp.template-refresh-packets", "must be at least 1");
        }
        let least = ipfix::MIN_MESSAGE as u64;
        if max_message.is_some_and(|size| !(least..=65_535).contains(&size.0)) {
            faults.add("udp.max-message", format!("must be from {least}B to 65535B"));
        }
    }
}
