//! A real exporter process, a registrar, and collectors that do what a test tells them, on loopback addresses drawn at
//! random.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use delivery::cookie::{Entry, State};
use delivery::{ClassRecord, Cookie, KeyRing, RangeSet, Series, SessionRecord, StatisticsRecord};
use exporter::capture::{LoopOptions, Looped, PacketSource as _};
use exporter::metering::{FlowEndReason, Meter, MeteringConfig};
use ipfix::{CollectingConfig, CollectingSession, PerStream, Record, Visitor};
use rserpool::wire::Message as Asap;
use rserpool::wire::asap::business_card::BusinessCard;
use rserpool::wire::asap::cookie::Cookie as CookieMessage;
use rserpool::wire::{PoolElementParameter, RegistrationLife};
use rserpool::{
    PeId, Policy, PoolElement, PoolElementConfig, PoolElementState, PoolHandle, Protocol, TransportUse,
    UserTransport,
};
use service::{Context, Daemon as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use transport::{
    Association, Endpoint, EndpointConfig, Event, Listener, LossReason, MsgOut, PeerAddress, Ppid,
};

/// Nothing here takes so long on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const KEY: &str = "1 000102030405060708090a0b0c0d0e0f";

/// A directory that is gone after the test, and a /24 of 127.0.0.0/8 that no other test is likely to have.
pub(crate) struct World {
    pub(crate) directory: PathBuf,
    net: [u8; 2],
}

impl World {
    pub(crate) fn new() -> Self {
        let random = getrandom::u64().unwrap();
        let [a, b, ..] = random.to_be_bytes();
        let directory = std::env::temp_dir().join(format!("exporter-test-{random:016x}"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("pool.key"), KEY).unwrap();
        Self { directory, net: [a.max(1), b] }
    }

    pub(crate) fn host(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(127, self.net[0], self.net[1], host).into()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts a registrar within this process; it ends with the test's runtime, or when its task is aborted.
    pub(crate) fn registrar(&self) -> JoinHandle<()> {
        let text = format!("[listen]\nasap = [\"{}:3863\"]\n", self.host(1));
        let config =
            service::config::parse("registrar.toml", &text, registrar::RegistrarDaemon::validate).unwrap();
        tokio::spawn(async move { registrar::run(config, Context::detached()).await.unwrap() })
    }

    /// Returns a configuration that exports `capture` with class `class`; `speed` and so on are lines of `[source]`.
    pub(crate) fn config(&self, capture: &Path, source: &str, class: &str) -> String {
        format!(
            "[source]\npcap = {capture:?}\n{source}\n\
             [metering]\nidle-timeout = \"1s\"\nactive-timeout = \"1s\"\n\
             [pool]\nregistrars = [\"{}:3863\"]\naddresses = [\"{}\"]\nkey-file = {:?}\n\
             [class.{class}]\n[http]\nlisten = \"{}:9382\"\n",
            self.host(1),
            self.host(4),
            self.path("pool.key"),
            self.host(4),
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns packets and flows of a capture, by the metering process alone.
pub(crate) fn metered(capture: &Path, loops: u64) -> (u64, u64) {
    let mut source =
        Looped::open(capture, LoopOptions { loops: Some(loops), ..LoopOptions::default() }).unwrap();
    let second = Duration::from_secs(1);
    let config = MeteringConfig { idle_timeout: second, active_timeout: second, ..MeteringConfig::default() };
    let (mut meter, mut flows) = (Meter::new(config, 1), Vec::new());
    // A damaged capture ends where the damage is.
    while let Ok(Some(packet)) = source.next_packet() {
        meter.packet(&packet, &mut flows);
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {}
    (meter.counters().packets, flows.len() as u64)
}

/// A running `ipfix-exporter`.
pub(crate) struct Exporter {
    child: Option<Child>,
    log: mpsc::UnboundedReceiver<String>,
    seen: Vec<String>,
    http: (IpAddr, u16),
}

impl Exporter {
    pub(crate) fn start(world: &World, config: &str) -> Self {
        let file = world.path("exporter.toml");
        fs::write(&file, config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ipfix-exporter"))
            .args(["run", "--log-level", "debug", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = mpsc::unbounded_channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                println!("exporter: {line}");
                let _ = sender.send(line);
            }
        });
        Self { child: Some(child), log, seen: Vec::new(), http: (world.host(4), 9382) }
    }

    /// Waits for a log line with `text`.
    pub(crate) async fn wait_for(&mut self, text: &str) -> String {
        loop {
            let line = timeout(PATIENCE, self.log.recv()).await;
            let line =
                line.ok().flatten().unwrap_or_else(|| panic!("no log line with {text:?}:\n{:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Returns how many log lines so far had `text`.
    pub(crate) fn logged(&mut self, text: &str) -> usize {
        while let Ok(line) = self.log.try_recv() {
            self.seen.push(line);
        }
        self.seen.iter().filter(|line| line.contains(text)).count()
    }

    /// Returns the answer to an HTTP GET.
    pub(crate) fn http(&self, path: &str) -> String {
        self.http_at("x", path)
    }

    /// The same, asked by the name `host`.
    pub(crate) fn http_at(&self, host: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Waits until a metric is at least so much; returns how much.
    pub(crate) async fn wait_for_metric(&self, name: &str, least: u64) -> u64 {
        for _ in 0..3_000 {
            if let Some(value) = self.metric(name).filter(|value| *value >= least) {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} never {least}:\n{}", self.http("/metrics"));
    }

    /// Returns a metric; a name with labels is written as it is there.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let metrics = self.http("/metrics");
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, without waiting.
    pub(crate) fn terminate(&self) {
        let id = self.child.as_ref().unwrap().id();
        assert!(Command::new("kill").arg(id.to_string()).status().unwrap().success());
    }

    /// Waits for its end; returns its exit code, its summary if it printed one, and its last log line.
    pub(crate) async fn end(mut self) -> End {
        let child = self.child.take().unwrap();
        let pid = child.id().to_string();
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        let Ok(output) = timeout(PATIENCE, ended).await else {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
            panic!("the exporter did not end");
        };
        let output = output.unwrap();
        while let Ok(Some(line)) = timeout(PATIENCE, self.log.recv()).await {
            self.seen.push(line);
        }
        let summary = String::from_utf8(output.stdout).unwrap();
        End { code: output.status.code(), summary, log: self.seen.join("\n") }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How an exporter ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    summary: String,
    pub(crate) log: String,
}

impl End {
    /// Returns a number of the summary.
    pub(crate) fn number(&self, key: &str) -> u64 {
        let summary: serde_json::Value = serde_json::from_str(&self.summary).expect(&self.log);
        summary[key].as_u64().unwrap_or_else(|| panic!("no {key} in {summary}"))
    }

    /// Asserts that every flow record metered is accounted for, and returns how many there were.
    #[track_caller]
    pub(crate) fn balanced_flows(&self) -> u64 {
        let parts = ["covered", "delivered", "abandoned", "dropped", "waiting"];
        let sum: u64 = parts.iter().map(|key| self.number(key)).sum();
        assert_eq!(self.number("flows"), sum, "{}", self.summary);
        sum
    }
}

/// A pool element that a test plays.
pub(crate) struct Collector {
    listener: Listener,
    element: PoolElement,
    _endpoint: Endpoint,
}

impl Collector {
    /// Registers the element `host` and waits until it is in the pool.
    pub(crate) async fn start(world: &World, host: u8, transport_use: TransportUse) -> Self {
        let endpoint = Endpoint::bind(EndpointConfig::new(world.host(host))).unwrap();
        let listener = endpoint.listen(4739).await.unwrap();
        let element = register(world, host, transport_use, &endpoint).await;
        Self { listener, element, _endpoint: endpoint }
    }

    /// Registers the element 2, which listens at all addresses of `endpoint` and says that it is also at `silent`,
    /// which comes first.
    pub(crate) async fn start_at(world: &World, silent: &[IpAddr], endpoint: Endpoint) -> Self {
        let listener = endpoint.listen(4739).await.unwrap();
        let mut transport = transport(silent.to_vec(), TransportUse::DATA_PLUS_CONTROL);
        transport.addresses.extend(endpoint.peer_addresses(4739).iter().filter_map(PeerAddress::ip));
        transport.encapsulation = endpoint.local_address().port();
        let element = register_transport(world, PeId(2), transport, &endpoint).await;
        Self { listener, element, _endpoint: endpoint }
    }

    /// Waits for the exporter.
    pub(crate) async fn accept(&mut self) -> Session {
        let association = timeout(PATIENCE, self.listener.accept()).await.expect("an exporter").unwrap();
        Session::new(association)
    }

    /// Waits for somebody who connects and leaves; returns how the association ended.
    pub(crate) async fn visited(&mut self) -> LossReason {
        let mut association = timeout(PATIENCE, self.listener.accept()).await.expect("a visitor").unwrap();
        loop {
            if let Event::Lost(reason) = timeout(PATIENCE, association.recv()).await.expect("an end") {
                return reason;
            }
        }
    }

    /// The element `host` as a business card names it; it is in no pool.
    pub(crate) async fn unregistered(world: &World, host: u8) -> (PoolElementParameter, Listener) {
        let endpoint = Endpoint::bind(EndpointConfig::new(world.host(host))).unwrap();
        let listener = endpoint.listen(4739).await.unwrap();
        let (user_transport, encapsulation) =
            transport(vec![world.host(host)], TransportUse::DATA_PLUS_CONTROL).to_wire().unwrap();
        let element = PoolElementParameter {
            pe: PeId(host.into()),
            home: Default::default(),
            life: RegistrationLife::INFINITE,
            user_transport,
            policy: Policy::RoundRobin,
            asap_transport: None,
            encapsulation,
            unknown: Vec::new(),
        };
        (element, listener)
    }

    /// Takes the element out of the pool.
    pub(crate) async fn deregister(self) {
        self.element.deregister(PATIENCE).await.unwrap();
    }
}

/// Puts an element of the pool at `host`, whether it listens or not.
pub(crate) async fn register(
    world: &World,
    host: u8,
    transport_use: TransportUse,
    endpoint: &Endpoint,
) -> PoolElement {
    let transport = transport(vec![world.host(host)], transport_use);
    register_transport(world, PeId(host.into()), transport, endpoint).await
}

/// Puts an element at `host` into the pool that says it is reached by `protocol`.
pub(crate) async fn register_by(
    world: &World,
    host: u8,
    protocol: Protocol,
    endpoint: &Endpoint,
) -> PoolElement {
    let transport = transport(vec![world.host(host)], TransportUse::DATA_PLUS_CONTROL);
    register_transport(world, PeId(host.into()), UserTransport { protocol, ..transport }, endpoint).await
}

fn transport(addresses: Vec<IpAddr>, transport_use: TransportUse) -> UserTransport {
    UserTransport { protocol: Protocol::Sctp, addresses, port: 4739, transport_use, encapsulation: 9899 }
}

async fn register_transport(
    world: &World,
    pe: PeId,
    transport: UserTransport,
    endpoint: &Endpoint,
) -> PoolElement {
    let registrars = vec![format!("{}:3863", world.host(1)).parse().unwrap()];
    let config = PoolElementConfig::new(PoolHandle::new("ipfix").unwrap(), transport, registrars);
    let config = PoolElementConfig { pe: Some(pe), ..config };
    let element = PoolElement::spawn(config, Some(endpoint.clone())).unwrap();
    let mut state = element.state();
    let registered = state.wait_for(|state| matches!(state, PoolElementState::Registered { .. }));
    timeout(PATIENCE, registered).await.expect("a registrar in time").unwrap();
    element
}

/// Returns the endpoint of an element that serves nobody.
pub(crate) fn deaf_endpoint(world: &World, host: u8) -> Endpoint {
    Endpoint::bind(EndpointConfig::new(world.host(host))).unwrap()
}

/// The collector's end of one association: what came over it.
pub(crate) struct Session {
    association: Association,
    collecting: CollectingSession,
    pub(crate) seen: Seen,
}

/// What a collector has read.
#[derive(Default)]
pub(crate) struct Seen {
    /// Payload protocol identifier and stream of each message.
    pub(crate) messages: Vec<(Ppid, u16)>,
    pub(crate) echoes: Vec<Cookie>,
    pub(crate) series: Option<Series>,
    /// firstNumber and possibleDuplicateUntil of the session records.
    pub(crate) session_records: Vec<(u64, u64)>,
    /// Number minus sequence number of what follows.
    offset: Option<u64>,
    /// What the numbers belong to.
    pub(crate) held: BTreeMap<Series, RangeSet>,
    /// By arrival: number, if there is one, and octets; nothing where only numbers are kept.
    pub(crate) records: Vec<(Option<u64>, Vec<u8>)>,
    pub(crate) only_numbers: bool,
    /// Flow records that have arrived.
    pub(crate) arrived: u64,
    /// Streams with their classes.
    pub(crate) classes: Vec<(u16, String)>,
    /// Statistics records.
    pub(crate) told: Vec<StatisticsRecord>,
    /// Options records about the exporter.
    pub(crate) told_of_exporter: u64,
    pub(crate) packets: u64,
    pub(crate) forced_ends: u64,
    pub(crate) lost: u64,
}

impl Seen {
    pub(crate) fn numbers(&self) -> RangeSet {
        let mut numbers = RangeSet::new();
        for number in self.records.iter().filter_map(|(number, _)| *number) {
            numbers.insert(number);
        }
        numbers
    }
}

impl Visitor for Seen {
    fn record(&mut self, record: &Record<'_>) {
        if record.template.is_options() {
            let fields = || record.fields().map(|field| (field.pen(), field.id(), field.octets()));
            if let Ok(class) = ClassRecord::from_fields(record.domain, fields()) {
                self.classes.push((record.stream, class.name));
                return;
            }
            if let Ok(told) = StatisticsRecord::from_fields(record.domain, fields()) {
                self.told.push(told);
                return;
            }
            let Ok(session) = SessionRecord::from_fields(record.domain, fields()) else {
                self.told_of_exporter += 1;
                return;
            };
            self.series = Some(session.series);
            self.session_records.push((session.first_number, session.possible_duplicate_until));
            self.offset = Some(session.first_number.wrapping_sub(u64::from(record.sequence) + 1));
            return;
        }
        let value = |id| {
            let position = record.template.position(0, id).unwrap();
            let octets = record.field(position).unwrap().octets();
            octets.iter().fold(0, |value, octet| value << 8 | u64::from(*octet))
        };
        self.packets += value(2);
        self.forced_ends += u64::from(value(136) == FlowEndReason::ForcedEnd as u64);
        self.arrived += 1;
        let number = self.offset.map(|offset| offset.wrapping_add(record.sequence.into()));
        if let Some((series, number)) = self.series.zip(number) {
            self.held.entry(series).or_default().insert(number);
        }
        if !self.only_numbers {
            self.records.push((number, record.octets.to_vec()));
        }
    }

    fn no_template(&mut self, _: u32, set: u16, _: &[u8]) {
        panic!("no template for set {set}");
    }
}

impl Session {
    pub(crate) fn new(association: Association) -> Self {
        let collecting = CollectingSession::new(CollectingConfig::default());
        Self { association, collecting, seen: Seen::default() }
    }

    /// Tells whether the exporter follows RFC 6526, as far as the collector can see.
    pub(crate) const fn per_stream(&self) -> PerStream {
        self.collecting.per_stream()
    }

    /// Takes in one event; returns why the association is lost if it is.
    pub(crate) async fn next(&mut self) -> Option<LossReason> {
        let event = timeout(PATIENCE, self.association.recv()).await.expect("an event in time");
        match event {
            Event::Message(message) => {
                self.seen.messages.push((message.ppid, message.stream));
                if message.ppid == Ppid::ASAP {
                    let Ok(Asap::CookieEcho(echo)) = Asap::decode(&message.data) else {
                        panic!("no ASAP_COOKIE_ECHO")
                    };
                    let cookie = Cookie::decode(&echo.cookie, &KeyRing::parse(KEY).unwrap()).unwrap();
                    self.seen.echoes.push(cookie);
                } else {
                    let summary =
                        self.collecting.decode(message.stream, &message.data, &mut self.seen).unwrap();
                    self.seen.lost += u64::from(summary.lost);
                }
                None
            }
            Event::Lost(reason) => Some(reason),
            _ => None,
        }
    }

    /// Takes in what comes until `enough`.
    pub(crate) async fn receive(&mut self, enough: impl Fn(&Seen) -> bool) {
        while !enough(&self.seen) {
            if let Some(reason) = self.next().await {
                panic!("association lost: {reason}");
            }
        }
    }

    /// Takes in what comes and acknowledges it until the association ends.
    pub(crate) async fn serve(&mut self) -> LossReason {
        loop {
            let before = self.seen.arrived;
            if let Some(reason) = self.next().await {
                return reason;
            }
            if self.seen.arrived > before && self.seen.series.is_some() {
                let held = self.seen.held.iter();
                let entries = held
                    .flat_map(|(&series, held)| held.iter().map(move |numbers| Entry { series, numbers }));
                self.signed(State::Ok, entries.collect()).await;
            }
        }
    }

    /// Sends a cookie: these numbers are durable here.
    pub(crate) async fn acknowledge(&self, numbers: impl IntoIterator<Item = Range<u64>>) {
        self.cookie(State::Ok, numbers).await;
    }

    pub(crate) async fn cookie(&self, state: State, numbers: impl IntoIterator<Item = Range<u64>>) {
        let series = self.seen.series.expect("a session record");
        self.signed(state, numbers.into_iter().map(|numbers| Entry { series, numbers }).collect()).await;
    }

    async fn signed(&self, state: State, entries: Vec<Entry>) {
        let cookie = Cookie { incarnation: 1, state, entries };
        self.send(cookie.encode(&KeyRing::parse(KEY).unwrap())).await;
    }

    async fn send(&self, cookie: Vec<u8>) {
        let message = Asap::Cookie(CookieMessage { cookie, unknown: Vec::new() });
        // An association that is over says so by its event.
        let _ = self.association.send(MsgOut::new(Ppid::ASAP, message.to_octets().unwrap())).await;
    }

    /// Recommends other collectors.
    pub(crate) async fn recommend(&self, elements: Vec<PoolElementParameter>) {
        let pool = PoolHandle::new("ipfix").unwrap();
        let card = Asap::BusinessCard(BusinessCard { pool, policy: None, elements, unknown: Vec::new() });
        self.association.send(MsgOut::new(Ppid::ASAP, card.to_octets().unwrap())).await.unwrap();
    }

    pub(crate) fn abort(&self) {
        self.association.abort();
    }
}
