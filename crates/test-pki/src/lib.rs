//! Certificates for tests, made at run time: an authority, what it issues, and a directory of PEM files.
//!
//! Nothing is fit for use outside tests.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// A certificate authority, and a directory for what it issues that is gone with it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

/// Files of one certificate, as a configuration names them.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority that issued it.
    pub ca: PathBuf,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Validity {
    /// Now.
    Current,
    /// Until 2001.
    Past,
}

impl Authority {
    /// A new authority with a directory of its own below the system's for temporary files.
    ///
    /// # Panics
    /// Where that fails; so does everything here.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Authority {
        let name = format!("test-pki-{:016x}", getrandom::u64().unwrap());
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir(&directory).unwrap();
        let mut parameters = CertificateParams::default();
        // Authorities are told apart by their names.
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        fs::write(directory.join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, directory }
    }

    /// Returns where the authority's files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the authority's own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for `names`, DNS names or IP addresses, into files called `file`; those of an
    /// earlier one are replaced.
    pub fn issue(&self, file: &str, names: &[&str], validity: Validity) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        if validity == Validity::Past {
            parameters.not_before = date_time_ymd(2000, 1, 1);
            parameters.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let path = |suffix: &str| self.directory.join(format!("{file}{suffix}"));
        let issued =
            Issued { certificate: path(".pem"), key: path(".key"), ca: self.directory.join("ca.pem") };
        fs::write(&issued.certificate, certificate.pem()).unwrap();
        fs::write(&issued.key, key.serialize_pem()).unwrap();
        issued
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Issued {
    /// Returns `[tls]` of a daemon's configuration that expects `names` of its peers.
    pub fn section(&self, names: &[&str]) -> String {
        let Issued { certificate, key, ca } = self;
        format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}\npeer-names = {names:?}\n")
    }
}
