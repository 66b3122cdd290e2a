//! What the daemons need before they start: addresses, a directory, configuration files, a key.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::pool::{DOMAIN, Plan};

/// Last octets of the addresses of registrars, collectors and exporters: so many there can be.
const REGISTRARS: [u8; 2] = [1, 5];
const COLLECTORS: [u8; 3] = [2, 3, 6];
const EXPORTERS: [u8; 2] = [4, 7];

/// A directory and a /24, usually of 127.0.0.0/8, for one run. The directory is removed at the end unless
/// it is to be kept.
#[derive(Debug)]
pub struct Stage {
    /// With configuration, state, logs and flows.
    pub directory: PathBuf,
    network: [u8; 3],
    /// Whether the directory stays.
    pub keep: bool,
    /// How many registrars there are, 1 or 2; two replicate the pool.
    pub registrars: u8,
    /// How many collectors there are, up to 3.
    pub collectors: u8,
    /// How many exporters there are, 1 or 2; each has an observation domain of its own.
    pub exporters: u8,
    /// Lines of the exporters' `[retention]`.
    pub retention: String,
    /// Whether collectors acknowledge what they have synced, or nothing at all.
    pub durable: bool,
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
        let directory = std::env::temp_dir().join(name);
        let retention = String::new();
        Self {
            directory,
            network,
            keep,
            registrars: 1,
            collectors: 2,
            exporters: 1,
            retention,
            durable: true,
        }
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

    /// Returns the first registrar's address.
    pub fn registrar(&self) -> IpAddr {
        self.registrar_at(0)
    }

    /// Returns the address of registrar `index`, 0 or 1.
    pub fn registrar_at(&self, index: u8) -> IpAddr {
        self.host(REGISTRARS[usize::from(index)])
    }

    /// Returns the address of collector `index`, from 0 to 2.
    pub fn collector(&self, index: u8) -> IpAddr {
        self.host(COLLECTORS[usize::from(index)])
    }

    /// Returns the first exporter's address.
    pub fn exporter(&self) -> IpAddr {
        self.exporter_at(0)
    }

    /// Returns the address of exporter `index`, 0 or 1.
    pub fn exporter_at(&self, index: u8) -> IpAddr {
        self.host(EXPORTERS[usize::from(index)])
    }

    /// Returns where the first registrar answers HTTP.
    pub fn registrar_http(&self) -> SocketAddr {
        self.registrar_http_at(0)
    }

    /// Returns where registrar `index` answers HTTP.
    pub fn registrar_http_at(&self, index: u8) -> SocketAddr {
        SocketAddr::new(self.registrar_at(index), 9380)
    }

    /// Returns where collector `index` answers HTTP.
    pub fn collector_http(&self, index: u8) -> SocketAddr {
        SocketAddr::new(self.collector(index), 9381)
    }

    /// Returns where the first exporter answers HTTP.
    pub fn exporter_http(&self) -> SocketAddr {
        self.exporter_http_at(0)
    }

    /// Returns where exporter `index` answers HTTP.
    pub fn exporter_http_at(&self, index: u8) -> SocketAddr {
        SocketAddr::new(self.exporter_at(index), 9382)
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
        for index in 0..self.registrars {
            fs::write(self.config(registrar_name(index)), self.registrar_config(index))?;
        }
        for index in 0..self.collectors {
            fs::write(self.config(&collector_name(index)), self.collector_config(index))?;
        }
        for index in 0..self.exporters {
            fs::write(self.config(exporter_name(index)), self.exporter_config(plan, index))?;
        }
        Ok(())
    }

    /// Returns the path of the configuration file of daemon `name`.
    pub fn config(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.toml"))
    }

    fn registrar_config(&self, index: u8) -> String {
        let (address, http) = (self.registrar_at(index), self.registrar_http_at(index));
        let (id, enrp, peer) = match self.registrars {
            1 => Default::default(),
            _ => (
                format!("id = \"0000000{}\"\n\n", index + 1),
                format!("enrp = [\"{address}:9901\"]\n"),
                format!("[[peer]]\naddress = \"{}:9901\"\n\n", self.registrar_at(1 - index)),
            ),
        };
        format!("{id}[listen]\nasap = [\"{address}:3863\"]\n{enrp}\n{peer}[http]\nlisten = \"{http}\"\n")
    }

    /// The registrars as collectors and exporters list them.
    fn registrar_list(&self) -> String {
        let list = (0..self.registrars).map(|index| format!("\"{}:3863\"", self.registrar_at(index)));
        list.collect::<Vec<_>>().join(", ")
    }

    fn collector_config(&self, index: u8) -> String {
        format!(
            r#"[listen]
ipfix = ["{address}:4739"]

[[pool]]
handle = "ipfix"
registrars = [{registrars}]
policy.round-robin = {{}}
service = "{service}"
key-file = "pool.key"

[output.flows.jsonl]
path = {path:?}
durable = {durable}

[state]
directory = {state:?}

[http]
listen = "{http}"
"#,
            address = self.collector(index),
            service = if self.durable { "full" } else { "minimal" },
            durable = self.durable,
            registrars = self.registrar_list(),
            path = self.flows(index),
            state = self.directory.join(collector_name(index)),
            http = self.collector_http(index),
        )
    }

    fn exporter_config(&self, plan: &Plan, index: u8) -> String {
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
registrars = [{registrars}]
addresses = ["{address}"]
key-file = "pool.key"

[class.reliable]

[retention]
{retention}
[state]
directory = {state:?}

[http]
listen = "{http}"
"#,
            speed = plan.speed,
            loops = plan.loops,
            start = plan.start,
            domain = DOMAIN + u32::from(index),
            registrars = self.registrar_list(),
            address = self.exporter_at(index),
            retention = self.retention,
            state = self.directory.join(exporter_name(index)),
            http = self.exporter_http_at(index),
        )
    }
}

/// Returns the name of registrar `index` in file names.
pub fn registrar_name(index: u8) -> &'static str {
    if index == 0 { "registrar" } else { "registrar-2" }
}

/// Returns the name of exporter `index` in file names.
pub fn exporter_name(index: u8) -> &'static str {
    if index == 0 { "exporter" } else { "exporter-2" }
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
