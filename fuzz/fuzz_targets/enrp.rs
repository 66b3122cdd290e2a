//! ENRP messages: what decodes must encode to a message that decodes to the same.
//!
//! `cargo +nightly fuzz run enrp`; `crates/rserpool-proto/tests/fuzz` runs the same on plain seeds.
#![no_main]

#[path = "../../crates/rserpool-proto/tests/fuzz/decode.rs"]
#[expect(dead_code, reason = "shared with the target for ASAP")]
mod decode;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    decode::enrp(octets);
});
