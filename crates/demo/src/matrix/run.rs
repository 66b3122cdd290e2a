//! One seed: its schedule played, the pool drained, the books checked.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use exporter::metering::FlowRecord;
use serde_json::Value;

use super::cast::{self, Cast, last_series};
use super::check::{self, Life, Verdict};
use super::options::Options;
use super::relp::{self, Acknowledges, Load};
use super::report::{Beside, Outcome};
use super::schedule::{self, Outage, Role, Target};
use super::watch::{self, Diary};
use super::{DRAIN, schedule::Settings};
use crate::books;
use crate::pool::{Plan, metering};
use crate::process::{self, ROLE, pause};
use crate::stage::{Stage, exporter_name};

/// How often the schedule is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Flows that an exporter may have metered beyond its pace.
const SPARE: u64 = 50_000;

/// Plays the schedule of a seed and returns what came of it. Fails where that cannot be told.
pub fn run(options: &Options, seed: u64) -> anyhow::Result<Outcome> {
    let plan = plan(options.rate)?;
    let mut stage = Stage::set(true)?;
    (stage.registrars, stage.collectors) = (Options::REGISTRARS, Options::COLLECTORS);
    stage.exporters = Options::EXPORTERS;
    stage.retention = retention(options);
    stage.furnish(&plan)?;
    let kept = format!("configuration, logs and flows are in {}", stage.directory.display());
    println!("seed {seed}: {kept}");
    let mut outcome = play(&options.settings(seed), &plan, &stage, options.rate).context(kept.clone())?;
    if options.has_beside(seed) && relp::is_installed() {
        outcome.beside = beside(&outcome, &stage).context(kept)?;
    }
    stage.keep = options.keep || !outcome.faults.is_empty();
    Ok(outcome)
}

/// Plays the same outages on rsyslog, with as many records of as many octets.
fn beside(outcome: &Outcome, stage: &Stage) -> anyhow::Result<Vec<Beside>> {
    let sizes = (0..stage.collectors).filter_map(|index| Some(stage.flows(index).metadata().ok()?.len()));
    let octets = sizes.sum::<u64>() / outcome.verdict.lines.max(1);
    let load = Load {
        records: outcome.verdict.due / u64::from(stage.exporters),
        octets: usize::try_from(octets)?,
        length: outcome.length,
    };
    let play = |acknowledges| {
        let found = relp::run(stage, &outcome.outages, load, acknowledges)?;
        Ok(Beside { acknowledges, load, found })
    };
    [Acknowledges::Queued, Acknowledges::Written].into_iter().map(play).collect()
}

/// Returns a replay for ever, in which every exporter meters its part of `rate` flows a second.
fn plan(rate: u64) -> anyhow::Result<Plan> {
    let per_exporter = rate as f64 / f64::from(Options::EXPORTERS);
    let mut plan = Plan::make(5_000, Duration::from_secs(1))?;
    // As it was made, all its flows take a second.
    plan.speed *= per_exporter / plan.flows.len() as f64;
    plan.loops = 0;
    Ok(plan)
}

fn retention(options: &Options) -> String {
    let durability = if options.spool { "durability = \"spool\"\n" } else { "" };
    format!("drain-timeout = \"{}s\"\n{durability}", DRAIN.as_secs())
}

fn play(settings: &Settings, plan: &Plan, stage: &Stage, rate: u64) -> anyhow::Result<Outcome> {
    let program = std::env::current_exe()?;
    let outages = schedule::draw(settings);
    let mut cast = Cast::start(&program, stage)?;
    perform(&mut cast, &outages, settings.length)?;
    cast.await_all()?;
    let length = cast.now();
    let unbalanced = verify(&program, stage)?;
    let drained = cast.end(Role::Exporter)?;
    cast.end(Role::Collector)?;
    cast.end(Role::Registrar)?;

    let mut faults = std::mem::take(&mut cast.faults);
    faults.extend(unbalanced);
    let Exported { lives, diaries, replayed, faults: wrong } = exported(&cast, plan, stage, rate)?;
    faults.extend(wrong);
    let files: Vec<PathBuf> = (0..stage.collectors).map(|index| stage.flows(index)).collect();
    let deduplicated = stage.directory.join("flows.jsonl");
    dedupe(&program, &files, &deduplicated)?;
    let verdict = check::examine(&files, &deduplicated, &lives)?;
    let no_template = cast.total("ipfix_collector_records_dropped_total", "no_template");
    faults.extend(wrongs(&verdict, no_template, &diaries, rate / u64::from(stage.exporters)));
    faults.extend(letters(stage)?);
    Ok(Outcome {
        seed: settings.seed,
        failovers: watch::failovers(&outages, &cast.deeds, &diaries),
        outages,
        targets: targets(stage),
        length,
        drained,
        verdict,
        replayed,
        suppressed: cast.total("ipfix_collector_duplicates_suppressed_total", ""),
        no_template,
        faults,
        deeds: std::mem::take(&mut cast.deeds),
        beside: Vec::new(),
    })
}

