//! Packets of veth interfaces, sent from another network namespace: what needs more than loopback. It runs in a virtual machine:
//! `cargo xtask interop kernel`.
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::disallowed_methods, reason = "packets come when they come")]

use std::env;
use std::fs;
use std::io::Write as _;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use exporter::capture::live::{self, Counts, LiveOptions, Reader};
use exporter::capture::{Filter, Pattern};
use exporter::metering::{FlowEndReason, Meter, MeteringConfig};

/// How many datagrams the generator is to send.
const GENERATE: &str = "FLOWPOOL_GENERATE";
const PORT: u16 = 4_242;
/// Emulation takes its time.
const LIMIT: Duration = Duration::from_secs(120);

/// A veth interface here, its other end in a namespace of its own. Dropping it removes both.
struct Link {
    device: String,
    namespace: String,
}

impl Link {
    fn new(name: &str, network: u8) -> Self {
        let link =
            Self { device: name.to_owned(), namespace: format!("flowpool-{name}-{}", std::process::id()) };
        let (device, namespace) = (link.device.as_str(), link.namespace.as_str());
        ip(&["netns", "add", namespace]);
        ip(&["link", "add", device, "type", "veth", "peer", "name", "far", "netns", namespace]);
        ip(&["address", "add", &format!("10.78.{network}.1/24"), "dev", device]);
        ip(&["link", "set", device, "up"]);
        ip(&["-n", namespace, "address", "add", &format!("10.78.{network}.2/24"), "dev", "far"]);
        ip(&["-n", namespace, "link", "set", "far", "up"]);
        link
    }

    /// Sends datagrams from the other end to this one, to the end.
    fn send(&self, network: u8, datagrams: u32) {
        let status = Command::new("ip")
            .args(["netns", "exec", &self.namespace])
            .arg(env::current_exe().unwrap())
            .args(["--exact", "generator", "--include-ignored"])
            .env(GENERATE, format!("10.78.{network}.1 {datagrams}"))
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.namespace]).status();
    }
}

fn ip(arguments: &[&str]) {
    assert!(Command::new("ip").args(arguments).status().unwrap().success(), "ip {arguments:?}");
}

#[test]
#[ignore = "the other end of the tests here"]
fn generator() {
    let Ok(what) = env::var(GENERATE) else { return };
    let (address, datagrams) = what.split_once(' ').unwrap();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect((address, PORT)).unwrap();
    for _ in 0..datagrams.parse::<u32>().unwrap() {
        // Nobody listens, and ICMP says so, in place of sending.
        while socket.send(&[0; 100]).is_err() {}
    }
}

fn options(pattern: &str, ring: usize) -> LiveOptions {
    LiveOptions {
        interfaces: vec![Pattern::new(pattern)],
        readers: 1,
        ring,
        promiscuous: false,
        filter: Some(Filter::compile(&format!("udp dst port {PORT}")).unwrap()),
    }
}

