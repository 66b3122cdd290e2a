//! What the collectors' files must hold: every record once after de-duplication, with the contents that were metered.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use exporter::metering::FlowRecord;

use crate::books::{Expectation, Series, read_each};

/// Faults of one sort that are told in full.
const EXAMPLES: usize = 5;

/// One start of an exporter.
#[derive(Debug)]
pub struct Life {
    /// Which exporter.
    pub exporter: u8,
    /// Its identity.
    pub series: Series,
    /// The flows by number, at least as many as there can be records.
    pub flows: Vec<FlowRecord>,
    /// So many of them, from the first, must be there.
    pub due: u64,
    /// No record with this number or a higher one can be there.
    pub end: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Records that must be there.
    pub due: u64,
    /// Records in the files of collectors.
    pub lines: u64,
    /// Records that a file has before.
    pub repeated_in_file: u64,
    /// Records that another file has, too.
    pub repeated_across: u64,
    /// Records whose contents are not what was metered, or that were never metered.
    pub wrong: u64,
    /// Records that are due and nowhere.
    pub lost: u64,
    /// After de-duplication: records that are due and not there.
    pub lost_after: u64,
    /// After de-duplication: records that are there before.
    pub repeated_after: u64,
    /// The lost ones: exporter, epoch, numbers.
    pub gaps: Vec<(u8, u64, Range<u64>)>,
    /// Where the first wrong records are.
    pub examples: Vec<String>,
}

/// How often each number was seen.
type Seen = Vec<Vec<u8>>;

/// Examines the collectors' files, and what de-duplication has made of them. Fails where a file is not what collectors
/// write.
pub fn examine(files: &[impl AsRef<Path>], deduplicated: &Path, lives: &[Life]) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict { due: lives.iter().map(|life| life.due).sum(), ..Verdict::default() };
    let nothing = || -> Seen { lives.iter().map(|life| vec![0; to_usize(life.end)]).collect() };
    let mut all = nothing();
    for file in files {
        let mut seen = nothing();
        verdict.read(file.as_ref(), lives, &mut seen, true)?;
        for (all, seen) in all.iter_mut().zip(seen) {
            for (times, here) in all.iter_mut().zip(seen) {
                verdict.repeated_in_file += u64::from(here.saturating_sub(1));
                *times = times.saturating_add(here.min(1));
            }
        }
    }
    verdict.repeated_across = all.iter().flatten().map(|times| u64::from(times.saturating_sub(1))).sum();
    for (life, seen) in lives.iter().zip(&all) {
        let gaps = missing(&seen[..to_usize(life.due)]);
        verdict.lost += gaps.iter().map(|gap| gap.end - gap.start).sum::<u64>();
        verdict.gaps.extend(gaps.into_iter().map(|gap| (life.exporter, life.series.epoch, gap)));
    }
    let mut once = nothing();
    verdict.read(deduplicated, lives, &mut once, false)?;
    for (life, seen) in lives.iter().zip(&once) {
        verdict.repeated_after += seen.iter().map(|times| u64::from(times.saturating_sub(1))).sum::<u64>();
        let gone = seen[..to_usize(life.due)].iter().filter(|times| **times == 0);
        verdict.lost_after += gone.count() as u64;
    }
    Ok(verdict)
}

