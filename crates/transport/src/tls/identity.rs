//! What this process shows to its peers and whom it believes: certificate, key, certificate authorities.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};

use super::names::Names;
use super::refused::{Counters, Handshakes};
use super::verifier::Verifier;

/// Where certificate, key and certificate authorities are, as PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Files {
    /// This process's certificate, and those between it and its certificate authority.
    pub certificate: PathBuf,
    /// The key of the certificate: PKCS #8, SEC 1 or PKCS #1.
    pub key: PathBuf,
    /// The certificate authorities that sign the certificates of peers.
    pub ca: PathBuf,
}

/// Why certificate, key or certificate authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl IdentityError {
    fn content(path: &Path, what: impl Into<String>) -> IdentityError {
        IdentityError::Content { path: path.to_owned(), what: what.into() }
    }
}

/// What this process shows to its peers and whom it believes. A cheap handle: clones share certificates,
/// their reloads and the counters.
#[derive(Clone, Debug)]
pub struct Identity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: Files,
    current: RwLock<Arc<Material>>,
    counters: Arc<Counters>,
}

/// One generation of certificates.
#[derive(Debug)]
struct Material {
    provider: Arc<CryptoProvider>,
    key: Arc<SingleCertAndKey>,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn rustls::server::danger::ClientCertVerifier>,
}

impl Identity {
    /// Reads the files. Fails when one cannot be read, is no PEM of its kind, or when key and certificate
    /// do not belong together. A certificate that has expired is told in the log and used all the same.
    pub fn read(files: Files) -> Result<Identity, IdentityError> {
        let current = RwLock::new(Arc::new(Material::read(&files)?));
        Ok(Identity(Arc::new(Shared { files, current, counters: Arc::default() })))
    }

    /// Reads the files again: connections from here on show what is in them, and connections that are up
    /// stay. Fails as [`Identity::read`] does, and then nothing changes.
    pub fn reload(&self) -> Result<(), IdentityError> {
        let material = Arc::new(Material::read(&self.0.files)?);
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = material;
        Ok(())
    }

    /// Reloads, and tells the log what came of it. Returns whether it succeeded.
    pub fn reload_or_tell(&self) -> bool {
        if let Err(error) = self.reload() {
            tracing::error!(%error, "certificates not read again, the old ones stay in use");
            return false;
        }
        tracing::info!("certificates read again; connections that are up stay");
        true
    }

    /// Returns how often handshakes ended, and how, since the start.
    pub fn handshakes(&self) -> Handshakes {
        self.0.counters.read()
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    /// What a server needs for a client at `address`. No resumption, no early data (RFC 5355 threat 8).
    pub(super) fn server(&self, names: &Names, address: IpAddr) -> Result<Arc<ServerConfig>, rustls::Error> {
        let material = self.material();
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&material.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(material.verifier(names, address))
            .with_cert_resolver(Arc::clone(&material.key) as _);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// What a client needs for a server at `address`.
    pub(super) fn client(&self, names: &Names, address: IpAddr) -> Result<Arc<ClientConfig>, rustls::Error> {
        let material = self.material();
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&material.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(material.verifier(names, address))
            .with_client_cert_resolver(Arc::clone(&material.key) as _);
        config.resumption = Resumption::disabled();
        // Peers are found by address.
        config.enable_sni = false;
        Ok(Arc::new(config))
    }

    fn material(&self) -> Arc<Material> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Material {
    fn read(files: &Files) -> Result<Material, IdentityError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&octets(&files.key)?)
            .map_err(|error| IdentityError::content(&files.key, format!("no private key in PEM: {error}")))?;
        let own = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
            let what = match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!("is not the key of the certificate in {}", files.certificate.display())
                }
                error => error.to_string(),
            };
            IdentityError::content(&files.key, what)
        })?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&files.ca)? {
            roots.add(root).map_err(|error| IdentityError::content(&files.ca, error.to_string()))?;
        }
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| IdentityError::content(&files.ca, error.to_string()))?;
        let material = Material { provider, key: Arc::new(own.clone().into()), roots, clients };
        material.check_validity(&own, &files.certificate)?;
        Ok(material)
    }

    /// Warns of a certificate of our own that peers will refuse, as far as our own authorities can tell.
    fn check_validity(&self, own: &CertifiedKey, path: &Path) -> Result<(), IdentityError> {
        let (first, chain) =
            own.cert.split_first().ok_or_else(|| IdentityError::content(path, "no certificate"))?;
        let parsed = ParsedCertificate::try_from(first)
            .map_err(|error| IdentityError::content(path, error.to_string()))?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let verified = rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            chain,
            UnixTime::now(),
            algorithms,
        );
        if let Err(rustls::Error::InvalidCertificate(
            error @ (CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }),
        )) = verified
        {
            tracing::warn!(file = %path.display(), "this process's certificate will be refused: {error}");
        }
        Ok(())
    }

    fn verifier(&self, names: &Names, address: IpAddr) -> Arc<Verifier> {
        Arc::new(Verifier {
            roots: Arc::clone(&self.roots),
            algorithms: self.provider.signature_verification_algorithms,
            clients: Arc::clone(&self.clients),
            names: names.clone(),
            address,
        })
    }
}

fn octets(path: &Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|error| IdentityError::Read { path: path.to_owned(), error })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let octets = octets(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(IdentityError::content(path, "no certificate in PEM"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(IdentityError::content(path, error.to_string())),
    }
}
