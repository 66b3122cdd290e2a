//! Sequences of datagrams of plain seeds, most of them changed: whatever comes nothing panics, and what comes of it is bounded.
//!
//! `cargo +nightly fuzz run netflow` looks for more.

use super::exercise;
use super::random::Random;
use pcap_fixtures::netflow::{set, template, v5, v7, v9_from};

fn seeds() -> Vec<Vec<u8>> {
    let flows = template(256, &[(8, 4), (22, 4), (1, 4), (21, 4), (33_000, 2)]);
    // Six octets of options template, two scopes, an option.
    let options = set(1, &[1, 1, 0, 8, 0, 4, 0, 1, 0, 4, 0, 2, 0, 2, 0, 34, 0, 4]);
    let variable = template(258, &[(1, 4), (82, 65_535), (22, 4)]);
    let string = set(258, b"\x00\x00\x00\x01\x03abc\x00\x00\x00\x07");
    vec![
        v5(3, 0, 0),
        v5(30, 3, 0x8000 | 100),
        v7(),
        v9_from(1, 0, &[flows.clone(), set(256, &[1; 36]), options.clone(), set(257, &[2; 10])]),
        v9_from(1, 1, &[set(256, &[3; 19]), set(300, &[4; 9])]),
        v9_from(2, 0, &[[flows, options].concat(), variable.clone(), string.clone()]),
        v9_from(2, 1, &[string, set(257, &[5; 20]), vec![0; 4]]),
        v9_from(1, 2, &[variable, template(256, &[(153, 8), (22, 4), (4, 1)]), set(256, &[6; 26])]),
    ]
}

/// Of each datagram what comes before it in a story.
fn story(datagrams: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let one = |(what, datagram): &(u8, Vec<u8>)| {
        [&[*what][..], &u16::try_from(datagram.len()).unwrap().to_be_bytes(), datagram].concat()
    };
    datagrams.iter().flat_map(one).collect()
}

#[test]
fn the_seeds_are_what_they_are_meant_to_be() {
    let all: Vec<_> = seeds().into_iter().map(|seed| (0, seed)).collect();
    assert_eq!(exercise::datagrams(&story(&all)), (8, 3 + 30 + 1 + (2 + 1) + 1 + 1 + (1 + 2) + 2));
}

#[test]
fn thousands_of_mutated_datagrams_do_no_harm() {
    let (seeds, mut random) = (seeds(), Random(0x9f10));
    let (mut read, mut records) = (0, 0);
    for _ in 0..300 {
        let mut datagrams = Vec::new();
        for _ in 0..40 {
            let mut datagram = seeds[random.below(seeds.len())].clone();
            if random.below(3) > 0 {
                change(&mut random, &mut datagram);
            }
            // Mostly the first source, and mostly nothing in between.
            let what = if random.below(4) > 0 { random.octet() & 1 } else { random.octet() & 31 };
            datagrams.push((what, datagram));
        }
        let sums = exercise::datagrams(&story(&datagrams));
        (read, records) = (read + sums.0, records + sums.1);
    }
    assert!((5_000..11_000).contains(&read) && records > 10_000, "{read} of 12000 read, {records} records");
}

/// As messages of IPFIX are changed, but with a version of NetFlow.
fn change(random: &mut Random, datagram: &mut Vec<u8>) {
    let version = [datagram[0], datagram[1]];
    let head = [datagram[2], datagram[3]];
    random.mutate(datagram);
    for (octet, old) in datagram.iter_mut().zip(version.into_iter().chain(head)) {
        *octet = old;
    }
}
