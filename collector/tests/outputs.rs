//! Several outputs at once: what each has, and what a slow one does to the others.

mod world;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Command;

use delivery::cookie::State;
use ipfix::{
    CollectingConfig, CollectingSession, ExportingConfig, ExportingSession, FieldSpecifier, ListSemantic,
    Record, RecordWriter, TemplateRecord, Value, Visitor,
};
use world::{Collector, Directory, Exporter, SERIES, address, line, lines, output, pool, read};

/// Returns a pipe that the collector can open and nobody reads.
fn pipe(directory: &Directory) -> (PathBuf, fs::File) {
    let pipe = directory.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    (pipe, reader)
}

/// Returns the files whose names end so, in order.
fn finished(directory: &Directory, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|is| is == extension));
    files.sort();
    files
}

/// Asks again and again until the output has so many records.
fn wait_for_written(collector: &Collector, output: &str, records: u64) {
    let sample = format!("ipfix_collector_output_records_total{{output=\"{output}\",result=\"written\"}}");
    collector.wait_for_metric(&sample, records as f64);
}

#[tokio::test]
async fn one_batch_becomes_json_lines_and_csv_at_once() {
    let directory = Directory::new();
    let config = format!(
        "{}[output.table.csv]\npath = \"{}\"\ncolumns = [\"number\", \"domain\", \"sourceIPv4Address\", \"octetDeltaCount\", \
         \"sourceIPv6Address\"]\ndurable = true\n[output.flows.jsonl]\npath = \"{}\"\ndurable = true\n",
        pool(&directory),
        directory.path("flows.csv").display(),
        directory.path("flows.jsonl").display()
    );
    let collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..100);
    exporter.send().await;
    exporter.wait_for(0..100).await;
    let row = |number: u64| format!("{number},{},192.0.2.1,{number},\r\n", SERIES.domain);
    let rows = |numbers: std::ops::Range<u64>| numbers.map(row).collect::<String>();
    let header = "number,domain,sourceIPv4Address,octetDeltaCount,sourceIPv6Address\r\n";
    assert_eq!(read(&directory.path("flows.csv")), header.to_owned() + &rows(0..100));
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..100, true));

    // What is acknowledged in both is known to both after a kill.
    collector.kill();
    let collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(50);
    exporter.flows.flows(50..150);
    exporter.send().await;
    exporter.wait_for(50..150).await;
    assert_eq!(read(&directory.path("flows.csv")), header.to_owned() + &rows(0..150));
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..150, true));
}

#[tokio::test]
async fn an_output_that_nobody_reads_drops_and_the_durable_one_goes_on() {
    const RECORDS: u64 = 50_000;
    let directory = Directory::new();
    let (path, mut reader) = pipe(&directory);
    let config = format!(
        "{}{}[output.stalled.jsonl]\npath = \"{}\"\nqueue = \"64KiB\"\n",
        output(&directory),
        pool(&directory),
        path.display()
    );
    let collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..RECORDS);
    exporter.send().await;
    exporter.wait_for(0..RECORDS).await;
    assert_eq!(exporter.state, Some(State::Ok), "a full queue that nobody waits for is not slow");
    assert!(read(&directory.path("flows.jsonl")) == lines(0..RECORDS, true));

    // The books balance: what was not dropped comes out when somebody reads.
    let stats: serde_json::Value = stats(&collector);
    let stalled = &stats["outputs"]["stalled"];
    assert_eq!(stalled["received"], RECORDS);
    let part = |name: &str| stalled[name].as_u64().unwrap();
    let dropped = stalled["dropped"]["full"].as_u64().unwrap();
    assert!(dropped > 1_000, "{dropped}");
    let metric = "ipfix_collector_output_records_dropped_total{output=\"stalled\",reason=\"full\"}";
    assert_eq!(collector.metric(metric), dropped as f64);
    assert_eq!(part("written") + part("duplicates") + part("in_flight") + dropped, RECORDS);
    assert_eq!(stats["outputs"]["flows"]["written"], RECORDS);
    assert_eq!(stats["received"]["data"], RECORDS);
    let (mut kept, mut octets) = (0, vec![0; 65_536]);
    while kept + dropped < RECORDS {
        let length = reader.read(&mut octets).unwrap();
        kept += octets[..length].iter().filter(|&&octet| octet == b'\n').count() as u64;
    }
    assert_eq!(kept + dropped, RECORDS);
}

