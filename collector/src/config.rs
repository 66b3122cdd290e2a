//! The configuration file, `collector.toml`. `deploy/config/collector.toml` is its reference.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rserpool::{
    ASAP_PORT, AnnounceConfig, ConfiguredRegistrar, Network, ProfileConfig, RegistrarAddress, TlsConfig,
};
use serde::Deserialize;
use service::config::{Http, Invalid, Period, Size, check_endpoint};

use crate::policy::Policy;

/// Port of IPFIX over SCTP, TCP and UDP (RFC 7011 section 10).
const IPFIX_PORT: u16 = 4739;

/// The whole file. Every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// How long, after SIGTERM, exporters may take to move to other collectors. Then their associations are closed.
    pub drain_timeout: Period,
    /// Where exporters reach this collector.
    pub listen: Listen,
    /// How IPFIX over UDP is received.
    pub udp: Udp,
    /// The pools this collector joins. None: it collects without a pool.
    pub pool: Vec<Pool>,
    /// Where records go, by name. Default: one file, `flows.jsonl`.
    pub output: BTreeMap<String, Output>,
    /// Where octets go that could not be decoded.
    pub dead_letter: DeadLetter,
    /// Timing of associations.
    pub profile: ProfileConfig,
    /// What this collector keeps beside its outputs.
    pub state: State,
    /// Who this collector is, and who its peers may be.
    pub tls: Option<TlsConfig>,
    /// `/metrics`, `/livez` and `/readyz`.
    pub http: Http,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            drain_timeout: Period::seconds(30),
            listen: Listen::default(),
            udp: Udp::default(),
            pool: Vec::new(),
            output: BTreeMap::from([("flows".to_owned(), Output::Jsonl(Jsonl::default()))]),
            dead_letter: DeadLetter::default(),
            profile: ProfileConfig::default(),
            state: State::default(),
            tls: None,
            http: Http::loopback(9381),
        }
    }
}

/// Where exporters reach this collector.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Listen {
    /// The addresses of the SCTP endpoint, carried in UDP (RFC 6951), all with one port; never the wildcard.
    pub ipfix: Vec<SocketAddr>,
    /// TCP addresses.
    pub ipfix_tcp: Vec<SocketAddr>,
    /// TLS addresses.
    pub ipfix_tls: Vec<SocketAddr>,
    /// Whether TCP and TLS speak MPTCP with exporters that do.
    pub mptcp: bool,
    /// UDP addresses: IPFIX in datagrams, not SCTP.
    pub ipfix_udp: Vec<SocketAddr>,
    /// UDP port that carries SCTP.
    pub encapsulation_port: u16,
    /// Whose SCTP: the kernel's or our own.
    pub stack: transport::Stack,
    /// Associations at a time; one more is aborted.
    pub max_associations: usize,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            ipfix: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, IPFIX_PORT))],
            ipfix_tcp: Vec::new(),
            ipfix_tls: Vec::new(),
            mptcp: false,
            ipfix_udp: Vec::new(),
            encapsulation_port: transport::SCTP_ENCAPSULATION_PORT,
            stack: transport::Stack::Auto,
            max_associations: 4096,
        }
    }
}

/// How IPFIX over UDP is received (RFC 7011 section 10.3).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Udp {
    /// Octets the kernel may keep for each socket until they are read.
    pub receive_buffer: Size,
    /// Sockets, with a thread each, at every address.
    pub sockets: usize,
    /// How long a template lives that is not repeated (RFC 7011 section 8.4). At least three times the exporters'
    /// interval.
    pub template_lifetime: Period,
    /// A source that is silent for longer is forgotten.
    pub idle: Period,
    /// Sources at a time, an address and port each. Datagrams of one more are discarded.
    pub max_sessions: usize,
}

impl Default for Udp {
    fn default() -> Self {
        Self {
            receive_buffer: Size::mebi(8),
            sockets: 1,
            template_lifetime: Period::seconds(30 * 60),
            idle: Period::seconds(30 * 60),
            max_sessions: 4096,
        }
    }
}

impl Udp {
    fn validate(&self) -> Result<(), Invalid> {
        if !(1..=64).contains(&self.sockets) {
            return Err(Invalid::new("udp.sockets", "must be from 1 to 64"));
        }
        if !(4 << 10..=1 << 30).contains(&self.receive_buffer.0) {
            return Err(Invalid::new("udp.receive-buffer", "must be from 4KiB to 1GiB"));
        }
        for (key, period) in [("udp.template-lifetime", self.template_lifetime), ("udp.idle", self.idle)] {
            if period < Period::seconds(1) {
                return Err(Invalid::new(key, "must be at least 1s"));
            }
        }
        if self.max_sessions == 0 {
            return Err(Invalid::new("udp.max-sessions", "must not be 0"));
        }
        Ok(())
    }
}

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

