//! nfcapd collects what is exported over UDP, and nfdump reads the same flows.

mod direct;

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};

use direct::{Directory, Flow, Flows, address, config, export, metered, skipped};
use pcap_fixtures::{DEMO, HTTP, IPV6, MIXED, fixture};
use serde_json::Value;

#[test]
#[ignore = "needs nfcapd and nfdump"]
fn nfdump_reads_the_flows_of_the_captures() {
    for (capture, more) in
        [(HTTP, ""), (IPV6, "max-message = \"600B\""), (MIXED, "template-refresh-packets = 1"), (DEMO, "")]
    {
        let directory = Directory::new();
        let Some(nfcapd) = Nfcapd::start(&directory) else { return };
        let capture = fixture(capture);
        let end = export(&directory, &config(&capture, "speed = 0", nfcapd.address, more));
        assert_eq!((end.code, end.number("unreachable"), end.number("dropped")), (Some(0), 0, 0));
        let log = nfcapd.stop();
        let read = nfdump(&directory);
        assert_eq!(u64::from(read.values().sum::<u32>()), end.number("sent"));
        assert_eq!(read, metered(&capture));
        // It counts records it cannot use, and sequence numbers that do not fit.
        assert!(log.contains("Sequence Errors: 0, Bad Packets: 0"), "{log}");
    }
}

/// A running nfcapd.
struct Nfcapd {
    child: Child,
    said: Option<std::thread::JoinHandle<String>>,
    address: SocketAddr,
}

impl Nfcapd {
    /// Starts it and waits until it listens. None: it is not installed, and that has been said.
    fn start(directory: &Directory) -> Option<Self> {
        let files = directory.path("nfcapd");
        fs::create_dir(&files).unwrap();
        let address = SocketAddr::new(address(), 4739);
        let child = Command::new("nfcapd")
            .arg("-w")
            .arg(&files)
            .args(["-t", "3600", "-b", &address.ip().to_string(), "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                skipped("nfcapd");
                return None;
            }
            child => child.unwrap(),
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Startup nfcapd")), "nfcapd does not start");
        let said = std::thread::spawn(move || lines.collect::<Vec<_>>().join("\n"));
        Some(Self { child, said: Some(said), address })
    }

    /// Ends it when it has read everything; returns what it said.
    fn stop(mut self) -> String {
        assert!((0..1_000_000).any(|_| self.has_read_all()), "nfcapd does not read");
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.child.wait().unwrap();
        self.said.take().unwrap().join().unwrap()
    }

    /// Whether nothing waits in its socket, by the kernel's table.
    fn has_read_all(&self) -> bool {
        let IpAddr::V4(ip) = self.address.ip() else { panic!("an IPv4 address") };
        let local = format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), self.address.port());
        let table = fs::read_to_string("/proc/net/udp").unwrap();
        let line = table.lines().find(|line| line.contains(&local)).expect("its socket");
        line.split_whitespace().nth(4).unwrap().ends_with(":00000000")
    }
}

impl Drop for Nfcapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What nfdump reads in the files of nfcapd.
fn nfdump(directory: &Directory) -> Flows {
    let output = Command::new("nfdump")
        .env("TZ", "UTC")
        .args(["-q", "-o", "json", "-R"])
        .arg(directory.path("nfcapd"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // One object behind the other, with commas between; some versions make it an array.
    let array = format!("[{}]", text.trim().trim_start_matches('[').trim_end_matches([']', ',', '\n']));
    let mut flows = Flows::new();
    for flow in serde_json::from_str::<Vec<Value>>(&array).unwrap_or_else(|error| panic!("{error}: {text}")) {
        *flows.entry(seen(&flow)).or_default() += 1;
    }
    flows
}

fn seen(flow: &Value) -> Flow {
    let number = |key: &str| flow[key].as_u64().unwrap_or_else(|| panic!("{key} in {flow}"));
    let address = |version_4: &str, version_6: &str| -> IpAddr {
        let text = flow[version_4].as_str().or(flow[version_6].as_str());
        text.unwrap_or_else(|| panic!("an address in {flow}")).parse().unwrap()
    };
    let protocol = u8::try_from(number("proto")).unwrap();
    let port = |key: &str| {
        if [1, 58].contains(&protocol) { 0 } else { u16::try_from(number(key)).unwrap() }
    };
    let start = flow["first"].as_str().unwrap();
    let (_, seconds) = start.rsplit_once(':').unwrap();
    (
        address("src4_addr", "src6_addr"),
        port("src_port"),
        address("dst4_addr", "dst6_addr"),
        port("dst_port"),
        protocol,
        number("in_packets"),
        number("in_bytes"),
        seconds.replace('.', "").parse().unwrap(),
    )
}
