//! Captured traffic of the reference implementation: everything decodes, everything we understand
//! encodes to the same octets, and no mutation of it makes the decoder panic.

use std::collections::BTreeMap;
use std::path::Path;

use rserpool_proto::wire::{Message, MessageType, Report, WireError, enrp};

struct Captured {
    place: String,
    name: String,
    octets: Vec<u8>,
}

/// The messages in the files with this ending.
fn captured(ending: &str) -> Vec<Captured> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    let mut messages = Vec::new();
    for file in files {
        for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            let [_, _, name, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            messages.push(Captured {
                place: format!("{}:{}", file.file_name().unwrap().to_string_lossy(), number + 1),
                name: name.to_string(),
                octets: (0..hex.len()).step_by(2).map(digit).collect(),
            });
        }
    }
    messages
}

/// The few captured messages that are wrong on purpose, by their octets in hex.
fn expected_error(octets: &[u8]) -> Option<&'static str> {
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    Some(match hex.as_str() {
        "0500001400090005500000000bbb0008deadbeef" => "octet 12: unrecognized parameter 0x0bbb",
        "0500001400090005500000004bbb0008deadbeef" => "octet 12: unrecognized parameter 0x4bbb",
        "7f00000c0009000550000000" => "octet 0: unrecognized message type 0x7f",
        "050000200009000550000000" => "octet 2: message length 32 does not fit 12 octets",
        "05000004" => "octet 4: pool handle is missing",
        _ => return None,
    })
}

#[test]
fn every_captured_message_decodes_and_encodes_to_the_same_octets() {
    let mut count = BTreeMap::new();
    for Captured { place, name, octets } in captured(".asap.txt") {
        match (Message::decode(&octets), expected_error(&octets)) {
            (Ok(message), None) => {
                let expected = message.message_type().name().trim_start_matches("ASAP_");
                assert_eq!(name.trim_start_matches("ASAP_"), expected, "{place}");
                assert_eq!(message.to_octets().unwrap(), octets, "{place}: {message:?}");
                *count.entry(message.message_type()).or_insert(0) += 1;
            }
            (Err(error), Some(expected)) => assert_eq!(error.to_string(), expected, "{place}"),
            (result, expected) => panic!("{place}: {result:?}, expected {expected:?}"),
        }
    }
    // Business cards were not captured; every other message was.
    let kinds: Vec<u8> = count.keys().map(|kind: &MessageType| kind.0).collect();
    assert_eq!(kinds, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x0c, 0x0e]);
}

#[test]
fn every_captured_enrp_message_decodes_and_encodes_to_the_same_octets() {
    let mut count = BTreeMap::new();
    for Captured { place, name, octets } in captured(".enrp.txt") {
        let message = enrp::Message::decode(&octets).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(name, message.message_type().name().trim_start_matches("ENRP_"), "{place}");
        assert_eq!(message.to_octets().unwrap(), octets, "{place}: {message:?}");
        *count.entry(message.message_type()).or_insert(0) += 1;
    }
    // The reference implementation never manages to send ENRP_TAKEOVER_SERVER, and had no error to tell.
    let kinds: Vec<u8> = count.keys().map(|kind: &enrp::MessageType| kind.0).collect();
    assert_eq!(kinds, [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// Decodes whatever comes; what decodes must encode and decode to the same message again.
fn survives(octets: &[u8]) -> bool {
    let mut report = Report::default();
    match Message::decode_reporting(octets, &mut report) {
        Ok(message) => {
            let again = message.to_octets().unwrap();
            assert_eq!(Message::decode(&again).unwrap(), message);
            true
        }
        Err(WireError::Truncated { offset, .. } | WireError::ParameterLength { offset, .. }) => {
            assert!(offset <= octets.len());
            false
        }
        Err(_) => false,
    }
}

fn enrp_survives(octets: &[u8]) {
    if let Ok(message) = enrp::Message::decode_reporting(octets, &mut Report::default()) {
        let again = message.to_octets().unwrap();
        assert_eq!(enrp::Message::decode(&again).unwrap(), message);
    }
}

#[test]
fn no_change_and_no_cut_of_an_enrp_message_makes_the_decoder_panic() {
    for Captured { octets, .. } in captured(".enrp.txt") {
        for at in 0..octets.len() {
            for change in [0x01, 0x7f, 0x80, 0xff] {
                let mut mutated = octets.clone();
                mutated[at] ^= change;
                enrp_survives(&mutated);
            }
            let mut cut = octets[..at].to_vec();
            enrp_survives(&cut);
            if at >= 4 {
                cut[2..4].copy_from_slice(&u16::try_from(at).unwrap().to_be_bytes());
                enrp_survives(&cut);
            }
        }
    }
}

#[test]
fn no_single_octet_change_makes_the_decoder_panic() {
    let (mut good, mut bad) = (0, 0);
    for Captured { octets, .. } in captured(".asap.txt") {
        for at in 0..octets.len() {
            for change in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut mutated = octets.clone();
                mutated[at] ^= change;
                *if survives(&mutated) { &mut good } else { &mut bad } += 1;
            }
        }
    }
    assert!(good > 1000 && bad > 1000, "{good} decoded, {bad} refused");
}

#[test]
fn no_cut_and_no_lengthening_makes_the_decoder_panic() {
    for Captured { octets, .. } in captured(".asap.txt") {
        for end in 0..octets.len() {
            assert!(!survives(&octets[..end]));
            // The same cut with a message length that agrees with it.
            let mut cut = octets[..end].to_vec();
            if end >= 4 {
                cut[2..4].copy_from_slice(&u16::try_from(end).unwrap().to_be_bytes());
                survives(&cut);
            }
            let mut longer = octets.clone();
            longer.extend(&octets[..end]);
            let length = u16::try_from(longer.len()).unwrap();
            longer[2..4].copy_from_slice(&length.to_be_bytes());
            survives(&longer);
        }
    }
}

#[test]
fn many_random_changes_at_once_do_not_make_the_decoder_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(limit).unwrap()).unwrap()
    };
    let captured = captured(".asap.txt");
    for _ in 0..200_000 {
        let mut octets = captured[random(captured.len())].octets.clone();
        for _ in 0..=random(6) {
            let at = random(octets.len());
            octets[at] = u8::try_from(random(256)).unwrap();
        }
        survives(&octets);
    }
}
