//! `[relay]`: routers that send NetFlow or IPFIX over UDP.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use intake::Limits;
use serde::Deserialize;
use service::config::{Faults, Period, Size};
use transport::udp::ReceiverOptions;

use super::Config;
use crate::relay::RelayOptions;

/// The file of templates in the state directory.
const TEMPLATES: &str = "relay-templates";

/// `[relay]`: routers that send NetFlow or IPFIX over UDP, in place of packets.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Relay {
    /// Where routers send: NetFlow 5, 7 and 9 and IPFIX, each told by its datagrams.
    pub listen: Vec<SocketAddr>,
    /// Pool that the relay joins, an element for each address of `listen` (RFC 5354 section 3.6). Default: none.
    pub pool: Option<String>,
    /// Octets the kernel may keep for each socket until they are read.
    pub receive_buffer: Size,
    /// Sockets, with a thread each, at every address.
    pub sockets: usize,
    /// How long a template lives that is not repeated (RFC 7011 section 8.4). At least three times the routers'
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
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            pool: None,
            receive_buffer: Size::mebi(8),
            sockets: 1,
            template_lifetime: Period::seconds(30 * 60),
            idle: Period::seconds(30 * 60),
            max_sessions: 4096,
            hold: Size::mebi(1),
            hold_total: Size::mebi(64),
            hold_time: Period::seconds(10 * 60),
        }
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        f.write_str(&listen.join(", "))
    }
}

impl Relay {
    /// Returns how datagrams are received; `state` is where templates are kept for the next start.
    pub fn options(&self, state: Option<&PathBuf>) -> RelayOptions {
        RelayOptions {
            listen: self.listen.clone(),
            receiver: ReceiverOptions {
                receive_buffer: self.receive_buffer.as_usize(),
                sockets: self.sockets,
            },
            limits: Limits {
                template_lifetime: self.template_lifetime.0,
                idle: self.idle.0,
                max_sessions: self.max_sessions,
                hold: self.hold.as_usize(),
                hold_total: self.hold_total.as_usize(),
                hold_time: self.hold_time.0,
            },
            store: state.map(|directory| directory.join(TEMPLATES)),
        }
    }

    pub(super) fn validate(&self, config: &Config, faults: &mut Faults) {
        faults.take(config.open_classes());
        if self.listen.is_empty() {
            faults.add("relay.listen", "must name at least one address and port");
        }
        for (at, address) in self.listen.iter().enumerate() {
            if address.port() == 0 {
                faults.add(format!("relay.listen.{at}"), "routers need to know the port");
            }
            if self.listen[..at].contains(address) {
                faults.add(format!("relay.listen.{at}"), format!("{address} is listed twice"));
            }
            if self.pool.is_some() && address.ip().is_unspecified() {
                faults
                    .add(format!("relay.listen.{at}"), "a pool needs to know the address: not the wildcard");
            }
        }
        self.validate_pool(config, faults);
        if !(1..=64).contains(&self.sockets) {
            faults.add("relay.sockets", "must be from 1 to 64");
        }
        if !(4 << 10..=1 << 30).contains(&self.receive_buffer.0) {
            faults.add("relay.receive-buffer", "must be from 4KiB to 1GiB");
        }
        for (key, period) in [("relay.template-lifetime", self.template_lifetime), ("relay.idle", self.idle)]
        {
            if period < Period::seconds(1) {
                faults.add(key, "must be at least 1s");
            }
        }
        if self.max_sessions == 0 {
            faults.add("relay.max-sessions", "must not be 0");
        }
        for (key, is_set, why) in [
            ("sampling", config.sampling.is_some(), "packets are sampled by the routers of a relay"),
            ("udp", config.udp.is_some(), "a relay passes flows on to a `[pool]`"),
            (
                "export.per-stream",
                config.export.per_stream,
                "tells of all templates before the first record, and a relay learns them from routers later",
            ),
        ] {
            if is_set {
                faults.add(key, why);
            }
        }
    }

