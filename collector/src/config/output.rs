//! `[output.NAME.KIND]`: where records go.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use service::config::{Faults, Period, Size};

use crate::output::{Column, Limits};

/// Octets that a queue may have room for.
const MIN_QUEUE: u64 = 4 << 10;
const MAX_QUEUE: u64 = 1 << 30;

/// One output: a table named after its kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Output {
    /// Lines of JSON.
    Jsonl(Jsonl),
    /// Lines of comma-separated values.
    Csv(Csv),
    /// Files of IPFIX messages.
    Ipfix(Ipfix),
    /// Another collector.
    Forward(Forward),
}

/// A file of JSON lines.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Jsonl {
    /// The file; `-` is standard output.
    pub path: PathBuf,
    /// Whether records are acknowledged only when they are synced here. Default: true for the first file (by name) that does not
    /// say false or drops, if no output says true. Only a regular file can be durable.
    pub durable: Option<bool>,
    /// Whether options records (statistics, interface names) are written, marked by `"options":true`.
    pub options_records: bool,
    /// Whether what options records tell (sampling, names of interfaces, VRFs and applications) and the source of UDP are put
    /// into the lines of flows.
    pub metadata: bool,
    /// Whether biflows (RFC 5103) are written as they came or as two uniflows.
    pub biflows: Biflows,
    /// Octets of lines that may wait for the file.
    pub queue: Size,
    /// What happens to records while the queue is full. Default: a durable output waits, others drop; where none is durable
    /// and none is told to wait, the first file waits, or the first output where there is no file.
    pub when_full: Option<WhenFull>,
    /// Another file is begun when a multiple of this has passed since 1970 (UTC). With this, `rotate-octets`, `keep` or
    /// `max-octets`, files take turns: `flows.jsonl` is `flows-20261122T043000.000Z.jsonl`, `.part` behind it while written.
    pub rotate: Option<Period>,
    /// Another file is begun when one has so many octets.
    pub rotate_octets: Option<Size>,
    /// How many finished files stay; the oldest are removed.
    pub keep: Option<NonZeroUsize>,
    /// How many octets of finished files stay.
    pub max_octets: Option<Size>,
    /// How finished files are compressed.
    pub compress: Option<Compression>,
    /// Whether records are gathered for up to 200 ms, and what is much is written past the page cache, where the file system
    /// lets it be: less work for the kernel, but who reads the file reads the disk.
    pub direct: bool,
}

impl Default for Jsonl {
    fn default() -> Self {
        Self {
            path: PathBuf::from("flows.jsonl"),
            durable: None,
            options_records: true,
            metadata: false,
            biflows: Biflows::Keep,
            queue: Size::mebi(16),
            when_full: None,
            rotate: None,
            rotate_octets: None,
            keep: None,
            max_octets: None,
            compress: None,
            direct: false,
        }
    }
}

/// A file of comma-separated values (RFC 4180), one line per flow record.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Csv {
    /// The file; `-` is standard output.
    pub path: PathBuf,
    /// What every line shows, and the header names: elements by their names, and `ledger`, `epoch`, `domain`, `number`.
    pub columns: Vec<Column>,
    /// As of JSON lines.
    pub biflows: Biflows,
    /// As of JSON lines.
    pub durable: Option<bool>,
    /// As of JSON lines.
    pub queue: Size,
    /// As of JSON lines.
    pub when_full: Option<WhenFull>,
    /// As of JSON lines.
    pub rotate: Option<Period>,
    /// As of JSON lines.
    pub rotate_octets: Option<Size>,
    /// As of JSON lines.
    pub keep: Option<NonZeroUsize>,
    /// As of JSON lines.
    pub max_octets: Option<Size>,
    /// How finished files are compressed.
    pub compress: Option<Compression>,
    /// As of JSON lines.
    pub direct: bool,
}

/// What most exporters tell of a flow.
const COLUMNS: [&str; 11] = [
    "flowStartMilliseconds",
    "flowEndMilliseconds",
    "sourceIPv4Address",
    "sourceIPv6Address",
    "destinationIPv4Address",
    "destinationIPv6Address",
    "protocolIdentifier",
    "sourceTransportPort",
    "destinationTransportPort",
    "packetDeltaCount",
    "octetDeltaCount",
];

