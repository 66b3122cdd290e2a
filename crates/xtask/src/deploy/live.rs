//! Debian's Prometheus scrapes the demo's pool, with the configuration and the rules of deploy/prometheus; a collector is
//! killed, so that there is a failover; then every expression of rules and dashboards must return something.
#![expect(
    clippy::disallowed_methods,
    reason = "drives other programs, and has nothing to wait on but their answers"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{expressions, failed, needs, read, scratch, target_directory, verdict};
use crate::steps::{Outcome, Unpassed};

/// Long for the demo, which shows its whole story first, and for everything else.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);
const RULES: [&str; 2] = ["recording.yml", "alerts.yml"];
const DASHBOARDS: [&str; 3] = ["pool", "collector", "exporter"];

/// What the demo's pool does not show: it has no certificates, and reads a file.
const NOT_HERE: [&str; 4] = [
    "ipfix_exporter_packets_dropped_total{stage=\"kernel\"",
    "rserpool_tls_handshakes_total",
    "ipfix_collector_tls_handshakes_total",
    "ipfix_exporter_tls_handshakes_total",
];

pub(super) fn check(root: &Path) -> Outcome {
    needs("prometheus", "prometheus")?;
    needs("promtool", "prometheus")?;
    let pool = Pool::start(root)?;
    for target in &pool.targets {
        lint(target)?;
    }
    let prometheus = Prometheus::start(root, &pool)?;
    prometheus.await_that("min(count_over_time(up[1m])) >= 4 and count(up == 1) == 5")?;
    pool.kill_collector_in_use(&prometheus)?;
    prometheus.await_that("sum(ipfix_exporter_failovers_total) > 0 and sum(up) == 4")?;
    prometheus.await_that("sum(count_over_time(ipfix_exporter_failovers_total[1m])) >= 3")?;
    let asked = questions(root)?;
    let mut wrong = Vec::new();
    for question in &asked {
        match prometheus.ask(&question.expression)? {
            Answer::Something => {}
            Answer::Nothing if question.may_be_empty => {}
            Answer::Nothing => {
                wrong.push(format!("{}: nothing for {}", question.source, question.expression));
            }
            Answer::Refused(why) => {
                wrong.push(format!("{}: {}: {why}", question.source, question.expression));
            }
        }
    }
    println!("{} expressions and selectors asked", asked.len());
    verdict(&wrong)
}

/// One expression to be asked.
struct Question {
    source: String,
    expression: String,
    /// An alert that does not fire.
    may_be_empty: bool,
}

/// Everything in deploy/ that is asked of Prometheus.
fn questions(root: &Path) -> Result<Vec<Question>, Unpassed> {
    let mut questions = Vec::new();
    let mut add = |source: &str, expressions: Vec<String>, may_be_empty: bool| {
        let source = source.to_owned();
        questions.extend(expressions.into_iter().map(|expression| Question {
            source: source.clone(),
            expression,
            may_be_empty,
        }));
    };
    for file in RULES {
        let path = format!("deploy/prometheus/{file}");
        let found = expressions::of_rules(&read(root, &path)?);
        add(&path, found.iter().flat_map(|found| existing(found)).collect(), false);
        add(&path, found, file == "alerts.yml");
    }
    for name in DASHBOARDS {
        let path = format!("deploy/grafana/{name}.json");
        let text = read(root, &path)?;
        let found = expressions::of_dashboard(&text);
        if found.is_empty() {
            return Err(Unpassed::Failed(format!("{path} has no expressions")));
        }
        add(&path, found.iter().flat_map(|found| existing(found)).collect(), false);
        add(&path, found, false);
        add(&path, expressions::variables_of(&text), false);
    }
    Ok(questions)
}

/// The selectors of an expression that must find something.
fn existing(expression: &str) -> impl Iterator<Item = String> {
    let selectors = expressions::selectors(expression).into_iter();
    selectors.filter(|selector| !NOT_HERE.iter().any(|name| selector.starts_with(name)))
}

/// A child that ends with this value; the demo's own children end with the demo.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One daemon of the demo, as the demo tells it.
struct Target {
    name: String,
    address: SocketAddr,
}

/// `demo --serve`.
struct Pool {
    _demo: Process,
    targets: Vec<Target>,
    /// The collectors' names and process ids.
    collectors: Vec<(String, String)>,
}