#[tokio::test]
async fn where_no_output_is_durable_one_holds_the_exporter_back_and_has_every_record() {
    const RECORDS: u64 = 50_000;
    let directory = Directory::new();
    let (path, mut reader) = pipe(&directory);
    let config = format!(
        "[output.a.jsonl]\npath = {path:?}\nqueue = \"64KiB\"\n\
         [output.b.jsonl]\npath = {:?}\ndurable = false\n",
        directory.path("b.jsonl")
    );
    let collector = Collector::start(&directory, address(), &config);
    let mut flows = world::Flows::new();
    flows.flows(0..RECORDS);
    let (messages, to) = (flows.messages().concat(), collector.tcp());
    let sender = std::thread::spawn(move || std::net::TcpStream::connect(to).unwrap().write_all(&messages));
    // Nobody reads: as soon as the queue is full nothing more is taken from the exporter.
    while stats(&collector)["outputs"]["a"]["in_flight"].as_u64().unwrap() < 300 {
        std::thread::yield_now();
    }
    // It has the other end as well, and ends with the test.
    std::thread::spawn(move || while reader.read(&mut [0; 65_536]).is_ok() {});
    sender.join().unwrap().unwrap();
    wait_for_written(&collector, "a", RECORDS);
    let stats = stats(&collector);
    assert_eq!(stats["outputs"]["a"]["dropped"]["full"], 0);
    assert_eq!(stats["outputs"]["a"]["received"], RECORDS);
}

#[tokio::test]
async fn an_output_whose_disk_is_gone_neither_stops_the_others_nor_the_acknowledgements() {
    let directory = Directory::new();
    // Every write fails there.
    let config =
        format!("{}{}[output.full.jsonl]\npath = \"/dev/full\"\n", output(&directory), pool(&directory));
    let mut collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..100);
    exporter.send().await;
    exporter.wait_for(0..100).await;
    collector.wait_for("an output has stopped");
    exporter.flows.flows(100..200);
    exporter.send().await;
    exporter.wait_for(0..200).await;
    let failed = "ipfix_collector_output_records_dropped_total{output=\"full\",reason=\"failed\"}";
    collector.wait_for_metric(failed, 200.0);
    assert_eq!(
        collector.metric("ipfix_collector_output_records_total{output=\"full\",result=\"written\"}"),
        0.0
    );
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..200, true));
    assert_eq!(exporter.state, Some(State::Ok));
}

#[tokio::test]
async fn files_that_take_turns_hold_every_record_once_through_kills() {
    let directory = Directory::new();
    let config = output(&directory) + "rotate-octets = \"64KiB\"\n" + &pool(&directory);
    let mut sent = 0;
    for _ in 0..3 {
        let collector = Collector::start(&directory, address(), &config);
        let mut exporter = Exporter::connect(&collector).await;
        exporter.flows.session(0);
        exporter.flows.flows(0..sent + 3_000);
        exporter.send().await;
        exporter.wait_for(0..sent + 1_000).await;
        collector.kill();
        sent += 3_000;
    }
    let collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..sent);
    exporter.send().await;
    exporter.wait_for(0..sent).await;
    assert!(collector.stop().success());
    let files = finished(&directory, "jsonl");
    assert!(files.len() > 10, "{files:?}");
    let all: String = files.iter().map(|path| read(path)).collect();
    assert!(all == lines(0..sent, true), "every line once, in order, none torn");
    assert_eq!(finished(&directory, "part").len(), 0);
}

