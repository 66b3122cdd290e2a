//! Sequences of connections, messages, losses and time into a registrar with peers.
//!
//! `cargo +nightly fuzz run registrar`; `crates/rserpool-proto/tests/fuzz` runs the same on plain seeds.
#![no_main]

#[path = "../../crates/rserpool-proto/tests/fuzz/message.rs"]
mod message;
#[path = "../../crates/rserpool-proto/tests/fuzz/octets.rs"]
mod octets;
#[path = "../../crates/rserpool-proto/tests/fuzz/registrar.rs"]
mod registrar;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| registrar::exercise(octets, std::time::Instant::now()));
