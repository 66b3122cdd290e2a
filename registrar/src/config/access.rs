//! The sections `[[access]]`: who may register where (RFC 5355 threat 4).

use rserpool::TlsConfig;
use rserpool_proto::registrar::{Authority, PoolPattern};
use serde::Deserialize;
use transport::tls::{InvalidName, Names};

use super::Config;

/// One `[[access]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Access {
    /// The name its certificate carries.
    pub name: AccessName,
    /// The pools it may register in.
    pub pools: Vec<PoolName>,
}

/// A DNS name or an IP address.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct AccessName(String);

impl TryFrom<String> for AccessName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<AccessName, InvalidName> {
        // As certificates have it, whatever the case.
        let name = name.to_ascii_lowercase();
        Names::parse([&name]).map(|_| AccessName(name))
    }
}

/// A pool handle, or the beginning of handles and a `*`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct PoolName(String);

impl TryFrom<String> for PoolName {
    type Error = String;

    fn try_from(name: String) -> Result<PoolName, String> {
        match name.find('*') {
            _ if name.is_empty() => Err("a pool handle has at least one octet".to_owned()),
            Some(at) if at + 1 < name.len() => Err(format!("\"{name}\" has a * that is not its end")),
            _ => Ok(PoolName(name)),
        }
    }
}

impl Config {
    /// Returns the names pool elements and pool users may have: those of `[tls]` and those of the access list.
    pub(crate) fn client_names(&self, tls: &TlsConfig) -> Names {
        let listed = self.access.iter().map(|access| access.name.0.clone());
        let both = tls.peer_names.iter().map(|name| name.as_str().to_owned()).chain(listed);
        // Each was parsed already.
        Names::parse(both).unwrap_or_default()
    }

    /// Returns what a peer with these names may register.
    pub(crate) fn authority(&self, names: &[String]) -> Authority {
        let listed = |access: &&Access| names.iter().any(|name| name.eq_ignore_ascii_case(&access.name.0));
        let pools = || -> Vec<PoolPattern> {
            let mine = self.access.iter().filter(listed);
            mine.flat_map(|access| &access.pools).map(|pool| PoolPattern::new(&pool.0)).collect()
        };
        Authority { names: names.to_vec(), pools: (!self.access.is_empty()).then(pools) }
    }
}

#[cfg(test)]
mod tests {
    use rserpool_proto::PoolHandle;

    use super::*;

    fn config(access: &str) -> Result<Config, String> {
        let text = format!(
            "[listen]\nasap = []\nasap-tls = [\"127.0.0.1:3864\"]\n[tls]\ncertificate = \"c\"\nkey = \"k\"\nca = \"a\"\n{access}"
        );
        let parsed = service::config::parse("registrar.toml", &text, super::super::validate);
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_may_register_in_its_pools_and_nobody_else_in_any() {
        let config = config("[[access]]\nname = \"A.example\"\npools = [\"ipfix\", \"test*\"]\n").unwrap();
        let allows =
            |name: &str, pool| config.authority(&[name.to_owned()]).allows(&PoolHandle::new(pool).unwrap());
        assert!(allows("a.example", "ipfix") && allows("a.example", "test-1"));
        assert!(!allows("a.example", "other") && !allows("b.example", "ipfix"));
    }

    #[test]
    fn without_an_access_list_any_pool_is_open_to_whom_tls_lets_in() {
        let config = config("").unwrap();
        assert!(config.authority(&[]).allows(&PoolHandle::new("ipfix").unwrap()));
    }

    #[test]
    fn what_is_no_name_or_no_pool_is_shown_at_its_place() {
        let error = config("[[access]]\nname = \"a b\"\npools = []\n").unwrap_err();
        assert!(error.contains("registrar.toml:9:") && error.contains("\"a b\""), "{error}");
        let error = config("[[access]]\nname = \"a\"\npools = [\"a*b\"]\n").unwrap_err();
        assert!(error.contains("registrar.toml:10:") && error.contains("not its end"), "{error}");
    }
}
