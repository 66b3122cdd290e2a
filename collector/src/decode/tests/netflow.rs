//! NetFlow in captures, and in files of its messages.

use super::*;
use pcap_fixtures::netflow::{set, template, v5, v7, v9, v9_from};

/// What one capture and one file have: each version, and a FlowSet of version 9 in a datagram of its own, padded.
fn datagrams() -> [Vec<u8>; 6] {
    let sets = [template(256, &[(1, 4)]), set(256, &[0, 0, 0, 9])];
    let mut padded = v9_from(1, 2, &[set(256, &[0, 0, 0, 10])]);
    padded.extend([0; 8]);
    let [one, two] = [0, 1].map(|at| messages()[at].clone());
    [v5(2, 0, 0), v9(&sets), padded, v7(), one, two]
}

/// The octets that the records of [`datagrams`] count.
const OCTETS: [u64; 6] = [6000, 6001, 9, 10, 6000, 1];

fn octets(lines: &str) -> Vec<u64> {
    let value =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["octetDeltaCount"].as_u64();
    lines.lines().map(|line| value(line).unwrap()).collect()
}

#[test]
fn netflow_of_a_capture_is_printed_with_ianas_names_and_absolute_times() {
    let packets = datagrams().map(|datagram| udp((5000, 2055), &datagram));
    let printed = lines(&pcap(&packets));
    assert_eq!(octets(&printed), OCTETS);
    assert!(printed.contains("\"flowStartMilliseconds\":\"2026-11-20T23:59:58.250Z\""), "{printed}");
}

#[test]
fn a_file_of_netflow_messages_is_told_by_their_version_fields() {
    assert_eq!(octets(&lines(&datagrams().concat())), OCTETS);
}

#[test]
fn netflow_is_printed_as_text_where_asked() {
    let options = Options { format: Format::Text, ..Options::default() };
    let (text, told, error) = decoded(&datagrams()[..2].concat(), options);
    assert_eq!((told.as_str(), error.as_str()), ("", ""));
    assert!(
        text.contains("    octetDeltaCount = 6000\n") && text.contains("    octetDeltaCount = 9\n"),
        "{text}"
    );
}

#[test]
fn templates_of_version_9_are_those_of_one_source_and_one_domain() {
    let [_, define, data, ..] = datagrams();
    let packets = [
        udp((1, 2055), &define),
        udp((2, 2055), &data),
        udp((1, 2055), &v9_from(2, 2, &[set(256, &[0; 4])])),
    ];
    let (printed, told, error) = json(&pcap(&packets));
    assert_eq!((octets(&printed), error.as_str()), (vec![9], ""));
    assert_eq!(told, "2 data sets (8 octets) without a template");
}

#[test]
fn malformed_and_missing_datagrams_and_refused_templates_are_told() {
    let [_, define, ..] = datagrams();
    let mut bad = define.clone();
    bad[23] = 200;
    let at = |sequence| v9_from(1, sequence, &[set(256, &[0; 4])]);
    let refused = v9_from(1, 2, &[template(255, &[(1, 4)])]);
    let packets = [define, refused, bad, at(6), at(7)].map(|datagram| udp((5000, 2055), &datagram));
    let (printed, told, error) = json(&pcap(&packets));
    assert_eq!((octets(&printed), error.as_str()), (vec![9, 0, 0], "1 malformed messages"));
    assert_eq!(
        told,
        "1 malformed messages discarded; the first: packet 3: octet 22: FlowSet length 200 but 20 octets are left\n\
         1 templates refused\n\
         3 datagrams of NetFlow missing by their sequence numbers"
    );
}

#[test]
fn a_file_of_netflow_cut_anywhere_prints_what_came_before_and_never_panics() {
    let whole = datagrams().concat();
    let all = lines(&whole);
    for length in 0..whole.len() {
        let (printed, ..) = json(&whole[..length]);
        assert!(all.starts_with(&printed), "{length}: {printed}");
    }
}
