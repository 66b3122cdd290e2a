//! The octets of a segment as they were first released (docs/wire.md sections 20 and 21).
//!
//! The golden file never changes: a version that is out is out. `UPDATE_GOLDEN=1` writes it where it is missing.

mod world;

use std::fs;
use std::path::Path;

use spool::{Position, Spool};
use world::{Folder, append, config, read_all, text};

const COMMENT: &str = "# Spool segment, version 1: domain 7, the sets \"templates\" twice, then two messages of export time 1000 with one\n\
    # flow record each. Each message ends with its check record.\n";

#[test]
fn a_segment_of_version_1_is_read_and_written_as_ever() {
    let folder = Folder::new();
    let (mut spool, _) = Spool::open(config(&folder)).unwrap();
    append(&mut spool, 0).unwrap();
    append(&mut spool, 1).unwrap();
    spool.sync().unwrap();
    let current = fs::read(&folder.files()[0]).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segment-1.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !golden.exists() {
        let line = |line: &[u8]| line.iter().map(|octet| format!("{octet:02x}")).collect::<String>() + "\n";
        let hex: String = current.chunks(16).map(line).collect();
        fs::write(&golden, format!("{COMMENT}{hex}")).unwrap();
    }
    let segment = octets(&fs::read_to_string(&golden).unwrap());
    assert_eq!(current, segment);

    let older = Folder::new();
    fs::write(older.path().join("0000000000000001.ipfix"), segment).unwrap();
    let (spool, found) = Spool::open(config(&older)).unwrap();
    assert_eq!((found.messages, found.flow_records, found.damage.len()), (2, 2, 0));
    let messages = [0, 1].map(|number| (Position(number), text(number).into_bytes()));
    assert_eq!(read_all(&spool), messages);
}

/// Lines of hexadecimal digits, and comments.
fn octets(text: &str) -> Vec<u8> {
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(octet).collect()
}
