//! What the daemons of a pool say to each other is read by tshark without complaint.
//!
//! Needs tshark and tcpdump, and the right to capture on `lo`; without one of them the tests say so and pass.

mod world;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use demo::pool::{Pool, Settlement};
use demo::process::wait_until;
use demo::stage::Stage;

#[test]
#[ignore = "needs tshark, tcpdump and the right to capture"]
fn every_packet_of_a_failover_is_well_formed_and_a_flipped_octet_is_noticed() {
    let (plan, mut stage) = world::stage(5);
    let Some(capture) = Capture::start(&mut stage) else { return };
    let mut pool = Pool::start(world::program(), plan, stage).unwrap();
    let used = world::wait_for_part(&mut pool, 0.3);
    pool.take_collector(used).unwrap().kill().unwrap();
    let (settlement, stage) = world::settle(pool);
    let file = capture.stop(&stage);

    let Some(packets) = read(&file) else { return };
    assert!(packets.len() > 100, "{} packets", packets.len());
    for packet in &packets {
        assert_eq!(packet.checksum, GOOD, "checksum of {packet:?}");
        assert!(!packet.is_malformed, "{packet:?}");
        assert!(packet.asap.is_empty() == packet.lacks(ASAP), "{packet:?}");
        assert!(packet.ipfix.is_empty() || packet.ports.contains(&4739), "{packet:?}");
    }
    check_messages(&packets);
    check_flows(&packets, &settlement);
    check_flipped(&file, packets.len());
}

#[test]
#[ignore = "needs tshark, tcpdump and the right to capture"]
fn the_flows_tshark_reads_add_up_to_those_metered() {
    let (plan, mut stage) = world::stage(5);
    let Some(capture) = Capture::start(&mut stage) else { return };
    let pool = Pool::start(world::program(), plan, stage).unwrap();
    let (settlement, stage) = world::settle(pool);
    let Some(packets) = read(&capture.stop(&stage)) else { return };
    assert_eq!((settlement.failovers, settlement.resent), (0, 0));
    let sums = |flow: fn(&Packet) -> &[u64]| packets.iter().flat_map(flow).sum::<u64>();
    assert_eq!(
        sums(|packet| &packet.packets),
        settlement.metered.iter().map(|flow| flow.packets).sum::<u64>()
    );
    assert_eq!(sums(|packet| &packet.octets), settlement.metered.iter().map(|flow| flow.octets).sum::<u64>());
    let flows: usize = packets.iter().map(|packet| packet.flows).sum();
    assert_eq!(flows, settlement.metered.len());
}

/// ASAP's message types (RFC 5352 section 2.2) that a pool with a dead collector has to exchange: registration and
/// its answer, deregistration and its answer, handle resolution and its answer, keep-alive and its answer,
/// unreachability report, cookie.
fn check_messages(packets: &[Packet]) {
    let seen: BTreeSet<u64> = packets.iter().flat_map(|packet| packet.asap.iter().copied()).collect();
    let expected = BTreeSet::from([1, 2, 3, 4, 5, 6, 7, 8, 9, 11]);
    assert!(seen.is_superset(&expected), "ASAP message types {seen:?}");
}

/// Every message with flows is read to its end, and every flow was sent. What the killed collector did not acknowledge was
/// sent again, and is not read where a fragment of it never came.
fn check_flows(packets: &[Packet], settlement: &Settlement) {
    assert!(packets.iter().flat_map(|packet| &packet.ipfix).all(|version| *version == 10));
    let read: usize = packets.iter().map(|packet| packet.flows).sum();
    let (metered, resent) = (settlement.metered.len(), usize::try_from(settlement.resent).unwrap());
    assert!((metered..=metered + resent).contains(&read), "{read} of {metered}, {resent} sent again");
}

/// Flips one octet in the middle of the capture: one checksum, and no other, is wrong.
fn check_flipped(file: &Path, count: usize) {
    let mut octets = fs::read(file).unwrap();
    let at = sctp_octet(&octets, count / 2);
    octets[at] ^= 0x10;
    let flipped = file.with_extension("flipped.pcap");
    fs::write(&flipped, octets).unwrap();
    let packets = read(&flipped).unwrap();
    let wrong: Vec<usize> = (0..packets.len()).filter(|at| packets[*at].checksum != GOOD).collect();
    assert_eq!((packets.len(), wrong), (count, vec![count / 2]));
}

/// Returns where the last octet of packet `index` is: pcap has a header of 24 octets, and one of 16 before each packet.
fn sctp_octet(capture: &[u8], index: usize) -> usize {
    let length = |at: usize| u32::from_le_bytes(capture[at + 8..at + 12].try_into().unwrap()) as usize;
    let header = (0..index).fold(24, |at, _| at + 16 + length(at));
    header + 16 + length(header) - 1
}

