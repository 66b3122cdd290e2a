//! Several classes of reliability at once, over a path that loses, delays and reorders, to collectors that fail.
//!
//! The exporter is the real machine ([`exporter::failover`]), the collector reads with the real one ([`ipfix`]) and keeps the
//! books of [`delivery::gaps`]. The transport in between is a model of PR-SCTP: it gives up by the policy of
//! each message, and may not know that a message arrived that it has given up.
//!
//! Checked for each seed and class: metered = covered + delivered + abandoned + dropped; exported = delivered + abandoned where
//! records may get lost; of every session that ended in order sent = received + lost and spurious = abandoned - lost; no
//! record of class reliable is missing.

#[path = "classes/world.rs"]
mod world;

use world::{Outcome, World};

#[test]
fn the_books_of_every_class_balance_in_300_seeds() {
    let mut total = Outcome::default();
    for seed in 0..300 {
        let outcome = std::panic::catch_unwind(|| World::new(seed).run());
        total += outcome.unwrap_or_else(|_| panic!("seed {seed}"));
    }
    println!("{total:?}");
    assert!(total.failovers > 100, "collectors fail: {total:?}");
    assert!(total.closed > 500, "and sessions end in order: {total:?}");
    assert!(
        total.lost > 5_000 && total.spurious > 1_000,
        "records get lost, and arrive unnoticed: {total:?}"
    );
    assert!(total.dropped > 300, "memory is short: {total:?}");
    assert!(total.reordered > 1_000, "records overtake each other: {total:?}");
}
