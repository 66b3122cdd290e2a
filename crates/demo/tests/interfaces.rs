//! Names of the exporter's interfaces in the lines of the collectors: told by options records, in a pool and over UDP.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use demo::process::{Daemon, wait_until};
use demo::scrape::ready;
use demo::stage::{Stage, collector_name};
use pcap_fixtures::{Frame, PcapNgWriter};
use serde_json::Value;

/// Nothing here takes so long on any machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Flows in the capture.
const FLOWS: u16 = 400;

/// One packet each, 10 ms apart, on two interfaces in turn.
fn capture() -> Vec<u8> {
    let mut file = PcapNgWriter::new(false);
    file.interface(1, 0, &[(2, b"uplink0"), (3, "nach Köln".as_bytes())]);
    file.interface(1, 0, &[(2, b"lan0")]);
    for flow in 0..FLOWS {
        let source = SocketAddr::from(([192, 0, 2, 1], 1_024 + flow));
        let frame = Frame::udp(source, "192.0.2.2:53".parse().unwrap()).unwrap().payload(20).ethernet();
        let length = frame.len().try_into().unwrap();
        file.packet((flow % 2).into(), 1_700_000_000_000_000 + u64::from(flow) * 10_000, &frame, length);
    }
    file.octets
}

fn start(stage: &Stage, role: &str, name: &str, config: &str) -> Daemon {
    fs::write(stage.config(name), config).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_demo"));
    Daemon::start(program, role, name, &stage.config(name), &stage.directory).unwrap()
}

/// `[source]` and `[metering]` of an exporter.
fn source(stage: &Stage, speed: &str) -> String {
    fs::write(stage.directory.join("capture.pcapng"), capture()).unwrap();
    format!(
        "[source]\npcap = \"capture.pcapng\"\nspeed = {speed}\n\
         [metering]\nidle-timeout = \"1s\"\nactive-timeout = \"1s\"\n[http]\nlisten = \"{}\"\n",
        stage.exporter_http()
    )
}

fn wait_for_end(exporter: &mut Daemon) {
    assert!(wait_until(PATIENCE, || Ok(exporter.ended()?.is_some())).unwrap(), "{}", exporter.last_words());
    assert_eq!(exporter.ended().unwrap().unwrap().code(), Some(0), "{}", exporter.last_words());
}

/// Options records and flow records of a file, which may end within a line.
fn lines(path: &Path) -> (Vec<Value>, Vec<Value>) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.partition(|line| line["options"] == true)
}

#[track_caller]
fn assert_named(flows: &[Value]) {
    for flow in flows {
        let named = (&flow["ingressInterfaceName"], &flow["ingressInterfaceDescription"]);
        match flow["ingressInterface"].as_u64() {
            Some(1) => assert_eq!(named, (&"uplink0".into(), &"nach Köln".into()), "{flow}"),
            Some(2) => assert_eq!(named, (&"lan0".into(), &Value::Null), "{flow}"),
            _ => panic!("no such interface: {flow}"),
        }
        assert_eq!((&flow["egressInterface"], &flow["egressInterfaceName"]), (&0.into(), &Value::Null));
    }
}

#[test]
fn every_collector_of_a_pool_names_the_interfaces_of_its_flows() {
    let stage = Stage::set(false).unwrap();
    let registrar = stage.registrar();
    fs::write(stage.directory.join("pool.key"), format!("1 {}\n", "5a".repeat(32))).unwrap();
    let http = stage.registrar_http();
    let _registrar = start(
        &stage,
        "registrar",
        "registrar",
        &format!("[listen]\nasap = [\"{registrar}:3863\"]\n[http]\nlisten = \"{http}\"\n"),
    );
    let collector = |index| {
        let (name, http) = (collector_name(index), stage.collector_http(index));
        fs::create_dir(stage.directory.join(&name)).unwrap();
        let config = format!(
            "[listen]\nipfix = [\"{}:4739\"]\n\
             [[pool]]\nhandle = \"ipfix\"\nregistrars = [\"{registrar}:3863\"]\nkey-file = \"pool.key\"\n\
             [output.flows.jsonl]\npath = {:?}\nmetadata = true\n\
             [state]\ndirectory = \"{name}\"\n[http]\nlisten = \"{http}\"\n",
            stage.collector(index),
            stage.flows(index),
        );
        start(&stage, "collector", &name, &config)
    };
    let mut collectors = [Some(collector(0)), Some(collector(1))];
    for index in 0..2 {
        assert!(wait_until(PATIENCE, || Ok(ready(stage.collector_http(index)))).unwrap());
    }
    let pool = format!(
        "[pool]\nregistrars = [\"{registrar}:3863\"]\naddresses = [\"{}\"]\nkey-file = \"pool.key\"\n",
        stage.exporter()
    );
    let mut exporter = start(&stage, "exporter", "exporter", &(source(&stage, "2.0") + &pool));
    let flows = |index: usize| lines(&stage.flows(u8::try_from(index).unwrap()));
    let used = || (0..2).find(|index| flows(*index).1.len() > 10);
    assert!(wait_until(PATIENCE, || Ok(used().is_some())).unwrap(), "{}", exporter.last_words());
    let killed = used().unwrap();
    collectors[killed].take().unwrap().kill().unwrap();
    wait_for_end(&mut exporter);
    assert!(collectors[1 - killed].take().unwrap().stop(PATIENCE).unwrap().success());

    for index in 0..2 {
        let (options, flows) = flows(index);
        assert!(flows.len() > 10, "collector {index} has {} flows", flows.len());
        assert_named(&flows);
        let has = |key: &str, value: Value| options.iter().any(|record| record[key] == value);
        assert!(
            has("informationElementName", "ledger".into())
                && has("exporterIPv4Address", stage.exporter().to_string().into())
        );
        assert!(has("interfaceName", "lan0".into()) && has("ignoredPacketTotalCount", 0.into()));
    }
    let (options, flows) = flows(1 - killed);
    let last = options.iter().rfind(|record| record["exportedFlowRecordTotalCount"].is_u64()).unwrap();
    assert_eq!(
        last["exportedFlowRecordTotalCount"],
        flows.len(),
        "told at the end, by the second collector's count"
    );
}

#[test]
fn a_collector_without_a_pool_names_them_as_well() {
    let stage = Stage::set(false).unwrap();
    let (to, http) = (SocketAddr::new(stage.collector(0), 4739), stage.collector_http(0));
    let config = format!(
        "[listen]\nipfix = []\nipfix-udp = [\"{to}\"]\n\
         [output.flows.jsonl]\npath = {:?}\nmetadata = true\n[http]\nlisten = \"{http}\"\n",
        stage.flows(0)
    );
    let collector = start(&stage, "collector", "collector", &config);
    assert!(wait_until(PATIENCE, || Ok(ready(http))).unwrap(), "{}", collector.last_words());
    let udp = format!("[udp]\ncollector = \"{to}\"\nmax-message = \"1400B\"\n");
    let mut exporter = start(&stage, "exporter", "exporter", &(source(&stage, "0") + &udp));
    wait_for_end(&mut exporter);
    let all = || lines(&stage.flows(0)).1.len() == usize::from(FLOWS);
    assert!(wait_until(PATIENCE, || Ok(all())).unwrap(), "{}", collector.last_words());
    let (options, flows) = lines(&stage.flows(0));
    assert_named(&flows);
    assert!(options.iter().all(|record| record["informationElementName"].is_null()), "none is needed");
    // Who exports is told by a record of its own.
    assert!(flows.iter().all(|flow| flow["exporter"]["address"].is_string()), "{}", flows[0]);
}
