//! NetFlow: a story of datagrams of versions 5, 7 and 9 from two sources, and the IPFIX messages they become.
//!
//! `cargo +nightly fuzz run netflow`; `collector/src/netflow/tests/mutated.rs` runs the same on plain seeds.
#![no_main]

#[path = "../../collector/src/netflow/tests/exercise.rs"]
mod exercise;
#[path = "../../collector/src/netflow/mod.rs"]
#[expect(dead_code, reason = "the collector's own, of which this is a part")]
mod netflow;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    exercise::datagrams(octets);
});
