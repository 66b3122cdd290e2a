//! When exporters noticed that their collector was gone, and when they went on elsewhere: from their logs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cast::{Deed, State};
use super::schedule::{Kind, Outage, Role, Target};
use crate::stage::Stage;

/// A freeze that is noticed when it is just over counts as noticed.
const AFTERMATH: Duration = Duration::from_millis(300);

/// What an exporter logs of its collectors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// It is connected to this collector, which stands by until it is used.
    Connected(u8),
    /// The one that stood by left.
    StandbyLeft,
    /// It uses this collector.
    Uses(u8),
    /// It leaves it, for this sign.
    Lost(String),
    /// It has sent its first record to the next one.
    FailedOver,
}

/// What an exporter logged, by the time since the start.
pub type Diary = Vec<(Duration, Event)>;

/// Reads an exporter's log.
pub fn diary(log: &str, stage: &Stage, begin: SystemTime) -> Diary {
    let begin = begin.duration_since(UNIX_EPOCH).unwrap_or_default();
    log.lines().filter_map(|line| Some((time(line)?.saturating_sub(begin), event(line, stage)?))).collect()
}

fn event(line: &str, stage: &Stage) -> Option<Event> {
    if line.contains(": failed over ") {
        return Some(Event::FailedOver);
    }
    if line.contains(": collector lost, failing over ") || line.contains(": collector left for another one ")
    {
        let (_, sign) = line.split_once(" sign=")?;
        let end = [" detail=", " unacknowledged="].into_iter().find_map(|next| sign.find(next));
        return Some(Event::Lost(sign[..end.unwrap_or(sign.len())].to_owned()));
    }
    if line.contains(": collector that stood by left ") {
        return Some(Event::StandbyLeft);
    }
    let named = |what: &str| {
        let (_, named) = line.split_once(what)?;
        (0..stage.collectors).find(|index| named.contains(&format!("{}:", stage.collector(*index))))
    };
    let connected = || named(": collector connected ").map(Event::Connected);
    named(": collector in use ").map(Event::Uses).or_else(connected)
}

/// Returns the time a log line starts with, since the Unix epoch.
fn time(line: &str) -> Option<Duration> {
    let (stamp, _) = line.split_once(' ')?;
    let (seconds, fraction) = stamp.strip_suffix('Z')?.split_once('.')?;
    let seconds = exporter::config::parse_utc(&format!("{seconds}Z"))?;
    let micros: u64 = fraction.parse().ok().filter(|_| fraction.len() == 6)?;
    Some(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// How one exporter fared when its collector was killed or frozen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failover {
    /// Until it noticed.
    pub detected: Duration,
    /// Until its first record went elsewhere.
    pub gap: Option<Duration>,
}

/// What a failover began with.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Situation {
    /// What happened to the collector in use.
    pub kind: Kind,
    /// Whether another one stood by then, and worked until records went there.
    pub standby: bool,
}

/// What became of collectors' outages at the exporters that used them.
#[derive(Clone, Debug, Default)]
pub struct Failovers {
    /// While another collector worked.
    pub noticed: BTreeMap<Situation, Vec<Failover>>,
    /// While none did.
    pub alone: u32,
    /// Freezes that were over before anybody took them for the end.
    pub ridden_out: u32,
    /// How often exporters left a collector, by sign.
    pub signs: BTreeMap<String, u32>,
}

