//! What a program costs: processor time and resident memory of it and its children, out of /proc.
#![expect(
    clippy::disallowed_methods,
    reason = "drives other programs, and has nothing to wait on but their end"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::failed;
use crate::steps::Unpassed;

/// Between two looks at a running program.
const LOOK: Duration = Duration::from_millis(10);
/// How long one hundredth of a second is, in which /proc counts time.
const TICK: Duration = Duration::from_millis(10);

/// What a program took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Processor time in the program and for it in the kernel.
    pub(super) cpu: Duration,
    /// The most resident memory, in octets: the sum over its processes.
    pub(super) resident: u64,
}

impl Cost {
    pub(super) fn better(self, other: Self) -> Self {
        if other.cpu < self.cpu { other } else { self }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s, {} MB", self.cpu.as_secs_f64(), self.resident / 1_000_000)
    }
}

/// Runs a program to its end, and to that of all processes it has started.
pub(super) fn cost(program: &str, arguments: &[&str]) -> Result<Cost, Unpassed> {
    let before = reaped();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own, by which its children are found.
    let mut child = command.process_group(0).spawn().map_err(|error| failed(program, error))?;
    let (mut seen, mut status) = (BTreeMap::new(), None);
    loop {
        let running = group(child.id(), &mut seen);
        if status.is_none() {
            status = child.try_wait().map_err(|error| failed(program, error))?;
        } else if !running {
            break;
        }
        thread::sleep(LOOK);
    }
    match status {
        Some(status) if status.success() => {}
        status => return Err(failed(program, format!("{status:?}"))),
    }
    // Who has waited for all of its children is known to the end, others but for the last look.
    let cpu = reaped().saturating_sub(before).max(seen.values().map(|process| process.cpu).sum());
    Ok(Cost { cpu, resident: seen.values().map(|process| process.resident).sum() })
}

/// Processor time of this program's children that have ended, and of theirs.
fn reaped() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    Stat::parse(&stat).map_or(Duration::ZERO, |stat| stat.children)
}

/// Looks at the processes of a group; returns whether any is running.
fn group(group: u32, seen: &mut BTreeMap<String, Cost>) -> bool {
    let mut running = false;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        let Some(stat) = fs::read_to_string(path.join("stat")).ok().as_deref().and_then(Stat::parse) else {
            continue;
        };
        if stat.group != group || stat.state == 'Z' {
            continue;
        }
        running = true;
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let name = entry.file_name().to_string_lossy().into_owned();
        // One that is ending has no memory any more.
        let most = seen.entry(name).or_insert(Cost { cpu: Duration::ZERO, resident: 0 });
        *most = Cost { cpu: most.cpu.max(stat.own), resident: most.resident.max(resident(&status)) };
    }
    running
}

/// Some fields of /proc/PID/stat.
#[derive(Debug, Eq, PartialEq)]
struct Stat {
    state: char,
    group: u32,
    own: Duration,
    /// Of children that have ended and were waited for.
    children: Duration,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name before may contain anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse().ok().map(|ticks: u32| TICK * ticks);
        Some(Self {
            state: fields.first()?.chars().next()?,
            group: fields.get(2)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            children: ticks(13)? + ticks(14)?,
        })
    }
}

/// Returns the most resident memory that /proc/PID/status tells, in octets.
fn resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_read_from_proc() {
        let stat = "77 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 150 25 7 3 20 0 1 0 12345 1 2";
        let expected = Stat {
            state: 'S',
            group: 42,
            own: Duration::from_millis(1_750),
            children: Duration::from_millis(100),
        };
        assert_eq!(Stat::parse(stat), Some(expected));
        assert_eq!(resident("Name:\ta\nVmHWM:\t   25600 kB\nVmRSS:\t1 kB\n"), 26_214_400);
        assert_eq!((Stat::parse("nothing"), resident("")), (None, 0));
    }

    #[test]
    fn a_program_costs_what_its_children_cost() {
        let work = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done";
        let cost = cost("sh", &["-c", &format!("({work}) & wait")]).unwrap();
        assert!(cost.cpu > Duration::ZERO, "{cost}");
        assert!(super::cost("sh", &["-c", "exit 3"]).is_err());
    }
}
