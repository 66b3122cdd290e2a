//! `[pool]`: the collectors.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use service::config::{Invalid, Period};

/// `[pool]`: the collectors.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pool {
    /// Pool handle the collectors are registered under.
    #[serde(default = "handle")]
    pub handle: String,
    /// Registrars, asked in turn.
    #[serde(default = "registrars")]
    pub registrars: Vec<rserpool::RegistrarAddress>,
    /// Local address; without it, the one the host uses towards the first registrar.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// How collectors are reached. An element of the pool with another transport is not used.
    #[serde(default)]
    pub transport: Transport,
    /// What collectors offer over TCP and TLS, where the pool cannot tell (RFC 5354 section 3.5).
    #[serde(default)]
    pub service: Service,
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

const fn reconnect_pause() -> Period {
    Period::seconds(60)
}

fn handle() -> String {
    "ipfix".to_owned()
}

fn registrars() -> Vec<rserpool::RegistrarAddress> {
    vec!["127.0.0.1:3863".parse().expect("the default registrar address is well-formed")]
}

const fn encapsulation() -> u16 {
    transport::SCTP_ENCAPSULATION_PORT
}

impl Pool {
    pub(super) fn validate(&self, tls: bool) -> Result<(), Invalid> {
        if let Err(error) = rserpool::PoolHandle::new(self.handle.as_bytes()) {
            return Err(Invalid::new("pool.handle", error.to_string()));
        }
        if self.registrars.is_empty() {
            return Err(Invalid::new("pool.registrars", "must name at least one registrar"));
        }
        if !tls && self.transport == Transport::Tls {
            return Err(Invalid::new("pool.transport", "needs certificate, key and ca in [tls]"));
        }
        if !tls && self.registrars.iter().any(rserpool::RegistrarAddress::is_tls) {
            return Err(Invalid::new("pool.registrars", "tls:// needs certificate, key and ca in [tls]"));
        }
        Ok(())
    }
}