/// Meets what was done to collectors with what exporters logged. `diaries` are in the order of the exporters.
pub fn failovers(outages: &[Outage], deeds: &[Deed], diaries: &[Diary]) -> Failovers {
    let mut failovers = Failovers::default();
    for (_, event) in diaries.iter().flatten() {
        if let Event::Lost(sign) = event {
            *failovers.signs.entry(sign.clone()).or_default() += 1;
        }
    }
    let lethal = |outage: &&Outage| outage.target.role == Role::Collector && outage.kind != Kind::Stopped;
    for outage in outages.iter().filter(lethal) {
        let begun = |deed: &&Deed| {
            deed.target == outage.target
                && deed.at >= outage.begin
                && matches!(deed.state, State::Gone | State::Frozen)
        };
        let Some(begin) = deeds.iter().find(begun).map(|deed| deed.at) else { continue };
        let over = deeds.iter().find(|deed| deed.target == outage.target && deed.at > begin);
        let end = over.map_or(Duration::MAX, |deed| deed.at.saturating_add(AFTERMATH));
        for (index, diary) in (0..).zip(diaries) {
            if user(diary, begin) != Some(outage.target.index) {
                continue;
            }
            let exporter = Target { role: Role::Exporter, index };
            let lost = diary.iter().find(|(at, event)| *at >= begin && matches!(event, Event::Lost(_)));
            let Some((lost, _)) = lost.filter(|(at, _)| outage.kind == Kind::Killed || *at <= end) else {
                failovers.ridden_out += u32::from(outage.kind == Kind::Frozen);
                continue;
            };
            let gap = diary.iter().find(|(at, event)| at >= lost && *event == Event::FailedOver);
            let gap = gap.map(|(at, _)| *at - begin);
            let over = gap.map_or(*lost, |gap| begin + gap);
            // Whoever was frozen or dead itself notices nothing.
            if was_away(deeds, exporter, begin, over) {
                continue;
            }
            if outage.alone {
                failovers.alone += 1;
                continue;
            }
            let standby = standby(diary, begin)
                .is_some_and(|index| !was_away(deeds, Target { role: Role::Collector, index }, begin, over));
            let situation = Situation { kind: outage.kind, standby };
            let detected = *lost - begin;
            failovers.noticed.entry(situation).or_default().push(Failover { detected, gap });
        }
    }
    failovers
}

/// Returns the collector an exporter uses at a time.
pub fn user(diary: &Diary, at: Duration) -> Option<u8> {
    let mut used = None;
    for (_, event) in diary.iter().take_while(|(time, _)| *time < at) {
        match event {
            Event::Uses(collector) => used = Some(*collector),
            Event::Lost(_) => used = None,
            Event::Connected(_) | Event::StandbyLeft | Event::FailedOver => {}
        }
    }
    used
}

/// Returns the collector that stands by for an exporter at a time.
fn standby(diary: &Diary, at: Duration) -> Option<u8> {
    let mut standby = None;
    for (_, event) in diary.iter().take_while(|(time, _)| *time < at) {
        match event {
            Event::Connected(collector) => standby = Some(*collector),
            Event::StandbyLeft | Event::Uses(_) => standby = None,
            Event::Lost(_) | Event::FailedOver => {}
        }
    }
    standby
}

