//! IPFIX: a story of messages in one session, over both kinds of transport.
//!
//! `cargo +nightly fuzz run ipfix_session`; `crates/ipfix/tests/fuzz` runs the same on plain seeds.
#![no_main]

#[path = "../../crates/ipfix/tests/fuzz/exercise.rs"]
#[expect(dead_code, reason = "shared with the other targets for IPFIX")]
mod exercise;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    exercise::session(octets);
});
