//! Packets into two userland SCTP endpoints, a listener and an established association among them.
//!
//! `cargo +nightly fuzz run packets`; `crates/transport/tests/fuzz` runs the same on plain seeds.
#![no_main]

#[path = "../../crates/transport/tests/fuzz/exercise.rs"]
mod exercise;
#[path = "../../crates/transport/tests/hostile/wire.rs"]
#[expect(dead_code, reason = "shared with the tests of hostile packets")]
mod wire;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| exercise::exercise(octets, std::time::Instant::now()));
