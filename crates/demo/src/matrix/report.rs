//! What a matrix shows: a table of its seeds, the times of failovers, and a picture of every schedule.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::cast::{Deed, State};
use super::check::Verdict;
use super::cost::Throughput;
use super::relp::{Acknowledges, Found, Load};
use super::schedule::{Outage, Target};
use super::watch::{Failover, Failovers, Situation};

/// Time that one character of the picture stands for.
const STEP: Duration = Duration::from_millis(500);

/// The outcome of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// What drew its schedule.
    pub seed: u64,
    /// The schedule.
    pub outages: Vec<Outage>,
    /// What was done, and when.
    pub deeds: Vec<Deed>,
    /// The processes.
    pub targets: Vec<Target>,
    /// From the start of the exporters until their sources were ended.
    pub length: Duration,
    /// From then until everything was acknowledged.
    pub drained: Duration,
    /// How exporters left collectors.
    pub failovers: Failovers,
    /// What the files hold.
    pub verdict: Verdict,
    /// Flow records sent again, by the exporters' last starts.
    pub replayed: u64,
    /// Repeats that collectors did not write.
    pub suppressed: f64,
    /// Sets without a template, told by collectors.
    pub no_template: f64,
    /// Everything that must not be.
    pub faults: Vec<String>,
    /// What others made of the same outages.
    pub beside: Vec<Beside>,
}

/// What RELP made of the outages.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// How it was set up.
    pub acknowledges: Acknowledges,
    /// What it carried.
    pub load: Load,
    /// What came of it.
    pub found: Found,
}