#[tokio::test]
async fn a_file_written_past_the_page_cache_holds_every_record_once_through_kills() {
    let directory = Directory::new();
    let config = output(&directory) + "direct = true\n" + &pool(&directory);
    let file = directory.path("flows.jsonl");
    let mut sent = 0;
    for _ in 0..3 {
        let collector = Collector::start(&directory, address(), &config);
        let mut exporter = Exporter::connect(&collector).await;
        exporter.flows.session(0);
        sent += 10_000;
        exporter.flows.flows(0..sent);
        exporter.send().await;
        exporter.wait_for(0..sent - 9_000).await;
        // Who reads while it grows has what is acknowledged.
        let covered = exporter.covered.end();
        assert!(read(&file).starts_with(&lines(0..covered, true)), "{covered} records");
        collector.kill();
    }
    let collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..sent);
    exporter.send().await;
    exporter.wait_for(0..sent).await;
    assert!(read(&file) == lines(0..sent, true), "every line once, in order, none torn");
    assert!(collector.stop().success());
}

/// Returns the values of octetDeltaCount in the files of IPFIX messages, the oldest first, each file read by itself.
fn values_in(directory: &Directory) -> Vec<u64> {
    #[derive(Default)]
    struct Values(Vec<u64>);
    impl Visitor for Values {
        fn record(&mut self, record: &Record<'_>) {
            if let Some(Value::Unsigned(value)) = record.find(0, 1).map(|field| field.value()) {
                assert_eq!((record.domain, record.export_time), (SERIES.domain, world::TIME));
                self.0.push(value);
            }
        }
    }
    let mut values = Values::default();
    for path in finished(directory, "ipfix") {
        let (octets, mut session) =
            (fs::read(path).unwrap(), CollectingSession::new(CollectingConfig::default()));
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            let (message, after) = rest.split_at(u16::from_be_bytes([rest[2], rest[3]]).into());
            assert_eq!(session.decode(0, message, &mut values).unwrap().lost, 0);
            rest = after;
        }
    }
    values.0
}

#[tokio::test]
async fn an_ipfix_file_holds_every_acknowledged_record_once_through_kills() {
    let directory = Directory::new();
    let path = directory.path("flows.ipfix");
    let config = format!(
        "[output.archive.ipfix]\npath = {path:?}\nrotate-octets = \"16KiB\"\noriginal-exporter = false\n"
    ) + &pool(&directory);
    for round in 0..3 {
        let collector = Collector::start(&directory, address(), &config);
        let mut exporter = Exporter::connect(&collector).await;
        exporter.flows.session(0);
        exporter.flows.flows(0..(round + 1) * 2_000);
        exporter.send().await;
        exporter.wait_for(0..round * 2_000 + 1_000).await;
        collector.kill();
    }
    let collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..8_000);
    exporter.send().await;
    exporter.wait_for(0..8_000).await;
    assert!(collector.stop().success());
    assert!(values_in(&directory).into_iter().eq(0..8_000), "every record once, in order");
    // How many more there are depends on how much came at once.
    assert!(finished(&directory, "ipfix").len() >= 4, "each start begins another file");
    assert_eq!(finished(&directory, "part").len(), 0);

    // The collector's own command reads them.
    let first = finished(&directory, "ipfix").remove(0);
    let decode = [OsStr::new("decode"), first.as_os_str()];
    let printed = Command::new(env!("CARGO_BIN_EXE_ipfix-collector")).args(decode).output().unwrap();
    assert!(printed.status.success());
    assert!(String::from_utf8(printed.stdout).unwrap().starts_with(&line(0, false)));
}

