//! Records over real sockets into files: what arrives, what is acknowledged, and when.

mod world;

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use delivery::cookie::State;
use delivery::sidecar::Sidecar;
use transport::{ConnectError, LossReason, MsgOut, Ppid};
use world::{Collector, Directory, Exporter, Flows, PATIENCE, SERIES, address, lines, output, pool, read};

#[tokio::test]
async fn records_over_sctp_become_json_lines_and_are_acknowledged() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, address(), &(output(&directory) + &pool(&directory)));
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..100);
    exporter.send().await;
    exporter.wait_for(0..100).await;
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..100, true));
    assert_eq!((exporter.covered.range_count(), exporter.covered.count()), (1, 100));
    assert_eq!(collector.metric("ipfix_collector_records_received_total{kind=\"data\"}"), 100.0);
    assert_eq!(
        collector.metric("ipfix_collector_output_records_total{output=\"flows\",result=\"written\"}"),
        100.0
    );
    assert_eq!(collector.metric("ipfix_collector_templates"), 2.0);
    assert_eq!(collector.metric("ipfix_collector_associations{state=\"up\"}"), 1.0);

    let stopped = tokio::task::spawn_blocking(|| collector.stop());
    assert!(matches!(exporter.wait_for_end().await, LossReason::PeerClosed));
    assert_eq!(exporter.state, Some(State::Draining), "the last cookie asks the exporter to move");
    assert_eq!(stopped.await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn what_was_received_before_sigterm_is_written_and_acknowledged() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, address(), &(output(&directory) + &pool(&directory)));
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..20_000);
    exporter.send().await;
    exporter.wait_for(0..1).await;
    let stopped = tokio::task::spawn_blocking(|| collector.stop());
    exporter.wait_for_end().await;
    assert_eq!(stopped.await.unwrap().code(), Some(0));
    let covered = exporter.covered.end();
    assert_eq!(
        read(&directory.path("flows.jsonl")),
        lines(0..covered, true),
        "all that is written is acknowledged"
    );
}

#[tokio::test]
async fn after_a_kill_the_file_is_cut_and_repeated_records_are_written_once() {
    let directory = Directory::new();
    let config = output(&directory) + &pool(&directory);
    let collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..5_000);
    exporter.send().await;
    exporter.wait_for(0..1_000).await;
    exporter.flows.flows(5_000..9_000);
    exporter.send().await;
    collector.kill();
    let covered = exporter.covered.end();

    // What a torn write would leave behind.
    let file = directory.path("flows.jsonl");
    fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"ledger\":\"a1a1").unwrap();
    let mut collector = Collector::start(&directory, address(), &config);
    assert_eq!(collector.logged("file cut to what was synced"), 1);
    let kept = read(&file);
    let numbers = kept.lines().count() as u64;
    assert!(numbers >= covered, "{covered} records were acknowledged, {numbers} are there");
    assert_eq!(kept, lines(0..numbers, true));

    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..9_000);
    exporter.send().await;
    exporter.wait_for(0..9_000).await;
    assert_eq!(read(&file), lines(0..9_000, true));
    assert_eq!(collector.metric("ipfix_collector_duplicates_suppressed_total"), numbers as f64);
}

