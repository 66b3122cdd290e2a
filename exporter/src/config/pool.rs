//! `[pool]`: the collectors.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use service::config::Invalid;

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
    /// UDP port of this host's userland SCTP (RFC 6951).
    #[serde(default = "encapsulation")]
    pub encapsulation_port: u16,
    /// Whose SCTP: the kernel's or our own.
    #[serde(default)]
    pub stack: transport::Stack,
    /// The pool's keys, which sign the collectors' cookies.
    pub key_file: PathBuf,
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
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        if let Err(error) = rserpool::PoolHandle::new(self.handle.as_bytes()) {
            return Err(Invalid::new("pool.handle", error.to_string()));
        }
        if self.registrars.is_empty() {
            return Err(Invalid::new("pool.registrars", "must name at least one registrar"));
        }
        Ok(())
    }
}
