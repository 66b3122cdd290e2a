//! The `process_*` metrics, read from `/proc/self` at each scrape. Elsewhere than on Linux there are none.

use std::fmt::Write as _;
use std::fs;

/// Clock ticks per second in `/proc`: USER_HZ, fixed by the Linux ABI on every architecture Rust supports there.
const USER_HZ: f64 = 100.0;

/// Appends the metrics that could be read.
pub(crate) fn render(text: &mut String) {
    let mut sample = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    sample("process_cpu_seconds_total", "counter", "User and system CPU time spent", cpu_seconds(&stat));
    sample("process_resident_memory_bytes", "gauge", "Resident memory", status_bytes(&status, "VmRSS:"));
    sample("process_virtual_memory_bytes", "gauge", "Virtual memory", status_bytes(&status, "VmSize:"));
    sample("process_open_fds", "gauge", "Open file descriptors", open_fds());
    sample("process_max_fds", "gauge", "Limit of open file descriptors", max_fds());
    sample(
        "process_start_time_seconds",
        "gauge",
        "Start of the process since the Unix epoch",
        start_time(&stat, &fs::read_to_string("/proc/stat").unwrap_or_default()),
    );
}

/// Field `n` of `/proc/self/stat` as numbered by proc(5); the second one is in parentheses and may hold spaces.
fn stat_field(stat: &str, n: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(n - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / USER_HZ)
}

fn start_time(stat: &str, system: &str) -> Option<f64> {
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat_field(stat, 22)? / USER_HZ)
}

fn status_bytes(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_fds() -> Option<f64> {
    let count = u32::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
    // The directory itself was open while it was counted.
    Some(f64::from(count.saturating_sub(1)))
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a (b) c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 12345 0 0";

    #[test]
    fn a_process_name_with_spaces_and_parentheses_shifts_no_field() {
        assert_eq!(cpu_seconds(STAT), Some(3.0));
        assert_eq!(start_time(STAT, "cpu 1 2\nbtime 1000\n"), Some(1123.45));
    }

    #[test]
    fn memory_is_told_in_octets() {
        assert_eq!(status_bytes("VmSize:\t  8 kB\nVmRSS:\t    4 kB\n", "VmRSS:"), Some(4096.0));
    }
}
