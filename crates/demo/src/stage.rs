//! What the daemons need before they start: addresses, a directory, configuration files, a key.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::pool::{DOMAIN, Plan};

/// A directory and a /24, usually of 127.0.0.0/8, for one run. The directory is removed at the end unless
/// it is to be kept.
#[derive(Debug)]
pub struct Stage {
    /// With configuration, state, logs and flows.
    pub directory: PathBuf,
    network: [u8; 3],
    /// Whether the directory stays.
    pub keep: bool,
}

impl Stage {
    /// Draws a network nobody uses and makes the directory.
    pub fn set(keep: bool) -> io::Result<Self> {
        for _ in 0..100 {
            let mut octets = [0; 2];
            getrandom::fill(&mut octets).map_err(|error| io::Error::other(error.to_string()))?;
            // 127.0.x.y is where people put things by hand.
            let stage = Self::at([127, octets[0].max(1), octets[1]], keep);
            // Whoever runs a demo on this network has its registrar's encapsulation port open.
            if std::net::UdpSocket::bind((stage.registrar(), 9899)).is_ok() {
                fs::create_dir_all(&stage.directory)?;
                return Ok(stage);
            }
        }
        Err(io::Error::other("no free network in 127.0.0.0/8 found in 100 tries"))
    }

    /// Takes the /24 that begins with `network`, without looking who is there; the directory is not made.
    pub fn at(network: [u8; 3], keep: bool) -> Self {
        let [a, b, c] = network;
        let name = format!("flowpool-demo-{}-{a}.{b}.{c}", std::process::id());
        Self { directory: std::env::temp_dir().join(name), network, keep }
    }

    fn host(&self, number: u8) -> IpAddr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, number).into()
    }

    /// Returns the network in the form `127.1.2.0/24`.
    pub fn network(&self) -> String {
        let [a, b, c] = self.network;
        format!("{a}.{b}.{c}.0/24")
    }

    /// Returns the registrar's address.
    pub fn registrar(&self) -> IpAddr {
        self.host(1)
    }

    /// Returns the address of collector `index`, 0 or 1.
    pub fn collector(&self, index: u8) -> IpAddr {
        self.host(2 + index)
    }

    /// Returns the exporter's address.
    pub fn exporter(&self) -> IpAddr {
        self.host(4)
    }

    /// Returns where the registrar answers HTTP.
    pub fn registrar_http(&self) -> SocketAddr {
        SocketAddr::new(self.registrar(), 9380)
    }

    /// Returns where collector `index` answers HTTP.
    pub fn collector_http(&self, index: u8) -> SocketAddr {
        SocketAddr::new(self.collector(index), 9381)
    }

    /// Returns where the exporter answers HTTP.
    pub fn exporter_http(&self) -> SocketAddr {
        SocketAddr::new(self.exporter(), 9382)
    }

    /// Returns the file collector `index` writes its flows to.
    pub fn flows(&self, index: u8) -> PathBuf {
        self.directory.join(format!("flows-{}.jsonl", name(index)))
    }

    /// Writes the pool's key and every configuration file.
    pub fn furnish(&self, plan: &Plan) -> io::Result<()> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
        let hex: String = key.iter().map(|octet| format!("{octet:02x}")).collect();
        fs::write(self.directory.join("pool.key"), format!("1 {hex}\n"))?;
        fs::write(self.directory.join("capture.pcap"), plan.capture)?;
        fs::write(self.config("registrar"), self.registrar_config())?;
        for index in 0..2 {
            fs::write(self.config(&collector_name(index)), self.collector_config(index))?;
        }
        fs::write(self.config("exporter"), self.exporter_config(plan))
    }

    /// Returns the path of the configuration file of daemon `name`.
    pub fn config(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.toml"))
    }

    fn registrar_config(&self) -> String {
        format!(
            "[listen]\nasap = [\"{}:3863\"]\n\n[http]\nlisten = \"{}\"\n",
            self.registrar(),
            self.registrar_http()
        )
    }

    fn collector_config(&self, index: u8) -> String {
        format!(
            r#"[listen]
ipfix = ["{address}:4739"]

[[pool]]
handle = "ipfix"
registrars = ["{registrar}:3863"]
policy.round-robin = {{}}
key-file = "pool.key"

[output.flows.jsonl]
path = {path:?}
durable = true

[state]
directory = {state:?}

[http]
listen = "{http}"
"#,
            address = self.collector(index),
            registrar = self.registrar(),
            path = self.flows(index),
            state = self.directory.join(collector_name(index)),
            http = self.collector_http(index),
        )
    }

    fn exporter_config(&self, plan: &Plan) -> String {
        format!(
            r#"[source]
pcap = "capture.pcap"
speed = {speed:?}
loop = {loops}
start = "{start}"

[metering]
idle-timeout = "1s"
active-timeout = "1s"
observation-domain = {domain}

[pool]
handle = "ipfix"
registrars = ["{registrar}:3863"]
addresses = ["{address}"]
key-file = "pool.key"

[class.reliable]

[state]
directory = {state:?}

[http]
listen = "{http}"
"#,
            speed = plan.speed,
            loops = plan.loops,
            start = plan.start,
            domain = DOMAIN,
            registrar = self.registrar(),
            address = self.exporter(),
            state = self.directory.join("exporter"),
            http = self.exporter_http(),
        )
    }
}

/// Returns what people call collector `index`.
pub fn name(index: u8) -> char {
    char::from(b'a' + index)
}

/// Returns the name of collector `index` in file names.
pub fn collector_name(index: u8) -> String {
    format!("collector-{}", name(index))
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Returns `path` as the messages show it.
pub fn show(path: &Path) -> String {
    path.display().to_string()
}
