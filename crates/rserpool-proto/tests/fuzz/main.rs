//! The fuzz targets of `fuzz/` on plain seeds, so that a stable toolchain exercises them too.
//!
//! `FUZZ_SECONDS=600 cargo test -p rserpool-proto --test fuzz -- --ignored` goes on as long as it is told.
#![expect(clippy::disallowed_methods, reason = "a start for virtual time")]

mod decode;
mod message;
mod octets;
mod registrar;

use std::time::{Duration, Instant};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }

    fn octet(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// Captured messages of a protocol, from the files with this ending.
fn captured(ending: &str) -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    let mut messages = Vec::new();
    for line in files.iter().flat_map(|file| {
        std::fs::read_to_string(file).unwrap().lines().map(str::to_string).collect::<Vec<_>>()
    }) {
        let hex = line.rsplit(' ').next().unwrap();
        let octet = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        messages.push((0..hex.len()).step_by(2).map(octet).collect());
    }
    messages
}

/// A captured message with octets changed, taken out and put in, and mostly a length that agrees.
fn mutate(messages: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut octets = messages[random.below(messages.len())].clone();
    for _ in 0..random.below(5) {
        let at = random.below(octets.len());
        match random.below(4) {
            0 => octets[at] = random.octet(),
            1 => octets[at] = [0, 1, 4, 8, 0x7f, 0x80, 0xff][random.below(7)],
            2 => drop(octets.drain(at..(at + 4 * random.below(5)).min(octets.len()))),
            _ => {
                let from = random.below(octets.len());
                let some = octets[from..(from + 4 * random.below(12)).min(octets.len())].to_vec();
                octets.splice(at..at, some);
            }
        }
        if octets.len() < 4 {
            return octets;
        }
    }
    if random.below(8) > 0 {
        let length = u16::try_from(octets.len()).unwrap();
        octets[2..4].copy_from_slice(&length.to_be_bytes());
    }
    octets
}

fn decode(seeds: u64, ending: &str, exercise: fn(&[u8]) -> bool) {
    let messages = captured(ending);
    assert!(messages.len() > 100);
    let (mut random, mut good) = (Random(seeds), 0);
    for _ in 0..seeds {
        good += u64::from(exercise(&mutate(&messages, &mut random)));
    }
    assert!(good > seeds / 10 && good < seeds * 9 / 10, "{good} of {seeds} are messages");
}

#[test]
fn mutated_asap_messages_are_refused_or_stay_what_they_are() {
    decode(100_000, ".asap.txt", decode::asap);
}

#[test]
fn mutated_enrp_messages_are_refused_or_stay_what_they_are() {
    decode(100_000, ".enrp.txt", decode::enrp);
}

fn sequence(seed: u64) {
    let mut random = Random(seed);
    let length = 100 + random.below(3_000);
    let octets: Vec<u8> = (0..length).map(|_| random.octet()).collect();
    registrar::exercise(&octets, Instant::now());
}

#[test]
fn sequences_of_3_000_seeds_leave_a_registrar_in_order() {
    (0..3_000).for_each(sequence);
}

/// As long as `FUZZ_SECONDS` says.
#[test]
#[ignore = "takes as long as it is told"]
fn sequences_of_many_seeds_leave_a_registrar_in_order() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let (start, mut seed) = (Instant::now(), 1 << 32);
    while start.elapsed() < Duration::from_secs(seconds) {
        sequence(seed);
        seed += 1;
    }
    println!("{} seeds", seed - (1 << 32));
}
