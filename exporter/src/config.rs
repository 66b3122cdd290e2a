//! `exporter.toml`. The annotated sample is `deploy/config/exporter.toml`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use service::config::{Http, Invalid, Period, Size};

use crate::capture::LoopOptions;
use crate::export::Class;
use crate::metering::MeteringConfig;

/// The whole file; every key but `source.pcap` and `pool.key-file` has a default.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Where packets come from.
    pub source: Source,
    /// How packets become flows.
    #[serde(default)]
    pub metering: Metering,
    /// Where flows go.
    pub pool: Pool,
    /// How hard the transport tries to deliver them.
    #[serde(default)]
    pub class: Classes,
    /// How they are packed.
    #[serde(default)]
    pub export: Export,
    /// What waits for an acknowledgement.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// What outlives a restart.
    #[serde(default)]
    pub state: State,
    /// Metrics and health.
    #[serde(default = "http")]
    pub http: Http,
}

const fn http() -> Http {
    Http::loopback(9382)
}

/// `[source]`: the packets.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Source {
    /// A pcap or pcapng file.
    pub pcap: PathBuf,
    /// Replay speed as a multiple of the capture's own; 0 reads as fast as possible.
    #[serde(default = "Speed::original")]
    pub speed: Speed,
    /// How often the file is read, times going on from round to round; 0 is for ever.
    #[serde(default = "once", rename = "loop")]
    pub rounds: u64,
    /// The time given to the first packet.
    #[serde(default)]
    pub start: Start,
}

const fn once() -> u64 {
    1
}

/// A replay speed, finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(f64);

impl Speed {
    const fn original() -> Self {
        Self(1.0)
    }

    /// Tells whether it is as fast as possible.
    pub fn is_unpaced(self) -> bool {
        self.0 == 0.0
    }

    /// Returns the wall-clock time that `capture_time` of the capture takes; none for "as fast as possible".
    pub fn wall_clock(self, capture_time: Duration) -> Option<Duration> {
        if self.is_unpaced() {
            return None;
        }
        Duration::try_from_secs_f64(capture_time.as_secs_f64() / self.0).ok()
    }
}

impl<'de> Deserialize<'de> for Speed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Speed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 (as fast as possible), 1 being the capture's own speed")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Speed, E> {
                let valid = value.is_finite() && value >= 0.0;
                if valid {
                    Ok(Speed(value))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(value), &self))
                }
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Speed, E> {
                let small = i32::try_from(value).ok().filter(|value| *value >= 0);
                small
                    .map(|value| Speed(value.into()))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The time given to the first packet of a capture.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Start {
    /// Its own.
    #[default]
    File,
    /// The time at which the replay starts.
    Now,
    /// Seconds since the Unix epoch.
    At(u64),
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "file" => Ok(Self::File),
            "now" => Ok(Self::Now),
            _ => parse_utc(&text).map(Self::At).ok_or_else(|| {
                de::Error::custom(format!(
                    "`{text}` is no start: expected `file`, `now` or a time such as `2026-01-31T12:00:00Z`"
                ))
            }),
        }
    }
}

