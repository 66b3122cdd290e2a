//! Several classes of reliability at once, over a path that loses packets: real processes, and books that close.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use demo::process::{Daemon, wait_until};
use demo::scrape::Samples;
use demo::stage::Stage;
use rserpool::{
    PeId, PoolElement, PoolElementConfig, PoolElementState, PoolHandle, Protocol, TransportUse, UserTransport,
};
use serde_json::Value;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use transport::{Endpoint, EndpointConfig};

/// Nothing here takes so long on any machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a hundred packets so many are lost, each way.
const LOSS: u64 = 5;
/// Sessions in the capture.
const SESSIONS: u64 = 6_000;
/// Of the replay: as fast as it goes.
const SPEED: f64 = 0.0;
/// The observation domain of the exporter.
const DOMAIN: u64 = 1;

/// The rules of the configuration below, once more by hand.
fn class_of(record: &Value) -> &'static str {
    let number = |name: &str| record.get(name).and_then(Value::as_u64);
    let source = record.get("sourceIPv6Address").and_then(Value::as_str);
    if number("protocolIdentifier") == Some(6) && number("octetDeltaCount") >= Some(1_000) {
        "books"
    } else if source.is_some_and(|source| source.starts_with("2001:db8:0:1:")) {
        "dns"
    } else if source.is_some() {
        "alarms"
    } else if number("sourceTransportPort") >= Some(30_000) {
        "rest"
    } else {
        "bulk"
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_of_every_class_close_at_five_percent_loss() {
    let capture = pcap_fixtures::Trace::new(7, SESSIONS);
    let stage = Stage::set(false).unwrap();
    furnish(&stage, &capture.file);
    let program = Path::new(env!("CARGO_BIN_EXE_demo"));
    let start =
        |role: &str| Daemon::start(program, role, role, &stage.config(role), &stage.directory).unwrap();
    let mut registrar = start("registrar");
    let mut collector = start("collector");
    let is_up = |daemon: &mut Daemon, http: SocketAddr| {
        let up = wait_until(PATIENCE, || Ok(daemon.ended()?.is_some() || Samples::scrape(http).is_ok()));
        assert!(up.unwrap() && daemon.ended().unwrap().is_none(), "{}", daemon.last_words());
    };
    is_up(&mut registrar, stage.registrar_http());
    is_up(&mut collector, stage.collector_http(0));

    let relay = stage.collector(1);
    let port = lossy(relay, SocketAddr::new(stage.collector(0), 9899)).await;
    let endpoint = Endpoint::bind(EndpointConfig::new(relay)).unwrap();
    let _element = register(&stage, relay, port, &endpoint).await;

    let mut exporter = start("exporter");
    let done = wait_until(PATIENCE, || Ok(exporter.ended()?.is_some()));
    assert!(done.unwrap(), "{}", exporter.last_words());
    assert!(exporter.ended().unwrap().unwrap().success(), "{}", exporter.last_words());
    let closed = wait_until(PATIENCE, || Ok(collector.logged().contains("exporter gone")));
    assert!(closed.unwrap(), "{}", collector.last_words());
    let metrics = Samples::scrape(stage.collector_http(0)).unwrap();
    let log = collector.logged();
    assert!(collector.stop(PATIENCE).unwrap().success());

    let received = received(&stage.flows(0));
    let summary = fs::read_to_string(stage.directory.join("exporter.out")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let closed: Vec<_> = summary["classes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|books| {
            let name = books["class"].as_str().unwrap();
            Some((name, KINDS.iter().find(|(class, _)| *class == name)?.1))
        })
        .collect();
    assert_eq!(closed, KINDS, "the exporter's summary has every class");
    println!("class             sent  received  gap        abandoned  spurious");
    let mut lost_of_all = 0;
    for books in summary["classes"].as_array().unwrap() {
        let number = |key: &str| books[key].as_u64().unwrap();
        let name = books["class"].as_str().unwrap();
        let received = received.get(name).copied().unwrap_or(0);
        assert!(number("flows") > 200, "the trace has flows of class {name}: {summary}");
        assert_eq!((number("waiting"), number("dropped")), (0, 0), "{name}");
        if name == "books" {
            let flows = number("flows");
            println!("{name:<16} {flows:>5} {received:>9}  {}", flows - received);
            assert_eq!((number("covered"), received), (flows, flows), "none is lost");
            continue;
        }
        let kind = KINDS.iter().find(|(class, _)| *class == name).unwrap().1;
        let told = |figure: &str| {
            let sample = format!("ipfix_collector_class_records_{figure}_total{{class=\"{kind}\"}}");
            whole(metrics.sum(&sample))
        };
        let sent = number("exported");
        assert_eq!((sent, sent), (number("flows"), number("delivered") + number("abandoned")), "{name}");
        let (lost, spurious) = (told("lost"), told("spurious"));
        let abandoned = number("abandoned");
        let part = 100.0 * lost as f64 / sent as f64;
        println!(
            "{name:<6} {kind:<10} {sent:>4} {received:>9}  {lost:<4} {part:4.1}% {abandoned:>9} {spurious:>9}"
        );
        assert_eq!(told("received"), received, "{name}: the metric says what is in the file");
        assert_eq!(sent, received + lost, "{name}: sent = received + gap");
        assert_eq!(told("abandoned"), abandoned, "{name}");
        assert_eq!(Some(spurious), abandoned.checked_sub(lost), "{name}: spurious = abandoned - gap >= 0");
        assert_eq!(told("late"), 0, "{name}");
        let line = log.lines().find(|line| line.contains("class of records closed") && line.contains(kind));
        let line = line.unwrap_or_else(|| panic!("no line of {kind} in\n{log}"));
        let all =
            format!("sent={sent} received={received} lost={lost} abandoned={abandoned} spurious={spurious}");
        assert!(line.contains(&all), "{all} is not in: {line}");
        lost_of_all += lost;
        match name {
            "bulk" => assert!(lost > 0, "messages that are never retransmitted get lost"),
            "alarms" => assert_eq!(lost, 0, "there was room for all of them"),
            _ => {}
        }
    }
    assert_eq!(whole(metrics.sum("ipfix_collector_records_lost_total")), lost_of_all);
    assert_eq!(whole(metrics.sum("ipfix_collector_class_records_missing")), 0, "everything is settled");
    drop(registrar);
}

/// Names of the classes that may lose records, and their kinds.
const KINDS: [(&str, &str); 4] =
    [("alarms", "priority"), ("dns", "limited"), ("rest", "timed"), ("bulk", "unreliable")];

fn furnish(stage: &Stage, capture: &[u8]) {
    let write = |name: &str, text: String| fs::write(stage.directory.join(name), text).unwrap();
    write("pool.key", format!("1 {}\n", "5a".repeat(32)));
    fs::write(stage.directory.join("capture.pcap"), capture).unwrap();
    let (registrar, collector, exporter) = (stage.registrar(), stage.collector(0), stage.exporter());
    let http = stage.registrar_http();
    write(
        "registrar.toml",
        format!("[listen]\nasap = [\"{registrar}:3863\"]\n[http]\nlisten = \"{http}\"\n"),
    );
    let (http, flows) = (stage.collector_http(0), stage.flows(0));
    fs::create_dir(stage.directory.join("state")).unwrap();
    // It is in no pool itself: the element of the pool is the lossy path to it. But it has the pool's key.
    write(
        "collector.toml",
        format!(
            "[listen]\nipfix = [\"{collector}:4739\"]\n\
             [[pool]]\nhandle = \"elsewhere\"\nregistrars = [\"{collector}:1\"]\nkey-file = \"pool.key\"\n\
             [output.flows.jsonl]\npath = {flows:?}\n[state]\ndirectory = \"state\"\n[http]\nlisten = \"{http}\"\n"
        ),
    );
    let http = stage.exporter_http();
    write(
        "exporter.toml",
        format!(
            r#"[source]
pcap = "capture.pcap"
speed = {SPEED}
[metering]
idle-timeout = "1s"
active-timeout = "1s"
observation-domain = {DOMAIN}
[pool]
registrars = ["{registrar}:3863"]
addresses = ["{exporter}"]
key-file = "pool.key"
[export]
max-lossy-message = "1100B"
[class.books]
reliability = "reliable"
[class.alarms]
priority = 1
[class.dns]
max-retransmissions = 1
[class.rest]
lifetime = "500ms"
[class.bulk]
reliability = "unreliable"
[[rule]]
match = {{ protocolIdentifier = 6, octetDeltaCount = {{ min = 1000 }} }}
class = "books"
[[rule]]
match = {{ sourceIPv6Address = "2001:db8:0:1::/64" }}
class = "dns"
[[rule]]
template = "ipv6"
class = "alarms"
[[rule]]
match = {{ sourceTransportPort = {{ min = 30000 }} }}
class = "rest"
[http]
listen = "{http}"
"#
        ),
    );
}

/// Returns the value of a counter.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of some thousands")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// Counts the records of each class in a collector's file.
fn received(path: &Path) -> BTreeMap<&'static str, u64> {
    let mut count = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        if record["options"] == true {
            continue;
        }
        let class = class_of(&record);
        assert_eq!(
            record.get("number").is_some(),
            class == "books",
            "only class reliable has numbers: {line}"
        );
        *count.entry(class).or_default() += 1;
    }
    count
}

