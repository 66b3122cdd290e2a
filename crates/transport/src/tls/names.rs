//! The names a peer's certificate may carry.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

/// Whom to talk to: names one of which the peer's certificate must carry as a subjectAltName, DNS name
/// or IP address (RFC 7011 section 11.3). Without any, it must carry the IP address the peer is at.
///
/// Common Names are not looked at (RFC 6125 section 6.4.4).
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<[ServerName<'static>]>);

/// Says which text is neither a DNS name nor an IP address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("\"{0}\" is neither a DNS name nor an IP address")]
pub struct InvalidName(pub String);

impl Names {
    /// Parses names as a configuration has them: `collector.example.net`, `192.0.2.1`, `2001:db8::1`.
    /// A wildcard is for certificates, not for this list.
    pub fn parse<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Result<Names, InvalidName> {
        let parse = |name: T| {
            let name = name.as_ref();
            ServerName::try_from(name.to_owned()).map_err(|_| InvalidName(name.to_owned()))
        };
        Ok(Names(names.into_iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Checks that a certificate has one of the names; `address` stands in where there are none.
    pub(super) fn check(
        &self,
        certificate: &ParsedCertificate<'_>,
        address: IpAddr,
    ) -> Result<(), rustls::Error> {
        let has = |name: &ServerName<'_>| rustls::client::verify_server_name(certificate, name);
        let Some((first, others)) = self.0.split_first() else {
            return has(&ServerName::IpAddress(address.into()));
        };
        has(first).or_else(|error| others.iter().find_map(|name| has(name).ok()).ok_or(error))
    }

    /// Returns which of the names a certificate carries; the address where there are none and it carries that.
    pub(super) fn carried(&self, certificate: &CertificateDer<'_>, address: IpAddr) -> Vec<String> {
        let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return Vec::new() };
        let has = |name: &&ServerName<'_>| rustls::client::verify_server_name(&parsed, name).is_ok();
        let address = ServerName::IpAddress(address.into());
        let listed = if self.0.is_empty() { std::slice::from_ref(&address) } else { &self.0[..] };
        listed.iter().filter(has).map(|name| name.to_str().into_owned()).collect()
    }
}

/// `a.example, 192.0.2.1`; `its address` where there are none.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("its address");
        }
        for (at, name) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{}", name.to_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_names_and_addresses() {
        let names = Names::parse(["collector.example.net", "192.0.2.1", "2001:db8::1"]).unwrap();
        assert_eq!(names.to_string(), "collector.example.net, 192.0.2.1, 2001:db8::1");
        assert_eq!(Names::default().to_string(), "its address");
    }

    #[test]
    fn what_is_no_name_is_quoted() {
        for wrong in ["", "*.example.net", "a b", "192.0.2.1:4740"] {
            let error = Names::parse([wrong]).unwrap_err();
            assert!(error.to_string().contains(&format!("\"{wrong}\"")), "{error}");
        }
    }
}
