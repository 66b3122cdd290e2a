//! Disks that are full, by a limit on the length of files (EFBIG) or a small file system (ENOSPC): nothing is
//! acknowledged that is not on disk, the collector leaves its pool until it can write, and no file is torn.

mod world;

use std::fs;
use std::path::Path;
use std::process::Command;

use delivery::cookie::State;
use world::registrar::Answering;
use world::{Collector, Directory, Exporter, address, lines, output, read};

/// Runs what follows so that a file beyond the limit is an error and no signal.
const WITHOUT_XFSZ: [&str; 4] = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];

/// Lets no file of the collector grow beyond `length` octets.
fn limit(collector: &Collector, length: &str) {
    let arguments = [format!("--pid={}", collector.pid()), format!("--fsize={length}:unlimited")];
    assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
}

/// Reads `/readyz` again and again until it says `text`.
fn wait_for_readiness(collector: &Collector, text: &str) {
    // Each question takes a round trip; there is nothing else to wait for.
    let said = (0..100_000).any(|_| collector.http("/readyz?verbose").contains(text));
    assert!(said, "not {text:?} but {}", collector.http("/readyz?verbose"));
}

/// Waits until cookies say `state`.
async fn wait_for_state(exporter: &mut Exporter, state: State) {
    while exporter.state != Some(state) {
        assert_eq!(exporter.next().await, None, "the association ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_whose_file_cannot_grow_stops_acknowledging_leaves_the_pool_and_comes_back_with_every_record()
 {
    let directory = Directory::new();
    let mut registrar = Answering::start_anywhere().await;
    let config =
        output(&directory) + &registrar.pool(&directory, "policy.least-used = { capacity = 1000000 }");
    let collector = Collector::start_by(&WITHOUT_XFSZ, "0s", &directory, address(), &config);
    let first = registrar.registration().await.element.pe;
    collector.wait_until_ready();
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..1_000);
    exporter.send().await;
    exporter.wait_for(0..1_000).await;
    let file = directory.path("flows.jsonl");

    // In the middle of a line.
    limit(&collector, &(read(&file).len() + 12_345).to_string());
    exporter.flows.flows(1_000..3_000);
    exporter.send().await;
    registrar.load(|load| load == 1.0).await;
    registrar.deregistration().await;
    wait_for_state(&mut exporter, State::Draining).await;
    let cookies = exporter.cookies;
    while exporter.cookies < cookies + 2 {
        assert_eq!(exporter.next().await, None, "it lives, and says so");
    }
    assert_eq!(exporter.covered.end(), 1_000, "nothing is acknowledged that could not be written");
    let reason = "output flows: cannot write: File too large (os error 27), out of the pool until it can";
    wait_for_readiness(&collector, reason);
    assert_eq!(collector.metric("ipfix_collector_output_failing{output=\"flows\"}"), 1.0);
    assert!(collector.metric("ipfix_collector_output_failing_seconds{output=\"flows\"}") >= 2.0);

    limit(&collector, "unlimited");
    exporter.wait_for(0..3_000).await;
    wait_for_state(&mut exporter, State::Ok).await;
    assert_ne!(registrar.registration().await.element.pe, first, "a new element, which nobody has set aside");
    collector.wait_until_ready();
    assert_eq!(collector.metric("ipfix_collector_output_failing{output=\"flows\"}"), 0.0);
    assert!(read(&file) == lines(0..3_000, true), "every line once, none torn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_started_on_a_full_disk_waits_outside_the_pool_and_registers_when_it_can_write() {
    let directory = Directory::new();
    let mut registrar = Answering::start_anywhere().await;
    let config = output(&directory) + &registrar.pool(&directory, "");
    let full = ["sh", "-c", "trap '' XFSZ; exec prlimit --fsize=0:unlimited \"$@\"", "sh"];
    let mut collector = Collector::start_by(&full, "0s", &directory, address(), &config);
    wait_for_readiness(&collector, "output flows: cannot open");
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..100);
    exporter.send().await;
    wait_for_state(&mut exporter, State::Draining).await;
    assert_eq!(exporter.covered.end(), 0);
    assert_eq!(collector.logged("registered"), 0);
    limit(&collector, "unlimited");
    exporter.wait_for(0..100).await;
    registrar.registration().await;
    collector.wait_until_ready();
    assert!(read(&directory.path("flows.jsonl")) == lines(0..100, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_on_a_full_file_system_ends_in_order_and_the_next_one_goes_on_exactly_there() {
    let directory = Directory::new();
    let disk = directory.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size=256k tmpfs {} && exec \"$@\"", disk.display());
    if !Command::new("unshare").args(["-rm", "sh", "-c", &mount, "sh", "true"]).status().unwrap().success() {
        return println!("skipped: no file system can be mounted here");
    }
    let config = format!(
        "[output.flows.jsonl]\npath = \"{}\"\n{}",
        disk.join("flows.jsonl").display(),
        world::pool(&directory)
    );
    let mounted = ["unshare", "-rm", "sh", "-c", &mount, "sh"];
    let collector = Collector::start_by(&mounted, "0s", &directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..20_000);
    exporter.send().await;
    wait_for_readiness(&collector, "No space left on device (os error 28), out of the pool until it can");
    wait_for_state(&mut exporter, State::Draining).await;
    let covered = exporter.covered.end();

    // What the process sees, while it lives.
    let inside = format!("/proc/{}/root{}", collector.pid(), disk.display());
    let kept = directory.path("kept");
    fs::create_dir(&kept).unwrap();
    let copy = |name: &str| fs::copy(Path::new(&inside).join(name), kept.join(name)).unwrap();
    copy("flows.jsonl.durable");
    copy("flows.jsonl");
    let stopped = tokio::task::spawn_blocking(|| collector.stop());
    exporter.wait_for_end().await;
    assert_eq!(stopped.await.unwrap().code(), Some(74), "it says that something could not be written");
    assert_eq!(exporter.state, Some(State::Draining));
    assert_eq!(exporter.covered.end(), covered, "and acknowledges none of it");

    // The disk has room again, and the exporter sends what was not acknowledged.
    let config = format!(
        "[output.flows.jsonl]\npath = \"{}\"\n{}",
        kept.join("flows.jsonl").display(),
        world::pool(&directory)
    );
    let collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(covered);
    exporter.flows.flows(covered..20_000);
    exporter.send().await;
    exporter.wait_for(covered..20_000).await;
    assert!(read(&kept.join("flows.jsonl")) == lines(0..20_000, true), "every line once, none torn");
}

/// Moves the finished files from the collector's disk to `kept`, as whoever makes room.
fn move_finished(inside: &Path, kept: &Path) {
    for entry in fs::read_dir(inside).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            fs::copy(&path, kept.join(path.file_name().unwrap())).unwrap();
            fs::remove_file(&path).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_take_turns_on_a_full_file_system_go_on_where_there_is_room_again() {
    const RECORDS: u64 = 5_000;
    let directory = Directory::new();
    let (disk, kept) = (directory.path("disk"), directory.path("kept"));
    fs::create_dir(&disk).unwrap();
    fs::create_dir(&kept).unwrap();
    let mount = format!("mount -t tmpfs -o size=256k tmpfs {} && exec \"$@\"", disk.display());
    if !Command::new("unshare").args(["-rm", "sh", "-c", &mount, "sh", "true"]).status().unwrap().success() {
        return println!("skipped: no file system can be mounted here");
    }
    let path = disk.join("flows.jsonl");
    let config = format!("[output.flows.jsonl]\npath = {path:?}\nrotate-octets = \"48KiB\"\n");
    let mounted = ["unshare", "-rm", "sh", "-c", &mount, "sh"];
    let config = config + &world::pool(&directory);
    let collector = Collector::start_by(&mounted, "0s", &directory, address(), &config);
    let inside = format!("/proc/{}/root{}", collector.pid(), disk.display());
    let inside = Path::new(&inside);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..RECORDS);
    exporter.send().await;
    let mut times_full = 0;
    while !exporter.covered.covers(0..RECORDS) {
        if collector.metric("ipfix_collector_output_failing{output=\"flows\"}") == 1.0 {
            times_full += 1;
            move_finished(inside, &kept);
        }
        assert_eq!(exporter.next().await, None, "the association ended");
    }
    assert!(times_full > 1, "{times_full} times full");
    // The last file is not finished.
    move_finished(inside, &kept);
    let left = fs::read_dir(inside).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> = left.filter(|path| path.extension().is_some_and(|is| is == "part")).collect();
    assert_eq!(left.len(), 1);
    let mut files: Vec<_> = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let all: String = files.iter().chain(&left).map(|path| read(path)).collect();
    assert!(all == lines(0..RECORDS, true), "every line once, none torn");
}

#[test]
fn a_path_that_cannot_be_is_an_error_that_names_the_file() {
    let directory = Directory::new();
    let path = directory.path("missing/flows.jsonl");
    fs::write(directory.path("collector.toml"), format!("[output.flows.jsonl]\npath = {path:?}\n")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ipfix-collector"))
        .args(["run", "--config"])
        .arg(directory.path("collector.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(74));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&format!("{}: No such file or directory", path.display())), "{text}");
}