impl Default for Csv {
    fn default() -> Self {
        Self {
            path: PathBuf::from("flows.csv"),
            columns: COLUMNS.iter().filter_map(|name| name.parse().ok()).collect(),
            biflows: Biflows::Keep,
            durable: None,
            queue: Size::mebi(16),
            when_full: None,
            rotate: None,
            rotate_octets: None,
            keep: None,
            max_octets: None,
            compress: None,
            direct: false,
        }
    }
}

/// Files of IPFIX messages (RFC 5655): all records of all sessions, octet by octet as they came. They always take turns, because
/// a file is one transport session: each start of the collector begins another.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ipfix {
    /// What the files are called after: `flows-20261122T043000.000Z.ipfix` for `flows.ipfix`.
    pub path: PathBuf,
    /// As of JSON lines.
    pub durable: Option<bool>,
    /// Whether options records are kept.
    pub options_records: bool,
    /// Whether each record tells the address of its exporter, as seen here, in originalExporterIPv4Address or
    /// originalExporterIPv6Address (RFC 7119 section 5). One that a record has already stays.
    pub original_exporter: bool,
    /// As of JSON lines.
    pub biflows: Biflows,
    /// As of JSON lines.
    pub queue: Size,
    /// As of JSON lines.
    pub when_full: Option<WhenFull>,
    /// As of JSON lines.
    pub rotate: Option<Period>,
    /// As of JSON lines.
    pub rotate_octets: Option<Size>,
    /// As of JSON lines.
    pub keep: Option<NonZeroUsize>,
    /// As of JSON lines.
    pub max_octets: Option<Size>,
    /// How finished files are compressed.
    pub compress: Option<Compression>,
    /// As of JSON lines.
    pub direct: bool,
}

impl Default for Ipfix {
    fn default() -> Self {
        Self {
            path: PathBuf::from("flows.ipfix"),
            durable: None,
            options_records: true,
            original_exporter: true,
            biflows: Biflows::Keep,
            queue: Size::mebi(16),
            when_full: None,
            rotate: None,
            rotate_octets: None,
            keep: None,
            max_octets: None,
            compress: None,
            direct: false,
        }
    }
}

/// Another IPFIX collector that gets all records over TCP. It is never durable: TCP does not tell what was kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Forward {
    /// HOST:PORT; a name is looked up at each attempt to connect.
    pub to: String,
    /// Time between two attempts to connect (RFC 7011 section 10.4.4).
    #[serde(default = "a_minute")]
    pub reconnect: Period,
    /// Whether options records are sent.
    #[serde(default = "yes")]
    pub options_records: bool,
    /// As of files of IPFIX messages.
    #[serde(default = "yes")]
    pub original_exporter: bool,
    /// As of JSON lines.
    #[serde(default)]
    pub biflows: Biflows,
    /// As of JSON lines.
    #[serde(default = "mebi16")]
    pub queue: Size,
    /// As of JSON lines.
    #[serde(default)]
    pub when_full: Option<WhenFull>,
}

const fn a_minute() -> Period {
    Period::seconds(60)
}

const fn yes() -> bool {
    true
}

const fn mebi16() -> Size {
    Size::mebi(16)
}

/// How biflows (RFC 5103) are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Biflows {
    /// As they came.
    #[default]
    Keep,
    /// As two uniflows, or one where nothing went back.
    Split,
}

/// How finished files are compressed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Zstandard (RFC 8878).
    Zstd,
}

/// What an output does while its queue is full, with records whose sender can be held back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// Nothing more is read until there is room: every output waits for this one.
    Wait,
    /// The records are not written here, and counted.
    Drop,
}

/// How an output stands to the others, after defaults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Role {
    /// Its place among the durable outputs, if it is one.
    pub(crate) slot: Option<usize>,
    /// Whether senders are held back while it has no room.
    pub(crate) holds_back: bool,
}

/// What outputs of all kinds have.
struct Common<'a> {
    kind: &'static str,
    path: &'a Path,
    durable: Option<bool>,
    queue: Size,
    when_full: Option<WhenFull>,
    rotate: Option<Period>,
    rotate_octets: Option<Size>,
    keep: Option<NonZeroUsize>,
    max_octets: Option<Size>,
    compress: Option<Compression>,
    direct: bool,
}

