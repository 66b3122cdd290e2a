//! `[source]`: the packets.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::capture::LoopOptions;

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
