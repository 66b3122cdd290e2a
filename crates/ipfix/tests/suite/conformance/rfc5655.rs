//! Points of RFC 5655: what a file may hold is what any transport may carry.

use crate::support::{Seen, collecting, message, options_template_set, set, template_set, words};

/// Section 7.1: templates repeated as over UDP, withdrawn as over TCP, and data between them, in one session.
#[test]
fn a_file_may_repeat_replace_and_withdraw_templates() {
    let file = [
        message(1, 0, &[template_set(300, &[(4, 1)]), set(300, &[6])]),
        message(1, 1, &[template_set(300, &[(4, 1)]), set(300, &[17])]),
        message(1, 2, &[template_set(300, &[(7, 2)]), set(300, &[0, 53])]),
        message(1, 3, &[set(2, &words(&[300, 0]))]),
        message(1, 3, &[template_set(300, &[(8, 4)]), set(300, &[192, 0, 2, 1])]),
    ];
    let mut session = collecting();
    let mut seen = Seen::default();
    for message in &file {
        assert!(!session.decode(0, message, &mut seen).unwrap().out_of_sequence);
    }
    let records: Vec<_> = seen.0.iter().filter(|line| line.starts_with("record")).collect();
    assert_eq!(
        records,
        [
            "record 0 of 1/300: 6",
            "record 1 of 1/300: 17",
            "record 2 of 1/300: 53",
            "record 3 of 1/300: 192.0.2.1"
        ]
    );
}

/// Section 8.1: message checksum, time window, export session and message details are options like any other.
#[test]
fn the_options_of_files_are_read_by_their_types() {
    // messageScope, messageMD5Checksum; sessionScope, minExportSeconds, maxExportSeconds.
    let checksum = options_template_set(300, &[(263, 1), (262, 16)]);
    let window = options_template_set(301, &[(267, 1), (264, 4), (260, 4)]);
    let data = [set(300, &[&[1][..], &[0xab; 16]].concat()), set(301, &[1, 0, 0, 0, 0, 0, 0, 0, 60])];
    let mut seen = Seen::default();
    let octets = message(1, 0, &[checksum, window, data.concat()]);
    collecting().decode(0, &octets, &mut seen).unwrap();
    assert_eq!(
        seen.0[2..],
        [
            format!("record 0 of 1/300: 1 {}", "ab".repeat(16)),
            "record 1 of 1/301: 1 1970-01-01T00:00:00Z 1970-01-01T00:01:00Z".to_owned()
        ]
    );
}