/// tcpdump at work on one pool's network.
struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    /// Starts it and waits until it captures. None: it cannot, and the test has said that it is skipped.
    fn start(stage: &mut Stage) -> Option<Self> {
        // Left behind only if a test fails.
        stage.keep = false;
        let capture = Self::open(stage);
        stage.keep = capture.is_some();
        capture
    }

    fn open(stage: &Stage) -> Option<Self> {
        let file = stage.directory.join("wire.pcap");
        let filter = format!("net {} and (udp port 9899 or udp port {})", stage.network(), Self::DISCARD);
        let child = Command::new("tcpdump")
            .args(["-i", "lo", "-U", "--immediate-mode", "-B", "32768", "-Z", "root", "-w"])
            .arg(&file)
            .arg(filter)
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Err(error) if error.kind() == ErrorKind::NotFound => return skipped("tcpdump is not installed"),
            child => child.unwrap(),
        };
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            if said.read_line(&mut line).unwrap() == 0 {
                child.wait().unwrap();
                return skipped("tcpdump may not capture on lo");
            }
        }
        // Its last words must find a reader.
        std::thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        Some(Self { child, file })
    }

    const DISCARD: u16 = 9;

    /// Ends it when it has written all that was sent before; returns the file without what was said to tell.
    fn stop(mut self, stage: &Stage) -> PathBuf {
        let last = b"the last packet of the capture";
        let IpAddr::V4(host) = stage.registrar() else { panic!("an IPv4 network") };
        UdpSocket::bind((host, 0)).unwrap().send_to(last, (host, Self::DISCARD)).unwrap();
        let file = self.file.clone();
        let ends = || Ok(fs::read(&file)?.ends_with(last));
        assert!(wait_until(world::PATIENCE, ends).unwrap(), "tcpdump has not captured what was sent");
        let status = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(status.unwrap().success());
        self.child.wait().unwrap();
        let length = fs::metadata(&file).unwrap().len() - (16 + 14 + 20 + 8 + last.len()) as u64;
        File::options().write(true).open(&file).unwrap().set_len(length).unwrap();
        file
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// tshark's word for a checksum that was verified and is right.
const GOOD: &str = "1";
/// The payload protocol identifier of ASAP.
const ASAP: u64 = 11;

/// What tshark reads in one packet.
#[derive(Debug)]
struct Packet {
    checksum: String,
    /// Source and destination.
    ports: Vec<u64>,
    /// Payload protocol identifiers of its DATA chunks.
    payloads: Vec<u64>,
    /// Whether it repeats chunks, which tshark reads once only.
    is_repeated: bool,
    /// Types of ASAP messages.
    asap: Vec<u64>,
    /// Versions of IPFIX messages.
    ipfix: Vec<u64>,
    flows: usize,
    packets: Vec<u64>,
    octets: Vec<u64>,
    is_malformed: bool,
}

impl Packet {
    const FIELDS: [&'static str; 12] = [
        "sctp.checksum.status",
        "sctp.srcport",
        "sctp.dstport",
        "sctp.data_payload_proto_id",
        "sctp.retransmission",
        "asap.message_type",
        "cflow.version",
        "cflow.srcaddr",
        "cflow.srcaddrv6",
        "cflow.packets",
        "cflow.octets",
        "_ws.malformed",
    ];

    fn parse(line: &str) -> Self {
        let fields: Vec<&str> = line.split('\t').collect();
        let [checksum, from, to, payloads, repeated, asap, ipfix, v4, v6, packets, octets, malformed] =
            fields[..]
        else {
            panic!("{} fields from tshark: {line:?}", fields.len())
        };
        let parts = |field: &'_ str| field.split(',').filter(|part| !part.is_empty()).count();
        let numbers = |field: &str| -> Vec<u64> {
            field.split(',').filter(|part| !part.is_empty()).map(|part| part.parse().unwrap()).collect()
        };
        Self {
            checksum: checksum.to_owned(),
            ports: [numbers(from), numbers(to)].concat(),
            payloads: numbers(payloads),
            is_repeated: !repeated.is_empty(),
            asap: numbers(asap),
            ipfix: numbers(ipfix),
            flows: parts(v4) + parts(v6),
            packets: numbers(packets),
            octets: numbers(octets),
            is_malformed: !malformed.is_empty(),
        }
    }

    /// Returns whether it brings nothing new of protocol `payload`.
    fn lacks(&self, payload: u64) -> bool {
        self.is_repeated || !self.payloads.contains(&payload)
    }
}

/// Reads a capture with tshark. None: it is not installed, and the test has said that it is skipped.
fn read(file: &Path) -> Option<Vec<Packet>> {
    let output = Command::new("tshark")
        .args(["-d", "udp.port==9899,sctp", "-o", "sctp.checksum:CRC 32c", "-T", "fields"])
        .args(Packet::FIELDS.iter().flat_map(|field| ["-e", field]))
        .arg("-r")
        .arg(file)
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => return skipped("tshark is not installed"),
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(Packet::parse).collect())
}

fn skipped<T>(reason: &str) -> Option<T> {
    // Not `eprintln!`, which shows nothing of a test that passes.
    let _ = writeln!(io::stderr(), "SKIPPED: {reason}");
    None
}
