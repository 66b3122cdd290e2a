//! `registrar.toml`; the annotated sample is `deploy/config/registrar.toml`.

mod access;
mod announce;
mod enrp;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use rserpool::{ASAP_PORT, ProfileConfig, TlsConfig};
use rserpool_proto::RegistrarId;
use rserpool_proto::handlespace;
use rserpool_proto::registrar::{AddressCheck, Network, RegistrarConfig};
use serde::{Deserialize, Deserializer, de};
use service::config::{Faults, Http};
use transport::{SCTP_ENCAPSULATION_PORT, Stack};

pub use access::Access;
pub use announce::Announce;
pub use enrp::{Enrp, Peer};

/// Port of the registrar's HTTP server.
const HTTP_PORT: u16 = 9380;

/// The configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// This registrar's identifier; a random one where there is none.
    pub id: Option<Id>,
    /// Where pool elements and pool users come in.
    pub listen: Listen,
    /// How this registrar and its peers go about.
    pub enrp: Enrp,
    /// The registrars to look for.
    pub peer: Vec<Peer>,
    /// Multicast.
    pub announce: Announce,
    /// Timers.
    pub profile: ProfileConfig,
    /// What pool elements may register.
    pub registration: Registration,
    /// Bounds on what peers may make the registrar keep.
    pub limits: Limits,
    /// Who this registrar is, and who its peers may be.
    pub tls: Option<TlsConfig>,
    /// Who may register where, by the names in certificates; empty: everybody in any pool.
    pub access: Vec<Access>,
    /// The HTTP server.
    pub http: Http,
    /// Commands of the operator.
    pub control: Control,
}

/// A registrar's identifier, in eight hexadecimal digits; in sixteen with the upper half of the long one before it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Id {
    /// The identifier of RFC 5353.
    pub id: RegistrarId,
    /// The upper half of the long identifier (docs/wire.md section 17), if it is configured.
    pub upper: Option<u32>,
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Id, String> {
        let invalid = || format!("\"{text}\" is no identifier such as \"0a0b0c01\", and not 0");
        if !matches!(text.len(), 8 | 16) || !text.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let (upper, id) = text.split_at(text.len() - 8);
        let number = |digits| u32::from_str_radix(digits, 16).ok();
        match number(id).filter(|&id| id != 0) {
            Some(id) => Ok(Id { id: RegistrarId(id), upper: number(upper) }),
            None => Err(invalid()),
        }
    }
}

/// The section `[control]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Control {
    /// The Unix socket for commands that change something; without one there are none.
    pub socket: Option<PathBuf>,
}

/// The section `[listen]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Listen {
    /// The addresses of the SCTP endpoint for ASAP, carried in UDP, all with one port.
    pub asap: Vec<SocketAddr>,
    /// ASAP over TCP.
    pub asap_tcp: Vec<SocketAddr>,
    /// ASAP over TLS.
    pub asap_tls: Vec<SocketAddr>,
    /// The same endpoint for ENRP, which other registrars speak; empty: this one is alone.
    pub enrp: Vec<SocketAddr>,
    /// ENRP over TCP.
    pub enrp_tcp: Vec<SocketAddr>,
    /// ENRP over TLS.
    pub enrp_tls: Vec<SocketAddr>,
    /// Whether TCP and TLS speak MPTCP with peers that do.
    pub mptcp: bool,
    /// The UDP port that carries SCTP.
    pub encapsulation_port: u16,
    /// Whose SCTP: the kernel's or our own.
    pub stack: Stack,
}

/// The section `[registration]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Registration {
    /// Which addresses a pool element may register.
    pub addresses: Addresses,
    /// Networks in which a pool element may register further ones.
    #[serde(deserialize_with = "networks")]
    pub networks: Vec<Network>,
}

/// Which addresses a pool element may register (RFC 5355 threat 3).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Addresses {
    /// Those it is connected from; any loopback address if it is connected from one.
    #[default]
    AssociationOrLoopback,
    /// Those it is connected from, and no loopback address.
    Association,
    /// Any.
    Any,
}

/// Networks are told as texts.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