    fn validate_pool(&self, config: &Config, faults: &mut Faults) {
        let Some(handle) = &self.pool else { return };
        if let Err(error) = rserpool::PoolHandle::new(handle.as_bytes()) {
            faults.add("relay.pool", error.to_string());
        }
        if config.pool.as_ref().is_some_and(|collectors| collectors.handle == *handle) {
            faults.add("relay.pool", "is the pool of the collectors: relays need one of their own");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, validate};

    fn relay(text: &str) -> Result<Config, String> {
        let config = service::config::parse::<Config>("exporter.toml", text, validate);
        config.map_err(|error| error.to_string())
    }

    fn error(relay: &str, more: &str) -> String {
        let text = format!("[relay]\n{relay}\n[pool]\nkey-file = \"k\"\n{more}\n");
        self::relay(&text).unwrap_err()
    }

    #[test]
    fn there_is_one_input() {
        let pool = "[pool]\nkey-file = \"k\"\n";
        let both = format!("[source]\npcap = \"a\"\n[relay]\nlisten = [\"127.0.0.1:2055\"]\n{pool}");
        assert!(
            relay(pool).unwrap_err().contains("needs `[source]` (packets that are metered) or `[relay]`")
        );
        assert!(relay(&both).unwrap_err().contains("flows come from one input"));
    }

    #[test]
    fn what_does_not_go_with_a_relay_is_refused_at_its_place() {
        let listen = "listen = [\"127.0.0.1:2055\"]";
        for (relay, more, told) in [
            ("", "", "at least one address and port"),
            ("listen = [\"127.0.0.1:0\"]", "", "routers need to know the port"),
            ("listen = [\"127.0.0.1:2055\", \"127.0.0.1:2055\"]", "", "is listed twice"),
            ("listen = [\"router\"]", "", "exporter.toml:2:"),
            ("listen = [\"0.0.0.0:2055\"]\npool = \"relays\"", "", "not the wildcard"),
            ("listen = [\"127.0.0.1:2055\"]\npool = \"\"", "", "exporter.toml:3:1"),
            ("listen = [\"127.0.0.1:2055\"]\npool = \"ipfix\"", "", "need one of their own"),
            ("listen = [\"127.0.0.1:2055\"]\nsockets = 0", "", "from 1 to 64"),
            ("listen = [\"127.0.0.1:2055\"]\nreceive-buffer = \"1KiB\"", "", "from 4KiB to 1GiB"),
            ("listen = [\"127.0.0.1:2055\"]\nidle = \"0s\"", "", "at least 1s"),
            ("listen = [\"127.0.0.1:2055\"]\nmax-sessions = 0", "", "must not be 0"),
            (listen, "[sampling]\nrandom = { population = 10 }", "sampled by the routers"),
            (listen, "[export]\nper-stream = true", "learns them from routers later"),
            (
                listen,
                "[class.reliable]\n[[rule]]\ntemplate = \"ipv4\"\nclass = \"reliable\"",
                "those of routers",
            ),
            (
                listen,
                "[class.reliable]\n[[rule]]\nclass = \"reliable\"\n[[rule]]\nclass = \"reliable\"",
                "rule 1 takes them all before it",
            ),
            (
                listen,
                "[class.reliable]\n[class.timed]\n[[rule]]\nmatch = { bgpSourceAsNumber = 64496 }\nclass = \"reliable\"\n\
                 [[rule]]\nclass = \"reliable\"",
                "the rules take them all",
            ),
        ] {
            let shown = error(relay, more);
            assert!(shown.contains(told), "{told}: {shown}");
        }
    }

    #[test]
    fn rules_are_over_elements_that_only_routers_have() {
        let text = "[relay]\nlisten = [\"127.0.0.1:2055\"]\n[pool]\nkey-file = \"k\"\n[class.reliable]\n[class.timed]\n\
                    [[rule]]\nmatch = { originalExporterIPv4Address = \"192.0.2.0/24\", bgpSourceAsNumber = 64496 }\n\
                    class = \"reliable\"\n";
        let (classes, rules) = relay(text).unwrap().open_classes().unwrap();
        assert_eq!(rules.rules.len(), 1);
        assert_eq!(classes.get(rules.rest).name, "timed");
    }
}
