//! Readable traces: who said what to whom, when.

use std::fmt::{Display, Write};
use std::time::Instant;

/// A trace, one line for each message or event: `12.000 s  pe 000000a1 → registrar 0000000b  ASAP_REGISTRATION pool=ipfix`.
#[derive(Clone, Debug)]
pub struct Ladder {
    start: Instant,
    text: String,
}

impl Ladder {
    /// Returns an empty trace; its times count from `start`.
    pub const fn new(start: Instant) -> Self {
        Self { start, text: String::new() }
    }

    /// Writes a message.
    pub fn message(&mut self, now: Instant, from: impl Display, to: impl Display, what: impl Display) {
        self.line(now, format_args!("{from} → {to}"), what);
    }

    /// Writes something that happens at one node.
    pub fn event(&mut self, now: Instant, node: impl Display, what: impl Display) {
        self.line(now, node, what);
    }

    fn line(&mut self, now: Instant, who: impl Display, what: impl Display) {
        let seconds = (now - self.start).as_secs_f64();
        // The parties are padded as text: format_args itself knows no width.
        let who = who.to_string();
        writeln!(self.text, "{seconds:8.3} s  {who:<32}  {what}").expect("into a string");
    }

    /// Returns the trace.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_has_time_parties_and_content() {
        let start = crate::start();
        let mut ladder = Ladder::new(start);
        ladder.message(
            start + Duration::from_millis(12_500),
            "pe 000000a1",
            "registrar 0000000b",
            "ASAP_REGISTRATION",
        );
        ladder.event(start + Duration::from_secs(13), "pe 000000a1", "killed");
        let expected = "  12.500 s  pe 000000a1 → registrar 0000000b  ASAP_REGISTRATION\n\
            \x20 13.000 s  pe 000000a1                       killed\n";
        assert_eq!(ladder.text(), expected);
    }
}
