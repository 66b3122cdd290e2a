//! Our programs: the demo's executable in its roles.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
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
    /// Further lines of the configuration.
    pub(crate) more: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { timers: "rsplib", log_level: "debug", more: String::new() }
    }
}

impl Registrar {
    /// Starts it as a deployment beside rsplib would be, and waits until it is ready.
    pub(crate) fn start(network: &Network, host: &Host) -> Self {
        Self::start_with(network, host, &Settings::default())
    }

    pub(crate) fn start_with(network: &Network, host: &Host, settings: &Settings) -> Self {
        let (address, Settings { timers, log_level, more }) = (host.address, settings);
        let config = network.folder.join(format!("registrar-{address}.toml"));
        let text = format!(
            "[listen]\nasap = [\"{address}:3863\"]\nstack = \"kernel\"\n\
             [profile]\ntimers = \"{timers}\"\n\
             [http]\nlisten = \"{address}:9380\"\n{more}"
        );
        fs::write(&config, text).unwrap();
        let config = config.to_string_lossy().into_owned();
        let arguments = ["--as", "registrar", "--log-level", log_level, "run", "--config", &config];
        let process = Process::start(network, host, &format!("registrar-{address}"), PROGRAM, arguments);
        process.wait_for("registrar ready");
        Self { process, host: host.clone() }
    }

    /// Resolves a pool handle, as an operator would, from `host`. An error is what it said.
    pub(crate) fn resolve(&self, host: &Host, pool: &str) -> Result<Value, String> {
        let registrar = format!("{}:3863", self.host.address);
        let mut child = host
            .command(PROGRAM)
            .args(["--as", "registrar", "resolve", pool, "--json", "--registrar", &registrar])
            .args(["--timeout", "10s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The demo's executable ends when its input does.
        let input = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(input);
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).unwrap());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Returns the identifiers of the elements of a pool, in the order of the answer; none if it is unknown.
    pub(crate) fn elements(&self, host: &Host, pool: &str) -> Vec<String> {
        match self.resolve(host, pool) {
            Ok(answer) => elements(&answer).iter().map(|element| text(element, "pe")).collect(),
            Err(reason) => {
                assert!(reason.contains("is unknown"), "{reason}");
                Vec::new()
            }
        }
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
