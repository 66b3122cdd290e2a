//! The processes of the pool, and what is done to them.
#![expect(clippy::disallowed_methods, reason = "measures real processes by the clock")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use anyhow::bail;

use super::schedule::{Kind, Outage, Role, Target};
use crate::books::Series;
use crate::pool::{DOMAIN, await_ready};
use crate::process::{Daemon, wait_until};
use crate::scrape::Samples;
use crate::stage::Stage;

/// A daemon ends within this time after SIGTERM: longer than its drain time-out.
const PATIENCE: Duration = Duration::from_secs(45);

/// Something that was done to a process, or that it did.
#[derive(Clone, Copy, Debug)]
pub struct Deed {
    /// From the start of the exporters.
    pub at: Duration,
    /// Whose.
    pub target: Target,
    /// How it is from then on.
    pub state: State,
}

/// How a process is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Running.
    Working,
    /// Not there.
    Gone,
    /// Stopped by SIGSTOP.
    Frozen,
    /// Told to end, and still there.
    Ending,
}

/// A start of an exporter that ended in SIGKILL.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Which exporter.
    pub exporter: u8,
    /// Its identity.
    pub series: Series,
    /// Records that it had on its disk at least.
    pub kept: u64,
    /// How long it ran.
    pub lived: Duration,
}

struct Member {
    target: Target,
    daemon: Daemon,
    state: State,
    started: Duration,
}

/// The pool's processes.
pub struct Cast<'a> {
    program: &'a Path,
    stage: &'a Stage,
    members: Vec<Member>,
    begin: Instant,
    /// Wall clock at the begin.
    pub begin_wall: SystemTime,
    /// In their order.
    pub deeds: Vec<Deed>,
    /// Starts of exporters that were killed.
    pub cuts: Vec<Cut>,
    /// What collectors had counted before they were killed or stopped, and what they have at the end, by sample.
    pub counted: BTreeMap<String, f64>,
    /// What a process did that it must not.
    pub faults: Vec<String>,
}

impl<'a> Cast<'a> {
    /// Starts all processes of a furnished stage, the exporters last.
    pub fn start(program: &'a Path, stage: &'a Stage) -> anyhow::Result<Self> {
        let mut cast = Self {
            program,
            stage,
            members: Vec::new(),
            begin: Instant::now(),
            begin_wall: SystemTime::now(),
            deeds: Vec::new(),
            cuts: Vec::new(),
            counted: BTreeMap::new(),
            faults: Vec::new(),
        };
        let counts = [
            (Role::Registrar, stage.registrars),
            (Role::Collector, stage.collectors),
            (Role::Exporter, stage.exporters),
        ];
        for (role, count) in counts {
            if role == Role::Exporter {
                (cast.begin, cast.begin_wall) = (Instant::now(), SystemTime::now());
            }
            for index in 0..count {
                let target = Target { role, index };
                let daemon = cast.spawn(target)?;
                cast.members.push(Member { target, daemon, state: State::Working, started: Duration::ZERO });
            }
            for member in cast.members.iter_mut().filter(|member| member.target.role == role) {
                // An exporter may need a while for its collector.
                if role != Role::Exporter {
                    await_ready(&mut member.daemon, &member.target.to_string(), http(stage, member.target))?;
                }
            }
        }
        Ok(cast)
    }

    fn spawn(&self, target: Target) -> anyhow::Result<Daemon> {
        let (role, name) = (role_name(target.role), target.to_string());
        Ok(Daemon::start(self.program, role, &name, &self.stage.config(&name), &self.stage.directory)?)
    }

    /// Returns the time since the exporters were started.
    pub fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn note(&mut self, target: Target, state: State) -> &mut Member {
        let deed = Deed { at: self.now(), target, state };
        self.deeds.push(deed);
        let at = self.members.iter().position(|member| member.target == target);
        let member = &mut self.members[at.expect("schedules name processes of the cast")];
        member.state = state;
        member
    }

    /// Begins an outage.
    pub fn begin_outage(&mut self, outage: &Outage) -> anyhow::Result<()> {
        let target = outage.target;
        if outage.kind != Kind::Frozen && target.role == Role::Collector {
            self.count(target);
        }
        match outage.kind {
            Kind::Killed => {
                let kept = (target.role == Role::Exporter)
                    .then(|| Samples::scrape(http(self.stage, target)).map_or(0, |metrics| kept(&metrics)));
                let now = self.now();
                let member = self.note(target, State::Gone);
                member.daemon.kill()?;
                if let Some(kept) = kept {
                    let lived = now.saturating_sub(member.started);
                    let series = last_series(&member.daemon.logged(), target.index);
                    let cut = series.map(|series| Cut { exporter: target.index, series, kept, lived });
                    // One that was killed before it had an identity has metered nothing.
                    let known = |cut: &Cut| self.cuts.iter().any(|known| known.series == cut.series);
                    self.cuts.extend(cut.filter(|cut| !known(cut)));
                }
            }
            Kind::Frozen => self.note(target, State::Frozen).daemon.signal("STOP")?,
            Kind::Stopped => self.note(target, State::Ending).daemon.signal("TERM")?,
        }
        Ok(())
    }

