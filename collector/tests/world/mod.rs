//! A real collector process and an exporter to feed it, on loopback addresses drawn at random.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod registrar;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use delivery::cookie::{Cookie, State};
use delivery::{Epoch, KeyRing, Ledger, RangeSet, Series, SessionRecord, session_record};
use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, RecordWriter, TemplateRecord};
use rserpool_proto::wire;
use rserpool_proto::wire::asap::business_card::BusinessCard;
use transport::{
    Association, ConnectError, Endpoint, EndpointConfig, Event, LossReason, MsgOut, PeerAddress, Ppid, tcp,
};

/// Nothing here takes so long on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const SERIES: Series = Series { ledger: Ledger([0xa1; 16]), epoch: Epoch(3), domain: 1 };

const KEY: &str = "1 000102030405060708090a0b0c0d0e0f";
pub(crate) const TIME: u32 = 1_795_219_200;
const FLOW: u16 = 256;
const SESSION: u16 = 257;

/// A directory that is gone after the test.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("collector-test-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("pool.key"), KEY).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns an address of 127.0.0.0/8 that no other test is likely to have.
pub(crate) fn address() -> Ipv4Addr {
    let [a, b, c, ..] = getrandom::u64().unwrap().to_be_bytes();
    // softflowd reads its octets backwards when it looks for multicast: no last octet above 223.
    Ipv4Addr::new(127, a.max(1), b, c % 223 + 1)
}

/// A running `ipfix-collector`.
pub(crate) struct Collector {
    child: Child,
    log: Receiver<String>,
    pub(crate) address: Ipv4Addr,
    seen: Vec<String>,
}

impl Collector {
    /// Starts a collector at `address` with the files of `directory` and waits until it listens on SCTP and TCP.
    /// `more` is appended to its configuration.
    pub(crate) fn start(directory: &Directory, address: Ipv4Addr, more: &str) -> Self {
        Self::start_with(directory, address, "", more)
    }

    /// As `start`; `listen` is appended to the section `[listen]`.
    pub(crate) fn start_with(directory: &Directory, address: Ipv4Addr, listen: &str, more: &str) -> Self {
        let mut collector = Self::spawn(directory, &[address], listen, more);
        collector.wait_for("listening for IPFIX");
        collector.wait_for("listening for IPFIX");
        collector
    }

    /// As `start`, with several SCTP addresses; the first one has TCP and HTTP too.
    pub(crate) fn start_at(directory: &Directory, addresses: &[Ipv4Addr], more: &str) -> Self {
        let mut collector = Self::spawn(directory, addresses, "", more);
        for _ in 0..=addresses.len() {
            collector.wait_for("listening for IPFIX");
        }
        collector
    }

    /// As `start`, at UDP too.
    pub(crate) fn start_udp(directory: &Directory, more: &str) -> Self {
        let address = address();
        let udp = format!("ipfix-udp = [\"{address}:4739\"]\n");
        let mut collector = Self::spawn(directory, &[address], &udp, more);
        (0..3).for_each(|_| drop(collector.wait_for("listening for IPFIX")));
        collector
    }

    fn spawn(directory: &Directory, addresses: &[Ipv4Addr], listen: &str, more: &str) -> Self {
        Self::run(&["env"], "0s", directory, addresses, listen, more)
    }

    /// As `start`, but with time for exporters to leave at the end, and `before` in front of the command.
    pub(crate) fn start_by(
        before: &[&str],
        drain: &str,
        directory: &Directory,
        address: Ipv4Addr,
        more: &str,
    ) -> Self {
        let mut collector = Self::run(before, drain, directory, &[address], "", more);
        collector.wait_for("listening for IPFIX");
        collector.wait_for("listening for IPFIX");
        collector
    }

