//! `metrics.md`: every metric of the three daemons, from what they describe and record while a pool of them runs in this process.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use demo::process::wait_until;
use service::config::parse;
use service::{Context, Daemon, Described, Failure};

const HEAD: &str = "\
# Metrics

Every metric at `/metrics` of the three daemons, in Prometheus's text form. Names end in their unit: `_seconds`, `_bytes` (octets), and
`_total` for counters. Labels have few values each: pools, interfaces and outputs are named by your configuration, everything else is a
closed list; no exporter, flow or address is a label. A histogram `NAME` is the series `NAME_bucket{le}`, `NAME_sum` and `NAME_count`. Some series
come when there is something to count. What to do about them is in [operating.md](../operating.md).

This page is made from the daemons: `UPDATE_GOLDEN=1 cargo test -p demo --test reference`.
";

/// Labels whose values are closed lists, which are shown. Of others only the name is.
const CLOSED: [&str; 9] =
    ["direction", "event", "kind", "protocol", "reason", "result", "stage", "state", "transport"];

/// Labels whose values come with what is counted: from the start there are none of them, or some only.
const GROWING: [(&str, &str); 6] = [
    ("ipfix_exporter_class_info", "kind"),
    ("ipfix_exporter_failovers_total", "reason"),
    ("rserpool_enrp_error_causes_received_total", "cause"),
    ("rserpool_enrp_refused_total", "reason"),
    ("rserpool_handle_resolutions_total", "result"),
    ("rserpool_message_errors_total", "cause"),
];

/// Values shown of a label at most.
const MOST_VALUES: usize = 24;

/// Nothing here takes so long on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Folders whose metrics have to be on the page.
const SOURCES: [&str; 3] = ["registrar/src", "collector/src", "exporter/src"];

