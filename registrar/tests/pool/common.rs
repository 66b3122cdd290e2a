//! A network of random loopback addresses, the registrar's process on it, and pool elements and pool users.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rserpool::{
    PeId, PoolElement, PoolElementConfig, PoolElementEvent, PoolHandle, PoolUser, PoolUserConfig, Protocol,
    TransportUse, UserTransport,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use transport::{Endpoint, EndpointConfig};

pub(crate) const PE: PeId = PeId(0xa1);
pub(crate) const POOL: &str = "ipfix";

/// What should come, comes within this on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(15);

const REGISTRAR: &str = env!("CARGO_BIN_EXE_rserpool-registrar");

/// A /24 of the loopback network that no other test uses.
#[derive(Clone, Copy)]
pub(crate) struct Net(u8, u8);

impl Net {
    pub(crate) fn random() -> Net {
        let [x, y, ..] = getrandom::u64().unwrap().to_be_bytes();
        Net(x % 127 + 64, y)
    }

    pub(crate) fn host(self, host: u8) -> IpAddr {
        Ipv4Addr::new(127, self.0, self.1, host).into()
    }

    pub(crate) fn registrar(self) -> String {
        format!("{}:3863", self.host(1))
    }

    pub(crate) fn endpoint(self, host: u8) -> Endpoint {
        Endpoint::bind(EndpointConfig::new(self.host(host))).unwrap()
    }

    pub(crate) fn element_config(self, host: u8) -> PoolElementConfig {
        let transport = UserTransport {
            protocol: Protocol::Sctp,
            addresses: vec![self.host(host)],
            port: 4739,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            encapsulation: 9899,
        };
        let registrars = vec![self.registrar().parse().unwrap()];
        let config = PoolElementConfig::new(PoolHandle::new(POOL).unwrap(), transport, registrars);
        PoolElementConfig { pe: Some(PE), ..config }
    }

    pub(crate) fn element(self, host: u8) -> PoolElement {
        PoolElement::spawn(self.element_config(host), Some(self.endpoint(host))).unwrap()
    }

    pub(crate) fn user(self) -> PoolUser {
        self.user_over(&self.registrar(), Some(self.endpoint(4)))
    }

    pub(crate) fn user_over(self, registrar: &str, endpoint: Option<Endpoint>) -> PoolUser {
        let registrars = vec![registrar.parse().unwrap()];
        let config = PoolUserConfig::new(PoolHandle::new(POOL).unwrap(), registrars);
        PoolUser::spawn(config, endpoint)
    }

    pub(crate) fn http_of(self, host: u8) -> SocketAddr {
        SocketAddr::new(self.host(host), 9380)
    }

    /// The registrar's metrics as text.
    pub(crate) async fn metrics(self) -> String {
        self.metrics_of(1).await
    }

    pub(crate) async fn metrics_of(self, host: u8) -> String {
        self.get(host, "/metrics").await
    }

    /// The registrar's answer to a request, with its header.
    pub(crate) async fn get(self, host: u8, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http_of(host)).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    /// Waits until a sample has a value that `wanted` accepts.
    pub(crate) async fn metric(self, sample: &str, wanted: impl Fn(f64) -> bool) {
        self.metric_of(1, sample, wanted).await;
    }