/// What the exporters' starts have metered, and what they said of it.
#[derive(Default)]
struct Exported {
    lives: Vec<Life>,
    diaries: Vec<Diary>,
    replayed: u64,
    faults: Vec<String>,
}

/// Meters once more what every start of the exporters has metered, and reads what the last ones said.
fn exported(cast: &Cast<'_>, plan: &Plan, stage: &Stage, rate: u64) -> anyhow::Result<Exported> {
    let mut exported = Exported::default();
    for index in 0..stage.exporters {
        let name = exporter_name(index);
        let log = std::fs::read_to_string(stage.directory.join(format!("{name}.log")))?;
        let summary = Summary::read(&stage.directory.join(format!("{name}.out")))?;
        exported.faults.extend(summary.unbalanced().map(|wrong| format!("{name}'s books: {wrong}")));
        exported.replayed += summary.resent;
        let series = last_series(&log, index).with_context(|| format!("{name} never had an identity"))?;
        let flows = meter(stage, plan, |packets, _| packets >= summary.packets)?;
        let count = flows.len() as u64;
        if count != summary.flows {
            exported.faults.push(format!("{name} metered {} flows, not {count}", summary.flows));
        }
        exported.lives.push(Life { exporter: index, series, flows, due: count, end: count });
        exported.diaries.push(watch::diary(&log, stage, cast.begin_wall));
    }
    for cut in &cast.cuts {
        let pace = cut.lived.as_secs() * rate / u64::from(stage.exporters) * 2 + SPARE;
        let flows = meter(stage, plan, |_, flows| flows as u64 >= pace)?;
        let (series, due) = (cut.series.clone(), cut.kept);
        exported.lives.push(Life { exporter: cut.exporter, series, flows, due, end: pace });
    }
    Ok(exported)
}

/// Does what the schedule says, until all of it is done and its time is over.
fn perform(cast: &mut Cast<'_>, outages: &[Outage], length: Duration) -> anyhow::Result<()> {
    let mut begins = outages.iter().peekable();
    let mut open: Vec<&Outage> = Vec::new();
    loop {
        while let Some(outage) = begins.next_if(|outage| outage.begin <= cast.now()) {
            cast.begin_outage(outage)?;
            open.push(outage);
        }
        let now = cast.now();
        let mut still_open = Vec::new();
        for outage in open {
            if outage.end > now || !cast.end_outage(outage)? {
                still_open.push(outage);
            }
        }
        open = still_open;
        cast.look()?;
        if !cast.faults.is_empty() {
            bail!("{}", cast.faults.join("\n"));
        }
        if begins.peek().is_none() && open.is_empty() && now >= length {
            return Ok(());
        }
        pause(LOOK);
    }
}

/// Meters the capture as every exporter does.
fn meter(stage: &Stage, plan: &Plan, enough: impl Fn(u64, usize) -> bool) -> anyhow::Result<Vec<FlowRecord>> {
    let capture = stage.directory.join("capture.pcap");
    Ok(books::meter_part(&capture, plan.looping(), metering(), enough)?.1)
}