    /// Ends an outage. Returns false where the process has not ended yet.
    pub fn end_outage(&mut self, outage: &Outage) -> anyhow::Result<bool> {
        let target = outage.target;
        if outage.kind == Kind::Frozen {
            self.note(target, State::Working).daemon.signal("CONT")?;
            return Ok(true);
        }
        self.look()?;
        let member = self.members.iter().find(|member| member.target == target);
        if member.is_some_and(|member| member.state == State::Ending) {
            return Ok(false);
        }
        let daemon = self.spawn(target)?;
        let now = self.now();
        let member = self.note(target, State::Working);
        (member.daemon, member.started) = (daemon, now);
        Ok(true)
    }

    /// Takes note of processes that have ended: those told to, and those that should not have.
    pub fn look(&mut self) -> anyhow::Result<()> {
        let mut ended: Vec<(Target, State, ExitStatus)> = Vec::new();
        for member in &mut self.members {
            if matches!(member.state, State::Working | State::Ending)
                && let Some(status) = member.daemon.ended()?
            {
                ended.push((member.target, member.state, status));
            }
        }
        for (target, state, status) in ended {
            let words = self.note(target, State::Gone).daemon.last_words();
            if state == State::Working || !status.success() {
                let how = if state == State::Working { "by itself" } else { "after SIGTERM" };
                let at = self.now().as_secs_f64();
                self.faults.push(format!("{target} ended {how} at {at:.1} s with {status}:\n{words}"));
            }
        }
        Ok(())
    }

    /// Adds what a collector has counted, because it is about to forget it.
    fn count(&mut self, target: Target) {
        let metrics = Samples::scrape(http(self.stage, target)).unwrap_or_default();
        let counters = metrics
            .samples()
            .filter(|(sample, _)| sample.split('{').next().is_some_and(|name| name.ends_with("_total")));
        for (sample, value) in counters {
            *self.counted.entry(sample.to_owned()).or_default() += value;
        }
    }

    /// Returns the sum of a counter over all collectors and their starts, without label or with this one.
    pub fn total(&self, name: &str, label: &str) -> f64 {
        let wanted = |sample: &str| {
            sample
                .strip_prefix(name)
                .is_some_and(|rest| (rest.is_empty() || rest.starts_with('{')) && rest.contains(label))
        };
        self.counted.iter().filter(|(sample, _)| wanted(sample)).map(|(_, value)| value).sum()
    }

    /// Waits until every process works; exporters may still be without a collector.
    pub fn await_all(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            let (name, http) = (member.target.to_string(), http(self.stage, member.target));
            if member.target.role != Role::Exporter {
                await_ready(&mut member.daemon, &name, http)?;
            } else if !wait_until(PATIENCE, || Ok(Samples::scrape(http).is_ok()))? {
                bail!("{name} does not answer:\n{}", member.daemon.last_words());
            }
        }
        Ok(())
    }

    /// Ends every process of a role, all at once, and waits for them. Returns how long it took.
    pub fn end(&mut self, role: Role) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let targets: Vec<Target> =
            self.members.iter().map(|member| member.target).filter(|target| target.role == role).collect();
        for target in &targets {
            if role == Role::Collector {
                self.count(*target);
            }
            self.note(*target, State::Ending).daemon.signal("TERM")?;
        }
        let patience = if role == Role::Exporter { super::DRAIN + PATIENCE } else { PATIENCE };
        let ended = wait_until(patience, || {
            for member in self.members.iter_mut().filter(|member| member.target.role == role) {
                if member.daemon.ended()?.is_none() {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if !ended {
            bail!("not every {} ended within {patience:?} after SIGTERM", role_name(role));
        }
        self.look()?;
        Ok(begin.elapsed())
    }
}

/// Returns where a process answers HTTP.
pub fn http(stage: &Stage, target: Target) -> SocketAddr {
    match target.role {
        Role::Registrar => stage.registrar_http_at(target.index),
        Role::Collector => stage.collector_http(target.index),
        Role::Exporter => stage.exporter_http_at(target.index),
    }
}

/// Returns how many records, from the first, an exporter has on its own disk or on a collector's.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a gauge that counts")]
fn kept(samples: &Samples) -> u64 {
    samples.sum("ipfix_exporter_spool_synced_number") as u64
}

/// Returns the identity of an exporter's last start, as its log tells.
pub fn last_series(log: &str, exporter: u8) -> Option<Series> {
    let line = log.lines().rev().find(|line| line.contains(" exporting ledger="))?;
    let field = |key: &str| line.split_once(key).and_then(|(_, rest)| rest.split_whitespace().next());
    Some(Series {
        ledger: field("ledger=")?.to_owned(),
        epoch: field("epoch=")?.parse().ok()?,
        domain: u64::from(DOMAIN) + u64::from(exporter),
    })
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Registrar => "registrar",
        Role::Collector => "collector",
        Role::Exporter => "exporter",
    }
}
