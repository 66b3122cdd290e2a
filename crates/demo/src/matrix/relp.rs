//! The same outages beside it: rsyslog's RELP carries as many records of as many octets from as many senders to as many
//! receivers, in turn where one is suspended.
//!
//! A sender follows a file, which is its capture; what it cannot send waits in a queue that goes to disk. A receiver
//! acknowledges what it has taken. There are no registrars, and no identities either: records repeated stay so.
#![expect(clippy::disallowed_methods, reason = "measures real processes by the clock")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::schedule::{Kind, Outage, Role, Target};
use crate::process::{pause, signal};
use crate::stage::Stage;

/// Where Debian has it.
const PROGRAM: &str = "/usr/sbin/rsyslogd";
const PORT: u16 = 2514;
/// How often the schedule is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// When nothing more came for so long, nothing will.
const SILENCE: Duration = Duration::from_secs(15);
/// Waiting for what is on its way ends then in any case.
const LIMIT: Duration = Duration::from_secs(120);

/// When a receiver acknowledges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Acknowledges {
    /// When a record is in its queue, as rsyslog does by default.
    Queued,
    /// When a record is written (`queue.type="Direct"`).
    Written,
}

impl Acknowledges {
    /// Returns it as the report says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "RELP, acknowledged when queued (default)",
            Self::Written => "RELP, acknowledged when written (queue.type=Direct)",
        }
    }
}

/// What is carried.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Records of each sender.
    pub records: u64,
    /// Octets of a record, with its line feed.
    pub octets: usize,
    /// In this time, evenly.
    pub length: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Records sent.
    pub sent: u64,
    /// Records that no receiver has.
    pub lost: u64,
    /// Records that are there before.
    pub repeated: u64,
    /// From the end of the outages until nothing more came.
    pub drained: Duration,
}

/// Tells whether rsyslog with RELP is installed.
pub fn is_installed() -> bool {
    let modules = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let module = |folder: &Path| folder.join("rsyslog/omrelp.so").exists();
    Path::new(PROGRAM).exists()
        && (module(Path::new("/usr/lib")) || modules.into_iter().any(|folder| module(&folder.path())))
}