/// Reads what all kinds have from a struct of one kind.
macro_rules! common {
    ($kind:literal, $output:expr) => {
        Common {
            kind: $kind,
            path: &$output.path,
            durable: $output.durable,
            queue: $output.queue,
            when_full: $output.when_full,
            rotate: $output.rotate,
            rotate_octets: $output.rotate_octets,
            keep: $output.keep,
            max_octets: $output.max_octets,
            compress: $output.compress,
            direct: $output.direct,
        }
    };
}

impl Output {
    fn common(&self) -> Common<'_> {
        match self {
            Self::Jsonl(jsonl) => common!("jsonl", jsonl),
            Self::Csv(csv) => common!("csv", csv),
            Self::Ipfix(ipfix) => common!("ipfix", ipfix),
            Self::Forward(forward) => Common {
                kind: "forward",
                path: Path::new(&forward.to),
                durable: None,
                queue: forward.queue,
                when_full: forward.when_full,
                rotate: None,
                rotate_octets: None,
                keep: None,
                max_octets: None,
                compress: None,
                direct: false,
            },
        }
    }

    /// Returns the octets that may wait for it.
    pub(crate) fn queue(&self) -> Size {
        self.common().queue
    }

    /// Returns how biflows are written.
    pub(crate) fn biflows(&self) -> Biflows {
        match self {
            Self::Jsonl(Jsonl { biflows, .. })
            | Self::Csv(Csv { biflows, .. })
            | Self::Ipfix(Ipfix { biflows, .. })
            | Self::Forward(Forward { biflows, .. }) => *biflows,
        }
    }

    /// Whether it writes into a file, or what is there in the place of one.
    const fn is_file(&self) -> bool {
        !matches!(self, Self::Forward(_))
    }

    /// Returns its path, or where it connects to.
    pub(crate) fn path(&self) -> &Path {
        self.common().path
    }

    /// Whether it is written past the page cache.
    pub(crate) fn is_direct(&self) -> bool {
        self.common().direct
    }

    /// Returns when another file is begun; `None`: never.
    pub(crate) fn limits(&self) -> Option<Limits> {
        let Common { rotate, rotate_octets, keep, max_octets, compress, .. } = self.common();
        let limits = Limits {
            every: rotate.map(|every| every.0),
            octets: rotate_octets.map(|octets| octets.0),
            keep: keep.map(NonZeroUsize::get),
            max_octets: max_octets.map(|octets| octets.0),
            compress,
        };
        let always = matches!(self, Self::Ipfix(_));
        (always || limits != Limits::default()).then_some(limits)
    }

    /// Refuses what the output `name` cannot be.
    pub(super) fn validate(&self, name: &str, faults: &mut Faults) {
        let common = self.common();
        let mut refuse = |key: &str, why: &str| {
            faults.add(format!("output.{name}.{}.{key}", common.kind), why);
        };
        if common.durable == Some(true) && common.path.as_os_str() == "-" {
            refuse("durable", "standard output cannot be durable");
        }
        if !(MIN_QUEUE..=MAX_QUEUE).contains(&common.queue.0) {
            refuse("queue", "must be from 4KiB to 1GiB");
        }
        if common.durable == Some(true) && common.when_full == Some(WhenFull::Drop) {
            refuse("when-full", "a durable output cannot drop records");
        }
        self.validate_turns(&common, &mut refuse);
        if let Self::Forward(Forward { to, reconnect, .. }) = self {
            let port =
                to.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>()));
            if !matches!(port, Some(Ok(1..))) {
                refuse("to", "must be HOST:PORT");
            }
            if *reconnect < Period::seconds(1) {
                refuse("reconnect", "must be at least 1s");
            }
        }
        if let Self::Csv(csv) = self {
            if csv.columns.is_empty() {
                refuse("columns", "needs a column");
            }
            let repeated = (1..csv.columns.len()).find(|&at| csv.columns[..at].contains(&csv.columns[at]));
            if let Some(at) = repeated {
                refuse("columns", &format!("`{}` is there twice", csv.columns[at]));
            }
        }
    }

    /// Refuses what cannot be said of files that take turns.
    fn validate_turns(&self, common: &Common<'_>, refuse: &mut impl FnMut(&str, &str)) {
        if common.rotate.is_some_and(|every| every < Period::seconds(1)) {
            refuse("rotate", "must be at least 1s");
        }
        if common.rotate_octets == Some(Size(0)) {
            refuse("rotate-octets", "must not be 0");
        }
        if let (Some(rotate), Some(max)) = (common.rotate_octets, common.max_octets)
            && max < rotate
        {
            refuse("max-octets", "is less than `rotate-octets`: no finished file would stay");
        }
        let ends = common.rotate.is_some() || common.rotate_octets.is_some();
        let of_finished = [
            ("keep", common.keep.is_some()),
            ("max-octets", common.max_octets.is_some()),
            ("compress", common.compress.is_some()),
        ];
        for (key, is_there) in of_finished {
            if is_there && !ends && !matches!(self, Self::Ipfix(_)) {
                refuse(key, "needs `rotate` or `rotate-octets`");
            }
        }
        if self.limits().is_some() && common.path.as_os_str() == "-" {
            refuse("path", "standard output cannot be several files");
        }
    }
}