impl Pool {
    /// Starts it and reads where everybody is.
    fn start(root: &Path) -> Result<Self, Unpassed> {
        let program = target_directory(root)?.join("release/demo");
        println!("$ {} --serve", program.display());
        let mut demo = Command::new(&program)
            .arg("--serve")
            .current_dir(root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(program.display(), error))?;
        let lines = demo.stdout.take().map(|output| BufReader::new(output).lines());
        let mut pool = Self { _demo: Process(demo), targets: Vec::new(), collectors: Vec::new() };
        // It ends, and so do the lines, when the demo fails; what it printed says why.
        let mut said = Vec::new();
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            pool.learn(&line);
            if pool.targets.len() == 5 && pool.collectors.len() == 2 {
                return Ok(pool);
            }
            said.push(line);
        }
        Err(Unpassed::Failed(format!("the demo does not serve: {}", said.join("\n"))))
    }

    /// `  collector a  http://127.1.2.3:9381/metrics` and `  kill -9 123   # collector-a`.
    fn learn(&mut self, line: &str) {
        if let Some((name, url)) = line.split_once("http://")
            && let Some(address) = url.strip_suffix("/metrics").and_then(|address| address.parse().ok())
        {
            self.targets.push(Target { name: name.trim().replace(' ', "-"), address });
        }
        if let Some((command, name)) = line.split_once('#')
            && let Some(pid) = command.trim().strip_prefix("kill -9 ")
            && name.trim().starts_with("collector")
        {
            self.collectors.push((name.trim().to_owned(), pid.trim().to_owned()));
        }
    }

    /// The addresses of the daemons whose names begin so, as a list of YAML.
    fn list(&self, kind: &str) -> String {
        let targets = self.targets.iter().filter(|target| target.name.starts_with(kind));
        let quoted: Vec<_> = targets.map(|target| format!("\"{}\"", target.address)).collect();
        format!("[{}]", quoted.join(", "))
    }

    /// An address of the pool's network that nobody has.
    fn free_address(&self) -> Result<SocketAddr, Unpassed> {
        match self.targets.first().map(|target| target.address) {
            Some(SocketAddr::V4(address)) => {
                let [a, b, c, _] = address.ip().octets();
                Ok(SocketAddr::from(([a, b, c, 250], 9090)))
            }
            other => Err(Unpassed::Failed(format!("the demo is at {other:?}"))),
        }
    }

    /// Ends the collector that the exporter uses with SIGKILL.
    fn kill_collector_in_use(&self, prometheus: &Prometheus) -> Outcome {
        for (name, pid) in &self.collectors {
            let Some(target) = self.targets.iter().find(|target| target.name == *name) else { continue };
            let uses =
                format!("ipfix_exporter_collector_info{{address=~\".*{}:.*\"}} == 1", target.address.ip());
            if matches!(prometheus.ask(&uses)?, Answer::Something) {
                println!("$ kill -9 {pid}   # {name}");
                let killed = Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status();
                return killed.map(drop).map_err(|error| failed("kill", error));
            }
        }
        Err(Unpassed::Failed("the exporter uses no collector".to_owned()))
    }
}

/// Runs `promtool check metrics` on what a daemon shows, once it listens.
fn lint(target: &Target) -> Outcome {
    let begin = Instant::now();
    let metrics = loop {
        match get(target.address, "/metrics") {
            Err(_) if begin.elapsed() < PATIENCE => std::thread::sleep(LOOK),
            metrics => break metrics?,
        }
    };
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| failed("promtool", error))?;
    if let Some(mut input) = promtool.stdin.take() {
        input.write_all(metrics.as_bytes()).map_err(|error| failed("promtool", error))?;
    }
    let status = promtool.wait().map_err(|error| failed("promtool", error))?;
    println!("$ promtool check metrics < {}: {status}", target.name);
    if status.success() { Ok(()) } else { Err(Unpassed::Failed(format!("metrics of {}", target.name))) }
}

/// What Prometheus says to an expression.
enum Answer {
    Something,
    /// No series, or none with a number.
    Nothing,
    Refused(String),
}

struct Prometheus {
    _process: Process,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it with the configuration of deploy/prometheus, but for targets and intervals.
    fn start(root: &Path, pool: &Pool) -> Result<Self, Unpassed> {
        let folder = scratch(root, "prometheus")?;
        let mut config = read(root, "deploy/prometheus/prometheus.yml")?.replace(": 15s", ": 1s");
        for (kind, sample) in [("registrar", "9380"), ("collector", "9381"), ("exporter", "9382")] {
            config = config.replace(&format!("[\"127.0.0.1:{sample}\"]"), &pool.list(kind));
        }
        write(&folder.join("prometheus.yml"), &config)?;
        for file in RULES {
            write(&folder.join(file), &read(root, &format!("deploy/prometheus/{file}"))?)?;
        }
        let address = pool.free_address()?;
        let log = folder.join("log");
        let log = fs::File::create(&log).map_err(|error| failed(log.display(), error))?;
        println!("$ prometheus --web.listen-address={address}");
        let process = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| failed("prometheus", error))?;
        Ok(Self { _process: Process(process), address })
    }

    /// Waits until an expression returns something.
    fn await_that(&self, expression: &str) -> Outcome {
        let begin = Instant::now();
        while !matches!(self.ask(expression), Ok(Answer::Something)) {
            if begin.elapsed() > PATIENCE {
                return Err(Unpassed::Failed(format!("not within {PATIENCE:?}: {expression}")));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn ask(&self, expression: &str) -> Result<Answer, Unpassed> {
        let answer = get(self.address, &format!("/api/v1/query?query={}", encoded(expression)))?;
        if !answer.contains("\"status\":\"success\"") {
            return Ok(Answer::Refused(answer));
        }
        let samples = answer.matches("\"value\":[").count();
        let numberless = answer.matches(",\"NaN\"]").count();
        Ok(if samples > numberless { Answer::Something } else { Answer::Nothing })
    }
}

/// Percent-encodes what is neither letter nor digit.
fn encoded(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric();
    text.bytes()
        .map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") })
        .collect()
}

/// The body of what a server answers.
fn get(address: SocketAddr, path: &str) -> Result<String, Unpassed> {
    let mut answer = String::new();
    let mut ask = || {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        // With version 1.0 the body is not cut into chunks, and ends with the connection.
        write!(connection, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        connection.read_to_string(&mut answer)
    };
    ask().map_err(|error: std::io::Error| failed(format_args!("http://{address}{path}"), error))?;
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| failed(path.display(), error))
}
