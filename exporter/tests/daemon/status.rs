//! The status page and the JSON behind it, while collectors come and go.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use pcap_fixtures::{DEMO, fixture};
use rserpool::TransportUse;
use serde_json::{Value, json};

use crate::world::{Collector, Exporter, PATIENCE, World};

const CONTROL: TransportUse = TransportUse::DATA_PLUS_CONTROL;
/// The demo's capture, for as long as it is wanted.
const ENDLESS: &str = "speed = 20.0\nloop = 0";

/// Starts the exporter; it answers when this returns.
async fn start(world: &World) -> Exporter {
    let mut exporter = Exporter::start(world, &world.config(&fixture(DEMO), ENDLESS, "reliable"));
    exporter.wait_for("exporting").await;
    exporter
}

/// Asks for the status until it is as wanted; returns it.
async fn wait_for(exporter: &Exporter, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut status = Value::Null;
    let asked = async {
        while !wanted(&status) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let answer = exporter.http("/api/v1/status");
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            status = serde_json::from_str(body).unwrap_or_default();
        }
    };
    if tokio::time::timeout(PATIENCE, asked).await.is_err() {
        panic!("{what} is not in the status:\n{}", exporter.http("/api/v1/status"));
    }
    status
}

/// Returns the page, after its header.
fn page(exporter: &Exporter) -> String {
    let answer = exporter.http("/");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("text/html"), "{answer}");
    let (_, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(page.len() < 60_000, "{} octets", page.len());
    page.to_owned()
}

#[tokio::test]
async fn the_status_follows_the_exporter_from_one_collector_to_the_next_and_tells_why() {
    let world = World::new();
    world.registrar();
    let exporter = start(&world).await;
    let nobody = wait_for(&exporter, "an unknown pool", |status| status["pool"]["unknown"] == true).await;
    assert_eq!((&nobody["state"], &nobody["collector"]), (&json!("searching"), &Value::Null));
    assert!(page(&exporter).contains("<span class=\"mark bad\">none</span>"), "no collector in use");

    let mut first = Collector::start(&world, 2, CONTROL).await;
    let mut left = first.accept().await;
    left.receive(|seen| seen.records.len() > 50).await;
    // It serves until it is lost, so that nothing else is held against it.
    let (lose, lost) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        tokio::select! {
            reason = left.serve() => panic!("association lost: {reason}"),
            _ = lost => left.abort(),
        }
        left
    });
    let on_first = wait_for(&exporter, "the first collector", |status| status["state"] == "exporting").await;
    assert_eq!(on_first["collector"]["pe"], "00000002");
    assert_eq!(on_first["pool"]["elements"][0]["role"], "active");
    assert_eq!(on_first["failovers"], json!({ "count": 0, "recent": [] }));
    let shown = page(&exporter);
    assert!(shown.contains("<span class=\"mark good\">in use</span>"), "{shown}");
    assert!(shown.contains("No collector was left yet."), "{shown}");

    let mut second = Collector::start(&world, 3, CONTROL).await;
    let mut heir = second.accept().await;
    lose.send(()).unwrap();
    let service = tokio::spawn(async move { heir.serve().await });
    let moved = wait_for(&exporter, "a failover with its end", |status| {
        status["failovers"]["recent"][0]["gap-seconds"].is_number()
    });
    let moved = moved.await;
    assert_eq!((&moved["failovers"]["count"], &moved["collector"]["pe"]), (&json!(1), &json!("00000003")));
    let failover = &moved["failovers"]["recent"][0];
    assert_eq!((&failover["from"]["pe"], &failover["to"]["pe"]), (&json!("00000002"), &json!("00000003")));
    assert_eq!(failover["reason"], "comm_lost");
    let shown = page(&exporter);
    assert!(shown.contains("association lost") && shown.contains(" s</td>"), "{shown}");

    let rated = wait_for(&exporter, "rates", |status| {
        let sent = status["rates"]["sent"].as_array();
        sent.is_some_and(|sent| sent.iter().any(|rate| rate.as_f64() > Some(0.0)))
    });
    let rated = rated.await;
    assert!(rated["flows"]["limit"].as_u64() > rated["flows"]["active"].as_u64(), "{rated}");
    exporter.terminate();
    service.await.unwrap();
    assert_eq!(exporter.end().await.code, Some(0));
}

