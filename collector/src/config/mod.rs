//! The configuration file, `collector.toml`. `deploy/config/collector.toml` is its reference.

mod output;
mod pool;
mod udp;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use rserpool::{ProfileConfig, TlsConfig};
use serde::Deserialize;
use service::config::{Faults, Http, Period, Size};

use self::output::Jsonl;
pub(crate) use self::output::{Biflows, Compression, Forward, Ipfix, Output, Role};
pub(crate) use self::pool::{Pool, Service, Transport};
pub(crate) use self::udp::Udp;

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
        output::durable(&self.output)
    }

    /// Returns every output with its role, by name.
    pub(crate) fn outputs(&self) -> Vec<(&str, &Output, Role)> {
        output::roles(&self.output)
    }

    /// Returns where refused octets go.
    pub(crate) fn dead_letter_path(&self) -> PathBuf {
        let path = self.dead_letter.path.clone();
        path.unwrap_or_else(|| self.state.directory.join("dead-letter.jsonl"))
    }

    /// Refuses values that are good each by itself and wrong together.
    pub(crate) fn validate(&self, faults: &mut Faults) {
        self.listen.validate(self.tls.is_some(), !self.pool.is_empty(), faults);
        self.udp.validate(faults);
        if self.output.is_empty() {
            faults.add("output", "needs at least one output");
        }
        for (name, output) in &self.output {
            output.validate(name, faults);
        }
        output::validate_paths(&self.output, &self.dead_letter_path(), faults);
        for (at, pool) in self.pool.iter().enumerate() {
            pool.validate(at, self, faults);
            if self.pool[..at].iter().any(|earlier| earlier.handle == pool.handle) {
                let message =
                    format!("this collector is in pool {} already, by an earlier [[pool]]", pool.handle);
                faults.add(format!("pool.{at}.handle"), message);
            }
        }
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

    /// Whether there is no address at all.
    fn is_empty(&self) -> bool {
        let Self { ipfix, ipfix_tcp, ipfix_tls, ipfix_udp, .. } = self;
        [ipfix, ipfix_tcp, ipfix_tls, ipfix_udp].iter().all(|addresses| addresses.is_empty())
    }

    /// `tls`: there is a section `[tls]`; `joins`: there is a pool.
    fn validate(&self, tls: bool, joins: bool, faults: &mut Faults) {
        if self.is_empty() {
            faults.add("listen", "needs an address in `ipfix`, `ipfix-tcp`, `ipfix-tls` or `ipfix-udp`");
        }
        if !self.ipfix_tls.is_empty() && !tls {
            faults.add("listen.ipfix-tls", "needs certificate, key and ca in [tls]");
        }
        faults.check_endpoint("listen.ipfix", &self.ipfix);
        if self.encapsulation_port == 0 && joins {
            faults.add("listen.encapsulation-port", "exporters have to know it: 0 is none");
        }
        for (key, addresses) in [("ipfix-tcp", &self.ipfix_tcp), ("ipfix-tls", &self.ipfix_tls)] {
            if joins && addresses.iter().any(|address| address.ip().is_unspecified()) {
                faults.add(format!("listen.{key}"), "must be specific where a pool is joined");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        service::config::parse("collector.toml", text, Config::validate).map_err(|error| error.to_string())
    }

    #[test]
    fn the_sample_says_the_defaults() {
        let sample = parse(include_str!("../../../deploy/config/collector.toml")).unwrap();
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
        assert_eq!(durable("[output.a.jsonl]\npath = \"-\"\n[output.b.jsonl]\n[output.c.csv]"), ["b"]);
        assert_eq!(
            durable("[output.a.jsonl]\ndurable = false\n[output.b.csv]"),
            ["b"],
            "a speaks for itself"
        );
        assert_eq!(durable("[output.a.jsonl]\ndurable = false\n[output.b.csv]\ndurable = false"), [""; 0]);
        assert_eq!(durable("[output.a.jsonl]\ndurable = true\n[output.b.csv]\ndurable = true"), ["a", "b"]);
        assert_eq!(durable("[output.a.jsonl]\nwhen-full = \"drop\"\n[output.b.csv]"), ["b"]);
    }

    #[test]
    fn an_output_that_is_not_durable_holds_nobody_back_unless_no_other_does_or_it_is_told_to() {
        let holds_back = |text: &str| -> Vec<bool> {
            parse(text).unwrap().outputs().iter().map(|(_, _, role)| role.holds_back).collect()
        };
        assert_eq!(holds_back("[output.a.jsonl]\npath = \"-\""), [true]);
        assert_eq!(holds_back("[output.a.jsonl]\n[output.b.csv]"), [true, false]);
        let told = "[output.a.jsonl]\n[output.b.csv]\nwhen-full = \"wait\"";
        assert_eq!(holds_back(told), [true, true]);
        assert_eq!(holds_back("[output.a.forward]\nto = \"h:1\"\n[output.b.ipfix]"), [false, true]);
        // Where none is durable, one waits all the same: the first file, or the first of all.
        let none = "[output.b.jsonl]\ndurable = false\n[output.c.csv]\ndurable = false\n";
        assert_eq!(holds_back(&(none.to_owned() + "[output.a.forward]\nto = \"h:1\"")), [false, true, false]);
        let two = "[output.a.forward]\nto = \"h:1\"\n[output.b.forward]\nto = \"h:2\"\n";
        assert_eq!(holds_back(two), [true, false]);
        assert_eq!(holds_back(&(two.to_owned() + "when-full = \"wait\"")), [false, true]);
        let drop = "[output.a.jsonl]\nwhen-full = \"drop\"\n[output.b.csv]\nwhen-full = \"drop\"";
        assert_eq!(holds_back(drop), [false, false], "as it is said");
        let error = parse("[output.a.jsonl]\ndurable = true\nwhen-full = \"drop\"").unwrap_err();
        assert!(error.contains("collector.toml:3:1") && error.contains("cannot drop"), "{error}");
    }

    #[test]
    fn outputs_that_cannot_be_are_refused_with_their_place() {
        let error = |text: &str| parse(text).unwrap_err();
        let twice = error("[output.a.jsonl]\n[output.b.jsonl]");
        assert!(twice.contains("output a writes there"), "{twice}");
        let keep = error("[output.a.jsonl]\nkeep = 3");
        assert!(keep.contains("collector.toml:2:1") && keep.contains("needs `rotate`"), "{keep}");
        let small = error("[output.a.ipfix]\nrotate-octets = \"1GiB\"\nmax-octets = \"512MiB\"");
        assert!(
            small.contains("`output.a.ipfix.max-octets`") && small.contains("collector.toml:3:1"),
            "{small}"
        );
        assert!(small.contains("no finished file would stay"), "{small}");
        for queue in ["0B", "4095B", "2GiB"] {
            let error = error(&format!("[output.a.csv]\n\nqueue = \"{queue}\""));
            assert!(
                error.contains("`output.a.csv.queue`") && error.contains("collector.toml:3:1"),
                "{error}"
            );
        }
        let standard = error("[output.a.jsonl]\npath = \"-\"\ndurable = true");
        assert!(
            standard.contains("collector.toml:3:1") && standard.contains("cannot be durable"),
            "{standard}"
        );
        let letters = error("[output.a.jsonl]\npath = \"x.jsonl\"\n[dead-letter]\npath = \"x.jsonl\"");
        assert!(
            letters.contains("collector.toml:4:1") && letters.contains("output a writes there"),
            "{letters}"
        );
        assert!(error("[output.a.ipfix]\npath = \"-\"").contains("cannot be several files"));
        assert!(error("[output.a.jsonl]\nrotate = \"10ms\"").contains("at least 1s"));
        assert!(error("[output.a.csv]\ncolumns = []").contains("needs a column"));
        assert!(error("[output.a.csv]\ncolumns = [\"x\"]").contains("`x` is no information element"));
        let repeated = error("[output.a.csv]\ncolumns = [\"number\", \"number\"]");
        assert!(repeated.contains("`number` is there twice"), "{repeated}");
        assert!(error("[output.a.forward]\nto = \"somewhere\"").contains("must be HOST:PORT"));
        assert!(error("[output.a.forward]\nto = \"h:1\"\nreconnect = \"0s\"").contains("at least 1s"));
    }

    #[test]
    fn biflows_are_kept_or_split_by_outputs_of_every_kind() {
        for kind in ["jsonl", "csv", "ipfix", "forward"] {
            let to = if kind == "forward" { "to = \"h:1\"" } else { "" };
            let of = |more: &str| {
                parse(&format!("[output.a.{kind}]\n{to}\n{more}")).map(|config| config.output["a"].biflows())
            };
            assert_eq!(of("").unwrap(), Biflows::Keep);
            assert_eq!(of("biflows = \"split\"").unwrap(), Biflows::Split);
            let error = of("biflows = \"both\"").unwrap_err();
            assert!(
                error.contains("collector.toml:3:11") && error.contains("valid values: `keep`, `split`"),
                "{error}"
            );
        }
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
        let twice = error("[[pool]]\nhandle = \"x\"\n[[pool]]\nhandle = \"y\"\n[[pool]]\nhandle = \"x\"");
        assert!(twice.contains("collector.toml:6:1") && twice.contains("in pool x already"), "{twice}");
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