impl Addresses {
    /// Returns the machine's rule.
    pub const fn check(self) -> AddressCheck {
        match self {
            Addresses::AssociationOrLoopback => AddressCheck::AssociationOrLoopback,
            Addresses::Association => AddressCheck::Association,
            Addresses::Any => AddressCheck::None,
        }
    }
}

/// The section `[limits]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Pools in all.
    pub pools: usize,
    /// Pool elements in all.
    pub pool_elements: usize,
    /// Pool elements of one pool.
    pub pool_elements_per_pool: usize,
    /// Octets of registrations in all.
    pub registration_octets: usize,
    /// Octets of registrations over one connection.
    pub registration_octets_per_connection: usize,
    /// Registrations of one address, or name in certificates, in a second.
    pub registrations_per_second: u32,
    /// Registrations in all in a second.
    pub all_registrations_per_second: u32,
    /// Handle resolutions that one connection is read for in a second; 0: as many as it sends.
    pub resolutions_per_second: u32,
    /// Octets in buffers of all connections together.
    pub buffer_octets: usize,
    /// Associations and connections in all.
    pub connections: usize,
    /// Associations and connections from one IP address.
    pub connections_per_address: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            id: None,
            listen: Listen::default(),
            enrp: Enrp::default(),
            peer: Vec::new(),
            announce: Announce::default(),
            profile: ProfileConfig::default(),
            registration: Registration::default(),
            limits: Limits::default(),
            tls: None,
            access: Vec::new(),
            http: Http::loopback(HTTP_PORT),
            control: Control::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Listen {
        Listen {
            asap: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, ASAP_PORT))],
            asap_tcp: Vec::new(),
            asap_tls: Vec::new(),
            enrp: Vec::new(),
            enrp_tcp: Vec::new(),
            enrp_tls: Vec::new(),
            mptcp: false,
            encapsulation_port: SCTP_ENCAPSULATION_PORT,
            stack: Stack::Auto,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        let handlespace::Limits { pools, elements, elements_per_pool } = handlespace::Limits::default();
        let machine = RegistrarConfig::default();
        Limits {
            registration_octets: machine.max_octets,
            registration_octets_per_connection: machine.max_octets_per_connection,
            registrations_per_second: machine.registrations_per_second,
            all_registrations_per_second: machine.all_registrations_per_second,
            pools,
            pool_elements: elements,
            pool_elements_per_pool: elements_per_pool,
            resolutions_per_second: 1_000,
            buffer_octets: 8 << 20,
            connections: 2_048,
            connections_per_address: 256,
        }
    }
}

impl Config {
    /// Returns the machine's settings. `is_native`: our SCTP is the kernel's.
    pub(crate) fn machine(&self, is_native: bool) -> RegistrarConfig {
        let Limits { pools, pool_elements, pool_elements_per_pool, connections, .. } = self.limits;
        RegistrarConfig {
            id: self.id.map(|id| id.id),
            profile: self.profile.timers.rserpool(),
            limits: handlespace::Limits {
                pools,
                elements: pool_elements,
                elements_per_pool: pool_elements_per_pool,
            },
            max_connections: connections,
            address_check: self.registration.addresses.check(),
            networks: self.registration.networks.clone(),
            max_octets: self.limits.registration_octets,
            max_octets_per_connection: self.limits.registration_octets_per_connection,
            registrations_per_second: self.limits.registrations_per_second,
            all_registrations_per_second: self.limits.all_registrations_per_second,
            enrp: self.enrp_machine(is_native),
            announce: self.announcement(),
            ..RegistrarConfig::default()
        }
    }
}