    pub(crate) async fn metric_of(self, host: u8, sample: &str, wanted: impl Fn(f64) -> bool) {
        let seen = async {
            while !value(&self.metrics_of(host).await, sample).is_some_and(&wanted) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(SOON, seen).await.is_err() {
            panic!("{sample} did not become what was expected:\n{}", self.metrics_of(host).await);
        }
    }

    pub(crate) fn socket(self) -> PathBuf {
        self.socket_of(1)
    }

    fn socket_of(self, host: u8) -> PathBuf {
        std::env::temp_dir().join(format!("registrar-{}.sock", self.host(host)))
    }

    /// Runs `rserpool-registrar resolve`.
    pub(crate) async fn resolve(self, options: &[&str]) -> Output {
        run(&[&["resolve", POOL], options].concat()).await
    }

    /// Runs a subcommand that asks the registrar over HTTP.
    pub(crate) async fn ask(self, arguments: &[&str]) -> Output {
        self.ask_at(1, arguments).await
    }

    pub(crate) async fn ask_at(self, host: u8, arguments: &[&str]) -> Output {
        run(&[arguments, &["--http", &self.http_of(host).to_string()]].concat()).await
    }

    /// The same, as JSON.
    pub(crate) async fn json(self, arguments: &[&str]) -> serde_json::Value {
        self.json_at(1, arguments).await
    }

    pub(crate) async fn json_at(self, host: u8, arguments: &[&str]) -> serde_json::Value {
        let output = self.ask_at(host, &[arguments, &["--output", "json"]].concat()).await;
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs `rserpool-registrar drain`.
    pub(crate) async fn drain(self, arguments: &[&str]) -> Output {
        run(&[&["drain", POOL, "--socket", self.socket().to_str().unwrap()], arguments].concat()).await
    }
}

/// Runs `rserpool-registrar` to its end.
pub(crate) async fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(REGISTRAR);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Returns the value of a sample in the Prometheus text form.
pub(crate) fn value(metrics: &str, sample: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// A process of this test; killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// What it has written to standard error.
    lines: watch::Receiver<Vec<String>>,
    /// Its control socket, which outlives it when it is killed.
    socket: Option<PathBuf>,
}

impl Process {
    /// Starts the registrar and waits until it listens.
    pub(crate) async fn registrar(net: Net) -> Process {
        Process::registrar_at(net, 1, "").await
    }

    /// Starts a registrar at `host` with some more configuration before the sections.
    pub(crate) async fn registrar_at(net: Net, host: u8, more: &str) -> Process {
        let address = net.host(host);
        let text = format!(
            "{more}\n[listen]\nasap = [\"{address}:3863\"]\nasap-tcp = [\"{address}:3863\"]\n{}\
             [http]\nlisten = \"{}\"\n[control]\nsocket = \"{}\"\n",
            if more.is_empty() { String::new() } else { format!("enrp = [\"{address}:9901\"]\n") },
            net.http_of(host),
            net.socket_of(host).display()
        );
        Process::configured(net, host, &text).await
    }

    /// Starts two registrars that replicate, at `.1` and `.5`.
    pub(crate) async fn pair(net: Net) -> [Process; 2] {
        let more = |id: &str, peer| format!("id = \"{id}\"\npeer = [{{ address = \"{}\" }}]", net.host(peer));
        let first = Process::registrar_at(net, 1, &more("0a0b0c01", 5)).await;
        let second = Process::registrar_at(net, 5, &more("0a0b0c02", 1)).await;
        for host in [1, 5] {
            net.metric_of(host, "rserpool_enrp_peers{state=\"active\"}", |count| count == 1.0).await;
        }
        [first, second]
    }

    /// Starts a registrar with this configuration, whose control socket is that of `host`.
    pub(crate) async fn configured(net: Net, host: u8, text: &str) -> Process {
        let name = format!("registrar-{}.toml", net.host(host));
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(REGISTRAR);
        command.args(["run", "--log-format", "plain", "--config"]).arg(&file);
        let mut process = Process::start(&mut command);
        process.socket = Some(net.socket_of(host));
        process.line("registrar ready", 1).await;
        std::fs::remove_file(file).unwrap();
        process
    }

    /// Starts this test program again as a pool element at `.2`.
    pub(crate) fn element(net: Net) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "pool_element_process", "--ignored", "--nocapture"]);
        command.env("POOL_ELEMENT_NET", format!("{} {}", net.0, net.1));
        Process::start(&mut command)
    }

    fn start(command: &mut Command) -> Process {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let written = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sink, lines) = watch::channel(Vec::new());
        std::thread::spawn(move || {
            for line in written.map_while(Result::ok) {
                eprintln!("{line}");
                sink.send_modify(|lines| lines.push(line));
            }
        });
        Process { child, lines, socket: None }
    }

    /// Waits until so many lines of standard error hold `sign`.
    pub(crate) async fn line(&self, sign: &str, count: usize) {
        let mut lines = self.lines.clone();
        let seen = lines.wait_for(|lines| lines.iter().filter(|line| line.contains(sign)).count() >= count);
        timeout(SOON, seen).await.expect("the line did not come").expect("the process has ended");
    }

    /// Returns how many lines of standard error hold `sign` so far.
    pub(crate) fn count(&self, sign: &str) -> usize {
        self.lines.borrow().iter().filter(|line| line.contains(sign)).count()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Asks for an orderly end and returns the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(socket) = &self.socket {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// What [`Process::element`] runs.
pub(crate) async fn pool_element_process() {
    let Ok(net) = std::env::var("POOL_ELEMENT_NET") else { return };
    let (x, y) = net.split_once(' ').unwrap();
    let net = Net(x.parse().unwrap(), y.parse().unwrap());
    let filter = tracing_subscriber::EnvFilter::new("rserpool=debug");
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    let mut element = net.element(2);
    while element.next_event().await.is_some() {}
}

/// Waits for an event that `wanted` accepts.
pub(crate) async fn event(
    element: &mut PoolElement,
    wanted: impl Fn(&PoolElementEvent) -> bool,
) -> PoolElementEvent {
    let come = async {
        loop {
            let event = element.next_event().await.expect("the pool element has ended");
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(SOON, come).await.expect("the event did not come")
}

pub(crate) async fn registered(element: &mut PoolElement) {
    event(element, |event| matches!(event, PoolElementEvent::Registered { .. })).await;
}
