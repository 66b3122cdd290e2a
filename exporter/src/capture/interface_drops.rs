//! What an interface drops, as the kernel counts it: packets that were lost before anybody could capture them.

use std::fs;
use std::path::Path;

/// Where the kernel tells of each interface.
pub(super) const INTERFACES: &str = "/sys/class/net";

/// Packets that an interface did not hand over, up to some time or since it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InterfaceDrops {
    /// rx_dropped: the kernel had no room, or no use for them. Those without use were captured before.
    pub dropped: u64,
    /// rx_missed_errors: the device had no room.
    pub missed: u64,
}

impl InterfaceDrops {
    /// Reads the counters of the interface `name` in `folder`; zero where there are none.
    pub(super) fn read(folder: &Path, name: &str) -> Self {
        let statistics = folder.join(name).join("statistics");
        let counter = |name: &str| {
            let text = fs::read_to_string(statistics.join(name)).ok();
            text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        };
        Self { dropped: counter("rx_dropped"), missed: counter("rx_missed_errors") }
    }

    /// Returns what came after `earlier`; a counter that was reset counts from zero.
    pub(super) const fn since(self, earlier: Self) -> Self {
        const fn more(now: u64, earlier: u64) -> u64 {
            if now < earlier { now } else { now - earlier }
        }
        Self { dropped: more(self.dropped, earlier.dropped), missed: more(self.missed, earlier.missed) }
    }

    /// Returns both together.
    pub const fn all(self) -> u64 {
        self.dropped + self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_counted_from_one_look_to_the_next() {
        let folder = std::env::temp_dir().join(format!("flowpool-drops-{}", std::process::id()));
        let statistics = folder.join("eth7/statistics");
        fs::create_dir_all(&statistics).unwrap();
        let mut before = InterfaceDrops::read(&folder, "eth7");
        assert_eq!(before, InterfaceDrops::default(), "no counters");
        for (dropped, missed, since) in [(5, 2, (5, 2)), (7, 2, (2, 0)), (1, 3, (1, 1))] {
            fs::write(statistics.join("rx_dropped"), format!("{dropped}\n")).unwrap();
            fs::write(statistics.join("rx_missed_errors"), format!("{missed}\n")).unwrap();
            let now = InterfaceDrops::read(&folder, "eth7");
            let InterfaceDrops { dropped, missed } = now.since(before);
            assert_eq!((dropped, missed), since);
            before = now;
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
