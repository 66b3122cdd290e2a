//! The library's format for lines without colours and spans, a third of the work: a registrar writes such a line
//! for every registration.
//!
//! What it writes is what `tracing_subscriber`'s own format writes; a test compares them. Only control characters are
//! escaped in all fields, which peers may have chosen, not in the message alone.
#![expect(clippy::disallowed_methods, reason = "driver: stamps lines with the wall clock")]

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::utc::second_text;

/// A line as `general` would write it.
pub(super) struct Plain<T> {
    general: Format<tracing_subscriber::fmt::format::Full, T>,
    prefix: Prefix,
}

/// What a line begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Prefix {
    /// Nothing, as those of a format without time.
    #[cfg(test)]
    Nothing,
    /// The time.
    Time,
    /// `<6>`: the priority, which the journal takes from it.
    Priority,
}

impl<T> Plain<T> {
    /// Lines begin with `prefix`; the time is there if those of `general` have it.
    pub(super) fn new(general: Format<tracing_subscriber::fmt::format::Full, T>, prefix: Prefix) -> Self {
        Self { general, prefix }
    }
}

impl<S, N, T> FormatEvent<S, N> for Plain<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    T: FormatTime,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.prefix == Prefix::Priority {
            line.write_str(match *event.metadata().level() {
                Level::ERROR => "<3>",
                Level::WARN => "<4>",
                Level::INFO => "<6>",
                Level::DEBUG | Level::TRACE => "<7>",
            })?;
        }
        if line.has_ansi_escapes() || context.lookup_current().is_some() || event.parent().is_some() {
            return self.general.format_event(context, line, event);
        }
        let mut text = LINE.take();
        text.clear();
        if self.prefix == Prefix::Time {
            stamp(&mut text);
        }
        text.push_str(match *event.metadata().level() {
            Level::ERROR => "ERROR ",
            Level::WARN => " WARN ",
            Level::INFO => " INFO ",
            Level::DEBUG => "DEBUG ",
            Level::TRACE => "TRACE ",
        });
        text.push_str(event.metadata().target());
        text.push(':');
        let mut fields = Fields { line: &mut text, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        text.push('\n');
        let written = line.write_str(&text);
        LINE.set(text);
        written
    }
}

thread_local! {
    /// The room that the last line had. A line is put together before `Writer` gets it: each piece costs that more than
    /// the copy.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Writes `2026-03-01T12:00:00.123456Z `. The calendar is asked once a second.
fn stamp(line: &mut String) {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = RefCell::new((0, second_text(0)));
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != since.as_secs() {
            (*second, *text) = (since.as_secs(), second_text(since.as_secs()));
        }
        line.push_str(text);
    });
    line.push('.');
    // A third of what `{:06}` takes.
    let digit = |place| char::from_digit(since.subsec_micros() / place % 10, 10);
    line.extend([100_000, 10_000, 1_000, 100, 10, 1].into_iter().filter_map(digit));
    line.push_str("Z ");
}

/// Writes ` message` and ` name=value`.
struct Fields<'a> {
    line: &'a mut String,
    result: fmt::Result,
}

impl Fields<'_> {
    fn begin(&mut self, field: &Field) {
        self.line.push(' ');
        if field.name() != "message" {
            // A field called `r#type` is `type`.
            let name = field.name();
            self.line.push_str(name.strip_prefix("r#").unwrap_or(name));
            self.line.push('=');
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return self.record_debug(field, &format_args!("{value}"));
        }
        self.begin(field);
        if !all(value, |octet| is_printable(octet) & !matches!(octet, b'"' | b'\\')) {
            self.result = self.result.and_then(|()| write!(self.line, "{value:?}"));
            return;
        }
        self.line.push('"');
        self.line.push_str(value);
        self.line.push('"');
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.begin(field);
        self.result = self.result.and_then(|()| write!(Escaped(self.line), "{value:?}"));
    }
}

/// Whether all octets are so. Looks at all of them, many at once, instead of ending at the first that is not.
fn all(text: &str, is: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |so_far, octet| so_far & is(octet))
}

/// Whether it is a printable character of ASCII.
fn is_printable(octet: u8) -> bool {
    matches!(octet, b' '..=b'~')
}

/// Lets nothing through that a terminal would obey.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if all(text, is_printable) {
            self.0.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            match character {
                '\x07' | '\x08' | '\x0c' | '\x1b' | '\x7f' => {
                    write!(self.0, "\\x{:02x}", u32::from(character))?;
                }
                '\u{80}'..='\u{9f}' => write!(self.0, "\\u{{{:x}}}", u32::from(character))?,
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, info_span, warn};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    pub(in super::super) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Lines;

        fn make_writer(&'a self) -> Lines {
            self.clone()
        }
    }

    impl Lines {
        pub(in super::super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn events() {
        let (nothing, something) = (None::<&str>, Some("a value"));
        info!(target: "audit", pool = "collectors", pe = %"000000a1", by = "tcp 192.0.2.1:40000", "registered");
        error!("nothing but a message");
        warn!(count = 7, negative = -7, ratio = 0.5, yes = true, list = ?[1, 2], nothing, something, "all kinds");
        debug!(r#type = "quoted \"text\"\n", other = %"plain", "escaped \x1b[0m {} \u{9b}", "\x08\x0c");
        info!(only = "fields, and no message");
        info_span!("session", id = 3).in_scope(|| info!(x = 1, "in a span"));
    }

    #[test]
    fn lines_are_those_of_the_library() {
        let (ours, theirs) = (Lines::default(), Lines::default());
        let builder =
            || tracing_subscriber::fmt().with_ansi(false).with_max_level(Level::TRACE).without_time();
        let general = Format::default().without_time();
        let subscriber =
            builder().event_format(Plain::new(general, Prefix::Nothing)).with_writer(ours.clone()).finish();
        tracing::subscriber::with_default(subscriber, events);
        tracing::subscriber::with_default(builder().with_writer(theirs.clone()).finish(), events);
        assert_eq!(ours.text(), theirs.text());
        assert_eq!(ours.text().lines().count(), 6, "{}", ours.text());
    }

    /// Of fields, the library lets it through.
    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone());
        let subscriber =
            subscriber.event_format(Plain::new(Format::default().without_time(), Prefix::Nothing)).finish();
        tracing::subscriber::with_default(
            subscriber,
            || info!(target: "t", name = %"\x1b[31m\u{9b}\x07é", "said"),
        );
        assert_eq!(lines.text(), " INFO t: said name=\\x1b[31m\\u{9b}\\x07é\n");
    }

    #[test]
    fn a_line_begins_with_the_time_in_utc() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone());
        let subscriber = subscriber.event_format(Plain::new(Format::default(), Prefix::Time)).finish();
        let before = crate::time_text(SystemTime::now());
        tracing::subscriber::with_default(subscriber, || info!("said"));
        let (text, after) = (lines.text(), crate::time_text(SystemTime::now()));
        let (time, rest) = text.split_once(' ').unwrap();
        assert_eq!(rest, " INFO service::log::plain::tests: said\n");
        assert_eq!(time.len(), before.len() + 3, "microseconds: {time}");
        // As text, times are in order; milliseconds are the beginning of microseconds.
        assert!(before[..23] <= time[..23] && time[..23] <= after[..23], "{before} {time} {after}");
    }
}