/// Refuses values that are wrong together, or that no daemon could run with.
pub(crate) fn validate(config: &Config, faults: &mut Faults) {
    let Listen { asap, asap_tcp, asap_tls, enrp, enrp_tcp, enrp_tls, encapsulation_port, .. } =
        &config.listen;
    if asap.is_empty() && asap_tcp.is_empty() && asap_tls.is_empty() {
        faults.add(
            "listen.asap",
            "asap, asap-tcp and asap-tls are all empty: nobody could reach this registrar",
        );
    }
    let has_enrp = !enrp.is_empty() || !enrp_tcp.is_empty() || !enrp_tls.is_empty();
    if !config.peer.is_empty() && !has_enrp {
        let text = "needs enrp, enrp-tcp or enrp-tls in [listen]: peers connect to this registrar, too";
        faults.add("peer", text);
    }
    validate_security(config, faults);
    config.validate_next_generation(faults);
    config.validate_announce(faults);
    faults.check_endpoint("listen.enrp", enrp);
    faults.check_endpoint("listen.asap", asap);
    let hosts = |list: &[SocketAddr]| list.iter().map(SocketAddr::ip).collect::<BTreeSet<_>>();
    if !asap.is_empty() && !enrp.is_empty() && hosts(asap) != hosts(enrp) {
        let text = "must have the same addresses as listen.asap: both are one SCTP endpoint";
        faults.add("listen.enrp", text);
    }
    if !asap.is_empty() && asap.first().map(SocketAddr::port) == enrp.first().map(SocketAddr::port) {
        faults.add("listen.enrp", "must have another port than listen.asap");
    }
    if *encapsulation_port == 0 {
        faults.add("listen.encapsulation-port", "peers have to know it: 0 is none");
    }
}

/// Whether TLS is for everybody, as it is where it is for anybody.
fn is_secured(config: &Config) -> Option<&'static str> {
    let Listen { asap_tls, enrp_tls, .. } = &config.listen;
    let secured = [("listen.asap-tls", asap_tls), ("listen.enrp-tls", enrp_tls)];
    let first = secured.iter().find(|(_, list)| !list.is_empty()).map(|(key, _)| *key);
    first.or(config.access.first().map(|_| "access"))
}

