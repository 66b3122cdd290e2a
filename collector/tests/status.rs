//! What a running collector shows: its page, the API behind it, `top` and `tap`.

mod world;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, RecordWriter, TemplateRecord};
use serde_json::Value;
use world::{Collector, Directory, Exporter, TIME, output, pool};

/// What an interface could be called.
const HOSTILE: &str = "</code></td><script>alert(1)</script><img src=x onerror=\"alert(2)\">";

/// Looks again and again: each takes a round trip, and there is nothing else to wait for.
const LOOKS: usize = 20_000;

/// Returns the head and the body of an answer to somebody on the collector's host.
fn ask(collector: &Collector, path: &str) -> (String, String) {
    let address = collector.address;
    let mut stream = TcpStream::connect((address, 9381)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}:9381\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn json(collector: &Collector, path: &str) -> Value {
    let (head, body) = ask(collector, path);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
    serde_json::from_str(&body).unwrap()
}

/// Asks until the answer is as it should be.
fn wait_for(collector: &Collector, path: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..LOOKS {
        let answer = json(collector, path);
        if is_there(&answer) {
            return answer;
        }
    }
    panic!("not there: {}", json(collector, path));
}

/// Messages with a template and these flows: from 192.0.2.1 to 198.51.100.1, over an interface of this name.
fn flows(count: u64, interface: &str) -> Vec<Vec<u8>> {
    let fields = [(8, 4), (12, 4), (11, 2), (4, 1), (1, 8), (2, 8), (82, 65535)];
    let fields = fields.map(|(id, length)| FieldSpecifier::iana(id, length)).to_vec();
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 7, max_message: 60_000 });
    exporting.define(1, TemplateRecord { id: 300, scope_fields: 0, fields }).unwrap();
    for number in 0..count {
        let mut record = RecordWriter::new();
        record.ipv4(Ipv4Addr::new(192, 0, 2, 1)).ipv4(Ipv4Addr::new(198, 51, 100, 1));
        record.unsigned(443, 2).unsigned(6, 1).unsigned(1_000 + number, 8).unsigned(2, 8).string(interface);
        exporting.record(1, 300, record.octets(), TIME).unwrap();
    }
    exporting.flush_all(TIME);
    std::iter::from_fn(|| exporting.poll_message()).map(|message| message.octets).collect()
}

async fn send(exporter: &mut Exporter, messages: Vec<Vec<u8>>) {
    for message in messages {
        exporter.send_octets(message).await;
    }
}

/// Runs a subcommand of the collector against a running one.
fn command(collector: &Collector, arguments: &[&str]) -> Output {
    command_of(collector, arguments).output().unwrap()
}