impl Outcome {
    /// Returns the timeline as a picture: a line for each process, a character for each half second.
    pub fn picture(&self) -> String {
        let steps = self.length.as_millis().div_ceil(STEP.as_millis());
        let mut text =
            String::from("= works   x killed   ~ frozen   t told to end, and gone until its next start\n");
        for &target in &self.targets {
            let _ = write!(text, "{target:<12} ");
            for step in 0..u32::try_from(steps).unwrap_or(u32::MAX) {
                text.push(self.mark(target, STEP * step, STEP * (step + 1)));
            }
            text.push('\n');
        }
        let _ = write!(text, "{:<12} ", "seconds");
        for tick in (0..=self.length.as_secs()).step_by(5) {
            let _ = write!(text, "{tick:<10}");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    /// The worst that happened to a process in a time.
    fn mark(&self, target: Target, from: Duration, to: Duration) -> char {
        let mut mark = '=';
        for deed in self.deeds.iter().filter(|deed| deed.target == target && deed.at < to) {
            let next = match deed.state {
                State::Working => '=',
                State::Frozen => '~',
                State::Ending => 't',
                State::Gone if mark == 't' => 't',
                State::Gone => 'x',
            };
            // What was over before this time is forgotten; what came within it stays.
            if deed.at < from || next != '=' {
                mark = next;
            }
        }
        mark
    }

    /// Returns the schedule as it was drawn, for whoever looks for a fault.
    pub fn schedule(&self) -> String {
        schedule(&self.outages)
    }
}

/// Returns outages as lines of text.
pub fn schedule(outages: &[Outage]) -> String {
    let mut text = String::new();
    for Outage { target, kind, begin, end, alone } in outages {
        let alone = if *alone { "  nobody else of its role works" } else { "" };
        let (begin, end) = (begin.as_secs_f64(), end.as_secs_f64());
        let _ = writeln!(text, "{begin:>7.3} s to {end:>7.3} s  {target:<12} {kind}{alone}");
    }
    text
}

/// What is the same for all seeds.
#[derive(Debug)]
pub struct Setting {
    /// How the matrix is called again.
    pub command: String,
    /// Records per second, of all exporters.
    pub rate: u64,
    /// Names of the counts of processes.
    pub cast: String,
}

/// Returns the report in Markdown.
pub fn markdown(setting: &Setting, outcomes: &[Outcome], costs: &[Throughput]) -> String {
    let mut text = format!(
        "# Crash matrix\n\n`{}`: {}, {} flow records/s.\n\n",
        setting.command, setting.cast, setting.rate
    );
    text.push_str(
        "| seed | outages | records due | failovers | by sign | replayed | repeated across files | suppressed | lost | \
         repeated after dedupe | wrong | without template | drained |\n\
         |---:|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for outcome in outcomes {
        let Outcome { verdict, failovers, .. } = outcome;
        let signs: Vec<String> =
            failovers.signs.iter().map(|(sign, count)| format!("{sign} {count}")).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {:.0} | {} | {} | {} | {:.0} | {:.1} s |",
            outcome.seed,
            outcome.outages.len(),
            verdict.due,
            failovers.signs.values().sum::<u32>(),
            signs.join(", "),
            outcome.replayed,
            verdict.repeated_across,
            outcome.suppressed,
            verdict.lost.max(verdict.lost_after),
            verdict.repeated_in_file + verdict.repeated_after,
            verdict.wrong,
            outcome.no_template,
            outcome.drained.as_secs_f64(),
        );
    }
    text.push_str(&times(outcomes));
    text.push_str(&beside(outcomes));
    text.push_str(&throughput(costs));
    for outcome in outcomes {
        let _ = write!(text, "\n## Seed {}\n\n```text\n{}```\n", outcome.seed, outcome.picture());
        if !outcome.faults.is_empty() {
            let _ = write!(text, "\n**Faults**\n\n```text\n{}\n```\n", outcome.faults.join("\n"));
            let _ = write!(text, "\n```text\n{}```\n", outcome.schedule());
        }
    }
    text
}

/// Returns the table of what others made of the same outages; nothing where nobody was asked.
fn beside(outcomes: &[Outcome]) -> String {
    if outcomes.iter().all(|outcome| outcome.beside.is_empty()) {
        return String::new();
    }
    let mut text = String::from(
        "\n## Beside it: RELP\n\nThe same outages of receivers and senders, as many records of as many octets, at the same pace.\n\n\
         | seed | what | records | octets each | lost | repeated | drained |\n|---:|---|---:|---:|---:|---:|---:|\n",
    );
    for outcome in outcomes {
        let Some(first) = outcome.beside.first() else { continue };
        let (seed, octets, verdict) = (outcome.seed, first.load.octets, &outcome.verdict);
        let _ = writeln!(
            text,
            "| {seed} | flowpool, after dedupe | {} | {octets} | {} | {} | {:.1} s |",
            verdict.due,
            verdict.lost.max(verdict.lost_after),
            verdict.repeated_after,
            outcome.drained.as_secs_f64()
        );
        for Beside { acknowledges, found, .. } in &outcome.beside {
            let Found { sent, lost, repeated, drained } = found;
            let (name, drained) = (acknowledges.name(), drained.as_secs_f64());
            let _ = writeln!(
                text,
                "| {seed} | {name} | {sent} | {octets} | {lost} | {repeated} | {drained:.1} s |"
            );
        }
    }
    text
}

/// Returns the table of what sync costs; nothing where it was not measured.
fn throughput(costs: &[Throughput]) -> String {
    if costs.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n## What sync costs\n\nOne exporter, one collector, a capture as fast as it goes, until everything is written.\n\n\
         | acknowledged | records | records/s | processor time of the collector, each record | of the exporter | cookies |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    for Throughput { promise, records, took, collector, exporter, cookies } in costs {
        let (how, each) = (promise.settings(), 1e6 / *records as f64);
        let rate = *records as f64 / took.as_secs_f64();
        let (collector, exporter) = (collector.as_secs_f64() * each, exporter.as_secs_f64() * each);
        let _ = writeln!(
            text,
            "| {how} | {records} | {rate:.0} | {collector:.1} µs | {exporter:.1} µs | {cookies:.0} |"
        );
    }
    text
}

/// Returns the table of detection and gap times of all seeds.
fn times(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "\nDetection: from SIGKILL or SIGSTOP of the collector in use until its exporter leaves it. Gap: until the first \
         record is sent to another one. In seconds, while another collector worked: *standby* where it stood by already, and \
         worked until records went there.\n\n\
         | collector | failovers | detected p50 | p99 | max | gap p50 | p99 | max |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut noticed: BTreeMap<Situation, Vec<Failover>> = BTreeMap::new();
    for outcome in outcomes {
        for (situation, failovers) in &outcome.failovers.noticed {
            noticed.entry(*situation).or_default().extend(failovers);
        }
    }
    for (Situation { kind, standby }, failovers) in noticed.iter().rev() {
        let standby = if *standby { "standby" } else { "no standby" };
        let detected = quantiles(failovers.iter().map(|failover| failover.detected).collect());
        let gap = quantiles(failovers.iter().filter_map(|failover| failover.gap).collect());
        let _ = writeln!(text, "| {kind}, {standby} | {} | {detected} | {gap} |", failovers.len());
    }
    let alone: u32 = outcomes.iter().map(|outcome| outcome.failovers.alone).sum();
    let ridden_out: u32 = outcomes.iter().map(|outcome| outcome.failovers.ridden_out).sum();
    let _ = writeln!(
        text,
        "\n{alone} failovers while no other collector worked are not in the table. {ridden_out} freezes were over before \
         they were noticed."
    );
    text
}

/// Returns p50, p99 and the maximum as cells; of few values p99 is the maximum.
fn quantiles(mut values: Vec<Duration>) -> String {
    values.sort();
    let Some(last) = values.len().checked_sub(1) else { return "- | - | -".to_owned() };
    let cell =
        |percent: usize| format!("{:.2}", values[(values.len() * percent / 100).min(last)].as_secs_f64());
    format!("{} | {} | {}", cell(50), cell(99), cell(100))
}

#[cfg(test)]
mod tests {
    use super::super::schedule::Role;
    use super::*;

    #[test]
    fn the_picture_shows_what_happened_to_each_process() {
        let target = Target { role: Role::Collector, index: 0 };
        let deed = |at, state| Deed { at: Duration::from_millis(at), target, state };
        let outcome = Outcome {
            seed: 1,
            outages: Vec::new(),
            deeds: vec![
                deed(600, State::Frozen),
                deed(1_700, State::Working),
                deed(2_100, State::Gone),
                deed(2_400, State::Working),
                deed(3_100, State::Ending),
                deed(3_200, State::Gone),
                deed(4_100, State::Working),
            ],
            targets: vec![target],
            length: Duration::from_secs(5),
            drained: Duration::ZERO,
            failovers: Failovers::default(),
            verdict: Verdict::default(),
            replayed: 0,
            suppressed: 0.0,
            no_template: 0.0,
            faults: Vec::new(),
            beside: Vec::new(),
        };
        let picture = outcome.picture();
        let line = picture.lines().nth(1).unwrap();
        assert_eq!(line, "collector-a  =~~~x=ttt=");
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<Duration> = (1..=200).rev().map(|value| Duration::from_millis(value * 10)).collect();
        assert_eq!(quantiles(values), "1.01 | 1.99 | 2.00");
        assert_eq!(quantiles(Vec::new()), "- | - | -");
    }
}