/// Returns the seconds since the Unix epoch that an RFC 3339 time in UTC with whole seconds says.
pub fn parse_utc(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str, digits: usize| -> Option<u64> {
        let plain = text.len() == digits && text.bytes().all(|octet| octet.is_ascii_digit());
        if plain { text.parse().ok() } else { None }
    };
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    let mut time = time.split(':');
    let (hour, minute, second) =
        (number(time.next()?, 2)?, number(time.next()?, 2)?, number(time.next()?, 2)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month).ok()?.checked_sub(1)?;
    let valid = year >= 1970
        && (1..=*lengths.get(month)?).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && date.next().is_none()
        && time.next().is_none();
    if !valid {
        return None;
    }
    let before = year - 1;
    // Days of the years since 1970, with a leap day for every leap year before this one.
    let days = 365 * (year - 1970) + (before / 4 - before / 100 + before / 400) - 477
        + lengths[..month].iter().sum::<u64>()
        + (day - 1);
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

impl Source {
    /// Returns how the file is replayed; `now` is the wall clock, since the Unix epoch.
    pub fn loop_options(&self, now: Duration) -> LoopOptions {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        LoopOptions {
            loops: (self.rounds > 0).then_some(self.rounds),
            start: match self.start {
                Start::File => None,
                Start::Now => Some(nanoseconds(now)),
                Start::At(seconds) => Some(nanoseconds(Duration::from_secs(seconds))),
            },
            ..LoopOptions::default()
        }
    }
}

/// `[metering]`: packets to flows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Metering {
    /// A flow without packets for longer than this ends.
    pub idle_timeout: Period,
    /// A flow older than this ends and goes on as a new one.
    pub active_timeout: Period,
    /// Flows kept at a time.
    pub max_flows: usize,
    /// Observation Domain ID of the exported messages.
    pub observation_domain: u32,
}

impl Default for Metering {
    fn default() -> Self {
        let MeteringConfig { idle_timeout, active_timeout, max_flows, .. } = MeteringConfig::default();
        Self {
            idle_timeout: Period(idle_timeout),
            active_timeout: Period(active_timeout),
            max_flows,
            observation_domain: 1,
        }
    }
}

impl Metering {
    /// Returns the settings of the metering process.
    pub fn metering(&self) -> MeteringConfig {
        MeteringConfig {
            idle_timeout: self.idle_timeout.0,
            active_timeout: self.active_timeout.0,
            max_flows: self.max_flows,
            ..MeteringConfig::default()
        }
    }
}

/// `[pool]`: the collectors.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pool {
    /// Pool handle the collectors are registered under.
    #[serde(default = "handle")]
    pub handle: String,
    /// Registrars, asked in turn.
    #[serde(default = "registrars")]
    pub registrars: Vec<rserpool::RegistrarAddress>,
    /// Local address; without it, the one the host uses towards the first registrar.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// UDP port of this host's userland SCTP (RFC 6951).
    #[serde(default = "encapsulation")]
    pub encapsulation_port: u16,
    /// The pool's keys, which sign the collectors' cookies.
    pub key_file: PathBuf,
}

fn handle() -> String {
    "ipfix".to_owned()
}

fn registrars() -> Vec<rserpool::RegistrarAddress> {
    vec!["127.0.0.1:3863".parse().expect("the default registrar address is well-formed")]
}

const fn encapsulation() -> u16 {
    transport::SCTP_ENCAPSULATION_PORT
}

/// `[class.NAME]`: the class all flow records go with; one of them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Classes {
    /// Retained until a collector has them on disk.
    pub reliable: Option<Reliable>,
    /// Given up after some retransmissions.
    pub limited: Option<Limited>,
    /// Given up after some time.
    pub timed: Option<Timed>,
    /// Never retransmitted.
    pub unreliable: Option<Unreliable>,
}

/// `[class.reliable]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reliable {}

/// `[class.limited]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limited {
    /// Retransmissions of a message at most.
    pub max_retransmissions: u16,
}

impl Default for Limited {
    fn default() -> Self {
        Self { max_retransmissions: 1 }
    }
}

/// `[class.timed]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Timed {
    /// Age of a message at most.
    pub lifetime: Period,
}

impl Default for Timed {
    fn default() -> Self {
        Self { lifetime: Period::milliseconds(500) }
    }
}

/// `[class.unreliable]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreliable {}

impl Classes {
    /// Returns the configured class, `reliable` without any; `Err` has the names where there are several.
    pub fn class(&self) -> Result<Class, Vec<&'static str>> {
        let classes = [
            self.reliable.as_ref().map(|_| Class::Reliable),
            self.limited
                .as_ref()
                .map(|limited| Class::Limited { max_retransmissions: limited.max_retransmissions }),
            self.timed.as_ref().map(|timed| Class::Timed { lifetime: timed.lifetime.0 }),
            self.unreliable.as_ref().map(|_| Class::Unreliable),
        ];
        let configured: Vec<Class> = classes.into_iter().flatten().collect();
        match configured[..] {
            [] => Ok(Class::Reliable),
            [class] => Ok(class),
            _ => Err(configured.iter().map(|class| class.name()).collect()),
        }
    }
}

