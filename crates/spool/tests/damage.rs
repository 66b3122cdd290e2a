//! Cut short and flipped at every octet: what a spool finds then.

mod world;

use std::fs;

use spool::{Cursor, Spool};
use world::{Folder, append, config, read_all, text};

const MESSAGES: u64 = 8;

/// The octets of one segment with some messages.
fn segment() -> Vec<u8> {
    let folder = Folder::new();
    let (mut spool, _) = Spool::open(config(&folder)).unwrap();
    for number in 0..MESSAGES {
        append(&mut spool, number).unwrap();
        spool.sync().unwrap();
    }
    let files = folder.files();
    assert_eq!(files.len(), 1);
    fs::read(&files[0]).unwrap()
}

/// What is found in a folder with this segment: the numbers of the messages, and octets of damage (torn, other).
fn open(octets: &[u8]) -> (Vec<u64>, u64, u64) {
    let folder = Folder::new();
    fs::write(folder.path().join("0000000000000001.ipfix"), octets).unwrap();
    let (spool, found) = Spool::open(config(&folder)).unwrap();
    let sum =
        |torn| found.damage.iter().filter(|damage| damage.torn == torn).map(|damage| damage.octets).sum();
    let messages: Vec<_> = read_all(&spool).into_iter().map(|(_, sets)| sets).collect();
    assert_eq!(messages.len() as u64, found.messages);
    let number = |sets: &Vec<u8>| (0..MESSAGES).find(|&number| text(number).as_bytes() == sets);
    (messages.iter().map(|sets| number(sets).expect("one of ours")).collect(), sum(true), sum(false))
}

#[test]
fn a_segment_cut_at_any_octet_has_every_message_before_the_cut() {
    let octets = segment();
    let mut most = 0;
    for length in 0..octets.len() {
        let (numbers, torn, other) = open(&octets[..length]);
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "cut at {length}");
        assert!(numbers.len() >= most, "cut at {length}");
        assert!(torn < 80, "cut at {length}: no more than a message is torn");
        assert_eq!(other, 0);
        most = numbers.len();
    }
    assert_eq!(most as u64, MESSAGES - 1);
    assert_eq!(open(&octets).0.len() as u64, MESSAGES);
}

#[test]
fn an_octet_flipped_anywhere_costs_the_message_it_lies_in_only() {
    let octets = segment();
    let mut costs = [0; 2];
    for at in 0..octets.len() {
        let mut flipped = octets.clone();
        flipped[at] ^= 1 << (at % 8);
        let (numbers, torn, other) = open(&flipped);
        let lost = MESSAGES - numbers.len() as u64;
        assert!(lost <= 1, "octet {at}: {numbers:?}");
        assert!(numbers.is_sorted(), "octet {at}");
        assert!(torn + other > 0, "octet {at} is noticed");
        costs[usize::try_from(lost).unwrap()] += 1;
    }
    assert!(costs[0] > 0, "the beginning is there twice");
    assert!(costs[1] > 300, "{costs:?}");
}

#[test]
fn the_templates_are_known_whichever_octet_of_the_beginning_is_flipped() {
    let octets = segment();
    for at in 0..150 {
        let mut flipped = octets.clone();
        flipped[at] ^= 0x80;
        let folder = Folder::new();
        fs::write(folder.path().join("0000000000000001.ipfix"), flipped).unwrap();
        let (spool, _) = Spool::open(config(&folder)).unwrap();
        let mut cursor = Cursor::default();
        let message = spool.read(&mut cursor).unwrap().unwrap();
        assert_eq!(message.templates, world::TEMPLATES, "octet {at}");
        assert!(cursor.damaged_octets() > 0, "octet {at}");
    }
}

#[test]
fn files_that_are_none_of_its_own_are_left_alone() {
    let folder = Folder::new();
    for name in ["notes.txt", "1.ipfix", "zzzzzzzzzzzzzzzz.ipfix"] {
        fs::write(folder.path().join(name), "kept").unwrap();
    }
    fs::write(folder.path().join("0000000000000007.ipfix"), "nothing of use").unwrap();
    let (mut spool, found) = Spool::open(config(&folder)).unwrap();
    assert_eq!((found.messages, found.damage.len()), (0, 1));
    append(&mut spool, 0).unwrap();
    spool.sync().unwrap();
    let names: Vec<_> = folder.files().iter().map(|file| file.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["0000000000000008.ipfix", "1.ipfix", "notes.txt", "zzzzzzzzzzzzzzzz.ipfix"]);
}
