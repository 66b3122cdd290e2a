//! What a record costs from TCP to disk: CPU seconds, and memory, of a real collector.
//!
//! `RECORDS=100000000 cargo bench -p collector` goes further than the ten million of default. Lines take turns in files of 256 MiB,
//! of which two stay, so that the disk need not hold them all. `cargo bench -p collector -- synced` measures what has this in its name.
#![expect(clippy::disallowed_methods, reason = "a benchmark waits between two looks")]
#![allow(clippy::unwrap_used, reason = "a benchmark ends where it cannot go on")]

#[path = "../tests/world/mod.rs"]
mod world;

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::time::Duration;

use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, RecordWriter, TemplateRecord};
use world::{Collector, Directory, TIME};

/// As a router sends them: addresses, next hop, interfaces, counts, times, ports and what else there is, 24 fields.
const AFTER_ADDRESSES: [(u16, u16); 21] = [
    (10, 4),
    (14, 4),
    (2, 8),
    (1, 8),
    (152, 8),
    (153, 8),
    (7, 2),
    (11, 2),
    (6, 2),
    (4, 1),
    (5, 1),
    (9, 1),
    (13, 1),
    (16, 4),
    (17, 4),
    (58, 2),
    (136, 1),
    (61, 1),
    (192, 1),
    (32, 2),
    (48, 2),
];
const V4: u16 = 256;
const V6: u16 = 257;
/// A quarter of the records are of IPv6.
const BLOCK: u32 = 40_000;
const MAX_MESSAGE: usize = 2_900;

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let records = std::env::var("RECORDS").map_or(10_000_000, |records| records.parse().unwrap());
    for (kind, settings, name) in [
        ("jsonl", "durable = false", "JSON lines"),
        ("jsonl", "durable = true", "JSON lines, synced"),
        ("jsonl", "durable = true\ndirect = true", "JSON lines, synced, direct"),
        ("ipfix", "durable = false", "IPFIX files"),
        ("ipfix", "durable = true", "IPFIX files, synced"),
        ("ipfix", "durable = true\ndirect = true", "IPFIX files, synced, direct"),
    ] {
        if name.contains(&filter) {
            measure(kind, settings, name, records);
        }
    }
}

/// Sends so many records and prints costs and memory after the first million and each time there are ten times as many.
fn measure(kind: &str, settings: &str, name: &str, records: u64) {
    let directory = Directory::new();
    let output = directory.path("flows");
    let config = format!(
        "[output.flows.{kind}]\npath = \"{}.{kind}\"\n{settings}\nrotate-octets = \"256MiB\"\nkeep = 2\n",
        output.display()
    );
    let collector = Collector::start(&directory, world::address(), &config);
    let mut connection = TcpStream::connect(collector.tcp()).unwrap();
    let mut messages = Messages::generate();
    let before = Costs::of(collector.pid());
    let (mut sent, mut look) = (0, 1_000_000);
    while sent < records {
        connection.write_all(&messages.octets).unwrap();
        messages.go_on();
        sent += u64::from(BLOCK);
        if sent >= look.min(records) {
            wait_until_written(&collector, sent);
            Costs::of(collector.pid()).print(name, sent, &before);
            look *= 10;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn wait_until_written(collector: &Collector, records: u64) {
    let written = "ipfix_collector_output_records_total{output=\"flows\",result=\"written\"}";
    while collector.metric(written) < records as f64 {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a process has used.
struct Costs {
    /// In seconds.
    user: f64,
    system: f64,
    /// Resident, in KiB.
    memory: u64,
}

impl Costs {
    fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // Behind the name in parentheses, the third field of proc(5) is first; times are in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let seconds = |at: usize| fields[at].parse::<f64>().unwrap() / 100.0;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory = memory.trim().trim_end_matches(" kB").parse().unwrap();
        Self { user: seconds(11), system: seconds(12), memory }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn print(&self, name: &str, records: u64, before: &Self) {
        let (user, system) = (self.user - before.user, self.system - before.system);
        let millions = records as f64 / 1e6;
        println!(
            "TCP to {name}: {millions:.1} M records, {:.2} M a CPU second ({:.2} µs in the process, {:.2} µs in the kernel \
             each), {} KiB resident",
            millions / (user + system),
            user / millions,
            system / millions,
            self.memory,
        );
    }
}

/// Messages with [`BLOCK`] records, to be sent again and again.
struct Messages {
    octets: Vec<u8>,
    starts: Vec<usize>,
}

impl Messages {
    fn generate() -> Self {
        let mut session = ExportingSession::new(ExportingConfig { domain: 1, max_message: MAX_MESSAGE });
        for (id, addresses) in [(V4, [(8, 4), (12, 4), (15, 4)]), (V6, [(27, 16), (28, 16), (62, 16)])] {
            let fields = addresses.into_iter().chain(AFTER_ADDRESSES);
            let fields = fields.map(|(id, length)| FieldSpecifier::iana(id, length)).collect();
            session.define(0, TemplateRecord { id, scope_fields: 0, fields }).unwrap();
        }
        let (mut messages, mut record) =
            (Self { octets: Vec::new(), starts: Vec::new() }, RecordWriter::new());
        for number in 0..BLOCK {
            let id = if number / 8 % 4 == 3 { V6 } else { V4 };
            write(&mut record, id, number.wrapping_mul(0x9e37_79b9));
            session.record(0, id, record.octets(), TIME).unwrap();
        }
        session.flush_all(TIME);
        while let Some(message) = session.poll_message() {
            messages.starts.push(messages.octets.len());
            messages.octets.extend(message.octets);
        }
        messages
    }

    /// Gives the messages the sequence numbers behind their last.
    fn go_on(&mut self) {
        for start in &self.starts {
            let sequence = self.octets[start + 8..].first_chunk_mut::<4>().unwrap();
            *sequence = u32::from_be_bytes(*sequence).wrapping_add(BLOCK).to_be_bytes();
        }
    }
}

/// Writes a record with values as they are met, drawn from `random`.
fn write(record: &mut RecordWriter, id: u16, random: u32) {
    record.clear();
    for address in [random, random.rotate_left(9), 0x0a00_00fe] {
        match id {
            V4 => record.ipv4(Ipv4Addr::from(address)),
            _ => record.ipv6(Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(address) << 32 | 1)),
        };
    }
    for (id, length) in AFTER_ADDRESSES {
        match id {
            1 | 2 => record.unsigned((1 + random % 150_000).into(), length),
            152 | 153 => record
                .milliseconds(Duration::from_millis(u64::from(TIME) * 1000 + u64::from(random % 60_000))),
            7 | 11 | 16 | 17 => record.unsigned((random >> 16).into(), length),
            _ => record.unsigned((random % 200).into(), length),
        };
    }
}
