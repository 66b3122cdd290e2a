use std::io::Write as _;

use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, TemplateRecord};

use super::*;

/// Two messages with one record each: octetDeltaCount 1 and 2, the first with the template.
fn messages() -> Vec<Vec<u8>> {
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 1400 });
    let fields = vec![FieldSpecifier::iana(1, 4)];
    exporting.define(0, TemplateRecord { id: 256, scope_fields: 0, fields }).unwrap();
    for record in [[0, 0, 0, 1], [0, 0, 0, 2]] {
        exporting.record(0, 256, &record, 0).unwrap();
        exporting.flush_all(0);
    }
    std::iter::from_fn(|| exporting.poll_message()).map(|out| out.octets).collect()
}

const LINES: &str = "{\"octetDeltaCount\":1}\n{\"octetDeltaCount\":2}\n";

/// Decodes `input` and returns what was printed, what was told, and what failed.
fn decoded(input: &[u8], options: Options) -> (String, String, String) {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, options);
    let decoded = decode(BufReader::new(input), &mut printer);
    let finished = printer.finish();
    let told = printer.told().to_string();
    let error = decoded.and(finished).map_or_else(|error| format!("{error:#}"), |()| String::new());
    (String::from_utf8(out).unwrap(), told, error)
}

fn json(input: &[u8]) -> (String, String, String) {
    decoded(input, Options::default())
}

fn lines(input: &[u8]) -> String {
    let (lines, told, error) = json(input);
    assert_eq!((told.as_str(), error.as_str()), ("", ""));
    lines
}

/// A classic pcap file of packets without a link header (link type 101).
fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0002_0004, 0, 0, 65_535, 101_u32] {
        file.write_all(&word.to_be_bytes()).unwrap();
    }
    for packet in packets {
        let length = u32::try_from(packet.len()).unwrap();
        for word in [0, 0, length, length] {
            file.write_all(&word.to_be_bytes()).unwrap();
        }
        file.extend(packet);
    }
    file
}

fn ip(protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let mut packet =
        vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    packet.extend(body);
    packet
}

fn udp(ports: (u16, u16), body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + body.len()).unwrap();
    let head: Vec<u8> = [ports.0, ports.1, length, 0].iter().flat_map(|word| word.to_be_bytes()).collect();
    ip(17, &[&head, body].concat())
}

fn tcp(sequence: u32, syn: bool, body: &[u8]) -> Vec<u8> {
    let mut head = [&9_u16.to_be_bytes()[..], &4739_u16.to_be_bytes(), &sequence.to_be_bytes()].concat();
    head.extend([0, 0, 0, 0, 0x50, if syn { 2 } else { 16 }, 0, 0, 0, 0, 0, 0]);
    ip(6, &[&head, body].concat())
}

/// An SCTP packet of one data chunk; `flags` 2 begins a message, 1 ends it.
fn sctp(tsn: u32, flags: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(16 + body.len()).unwrap();
    let mut packet = [&9_u16.to_be_bytes()[..], &4739_u16.to_be_bytes(), &[0; 8]].concat();
    packet.extend(
        [&[0, flags][..], &length.to_be_bytes(), &tsn.to_be_bytes(), &[0, 1, 0, 0, 0, 0, 0, 0]].concat(),
    );
    packet.extend(body);
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet
}

#[test]
fn a_message_file_is_printed_as_json_lines() {
    assert_eq!(lines(&messages().concat()), LINES);
    assert_eq!(lines(&[]), "");
}

#[test]
fn what_comes_before_a_broken_message_is_printed() {
    let mut stream = messages().concat();
    stream.truncate(stream.len() - 1);
    let (lines, _, error) = json(&stream);
    assert_eq!(lines, "{\"octetDeltaCount\":1}\n");
    assert!(
        error.starts_with("message at octet ") && error.contains("the file ends within a message"),
        "{error}"
    );
}

#[test]
fn a_malformed_message_is_told_and_what_comes_behind_it_is_printed() {
    let messages = messages();
    let mut bad = messages[1].clone();
    bad[19] = 200;
    let stream = [&messages[0], &bad, &messages[1], &messages[2]].map(Clone::clone).concat();
    let (lines, told, error) = json(&stream);
    assert_eq!(lines, LINES);
    assert!(told.starts_with("1 malformed messages discarded; the first: message at octet "), "{told}");
    assert_eq!(error, "1 malformed messages");
}

#[test]
fn data_without_a_template_is_told_and_no_failure() {
    let (lines, told, error) = json(&messages()[1..].concat());
    assert_eq!((lines.as_str(), error.as_str()), ("", ""));
    assert_eq!(told, "2 data sets (8 octets) without a template");
}

