//! Simulated networks for the protocol machines: virtual clock, seeded links, ladder traces.
//!
//! A simulation owns its machines, an [`Agenda`] of what is under way, [`Link`]s that say when a message arrives, and a
//! [`Random`] from a seed: the same seed gives the same run. It steps to the earlier of the agenda's next
//! event and the machines' `poll_timeout`, and may write a [`Ladder`], compared with a file by [`golden::check`].
//! Scenarios are in `tests/`, one file each.

mod agenda;
pub mod golden;
mod ladder;
mod link;
mod random;

pub use agenda::Agenda;
pub use ladder::Ladder;
pub use link::Link;
pub use random::Random;

/// Returns some instant to count virtual time from.
#[expect(
    clippy::disallowed_methods,
    reason = "std has no other way to make an Instant; only differences matter"
)]
pub fn start() -> std::time::Instant {
    std::time::Instant::now()
}
