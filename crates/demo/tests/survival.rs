//! A pool of real processes survives what is stopped, frozen, stalled, killed and started again.
//!
//! The stops are real time, because how long a peer may be silent is what is tested.

mod world;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use demo::books;
use demo::pool::{Plan, Pool};
use demo::process::{Daemon, ROLE, pause, wait_until};
use demo::scrape::Samples;
use demo::stage::{Stage, collector_name};

#[test]
fn the_demo_kills_a_registrar_and_a_collector_and_loses_nothing() {
    let output = Command::new(world::program()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    assert!(text.lines().any(|line| line == "lost 0"), "{text}");
    let failover = text.lines().find_map(|line| {
        line.trim().strip_prefix("failover")?.split_whitespace().next()?.parse::<f64>().ok()
    });
    assert!(failover.is_some_and(|seconds| seconds < 3.0), "{text}");
    assert!(text.lines().any(|line| line.trim().starts_with("takeover")), "{text}");
}

#[test]
fn a_registrar_stopped_for_ten_seconds_costs_nothing() {
    let mut pool = world::pool(14);
    world::wait_for_part(&mut pool, 0.1);
    pool.registrar.signal("STOP").unwrap();
    pause(Duration::from_secs(10));
    assert!(!pool.is_done().unwrap(), "the registrar was stopped in the middle of the export");
    pool.registrar.signal("CONT").unwrap();
    world::wait_for_registrations(&pool, 2.0);
    world::settle_undisturbed(pool);
}

#[test]
fn a_collector_stopped_for_less_than_the_loss_threshold_keeps_its_association() {
    let mut pool = world::pool(6);
    let used = world::wait_for_part(&mut pool, 0.3);
    let collector = pool.collectors[usize::from(used)].as_ref().unwrap();
    collector.signal("STOP").unwrap();
    pause(Duration::from_millis(1_500));
    collector.signal("CONT").unwrap();
    world::settle_undisturbed(pool);
}

#[test]
fn a_reader_stalled_for_five_seconds_stops_the_flow_and_nothing_else() {
    let (plan, stage) = world::stage(9);
    let readers = [0, 1].map(|index| Reader::attach(&stage, index));
    let mut pool = Pool::start(world::program(), plan, stage).unwrap();
    let used = world::wait_for_part(&mut pool, 0.2);
    let (http, exporter) = (pool.stage.collector_http(used), pool.stage.exporter_http());
    let reader = &readers[usize::from(used)];
    reader.stalled.store(true, Ordering::Relaxed);
    // The pipe, the output's queue and the association's window fill one after the other.
    pause(Duration::from_millis(3_500));
    let scrape = || (Samples::scrape(http).unwrap(), Samples::scrape(exporter).unwrap());
    let (before, waiting) = scrape();
    pause(Duration::from_millis(1_500));
    let (after, still_waiting) = scrape();
    reader.stalled.store(false, Ordering::Relaxed);
    let received = |metrics: &Samples| metrics.sum("ipfix_collector_records_received_total");
    assert_eq!(received(&before), received(&after), "records are read behind a full queue");
    let buffered = |metrics: &Samples| metrics.sum("ipfix_exporter_buffered_records");
    assert!(buffered(&still_waiting) > buffered(&waiting), "the exporter keeps what it cannot send");
    report_recovery(&mut pool, world::covered(&still_waiting), buffered(&still_waiting) - buffered(&waiting));
    world::settle_undisturbed(pool);
}

#[test]
fn a_collector_frozen_for_good_is_left() {
    let mut pool = world::pool(8);
    let used = world::wait_for_part(&mut pool, 0.3);
    let mut frozen = pool.take_collector(used).unwrap();
    frozen.signal("STOP").unwrap();
    world::wait_for_another(&mut pool, used);
    let (settlement, _stage) = world::settle(pool);
    assert_eq!(settlement.failovers, 1);
    // Only now: its end must not have been needed.
    frozen.kill().unwrap();
}

#[test]
fn a_killed_collector_started_again_takes_over_in_turn_and_the_files_deduplicate() {
    let mut pool = world::pool(10);
    let first = world::wait_for_part(&mut pool, 0.2);
    pool.take_collector(first).unwrap().kill().unwrap();
    world::wait_for_another(&mut pool, first);
    pool.restart_collector(world::program(), first).unwrap();
    world::wait_for_part(&mut pool, 0.6);
    pool.take_collector(1 - first).unwrap().kill().unwrap();
    world::wait_for_another(&mut pool, 1 - first);
    pool.restart_collector(world::program(), 1 - first).unwrap();
    world::wait_for_registrations(&pool, 2.0);

    let (settlement, stage) = world::settle(pool);
    assert_eq!(settlement.failovers, 2);

    let deduplicated = stage.directory.join("flows.jsonl");
    dedupe(&stage, &deduplicated);
    let all = books::read(&deduplicated, &settlement.series).unwrap();
    assert_eq!((all.flows.len(), all.repeated), (settlement.metered.len(), 0));
    let books = books::balance(&settlement.metered, &[all]);
    assert_eq!((books.lost, books.wrong), (0, 0));
}

#[test]
fn garbage_at_every_port_disturbs_nobody() {
    let mut pool = world::pool(6);
    world::wait_for_part(&mut pool, 0.1);
    let stage = &pool.stage;
    let hosts = [stage.registrar(), stage.collector(0), stage.collector(1), stage.exporter()];
    let stranger = stranger(stage.registrar());
    let socket = UdpSocket::bind((stranger, 0)).unwrap();
    for _ in 0..500 {
        for host in hosts {
            for datagram in datagrams() {
                socket.send_to(&datagram, (host, 9899)).unwrap();
            }
        }
    }
    let http =
        [stage.registrar_http(), stage.collector_http(0), stage.collector_http(1), stage.exporter_http()];
    for address in http {
        shout(address);
    }
    world::wait_for_part(&mut pool, 0.5);
    world::wait_for_registrations(&pool, 2.0);
    world::settle_undisturbed(pool);
}

/// A pool whose exporter sends until it is told to end, with some of its flows on a disk.
fn endless_pool() -> Pool {
    let plan = Plan { loops: 0, ..Plan::make(5_000, Duration::from_secs(9)).unwrap() };
    let stage = Stage::set(true).unwrap();
    stage.furnish(&plan).unwrap();
    println!("configuration, logs and flows are in {}", stage.directory.display());
    let mut pool = Pool::start(world::program(), plan, stage).unwrap();
    world::wait_for_part(&mut pool, 0.1);
    pool
}

/// Asserts that records go on to a disk, over the association that took the first ones.
fn goes_on_undisturbed(mut pool: Pool) {
    let before = world::covered(&Samples::scrape(pool.stage.exporter_http()).unwrap());
    let metrics =
        world::wait_for(&mut pool, "more flows on a disk", |metrics| world::covered(metrics) > before);
    let disturbed = ["ipfix_exporter_failovers_total", "ipfix_exporter_resent_records_total"];
    assert_eq!(disturbed.map(|name| metrics.sum(name)), [0.0, 0.0]);
    for collector in pool.collectors.iter().flatten() {
        assert!(collector.logged().matches("exporter connected").count() <= 1);
    }
    pool.stage.keep = false;
}

/// Whether a daemon says that it is ready, to one more connection.
fn is_ready(address: SocketAddr) -> bool {
    let mut answer = String::new();
    let mut ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    };
    ask().is_ok() && answer.starts_with("HTTP/1.1 200 ")
}

