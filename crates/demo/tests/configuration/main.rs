//! What operators see of the three daemons' configuration files: reports of what is wrong, and what is in force.
//!
//! `UPDATE_GOLDEN=1 cargo test -p demo --test configuration` rewrites `broken.txt`.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use collector::Collector;
use exporter::Daemon as Exporter;
use registrar::RegistrarDaemon as Registrar;
use service::Daemon;
use service::config::{parse, shown};

const EXPORTER: &str = "[source]\npcap = \"a.pcap\"\n[pool]\nhandle = \"ipfix\"\nkey-file = \"pool.key\"\n";
const COLLECTOR: &str = "[output.flows.jsonl]\npath = \"flows.jsonl\"\n";

const CONTRADICTORY_EXPORTER: &str = r#"[source]
pcap = "-"
loop = 3
ring = "64MiB"
threads = 4
[metering]
idle-timeout = "0s"
keys = []
tcp-linger = "1s"
[sampling.random]
size = 3
population = 2
[pool]
handle = "ipfix"
key-file = "pool.key"
transport = "tls"
registrars = ["tls://192.0.2.1"]
addresses = ["0.0.0.0"]
[udp]
collector = "192.0.2.1:0"
address = "2001:db8::1"
[class."a class"]
[class.timed]
max-retransmissions = 1
[export]
max-message = "1B"
options-interval = "0s"
[retention]
memory = "1B"
spool-limit = "1MiB"
durability = "spool"
"#;
const CONTRADICTORY_COLLECTOR: &str = r#"[listen]
ipfix = ["192.0.2.1:4739", "198.51.100.1:4740", "192.0.2.1:4739"]
ipfix-tls = ["0.0.0.0:4740"]
encapsulation-port = 0
[udp]
sockets = 0
max-sessions = 0
[[pool]]
handle = "x"
transport = "tcp"
registrars = ["tls://192.0.2.1"]
[[pool]]
handle = "x"
registrars = []
announce = { port = 0, networks = [] }
[output.a.jsonl]
path = "a"
keep = 3
queue = "1B"
[output.b.csv]
path = "a"
columns = []
[output.c.forward]
to = "nowhere"
"#;
const CONTRADICTORY_REGISTRAR: &str = r#"id = "000000010a0b0c01"
[listen]
asap = ["0.0.0.0:3863", "192.0.2.1:3864"]
asap-tls = ["192.0.2.1:3864"]
encapsulation-port = 0
[[peer]]
address = "192.0.2.9"
[announce]
asap = { port = 0 }
enrp = {}
"#;

