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
    /// Says what is wrong: keys below `announce` and why. `registrars` are those configured beside.
    pub fn faults(
        &self,
        registrars: &[ConfiguredRegistrar],
    ) -> impl Iterator<Item = (&'static str, &'static str)> {
        let secured = registrars.iter().any(ConfiguredRegistrar::is_tls);
        let interface = self.interface.filter(|interface| !interface.is_ipv4() || !self.group.is_ipv4());
        [
            (!self.group.is_multicast(), "group", "is no multicast address"),
            (self.port == 0, "port", "must not be 0"),
            (interface.is_some(), "interface", "is for IPv4 only"),
            (
                self.networks.is_empty(),
                "networks",
                "needs the networks of the registrars: nobody else is believed",
            ),
            (secured, "group", "goes with no tls:// registrar: an announce promises no security"),
        ]
        .into_iter()
        .filter_map(|(is_wrong, key, why)| is_wrong.then_some((key, why)))
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
        let keys = |config: AnnounceConfig, registrar| -> Vec<&str> {
            config.faults(&registrars(registrar)).map(|(key, _)| key).collect()
        };
        let faults = |config| keys(config, "192.0.2.1");
        assert_eq!(faults(config()), [""; 0]);
        assert_eq!(faults(AnnounceConfig { group: "192.0.2.1".parse().unwrap(), ..config() }), ["group"]);
        assert_eq!(faults(AnnounceConfig { interface: "::1".parse().ok(), ..config() }), ["interface"]);
        assert_eq!(
            faults(AnnounceConfig { port: 0, networks: vec![], ..config() }),
            ["port", "networks"],
            "all of them"
        );
        assert_eq!(keys(config(), "tls://192.0.2.1"), ["group"]);
    }
}
