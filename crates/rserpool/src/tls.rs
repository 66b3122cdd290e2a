//! The section `[tls]` of a daemon's configuration: who it is, and who its peers may be.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use transport::tls::{Client, Files, Identity, IdentityError, InvalidName, Names};

use crate::ConfiguredRegistrar;

/// The section `[tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file of this daemon's certificate, and those between it and its certificate authority.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
    /// PEM file of the certificate authorities that sign the certificates of peers.
    pub ca: PathBuf,
    /// Names one of which a peer's certificate must carry. Default: none, and it must carry the address the peer
    /// is at.
    #[serde(default)]
    pub peer_names: Vec<PeerName>,
    /// The same for registrars. Default: `peer_names`.
    #[serde(default)]
    pub registrar_names: Option<Vec<PeerName>>,
}

/// A DNS name or an IP address.
#[derive(Clone, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct PeerName(String);

impl TryFrom<String> for PeerName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<PeerName, InvalidName> {
        Names::parse([&name]).map(|_| PeerName(name))
    }
}

impl PeerName {
    /// Returns the name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TlsConfig {
    /// Reads certificate, key and certificate authorities. The error names the file.
    pub fn read(&self) -> Result<Identity, IdentityError> {
        let (certificate, key, ca) = (self.certificate.clone(), self.key.clone(), self.ca.clone());
        Identity::read(Files { certificate, key, ca })
    }

    /// Returns the names peers may have.
    pub fn peers(&self) -> Names {
        names(&self.peer_names)
    }

    /// Returns the names registrars may have.
    pub fn registrars(&self) -> Names {
        names(self.registrar_names.as_ref().unwrap_or(&self.peer_names))
    }

    /// Returns what it takes to reach peers as `identity`.
    pub fn peer_client(&self, identity: &Identity) -> Client {
        Client { identity: identity.clone(), names: self.peers() }
    }

    /// Returns what it takes to reach the configured `registrars` as `identity`. Where no names are configured, a certificate must
    /// carry the name the registrar is configured by, or its address.
    pub fn client_of(&self, identity: &Identity, registrars: &[ConfiguredRegistrar]) -> Client {
        Client { identity: identity.clone(), names: self.names_of(registrars) }
    }

    /// Returns the names that the configured `registrars` may have, as [`client_of`](TlsConfig::client_of) wants them.
    pub fn names_of(&self, registrars: &[ConfiguredRegistrar]) -> Names {
        let listed = self.registrar_names.as_ref().unwrap_or(&self.peer_names);
        if listed.is_empty() { certificate_names(registrars) } else { self.registrars() }
    }
}

/// Returns what the certificates of `registrars` must carry where no names are configured: the name each of those
/// reached over TLS is configured by. Without any name there, that is the address it is at.
pub fn certificate_names(registrars: &[ConfiguredRegistrar]) -> Names {
    let secured = registrars.iter().filter(|registrar| registrar.is_tls());
    if secured.clone().all(|registrar| registrar.name().is_none()) {
        return Names::default();
    }
    // With a name that no certificate can carry, the address counts.
    Names::parse(secured.map(ConfiguredRegistrar::host)).unwrap_or_default()
}

fn names(listed: &[PeerName]) -> Names {
    // Each was parsed already.
    Names::parse(listed.iter().map(|name| &name.0)).unwrap_or_default()
}