impl Verdict {
    /// Notes every record of a file in `seen`; with `contents`, compares it with what was metered.
    fn read(&mut self, file: &Path, lives: &[Life], seen: &mut Seen, contents: bool) -> anyhow::Result<()> {
        let expectation = Expectation::new();
        let by_series: BTreeMap<&Series, usize> =
            lives.iter().enumerate().map(|(at, life)| (&life.series, at)).collect();
        read_each(file, |place, entry| {
            let life = by_series.get(&entry.series).filter(|at| entry.number < lives[**at].end);
            let Some(&at) = life else {
                self.wrong += u64::from(contents);
                if self.examples.len() < EXAMPLES {
                    let series = &entry.series;
                    self.examples
                        .push(format!("{place}: number {} of {series:?} was never metered", entry.number));
                }
                return Ok(());
            };
            let number = to_usize(entry.number);
            seen[at][number] = seen[at][number].saturating_add(1);
            if contents {
                self.lines += 1;
                let right =
                    lives[at].flows.get(number).is_some_and(|flow| expectation.matches(flow, &entry.flow));
                self.wrong += u64::from(!right);
                if !right && self.examples.len() < EXAMPLES {
                    self.examples.push(format!("{place}: not as metered"));
                }
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// Returns the ranges of numbers that were never seen.
fn missing(seen: &[u8]) -> Vec<Range<u64>> {
    let mut gaps: Vec<Range<u64>> = Vec::new();
    for (number, _) in (0..).zip(seen).filter(|(_, times)| **times == 0) {
        match gaps.last_mut().filter(|gap| gap.end == number) {
            Some(gap) => gap.end += 1,
            None => gaps.push(number..number + 1),
        }
    }
    gaps
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use exporter::capture::LoopOptions;

    use super::*;
    use crate::pool::metering;
    use crate::stage::Stage;

    /// Writes what a collector would; flow 1 with another number of packets, where that is not 0.
    fn file(path: &Path, life: &Life, numbers: Range<u64>, packets_of_1: u64) {
        let mut text = String::new();
        for number in numbers {
            let mut flow = crate::books::shown(&life.flows[to_usize(number)]);
            if number == 1 && packets_of_1 > 0 {
                flow.insert("packetDeltaCount".to_owned(), packets_of_1.into());
            }
            let Series { ledger, epoch, domain } = &life.series;
            let identity = format!(
                "{{\"ledger\":\"{ledger}\",\"epoch\":{epoch},\"domain\":{domain},\"number\":{number},"
            );
            text.push_str(&serde_json::to_string(&flow).unwrap().replacen('{', &identity, 1));
            text.push('\n');
        }
        std::fs::write(path, text).unwrap();
    }

    fn life(due: u64) -> Life {
        let file = pcap_fixtures::fixture("demo.pcap");
        let (_, flows) = crate::books::meter(&file, LoopOptions::default(), metering()).unwrap();
        let series = Series { ledger: "a1".repeat(16), epoch: 3, domain: 1 };
        Life { exporter: 0, series, flows, due, end: due + 2 }
    }

    /// Examines two files and a de-duplicated one with these numbers.
    fn verdict(due: u64, numbers: [Range<u64>; 3], packets_of_1: u64) -> Verdict {
        let life = life(due);
        let directory = Stage::set(false).unwrap();
        let paths = ["a", "b", "once"].map(|name| directory.directory.join(name));
        for (path, numbers) in paths.iter().zip(numbers) {
            file(path, &life, numbers, packets_of_1);
        }
        examine(&paths[..2], &paths[2], std::slice::from_ref(&life)).unwrap()
    }

    #[test]
    fn whole_files_are_without_fault_and_repeats_across_them_are_counted() {
        let found = verdict(10, [0..7, 5..10, 0..10], 0);
        assert_eq!((found.due, found.lines, found.repeated_across), (10, 12, 2));
        assert_eq!((found.lost, found.lost_after, found.wrong, found.repeated_after), (0, 0, 0, 0));
    }

    #[test]
    fn what_is_missing_altered_or_invented_is_found() {
        let found = verdict(10, [0..4, 7..13, 0..10], 9_999);
        assert_eq!((found.lost, &found.gaps[..]), (3, &[(0, 3, 4..7)][..]));
        // The altered flow 1, and number 12, which was never metered.
        assert_eq!((found.wrong, found.examples.len()), (2, 2));
        let found = verdict(10, [0..10, 0..0, 0..8], 0);
        assert_eq!((found.lost, found.lost_after), (0, 2));
    }

    #[test]
    fn numbers_never_seen_are_told_as_ranges() {
        assert_eq!(missing(&[1, 0, 0, 2, 0]), [1..3, 4..5]);
        assert_eq!(missing(&[1, 1]), []);
    }
}
