//! Registrars that announce themselves by multicast (RFC 5352 section 3.6): the table `announce` of a pool, and the
//! socket that hears them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rserpool_proto::registrar::Network;
use serde::{Deserialize, Deserializer, de};
use tracing::{info, warn};
use transport::Endpoint;
use transport::udp::{Group, GroupOptions};

use crate::{ASAP_PORT, ConfiguredRegistrar};

/// The table `announce` of a pool: hear registrars that announce themselves, and use those that are expected.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AnnounceConfig {
    /// The multicast group. Default: 224.0.1.185, IANA's for ASAP; the reference implementation has 239.0.0.50.
    #[serde(default = "group")]
    pub group: IpAddr,
    /// Its UDP port. Default: 3863.
    #[serde(default = "port")]
    pub port: u16,
    /// The local address on whose network announces are heard; IPv4 only. Default: the first one of this process.
    #[serde(default)]
    pub interface: Option<IpAddr>,
    /// Where registrars may be. An announce from anywhere else is not believed: anybody can send one.
    #[serde(deserialize_with = "networks")]
    pub networks: Vec<Network>,
}

const fn group() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(224, 0, 1, 185))
}

const fn port() -> u16 {
    ASAP_PORT
}

/// Reads networks, told as texts: for `deserialize_with`.
pub fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

impl AnnounceConfig {
    /// Says what is wrong, if anything: the key below `announce` and why. `registrars` are those configured beside.
    pub fn fault(&self, registrars: &[ConfiguredRegistrar]) -> Option<(&'static str, &'static str)> {
        if !self.group.is_multicast() {
            return Some(("group", "is no multicast address"));
        }
        if self.port == 0 {
            return Some(("port", "must not be 0"));
        }
        if self.interface.is_some_and(|interface| !interface.is_ipv4() || !self.group.is_ipv4()) {
            return Some(("interface", "is for IPv4 only"));
        }
        if self.networks.is_empty() {
            return Some(("networks", "needs the networks of the registrars: nobody else is believed"));
        }
        if registrars.iter().any(ConfiguredRegistrar::is_tls) {
            return Some(("group", "goes with no tls:// registrar: an announce promises no security"));
        }
        None
    }
}

/// Hears announces. What was not believed is counted.
#[derive(Debug)]
pub(crate) struct Announces {
    group: Option<Group>,
    refused: Arc<AtomicU64>,
}

impl Announces {
    /// Joins the group where one is configured. Where that fails the operator is told, and nothing is heard.
    pub(crate) fn join(config: Option<&AnnounceConfig>, endpoint: Option<&Endpoint>) -> Announces {
        let group = config.and_then(|config| {
            let own = endpoint.map(|endpoint| endpoint.local_address().ip());
            let own = own.filter(|own| own.is_ipv4() && config.group.is_ipv4());
            let group = SocketAddr::new(config.group, config.port);
            let joined = Group::join(&GroupOptions { group, interface: config.interface.or(own), ttl: 1 });
            match joined {
                Ok(joined) => {
                    info!(%group, "hearing announces of registrars");
                    Some(joined)
                }
                Err(error) => {
                    warn!(%error, "announces of registrars are not heard");
                    None
                }
            }
        });
        Announces { group, refused: Arc::default() }
    }

    /// Returns the count of announces that were not believed.
    pub(crate) fn refused(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.refused)
    }

    /// Counts one; returns how many there were.
    pub(crate) fn refuse(&self) -> u64 {
        self.refused.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Waits for the next datagram; for ever without a group. Cancel safe.
    pub(crate) async fn next(&mut self) -> (SocketAddr, Vec<u8>) {
        loop {
            let Some(group) = &mut self.group else { return std::future::pending().await };
            match group.receive().await {
                Ok((from, octets)) => return (from, octets.to_vec()),
                Err(error) => {
                    warn!(%error, "announces of registrars are no longer heard");
                    self.group = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> AnnounceConfig {
        let networks = vec!["10.0.0.0/8".parse().unwrap()];
        AnnounceConfig { group: group(), port: port(), interface: None, networks }
    }

    #[test]
    fn what_could_not_work_or_would_be_unsafe_is_a_fault() {
        let registrars = |text: &str| vec![text.parse::<ConfiguredRegistrar>().unwrap()];
        let fault = |config: AnnounceConfig| config.fault(&registrars("192.0.2.1")).map(|(key, _)| key);
        assert_eq!(fault(config()), None);
        assert_eq!(fault(AnnounceConfig { group: "192.0.2.1".parse().unwrap(), ..config() }), Some("group"));
        assert_eq!(fault(AnnounceConfig { port: 0, ..config() }), Some("port"));
        assert_eq!(fault(AnnounceConfig { interface: "::1".parse().ok(), ..config() }), Some("interface"));
        assert_eq!(fault(AnnounceConfig { networks: vec![], ..config() }), Some("networks"));
        assert_eq!(config().fault(&registrars("tls://192.0.2.1")).map(|(key, _)| key), Some("group"));
    }
}
