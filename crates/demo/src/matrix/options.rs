//! The command line of `demo crash-matrix`.

use std::path::PathBuf;
use std::time::Duration;

use super::report::Setting;
use super::schedule::Settings;

/// What `--help` prints.
pub const HELP: &str = "\
Runs a pool of real processes on loopback (2 registrars, 3 collectors, 2 exporters) under a schedule of SIGKILL,
SIGSTOP and SIGTERM that is drawn from a seed, and checks that every flow record is in the collectors' files, with the
contents that were metered, and once after `ipfix-collector dedupe`.

Usage: demo crash-matrix [OPTIONS]

Options:
  --seed N          first seed [default: 1]; the same seed draws the same schedule
  --seeds K         how many seeds, one after the other [default: 1]
  --seconds S       length of a schedule [default: 20]
  --restarts N      in place of all that, N restarts of collectors, as long as they take
  --rate R          flow records per second, of all exporters [default: 5000]
  --durability D    memory or spool [default: memory]; with spool, exporters are killed too
  --beside relp     then the same outages beside it: rsyslog carries as many records of as many octets by RELP, and what
                    one collector carries a second with sync and without; skipped where rsyslog-relp is not installed
  --beside-first K  beside the first K seeds only; each takes as long again, twice
  --report FILE     write the report, in Markdown, to this file
  --schedule        print the schedules and run nothing
  --keep            keep the directory with configuration, logs and flows; it is kept where there are faults
  --help            print this

Example:
  demo crash-matrix --seed 7 --seeds 20 --seconds 60 --report matrix.md

Exit codes: 0 nothing lost, 1 otherwise, 2 usage
";

/// What is run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// The first seed.
    pub seed: u64,
    /// How many there are.
    pub seeds: u64,
    /// Length of a schedule.
    pub length: Duration,
    /// So many restarts of collectors in place of a schedule of all.
    pub restarts: Option<usize>,
    /// Flow records per second, of all exporters.
    pub rate: u64,
    /// Whether exporters keep records on disk before they send them, and are killed.
    pub spool: bool,
    /// How many seeds, from the first on, have their outages played on rsyslog's RELP, too, if any.
    pub relp: Option<u64>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
    /// Whether schedules are printed and nothing is run.
    pub schedule: bool,
    /// Whether directories stay.
    pub keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            seeds: 1,
            length: Duration::from_secs(20),
            restarts: None,
            rate: 5_000,
            spool: false,
            relp: None,
            report: None,
            schedule: false,
            keep: false,
        }
    }
}

/// What a command line asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Asked {
    /// To run.
    Run(Options),
    /// What it can ask for.
    Help,
}

impl Options {
    /// Collectors of the pool.
    pub const COLLECTORS: u8 = 3;
    /// Registrars of the pool.
    pub const REGISTRARS: u8 = 2;
    /// Exporters of the pool.
    pub const EXPORTERS: u8 = 2;

    /// Reads the arguments; `Err` says what is wrong.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
        let mut options = Self::default();
        let mut first = u64::MAX;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--seed" => options.seed = number(&argument, &value()?, 0)?,
                "--seeds" => options.seeds = number(&argument, &value()?, 1)?,
                "--seconds" => options.length = Duration::from_secs(number(&argument, &value()?, 3)?),
                "--restarts" => {
                    let restarts = number(&argument, &value()?, 1)?;
                    options.restarts = Some(usize::try_from(restarts).unwrap_or(usize::MAX));
                }
                "--rate" => options.rate = number(&argument, &value()?, 10)?,
                "--durability" => {
                    options.spool = match value()?.as_str() {
                        "memory" => false,
                        "spool" => true,
                        other => return Err(format!("--durability is memory or spool, not `{other}`")),
                    }
                }
                "--beside" => match value()?.as_str() {
                    "relp" => options.relp = Some(u64::MAX),
                    other => return Err(format!("--beside takes relp, not `{other}`")),
                },
                "--beside-first" => first = number(&argument, &value()?, 1)?,
                "--report" => options.report = Some(value()?.into()),
                "--schedule" => options.schedule = true,
                "--keep" => options.keep = true,
                "--help" | "-h" => return Ok(Asked::Help),
                _ => return Err(format!("unknown argument `{argument}`")),
            }
        }
        options.relp = options.relp.map(|_| first);
        Ok(Asked::Run(options))
    }

    /// Tells whether the outages of this seed are played on RELP, too.
    pub fn has_beside(&self, seed: u64) -> bool {
        self.relp.is_some_and(|first| seed - self.seed < first)
    }

    /// Returns what the schedule of a seed is drawn for.
    pub fn settings(&self, seed: u64) -> Settings {
        Settings {
            seed,
            length: if self.restarts.is_some() { Duration::ZERO } else { self.length },
            registrars: Self::REGISTRARS,
            collectors: Self::COLLECTORS,
            exporters: Self::EXPORTERS,
            exporters_die: self.spool,
            restarts: self.restarts,
        }
    }

    /// Returns what the report says of all seeds.
    pub fn setting(&self) -> Setting {
        let durability = if self.spool { "spool" } else { "memory" };
        let extent = match self.restarts {
            Some(restarts) => format!("--restarts {restarts}"),
            None => format!("--seconds {}", self.length.as_secs()),
        };
        Setting {
            command: format!(
                "crash-matrix --seed {} --seeds {} {extent} --rate {} --durability {durability}",
                self.seed, self.seeds, self.rate
            ),
            rate: self.rate,
            cast: format!(
                "{} registrars, {} collectors, {} exporters",
                Self::REGISTRARS,
                Self::COLLECTORS,
                Self::EXPORTERS
            ),
        }
    }
}

fn number(name: &str, text: &str, least: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| format!("{name} takes a number from {least}, not `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Asked, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_and_wrong_ones_are_named() {
        let expected = Options {
            seed: 7,
            seeds: 2,
            length: Duration::from_secs(60),
            rate: 100,
            spool: true,
            relp: Some(1),
            report: Some("a.md".into()),
            ..Options::default()
        };
        let line = "--seed 7 --seeds 2 --seconds 60 --rate 100 --durability spool --beside-first 1 --beside relp --report a.md";
        assert_eq!(parse(line), Ok(Asked::Run(expected)));
        assert_eq!(parse("--help"), Ok(Asked::Help));
        let Ok(Asked::Run(options)) = parse("--seed 7 --seeds 2 --beside relp") else { panic!("not read") };
        assert_eq!([7, 8].map(|seed| options.has_beside(seed)), [true, true]);
        let options = Options { relp: Some(1), ..options };
        assert_eq!([7, 8].map(|seed| options.has_beside(seed)), [true, false]);
        for (line, wrong) in [
            ("--seed", "--seed needs a value"),
            ("--seeds 0", "--seeds takes a number from 1, not `0`"),
            ("--durability both", "--durability is memory or spool, not `both`"),
            ("--beside tcp", "--beside takes relp, not `tcp`"),
            ("--sed 1", "unknown argument `--sed`"),
        ] {
            assert_eq!(parse(line), Err(wrong.to_owned()));
        }
    }
}
