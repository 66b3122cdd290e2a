//! `[pool]`: the collectors.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};
use service::config::{Faults, Period};

/// `[pool]`: the collectors.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pool {
    /// Pool handle the collectors are registered under.
    #[serde(default = "handle")]
    pub handle: String,
    /// Registrars, asked in turn: addresses or names.
    #[serde(default = "registrars")]
    pub registrars: Vec<rserpool::ConfiguredRegistrar>,
    /// Whether announces of further registrars are heard. Default: none are.
    #[serde(default)]
    pub announce: Option<rserpool::AnnounceConfig>,
    /// Whether collectors at private addresses are used, where a registrar at a global address names them.
    #[serde(default = "private_addresses")]
    pub private_addresses: bool,
    /// Local addresses of the SCTP endpoint, one text or a list; without any, those the host uses towards the
    /// registrars. TCP and TLS take the first.
    #[serde(default, deserialize_with = "one_or_more")]
    pub addresses: Vec<IpAddr>,
    /// How collectors are reached. An element of the pool with another transport is not used.
    #[serde(default)]
    pub transport: Transport,
    /// What collectors offer over TCP and TLS, where the pool cannot tell (RFC 5354 section 3.5).
    #[serde(default)]
    pub service: Service,
    /// Whether a restarted exporter goes back to the collector it was on; needs a state directory.
    #[serde(default = "sticky")]
    pub sticky: bool,
    /// Whether a second collector stands by, connected and with the templates (RFC 7011 section 10.2.5). Default: over
    /// SCTP it does, over TCP and TLS not.
    #[serde(default)]
    pub standby: Option<bool>,
    /// Whether the exporter moves to a collector that serves better, or joins.
    #[serde(default = "rebalance")]
    pub rebalance: bool,
    /// Time from one connection to a collector to the next one to the same, over TCP and TLS (RFC 7011 section
    /// 10.4.4).
    #[serde(default = "reconnect_pause")]
    pub reconnect_pause: Period,
    /// Whether TCP and TLS speak MPTCP with peers that do.
    #[serde(default)]
    pub mptcp: bool,
    /// UDP port of this host's userland SCTP (RFC 6951).
    #[serde(default = "encapsulation")]
    pub encapsulation_port: u16,
    /// Whose SCTP: the kernel's or our own.
    #[serde(default)]
    pub stack: transport::Stack,
    /// The pool's keys, which sign the collectors' cookies.
    pub key_file: PathBuf,
}

/// How collectors are reached.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// SCTP.
    #[default]
    Sctp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Transport {
    /// Returns the name, as in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sctp => "sctp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// What collectors offer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Data and control: they acknowledge what they have on disk.
    #[default]
    Full,
    /// Data only.
    Minimal,
}

const fn private_addresses() -> bool {
    true
}

const fn sticky() -> bool {
    true
}

const fn rebalance() -> bool {
    true
}

const fn reconnect_pause() -> Period {
    Period::seconds(60)
}

fn handle() -> String {
    "ipfix".to_owned()
}

fn registrars() -> Vec<rserpool::ConfiguredRegistrar> {
    vec!["127.0.0.1:3863".parse().expect("the default registrar address is well-formed")]
}

const fn encapsulation() -> u16 {
    transport::SCTP_ENCAPSULATION_PORT
}

impl Pool {
    pub(super) fn validate(&self, tls: bool, faults: &mut Faults) {
        if let Err(error) = rserpool::PoolHandle::new(self.handle.as_bytes()) {
            faults.add("pool.handle", error.to_string());
        }
        if self.registrars.is_empty() && self.announce.is_none() {
            faults.add("pool.registrars", "must name at least one registrar");
        } else if self.registrars.is_empty() && self.addresses.is_empty() {
            faults.add("pool.registrars", "needs a registrar, or `addresses` to hear announces at");
        }
        for (key, fault) in self.announce.iter().flat_map(|announce| announce.faults(&self.registrars)) {
            faults.add(format!("pool.announce.{key}"), fault);
        }
        if !tls && self.transport == Transport::Tls {
            faults.add("pool.transport", "needs certificate, key and ca in [tls]");
        }
        if !tls && self.registrars.iter().any(rserpool::ConfiguredRegistrar::is_tls) {
            faults.add("pool.registrars", "tls:// needs certificate, key and ca in [tls]");
        }
        let endpoint: Vec<SocketAddr> = self.addresses.iter().map(|&ip| SocketAddr::new(ip, 0)).collect();
        faults.check_endpoint("pool.addresses", &endpoint);
    }
}

/// Takes `"192.0.2.1"` and `["192.0.2.1", "2001:db8::1"]`.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<IpAddr>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an IP address or a list of IP addresses")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<IpAddr>, E> {
            let address = text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
            Ok(vec![address])
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<IpAddr>, A::Error> {
            let mut addresses = Vec::new();
            while let Some(address) = list.next_element()? {
                addresses.push(address);
            }
            Ok(addresses)
        }
    }
    deserializer.deserialize_any(Visitor)
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, validate};

    fn addresses(line: &str) -> Result<Vec<String>, String> {
        let text = format!("[source]\npcap = \"a\"\n[pool]\nkey-file = \"k\"\n{line}\n");
        let config = service::config::parse::<Config>("exporter.toml", &text, validate);
        let config = config.map_err(|error| error.to_string())?;
        Ok(config.pool.expect("a pool").addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn announces_need_networks_and_an_address_to_be_heard_at() {
        let announce = "announce = { networks = [\"192.0.2.0/24\"] }";
        assert!(addresses(announce).is_ok());
        let error = addresses(&format!("registrars = []\n{announce}")).unwrap_err();
        assert!(error.contains("exporter.toml:5:") && error.contains("needs a registrar"), "{error}");
        assert!(addresses(&format!("registrars = []\naddresses = \"192.0.2.1\"\n{announce}")).is_ok());
        assert!(addresses("announce = { networks = [] }").unwrap_err().contains("nobody else is believed"));
        let tls = format!(
            "registrars = [\"tls://r\"]\n{announce}\n[tls]\ncertificate = \"c\"\nkey = \"k\"\nca = \"a\""
        );
        assert!(addresses(&tls).unwrap_err().contains("no tls:// registrar"));
    }

    #[test]
    fn addresses_are_one_or_a_list() {
        assert_eq!(addresses("").unwrap(), [""; 0]);
        assert_eq!(addresses("addresses = \"192.0.2.1\"").unwrap(), ["192.0.2.1"]);
        let both = addresses("addresses = [\"192.0.2.1\", \"2001:db8::1\"]").unwrap();
        assert_eq!(both, ["192.0.2.1", "2001:db8::1"]);
    }

    #[test]
    fn an_address_that_is_none_is_shown_at_its_place() {
        let error = |line: &str| addresses(line).unwrap_err();
        let text = error("addresses = \"exporter\"");
        assert!(text.contains("exporter.toml:5:13") && text.contains("an IP address or a list"), "{text}");
        assert!(error("addresses = [\"192.0.2.1\", \"x\"]").contains("exporter.toml:5:"));
        assert!(error("addresses = [\"::\"]").contains("not the wildcard"));
        assert!(error("addresses = [\"::1\", \"::1\"]").contains("listed twice"));
        assert!(error("address = \"192.0.2.1\"").contains("did you mean `addresses`?"));
    }
}