/// `[export]`: records to messages.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Export {
    /// Octets of a message at most, in class `reliable`. Fewer, larger messages cost less.
    pub max_message: Size,
    /// Octets of a message at most, in the classes that may lose some: one packet, so that a lost packet is one
    /// lost message.
    pub max_lossy_message: Size,
    /// How long a record waits for its message to fill.
    pub linger: Period,
}

impl Default for Export {
    fn default() -> Self {
        Self { max_message: Size(8 << 10), max_lossy_message: Size(1_100), linger: Period::milliseconds(50) }
    }
}

/// `[retention]`: records no collector has on disk.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Octets kept in memory. When they are used up, a capture file is not read on; but where records may be lost and
    /// the replay keeps a pace, the oldest make room.
    pub memory: Size,
    /// How long collectors get to acknowledge what is left: after SIGTERM in all, after the end of the capture without
    /// progress.
    pub drain_timeout: Period,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { memory: Size::mebi(64), drain_timeout: Period::seconds(30) }
    }
}

/// `[state]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct State {
    /// Directory of the ledger. Without it every start is a new ledger.
    #[serde(default)]
    pub directory: Option<PathBuf>,
}

/// Refuses what is good key by key and wrong together.
pub(crate) fn validate(config: &Config) -> Result<(), Invalid> {
    if let Err(names) = config.class.class() {
        let names = names.join(", ");
        return Err(Invalid::new("class", format!("all records go with one class, and there are {names}")));
    }
    let sizes = 512..=65_535;
    for (key, size) in [
        ("export.max-message", config.export.max_message),
        ("export.max-lossy-message", config.export.max_lossy_message),
    ] {
        if !sizes.contains(&size.0) {
            return Err(Invalid::new(key, "must be from 512B to 65535B"));
        }
    }
    if config.retention.memory.0 < 1 << 20 {
        return Err(Invalid::new("retention.memory", "must be at least 1MiB"));
    }
    for (key, period) in [
        ("metering.idle-timeout", config.metering.idle_timeout),
        ("metering.active-timeout", config.metering.active_timeout),
    ] {
        if period.0.is_zero() {
            return Err(Invalid::new(key, "must be longer than 0"));
        }
    }
    if config.metering.max_flows == 0 {
        return Err(Invalid::new("metering.max-flows", "must be at least 1"));
    }
    if let Err(error) = rserpool::PoolHandle::new(config.pool.handle.as_bytes()) {
        return Err(Invalid::new("pool.handle", error.to_string()));
    }
    if config.pool.registrars.is_empty() {
        return Err(Invalid::new("pool.registrars", "must name at least one registrar"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_time_in_utc() {
        assert_eq!(parse_utc("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_utc("2000-03-01T00:00:00Z"), Some(951_868_800));
        assert_eq!(parse_utc("2026-11-21T03:45:16Z"), Some(1_795_232_716));
        for wrong in ["2026-02-29T00:00:00Z", "2026-1-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01", ""]
        {
            assert_eq!(parse_utc(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn speed_zero_is_as_fast_as_possible() {
        assert_eq!(Speed(0.0).wall_clock(Duration::from_secs(1)), None);
        assert_eq!(Speed(20.0).wall_clock(Duration::from_secs(1)), Some(Duration::from_millis(50)));
    }

    #[test]
    fn two_classes_are_refused_by_name() {
        let text = "[source]\npcap = \"a\"\n[pool]\nkey-file = \"k\"\n[class.reliable]\n[class.timed]\n";
        let error = service::config::parse::<Config>("exporter.toml", text, validate).unwrap_err();
        assert!(error.to_string().contains("reliable, timed"), "{error}");
    }
}
