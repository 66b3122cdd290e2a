//! NetFlow: a story of datagrams of versions 5, 7 and 9 from two sources, and the IPFIX messages they become.
//!
//! `cargo +nightly fuzz run netflow`; `crates/intake/src/netflow/tests/mutated.rs` runs the same on plain seeds.
#![no_main]

#[path = "../../crates/intake/src/netflow/tests/exercise.rs"]
mod exercise;
use intake::netflow;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    exercise::datagrams(octets);
});