#[test]
fn ten_thousand_slow_connections_to_each_http_port_keep_nobody_out_and_disturb_nobody() {
    let pool = endless_pool();
    let stage = &pool.stage;
    for address in [stage.registrar_http(), stage.collector_http(0), stage.exporter_http()] {
        // As many at a time as an ordinary limit of file descriptors has room for.
        let mut held = VecDeque::new();
        for number in 0..10_000 {
            let mut stream = TcpStream::connect(address).unwrap();
            // It may be closed already.
            let _ = stream.write_all(b"GET /readyz HTTP/1.1\r\nHo");
            held.push_back(stream);
            if held.len() > 300 {
                held.pop_front();
            }
            if number % 500 == 499 {
                assert!(is_ready(address), "{address} after {number} connections");
            }
        }
    }
    goes_on_undisturbed(pool);
}

#[test]
fn a_bad_file_at_sighup_leaves_everything_as_it_was_and_a_good_one_names_what_needs_a_restart() {
    let pool = endless_pool();
    let daemons = [
        ("registrar", "rserpool", pool.stage.registrar_http()),
        ("collector-a", "ipfix_collector", pool.stage.collector_http(0)),
        ("exporter", "ipfix_exporter", pool.stage.exporter_http()),
    ];
    let templates = |pool: &Pool| {
        let of = |index| {
            Samples::scrape(pool.stage.collector_http(index)).unwrap().sum("ipfix_collector_templates")
        };
        [of(0), of(1)]
    };
    let before = templates(&pool);
    assert!(before.iter().sum::<f64>() > 0.0);
    for (name, prefix, http) in daemons {
        let file = pool.stage.config(name);
        let text = fs::read_to_string(&file).unwrap();
        let daemon = match name {
            "registrar" => &pool.registrar,
            "exporter" => &pool.exporter,
            _ => pool.collectors[0].as_ref().unwrap(),
        };
        let reload = |text: &str, logged: &str, successful: f64| {
            fs::write(&file, text).unwrap();
            daemon.signal("HUP").unwrap();
            wait_for_line(daemon, logged);
            let gauge = format!("{prefix}_config_last_reload_successful");
            let told = wait_until(world::PATIENCE, || Ok(Samples::scrape(http)?.sum(&gauge) == successful));
            assert!(told.unwrap(), "{name}: {gauge} is not {successful}");
        };
        let bad = format!("nonsense = 1\n{text}[htp]\n");
        reload(&bad, &format!("{name}.toml:1:1: unknown key `nonsense`"), 0.0);
        wait_for_line(daemon, "unknown key `htp`, did you mean `http`?");
        let moved = text.replace("[http]\nlisten = \"127.", "[http]\nlisten = \"128.");
        reload(&moved, "in force after a restart keys=\"http.listen\"", 1.0);
        fs::write(&file, &text).unwrap();
        assert!(!daemon.logged().contains("DEBUG"), "{name}");
        daemon.signal("USR2").unwrap();
        wait_for_line(daemon, "verbose=true");
        shout(http);
        wait_for_line(daemon, "DEBUG service::http");
        daemon.signal("USR2").unwrap();
        wait_for_line(daemon, "verbose=false");
    }
    assert_eq!(templates(&pool), before);
    goes_on_undisturbed(pool);
}

