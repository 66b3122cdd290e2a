//! A relay between routers and a pool, with a collector beside it that hears the routers itself.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use demo::process::{Daemon, wait_until};
use demo::scrape::{Samples, ready};
use demo::stage::Stage;
use serde_json::{Map, Value};
use service::client::Client;

/// Nothing here takes so long on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Where routers send.
pub(crate) const PORT: u16 = 2055;
/// A line of JSON.
pub(crate) type Line = Map<String, Value>;

/// The daemons: a registrar, two collectors of a pool, a relay to it; and a collector that hears the routers itself.
pub(crate) struct World {
    pub(crate) stage: Stage,
    collectors: Vec<Option<Daemon>>,
    direct: Daemon,
    relay: Option<Daemon>,
    _registrar: Daemon,
    /// Datagrams sent so far.
    sent: f64,
}

impl World {
    pub(crate) fn start() -> Self {
        let stage = Stage::set(false).unwrap();
        fs::write(stage.directory.join("pool.key"), format!("1 {}\n", "ab".repeat(32))).unwrap();
        let asap = format!("{}:3863", stage.registrar());
        let registrar =
            format!("[listen]\nasap = [\"{asap}\"]\n[http]\nlisten = \"{}\"\n", stage.registrar_http());
        let registrar = start(&stage, "registrar", "registrar", &registrar, stage.registrar_http());
        let output = |name: &str, durable: bool| {
            format!(
                "[output.flows.jsonl]\npath = \"{name}.jsonl\"\ndurable = {durable}\n[state]\ndirectory = \"{name}\"\n"
            )
        };
        let collectors = (0..2).map(|index| {
            let (address, http, name) = (stage.collector(index), stage.collector_http(index), format!("collector-{index}"));
            let config = format!(
                "[listen]\nipfix = [\"{address}:4739\"]\n[[pool]]\nhandle = \"ipfix\"\nregistrars = [\"{asap}\"]\nkey-file = \"pool.key\"\n{}\
                 [http]\nlisten = \"{http}\"\n",
                output(&name, true)
            );
            Some(start(&stage, "collector", &name, &config, http))
        });
        let collectors: Vec<_> = collectors.collect();
        let http = stage.collector_http(2);
        let direct = format!(
            "[listen]\nipfix = []\nipfix-udp = [\"{}:{PORT}\"]\n{}[http]\nlisten = \"{http}\"\n",
            stage.collector(2),
            output("direct", false)
        );
        let direct = start(&stage, "collector", "direct", &direct, http);
        let http = stage.exporter_http();
        let relay = format!(
            "[relay]\nlisten = [\"{address}:{PORT}\"]\npool = \"relays\"\n[pool]\nregistrars = [\"{asap}\"]\naddresses = [\"{address}\"]\n\
             key-file = \"pool.key\"\n[state]\ndirectory = \"relay\"\n[http]\nlisten = \"{http}\"\n",
            address = stage.exporter(),
        );
        let relay = start(&stage, "exporter", "relay", &relay, http);
        Self { stage, collectors, direct, relay: Some(relay), _registrar: registrar, sent: 0.0 }
    }

    /// Sends datagrams to the relay and to the collector, and waits until both have read them.
    pub(crate) fn send(&mut self, from: &UdpSocket, datagrams: &[Vec<u8>]) {
        for datagram in datagrams {
            from.send_to(datagram, (self.stage.exporter(), PORT)).unwrap();
            from.send_to(datagram, (self.stage.collector(2), PORT)).unwrap();
            self.sent += 1.0;
        }
        self.wait("the relay has read all", self.stage.exporter_http(), |metrics| {
            metrics.sum("ipfix_exporter_relay_datagrams_received_total") == self.sent
        });
        self.wait("the collector has read all", self.stage.collector_http(2), |metrics| {
            metrics.sum("ipfix_collector_messages_received_total") == self.sent
        });
    }

    /// Returns the elements of the pool of relays, and those that have left it.
    pub(crate) fn relays(&self) -> [Vec<Value>; 2] {
        let registrar = Client::new(self.stage.registrar_http());
        let answer = registrar.get("/api/v1/pools/relays/elements", PATIENCE);
        let answer: Value = serde_json::from_str(&answer.unwrap_or_else(|error| panic!("{error}"))).unwrap();
        ["elements", "gone"].map(|which| answer[which].as_array().unwrap().clone())
    }

    /// Tells the relay to end, and waits until it has.
    pub(crate) fn end_relay(&mut self) {
        assert!(self.relay.take().unwrap().stop(PATIENCE).unwrap().success());
    }

    pub(crate) fn wait(&self, what: &str, http: SocketAddr, condition: impl Fn(&Samples) -> bool) -> Samples {
        let mut metrics = Samples::default();
        let held = wait_until(PATIENCE, || {
            metrics = Samples::scrape(http).unwrap_or_default();
            Ok(condition(&metrics))
        });
        let words = || self.relay.as_ref().map(Daemon::last_words).unwrap_or_default();
        assert!(held.unwrap(), "not so: {what}; the relay says:\n{}", words());
        metrics
    }

    /// Waits until the relay has taken so many flow records.
    pub(crate) fn wait_for_flows(&self, flows: f64) {
        self.wait("the relay has taken all", self.stage.exporter_http(), |metrics| {
            metrics.sum("ipfix_exporter_records_metered_total") == flows
        });
    }

    /// Waits until every flow record the relay has taken is on a collector's disk; returns how many.
    pub(crate) fn wait_for_cover(&self) -> f64 {
        let metrics = self.wait("all flow records are on a disk", self.stage.exporter_http(), |metrics| {
            let metered = metrics.sum("ipfix_exporter_records_metered_total");
            metered > 0.0 && metrics.sum("ipfix_exporter_records_covered_total") == metered
        });
        metrics.sum("ipfix_exporter_records_covered_total")
    }

    /// Kills the collector in use.
    pub(crate) fn kill_the_collector_in_use(&mut self) {
        let metrics = self.wait("a collector is in use", self.stage.exporter_http(), |metrics| {
            metrics.label("ipfix_exporter_collector_info", "address").is_some()
        });
        let address = metrics.label("ipfix_exporter_collector_info", "address").unwrap();
        let used = (0..2).find(|&index| address.contains(&self.stage.collector(index).to_string())).unwrap();
        self.collectors[usize::from(used)].take().unwrap().kill().unwrap();
    }

    /// Ends all other daemons, and returns the lines of the pool and those of the collector that heard the routers itself.
    pub(crate) fn end(self) -> (Vec<Line>, Vec<Line>) {
        self.collectors.into_iter().flatten().for_each(|daemon| {
            daemon.stop(PATIENCE).unwrap();
        });
        assert!(self.direct.stop(PATIENCE).unwrap().success());
        let lines = |name: &str| {
            let text = fs::read_to_string(self.stage.directory.join(format!("{name}.jsonl"))).unwrap();
            // What was not synced when the collector was killed may end anywhere.
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Line>>()
        };
        ([lines("collector-0"), lines("collector-1")].concat(), lines("direct"))
    }
}

/// Starts one of the daemons with a configuration, and waits until it is ready.
fn start(stage: &Stage, role: &str, name: &str, config: &str, http: SocketAddr) -> Daemon {
    let file = stage.config(name);
    fs::write(&file, config).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_demo"));
    let daemon = Daemon::start(program, role, name, &file, &stage.directory).unwrap();
    assert!(wait_until(PATIENCE, || Ok(ready(http))).unwrap(), "{name}: {}", daemon.last_words());
    daemon
}