/// One output: a table named after its kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Output {
    /// Lines of JSON.
    Jsonl(Jsonl),
}

/// A file of JSON lines.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Jsonl {
    /// The file; `-` is standard output.
    pub path: PathBuf,
    /// Whether records are acknowledged only when they are synced here. Default: true for the first file (by name) when
    /// no output says it, else false. Only a regular file can be durable.
    pub durable: Option<bool>,
    /// Whether options records (statistics, interface names) are written, marked by `"options":true`.
    pub options_records: bool,
    /// Octets of lines that may wait for the file. When as many wait, reading stops.
    pub queue: Size,
}

impl Default for Jsonl {
    fn default() -> Self {
        Self {
            path: PathBuf::from("flows.jsonl"),
            durable: None,
            options_records: true,
            queue: Size::mebi(16),
        }
    }
}

/// Octets that could not be decoded, in hexadecimal, one JSON line each.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DeadLetter {
    /// The file; default: `dead-letter.jsonl` in the state directory. It is made when there is something to write.
    pub path: Option<PathBuf>,
    /// Its greatest size. What does not fit any more is counted only.
    pub limit: Size,
}

impl Default for DeadLetter {
    fn default() -> Self {
        Self { path: None, limit: Size::mebi(16) }
    }
}

/// What this collector keeps beside its outputs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct State {
    /// The directory; it must exist.
    pub directory: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self { directory: PathBuf::from(".") }
    }
}

impl Config {
    /// Returns the names of the outputs that acknowledge, in order of their names.
    pub(crate) fn durable_outputs(&self) -> Vec<String> {
        let said = self.output.values().any(|Output::Jsonl(jsonl)| jsonl.durable.is_some());
        let mut names = self.output.iter().filter(|(_, Output::Jsonl(jsonl))| {
            if said {
                jsonl.durable == Some(true)
            } else {
                jsonl.path.as_os_str() != "-" && !is_special(&jsonl.path)
            }
        });
        let names: Vec<String> = if said {
            names.map(|(name, _)| name.clone()).collect()
        } else {
            names.next().map(|(name, _)| name.clone()).into_iter().collect()
        };
        names
    }

    /// Returns where refused octets go.
    pub(crate) fn dead_letter_path(&self) -> PathBuf {
        let path = self.dead_letter.path.clone();
        path.unwrap_or_else(|| self.state.directory.join("dead-letter.jsonl"))
    }

    /// Refuses values that are good each by itself and wrong together.
    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        let Listen { ipfix, ipfix_tcp, ipfix_tls, ipfix_udp, .. } = &self.listen;
        if ipfix.is_empty() && ipfix_tcp.is_empty() && ipfix_tls.is_empty() && ipfix_udp.is_empty() {
            let keys = "needs an address in `ipfix`, `ipfix-tcp`, `ipfix-tls` or `ipfix-udp`";
            return Err(Invalid::new("listen", keys));
        }
        if !ipfix_tls.is_empty() && self.tls.is_none() {
            return Err(Invalid::new("listen.ipfix-tls", "needs certificate, key and ca in [tls]"));
        }
        self.udp.validate()?;
        let wildcard =
            |addresses: &[SocketAddr]| addresses.iter().any(|address| address.ip().is_unspecified());
        check_endpoint("listen.ipfix", &self.listen.ipfix)?;
        if self.listen.encapsulation_port == 0 && !self.pool.is_empty() {
            return Err(Invalid::new("listen.encapsulation-port", "exporters have to know it: 0 is none"));
        }
        if self.output.is_empty() {
            return Err(Invalid::new("output", "needs at least one output"));
        }
        for (at, pool) in self.pool.iter().enumerate() {
            pool.validate(at, self)?;
        }
        for (key, addresses) in
            [("listen.ipfix-tcp", &self.listen.ipfix_tcp), ("listen.ipfix-tls", &self.listen.ipfix_tls)]
        {
            if !self.pool.is_empty() && wildcard(addresses) {
                return Err(Invalid::new(key, "must be specific where a pool is joined"));
            }
        }
        Ok(())
    }
}

impl Listen {
    /// Returns the addresses of a transport.
    pub(crate) fn addresses(&self, transport: Transport) -> &[SocketAddr] {
        match transport {
            Transport::Sctp => &self.ipfix,
            Transport::Tcp => &self.ipfix_tcp,
            Transport::Tls => &self.ipfix_tls,
        }
    }
}

impl Pool {
    /// Returns how the pool's users reach this collector.
    pub(crate) fn transport(&self, listen: &Listen) -> Transport {
        let has_addresses = |transport: &Transport| !listen.addresses(*transport).is_empty();
        let first = || [Transport::Sctp, Transport::Tcp].into_iter().find(has_addresses);
        self.transport.or_else(first).unwrap_or(Transport::Tls)
    }

