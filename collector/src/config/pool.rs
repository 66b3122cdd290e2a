//! `[[pool]]`: the pools this collector is an element of.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use rserpool::{ASAP_PORT, AnnounceConfig, ConfiguredRegistrar, Network, RegistrarAddress};
use serde::Deserialize;
use service::config::Faults;

use super::{Config, Listen};
use crate::policy::Policy;

/// One pool this collector is an element of.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pool {
    /// The pool handle.
    pub handle: String,
    /// ASAP addresses of the registrars, or their names.
    #[serde(default = "registrars")]
    pub registrars: Vec<ConfiguredRegistrar>,
    /// Whether announces of further registrars are heard. Default: none are.
    #[serde(default)]
    pub announce: Option<AnnounceConfig>,
    /// Where registrars may be that make themselves this pool element's home, beside those of `registrars` and the
    /// networks of `announce`. Default: nowhere else, but on this host where only this host reaches the element.
    #[serde(default, deserialize_with = "rserpool::networks")]
    pub registrar_networks: Vec<Network>,
    /// Whether private addresses are registered with a registrar that is reached at a global one.
    #[serde(default = "yes")]
    pub private_addresses: bool,
    /// Behind a translator (NAT) that passes the ports on: whether the address the registrar sees is registered in place
    /// of those it refuses.
    #[serde(default)]
    pub observed_address: bool,
    /// Whether this element registers a long identifier beside the one of RFC 5354.
    #[serde(default)]
    pub next_generation: bool,
    /// Over which of the collector's addresses; the same for all elements of a pool. Default: the first of SCTP, TCP
    /// and TLS there are addresses of.
    #[serde(default)]
    pub transport: Option<Transport>,
    /// How pool users choose among the elements. All elements of a pool must have the same.
    #[serde(default, deserialize_with = "crate::policy::one")]
    pub policy: Policy,
    /// What the pool offers.
    #[serde(default)]
    pub service: Service,
    /// Keys that sign cookies, one per line, `ID HEX`. Without it, no cookies are sent.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

const fn yes() -> bool {
    true
}

fn registrars() -> Vec<ConfiguredRegistrar> {
    let local = rserpool_proto::RegistrarAddress::sctp(Ipv4Addr::LOCALHOST.into(), ASAP_PORT);
    vec![RegistrarAddress::from(local).into()]
}

/// How a pool's users reach its elements.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// `listen.ipfix`.
    Sctp,
    /// `listen.ipfix-tcp`.
    Tcp,
    /// `listen.ipfix-tls`.
    Tls,
}

/// What a pool offers to its users (RFC 5352 section 3.9).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Data and control: cookies come on the association (transport use 1).
    #[default]
    Full,
    /// Data only.
    Minimal,
}

impl Pool {
    /// Returns how the pool's users reach this collector.
    pub(crate) fn transport(&self, listen: &Listen) -> Transport {
        let has_addresses = |transport: &Transport| !listen.addresses(*transport).is_empty();
        let first = || [Transport::Sctp, Transport::Tcp].into_iter().find(has_addresses);
        self.transport.or_else(first).unwrap_or(Transport::Tls)
    }

    /// Refuses what is wrong in the `at`th `[[pool]]`.
    pub(super) fn validate(&self, at: usize, config: &Config, faults: &mut Faults) {
        let mut refuse = |key: &str, why: String| faults.add(format!("pool.{at}.{key}"), why);
        let Config { listen, tls, .. } = config;
        if listen.addresses(self.transport(listen)).is_empty() && !listen.is_empty() {
            refuse("transport", "there is no such address in [listen]".into());
        }
        if tls.is_none() && self.registrars.iter().any(ConfiguredRegistrar::is_tls) {
            refuse("registrars", "tls:// needs certificate, key and ca in [tls]".into());
        }
        if self.handle.is_empty() {
            refuse("handle", "must not be empty".into());
        }
        if self.registrars.is_empty() && self.announce.is_none() {
            refuse("registrars", "needs an address".into());
        }
        for (key, fault) in self.announce.iter().flat_map(|announce| announce.faults(&self.registrars)) {
            refuse(&format!("announce.{key}"), fault.into());
        }
        if let Some((_, 0)) = self.policy.load() {
            let policy = self.policy.wire().policy_type();
            refuse(&format!("policy.{policy}.capacity"), "must not be 0".into());
        }
    }
}