/// Tells whether a process did not work at some time between these.
fn was_away(deeds: &[Deed], target: Target, from: Duration, to: Duration) -> bool {
    let mut state = State::Working;
    for deed in deeds.iter().filter(|deed| deed.target == target && deed.at <= to) {
        if deed.at > from && deed.state != State::Working {
            return true;
        }
        if deed.at <= from {
            state = deed.state;
        }
    }
    state != State::Working
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn outage(kind: Kind, begin: u64, end: u64) -> Outage {
        let target = Target { role: Role::Collector, index: 1 };
        Outage { target, kind, begin: MS(begin), end: MS(end), alone: false }
    }

    fn deeds(states: &[(u64, State)]) -> Vec<Deed> {
        let target = Target { role: Role::Collector, index: 1 };
        states.iter().map(|&(at, state)| Deed { at: MS(at), target, state }).collect()
    }

    #[test]
    fn lines_of_a_log_are_read_with_their_times() {
        let stage = Stage::at([127, 9, 9], true);
        let log = "1970-01-01T00:00:02.400000Z  INFO exporter::driver::choosing: collector connected pe=0a peer=127.9.9.3:4739\n\
                   1970-01-01T00:00:02.500000Z  INFO exporter::driver: collector in use pe=0a peer=127.9.9.3:4739\n\
                   1970-01-01T00:00:02.600000Z  INFO exporter::driver: collector that stood by left pe=0a sign=frozen\n\
                   1970-01-01T00:00:03.000001Z  WARN exporter::driver: collector lost, failing over pe=0a \
                   sign=association lost detail=\"timeout\" unacknowledged=7\n\
                   1970-01-01T00:00:03.250000Z  INFO exporter::driver: failed over seconds=0.25\nnoise\n";
        let expected = vec![
            (MS(1_400), Event::Connected(1)),
            (MS(1_500), Event::Uses(1)),
            (MS(1_600), Event::StandbyLeft),
            (Duration::from_micros(2_000_001), Event::Lost("association lost".to_owned())),
            (MS(2_250), Event::FailedOver),
        ];
        assert_eq!(diary(log, &stage, UNIX_EPOCH + MS(1_000)), expected);
    }

    #[test]
    fn a_kill_is_noticed_by_the_exporter_that_uses_the_collector_alone() {
        let lost = || Event::Lost("association lost".to_owned());
        let user = vec![(MS(100), Event::Uses(1)), (MS(1_240), lost()), (MS(1_300), Event::FailedOver)];
        let other = vec![(MS(100), Event::Uses(0)), (MS(1_500), lost())];
        let deeds = deeds(&[(1_010, State::Gone), (2_000, State::Working)]);
        let found = failovers(&[outage(Kind::Killed, 1_000, 2_000)], &deeds, &[user, other]);
        let failover = Failover { detected: MS(230), gap: Some(MS(290)) };
        let situation = Situation { kind: Kind::Killed, standby: false };
        assert_eq!(found.noticed, BTreeMap::from([(situation, vec![failover])]));
        assert_eq!(found.signs, BTreeMap::from([("association lost".to_owned(), 2)]));
    }

    #[test]
    fn a_short_freeze_is_ridden_out_and_a_frozen_exporter_is_no_witness() {
        let lost = || Event::Lost("frozen".to_owned());
        let deeds_of = deeds(&[(1_000, State::Frozen), (2_000, State::Working)]);
        let outages = [outage(Kind::Frozen, 1_000, 2_000)];
        let late = vec![(MS(100), Event::Uses(1)), (MS(9_000), lost())];
        let found = failovers(&outages, &deeds_of, &[late]);
        assert_eq!((found.ridden_out, found.noticed.len()), (1, 0));
        let prompt = vec![(MS(100), Event::Uses(1)), (MS(1_900), lost())];
        let exporter = Target { role: Role::Exporter, index: 0 };
        let mut frozen = deeds_of.clone();
        frozen.insert(0, Deed { at: MS(500), target: exporter, state: State::Frozen });
        assert_eq!(failovers(&outages, &frozen, std::slice::from_ref(&prompt)).noticed.len(), 0);
        let found = failovers(&outages, &deeds_of, &[prompt]);
        assert_eq!(found.noticed[&Situation { kind: Kind::Frozen, standby: false }].len(), 1);
    }

    #[test]
    fn who_stood_by_counts_if_it_worked_until_records_went_there() {
        let diary = |before: &[(u64, Event)]| -> Diary {
            let before = before.iter().map(|(at, event)| (MS(*at), event.clone()));
            let after = [
                (MS(1_200), Event::Lost("association lost".to_owned())),
                (MS(1_200), Event::Uses(2)),
                (MS(1_300), Event::FailedOver),
            ];
            before.chain(after).collect()
        };
        let stands_by =
            diary(&[(90, Event::Connected(1)), (100, Event::Uses(1)), (200, Event::Connected(2))]);
        let left = diary(&[
            (90, Event::Connected(1)),
            (100, Event::Uses(1)),
            (200, Event::Connected(2)),
            (300, Event::StandbyLeft),
        ]);
        let killed = deeds(&[(1_000, State::Gone), (2_000, State::Working)]);
        let outages = [outage(Kind::Killed, 1_000, 2_000)];
        let standby = |deeds: &[Deed], diary: &Diary| {
            let found = failovers(&outages, deeds, std::slice::from_ref(diary)).noticed;
            found.into_keys().map(|situation| situation.standby).collect::<Vec<_>>()
        };
        assert_eq!(standby(&killed, &stands_by), [true]);
        assert_eq!(standby(&killed, &left), [false]);
        let target = Target { role: Role::Collector, index: 2 };
        let mut both = killed.clone();
        both.push(Deed { at: MS(1_250), target, state: State::Frozen });
        assert_eq!(standby(&both, &stands_by), [false]);
    }
}
