//! Octets of version 1 as they were first released, and what of a later version is understood (docs/wire.md section 21).
//!
//! The golden files never change: a version that is out is out. `UPDATE_GOLDEN=1` writes those that are missing.

use std::fs;
use std::path::{Path, PathBuf};

use delivery::cookie::{Cookie, CookieError, Entry, State};
use delivery::exporter_state::ExporterState;
use delivery::sidecar::{Sidecar, SidecarError};
use delivery::{Epoch, Holdings, KeyRing, Ledger, Series, SessionRecord, session_record};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Returns the golden file's text; writes it first if it is missing and that is wanted.
fn text(name: &str, current: &str) -> String {
    let path = golden(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
        fs::write(&path, current).unwrap();
    }
    fs::read_to_string(&path).unwrap()
}

/// Returns the golden file's octets: lines of hexadecimal digits, and comments.
fn octets(name: &str, comment: &str, current: &[u8]) -> Vec<u8> {
    let lines = current.chunks(16).map(|line| {
        let hex: Vec<String> =
            line.chunks(4).map(|word| word.iter().map(|o| format!("{o:02x}")).collect()).collect();
        hex.join(" ") + "\n"
    });
    let text = text(name, &(format!("# {comment}\n") + &lines.collect::<String>()));
    let digits: Vec<u8> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| line.bytes().filter(u8::is_ascii_hexdigit))
        .collect();
    let octet = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

fn keys() -> KeyRing {
    KeyRing::parse("7 000102030405060708090a0b0c0d0e0f").unwrap()
}

fn series() -> Series {
    let ledger: Ledger = "00112233445566778899aabbccddeeff".parse().unwrap();
    Series { ledger, epoch: Epoch(3), domain: 1 }
}

fn cookie() -> Cookie {
    let entry = |numbers| Entry { series: series(), numbers };
    Cookie {
        incarnation: 0x0102_0304_0506_0708,
        state: State::Draining,
        entries: vec![entry(0..60), entry(100..4711)],
    }
}

#[test]
fn a_cookie_of_version_1_is_read_and_written_as_ever() {
    let comment = "Cookie, version 1: draining, key 7 (000102030405060708090a0b0c0d0e0f), incarnation 0102030405060708,\n\
        # ledger 00112233445566778899aabbccddeeff, epoch 3, domain 1, numbers 0 to 59 and 100 to 4710.";
    let octets = octets("cookie-1.txt", comment, &cookie().encode(&keys()));
    assert_eq!(Cookie::decode(&octets, &keys()), Ok(cookie()));
    assert_eq!(cookie().encode(&keys()), octets);
}

#[test]
fn a_cookie_of_version_2_is_refused_by_its_version_whatever_follows() {
    let mut octets = cookie().encode(&keys());
    octets[4] = 2;
    octets.extend([0; 12]);
    assert_eq!(Cookie::decode(&octets, &keys()), Err(CookieError::Version { version: 2 }));
}

#[test]
fn a_session_record_of_version_1_is_read_and_written_as_ever() {
    let record = SessionRecord { series: series(), first_number: 60, possible_duplicate_until: 150 };
    let mut current = Vec::new();
    record.encode(&mut current);
    let comment = "Session record, version 1: domain 1, ledger 00112233445566778899aabbccddeeff, epoch 3, firstNumber 60,\n\
        # possibleDuplicateUntil 150.";
    let octets = octets("session-record-1.txt", comment, &current);
    assert_eq!(SessionRecord::decode(1, &octets), Ok(record));
    assert_eq!(current, octets);
}

#[test]
fn a_session_record_with_an_element_more_and_in_another_order_is_understood() {
    let record = SessionRecord { series: series(), first_number: 60, possible_duplicate_until: 150 };
    let mut octets = Vec::new();
    record.encode(&mut octets);
    let mut fields = vec![(session_record::PEN, 13, vec![2])];
    let mut at = 0;
    for (pen, id, length) in session_record::FIELDS {
        fields.insert(0, (pen, id, octets[at..at + usize::from(length)].to_vec()));
        at += usize::from(length);
    }
    let elements = fields.iter().map(|(pen, id, _)| (*pen, *id));
    assert!(SessionRecord::is_announced_by(elements));
    let fields = fields.iter().map(|(pen, id, octets)| (*pen, *id, &octets[..]));
    assert_eq!(SessionRecord::from_fields(1, fields), Ok(record));
}

#[test]
fn a_sidecar_of_version_1_is_read_and_written_as_ever() {
    let mut holdings = Holdings::new();
    holdings.insert_range(series(), 0..60);
    holdings.insert_range(series(), 100..4711);
    let sidecar = Sidecar { file: "flows.jsonl".into(), offset: 48210, holdings };
    let current = String::from_utf8(sidecar.encode()).unwrap();
    let text = text("sidecar-1.txt", &current);
    assert_eq!(Sidecar::decode(text.as_bytes()), Ok(sidecar));
    assert_eq!(current, text);
}

#[test]
fn a_sidecar_of_another_version_is_named_by_its_version() {
    for version in [0, 2, 10] {
        let text = format!("flowpool sidecar {version}\noffset 1\nsomething new\n");
        assert_eq!(Sidecar::decode(text.as_bytes()), Err(SidecarError::Version { version }));
    }
    assert_eq!(Sidecar::decode(b"flowpool sidecar one\n"), Err(SidecarError::FirstLine));
}

#[test]
fn a_ledger_file_of_version_1_is_read_and_written_as_ever() {
    let state = ExporterState { ledger: series().ledger, epoch: Epoch(3) };
    let text = text("ledger-1.txt", &state.encode());
    assert_eq!(text.parse(), Ok(state));
    assert_eq!(state.encode(), text);
    // It has no version of its own: what is not understood is refused, and the exporter does not start.
    assert!((text + "version 2\n").parse::<ExporterState>().is_err());
}
