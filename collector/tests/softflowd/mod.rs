//! softflowd, a flow exporter of Debian, and what its flows of a capture have to be.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use crate::world::Directory;

/// Packets and octets by source, destination (each with its port) and protocol.
pub(crate) type Flows = BTreeMap<(String, String, u64), (u64, u64)>;

/// Exports the flows of a capture as IPFIX over `transport` to `to`. False: it is not installed, and that has been said.
#[allow(dead_code, reason = "each test binary uses a part")]
pub(crate) fn export(directory: &Directory, capture: &Path, transport: &str, to: SocketAddr) -> bool {
    export_as(directory, capture, &["-v", "10", "-P", transport], to)
}

/// As `export`, by these options.
#[allow(dead_code, reason = "each test binary uses a part")]
pub(crate) fn export_as(directory: &Directory, capture: &Path, options: &[&str], to: SocketAddr) -> bool {
    let output = Command::new("softflowd")
        .args(["-A", "milli", "-d", "-c", "none", "-n", &to.to_string()])
        .args(options)
        .arg("-p")
        .arg(directory.path("softflowd.pid"))
        .arg("-r")
        .arg(capture)
        .stdin(Stdio::null())
        .output();
    match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped("softflowd");
            false
        }
        output => {
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "softflowd ended with {}: {said}", output.status);
            true
        }
    }
}

/// Returns the messages softflowd makes of a capture, one behind the other. None: it is not installed, and that has been said.
#[allow(dead_code, reason = "each test binary uses a part")]
pub(crate) fn messages(directory: &Directory, capture: &Path) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    if !export(directory, capture, "udp", socket.local_addr().unwrap()) {
        return None;
    }
    // It has ended: all it sent waits in the socket.
    socket.set_nonblocking(true).unwrap();
    let mut octets = Vec::new();
    let mut datagram = [0; 65_536];
    while let Ok(length) = socket.recv(&mut datagram) {
        octets.extend_from_slice(&datagram[..length]);
    }
    assert!(!octets.is_empty(), "softflowd sent nothing");
    Some(octets)
}

/// Returns the flows of the collector's lines of JSON, options records left out.
pub(crate) fn written(lines: &str) -> Flows {
    let mut flows = Flows::new();
    for line in lines.lines() {
        let record: Map<String, Value> = serde_json::from_str(line).unwrap();
        if record.contains_key("options") {
            continue;
        }
        let number = |name: &str| record[name].as_u64().unwrap_or_else(|| panic!("{name} in {line}"));
        let end =
            |address: &str, port: &str| format!("{}:{}", record[address].as_str().unwrap(), number(port));
        let from = end("sourceIPv4Address", "sourceTransportPort");
        let to = end("destinationIPv4Address", "destinationTransportPort");
        let flow = (number("packetDeltaCount"), number("octetDeltaCount"));
        let before = flows.insert((from, to, number("protocolIdentifier")), flow);
        assert_eq!(before, None, "{line} is there twice");
    }
    flows
}

/// Returns the flows of a capture's table, those our meter cut by a time-out joined again: softflowd's time-outs are longer than
/// the capture.
pub(crate) fn expected(capture: &str) -> Flows {
    let table = std::fs::read_to_string(pcap_fixtures::fixture(&format!("{capture}.flows.txt"))).unwrap();
    let mut flows = Flows::new();
    // The tables after the first are of other time-outs.
    let first = table.split("\n\n").next().unwrap();
    for line in first.lines().filter(|line| line.contains(" -> ")) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let at = columns.iter().position(|column| *column == "->").unwrap();
        let number = |column: usize| columns[column].parse::<u64>().unwrap();
        let to = columns[at + 1].trim_end_matches(',');
        let sums = flows.entry((columns[at - 1].to_owned(), to.to_owned(), number(4))).or_default();
        *sums = (sums.0 + number(2), sums.1 + number(3));
    }
    flows
}

/// Says that a test is skipped.
pub(crate) fn skipped(program: &str) {
    // Not `eprintln!`, which shows nothing of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {program} is not installed");
}
