//! Whether the collector belongs in its pools, and what its cookies say of it.
//!
//! An output that has been failing for 2 s takes the collector out: it deregisters and its cookies say "draining", so that
//! exporters move where there is another collector. 5 s without a failure bring it back. An output that is behind (its queue
//! more than three quarters full, or its disk slow) makes cookies say "slow", until the queue is less than half full.

use std::time::Duration;

use delivery::cookie::State;

use crate::output::Finding;

/// An output that fails for so long takes the collector out of its pools.
const OUT_AFTER: Duration = Duration::from_secs(2);
/// So long nothing must have failed before it comes back.
const BACK_AFTER: Duration = Duration::from_secs(5);

/// How the collector stands, by what was seen of its outputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    is_out: bool,
    is_slow: bool,
}

impl Standing {
    /// Returns the standing at the start: an output that fails from the beginning keeps the collector out.
    pub(crate) fn new(first: &Finding) -> Self {
        Self { is_out: first.failing.is_some(), is_slow: false }
    }

    /// Takes in how the outputs are, and of the fullest queue how much waits and how much may.
    pub(crate) fn look(&mut self, outputs: &Finding, (waiting, size): (u64, u64)) {
        self.is_out = if self.is_out {
            outputs.failing.is_some() || outputs.since_failure.is_some_and(|since| since < BACK_AFTER)
        } else {
            outputs.failing.is_some_and(|failing| failing >= OUT_AFTER)
        };
        let is_full = if self.is_slow { waiting > size / 2 } else { waiting > size / 4 * 3 };
        self.is_slow = outputs.failing.is_some() || outputs.is_slow || is_full;
    }

    /// Returns whether the collector has to be out of its pools.
    pub(crate) fn is_out(&self) -> bool {
        self.is_out
    }

    /// Returns what cookies say. `drained`: somebody has taken the collector out.
    pub(crate) fn state(&self, drained: bool) -> State {
        match (self.is_out || drained, self.is_slow) {
            (true, _) => State::Draining,
            (false, true) => State::Slow,
            (false, false) => State::Ok,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(seconds: u64) -> Finding {
        let (failing, since_failure) = (Some(Duration::from_secs(seconds)), Some(Duration::ZERO));
        Finding { failing, since_failure, ..Finding::default() }
    }

    fn well_for(seconds: u64) -> Finding {
        Finding { since_failure: Some(Duration::from_secs(seconds)), ..Finding::default() }
    }

    #[test]
    fn an_output_that_fails_for_a_while_takes_the_collector_out_and_one_that_is_well_for_longer_brings_it_back()
     {
        let mut standing = Standing::new(&Finding::default());
        let mut states = Vec::new();
        for finding in
            [failing(1), failing(2), failing(60), well_for(1), failing(0), well_for(4), well_for(5)]
        {
            standing.look(&finding, (0, 100));
            states.push((standing.is_out(), standing.state(false)));
        }
        let out = (true, State::Draining);
        assert_eq!(states, [(false, State::Slow), out, out, out, out, out, (false, State::Ok)]);
    }

    #[test]
    fn an_output_that_fails_at_the_start_keeps_the_collector_out_at_once() {
        assert!(Standing::new(&failing(0)).is_out());
    }

    #[test]
    fn cookies_say_slow_from_three_quarters_of_the_queue_down_to_a_half() {
        let mut standing = Standing::default();
        let states = [75, 76, 51, 50, 75].map(|waiting| {
            standing.look(&Finding::default(), (waiting, 100));
            standing.state(false)
        });
        assert_eq!(states, [State::Ok, State::Slow, State::Slow, State::Ok, State::Ok]);
        standing.look(&Finding { is_slow: true, ..Finding::default() }, (0, 100));
        assert_eq!(standing.state(false), State::Slow);
        assert_eq!(standing.state(true), State::Draining);
    }
}
