//! Small charts of what was measured lately, drawn by the daemon as SVG.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use super::html::escape;
use super::text;

/// The drawing's size in units of its own; the page gives it the room there is.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 40.0;

/// The latest samples of one quantity, taken at equal intervals; older ones are forgotten.
#[derive(Clone, Debug)]
pub struct History {
    interval: Duration,
    capacity: usize,
    samples: VecDeque<f64>,
}

impl History {
    /// Returns a history without samples that keeps so many, one each `interval`.
    pub fn new(interval: Duration, capacity: usize) -> Self {
        Self { interval, capacity: capacity.max(1), samples: VecDeque::new() }
    }

    /// Adds a sample. One that is no number, or negative, counts as nothing.
    pub fn push(&mut self, sample: f64) {
        if self.samples.len() == self.capacity {
            self.samples.pop_front();
        }
        self.samples.push_back(if sample.is_finite() { sample.max(0.0) } else { 0.0 });
    }

    /// Returns the samples, oldest first.
    pub fn samples(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().copied()
    }

    /// Returns the latest sample, 0 without any.
    pub fn latest(&self) -> f64 {
        self.samples.back().copied().unwrap_or(0.0)
    }

    fn highest(&self) -> f64 {
        self.samples().fold(0.0, f64::max)
    }

    fn span(&self) -> Duration {
        self.interval.saturating_mul(u32::try_from(self.samples.len()).unwrap_or(u32::MAX))
    }

    /// Appends the chart: what it shows as text, and the line.
    pub(super) fn figure(&self, out: &mut String, label: &str) {
        let (now, highest) = (text::rate(self.latest()), text::rate(self.highest()));
        let span = text::duration(self.span());
        out.push_str("<figure><figcaption>");
        escape(out, label);
        let _ = write!(
            out,
            " <b>{now}</b></figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\""
        );
        escape(out, label);
        let _ = write!(out, ": {now} at last, at most {highest} within {span}\"><polyline points=\"");
        self.points(out);
        let _ = write!(out, "\"/></svg><p>at most {highest} within {span}</p></figure>");
    }

    /// The newest sample is at the right edge, whatever there is before it.
    fn points(&self, out: &mut String) {
        let highest = self.highest().max(f64::MIN_POSITIVE);
        #[expect(clippy::cast_precision_loss, reason = "hundreds at most")]
        let step = WIDTH / (self.capacity.max(2) - 1) as f64;
        let missing = self.capacity - self.samples.len();
        for (at, sample) in self.samples().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "hundreds at most")]
            let x = (missing + at) as f64 * step;
            let y = HEIGHT - 1.0 - sample / highest * (HEIGHT - 2.0);
            let _ = write!(out, "{}{x:.0},{y:.0}", if at == 0 { "" } else { " " });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_tells_in_words_what_it_shows() {
        let mut history = History::new(Duration::from_secs(1), 4);
        for sample in [7.0, 100.0, f64::NAN, 50.0, 25.0] {
            history.push(sample);
        }
        assert_eq!(history.samples().collect::<Vec<_>>(), [100.0, 0.0, 50.0, 25.0]);
        let mut out = String::new();
        history.figure(&mut out, "Records a second");
        assert!(
            out.contains("aria-label=\"Records a second: 25 at last, at most 100 within 4.0 s\""),
            "{out}"
        );
        assert!(out.contains("points=\"0,1 80,39 160,20 240,30\""), "{out}");
    }

    #[test]
    fn a_chart_of_nothing_is_empty() {
        let mut out = String::new();
        History::new(Duration::from_secs(1), 1).figure(&mut out, "x");
        assert!(out.contains("points=\"\"") && !out.contains("NaN"), "{out}");
    }
}