struct Member {
    target: Target,
    config: PathBuf,
    process: Child,
    ending: bool,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Plays the outages of collectors and exporters on receivers and senders.
pub fn run(
    stage: &Stage,
    outages: &[Outage],
    load: Load,
    acknowledges: Acknowledges,
) -> anyhow::Result<Found> {
    let directory = stage.directory.join(format!("relp-{acknowledges:?}").to_lowercase());
    fs::create_dir_all(&directory)?;
    let mut sources = Vec::new();
    let mut members = Vec::new();
    for (role, count) in [(Role::Collector, stage.collectors), (Role::Exporter, stage.exporters)] {
        for index in 0..count {
            let target = Target { role, index };
            let folder = directory.join(target.to_string());
            fs::create_dir_all(&folder)?;
            let config = folder.join("rsyslog.conf");
            if role == Role::Collector {
                fs::write(&config, receiver(stage, index, &folder, acknowledges))?;
            } else {
                let source = File::options().create(true).append(true).open(folder.join("source"))?;
                sources.push(BufWriter::new(source));
                fs::write(&config, sender(stage, &folder))?;
            }
            let process = start(&config)?;
            members.push(Member { target, config, process, ending: false });
        }
    }
    play(&mut members, &mut sources, outages, load)?;
    let ended = Instant::now();
    let files: Vec<PathBuf> = (0..stage.collectors)
        .map(|index| directory.join(Target { role: Role::Collector, index }.to_string()).join("received"))
        .collect();
    let drained = drain(&files, load, stage.exporters, ended);
    drop(members);
    let mut found = count(&files, load, stage.exporters)?;
    found.drained = drained;
    Ok(found)
}

fn receiver(stage: &Stage, index: u8, folder: &Path, acknowledges: Acknowledges) -> String {
    let queue = match acknowledges {
        Acknowledges::Queued => "",
        Acknowledges::Written => " queue.type=\"Direct\"",
    };
    let (address, folder) = (stage.collector(index), folder.display());
    format!(
        r#"global(workDirectory="{folder}")
module(load="imrelp")
template(name="line" type="string" string="%msg%\n")
ruleset(name="in"{queue}) {{ action(type="omfile" file="{folder}/received" template="line") }}
input(type="imrelp" address="{address}" port="{PORT}" ruleset="in" maxDataSize="8k")
"#
    )
}

fn sender(stage: &Stage, folder: &Path) -> String {
    let folder = folder.display();
    let mut actions = String::new();
    for index in 0..stage.collectors {
        let address = stage.collector(index);
        let next = if index == 0 { "" } else { " action.execOnlyWhenPreviousIsSuspended=\"on\"" };
        // Who is last waits until its receiver is back; nothing would be kept otherwise.
        let retries = if index + 1 == stage.collectors { -1 } else { 0 };
        actions.push_str(&format!(
            "  action(type=\"omrelp\" target=\"{address}\" port=\"{PORT}\" template=\"raw\" timeout=\"3\" \
             conn.timeout=\"1\" windowSize=\"5000\" action.resumeRetryCount=\"{retries}\" \
             action.resumeInterval=\"1\"{next})\n"
        ));
    }
    format!(
        r#"global(workDirectory="{folder}" maxMessageSize="8k")
module(load="imfile")
module(load="omrelp")
template(name="raw" type="string" string="<13>1 - - - - - - %msg%")
ruleset(name="out" queue.type="LinkedList" queue.size="50000" queue.filename="out" queue.maxDiskSpace="1g"
  queue.dequeueBatchSize="1000" queue.saveOnShutdown="on") {{
{actions}}}
input(type="imfile" file="{folder}/source" tag="m" ruleset="out")
"#
    )
}

fn start(config: &Path) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(config.with_extension("log"))?;
    let process = Command::new(PROGRAM)
        .arg("-n")
        .arg("-f")
        .arg(config)
        .arg("-i")
        .arg(config.with_extension("pid"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    process.context(PROGRAM)
}

/// Does what the schedule says, and gives the senders their records meanwhile.
fn play(
    members: &mut [Member],
    sources: &mut [BufWriter<File>],
    outages: &[Outage],
    load: Load,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut begins = outages.iter().filter(|outage| outage.target.role != Role::Registrar).peekable();
    let mut open: Vec<&Outage> = Vec::new();
    let mut written = 0;
    loop {
        let now = begin.elapsed();
        let part = (now.as_secs_f64() / load.length.as_secs_f64()).min(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
        let due = if part < 1.0 { (part * load.records as f64) as u64 } else { load.records };
        for (sender, source) in sources.iter_mut().enumerate() {
            for number in written..due {
                source.write_all(line(sender, number, load.octets).as_bytes())?;
            }
            source.flush()?;
        }
        written = due;
        while let Some(outage) = begins.next_if(|outage| outage.begin <= now) {
            let member = member(members, outage.target)?;
            match outage.kind {
                Kind::Killed => {
                    member.process.kill()?;
                    member.process.wait()?;
                }
                Kind::Frozen => signal(member.process.id(), "STOP")?,
                Kind::Stopped => {
                    member.ending = true;
                    signal(member.process.id(), "TERM")?;
                }
            }
            open.push(outage);
        }
        let mut still_open = Vec::new();
        for outage in open {
            if outage.end > now || !over(member(members, outage.target)?, outage.kind)? {
                still_open.push(outage);
            }
        }
        open = still_open;
        if begins.peek().is_none() && open.is_empty() && written == load.records {
            return Ok(());
        }
        pause(LOOK);
    }
}

/// Ends an outage. Returns false where the process has not ended yet.
fn over(member: &mut Member, kind: Kind) -> anyhow::Result<bool> {
    match kind {
        Kind::Frozen => signal(member.process.id(), "CONT")?,
        Kind::Stopped if member.process.try_wait()?.is_none() => return Ok(false),
        Kind::Killed | Kind::Stopped => {
            member.process = start(&member.config)?;
            member.ending = false;
        }
    }
    Ok(true)
}

fn member(members: &mut [Member], target: Target) -> anyhow::Result<&mut Member> {
    let member = members.iter_mut().find(|member| member.target == target);
    let member = member.with_context(|| format!("{target} is not played"))?;
    if !member.ending && member.process.try_wait()?.is_some_and(|status| status.code().is_some()) {
        bail!("rsyslogd as {target} ended by itself, see {}", member.config.with_extension("log").display());
    }
    Ok(member)
}

/// A record of `octets` octets.
fn line(sender: usize, number: u64, octets: usize) -> String {
    format!("{:x<width$}\n", format!("{sender} {number:09} "), width = octets.saturating_sub(1))
}

/// Reads a record; what is before it in its line was cut off when a receiver was killed.
fn read(line: &[u8], octets: usize) -> Option<(usize, u64)> {
    let text = std::str::from_utf8(line.get(line.len().checked_sub(octets)?..)?).ok()?;
    let mut words = text.split(' ');
    Some((words.next()?.parse().ok()?, words.next().filter(|number| number.len() == 9)?.parse().ok()?))
}

/// Waits until everything is there, or nothing more comes.
fn drain(files: &[PathBuf], load: Load, senders: u8, since: Instant) -> Duration {
    let wanted = load.records * u64::from(senders);
    let (mut size, mut grown) = (0, since);
    while grown.elapsed() < SILENCE && since.elapsed() < LIMIT {
        let now: u64 = files.iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum();
        if now != size {
            (size, grown) = (now, Instant::now());
        } else if count(files, load, senders).is_ok_and(|found| found.sent == wanted && found.lost == 0) {
            break;
        }
        pause(Duration::from_millis(500));
    }
    grown.duration_since(since)
}

fn count(files: &[PathBuf], load: Load, senders: u8) -> anyhow::Result<Found> {
    let records = usize::try_from(load.records)?;
    let mut seen = vec![vec![0_u32; records]; senders.into()];
    for file in files.iter().filter(|file| file.exists()) {
        let mut lines = BufReader::new(File::open(file)?);
        let mut octets = Vec::new();
        while lines.read_until(b'\n', &mut octets)? > 0 {
            if octets.ends_with(b"\n")
                && let Some((sender, number)) = read(&octets, load.octets)
                && let Some(times) =
                    seen.get_mut(sender).and_then(|seen| seen.get_mut(usize::try_from(number).ok()?))
            {
                *times += 1;
            }
            octets.clear();
        }
    }
    let all = || seen.iter().flatten();
    Ok(Found {
        sent: all().count() as u64,
        lost: all().filter(|times| **times == 0).count() as u64,
        repeated: all().map(|times| u64::from(times.saturating_sub(1))).sum(),
        drained: Duration::ZERO,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_also_behind_one_that_was_cut_off() {
        let record = line(1, 42, 100);
        assert_eq!(record.len(), 100);
        assert_eq!(read(record.as_bytes(), 100), Some((1, 42)));
        let torn = format!("{}{record}", &line(0, 7, 100)[..50]);
        assert_eq!(read(torn.as_bytes(), 100), Some((1, 42)));
        assert_eq!(read(&record.as_bytes()[1..], 100), None);
    }

    #[test]
    fn lost_and_repeated_records_are_counted_over_all_files() {
        let stage = Stage::set(false).unwrap();
        let files = ["a", "b"].map(|name| stage.directory.join(name));
        let lines = |numbers: &[u64]| numbers.iter().map(|number| line(0, *number, 60)).collect::<String>();
        fs::write(&files[0], lines(&[0, 1, 1, 3])).unwrap();
        fs::write(&files[1], lines(&[3, 4])).unwrap();
        let load = Load { records: 6, octets: 60, length: Duration::ZERO };
        let found = count(&files, load, 1).unwrap();
        assert_eq!((found.sent, found.lost, found.repeated), (6, 2, 2));
    }
}