#[tokio::test]
async fn another_collector_gets_every_record_and_goes_on_after_it_was_away() {
    let (directory, other) = (Directory::new(), Directory::new());
    let (mut last, last_address) = (Vec::new(), address());
    let file = |name: &str| format!("[output.flows.jsonl]\npath = {:?}\n", other.path(name));
    let upstream = Collector::start(&other, last_address, &file("first.jsonl"));
    let config = format!(
        "{}{}[output.upstream.forward]\nto = \"{last_address}:4739\"\nreconnect = \"1s\"\n\
         original-exporter = false\n",
        output(&directory),
        pool(&directory)
    );
    let mut collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..5_000);
    exporter.send().await;
    wait_for_written(&upstream, "flows", 5_000);
    assert!(upstream.stop().success());
    last.push(read(&other.path("first.jsonl")));

    // What comes meanwhile waits, and is acknowledged by the durable file all the same.
    exporter.flows.flows(5_000..7_000);
    exporter.send().await;
    exporter.wait_for(0..7_000).await;
    collector.wait_for("an output fails");
    let upstream = Collector::start(&other, last_address, &file("second.jsonl"));
    wait_for_written(&upstream, "flows", 2_000);
    assert_eq!(
        upstream.metric("ipfix_collector_records_lost_total"),
        0.0,
        "sequence numbers begin again with the session"
    );
    assert!(collector.stop().success());
    assert!(upstream.stop().success());
    last.push(read(&other.path("second.jsonl")));
    assert!(last.concat() == lines(0..7_000, false), "every record once, in order");
}

#[tokio::test]
async fn biflows_are_split_by_the_outputs_that_are_asked_to_and_the_books_say_so() {
    let directory = Directory::new();
    let path = |name: &str| format!("{:?}", directory.path(name));
    let config = format!(
        "[output.kept.jsonl]\npath = {}\n[output.split.jsonl]\npath = {}\nbiflows = \"split\"\n\
         [output.table.csv]\npath = {}\nbiflows = \"split\"\n\
         columns = [\"direction\", \"sourceIPv4Address\", \"octetDeltaCount\"]\n\
         [output.archive.ipfix]\npath = {}\nbiflows = \"split\"\noriginal-exporter = false\n",
        path("kept.jsonl"),
        path("split.jsonl"),
        path("table.csv"),
        path("archive.ipfix")
    );
    let mut collector = Collector::start(&directory, address(), &config);
    let mut session = ExportingSession::new(ExportingConfig { domain: 7, max_message: 1400 });
    let reverse = FieldSpecifier { pen: 29_305, id: 1, length: 4 };
    let fields =
        vec![FieldSpecifier::iana(8, 4), FieldSpecifier::iana(12, 4), FieldSpecifier::iana(1, 4), reverse];
    session.define(0, TemplateRecord { id: 300, scope_fields: 0, fields }).unwrap();
    for back in [5, 0, 6] {
        let mut writer = RecordWriter::new();
        writer.ipv4([192, 0, 2, 1].into()).ipv4([192, 0, 2, 2].into()).unsigned(9, 4).unsigned(back, 4);
        session.record(0, 300, writer.octets(), world::TIME).unwrap();
    }
    session.flush_all(world::TIME);
    let mut stream = std::net::TcpStream::connect(collector.tcp()).unwrap();
    while let Some(message) = session.poll_message() {
        stream.write_all(&message.octets).unwrap();
    }
    drop(stream);
    collector.wait_for("exporter gone");
    for (output, split) in [("kept", 0), ("split", 2), ("table", 2), ("archive", 2)] {
        wait_for_written(&collector, output, 3);
        let books = &stats(&collector)["outputs"][output];
        let count = |name: &str| books[name].as_u64().unwrap();
        assert_eq!((count("received"), count("written"), count("split")), (3, 3, split), "{output}");
    }
    assert!(collector.stop().success());

    assert_eq!(read(&directory.path("kept.jsonl")).matches("reverseOctetDeltaCount").count(), 3);
    let table = "direction,sourceIPv4Address,octetDeltaCount\r\n,192.0.2.1,9\r\nreverse,192.0.2.2,5\r\n\
                 ,192.0.2.1,9\r\n,192.0.2.1,9\r\nreverse,192.0.2.2,6\r\n";
    assert_eq!(read(&directory.path("table.csv")), table);
    let lines = read(&directory.path("split.jsonl"));
    assert_eq!(lines.lines().count(), 5);
    let reverse = "{\"direction\":\"reverse\",\"destinationIPv4Address\":\"192.0.2.1\",\"sourceIPv4Address\":\"192.0.2.2\",\
                   \"octetDeltaCount\":5}";
    assert_eq!(lines.lines().nth(1), Some(reverse));
    let file = finished(&directory, "ipfix").remove(0);
    let decode = [OsStr::new("decode"), file.as_os_str()];
    let printed = Command::new(env!("CARGO_BIN_EXE_ipfix-collector")).args(decode).output().unwrap();
    let uniflows = lines.replace("\"direction\":\"reverse\",", "");
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), uniflows);
}

