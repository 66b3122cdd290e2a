//! What the demo shows: a progress line, then the result as a table.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::books::Books;

const BAR: usize = 30;

/// One line that moves on a terminal; elsewhere a line every tenth of the way.
pub(crate) struct Progress {
    terminal: bool,
    shown: Option<usize>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), shown: None }
    }

    pub(crate) fn show(&mut self, covered: f64, total: usize, since: Duration) {
        let part = if total == 0 { 0.0 } else { covered / total as f64 };
        let steps = if self.terminal { 200.0 } else { 10.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 200")]
        let step = (part * steps) as usize;
        if self.shown == Some(step) {
            return;
        }
        self.shown = Some(step);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 30")]
        let full = ((part * BAR as f64) as usize).min(BAR);
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(BAR - full));
        let line = format!(
            "{bar} {:>3.0} %  {covered:.0} of {total} flows on a collector's disk  {:.1} s",
            part * 100.0,
            since.as_secs_f64()
        );
        if self.terminal {
            print!("\r\x1b[K{line}");
            let _ = std::io::stdout().flush();
        } else {
            println!("{line}");
        }
    }

    /// Shows that all is acknowledged.
    pub(crate) fn finish(&mut self, total: usize, since: Duration) {
        self.show(total as f64, total, since);
        if self.terminal {
            println!();
        }
    }

    /// Puts a sentence above the line.
    pub(crate) fn say(&mut self, sentence: &str) {
        if self.terminal {
            print!("\r\x1b[K");
        }
        println!("{sentence}");
        self.shown = None;
    }
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Metered here and by the exporter.
    pub(crate) packets: (u64, u64),
    /// Metered here and exported.
    pub(crate) flows: (u64, u64),
    /// Different flows in the file of each collector.
    pub(crate) received: [u64; 2],
    /// The collector killed, and how many flows were acknowledged then.
    pub(crate) killed: Option<(char, f64)>,
    /// Octets of a line the killed collector did not finish.
    pub(crate) torn: usize,
    pub(crate) resent: u64,
    pub(crate) failovers: u64,
    pub(crate) books: Books,
    /// From SIGKILL to the first record at the other collector.
    pub(crate) failover: Option<Duration>,
    /// From the registrar's SIGKILL until the other one was home of every collector.
    pub(crate) takeover: Option<Duration>,
    pub(crate) registrar_killed: bool,
    /// Octets, all processes together.
    pub(crate) memory: f64,
    pub(crate) took: Duration,
}

impl Outcome {
    /// Returns what is not as promised, in sentences; nothing if all is well.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |good: bool, fault: String| {
            if !good {
                faults.push(fault);
            }
        };
        check(self.packets.0 == self.packets.1, format!("the exporter metered {} packets", self.packets.1));
        check(self.flows.0 == self.flows.1, format!("the exporter metered {} flows", self.flows.1));
        check(self.books.lost == 0, format!("{} flows are at no collector", self.books.lost));
        check(self.books.wrong == 0, format!("{} records are not what was metered", self.books.wrong));
        check(
            self.books.repeated <= self.resent,
            format!("{} flows are repeated, and {} were sent again", self.books.repeated, self.resent),
        );
        check(self.registrar_killed, "no registrar was killed".to_owned());
        check(self.takeover.is_some(), "the other registrar did not take over".to_owned());
        check(self.killed.is_some(), "no collector was killed".to_owned());
        check(self.failovers >= 1, "the exporter did not fail over".to_owned());
        check(self.failover.is_some(), "the other collector was not seen to carry on".to_owned());
        faults
    }

    pub(crate) fn print(&self) {
        let row = |name: &str, value: String, remark: String| println!("  {name:<26}{value:>10}  {remark}");
        println!();
        row("packets metered", self.packets.1.to_string(), String::new());
        row("flows exported", self.flows.1.to_string(), format!("in {:.1} s", self.took.as_secs_f64()));
        for (name, received) in ['a', 'b'].into_iter().zip(self.received) {
            let remark = match self.killed {
                Some((killed, acknowledged)) if killed == name => {
                    format!(
                        "killed when {acknowledged:.0} were acknowledged; a torn line of {} octets",
                        self.torn
                    )
                }
                _ => String::new(),
            };
            row(&format!("  received by collector {name}"), received.to_string(), remark);
        }
        row("replayed", self.resent.to_string(), "sent before and not acknowledged".to_owned());
        row(
            "repeated across collectors",
            self.books.repeated.to_string(),
            "the same identity, so they count once".to_owned(),
        );
        row("lost", self.books.lost.to_string(), String::new());
        if let Some(failover) = self.failover {
            let remark = "from SIGKILL to the first record at the other collector".to_owned();
            row("failover", format!("{:.2} s", failover.as_secs_f64()), remark);
        }
        if let Some(takeover) = self.takeover {
            let remark = "from SIGKILL until the other registrar is home of every collector".to_owned();
            row("takeover", format!("{:.2} s", takeover.as_secs_f64()), remark);
        }
        row("memory", format!("{:.0} MB", self.memory / 1e6), "all processes together, at most".to_owned());
        println!("\nlost {}", self.books.lost);
    }
}