#[tokio::test]
async fn the_books_in_the_status_balance() {
    let world = World::new();
    world.registrar();
    let mut collector = Collector::start(&world, 2, CONTROL).await;
    let exporter = start(&world).await;
    let mut session = collector.accept().await;
    let service = tokio::spawn(async move { session.serve().await });
    let status =
        wait_for(&exporter, "records on disk", |status| status["classes"][0]["covered"].as_u64() > Some(100));
    let class = &status.await["classes"][0];
    let sum = |reasons: &Value| -> u64 {
        reasons.as_object().unwrap().values().map(|records| records.as_u64().unwrap()).sum()
    };
    let parts: u64 = ["covered", "delivered", "waiting"].map(|key| class[key].as_u64().unwrap()).iter().sum();
    let metered = class["metered"].as_u64().unwrap() + class["recovered"].as_u64().unwrap();
    assert_eq!(metered, parts + sum(&class["abandoned"]) + sum(&class["dropped"]), "{class}");
    let top = |output: &str| {
        let url = format!("{}:9382", world.host(4));
        let arguments = ["top", "--once", "--url", &url, "--output", output];
        let output = Command::new(env!("CARGO_BIN_EXE_ipfix-exporter")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let picture = top("text");
    assert!(
        picture.contains("Collector in use: 00000002 sctp ") && picture.contains("\nreliable  reliable "),
        "{picture}"
    );
    assert_eq!(serde_json::from_str::<Value>(&top("json")).unwrap()["state"], "exporting");
    exporter.terminate();
    service.await.unwrap();
    assert_eq!(exporter.end().await.code, Some(0));
}

/// Asks for the largest flows, as this host, until there are some; returns them.
async fn wait_for_flows(exporter: &Exporter) -> Vec<Value> {
    let mut answer = String::new();
    let asked = async {
        loop {
            answer = exporter.http_at("127.0.0.1", "/api/v1/flows");
            let (header, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(header.starts_with("HTTP/1.1 200"), "{answer}");
            let told: Value = serde_json::from_str(body).unwrap();
            if let Some(flows) = told["flows"].as_array().filter(|flows| !flows.is_empty()) {
                return flows.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let flows = tokio::time::timeout(PATIENCE, asked).await;
    flows.unwrap_or_else(|_| panic!("no flow at any time:\n{answer}"))
}

/// Whether what is told of a flow fits together.
fn is_plausible(flow: &Value) -> bool {
    let number = |key: &str| flow[key].as_f64().unwrap_or(f64::NAN);
    let hosts = [&flow["source"], &flow["destination"]].map(|host| host.as_str().unwrap());
    hosts.iter().all(|host| host.parse::<IpAddr>().is_ok())
        && number("octets") >= 20.0 * number("packets")
        && number("packets") >= 1.0
        && number("idle-seconds") <= number("age-seconds")
        && number("age-seconds") < 60.0
}

#[tokio::test]
async fn the_largest_flows_are_told_on_this_host_only() {
    let world = World::new();
    world.registrar();
    let mut collector = Collector::start(&world, 2, CONTROL).await;
    let mut exporter = start(&world).await;
    let mut session = collector.accept().await;
    let service = tokio::spawn(async move { session.serve().await });
    let flows = wait_for_flows(&exporter).await;
    assert!(flows.len() <= 50 && flows.iter().all(is_plausible), "{flows:?}");
    assert!(flows.is_sorted_by(|one, next| one["octets"].as_u64() >= next["octets"].as_u64()), "{flows:?}");
    let shown = exporter.http_at("127.0.0.1", "/");
    assert!(shown.contains("Flows that are not over, those with the most octets first"), "{shown}");

    // By a name, which anybody may have given to the address.
    let refused = exporter.http("/api/v1/flows");
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("personal data"), "{refused}");
    let shown = page(&exporter);
    assert!(
        shown.contains("flows are personal data") && !shown.contains("those with the most octets"),
        "{shown}"
    );

    let url = format!("{}:9382", world.host(4));
    let top = Command::new(env!("CARGO_BIN_EXE_ipfix-exporter"))
        .args(["top", "--once", "--url", &url, "--output", "json"])
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&top.stdout).unwrap();
    assert_eq!(told["largest-flows"]["complete"], true, "{told}");
    let hosts = flows.iter().flat_map(|flow| [&flow["source"], &flow["destination"]]);
    for host in hosts.map(|host| host.as_str().unwrap()) {
        assert_eq!(exporter.logged(host), 0, "{host} is in the log");
    }
    exporter.terminate();
    service.await.unwrap();
    assert_eq!(exporter.end().await.code, Some(0));
}

#[tokio::test]
async fn an_exporter_that_meters_as_fast_as_it_can_tells_its_flows_too() {
    let world = World::new();
    let config = world.config(&fixture(DEMO), "speed = 0\nloop = 0", "reliable");
    let (source, rest) = config.split_once("[pool]").unwrap();
    let http = rest.split_once("[http]").unwrap().1;
    // Nobody listens there.
    let config = format!("{source}[udp]\ncollector = \"{}:4739\"\n[http]{http}", world.host(9));
    let mut exporter = Exporter::start(&world, &config);
    exporter.wait_for("exporting over UDP").await;
    let flows = wait_for_flows(&exporter).await;
    assert!(flows.iter().all(is_plausible), "{flows:?}");
    exporter.terminate();
    exporter.end().await;
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let world = World::new();
    let exporter = start(&world).await;
    wait_for(&exporter, "a status", |status| status["exporter"]["domain"].is_number()).await;
    let answer = exporter.http("/api/v1/records");
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("has status and flows"), "{answer}");
}