/// The report of a file, or that there is nothing to report.
fn report<D: Daemon>(text: &str) -> String {
    let name = format!("{}.toml", D::SHORT);
    match parse::<D::Config>(&name, text, D::validate) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_error_of_a_broken_file_is_shown_with_its_place() {
    let exporter = |text: &str| report::<Exporter>(text);
    let collector = |text: &str| report::<Collector>(text);
    let registrar = |text: &str| report::<Registrar>(text);
    let cases = [
        ("exporter: empty", exporter("")),
        ("exporter: a comma too much", exporter("[source],\npcap = \"a.pcap\"\n")),
        ("exporter: a section misspelt", exporter(&EXPORTER.replace("[pool]", "[pol]"))),
        (
            "exporter: four errors",
            exporter("[source]\npcap = 1\nspeed = -1\n[pool]\nhandel = \"x\"\nstack = \"krnel\"\n"),
        ),
        ("exporter: no pool", exporter("[source]\npcap = \"a.pcap\"\n")),
        ("exporter: pool and udp", exporter(&format!("{EXPORTER}[udp]\ncollector = \"192.0.2.1:4739\"\n"))),
        (
            "exporter: a period without unit",
            exporter(&format!("{EXPORTER}[metering]\nidle-timeout = \"15\"\n")),
        ),
        (
            "exporter: a size of a wrong unit",
            exporter(&format!("{EXPORTER}[retention]\nmemory = \"64MB\"\n")),
        ),
        ("exporter: an empty handle", exporter(&EXPORTER.replace("\"ipfix\"", "\"\""))),
        (
            "exporter: a registrar without port",
            exporter(&format!("{EXPORTER}registrars = [\"192.0.2.1\", \"tpc://192.0.2.1:3863\"]\n")),
        ),
        ("exporter: a key twice", exporter(&format!("{EXPORTER}handle = \"b\"\n"))),
        (
            "exporter: a start that is none",
            exporter("[source]\npcap = \"a\"\nstart = \"tomorrow\"\n[pool]\nhandle = \"x\"\n"),
        ),
        ("collector: an output that is none", collector("output = \"flows.jsonl\"\n")),
        ("collector: an output of no kind", collector("[output.flows]\n")),
        ("collector: a form there is not", collector("[output.flows]\nxml = { path = \"x\" }\n")),
        (
            "collector: the wildcard address",
            collector(&format!("{COLLECTOR}[listen]\nipfix = [\"0.0.0.0:4739\"]\n")),
        ),
        (
            "collector: an address without port",
            collector(&format!("{COLLECTOR}[listen]\nipfix = [\"127.0.0.1\"]\n")),
        ),
        (
            "collector: TLS without keys",
            collector(&format!("{COLLECTOR}[listen]\nipfix-tls = [\"127.0.0.1:4740\"]\n")),
        ),
        (
            "collector: a policy there is not",
            collector(&format!("{COLLECTOR}[[pool]]\nhandle = \"x\"\npolicy.round-robbin = {{}}\n")),
        ),
        (
            "collector: two policies of a pool",
            collector(&format!(
                "{COLLECTOR}[[pool]]\nhandle = \"x\"\npolicy = {{ random = {{}}, round-robin = {{}} }}\n"
            )),
        ),
        (
            "collector: two pools, two errors",
            collector(&format!(
                "{COLLECTOR}[[pool]]\nhandle = 7\n[[pool]]\nhandle = \"y\"\nregistrar = []\n"
            )),
        ),
        ("exporter: contradictions in every section", exporter(CONTRADICTORY_EXPORTER)),
        ("collector: contradictions in every section", collector(CONTRADICTORY_COLLECTOR)),
        ("registrar: contradictions in every section", registrar(CONTRADICTORY_REGISTRAR)),
        ("registrar: a key of another section", registrar("[listen]\npeer = \"192.0.2.1:9901\"\n")),
        ("registrar: a peer without address", registrar("[[peer]]\n")),
        ("registrar: a profile there is not", registrar("[profile]\ntimers = \"quick\"\n")),
        (
            "registrar: a network with host bits",
            registrar("[registration]\nnetworks = [\"192.0.2.1/24\", \"192.0.2.0/33\"]\n"),
        ),
        ("registrar: a control character", registrar("[listen]\nasap = [\"\\u001b[31m\"]\n")),
    ];
    let mut transcript = String::new();
    for (title, report) in &cases {
        assert_ne!(report, "ok", "{title}");
        transcript += &format!("== {title}\n{report}\n\n");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configuration/broken.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &transcript).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(transcript == golden, "broken.txt differs; UPDATE_GOLDEN=1 rewrites it\n{transcript}");
}

/// Asserts that what is shown of a file means the same, and names every key of the sections it names.
fn assert_shown<D: Daemon<Config: Debug>>(text: &str, some: &[&str]) {
    let shown = shown::<D>(text).unwrap_or_else(|error| panic!("{error}"));
    let read = |text: &str| match parse::<D::Config>(D::SHORT, text, D::validate) {
        // Places differ.
        Ok(config) => format!("{config:#?}")
            .lines()
            .filter(|line| !line.contains(" span: "))
            .map(str::to_owned)
            .collect::<Vec<_>>(),
        Err(error) => panic!("{error}\n{text}"),
    };
    let (of_shown, of_text) = (read(&shown), read(text));
    let difference = of_shown.iter().zip(&of_text).find(|(shown, text)| shown != text);
    assert!(of_shown == of_text, "{difference:?} in\n{shown}");
    for line in some {
        assert!(shown.contains(line), "no {line} in\n{shown}");
    }
}

#[test]
fn the_configuration_shown_is_the_one_in_force() {
    assert_shown::<Exporter>(
        "[source]\ninterfaces = \"lo\"\n[pool]\nkey-file = \"k\"\n",
        &["interfaces = \"lo\"\n"],
    );
    assert_shown::<Exporter>(EXPORTER, &["pcap = \"a.pcap\"\n", "idle-timeout = \"15s\"\n"]);
    let classes = "[retention]\nmemory = \"1MiB\"\n[class.a]\nreliability = \"reliable\"\n";
    assert_shown::<Exporter>(&format!("{EXPORTER}{classes}"), &["[class.a]\n"]);
    assert_shown::<Collector>(COLLECTOR, &["max-associations = 4096\n"]);
    let pools = "[[pool]]\nhandle = \"a\"\n[[pool]]\nhandle = \"b\"\n";
    assert_shown::<Collector>(&format!("{COLLECTOR}{pools}"), &["handle = \"a\"\n", "handle = \"b\"\n"]);
    assert_shown::<Registrar>("", &["timers = \"fast\"\n"]);
    assert_shown::<Registrar>(
        "[listen]\nenrp = [\"127.0.0.1:9901\"]\n[[peer]]\naddress = \"127.0.0.2:9901\"\n",
        &["address = \"127.0.0.2:9901\"\n"],
    );
}