#[tokio::test]
async fn cookies_never_cover_what_is_not_in_the_sidecar() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, address(), &(output(&directory) + &pool(&directory)));
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    for round in 0..30 {
        exporter.flows.flows(round * 500..(round + 1) * 500);
        exporter.send().await;
        if round % 3 == 0 {
            exporter.wait_for(0..round * 500 + 1).await;
            let sidecar = Sidecar::decode(&fs::read(directory.path("flows.jsonl.durable")).unwrap()).unwrap();
            let durable = sidecar.holdings.ranges(SERIES).unwrap();
            assert!(exporter.covered.iter().all(|range| durable.covers(range)), "{durable:?}");
            // What the sidecar tells is in the file, before its offset.
            let file = fs::read(directory.path("flows.jsonl")).unwrap();
            let synced =
                String::from_utf8_lossy(&file[..usize::try_from(sidecar.offset).unwrap()]).into_owned();
            assert!(synced == lines(0..durable.count(), true));
        }
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a real stall takes real time")]
async fn an_output_that_blocks_for_five_seconds_loses_nothing_and_ends_no_association() {
    let directory = Directory::new();
    let pipe = directory.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    const RECORDS: u64 = 400_000;
    let config = format!(
        "{}queue = \"64KiB\"\n[output.stalled.jsonl]\npath = \"{}\"\nqueue = \"64KiB\"\nwhen-full = \"wait\"\n{}",
        output(&directory),
        pipe.display(),
        pool(&directory)
    );
    let collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..RECORDS);
    let messages = exporter.flows.messages();
    let sender = exporter.association.sender();
    let sending = tokio::spawn(async move {
        for octets in messages {
            sender.send(MsgOut { stream: 1, ..MsgOut::new(Ppid::IPFIX, octets) }).await.unwrap();
        }
    });
    let stalled = Instant::now();
    while stalled.elapsed() < Duration::from_secs(5) {
        // Cookies come, once a second.
        assert_eq!(exporter.next().await, None, "the association ended");
    }
    assert!(!sending.is_finished(), "everything was taken in although nothing could be written");
    assert!(exporter.cookies >= 5, "{} cookies in 5 s", exporter.cookies);
    assert_eq!(exporter.state, Some(State::Slow));
    let reader = tokio::task::spawn_blocking(move || read(&pipe));
    exporter.wait_for(0..RECORDS).await;
    sending.await.unwrap();
    let status = tokio::task::spawn_blocking(|| collector.stop()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(read(&directory.path("flows.jsonl")) == lines(0..RECORDS, true));
    assert!(reader.await.unwrap() == lines(0..RECORDS, true));
}

#[tokio::test]
async fn the_end_of_an_association_is_noticed_behind_a_full_queue_and_its_records_are_written_later() {
    let directory = Directory::new();
    let pipe = directory.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let stalled =
        format!("[output.stalled.jsonl]\npath = {pipe:?}\nqueue = \"64KiB\"\nwhen-full = \"wait\"\n");
    let config = output(&directory) + &stalled + &pool(&directory);
    let mut collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..3_000);
    exporter.send().await;
    while exporter.state != Some(State::Slow) {
        assert_eq!(exporter.next().await, None, "the association ended");
    }
    let cookies = exporter.cookies;
    while exporter.cookies < cookies + 2 {
        assert_eq!(exporter.next().await, None, "cookies go on");
    }
    exporter.association.abort();
    collector.wait_for("exporter gone, its last records wait for an output");
    assert_eq!(collector.metric("ipfix_collector_associations{state=\"up\"}"), 0.0);

    let reader = tokio::task::spawn_blocking(move || read(&pipe));
    assert_eq!(tokio::task::spawn_blocking(|| collector.stop()).await.unwrap().code(), Some(0));
    let file = read(&directory.path("flows.jsonl"));
    let (count, piped) = (file.lines().count() as u64, reader.await.unwrap());
    assert_eq!(count, piped.lines().count() as u64, "both outputs have as many lines");
    assert!(file == piped && file == lines(0..count, true));
    assert!(count > 500, "more than the pipe and the queue hold");
}

#[tokio::test]
async fn a_malformed_message_is_discarded_whole_and_its_numbers_are_covered() {
    let directory = Directory::new();
    let mut collector = Collector::start(&directory, address(), &(output(&directory) + &pool(&directory)));
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..10);
    exporter.send().await;
    exporter.flows.flows(10..20);
    let mut broken = exporter.flows.messages().remove(0);
    // The only set claims more octets than there are.
    broken[18..20].copy_from_slice(&9999_u16.to_be_bytes());
    exporter.send_octets(broken).await;
    exporter.flows.flows(20..30);
    exporter.send().await;
    exporter.wait_for(0..30).await;
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..10, true) + &lines(20..30, true));
    assert_eq!(collector.metric("ipfix_collector_records_dropped_total{reason=\"malformed\"}"), 1.0);
    let letters = read(&directory.path("dead-letter.jsonl"));
    assert!(
        letters.contains("\"reason\":\"malformed\",\"stream\":1,\"error\":\"octet 18: set length 9999"),
        "{letters}"
    );
    collector.wait_for("malformed message discarded");
}