fn command_of(collector: &Collector, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipfix-collector"));
    command.args(arguments).arg("--url").arg(format!("http://{}:9381", collector.address));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_their_templates_and_talkers_are_told_as_json() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, world::address(), &(output(&directory) + &pool(&directory)));
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..100);
    exporter.send().await;
    exporter.wait_for(0..100).await;
    send(&mut exporter, flows(200, "eth0")).await;
    // What is told of the last message comes one after the other.
    let sessions = wait_for(&collector, "/api/v1/sessions", |answer| {
        let session = &answer["sessions"][0];
        session["records"] == 300
            && session["domains"] == serde_json::json!([1, 7])
            && session["templates"] == 3
    });
    assert_eq!(sessions["total"], 1);
    let session = &sessions["sessions"][0];
    assert_eq!(session["session"], 1);
    assert!(session["peer"].as_str().unwrap().starts_with("sctp 127."), "{session}");
    assert_eq!((&session["state"], &session["acknowledged"]), (&"up".into(), &true.into()));
    assert_eq!((&session["ledger"], &session["epoch"]), (&"a1".repeat(16).into(), &3.into()));
    assert_eq!(session["domains"], serde_json::json!([1, 7]));
    assert_eq!((&session["templates"], &session["lost"]), (&3.into(), &0.into()));
    assert_eq!(session["classes"]["reliable"]["received"], 100);
    assert!(session["octets"].as_u64().unwrap() > 4_000 && session["last-message"].is_string(), "{session}");
    assert_eq!(json(&collector, "/api/v1/sessions?after=1")["sessions"], serde_json::json!([]));

    let templates = json(&collector, "/api/v1/templates?session=1");
    assert_eq!(templates["total"], 3);
    let template =
        templates["templates"].as_array().unwrap().iter().find(|one| one["template"] == 300).unwrap();
    assert_eq!((&template["domain"], &template["options"]), (&7.into(), &false.into()));
    let field = serde_json::json!({
        "element": "interfaceName", "pen": 0, "id": 82, "octets": null, "scope": false,
    });
    assert_eq!(template["fields"][6], field);

    // Samples are taken of sessions that send on.
    let talkers = loop {
        send(&mut exporter, flows(50, "eth0")).await;
        let talkers = json(&collector, "/api/v1/talkers?count=3");
        if talkers["sources"][0].is_object() {
            break talkers;
        }
    };
    assert_eq!(talkers["sources"][0]["address"], "192.0.2.1");
    assert_eq!(talkers["destinations"][0]["address"], "198.51.100.1");
    assert_eq!(talkers["services"][0]["service"], "tcp/443");

    let status = json(&collector, "/api/v1/status");
    assert_eq!((&status["sessions"], &status["outputs"][0]["name"]), (&1.into(), &"flows".into()));
    for wrong in ["/api/v1/sessions?after=x", "/api/v1/records?filter=x"] {
        assert!(ask(&collector, wrong).0.starts_with("HTTP/1.1 400"), "{wrong}");
    }
    assert!(ask(&collector, "/api/v1/templates?session=99").0.starts_with("HTTP/1.1 404"));
    drop(exporter);
    wait_for(&collector, "/api/v1/sessions", |answer| answer["total"] == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_sessions_and_records_whatever_these_hold() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, world::address(), &output(&directory));
    collector.wait_until_ready();
    let (head, page) = ask(&collector, "/");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(page.contains("No exporter is connected."), "{page}");
    assert!(page.contains("<span class=\"mark good\">up</span>"), "{page}");
    let exporter = &mut Exporter::connect_tcp(&collector).await;
    // The page has asked for records; they come as long as it is looked at.
    let page = loop {
        send(exporter, flows(300, HOSTILE)).await;
        let (_, page) = ask(&collector, "/status");
        if page.contains("onerror") {
            break page;
        }
    };
    assert!(page.len() < 60_000, "{}", page.len());
    assert_eq!((page.matches("<script>").count(), page.matches("<img").count()), (1, 0));
    assert!(
        page.contains("tcp 127.")
            && page.contains("interfaceName")
            && page.contains("&lt;script&gt;alert(1)")
    );
    assert!(page.contains("<h2 id=\"talkers-h\">Talkers</h2>"));
    // Whoever asks by a name may be somebody else's web page.
    let far = collector.http("/");
    assert!(!far.contains("onerror") && far.contains("told on this host only"), "{far}");
    for path in ["/api/v1/records", "/api/v1/talkers"] {
        assert!(collector.http(path).starts_with("HTTP/1.1 403"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_sessions_outputs_and_talkers_once() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, world::address(), &output(&directory));
    let exporter = &mut Exporter::connect_tcp(&collector).await;
    send(exporter, flows(123, "eth0")).await;
    wait_for(&collector, "/api/v1/sessions", |answer| answer["sessions"][0]["records"] == 123);
    let shown = command(&collector, &["top", "--once"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success(), "{text}");
    let line = text.lines().find(|line| line.starts_with("tcp 127.")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!((words[2], words.last()), ("up", Some(&"1")), "{line}");
    assert!(words.contains(&"123"), "{line}");
    assert!(text.contains("flows") && !text.contains('\x1b'), "{text}");
    let shown = command(&collector, &["top", "--once", "--output", "json"]);
    let picture: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(picture["sessions"]["sessions"][0]["records"], 123);
    assert!(picture["status"]["outputs"].is_array() && picture["talkers"]["sources"].is_array());
    // Again and again, without a terminal: plain text, and the end by a signal is an orderly one.
    let mut running = command_of(&collector, &["top"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let begins =
        (0..2).map(|_| lines.find(|line| line.as_ref().unwrap().starts_with("ipfix-collector 127.")));
    assert_eq!(begins.flatten().count(), 2);
    let pid = running.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(running.wait().unwrap().success());
}

#[test]
fn top_says_who_does_not_answer() {
    let shown = Command::new(env!("CARGO_BIN_EXE_ipfix-collector"))
        .args(["top", "--once", "--url", &format!("http://{}:9381", world::address())])
        .output()
        .unwrap();
    assert_eq!(shown.status.code(), Some(69));
    assert!(String::from_utf8(shown.stderr).unwrap().starts_with("error: no answer from http://127."));
}

/// A running `tap`.
struct Tap {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Tap {
    fn start(collector: &Collector, arguments: &[&str]) -> Self {
        let arguments = [&["tap"], arguments].concat();
        let mut child = command_of(collector, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn records(mut self) -> Vec<Value> {
        let records = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert!(self.child.wait().unwrap().success());
        records
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tap_prints_the_records_that_match_as_they_come() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, world::address(), &output(&directory));
    let exporter = &mut Exporter::connect_tcp(&collector).await;
    let filter = "octetDeltaCount >= 1010 and octetDeltaCount < 1013 and interfaceName = \"eth0\"";
    let tap = Tap::start(&collector, &["--filter", filter, "--count", "5"]);
    let printing = std::thread::spawn(|| tap.records());
    while !printing.is_finished() {
        send(exporter, flows(30, "eth0")).await;
        send(exporter, flows(30, "eth1")).await;
        // What was sent has been looked at before more is.
        json(&collector, "/api/v1/status");
    }
    let records = printing.join().unwrap();
    let octets: Vec<u64> = records.iter().map(|record| record["octetDeltaCount"].as_u64().unwrap()).collect();
    assert_eq!(octets, [1010, 1011, 1012, 1010, 1011]);
    for record in records {
        assert!(record["exporter"].as_str().unwrap().starts_with("127."), "{record}");
        assert_eq!(record["interfaceName"], "eth0");
    }
    let refused = command(&collector, &["tap", "--filter", "octetdeltacount = 1"]);
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("did you mean `octetDeltaCount`?"), "{error}");
}

#[test]
fn sources_of_datagrams_are_sessions_too() {
    let directory = Directory::new();
    let collector = Collector::start_udp(&directory, &output(&directory));
    let socket = std::net::UdpSocket::bind((world::address(), 0)).unwrap();
    socket.connect(collector.tcp()).unwrap();
    for message in flows(20, "eth0") {
        socket.send(&message).unwrap();
    }
    let sessions = wait_for(&collector, "/api/v1/sessions", |answer| answer["sessions"][0]["records"] == 20);
    let session = &sessions["sessions"][0];
    assert_eq!(session["peer"], format!("udp {}", socket.local_addr().unwrap()));
    assert_eq!((&session["templates"], &session["domains"]), (&1.into(), &serde_json::json!([7])));
}