/// Returns messages of an exporter whose records have lists of sub-templates, the one in the other. `leaf` is the template
/// of the innermost records.
fn with_lists(leaf: &[FieldSpecifier], record: impl Fn(&mut RecordWriter)) -> Vec<u8> {
    let mut session = ExportingSession::new(ExportingConfig { domain: 7, max_message: 1400 });
    let list = |id| FieldSpecifier::iana(id, ipfix::VARIABLE);
    for (id, fields) in [(400, leaf.to_vec()), (401, vec![list(293)]), (402, vec![list(292)])] {
        session.define(0, TemplateRecord { id, scope_fields: 0, fields }).unwrap();
    }
    for _ in 0..3 {
        let mut writer = RecordWriter::new();
        writer.sub_template_list(ListSemantic::AllOf, 401, |records| {
            records.sub_template_multi_list(ListSemantic::Ordered, |parts| {
                parts.sub_template_part(400, &record);
                parts.sub_template_part(400, &record);
            });
        });
        session.record(0, 402, writer.octets(), world::TIME).unwrap();
    }
    session.flush_all(world::TIME);
    std::iter::from_fn(|| session.poll_message()).flat_map(|message| message.octets).collect()
}

#[tokio::test]
async fn lists_of_sub_templates_are_read_alike_from_a_file_and_by_the_next_collector() {
    let (directory, other) = (Directory::new(), Directory::new());
    let lines = format!("[output.flows.jsonl]\npath = {:?}\n", other.path("flows.jsonl"));
    let upstream_address = address();
    let upstream = Collector::start(&other, upstream_address, &lines);
    let config = format!(
        "{}[output.archive.ipfix]\npath = {:?}\n[output.upstream.forward]\nto = \"{upstream_address}:4739\"\n",
        output(&directory),
        directory.path("archive.ipfix"),
    );
    let collector = Collector::start(&directory, address(), &config);
    // Two exporters use one id for different templates.
    let counters = with_lists(&[FieldSpecifier::iana(1, 8)], |record| {
        record.unsigned(5, 8);
    });
    let names = with_lists(&[FieldSpecifier::iana(82, ipfix::VARIABLE)], |record| {
        record.string("eth0");
    });
    let connect = || std::net::TcpStream::connect(collector.tcp()).unwrap();
    let (mut one, mut two) = (connect(), connect());
    one.write_all(&counters).unwrap();
    wait_for_written(&upstream, "flows", 3);
    two.write_all(&names).unwrap();
    wait_for_written(&upstream, "flows", 6);
    drop((one, two));
    assert!(collector.stop().success() && upstream.stop().success());

    let without_ids = |text: &str| {
        let ids = regex_lite::Regex::new("\"template\":[0-9]+").unwrap();
        ids.replace_all(text, "").replace(",\"originalExporterIPv4Address\":\"127.0.0.1\"", "")
    };
    let received = without_ids(&read(&directory.path("flows.jsonl")));
    let innermost = ["{\"octetDeltaCount\":5}", "{\"interfaceName\":\"eth0\"}"];
    assert_eq!(innermost.map(|record| received.matches(record).count()), [6, 6], "{received}");
    let file = finished(&directory, "ipfix").remove(0);
    let decode = [OsStr::new("decode"), file.as_os_str()];
    let printed = Command::new(env!("CARGO_BIN_EXE_ipfix-collector")).args(decode).output().unwrap();
    for read_again in [read(&other.path("flows.jsonl")), String::from_utf8(printed.stdout).unwrap()] {
        assert_eq!(
            read_again.matches("originalExporterIPv4Address").count(),
            6,
            "each record tells its exporter"
        );
        assert_eq!(without_ids(&read_again), received);
    }
}