    fn validate(&self, at: usize, config: &Config) -> Result<(), Invalid> {
        if config.listen.addresses(self.transport(&config.listen)).is_empty() {
            let key = format!("pool.{at}.transport");
            return Err(Invalid::new(key, "there is no such address in [listen]"));
        }
        if config.tls.is_none() && self.registrars.iter().any(ConfiguredRegistrar::is_tls) {
            let key = format!("pool.{at}.registrars");
            return Err(Invalid::new(key, "tls:// needs certificate, key and ca in [tls]"));
        }
        if self.handle.is_empty() {
            return Err(Invalid::new(format!("pool.{at}.handle"), "must not be empty"));
        }
        if self.registrars.is_empty() && self.announce.is_none() {
            return Err(Invalid::new(format!("pool.{at}.registrars"), "needs an address"));
        }
        if let Some((key, fault)) = self.announce.as_ref().and_then(|a| a.fault(&self.registrars)) {
            return Err(Invalid::new(format!("pool.{at}.announce.{key}"), fault));
        }
        if let Some((_, 0)) = self.policy.load() {
            let policy = self.policy.wire().policy_type();
            return Err(Invalid::new(format!("pool.{at}.policy.{policy}.capacity"), "must not be 0"));
        }
        Ok(())
    }
}

/// Whether there is something at `path` that is no regular file.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        service::config::parse("collector.toml", text, Config::validate).map_err(|error| error.to_string())
    }

    #[test]
    fn the_sample_says_the_defaults() {
        let sample = parse(include_str!("../../deploy/config/collector.toml")).unwrap();
        let default = Config { pool: sample.pool.clone(), ..parse("").unwrap() };
        let normal = |config: &Config| format!("{config:?}").replace("durable: Some(true)", "durable: None");
        assert_eq!(normal(&sample), normal(&default));
        let pool = &parse("[[pool]]\nhandle = \"ipfix\"").unwrap().pool[0];
        assert_eq!(format!("{:?}", sample.pool[0]), format!("{pool:?}"));
    }

    #[test]
    fn the_first_file_is_durable_unless_an_output_says_otherwise() {
        let durable = |text: &str| parse(text).unwrap().durable_outputs();
        assert_eq!(durable(""), ["flows"]);
        assert_eq!(durable("[output.a.jsonl]\npath = \"-\"\n[output.b.jsonl]\n[output.c.jsonl]"), ["b"]);
        assert_eq!(durable("[output.a.jsonl]\ndurable = false\n[output.b.jsonl]"), [""; 0]);
        assert_eq!(durable("[output.a.jsonl]\ndurable = true\n[output.b.jsonl]\ndurable = true"), ["a", "b"]);
    }

    #[test]
    fn a_misspelt_key_is_shown_at_its_place() {
        let error = parse("[output.flows.jsonl]\npth = \"x\"").unwrap_err();
        assert!(error.contains("collector.toml:2:1") && error.contains("did you mean `path`?"), "{error}");
        let error = parse("[output.flows.json]\npath = \"x\"").unwrap_err();
        assert!(error.contains("did you mean `jsonl`?"), "{error}");
    }

    #[test]
    fn contradictions_are_refused() {
        let error = |text: &str| parse(text).unwrap_err();
        assert!(error("[listen]\nipfix = [\"0.0.0.0:4739\"]").contains("not the wildcard"));
        let ports = error("[listen]\nipfix = [\"192.0.2.1:4739\",\n\"198.51.100.1:4740\"]");
        assert!(ports.contains("collector.toml:3:1") && ports.contains("one port"), "{ports}");
        assert!(error("[listen]\nipfix = []").contains("needs an address"));
        let policies = "[[pool]]\nhandle = \"x\"\npolicy.round-robin = {}\npolicy.least-used = {}";
        assert!(error(policies).contains("has one policy"));
        let announce = |table: &str| error(&format!("[[pool]]\nhandle = \"x\"\nannounce = {{ {table} }}"));
        let unbelieved = announce("networks = []");
        assert!(
            unbelieved.contains("collector.toml:3:14") && unbelieved.contains("nobody else"),
            "{unbelieved}"
        );
        assert!(announce("").contains("missing field `networks`"), "{}", announce(""));
        let networks = error("[[pool]]\nhandle = \"x\"\nregistrar-networks = [\"192.0.2.1/24\"]");
        assert!(networks.contains("the network is 192.0.2.0/24"), "{networks}");
        assert!(announce("group = \"192.0.2.1\", networks = [\"::/0\"]").contains("is no multicast address"));
    }
}
