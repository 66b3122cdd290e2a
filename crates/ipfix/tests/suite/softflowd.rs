//! Messages captured from softflowd, an exporter of another make. `tests/data/*.hex` are the messages, `*.txt`
//! what they say; `UPDATE_GOLDEN=1` writes the latter anew.

use std::path::{Path, PathBuf};

use ipfix::{CollectingConfig, CollectingSession, Summary, Transport, view};

use crate::support::Seen;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Returns the messages of a file of hexadecimal lines; blank lines part messages, `#` starts a comment.
pub(crate) fn captured(name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(data(name)).unwrap();
    let text: String =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    let octets = |hex: &str| -> Vec<u8> {
        let hex: Vec<u8> = hex.bytes().filter(|octet| *octet != b'\n').collect();
        hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    };
    text.split("\n\n").map(octets).filter(|message| !message.is_empty()).collect()
}

fn udp_session() -> CollectingSession {
    CollectingSession::new(CollectingConfig { transport: Transport::Udp, ..CollectingConfig::default() })
}

#[track_caller]
fn reads_as_the_golden_file(name: &str) {
    let mut session = udp_session();
    let messages = captured(&format!("{name}.hex"));
    let texts = messages.iter().map(|message| view::message(&mut session, 0, message).unwrap());
    let text = texts.collect::<Vec<_>>().join("\n");
    let golden = data(&format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap();
    let different = text.lines().zip(expected.lines()).find(|(line, expected)| line != expected);
    assert_eq!(different, None, "{name}");
    assert_eq!(text.len(), expected.len(), "{name}");
}

#[test]
fn unidirectional_flows_and_sampling_options_read_as_the_golden_file() {
    reads_as_the_golden_file("softflowd-uni");
}

#[test]
fn bidirectional_flows_with_reverse_elements_read_as_the_golden_file() {
    reads_as_the_golden_file("softflowd-bi");
}

#[test]
fn all_records_are_read_and_the_last_sequence_number_is_their_count() {
    for name in ["softflowd-uni.hex", "softflowd-bi.hex"] {
        let mut session = udp_session();
        let decode = |message: &Vec<u8>| session.decode(0, message, &mut Seen::default()).unwrap();
        let summaries: Vec<Summary> = captured(name).iter().map(decode).collect();
        let records: u32 = summaries.iter().map(|summary| summary.records).sum();
        assert!(summaries.iter().all(|summary| summary.no_template_sets == 0 && summary.reserved_sets == 0));
        // softflowd counts the records of the message itself in, and no options records, against
        // RFC 7011 section 3.1.
        assert_eq!(summaries.last().unwrap().sequence, records, "{name}");
        assert!(summaries.iter().all(|summary| summary.lost == 0 && !summary.restarted), "{name}");
    }
}
