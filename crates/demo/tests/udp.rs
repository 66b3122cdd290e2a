//! An exporter and a collector without a pool: flows over plain UDP on loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use demo::process::{Daemon, wait_until};
use demo::scrape::{Samples, ready};
use demo::stage::Stage;
use pcap_fixtures::{DEMO, fixture};

/// Nothing here takes so long on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts one of the daemons with a configuration.
fn start(stage: &Stage, role: &str, config: &str) -> Daemon {
    let file = stage.directory.join(format!("{role}.toml"));
    std::fs::write(&file, config).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_demo"));
    Daemon::start(program, role, role, &file, &stage.directory).unwrap()
}

#[test]
fn all_flows_of_a_capture_arrive_over_udp() {
    let stage = Stage::set(false).unwrap();
    let to = SocketAddr::new(stage.collector(0), 4739);
    let (collector_http, exporter_http) = (stage.collector_http(0), stage.exporter_http());
    let collector = start(
        &stage,
        "collector",
        &format!(
            "[listen]\nipfix = []\nipfix-udp = [\"{to}\"]\n[udp]\nsockets = 2\n\
             [output.flows.jsonl]\npath = \"flows.jsonl\"\n[http]\nlisten = \"{collector_http}\"\n"
        ),
    );
    assert!(wait_until(PATIENCE, || Ok(ready(collector_http))).unwrap(), "{}", collector.last_words());
    let mut exporter = start(
        &stage,
        "exporter",
        &format!(
            "[source]\npcap = {:?}\nspeed = 0\n[udp]\ncollector = \"{to}\"\nmax-message = \"1400B\"\n\
             template-refresh-packets = 4\n[http]\nlisten = \"{exporter_http}\"\n",
            fixture(DEMO)
        ),
    );
    assert!(wait_until(PATIENCE, || Ok(exporter.ended()?.is_some())).unwrap(), "{}", exporter.last_words());
    assert_eq!(exporter.ended().unwrap().unwrap().code(), Some(0), "{}", exporter.last_words());
    let summary = std::fs::read_to_string(stage.directory.join("exporter.out")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let number = |key: &str| summary[key].as_u64().unwrap();
    assert!(number("flows") > 100 && number("sent") == number("flows"), "{summary}");

    let messages = || Samples::scrape(collector_http).unwrap().sum("ipfix_collector_messages_received_total");
    let all = number("messages") as f64;
    assert!(wait_until(PATIENCE, || Ok(messages() == all)).unwrap(), "{} of {all}", messages());
    let metrics = Samples::scrape(collector_http).unwrap();
    for name in ["records_lost_total", "udp_kernel_drops_total", "messages_malformed_total"] {
        assert_eq!(metrics.sum(&format!("ipfix_collector_{name}")), 0.0, "{name}");
    }
    assert!(collector.stop(PATIENCE).unwrap().success());
    let written = std::fs::read_to_string(stage.directory.join("flows.jsonl")).unwrap();
    let packets = |line: &str| -> u64 {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["packetDeltaCount"].as_u64().unwrap()
    };
    let flows: Vec<_> = written.lines().filter(|line| !line.contains("\"options\":true")).collect();
    assert_eq!(flows.len() as u64, number("flows"));
    assert_eq!(flows.into_iter().map(packets).sum::<u64>(), number("packets"));
}