/// Runs `stats --verify` on every daemon; returns what it prints where books do not balance.
fn verify(program: &Path, stage: &Stage) -> anyhow::Result<Option<String>> {
    let urls = targets(stage).into_iter().map(|target| format!("http://{}", cast::http(stage, target)));
    let mut command = Command::new(program);
    let output = process::output(command.args([ROLE, "exporter", "stats", "--verify"]).args(urls))?;
    let [text, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    Ok((!output.status.success()).then(|| format!("stats --verify: {}\n{text}{error}", output.status)))
}

/// Writes the lines of the collectors' files to `to`, each identity once.
fn dedupe(program: &Path, files: &[PathBuf], to: &Path) -> anyhow::Result<()> {
    let mut child = Command::new(program)
        .args([ROLE, "collector", "dedupe"])
        .args(files.iter().filter(|file| file.exists()))
        .stdin(Stdio::piped())
        .stdout(File::create(to)?)
        .stderr(File::create(to.with_extension("log"))?)
        .spawn()?;
    // A daemon of the demo ends when this pipe closes.
    let stdin = child.stdin.take();
    let status = child.wait()?;
    drop(stdin);
    if status.success() { Ok(()) } else { bail!("dedupe ended with {status}") }
}

fn targets(stage: &Stage) -> Vec<Target> {
    let counts = [
        (Role::Registrar, stage.registrars),
        (Role::Collector, stage.collectors),
        (Role::Exporter, stage.exporters),
    ];
    counts.into_iter().flat_map(|(role, count)| (0..count).map(move |index| Target { role, index })).collect()
}

/// Says what is wrong with the files. `rate` is an exporter's.
fn wrongs(verdict: &Verdict, no_template: f64, diaries: &[Diary], rate: u64) -> Vec<String> {
    let mut wrongs = Vec::new();
    let mut say = |count: u64, what: &str| {
        if count > 0 {
            wrongs.push(format!("{count} {what}"));
        }
    };
    say(verdict.lost, "flow records lost");
    say(verdict.lost_after.saturating_sub(verdict.lost), "flow records lost by dedupe");
    say(verdict.repeated_after, "flow records repeated after dedupe");
    say(verdict.repeated_in_file, "flow records twice in one collector's file");
    say(verdict.wrong, "flow records not as metered");
    if no_template > 0.0 {
        wrongs.push(format!("{no_template} sets dropped for a missing template"));
    }
    for (exporter, epoch, gap) in &verdict.gaps {
        let (first, last) = (gap.start, gap.end - 1);
        let metered = [first, last].map(|number| Duration::from_secs(number / rate.max(1)));
        let used = metered.map(|at| {
            let used = diaries.get(usize::from(*exporter)).and_then(|diary| watch::user(diary, at));
            used.map_or("no collector".to_owned(), crate::stage::collector_name)
        });
        wrongs.push(format!(
            "missing: {} epoch {epoch} numbers {first} to {last}, metered about {} s to {} s after its start, when it used \
             {} and {}",
            exporter_name(*exporter),
            metered[0].as_secs(),
            metered[1].as_secs(),
            used[0],
            used[1],
        ));
    }
    wrongs.extend(verdict.examples.iter().map(|example| format!("wrong: {example}")));
    wrongs
}

/// Says what collectors have put into their dead-letter files: nothing a flowpool exporter sends belongs there.
fn letters(stage: &Stage) -> anyhow::Result<Option<String>> {
    let mut letters = 0;
    for index in 0..stage.collectors {
        let state = stage.directory.join(crate::stage::collector_name(index));
        let file = state.join("dead-letter.jsonl");
        if file.exists() {
            letters += std::fs::read_to_string(file)?.lines().count();
        }
    }
    Ok((letters > 0).then(|| format!("{letters} letters in the collectors' dead-letter files")))
}

/// What an exporter prints when it ends.
struct Summary {
    packets: u64,
    flows: u64,
    recovered: u64,
    covered: u64,
    delivered: u64,
    abandoned: u64,
    dropped: u64,
    waiting: u64,
    resent: u64,
}

impl Summary {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let value: Value = serde_json::from_str(text.lines().last().unwrap_or_default())
            .with_context(|| format!("{}: no summary from the exporter", path.display()))?;
        let number = |key: &str| {
            let number = value.get(key).and_then(Value::as_u64);
            number.with_context(|| format!("{}: no `{key}`", path.display()))
        };
        Ok(Self {
            packets: number("packets")?,
            flows: number("flows")?,
            recovered: number("recovered")?,
            covered: number("covered")?,
            delivered: number("delivered")?,
            abandoned: number("abandoned")?,
            dropped: number("dropped")?,
            waiting: number("waiting")?,
            resent: number("resent")?,
        })
    }

    /// Says what is wrong with books of class reliable alone, at the end of a run.
    fn unbalanced(&self) -> Option<String> {
        let Self { flows, recovered, covered, delivered, abandoned, dropped, waiting, .. } = *self;
        let whole = flows + recovered;
        let balanced = whole == covered + delivered + abandoned + dropped + waiting;
        (!balanced || whole != covered).then(|| {
            format!(
                "{flows} metered, {recovered} recovered, {covered} covered, {delivered} delivered, {abandoned} abandoned, {dropped} dropped, \
                 {waiting} waiting"
            )
        })
    }
}