/// "Wholly secured or not at all" (RFC 5355 section 2.15): with TLS for anybody, everybody and every peer has it.
fn validate_security(config: &Config, faults: &mut Faults) {
    let Listen { asap, asap_tcp, enrp, enrp_tcp, .. } = &config.listen;
    let Some(key) = is_secured(config) else { return };
    if config.tls.is_none() {
        faults.add(key, "needs certificate, key and ca in [tls]");
    }
    let opens = [("asap", asap), ("asap-tcp", asap_tcp), ("enrp", enrp), ("enrp-tcp", enrp_tcp)];
    let open: Vec<String> =
        opens.iter().filter(|(_, list)| !list.is_empty()).map(|(key, _)| format!("{key} = []")).collect();
    if !open.is_empty() {
        let open = open.join(" and ");
        let text = format!(
            "a registrar is wholly secured or not at all (RFC 5355 section 2.15): set {open} in [listen]"
        );
        faults.add(key, text);
    }
    if config.peers().any(|peer| !peer.is_tls()) {
        faults.add("peer", "a secured registrar has peers with tls:// addresses only");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        service::config::parse("registrar.toml", text, validate).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_annotated_sample() {
        let (empty, sample) = (parse("").unwrap(), parse(crate::SAMPLE).unwrap());
        assert_eq!(format!("{empty:?}"), format!("{sample:?}"));
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_place() {
        let error = parse("[listen]\nasap-udp = []\n").unwrap_err();
        assert!(error.contains("registrar.toml:2:1"), "{error}");
        assert!(error.contains("unknown key `asap-udp`"), "{error}");
    }

    #[test]
    fn a_registrar_nobody_can_reach_is_refused() {
        assert!(parse("[listen]\nasap = []\n").unwrap_err().contains("nobody could reach this registrar"));
        assert!(parse("[listen]\nasap = []\nasap-tcp = [\"127.0.0.1:3863\"]\n").is_ok());
        assert!(parse("[listen]\nasap = [\"0.0.0.0:3863\"]\n").unwrap_err().contains("registrar.toml:2:"));
    }

    #[test]
    fn a_registrar_is_wholly_secured_or_not_at_all() {
        let tls = "[tls]\ncertificate = \"c\"\nkey = \"k\"\nca = \"a\"\n";
        let listen = |lines: &str| format!("[listen]\nasap-tls = [\"127.0.0.1:3864\"]\n{lines}\n{tls}");
        assert!(parse(&listen("asap = []")).is_ok());
        assert!(parse(&listen("")).unwrap_err().contains("wholly secured"));
        assert!(parse(&listen("asap = []\nasap-tcp = [\"127.0.0.1:3863\"]")).unwrap_err().contains("wholly"));
        let error = parse("[listen]\nasap = []\nasap-tls = [\"127.0.0.1:3864\"]\n").unwrap_err();
        assert!(error.contains("registrar.toml:3:") && error.contains("[tls]"), "{error}");
    }

    #[test]
    fn networks_are_read_and_what_is_none_is_shown_at_its_place() {
        let networks = |list: &str| parse(&format!("[registration]\nnetworks = {list}\n"));
        let config = networks("[\"192.0.2.0/24\", \"2001:db8::/32\"]").unwrap();
        let told: Vec<String> = config.registration.networks.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["192.0.2.0/24", "2001:db8::/32"]);
        let error = networks("[\"192.0.2.1/24\"]").unwrap_err();
        assert!(error.contains("registrar.toml:2:12") && error.contains("192.0.2.0/24"), "{error}");
    }

    #[test]
    fn an_identifier_is_eight_hexadecimal_digits_and_not_zero() {
        let id = RegistrarId(0x0a0b_0c01);
        assert_eq!(parse("id = \"0a0b0c01\"").unwrap().id, Some(Id { id, upper: None }));
        let long = "id = \"0000000f0a0b0c01\"\n";
        let on = "[enrp]\nnext-generation = true\n";
        assert_eq!(parse(&format!("{long}{on}")).unwrap().id, Some(Id { id, upper: Some(15) }));
        let error = parse(long).unwrap_err();
        assert!(error.contains("registrar.toml:1:") && error.contains("next-generation = true"), "{error}");
        for wrong in ["0", "00000000", "0a0b0c0g", "+a0b0c01", "0a0b0c011", "0a0b0c0100000000"] {
            let error = parse(&format!("id = \"{wrong}\"")).unwrap_err();
            assert!(error.contains("registrar.toml:1:6") && error.contains("no identifier"), "{error}");
        }
    }

    #[test]
    fn enrp_is_on_the_endpoint_of_asap() {
        let listen = |enrp: &str| parse(&format!("[listen]\nenrp = [\"{enrp}\"]\n"));
        assert!(listen("127.0.0.1:9901").is_ok());
        assert!(listen("127.0.0.2:9901").unwrap_err().contains("same addresses as listen.asap"));
        assert!(listen("127.0.0.1:3863").unwrap_err().contains("another port"));
        assert!(listen("0.0.0.0:9901").is_err());
    }

    #[test]
    fn the_profile_rsplib_brings_the_rule_and_the_groups_of_the_reference_implementation() {
        use rserpool_proto::registrar::Arbitration::{self, HighestWins, LowestWins};

        let rules = |timers: &str, more: &str| -> (Arbitration, Vec<String>) {
            let text = format!(
                "[listen]\nasap = [\"192.0.2.1:3863\"]\nenrp = [\"192.0.2.1:9901\"]\n\
                 [profile]\ntimers = \"{timers}\"\n[announce]\nasap = {{}}\nenrp = {{}}\n[enrp]\n{more}\n"
            );
            let config = parse(&text).unwrap();
            let groups = config.groups().into_iter().flatten().map(|group| group.group.to_string());
            (config.machine(true).enrp.unwrap().arbitration, groups.collect())
        };
        let iana = vec!["224.0.1.185:3863".to_owned(), "239.0.0.51:9901".to_owned()];
        let reference = vec!["239.0.0.50:3863".to_owned(), "239.0.0.51:9901".to_owned()];
        assert_eq!(rules("fast", ""), (HighestWins, iana.clone()));
        assert_eq!(rules("rfc", "arbitration = \"lowest-wins\""), (LowestWins, iana));
        assert_eq!(rules("rsplib", ""), (LowestWins, reference.clone()));
        assert_eq!(rules("rsplib", "arbitration = \"highest-wins\""), (HighestWins, reference));
    }

    #[test]
    fn addresses_with_different_ports_are_refused() {
        let error = parse("[listen]\nasap = [\"127.0.0.1:1\", \"127.0.0.2:2\"]\n").unwrap_err();
        assert!(error.contains("registrar.toml:2:24") && error.contains("one port"), "{error}");
    }
}
