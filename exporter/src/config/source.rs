//! `[source]`: the packets.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use service::config::{Faults, Size};

use crate::capture::live::LiveOptions;
use crate::capture::{Captures, Filter, FilterError, LoopOptions, Pattern};

/// `[source]`: the packets, of files or of interfaces.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Source {
    /// Pcap or pcapng files, in this order: paths, patterns of file names, `-` for standard input.
    #[serde(default, deserialize_with = "one_or_many")]
    pub pcap: Vec<String>,
    /// Replay speed as a multiple of the capture's own; 0 reads as fast as possible. Default: 1.
    #[serde(default)]
    pub speed: Option<Speed>,
    /// How often the files are read, times going on from round to round; 0 is for ever. Default: 1.
    #[serde(default, rename = "loop")]
    pub rounds: Option<u64>,
    /// The time given to the first packet. Default: its own.
    #[serde(default)]
    pub start: Option<Start>,
    /// In place of files: interfaces, by name or pattern.
    #[serde(default, deserialize_with = "one_or_many")]
    pub interfaces: Vec<String>,
    /// Threads that share the packets of the interfaces. Default: 1.
    #[serde(default)]
    pub threads: Option<NonZeroUsize>,
    /// Memory for packets that wait, of each interface and thread. Default: 32 MiB.
    #[serde(default)]
    pub ring: Option<Size>,
    /// Whether packets for other hosts are captured, too. Default: no.
    #[serde(default)]
    pub promiscuous: Option<bool>,
    /// Which packets are metered, in tcpdump's syntax. Default: all.
    #[serde(default)]
    pub filter: Option<String>,
}

/// Threads at most; each has rings of its own.
const MAX_THREADS: usize = 256;
/// What the kernel takes.
const RINGS: RangeInclusive<Size> = Size(1 << 20)..=Size(1 << 31);

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    Texts::deserialize(deserializer).map(|texts| match texts {
        Texts::One(text) => vec![text],
        Texts::Many(texts) => texts,
    })
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
    /// Files to be read once, as fast as possible, with their own times.
    pub fn unpaced(pcap: Vec<String>, filter: Option<String>) -> Self {
        let (speed, rounds, start) = (Some(Speed(0.0)), None, None);
        let (interfaces, threads, ring, promiscuous) = (Vec::new(), None, None, None);
        Self { pcap, speed, rounds, start, interfaces, threads, ring, promiscuous, filter }
    }

    /// Tells whether packets come from interfaces.
    pub fn is_live(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// Returns the files.
    ///
    /// Fails where a pattern has no file.
    pub fn captures(&self) -> io::Result<Captures> {
        Captures::find(self.pcap.iter().map(String::as_str))
    }

    /// Returns how fast files are read.
    pub fn speed(&self) -> Speed {
        self.speed.unwrap_or(Speed::original())
    }

    /// Tells whether the source waits while nobody takes its flows: files do that are read as fast as possible.
    pub fn waits(&self) -> bool {
        !self.is_live() && self.speed().is_unpaced()
    }

    /// Returns how files are replayed; `now` is the wall clock, since the Unix epoch.
    pub fn loop_options(&self, now: Duration) -> LoopOptions {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let rounds = self.rounds.unwrap_or(1);
        LoopOptions {
            loops: (rounds > 0).then_some(rounds),
            start: match self.start.unwrap_or_default() {
                Start::File => None,
                Start::Now => Some(nanoseconds(now)),
                Start::At(seconds) => Some(nanoseconds(Duration::from_secs(seconds))),
            },
            ..LoopOptions::default()
        }
    }

    /// Returns what chooses packets, if not all are metered.
    ///
    /// Fails where the expression is wrong, and without tcpdump.
    pub fn filter(&self) -> Result<Option<Filter>, FilterError> {
        self.filter.as_deref().map(Filter::compile).transpose()
    }

    /// Returns how interfaces are captured.
    pub fn live_options(&self, filter: Option<Filter>) -> LiveOptions {
        LiveOptions {
            interfaces: self.interfaces.iter().map(Pattern::new).collect(),
            readers: self.threads().get(),
            ring: self.ring.unwrap_or(Size::mebi(32)).as_usize(),
            promiscuous: self.promiscuous.unwrap_or(false),
            filter,
        }
    }

    /// Returns how many threads meter.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or(NonZeroUsize::MIN)
    }

    pub(super) fn validate(&self, faults: &mut Faults) {
        let of_files = [
            ("speed", self.speed.is_some()),
            ("loop", self.rounds.is_some()),
            ("start", self.start.is_some()),
        ];
        let of_interfaces = [
            ("threads", self.threads.is_some()),
            ("ring", self.ring.is_some()),
            ("promiscuous", self.promiscuous.is_some()),
        ];
        let (others, owner) = match (self.pcap.is_empty(), self.is_live()) {
            (false, false) => (&of_interfaces[..], "interfaces"),
            (true, true) => (&of_files[..], "pcap"),
            (true, false) => {
                faults.add("source", "no packets: needs `pcap` (files) or `interfaces`");
                (&[][..], "")
            }
            (false, true) => {
                let both = "packets come from one kind of source, and there are `pcap` and `interfaces`";
                faults.add("source.interfaces", both);
                (&[][..], "")
            }
        };
        for (key, _) in others.iter().filter(|(_, is_set)| *is_set) {
            faults.add(format!("source.{key}"), format!("is of `{owner}` only"));
        }
        if self.pcap.iter().any(|path| path == "-") && self.rounds.unwrap_or(1) != 1 {
            faults.add("source.loop", "standard input can be read once");
        }
        if self.threads().get() > MAX_THREADS {
            faults.add("source.threads", format!("must be at most {MAX_THREADS}"));
        }
        if self.ring.is_some_and(|ring| !RINGS.contains(&ring)) {
            faults.add("source.ring", "must be between 1 MiB and 2 GiB");
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&if self.is_live() { &self.interfaces } else { &self.pcap }.join(", "))
    }
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
}