/// Waits until a line of a daemon's log has `text`.
fn wait_for_line(daemon: &Daemon, text: &str) {
    let logged = wait_until(world::PATIENCE, || Ok(daemon.logged().contains(text)));
    assert!(logged.unwrap(), "no {text:?} in\n{}", daemon.logged());
}

/// Reports how fast what has piled up is taken, beside what is metered, `live` records in 1.5 s.
#[expect(clippy::disallowed_methods, reason = "measures real processes by the clock")]
fn report_recovery(pool: &mut Pool, covered: f64, live: f64) {
    let begin = Instant::now();
    let taken = world::wait_for(pool, "recovery", |metrics| {
        metrics.sum("ipfix_exporter_buffered_records") < live && world::covered(metrics) > covered
    });
    let rate = (world::covered(&taken) - covered) / begin.elapsed().as_secs_f64();
    println!("recovery at {rate:.0} records/s, live {:.0} records/s", live / 1.5);
}

/// Another program that reads a collector's flows from a named pipe.
struct Reader {
    stalled: Arc<AtomicBool>,
}

impl Reader {
    /// Gives collector `index` a second output, which is not durable, and reads it.
    fn attach(stage: &Stage, index: u8) -> Self {
        let name = collector_name(index);
        let pipe = stage.directory.join(format!("{name}.pipe"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let output = format!(
            "\n[output.tap.jsonl]\npath = {pipe:?}\ndurable = false\nwhen-full = \"wait\"\nqueue = \"64KiB\"\n"
        );
        let mut config = File::options().append(true).open(stage.config(&name)).unwrap();
        config.write_all(output.as_bytes()).unwrap();
        // Open for both, which waits for no writer.
        let mut pipe = File::options().read(true).write(true).open(pipe).unwrap();
        let stalled = Arc::new(AtomicBool::new(false));
        let gate = Arc::clone(&stalled);
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            while pipe.read(&mut octets).is_ok_and(|read| read > 0) {
                while gate.load(Ordering::Relaxed) {
                    pause(Duration::from_millis(10));
                }
            }
        });
        Self { stalled }
    }
}

/// Writes the lines of both collectors' files to `to`, each identity once.
fn dedupe(stage: &Stage, to: &Path) {
    let mut child = Command::new(world::program())
        .args([ROLE, "collector", "dedupe"])
        .args([stage.flows(0), stage.flows(1)])
        .stdin(Stdio::piped())
        .stdout(File::create(to).unwrap())
        .spawn()
        .unwrap();
    // A daemon of the demo ends when this pipe closes.
    let stdin = child.stdin.take();
    assert!(child.wait().unwrap().success());
    drop(stdin);
}

/// Returns an address of the pool's network that no daemon has.
fn stranger(registrar: IpAddr) -> IpAddr {
    let IpAddr::V4(registrar) = registrar else { panic!("{registrar} is not IPv4") };
    let [a, b, c, _] = registrar.octets();
    Ipv4Addr::new(a, b, c, 99).into()
}

/// Returns octets no protocol has, an SCTP packet whose checksum is wrong, an association set-up (INIT) with garbage for
/// parameters, and an ABORT for an association there is none of; the latter two with good checksums.
fn datagrams() -> [Vec<u8>; 4] {
    let mut noise = [0; 256];
    getrandom::fill(&mut noise).unwrap();
    let length = usize::from(noise[0]);
    let to_ipfix = [&noise[..2], &4739_u16.to_be_bytes()].concat();
    let sctp = |tag: &[u8], chunk: &[u8]| [&to_ipfix, tag, &[0; 4], chunk].concat();
    let init = [&[1, 0, 0, 250][..], &noise[..246], &[0, 0]].concat();
    let abort = [6, 0, 0, 4];
    [
        noise[..length].to_vec(),
        sctp(&noise[2..6], &noise[6..]),
        with_checksum(sctp(&[0; 4], &init)),
        with_checksum(sctp(&noise[2..6], &abort)),
    ]
}

/// Puts the CRC32c in its place (RFC 9260 appendix A).
fn with_checksum(mut packet: Vec<u8>) -> Vec<u8> {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    let crc = packet.iter().fold(!0, |crc, octet| (0..8).fold(crc ^ u32::from(*octet), step));
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
    packet
}

/// Says something over TCP that is no HTTP. Whether it is read to the end is the listener's affair.
fn shout(address: SocketAddr) {
    let mut noise = [0; 4096];
    getrandom::fill(&mut noise).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let _ = stream.write_all(&noise);
}