/// Meters until so many packets were there; returns the flows' packets and octets.
fn meter(reader: &mut Reader, packets: u64) -> (u64, u64) {
    let (mut meter, mut flows) = (Meter::new(MeteringConfig::default(), 1), Vec::new());
    let begin = Instant::now();
    while meter.counters().packets < packets && begin.elapsed() < LIMIT {
        if !reader.read(|packet| meter.packet(packet, &mut flows)) {
            reader.wait(Duration::from_millis(20)).unwrap();
        }
        reader.look();
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {}
    (flows.iter().map(|flow| flow.packets).sum(), flows.iter().map(|flow| flow.octets).sum())
}

fn counts(reader: &mut Reader) -> Counts {
    reader.look();
    reader.take_counts().next().unwrap()
}

#[test]
#[ignore = "needs network namespaces: cargo xtask interop kernel"]
fn what_a_generator_sends_is_metered_without_drops() {
    let link = Link::new("capture0", 0);
    let (_watch, mut readers) = live::open(options("capture0", 32 << 20)).unwrap();
    let reader = &mut readers[0];
    reader.look();
    let sent = 50_000;
    let metered = thread::scope(|scope| {
        scope.spawn(|| link.send(0, sent));
        meter(reader, sent.into())
    });
    assert_eq!(metered, (sent.into(), u64::from(sent) * 128));
    assert_eq!(counts(reader), Counts { lent: sent.into(), dropped: 0 });
}

#[test]
#[ignore = "needs network namespaces: cargo xtask interop kernel"]
fn at_full_speed_what_is_sent_is_metered_or_counted_as_dropped() {
    let link = Link::new("capture3", 3);
    let (_watch, mut readers) = live::open(options("capture3", 32 << 20)).unwrap();
    let reader = &mut readers[0];
    reader.look();
    let (sent, is_over) = (100_000, AtomicBool::new(false));
    let (mut meter, mut flows) = (Meter::new(MeteringConfig::default(), 1), Vec::new());
    let (begin, worked) = (Instant::now(), cpu_time());
    thread::scope(|scope| {
        scope.spawn(|| {
            link.send(3, sent);
            is_over.store(true, Ordering::Release);
        });
        let mut end = None;
        while end.is_none_or(|end| Instant::now() < end) {
            if reader.read(|packet| meter.packet(packet, &mut flows)) {
                continue;
            }
            reader.wait(Duration::from_millis(20)).unwrap();
            if end.is_none() && is_over.load(Ordering::Acquire) {
                end = Some(Instant::now() + reader.close());
            }
        }
    });
    let (elapsed, worked) = (begin.elapsed(), cpu_time() - worked);
    let Counts { lent, dropped } = counts(reader);
    // Figures for people; a virtual machine is slow.
    let told = format!(
        "{sent} packets in {elapsed:.1?}, {dropped} dropped; {:.0} ns of processor time for each that was metered",
        worked.as_secs_f64() * 1e9 / lent as f64
    );
    writeln!(std::io::stderr(), "{told}").unwrap();
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {}
    assert_eq!((lent + dropped, meter.counters().packets), (sent.into(), lent));
    assert_eq!(flows.iter().map(|flow| flow.packets).sum::<u64>(), lent);
}

/// Processor time of this thread.
fn cpu_time() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

#[test]
#[ignore = "needs network namespaces: cargo xtask interop kernel"]
fn beyond_the_ring_every_packet_is_counted_as_dropped() {
    let link = Link::new("capture1", 1);
    let (_watch, mut readers) = live::open(options("capture1", 1 << 20)).unwrap();
    let reader = &mut readers[0];
    reader.look();
    let sent = 20_000;
    link.send(1, sent);
    // Nothing was read meanwhile, and all is over.
    let end = Instant::now() + reader.close();
    let mut read = 0;
    while reader.read(|_| read += 1) || Instant::now() < end {
        reader.wait(Duration::from_millis(20)).unwrap();
    }
    let counts = counts(reader);
    assert_eq!(counts.lent, read);
    assert!(counts.dropped > 0 && counts.lent > 0, "{counts:?}");
    assert_eq!(counts.lent + counts.dropped, u64::from(sent));
}

#[test]
#[ignore = "needs network namespaces: cargo xtask interop kernel"]
fn interfaces_are_captured_when_they_appear_and_left_when_they_go() {
    let (watch, mut readers) = live::open(options("appear*", 1 << 20)).unwrap();
    let reader = &mut readers[0];
    let (stop, stopped) = channel();
    let watching = thread::spawn(move || watch.run(&stopped, |_| ()));
    for round in 0..2 {
        let link = Link::new("appear2", 2);
        let begin = Instant::now();
        let mut metered = 0;
        // It is found within a second; what was sent before is not seen.
        while metered == 0 && begin.elapsed() < LIMIT {
            link.send(2, 10);
            reader.look();
            reader.wait(Duration::from_millis(100)).unwrap();
            while reader.read(|_| metered += 1) {}
        }
        assert!(metered > 0, "round {round}");
        // Down and up again.
        ip(&["link", "set", "appear2", "down"]);
        reader.look();
        ip(&["link", "set", "appear2", "up"]);
        link.send(2, 10);
        assert!(meter(reader, 1).0 > 0, "round {round}");
        drop(link);
        let begin = Instant::now();
        // With nothing to wait for, waiting takes its time.
        while begin.elapsed() < LIMIT {
            reader.look();
            let now = Instant::now();
            reader.wait(Duration::from_millis(50)).unwrap();
            if now.elapsed() >= Duration::from_millis(50) {
                break;
            }
        }
        assert!(begin.elapsed() < LIMIT, "the interface that is gone wakes for ever");
    }
    drop(stop);
    watching.join().unwrap();
}
