//! Packets of the loopback interface, as they are sent. Without CAP_NET_RAW there is nothing to see.
#![expect(clippy::disallowed_methods, reason = "packets come when they come")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use exporter::capture::live::{self, LiveError, LiveOptions, Reader};
use exporter::capture::{Filter, FilterError, Pattern};
use exporter::metering::{FlowEndReason, FlowRecord, Meter, MeteringConfig};

/// Until when packets that were sent are there.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn datagrams_become_exactly_the_flows_that_were_sent() {
    let [from, to] = sockets();
    let Some(mut readers) = open(&to, 1) else { return };
    for round in 1..=20_usize {
        from.send_to(&vec![0; round * 40], to.local_addr().unwrap()).unwrap();
        if round % 2 == 0 {
            to.send_to(&vec![0; round], from.local_addr().unwrap()).unwrap();
        }
    }
    let flows = meter(&mut readers, 30);
    let there: u64 = (1..=20).map(|round| round * 40 + 28).sum();
    let back: u64 = (1..=10).map(|round| round * 2 + 28).sum();
    let mut seen: Vec<_> = flows.iter().map(|flow| (flow.packets, flow.octets, ends(flow))).collect();
    seen.sort_unstable();
    let (from, to) = (address(&from), address(&to));
    assert_eq!(seen, [(10, back, [to, from]), (20, there, [from, to])]);
    let counts: Vec<_> = readers[0].take_counts().collect();
    assert_eq!(counts.iter().map(|counts| (counts.lent, counts.dropped)).collect::<Vec<_>>(), [(30, 0)]);
}

#[test]
fn threads_share_the_packets_and_each_flow_stays_with_one() {
    let receiver = UdpSocket::bind((loopback(), 0)).unwrap();
    let Some(mut readers) = open(&receiver, 3) else { return };
    let senders: Vec<_> = (0..40).map(|_| UdpSocket::bind((loopback(), 0)).unwrap()).collect();
    for _ in 0..10 {
        for sender in &senders {
            sender.send_to(b"there", receiver.local_addr().unwrap()).unwrap();
            receiver.send_to(b"back", sender.local_addr().unwrap()).unwrap();
        }
    }
    let mut by_reader = Vec::new();
    read(&mut readers, 800, |reader, packet| {
        let mut ports = [&packet[34..36], &packet[36..38]].map(|port| u16::from_be_bytes([port[0], port[1]]));
        ports.sort_unstable();
        by_reader.push((ports, reader));
    });
    assert_eq!(by_reader.len(), 800, "each packet once");
    let used: std::collections::BTreeSet<_> = by_reader.iter().map(|(_, reader)| *reader).collect();
    assert!(used.len() > 1, "more than one thread has some");
    by_reader.sort_unstable();
    by_reader.dedup();
    assert_eq!(by_reader.len(), 40, "both directions of a flow are with one thread");
}

#[test]
fn what_the_ring_has_no_room_for_is_counted_exactly() {
    let [from, to] = sockets();
    let Some(mut readers) = open(&to, 1) else { return };
    // The smallest ring has a mebioctet, and each packet some 600 octets in it.
    let sent = 6_000;
    for _ in 0..sent {
        from.send_to(&[0; 600], to.local_addr().unwrap()).unwrap();
    }
    let reader = &mut readers[0];
    reader.look();
    let end = Instant::now() + reader.close();
    let mut read = 0;
    while reader.read(|_| read += 1) || Instant::now() < end {
        reader.wait(Duration::from_millis(5)).unwrap();
    }
    reader.look();
    let counts = reader.take_counts().next().unwrap();
    assert_eq!(counts.lent, read);
    assert!(counts.dropped > 0, "{counts:?}");
    assert_eq!(counts.lent + counts.dropped, sent);
}