#[tokio::test]
async fn three_malformed_messages_in_a_row_end_the_association() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, address(), &output(&directory));
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.flows(0..10);
    exporter.send().await;
    for _ in 0..3 {
        exporter.send_octets(vec![0; 20]).await;
    }
    assert!(matches!(exporter.wait_for_end().await, LossReason::PeerAborted(_)));
    assert_eq!(collector.stop().code(), Some(0));
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..10, false), "what came before is kept");
}

#[tokio::test]
async fn a_plain_stream_over_tcp_is_written_without_identity() {
    let directory = Directory::new();
    let mut collector = Collector::start(&directory, address(), &(output(&directory) + &pool(&directory)));
    let mut flows = Flows::new();
    flows.flows(0..1_000);
    let stream = flows.messages().concat();
    let mut socket = TcpStream::connect(collector.tcp()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&stream).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut socket, &mut answer).unwrap();
    assert!(answer.is_empty(), "a collector sends nothing to an exporter that did not ask");
    collector.wait_for("exporter gone");
    assert!(collector.metric("ipfix_collector_messages_received_total{transport=\"tcp\"}") > 1.0);
    assert_eq!(collector.stop().code(), Some(0));
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..1_000, false));
}

#[tokio::test]
async fn cookies_come_back_on_the_tcp_connection_that_asked_for_them() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, address(), &(output(&directory) + &pool(&directory)));
    let mut exporter = Exporter::connect_tcp(&collector).await;
    exporter.flows.session(40);
    exporter.flows.flows(40..1_000);
    exporter.send().await;
    exporter.wait_for(40..1_000).await;
    assert_eq!(read(&directory.path("flows.jsonl")), lines(40..1_000, true));
}

#[tokio::test]
async fn a_second_association_goes_on_where_the_first_was_aborted() {
    let directory = Directory::new();
    let mut collector = Collector::start(&directory, address(), &(output(&directory) + &pool(&directory)));
    let mut first = Exporter::connect(&collector).await;
    first.flows.session(0);
    first.flows.flows(0..500);
    first.send().await;
    first.wait_for(0..500).await;
    first.association.abort();
    collector.wait_for("exporter gone");
    assert_eq!(collector.metric("ipfix_collector_templates"), 0.0, "templates end with their session");
    let mut second = Exporter::connect(&collector).await;
    second.flows.session(400);
    second.flows.flows(400..600);
    second.send().await;
    second.wait_for(400..600).await;
    assert_eq!(
        (second.covered.range_count(), second.covered.count()),
        (1, 200),
        "only what this session carried"
    );
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..600, true));
    assert_eq!(collector.metric("ipfix_collector_duplicates_suppressed_total"), 100.0);
}

#[tokio::test]
async fn an_association_too_many_is_aborted() {
    let directory = Directory::new();
    let config = output(&directory) + &pool(&directory);
    let collector = Collector::start_with(&directory, address(), "max-associations = 1\n", &config);
    let mut first = Exporter::connect(&collector).await;
    first.flows.session(0);
    first.flows.flows(0..1);
    first.send().await;
    first.wait_for(0..1).await;
    match Exporter::try_connect(&collector).await {
        Ok(mut second) => assert!(matches!(second.wait_for_end().await, LossReason::PeerAborted(_))),
        Err(error) => assert!(matches!(error, ConnectError::Refused(_)), "{error}"),
    }
    assert_eq!(collector.metric("ipfix_collector_associations_refused_total"), 1.0);
}

#[tokio::test]
async fn records_without_a_template_go_to_the_dead_letters_and_the_rest_goes_on() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, address(), &(output(&directory) + &pool(&directory)));
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..10);
    exporter.send().await;
    exporter.flows.flows(10..15);
    let mut unknown = exporter.flows.messages().remove(0);
    // The set's template id becomes one that was never defined.
    unknown[16..18].copy_from_slice(&999_u16.to_be_bytes());
    exporter.send_octets(unknown).await;
    exporter.flows.flows(15..20);
    exporter.send().await;
    exporter.wait_for(0..20).await;
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..10, true) + &lines(15..20, true));
    assert_eq!(collector.metric("ipfix_collector_records_dropped_total{reason=\"no_template\"}"), 1.0);
    assert!(read(&directory.path("dead-letter.jsonl")).contains("\"reason\":\"no_template\""));
}