/// Refuses outputs that would write into one file, with each other or with the dead letters.
pub(super) fn validate_paths(outputs: &BTreeMap<String, Output>, letters: &Path, faults: &mut Faults) {
    let mut seen: BTreeMap<&Path, &str> = BTreeMap::new();
    for (name, output) in outputs {
        let Common { kind, path, .. } = output.common();
        if let Some(other) = seen.insert(path, name).filter(|_| path.as_os_str() != "-") {
            faults.add(format!("output.{name}.{kind}.path"), format!("output {other} writes there"));
        }
    }
    if let Some(name) = seen.get(letters) {
        faults.add("dead-letter.path", format!("output {name} writes there"));
    }
}

/// Returns the names of the outputs that acknowledge, in order of their names: those that say so, or else the first
/// file that does not say otherwise.
pub(super) fn durable(outputs: &BTreeMap<String, Output>) -> Vec<String> {
    let said: Vec<_> = outputs.iter().filter(|(_, output)| output.common().durable == Some(true)).collect();
    let can_be = |(_, output): &(&String, &Output)| {
        let Common { durable, path, when_full, .. } = output.common();
        let drops = when_full == Some(WhenFull::Drop);
        output.is_file() && durable.is_none() && !drops && path.as_os_str() != "-" && !is_special(path)
    };
    let durable = if said.is_empty() { outputs.iter().find(can_be).into_iter().collect() } else { said };
    durable.into_iter().map(|(name, _)| name.clone()).collect()
}

/// Returns every output with its role, by name.
pub(super) fn roles(outputs: &BTreeMap<String, Output>) -> Vec<(&str, &Output, Role)> {
    let durable = durable(outputs);
    let waits = waits_by_default(outputs, &durable);
    let role = |(name, output): (&'_ String, &'_ Output)| {
        let slot = durable.iter().position(|durable| durable == name);
        let holds_back = match output.common().when_full {
            Some(when_full) => when_full == WhenFull::Wait,
            None => slot.is_some() || waits == Some(name),
        };
        Role { slot, holds_back }
    };
    outputs.iter().map(|(name, output)| (name.as_str(), output, role((name, output)))).collect()
}

/// Returns the output that waits although it is not durable and nobody says so. Where none is durable and none is told to
/// wait, all would drop at once, and no exporter would be held back: one has to have everything. It is the first file, or the
/// first output where there is no file: another collector may be away for long.
fn waits_by_default<'a>(outputs: &'a BTreeMap<String, Output>, durable: &[String]) -> Option<&'a String> {
    let waits = outputs.values().any(|output| output.common().when_full == Some(WhenFull::Wait));
    if waits || !durable.is_empty() {
        return None;
    }
    let mut open = outputs.iter().filter(|(_, output)| output.common().when_full.is_none());
    let file = open.clone().find(|(_, output)| output.is_file());
    file.or_else(|| open.next()).map(|(name, _)| name)
}

/// Whether there is something at `path` that is no regular file.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file())
}
