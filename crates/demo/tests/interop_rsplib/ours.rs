//! Our programs: the demo's executable in its roles.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::check::wait_for;
use crate::network::{Host, Network};
use crate::process::Process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_demo");

/// A registrar.
pub(crate) struct Registrar {
    pub(crate) process: Process,
    pub(crate) host: Host,
}

/// What differs between our registrars.
pub(crate) struct Settings {
    pub(crate) timers: &'static str,
    pub(crate) log_level: &'static str,
    /// Its identifier, and who else is a registrar of its group.
    pub(crate) group: Option<(u32, Vec<Ipv4Addr>)>,
    /// Whether it announces itself in rsplib's groups, and hears rsplib's registrars there.
    pub(crate) announces: bool,
    /// Whether it speaks the next generation, over TCP as well; needs a group.
    pub(crate) next_generation: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { timers: "rsplib", log_level: "debug", group: None, announces: false, next_generation: false }
    }
}

impl Settings {
    /// A registrar beside others, as docs/interop.md says for rsplib's.
    pub(crate) fn beside(id: u32, peers: &[&Host]) -> Self {
        let peers = peers.iter().map(|peer| peer.address).collect();
        Self { group: Some((id, peers)), ..Self::default() }
    }

    /// One that is found by its announces, and finds others by theirs.
    pub(crate) fn announcing(id: u32) -> Self {
        Self { announces: true, ..Self::beside(id, &[]) }
    }

    fn config(&self, address: Ipv4Addr) -> String {
        let (mut first, mut listen, mut more) = (String::new(), String::new(), String::new());
        if let Some((id, peers)) = &self.group {
            first = format!("id = \"{id:08x}\"\n");
            listen = format!("enrp = [\"{address}:9901\"]\n");
            more = peers.iter().map(|peer| format!("[[peer]]\naddress = \"{peer}:9901\"\n")).collect();
            more += "[enrp]\nnetworks = [\"10.77.0.0/16\"]\n";
            if self.next_generation {
                listen += &format!("enrp-tcp = [\"{address}:9901\"]\nasap-tcp = [\"{address}:3863\"]\n");
                more += "next-generation = true\n";
            }
        }
        if self.announces {
            let enrp = if self.group.is_some() { "enrp = {}\n" } else { "" };
            more += &format!("[announce]\nasap = {{}}\n{enrp}");
        }
        let timers = self.timers;
        format!(
            "{first}[listen]\nasap = [\"{address}:3863\"]\nstack = \"kernel\"\n{listen}\
             [profile]\ntimers = \"{timers}\"\n[http]\nlisten = \"{address}:9380\"\n\
             [limits]\nregistrations-per-second = 20000\nresolutions-per-second = 0\n{more}"
        )
    }
}

impl Registrar {
    /// Starts one that is alone, as a deployment with rsplib's pool elements and users would, and waits until it is
    /// ready.
    pub(crate) fn start(network: &Network, host: &Host) -> Self {
        Self::start_with(network, host, &Settings::default())
    }

    pub(crate) fn start_with(network: &Network, host: &Host, settings: &Settings) -> Self {
        let address = host.address;
        let config = network.folder.join(format!("registrar-{address}.toml"));
        fs::write(&config, settings.config(address)).unwrap();
        let config = config.to_string_lossy().into_owned();
        let level = settings.log_level;
        let arguments = ["--as", "registrar", "--log-level", level, "run", "--config", &config];
        let process = Process::start(network, host, &format!("registrar-{address}"), PROGRAM, arguments);
        process.wait_for("registrar ready");
        Self { process, host: host.clone() }
    }

    /// Returns what it knows of other registrars.
    pub(crate) fn peers(&self) -> Vec<Value> {
        self.ask("/api/v1/peers")["peers"].as_array().cloned().unwrap_or_default()
    }

    /// Returns what it knows of the elements of a pool.
    pub(crate) fn told_elements(&self, pool: &str) -> Vec<Value> {
        elements(&self.ask(&format!("/api/v1/pools/{pool}/elements")))
    }

