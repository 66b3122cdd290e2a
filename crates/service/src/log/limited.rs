//! Lines that come again and again, from one place in the code: some are written, then how many there were.
//!
//! At INFO and above; DEBUG is for whoever wants them all. The audit log (target `audit`) has a limit of its own.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, info};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Lines of one place within [`WINDOW`].
const LINES: u64 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// Whether DEBUG is on, so that nothing is left out.
static ALL: AtomicBool = AtomicBool::new(false);
static PLACES: LazyLock<Mutex<HashMap<Identifier, Place>>> = LazyLock::new(Mutex::default);

struct Place {
    metadata: &'static Metadata<'static>,
    /// The message of the first line that was left out.
    message: String,
    since: Instant,
    lines: u64,
}

/// Sets whether nothing is left out.
pub(super) fn write_all(all: bool) {
    ALL.store(all, Ordering::Relaxed);
}

/// Says how many lines were left out of windows that are over, or of all; to be called now and then.
pub(crate) fn tell_suppressed(all: bool) {
    let now = Instant::now();
    let mut over = Vec::new();
    PLACES.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, place| {
        let is_over = all || now - place.since >= WINDOW;
        if is_over && place.lines > LINES {
            over.push((place.metadata, place.lines - LINES, std::mem::take(&mut place.message)));
        }
        !is_over
    });
    over.sort_by_key(|(metadata, ..)| (metadata.target(), metadata.line()));
    for (metadata, lines, message) in over {
        info!(lines, of = %metadata.target(), level = %metadata.level(), "more lines like \"{message}\" were left out");
    }
}

/// Another format, without lines that come too often.
pub(super) struct Limited<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if may_write(event) { self.0.format_event(context, line, event) } else { Ok(()) }
    }
}

fn may_write(event: &Event<'_>) -> bool {
    let metadata = event.metadata();
    let is_limited = *metadata.level() <= Level::INFO && !matches!(metadata.target(), "audit");
    if !is_limited || metadata.target() == module_path!() || ALL.load(Ordering::Relaxed) {
        return true;
    }
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let place = places.entry(metadata.callsite()).or_insert_with(|| Place {
        metadata,
        message: String::new(),
        since: Instant::now(),
        lines: 0,
    });
    place.lines += 1;
    // Where nobody tells what was left out, a new window begins all the same.
    if place.lines > LINES && place.since.elapsed() >= 2 * WINDOW {
        (place.since, place.lines) = (Instant::now(), 1);
    }
    if place.lines == LINES + 1 {
        event.record(&mut Message(&mut place.message));
    }
    place.lines <= LINES
}

struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::{debug, warn};
    use tracing_subscriber::fmt::format::Format;

    use super::super::plain::tests::Lines;
    use super::super::plain::{Plain, Prefix};
    use super::*;

    /// What is written while `events` run, with a line of what was left out at the end.
    fn written(events: impl FnOnce()) -> String {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(Level::TRACE)
            .with_writer(lines.clone())
            .event_format(Limited(Plain::new(Format::default().without_time(), Prefix::Nothing)))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            events();
            tell_suppressed(true);
        });
        lines.text()
    }

    #[test]
    fn a_line_that_comes_again_and_again_is_counted_and_others_are_written() {
        let text = written(|| {
            for number in 0..1_000 {
                warn!(target: "t", number, "again");
                if number % 100 == 0 {
                    warn!(target: "t", "every hundred");
                }
                info!(target: "audit", "registered");
                debug!(target: "t", "for whoever wants all");
            }
        });
        let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        assert_eq!((count(" WARN t: again number"), count("every hundred")), (20, 10));
        assert_eq!((count("audit"), count("DEBUG")), (1_000, 1_000));
        let told =
            " INFO service::log::limited: more lines like \"again\" were left out lines=980 of=t level=WARN";
        assert_eq!((count("left out"), text.lines().last()), (1, Some(told)));
    }
}