/// Registers `relay` as the only element of the pool.
async fn register(stage: &Stage, relay: IpAddr, port: u16, endpoint: &Endpoint) -> PoolElement {
    let transport = UserTransport {
        protocol: Protocol::Sctp,
        addresses: vec![relay],
        port: 4739,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        encapsulation: port,
    };
    let registrars = vec![format!("{}:3863", stage.registrar()).parse().unwrap()];
    let config = PoolElementConfig::new(PoolHandle::new("ipfix").unwrap(), transport, registrars);
    let config = PoolElementConfig { pe: Some(PeId(9)), ..config };
    let element = PoolElement::spawn(config, Some(endpoint.clone())).unwrap();
    let mut state = element.state();
    let registered = state.wait_for(|state| matches!(state, PoolElementState::Registered { .. }));
    timeout(PATIENCE, registered).await.expect("a registrar in time").unwrap();
    element
}

/// Passes datagrams between `server` and whoever writes first to the port it returns, and loses some both ways.
async fn lossy(address: IpAddr, server: SocketAddr) -> u16 {
    let front = UdpSocket::bind((address, 0)).await.unwrap();
    let back = UdpSocket::bind((address, 0)).await.unwrap();
    let port = front.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut forth, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
        let (mut client, mut random) = (server, 1_u64);
        loop {
            let (n, out, octets, to) = tokio::select! {
                Ok((n, from)) = front.recv_from(&mut forth) => {
                    client = from;
                    (n, &back, &forth, server)
                }
                Ok((n, _)) = back.recv_from(&mut answer) => (n, &front, &answer, client),
            };
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (random >> 33) % 100 >= LOSS {
                // A closed port is the other side's business.
                let _ = out.send_to(&octets[..n], to).await;
            }
        }
    });
    port
}