#[test]
fn what_is_no_ipfix_is_refused_with_its_version() {
    let (_, _, error) = json(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(
        error,
        "message at octet 0: octet 0: version 18245 is neither IPFIX's (10) nor NetFlow's (5, 7, 9)"
    );
}

#[test]
fn text_for_people_is_printed_where_asked() {
    let options = Options { format: Format::Text, ..Options::default() };
    let (text, told, error) = decoded(&messages().concat(), options);
    assert_eq!((told.as_str(), error.as_str()), ("", ""));
    assert!(text.contains("  record 1 of template 256\n    octetDeltaCount = 2\n"), "{text}");
}

#[test]
fn datagrams_of_a_capture_are_printed_and_others_told() {
    let mut packets: Vec<_> = messages().iter().map(|message| udp((5000, 4739), message)).collect();
    packets.push(udp((5002, 53), b"what"));
    packets.push(vec![0x45, 0]);
    let (printed, told, error) = json(&pcap(&packets));
    assert_eq!((printed.as_str(), error.as_str()), (LINES, ""));
    assert_eq!(
        told,
        "1 packets that are no IP or cut short passed over\n\
         1 datagrams, segments or chunks that are neither IPFIX nor NetFlow passed over"
    );
}

#[test]
fn each_source_of_datagrams_is_a_session_of_its_own() {
    let messages = messages();
    let packets = [udp((5000, 4739), &messages[0]), udp((6000, 4739), &messages[1])];
    let (printed, told, _) = json(&pcap(&packets));
    assert_eq!((printed.as_str(), told.as_str()), ("", "1 data sets (4 octets) without a template"));
}

#[test]
fn messages_over_tcp_are_put_together_of_segments_sent_once_or_twice() {
    let stream = messages().concat();
    let (one, two) = stream.split_at(30);
    let at = |offset: usize| 1001 + u32::try_from(offset).unwrap();
    let packets = [
        tcp(1000, true, &[]),
        tcp(at(0), false, one),
        tcp(at(0), false, &stream[..40]),
        tcp(at(30), false, two),
    ];
    assert_eq!(lines(&pcap(&packets)), LINES);
}

#[test]
fn a_gap_in_tcp_is_told_and_reading_goes_on_where_a_message_begins() {
    let messages = messages();
    let length = u32::try_from(messages[0].len()).unwrap();
    let packets = [
        tcp(1000, true, &[]),
        tcp(1001, false, &messages[0]),
        // Something is missing here, then half a message, then a whole one.
        tcp(1101 + length, false, &messages[1][7..]),
        tcp(5001 + length, false, &messages[2]),
    ];
    let (printed, told, error) = json(&pcap(&packets));
    assert_eq!((printed.as_str(), error.as_str()), ("{\"octetDeltaCount\":2}\n", ""));
    assert_eq!(told, "1 segments or chunks of messages that are not whole passed over");
}

#[test]
fn messages_over_sctp_are_read_also_within_udp_and_in_several_chunks() {
    let messages = messages();
    let (one, two) = messages[1].split_at(9);
    let chunks = [
        sctp(7, 3, &messages[0]),
        sctp(8, 2, one),
        sctp(9, 1, two),
        sctp(9, 1, two),
        sctp(10, 3, &messages[2]),
    ];
    let native: Vec<_> = chunks.iter().map(|packet| ip(132, packet)).collect();
    assert_eq!(lines(&pcap(&native)), LINES);
    let encapsulated: Vec<_> = chunks.iter().map(|packet| udp((9899, 9899), packet)).collect();
    assert_eq!(lines(&pcap(&encapsulated)), LINES);
}

#[test]
fn a_capture_cut_anywhere_prints_what_came_before_and_never_panics() {
    let packets: Vec<_> = messages().iter().map(|message| udp((5000, 4739), message)).collect();
    let whole = pcap(&packets);
    for length in 0..whole.len() {
        let (printed, ..) = json(&whole[..length]);
        assert!(LINES.starts_with(&printed), "{length}: {printed}");
    }
}

/// Real captures of many vendors, where they are at hand. One has an options template of NetFlow version 9 in its message: with
/// lengths where IPFIX has counts, which RFC 5471 section 3.6.4 wants discarded.
#[test]
fn captures_of_many_vendors_have_as_many_records_as_tshark_finds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/ipfix/samples");
    let Ok(index) = std::fs::read_to_string(folder.join("INDEX.tsv")) else {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    };
    let mut compared = 0;
    for row in index.lines().skip(1) {
        let mut cells = row.split('\t');
        let (case, version, flows) = (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap());
        if version != "10" {
            continue;
        }
        let expected = if case == "ipfixcol_enterprise-from-nfv9" { 0 } else { flows.parse().unwrap() };
        let (printed, told, _) = json(&std::fs::read(folder.join(format!("{case}.pcap"))).unwrap());
        assert_eq!(printed.lines().count(), expected, "{case}: {told}");
        printed.lines().for_each(|line| drop(serde_json::from_str::<serde_json::Value>(line).unwrap()));
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}

mod netflow;