    fn ask(&self, path: &str) -> Value {
        let body = get(&format!("{}:9380", self.host.address), path);
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// Waits until registrar `id` lives as a peer that owns so many elements, and has told the checksum held here.
    /// Returns the checksum.
    pub(crate) fn wait_for_peer(&self, id: u32, elements: u64) -> String {
        let explain = || format!("{:?}\n{}", self.peers(), self.process.said());
        wait_for(&format!("peer {id:08x} with {elements} elements"), explain, || {
            let peers = self.peers();
            let peer = peers.iter().find(|peer| text(peer, "id") == format!("{id:08x}"))?;
            let (told, held) = (text(peer, "checksum-told"), text(peer, "checksum-held"));
            let agrees = told == held && peer["elements"].as_u64() == Some(elements);
            (agrees && text(peer, "state") == "active").then_some(told)
        })
    }

    /// As [`resolve`].
    pub(crate) fn resolve(&self, from: &Host, pool: &str) -> Result<Value, String> {
        resolve(from, &self.host, pool)
    }

    /// As [`elements_at`].
    pub(crate) fn elements(&self, from: &Host, pool: &str) -> Vec<String> {
        elements_at(from, &self.host, pool)
    }

    /// Waits until a pool has these elements.
    pub(crate) fn wait_for_elements(&self, host: &Host, pool: &str, expected: &[&str]) {
        let mut seen = Vec::new();
        let what = format!("{expected:?} in {pool}");
        wait_for(
            &what,
            || self.process.said(),
            || {
                seen = self.elements(host, pool);
                seen.sort();
                (seen == expected).then_some(())
            },
        );
    }

    /// Returns the sum of the series of a metric.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let body = get(&format!("{}:9380", self.host.address), "/metrics");
        let series = body.lines().filter(|line| line.starts_with(name));
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
}

/// Has any registrar resolve a pool handle, as an operator would. An error is what was said.
pub(crate) fn resolve(from: &Host, registrar: &Host, pool: &str) -> Result<Value, String> {
    let registrar = format!("{}:3863", registrar.address);
    let mut command = from.command(PROGRAM);
    command.args(["--as", "registrar", "resolve", pool, "--output", "json", "--registrar", &registrar]);
    let output = demo::process::output(command.args(["--timeout", "10s"])).unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Returns the identifiers of the elements of a pool, in the order of the answer; none if it is unknown.
pub(crate) fn elements_at(from: &Host, registrar: &Host, pool: &str) -> Vec<String> {
    match resolve(from, registrar, pool) {
        Ok(answer) => elements(&answer).iter().map(|element| text(element, "pe")).collect(),
        Err(reason) => {
            assert!(reason.contains("is unknown"), "{reason}");
            Vec::new()
        }
    }
}

/// Waits until a registrar knows these elements of a pool, each `(identifier, home)`, in the order of identifiers.
pub(crate) fn wait_for_homes(
    from: &Host,
    registrar: &Host,
    pool: &str,
    expected: &[(u32, u32)],
    explain: impl Fn() -> String,
) {
    let expected: Vec<_> =
        expected.iter().map(|(pe, home)| (format!("{pe:08x}"), format!("{home:08x}"))).collect();
    let seen = std::cell::RefCell::new(Vec::new());
    let what = format!("{expected:?} in {pool} at {}", registrar.address);
    wait_for(
        &what,
        || format!("seen: {:?}\n{}", seen.borrow(), explain()),
        || {
            let answer = resolve(from, registrar, pool).unwrap_or_default();
            let elements = elements(&answer);
            let mut homes: Vec<_> =
                elements.iter().map(|element| (text(element, "pe"), text(element, "home"))).collect();
            homes.sort();
            let equal = homes == expected;
            *seen.borrow_mut() = homes;
            equal.then_some(())
        },
    );
}

/// The elements in an answer of `resolve`.
pub(crate) fn elements(answer: &Value) -> Vec<Value> {
    answer["elements"].as_array().cloned().unwrap_or_default()
}

/// A field of an element.
pub(crate) fn text(element: &Value, key: &str) -> String {
    element[key].as_str().unwrap_or_default().to_owned()
}

/// Reads a page over HTTP/1.1.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
