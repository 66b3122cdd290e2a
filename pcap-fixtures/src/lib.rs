//! Real packet captures for tests and the demo, and generators for what no real capture shows.
//!
//! Where the captures come from stands in `SOURCES.md`; what flows are in them in `*.flows.txt`.

mod file;
mod frame;
pub mod netflow;
mod trace;
mod tshark;

pub use file::{PcapNgWriter, PcapWriter};
pub use frame::{Frame, Wrong};
pub use trace::Trace;
pub use tshark::{ipfix_datagrams, tshark};

use std::path::PathBuf;

/// HTTP over IPv4: short requests, and downloads that stall and that last.
pub const HTTP: &str = "http.pcap";
/// DNS over UDP and TCP.
pub const DNS: &str = "dns.pcap";
/// HTTP and pings over IPv6, with neighbour discovery.
pub const IPV6: &str = "ipv6.pcap";
/// Tagged traffic: 802.1Q, and 802.1Q within 802.1ad.
pub const VLAN: &str = "vlan.pcap";
/// All kinds on two interfaces, as pcapng with nanoseconds.
pub const MIXED: &str = "mixed.pcapng";
/// The same few octets through every kind of tunnel that Linux has, and through MPLS.
pub const TUNNELS: &str = "tunnels.pcap";
/// Hundreds of short connections and a few long ones, cut to their headers; replayed in the demo.
pub const DEMO: &str = "demo.pcap";

/// All captures of this crate.
pub const ALL: [&str; 7] = [HTTP, DNS, IPV6, VLAN, MIXED, TUNNELS, DEMO];

/// Returns the path of a file of this crate, for instance of [`HTTP`]. It need not exist.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}