    fn run(
        before: &[&str],
        drain: &str,
        directory: &Directory,
        addresses: &[Ipv4Addr],
        listen: &str,
        more: &str,
    ) -> Self {
        let config = directory.path("collector.toml");
        let state = directory.0.display();
        let address = addresses[0];
        let sctp: Vec<String> = addresses.iter().map(|address| format!("{address}:4739")).collect();
        let text = format!(
            "drain-timeout = \"{drain}\"\n[listen]\nipfix = {sctp:?}\nipfix-tcp = [\"{address}:4739\"]\n{listen}\
             [state]\ndirectory = \"{state}\"\n[http]\nlisten = \"{address}:9381\"\n{more}"
        );
        fs::write(&config, text).unwrap();
        let mut child = Command::new(before[0])
            .args(&before[1..])
            .arg(env!("CARGO_BIN_EXE_ipfix-collector"))
            .args(["run", "--log-level", "debug", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                println!("collector: {line}");
                let _ = sender.send(line);
            }
        });
        Self { child, log, address, seen: Vec::new() }
    }

    /// Waits for a log line with `text`.
    #[expect(clippy::disallowed_methods, reason = "other lines may come all the time")]
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let begin = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("no log line with {text:?}"));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Returns how many log lines so far had `text`.
    pub(crate) fn logged(&mut self, text: &str) -> usize {
        self.seen.extend(self.log.try_iter());
        self.seen.iter().filter(|line| line.contains(text)).count()
    }

    pub(crate) fn sctp(&self) -> PeerAddress {
        PeerAddress::sctp(IpAddr::V4(self.address), 4739)
    }

    pub(crate) fn tcp(&self) -> SocketAddr {
        SocketAddr::from((self.address, 4739))
    }

    /// Returns the body of an HTTP GET.
    pub(crate) fn http(&self, path: &str) -> String {
        let mut stream = TcpStream::connect((self.address, 9381)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Returns the value of a metric by its rendered name.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let text = self.http("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {sample} in\n{text}"))
    }

    /// Asks again and again until a metric has a value.
    pub(crate) fn wait_for_metric(&self, sample: &str, value: f64) {
        // Each question takes a round trip; there is nothing else to wait for.
        let reached = (0..20_000).any(|_| self.metric(sample) == value);
        assert!(reached, "{sample} is {} and not {value}", self.metric(sample));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no chance to write anything more.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, without waiting.
    pub(crate) fn terminate(&self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
    }

    /// Asks again and again until `/readyz` says ready.
    pub(crate) fn wait_until_ready(&self) {
        let ready = || self.http("/readyz").starts_with("HTTP/1.1 200");
        // Each question takes a round trip; there is nothing else to wait for.
        assert!((0..10_000).any(|_| ready()), "{}", self.http("/readyz?verbose"));
    }

    /// Waits for its end; returns how it ended.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// SIGTERM; returns how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.terminate();
        self.child.wait().unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes IPFIX messages with flow records whose octetDeltaCount is their number.
pub(crate) struct Flows {
    exporting: ExportingSession,
}

impl Flows {
    pub(crate) fn new() -> Self {
        let mut exporting =
            ExportingSession::new(ExportingConfig { domain: SERIES.domain, max_message: 1400 });
        let fields = [(152, 8), (8, 4), (7, 2), (4, 1), (1, 8)];
        let fields = fields.map(|(id, length)| FieldSpecifier::iana(id, length)).to_vec();
        exporting.define(1, TemplateRecord { id: FLOW, scope_fields: 0, fields }).unwrap();
        Self { exporting }
    }

    /// A session record: the next flow record has number `first`.
    pub(crate) fn session(&mut self, first: u64) {
        let fields = session_record::FIELDS.map(|(pen, id, length)| FieldSpecifier { pen, id, length });
        let template = TemplateRecord {
            id: SESSION,
            scope_fields: session_record::SCOPE_FIELDS,
            fields: fields.to_vec(),
        };
        self.exporting.define(1, template).unwrap();
        let mut octets = Vec::new();
        let record = SessionRecord { series: SERIES, first_number: first, possible_duplicate_until: 0 };
        record.encode(&mut octets);
        self.exporting.record(1, SESSION, &octets, TIME).unwrap();
    }

    /// The flow records with these numbers.
    pub(crate) fn flows(&mut self, numbers: Range<u64>) {
        let mut record = RecordWriter::new();
        for number in numbers {
            record.clear();
            record.milliseconds(Duration::from_secs(TIME.into())).ipv4(Ipv4Addr::new(192, 0, 2, 1));
            record.unsigned(53, 2).unsigned(17, 1).unsigned(number, 8);
            self.exporting.record(1, FLOW, record.octets(), TIME).unwrap();
        }
    }

    /// Finished messages.
    pub(crate) fn messages(&mut self) -> Vec<Vec<u8>> {
        self.exporting.flush_all(TIME);
        std::iter::from_fn(|| self.exporting.poll_message()).map(|message| message.octets).collect()
    }
}

/// Returns the line of the flow record with this number; without identity when `identified` is false.
pub(crate) fn line(number: u64, identified: bool) -> String {
    let identity =
        format!("\"ledger\":\"{}\",\"epoch\":3,\"domain\":1,\"number\":{number},", "a1".repeat(16));
    format!(
        "{{{}\"flowStartMilliseconds\":\"2026-11-21T00:00:00.000Z\",\"sourceIPv4Address\":\"192.0.2.1\",\
         \"sourceTransportPort\":53,\"protocolIdentifier\":17,\"octetDeltaCount\":{number}}}\n",
        if identified { identity.as_str() } else { "" }
    )
}

pub(crate) fn lines(numbers: Range<u64>, identified: bool) -> String {
    numbers.map(|number| line(number, identified)).collect()
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// An exporter's end of one association.
pub(crate) struct Exporter {
    pub(crate) association: Association,
    pub(crate) flows: Flows,
    /// What cookies have told.
    pub(crate) covered: RangeSet,
    pub(crate) state: Option<State>,
    pub(crate) cookies: usize,
    /// The octets of the last one.
    pub(crate) last_cookie: Vec<u8>,
    /// Whom the collector has recommended, the last one last.
    pub(crate) cards: Vec<BusinessCard>,
    _endpoint: Option<Endpoint>,
}

impl Exporter {
    pub(crate) async fn connect(collector: &Collector) -> Self {
        Self::try_connect(collector).await.unwrap()
    }

    pub(crate) async fn try_connect(collector: &Collector) -> Result<Self, ConnectError> {
        let endpoint = Endpoint::bind(EndpointConfig::new(IpAddr::V4(address()))).unwrap();
        let association = endpoint.connect(collector.sctp()).await?;
        Ok(Self::new(association, Some(endpoint)))
    }

    pub(crate) async fn connect_tcp(collector: &Collector) -> Self {
        Self::new(tcp::connect(collector.tcp(), tcp::Options::default()).await.unwrap(), None)
    }

    fn new(association: Association, endpoint: Option<Endpoint>) -> Self {
        let covered = RangeSet::new();
        let (flows, cards) = (Flows::new(), Vec::new());
        let (cookies, last_cookie) = (0, Vec::new());
        Self { association, flows, covered, state: None, cookies, last_cookie, cards, _endpoint: endpoint }
    }

    /// Sends what the flows have made.
    pub(crate) async fn send(&mut self) {
        for message in self.flows.messages() {
            self.send_octets(message).await;
        }
    }

    pub(crate) async fn send_octets(&mut self, octets: Vec<u8>) {
        let message = MsgOut { stream: 1, ..MsgOut::new(Ppid::IPFIX, octets) };
        self.association.send(message).await.unwrap();
    }

    /// Waits until cookies cover the numbers.
    pub(crate) async fn wait_for(&mut self, numbers: Range<u64>) {
        while !self.covered.covers(numbers.clone()) {
            if let Some(reason) = self.next().await {
                panic!("association lost before {numbers:?} was covered: {reason}");
            }
        }
    }

    /// Waits for the end of the association.
    pub(crate) async fn wait_for_end(&mut self) -> LossReason {
        loop {
            if let Some(reason) = self.next().await {
                return reason;
            }
        }
    }

    /// Takes in one event; returns why the association is lost if it is.
    pub(crate) async fn next(&mut self) -> Option<LossReason> {
        let event = tokio::time::timeout(PATIENCE, self.association.recv()).await.expect("an event in time");
        match event {
            Event::Message(message) => self.cookie(&message.data, message.ppid),
            Event::Lost(reason) => return Some(reason),
            _ => {}
        }
        None
    }

    fn cookie(&mut self, octets: &[u8], ppid: Ppid) {
        assert_eq!(ppid, Ppid::ASAP);
        let message = match wire::Message::decode(octets) {
            Ok(wire::Message::Cookie(message)) => message,
            Ok(wire::Message::BusinessCard(card)) => return self.cards.push(card),
            other => panic!("neither ASAP_COOKIE nor ASAP_BUSINESS_CARD: {other:?}"),
        };
        let cookie = Cookie::decode(&message.cookie, &KeyRing::parse(KEY).unwrap()).unwrap();
        for entry in &cookie.entries {
            assert_eq!(entry.series, SERIES);
            self.covered.insert_range(entry.numbers.clone());
        }
        self.state = Some(cookie.state);
        self.cookies += 1;
        self.last_cookie = message.cookie;
    }
}

/// The part of the configuration that joins a pool whose registrar is not there, for the key.
pub(crate) fn pool(directory: &Directory) -> String {
    let key = directory.path("pool.key");
    let registrar = address();
    format!(
        "[[pool]]\nhandle = \"ipfix\"\nregistrars = [\"{registrar}:3863\"]\nkey-file = \"{}\"\n",
        key.display()
    )
}

/// The part of the configuration with one file, durable by default.
pub(crate) fn output(directory: &Directory) -> String {
    format!("[output.flows.jsonl]\npath = \"{}\"\n", directory.path("flows.jsonl").display())
}
