//! Captures of other exporters, which are not part of the project as their licences differ: they lie beside the workspace.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod fields;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::capture::{LinkType, PacketSource as _, PcapFile};

/// The folder with the captures. None: it is not there, and that has been said.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/ipfix/samples");
    if folder.join("INDEX.tsv").is_file() {
        return Some(folder);
    }
    // Not `eprintln!`, which shows nothing of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: there is no {}", folder.display());
    None
}

/// A line of INDEX.tsv.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Flows that tshark numbers.
    pub(crate) tshark: u64,
}

impl Sample {
    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.pcap", self.name))
    }
}

pub(crate) fn samples(folder: &Path) -> Vec<Sample> {
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let sample = |line: &str| {
        let mut columns = line.split('\t').map(str::to_owned);
        let mut next = || columns.next().unwrap();
        Sample { name: next(), version: next(), tshark: next().parse().unwrap() }
    };
    index.lines().skip(1).map(sample).collect()
}

/// A UDP datagram.
pub(crate) struct Datagram {
    pub(crate) source: SocketAddr,
    pub(crate) port: u16,
    pub(crate) octets: Vec<u8>,
}

/// The UDP datagrams of a capture.
pub(crate) fn datagrams(path: &Path) -> Vec<Datagram> {
    let mut file = PcapFile::open(path).unwrap();
    let mut datagrams = Vec::new();
    while let Some(packet) = file.next_packet().unwrap() {
        let ip = match packet.link {
            LinkType::Ethernet => &packet.octets[14..],
            LinkType::RawIp => packet.octets,
            other => panic!("{}: {other}", path.display()),
        };
        let word = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
        let header = usize::from(ip[0] & 15) * 4;
        assert!(
            ip[0] >> 4 == 4 && ip[9] == 17 && word(6) & 0x3fff == 0,
            "{}: no whole datagram",
            path.display()
        );
        let source = (Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]), word(header)).into();
        let octets = ip[header + 8..header + usize::from(word(header + 4))].to_vec();
        datagrams.push(Datagram { source, port: word(header + 2), octets });
    }
    datagrams
}

/// What `ipfix-collector decode` prints of a capture.
pub(crate) fn decode(path: &Path) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_ipfix-collector")).arg("decode").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