#[test]
fn a_quiet_link_is_not_held_up() {
    let [from, to] = sockets();
    let Some(mut readers) = open(&to, 1) else { return };
    from.send_to(b"one", to.local_addr().unwrap()).unwrap();
    let (mut meter, mut flows) = (
        Meter::new(
            MeteringConfig { idle_timeout: Duration::from_millis(300), ..MeteringConfig::default() },
            1,
        ),
        Vec::new(),
    );
    let begin = Instant::now();
    // One packet, and no other that would tell the time.
    while flows.is_empty() && begin.elapsed() < LIMIT {
        let settled = live::settled();
        if !readers[0].read(|packet| meter.packet(packet, &mut flows)) {
            meter.advance(settled, &mut flows);
            readers[0].wait(Duration::from_millis(20)).unwrap();
        }
        readers[0].look();
    }
    assert_eq!(
        flows.iter().map(|flow| (flow.packets, flow.end_reason)).collect::<Vec<_>>(),
        [(1, FlowEndReason::IdleTimeout)]
    );
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
}

#[test]
fn the_exporter_meters_an_interface_until_it_is_told_to_end() {
    let ([from, to], collector) = (sockets(), UdpSocket::bind((loopback(), 0)).unwrap());
    if open(&to, 1).is_none() {
        return;
    }
    let config = folder("run").join("exporter.toml");
    let text = format!(
        "[source]\ninterfaces = [\"lo\", \"no-such*\"]\nthreads = 2\nring = \"1MiB\"\nfilter = \"udp port {}\"\n\
         [udp]\ncollector = \"{}\"\n[http]\nlisten = \"{}:0\"\n",
        address(&to).port(),
        address(&collector),
        loopback()
    );
    fs::write(&config, text).unwrap();
    let mut exporter = Command::new(env!("CARGO_BIN_EXE_ipfix-exporter"))
        .args(["run", "--config", config.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(exporter.stderr.take().unwrap()).lines().map_while(Result::ok);
    let told: Vec<String> = log.by_ref().take_while(|line| !line.contains("exporting over UDP")).collect();
    assert!(told.iter().any(|line| line.contains("capturing") && line.contains("lo")), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("no such interface yet")), "{told:#?}");
    for _ in 0..25 {
        from.send_to(&[0; 72], address(&to)).unwrap();
        to.send_to(&[0; 22], address(&from)).unwrap();
    }
    // What was sent is still metered, though it is told to end at once.
    assert!(Command::new("kill").arg(exporter.id().to_string()).status().unwrap().success());
    let rest: Vec<String> = log.collect();
    let output = exporter.wait_with_output().unwrap();
    fs::remove_dir_all(config.parent().unwrap()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{rest:#?}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |key: &str| summary[key].as_u64();
    assert_eq!(
        (number("packets"), number("flows"), number("sent")),
        (Some(50), Some(2), Some(2)),
        "{summary}"
    );
}

#[test]
fn flows_of_an_interface_are_told_while_they_last() {
    let ([from, to], collector) = (sockets(), UdpSocket::bind((loopback(), 0)).unwrap());
    if open(&to, 1).is_none() {
        return;
    }
    let config = folder("flows").join("exporter.toml");
    let http = SocketAddr::new(loopback().into(), 9382);
    let text = format!(
        "[source]\ninterfaces = \"lo\"\nthreads = 2\nring = \"1MiB\"\nfilter = \"udp port {}\"\n\
         [udp]\ncollector = \"{}\"\n[http]\nlisten = \"{http}\"\n",
        address(&to).port(),
        address(&collector),
    );
    fs::write(&config, text).unwrap();
    let mut exporter = Command::new(env!("CARGO_BIN_EXE_ipfix-exporter"))
        .args(["run", "--config", config.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(exporter.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("exporting over UDP")));
    // Each as large as nothing else is here, whichever thread has it.
    for _ in 0..25 {
        from.send_to(&[0; 972], address(&to)).unwrap();
        to.send_to(&[0; 472], address(&from)).unwrap();
    }
    let (begin, mut told) = (Instant::now(), serde_json::Value::Null);
    let is_told = loop {
        told = largest(http).unwrap_or(told);
        let packets: Vec<_> =
            told["flows"].as_array().into_iter().flatten().map(|flow| &flow["packets"]).collect();
        if packets == [25, 25] {
            break true;
        } else if begin.elapsed() > LIMIT {
            break false;
        }
    };
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    fs::remove_dir_all(config.parent().unwrap()).unwrap();
    assert!(is_told, "{told}");
    let flow = |at: usize, key: &str| told["flows"][at][key].clone();
    assert_eq!([flow(0, "octets"), flow(1, "octets")], [25_000, 12_500]);
    assert_eq!((flow(0, "source-port"), flow(0, "destination-port")), ports(&from, &to));
    assert_eq!((flow(1, "source-port"), flow(1, "destination-port")), ports(&to, &from));
    assert_eq!((flow(0, "protocol"), told["complete"].clone()), (17.into(), true.into()));
}

/// What the exporter answers when it is asked for its largest flows; nothing if it does not.
fn largest(http: SocketAddr) -> Option<serde_json::Value> {
    let mut stream = TcpStream::connect(http).ok()?;
    write!(stream, "GET /api/v1/flows HTTP/1.0\r\nHost: {http}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

fn ports(from: &UdpSocket, to: &UdpSocket) -> (serde_json::Value, serde_json::Value) {
    (address(from).port().into(), address(to).port().into())
}

#[test]
fn without_the_capability_the_exporter_says_what_it_needs() {
    let folder = folder("capability");
    // Another user may run it there.
    let (program, config) = (folder.join("ipfix-exporter"), folder.join("exporter.toml"));
    fs::copy(env!("CARGO_BIN_EXE_ipfix-exporter"), &program).unwrap();
    let text = "[source]\ninterfaces = \"lo\"\n[udp]\ncollector = \"127.0.0.1:9\"\n[http]\nlisten = \"127.0.0.1:0\"\n";
    fs::write(&config, text).unwrap();
    for path in [&folder, &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(&program);
    command.args(["run", "--config", config.to_str().unwrap()]);
    // Root has it, and whoever else runs tests does not.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let output = if is_root { command.uid(65_534).gid(65_534) } else { &mut command }.output().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{told}");
    assert!(told.contains("CAP_NET_RAW: setcap cap_net_raw+ep /"), "{told}");
}

/// A folder of this process's.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("flowpool-live-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A loopback address of this process's.
fn loopback() -> Ipv4Addr {
    let [a, b, ..] = std::process::id().to_le_bytes();
    Ipv4Addr::new(127, a, b, 1)
}

fn sockets() -> [UdpSocket; 2] {
    [(); 2].map(|()| UdpSocket::bind((loopback(), 0)).unwrap())
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().unwrap()
}

fn ends(flow: &FlowRecord) -> [SocketAddr; 2] {
    [(flow.source, flow.source_port).into(), (flow.destination, flow.destination_port).into()]
}

/// Readers of what goes to or comes from a socket; none without permission.
fn open(socket: &UdpSocket, readers: usize) -> Option<Vec<Reader>> {
    let options = LiveOptions {
        interfaces: vec![Pattern::new("l?")],
        readers,
        ring: 1 << 20,
        promiscuous: false,
        filter: match Filter::compile(&format!("udp port {}", address(socket).port())) {
            Err(error @ FilterError::Tcpdump(_)) => return skipped(&error),
            filter => Some(filter.unwrap()),
        },
    };
    match live::open(options) {
        Ok((_, mut readers)) => {
            readers.iter_mut().for_each(Reader::look);
            Some(readers)
        }
        Err(error @ LiveError::Permission { .. }) => skipped(&error),
        Err(error) => panic!("{error:?}"),
    }
}

/// Says that a test is skipped.
fn skipped<T>(why: &dyn std::error::Error) -> Option<T> {
    // Not `eprintln!`, which shows nothing of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    None
}

/// Reads so many packets.
fn read(readers: &mut [Reader], count: usize, mut take: impl FnMut(usize, &[u8])) {
    let (begin, mut left) = (Instant::now(), count);
    while left > 0 && begin.elapsed() < LIMIT {
        for (index, reader) in readers.iter_mut().enumerate() {
            reader.read(|packet| {
                left = left.saturating_sub(1);
                take(index, packet.octets);
            });
            reader.look();
        }
        readers[0].wait(Duration::from_millis(5)).unwrap();
    }
}

fn meter(readers: &mut [Reader], count: u64) -> Vec<FlowRecord> {
    let (mut meter, mut flows) = (Meter::new(MeteringConfig::default(), 1), Vec::new());
    let begin = Instant::now();
    while meter.counters().packets < count && begin.elapsed() < LIMIT {
        readers[0].read(|packet| meter.packet(packet, &mut flows));
        readers[0].wait(Duration::from_millis(5)).unwrap();
    }
    readers[0].look();
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {}
    flows
}