/// A daemon in a thread of its own, with metrics of its own.
struct Running {
    context: Context,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Running {
    fn start<D: Daemon>(folder: &Path, text: &str) -> Self {
        Self::start_with::<D>(Context::detached(), folder, text)
    }

    /// A daemon that ends as soon as it has begun: with the handles that it makes in any case.
    fn started<D: Daemon>(world: &World, text: &str) -> BTreeMap<String, Described> {
        let context = Context::detached();
        context.shutdown.request();
        // At addresses of its own: they are not free again at once.
        let text = text.replace(&world.net(), &world.another_net());
        let running = Self::start_with::<D>(context, &world.folder, &text);
        // Some end in order, and others tell what they could not do.
        let _ = running.thread.join().unwrap();
        running.context.metrics.catalogue()
    }

    fn start_with<D: Daemon>(context: Context, folder: &Path, text: &str) -> Self {
        let text = text.replace("FOLDER", &folder.display().to_string());
        let inner = context.clone();
        let thread = std::thread::spawn(move || {
            let config: D::Config =
                parse(D::SHORT, &text, D::validate).unwrap_or_else(|error| panic!("{error}"));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            inner.metrics.common::<D>();
            let metrics = inner.metrics.clone();
            // Every task is on this thread, and so is every handle made here.
            metrics.scope(|| runtime.block_on(D::run(config, inner)))
        });
        Self { context, thread }
    }

    /// Waits until it is ready.
    fn ready(self) -> Self {
        let ready = wait_until(PATIENCE, || Ok(self.context.health.is_ready() || self.thread.is_finished()));
        assert!(ready.unwrap(), "the daemon gets ready");
        if self.thread.is_finished() {
            self.ended();
            panic!("the daemon has ended");
        }
        self
    }

    /// Waits for its end, and returns its metrics.
    fn ended(self) -> BTreeMap<String, Described> {
        self.thread.join().unwrap().unwrap_or_else(|failure| panic!("{failure}"));
        self.context.metrics.catalogue()
    }

    fn end(self) -> BTreeMap<String, Described> {
        self.context.shutdown.request();
        self.ended()
    }
}

/// Files and addresses of the pool.
struct World {
    folder: PathBuf,
    /// Two octets of an address, of which the next networks have others.
    net: [u8; 2],
    others: Cell<u8>,
}

impl World {
    fn new() -> Self {
        let [a, b, ..] = getrandom::u64().unwrap().to_be_bytes();
        let folder = std::env::temp_dir().join(format!("reference-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir_all(folder.join("collector")).unwrap();
        fs::write(folder.join("pool.key"), "1 000102030405060708090a0b0c0d0e0f\n").unwrap();
        fs::copy(pcap_fixtures::fixture(pcap_fixtures::MIXED), folder.join("a.pcapng")).unwrap();
        Self { folder, net: [a.clamp(1, 200), b], others: Cell::new(0) }
    }

    fn net(&self) -> String {
        let [a, b] = self.net;
        format!("127.{a}.{b}.")
    }

    /// A network that nobody has had yet.
    fn another_net(&self) -> String {
        let [a, b] = self.net;
        self.others.set(self.others.get() + 1);
        format!("127.{}.{b}.", a + self.others.get())
    }

    fn host(&self, host: u8) -> String {
        format!("{}{host}", self.net())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Adds what was seen of one daemon to what was seen of others of its kind.
fn add(all: &mut BTreeMap<String, Described>, seen: BTreeMap<String, Described>) {
    for (name, mut described) in seen {
        // Which values there are by now depends on what has happened.
        described.labels.values_mut().for_each(BTreeSet::clear);
        merge(all, name, described);
    }
}

/// Adds what any daemon of its kind has from its start: every value of its labels.
fn add_started(all: &mut BTreeMap<String, Described>, seen: BTreeMap<String, Described>) {
    seen.into_iter().for_each(|(name, described)| merge(all, name, described));
}

fn merge(all: &mut BTreeMap<String, Described>, name: String, described: Described) {
    let known = all.entry(name).or_default();
    known.kind = described.kind;
    if known.help.is_empty() {
        known.help = described.help;
    }
    for (label, values) in described.labels {
        known.labels.entry(label).or_default().extend(values);
    }
}

/// Runs a pool over SCTP and one exporter over UDP; returns the metrics of registrars, collectors and exporters.
fn seen() -> [BTreeMap<String, Described>; 3] {
    let (world, authority) = (World::new(), test_pki::Authority::new());
    let [a, b, c, d, e] = [1, 2, 3, 4, 5].map(|host| world.host(host));
    let tls = authority.issue("daemon", &[&b], test_pki::Validity::Current).section(&["daemon.example"]);
    let mut all = [const { BTreeMap::new() }; 3];

    let enrp = format!("enrp = [\"{a}:9901\"]\n[[peer]]\naddress = \"{d}:9901\"\n");
    let text = format!("id = \"0a0b0c01\"\n[listen]\nasap = [\"{a}:3863\"]\n{enrp}");
    add_started(&mut all[0], Running::started::<registrar::RegistrarDaemon>(&world, &text));
    let registrar = Running::start::<registrar::RegistrarDaemon>(&world.folder, &text).ready();
    let text = format!("[listen]\nasap = []\nasap-tls = [\"{d}:3864\"]\n{tls}");
    add_started(&mut all[0], Running::started::<registrar::RegistrarDaemon>(&world, &text));

    let text = format!(
        "[listen]\nipfix = [\"{b}:4739\"]\nipfix-tls = [\"{b}:4740\"]\nipfix-udp = [\"{b}:4739\"]\n{tls}\
         [[pool]]\nhandle = \"ipfix\"\nregistrars = [\"{a}\"]\nkey-file = \"FOLDER/pool.key\"\n\
         policy.least-used = {{}}\n\
         [output.flows.jsonl]\npath = \"FOLDER/flows.jsonl\"\nrotate = \"1h\"\n\
         [output.upstream.forward]\nto = \"{e}:4739\"\n[state]\ndirectory = \"FOLDER/collector\"\n"
    );
    add_started(&mut all[1], Running::started::<collector::Collector>(&world, &text));
    let collector = Running::start::<collector::Collector>(&world.folder, &text).ready();

    let source = "[source]\npcap = \"FOLDER/a.pcapng\"\nspeed = 0\n";
    let text = format!(
        "{source}{tls}[pool]\nregistrars = [\"{a}\"]\naddresses = [\"{c}\"]\nkey-file = \"FOLDER/pool.key\"\n\
         [class.reliable]\n[state]\ndirectory = \"FOLDER/exporter\"\n"
    );
    let hasty = format!("{text}[retention]\ndrain-timeout = \"1ms\"\n");
    add_started(&mut all[2], Running::started::<exporter::Daemon>(&world, &hasty));
    add(&mut all[2], Running::start::<exporter::Daemon>(&world.folder, &text).ended());
    let relay = text.replace(source, &format!("[relay]\nlisten = [\"{c}:2055\"]\n"));
    add_started(&mut all[2], Running::started::<exporter::Daemon>(&world, &relay));
    let text = format!("{source}[udp]\ncollector = \"{b}:4739\"\naddress = \"{c}\"\n");
    add_started(&mut all[2], Running::started::<exporter::Daemon>(&world, &text));
    add(&mut all[2], Running::start::<exporter::Daemon>(&world.folder, &text).ended());

    add(&mut all[1], collector.end());
    add(&mut all[0], registrar.end());
    for (name, label) in GROWING {
        let described =
            all.iter_mut().find_map(|all| all.get_mut(name)).unwrap_or_else(|| panic!("no {name}"));
        described.labels.entry(label.to_owned()).or_default();
    }
    all
}

/// The unit that a name tells.
fn unit(name: &str) -> &'static str {
    let base = name.strip_suffix("_total").unwrap_or(name);
    match base.rsplit('_').next() {
        Some("seconds") => "seconds",
        Some("bytes") => "octets",
        _ => "",
    }
}

fn section(text: &mut String, title: &str, metrics: &BTreeMap<String, Described>) {
    let _ = write!(
        text,
        "\n## {title}\n\n| metric | type | unit | labels | what it tells |\n|---|---|---|---|---|\n"
    );
    for (name, Described { kind, help, labels }) in metrics {
        let shown = labels.iter().map(|(label, values)| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let is_growing = GROWING.contains(&(name.as_str(), label.as_str()));
            let is_shown = !is_growing
                && CLOSED.contains(&label.as_str())
                && !values.is_empty()
                && values.len() <= MOST_VALUES;
            if is_shown { format!("`{label}`: {}", values.join(", ")) } else { format!("`{label}`") }
        });
        let shown: Vec<String> = shown.collect();
        let help = help.replace('|', "\\|");
        let _ = writeln!(text, "| `{name}` | {kind} | {} | {} | {help} |", unit(name), shown.join("; "));
    }
}

/// What every process shows of itself.
fn of_processes() -> BTreeMap<String, Described> {
    let text = service::Metrics::new(&[]).render();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        found.insert(name.to_owned(), Described { kind, help: help.to_owned(), ..Described::default() });
    }
    found
}

#[test]
fn every_metric_is_documented_with_its_type_unit_labels_and_help() {
    let [registrars, collectors, exporters] = seen();
    let mut text = HEAD.to_owned();
    for (title, metrics) in [
        ("rserpool-registrar", &registrars),
        ("ipfix-collector", &collectors),
        ("ipfix-exporter", &exporters),
        ("Every daemon", &of_processes()),
    ] {
        let silent: Vec<&String> =
            metrics.iter().filter(|(_, described)| described.help.is_empty()).map(|(name, _)| name).collect();
        assert!(silent.is_empty(), "nobody describes {silent:?}");
        section(&mut text, title, metrics);
    }
    super::assert_page("metrics.md", &text);
    let missing: Vec<String> =
        named().into_iter().filter(|name| !text.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "metrics.md has no {missing:?}");
}

/// The metrics that the sources name.
fn named() -> BTreeSet<String> {
    let prefixes = ["\"rserpool_", "\"ipfix_collector_", "\"ipfix_exporter_"];
    let mut names = BTreeSet::new();
    let mut folders: Vec<PathBuf> = SOURCES.iter().map(|folder| super::root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            // What tests ask for has labels behind it.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for prefix in prefixes {
                for (at, _) in code.match_indices(prefix) {
                    let name: String =
                        code[at + 1..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                    let is_whole = code[at + 1 + name.len()..].starts_with('"');
                    if is_whole && !name.ends_with('_') {
                        names.insert(name);
                    }
                }
            }
        }
    }
    assert!(names.len() > 50, "{names:?}");
    names
}