#[tokio::test]
async fn received_is_written_and_repeated_and_dropped_for_every_output() {
    let directory = Directory::new();
    let config = format!(
        "{}{}[output.table.csv]\npath = \"{}\"\n",
        output(&directory),
        pool(&directory),
        directory.path("flows.csv").display()
    );
    let collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..1_000);
    exporter.flows.session(500);
    exporter.flows.flows(500..1_500);
    exporter.send().await;
    exporter.wait_for(0..1_500).await;
    wait_for_written(&collector, "table", 1_500);
    let stats = stats(&collector);
    for output in ["flows", "table"] {
        let books = &stats["outputs"][output];
        assert_eq!(books["received"], 2_000);
        assert_eq!((books["written"].as_u64(), books["duplicates"].as_u64()), (Some(1_500), Some(500)));
        assert_eq!(books["in_flight"], 0);
        assert_eq!(books["dropped"], serde_json::json!({ "full": 0, "failed": 0, "connection": 0 }));
    }
    assert_eq!(stats["received"], serde_json::json!({ "data": 2_000, "options": 2 }));
    assert!(collector.http("/api/v1/none").starts_with("HTTP/1.1 404"));
}

fn stats(collector: &Collector) -> serde_json::Value {
    let answer = collector.http("/api/v1/stats");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[test]
fn doctor_connects_to_whom_an_output_forwards_and_says_what_to_do_where_nobody_is() {
    let (directory, other, upstream) = (Directory::new(), Directory::new(), address());
    let own = address();
    let config = format!(
        "[listen]\nipfix = []\nipfix-tcp = [\"{own}:4739\"]\n[http]\nlisten = \"{own}:9381\"\n{}\
         [state]\ndirectory = {:?}\n[output.upstream.forward]\nto = \"{upstream}:4739\"\n",
        output(&directory),
        directory.path("state"),
    );
    let file = directory.path("doctor.toml");
    fs::write(&file, config).unwrap();
    let doctor = || {
        let arguments = [OsStr::new("doctor"), OsStr::new("--config"), file.as_os_str()];
        let output = Command::new(env!("CARGO_BIN_EXE_ipfix-collector")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let upstream_is = |told: &str, grade: &str, found: &str| {
        let mut lines = told.lines().filter(|line| line.contains("output.upstream"));
        lines.any(|line| line.starts_with(grade) && line.contains(&format!("  tcp {upstream}:4739: {found}")))
    };
    let (code, told) = doctor();
    assert!(code == Some(1) && upstream_is(&told, "BAD", "refused"), "{code:?} {told}");
    assert!(told.contains("fix: start it there"), "{told}");

    let lines = format!("[output.flows.jsonl]\npath = {:?}\n", other.path("flows.jsonl"));
    let collector = Collector::start(&other, upstream, &lines);
    let (code, told) = doctor();
    assert!(code == Some(0) && upstream_is(&told, "ok", "connected in "), "{code:?} {told}");
    assert!(collector.stop().success());
}
