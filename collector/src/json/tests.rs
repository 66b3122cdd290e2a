use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipfix::{
    BiflowSplitter, CollectingConfig, CollectingSession, DataType, ElementDescription, ExportingConfig,
    ExportingSession, FieldSpecifier, ListSemantic, NtpTime, Record, RecordWriter, Semantics, TemplateRecord,
    Visitor,
};

use super::*;

const TIME: Duration = Duration::new(1_795_219_200, 123_456_789);

/// Writes every record it sees.
struct Writer<'a> {
    lines: Lines,
    identity: Option<Identity<'a>>,
    out: Vec<u8>,
}

impl Visitor for Writer<'_> {
    fn record(&mut self, record: &Record<'_>) {
        self.lines.record(&mut self.out, record, self.identity);
    }
}

/// Encodes one record of `template`, decodes it again and returns its line.
fn line(template: TemplateRecord, record: &RecordWriter, identity: Option<Identity<'_>>) -> String {
    let id = template.id;
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 65_535 });
    exporting.define(1, template).unwrap();
    exporting.record(1, id, record.octets(), 0).unwrap();
    exporting.flush_all(0);
    let mut collecting = CollectingSession::new(CollectingConfig::default());
    let mut writer = Writer { lines: Lines::default(), identity, out: Vec::new() };
    while let Some(message) = exporting.poll_message() {
        collecting.decode(1, &message.octets, &mut writer).unwrap();
    }
    String::from_utf8(writer.out).unwrap()
}

fn data(fields: &[(u32, u16, u16)]) -> TemplateRecord {
    let fields = fields.iter().map(|&(pen, id, length)| FieldSpecifier { pen, id, length }).collect();
    TemplateRecord { id: 256, scope_fields: 0, fields }
}

fn iana(fields: &[(u16, u16)]) -> TemplateRecord {
    data(&fields.iter().map(|&(id, length)| (0, id, length)).collect::<Vec<_>>())
}

#[test]
fn a_flow_reads_as_json_with_iana_names() {
    // flowStart/EndMilliseconds, addresses, ports, protocol, octets (reduced to 5), packets, MAC.
    let template =
        iana(&[(152, 8), (153, 8), (8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 5), (2, 8), (56, 6)]);
    let mut record = RecordWriter::new();
    record.milliseconds(TIME).milliseconds(TIME + Duration::from_secs(1));
    record.ipv4(Ipv4Addr::new(192, 0, 2, 1)).ipv4(Ipv4Addr::new(198, 51, 100, 255));
    record.unsigned(53211, 2).unsigned(443, 2).unsigned(6, 1).unsigned(1 << 33, 5).unsigned(u64::MAX, 8);
    record.mac([2, 0, 0x5e, 0x10, 0, 1]);
    let prefix = identity_prefix([0xab; 16], 7, 1);
    let identity = Identity { prefix: &prefix, number: 4711 };
    assert_eq!(
        line(template, &record, Some(identity)),
        concat!(
            r#"{"ledger":"abababababababababababababababab","epoch":7,"domain":1,"number":4711,"#,
            r#""flowStartMilliseconds":"2026-11-21T00:00:00.123Z","flowEndMilliseconds":"2026-11-21T00:00:01.123Z","#,
            r#""sourceIPv4Address":"192.0.2.1","destinationIPv4Address":"198.51.100.255","#,
            r#""sourceTransportPort":53211,"destinationTransportPort":443,"protocolIdentifier":6,"#,
            r#""octetDeltaCount":8589934592,"packetDeltaCount":18446744073709551615,"#,
            r#""sourceMacAddress":"02:00:5e:10:00:01"}"#,
            "\n"
        )
    );
}

#[test]
fn every_other_data_type_has_its_form() {
    // sourceIPv6Address, dataRecordsReliability, interfaceName, flowStartSeconds, -Microseconds, -Nanoseconds,
    // samplingProbability as float64 and reduced to float32, mplsTopLabelStackSection, mibObjectValueInteger.
    let template = iana(&[
        (27, 16),
        (276, 1),
        (82, 65535),
        (150, 4),
        (154, 8),
        (156, 8),
        (311, 8),
        (311, 4),
        (70, 3),
        (434, 4),
    ]);
    let mut record = RecordWriter::new();
    record
        .ipv6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))
        .boolean(false)
        .string("eth\"0\"")
        .seconds(TIME);
    record.ntp(NtpTime::from_unix_time(TIME)).ntp(NtpTime::from_unix_time(TIME));
    record.float64(0.1).float32(0.1).fixed(&[1, 2, 0xfc]).signed(-5, 4);
    assert_eq!(
        line(template, &record, None),
        concat!(
            r#"{"sourceIPv6Address":"2001:db8::1","dataRecordsReliability":false,"interfaceName":"eth\"0\"","#,
            r#""flowStartSeconds":"2026-11-21T00:00:00.000Z","#,
            r#""flowStartMicroseconds":"2026-11-21T00:00:00.123456Z","#,
            r#""flowStartNanoseconds":"2026-11-21T00:00:00.123456789Z","#,
            r#""samplingProbability":0.1,"samplingProbability#2":0.1,"mplsTopLabelStackSection":"0102fc","#,
            r#""mibObjectValueInteger":-5}"#,
            "\n"
        )
    );
}

#[test]
fn what_is_unknown_or_does_not_fit_is_kept_in_hexadecimal() {
    let template = data(&[(0, 32767, 2), (99_999, 5, 3), (0, 8, 3), (0, 276, 1), (0, 210, 2)]);
    let mut record = RecordWriter::new();
    record.fixed(&[1, 2]).fixed(b"abc").fixed(&[192, 0, 2]).fixed(&[7]).fixed(&[0, 0]);
    assert_eq!(
        line(template, &record, None),
        concat!(
            r#"{"e0id32767":"0102","e99999id5":"616263","sourceIPv4Address":"c00002","#,
            r#""dataRecordsReliability":"07"}"#,
            "\n"
        )
    );
}

#[test]
fn an_options_record_is_marked() {
    let template = TemplateRecord { scope_fields: 1, ..iana(&[(149, 4), (41, 8)]) };
    let mut record = RecordWriter::new();
    record.unsigned(1, 4).unsigned(2, 8);
    assert_eq!(
        line(template, &record, None),
        "{\"options\":true,\"observationDomainId\":1,\"exportedMessageTotalCount\":2}\n"
    );
}

#[test]
fn a_record_of_padding_only_is_an_empty_object() {
    let mut record = RecordWriter::new();
    assert_eq!(line(iana(&[(210, 1)]), record.fixed(&[0]), None), "{}\n");
}

/// Encodes one record of template 256, whose lists are of templates 400 (a number and a name) and 401 (a list of numbers).
fn line_with_lists(fields: &[(u16, u16)], record: &RecordWriter) -> String {
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 65_535 });
    for template in [
        TemplateRecord { id: 400, ..iana(&[(128, 4), (82, 65535)]) },
        TemplateRecord { id: 401, ..iana(&[(291, 65535)]) },
        iana(fields),
    ] {
        exporting.define(1, template).unwrap();
    }
    exporting.record(1, 256, record.octets(), 0).unwrap();
    exporting.flush_all(0);
    let mut collecting = CollectingSession::new(CollectingConfig::default());
    let mut writer = Writer { lines: Lines::default(), identity: None, out: Vec::new() };
    while let Some(message) = exporting.poll_message() {
        collecting.decode(1, &message.octets, &mut writer).unwrap();
    }
    String::from_utf8(writer.out).unwrap()
}

const AS: FieldSpecifier = FieldSpecifier::iana(128, 4);

#[test]
fn lists_are_objects_with_their_semantic() {
    let mut record = RecordWriter::new();
    record.basic_list(ListSemantic::Ordered, AS, |list| {
        list.unsigned(64_496, 4).unsigned(64_511, 4);
    });
    record.sub_template_list(ListSemantic::AllOf, 400, |records| {
        records.unsigned(1, 4).string("eth\"0\"").unsigned(2, 4).string("");
    });
    record.sub_template_multi_list(ListSemantic::ExactlyOneOf, |parts| {
        parts.sub_template_part(401, |records| {
            records.basic_list(ListSemantic::Undefined, AS, |_| {});
        });
        parts.sub_template_part(999, |records| {
            records.fixed(&[1, 2]);
        });
    });
    record.unsigned(6, 1);
    let line = line_with_lists(&[(291, 65535), (292, 65535), (293, 65535), (4, 1)], &record);
    assert_eq!(
        line,
        concat!(
            r#"{"basicList":{"semantic":"ordered","element":"bgpNextAdjacentAsNumber","values":[64496,64511]},"#,
            r#""subTemplateList":{"semantic":"allOf","template":400,"records":["#,
            r#"{"bgpNextAdjacentAsNumber":1,"interfaceName":"eth\"0\""},"#,
            r#"{"bgpNextAdjacentAsNumber":2,"interfaceName":""}]},"#,
            r#""subTemplateMultiList":{"semantic":"exactlyOneOf","lists":["#,
            r#"{"template":401,"records":[{"basicList":{"semantic":"undefined","#,
            r#""element":"bgpNextAdjacentAsNumber","values":[]}}]},"#,
            r#"{"template":999,"octets":"0102"}]},"protocolIdentifier":6}"#,
            "\n"
        )
    );
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(parsed["subTemplateList"]["records"][1]["bgpNextAdjacentAsNumber"], 2);
}

#[test]
fn a_list_without_octets_is_an_empty_string_and_a_list_first_in_its_line_begins_it() {
    let mut record = RecordWriter::new();
    record.variable(&[]);
    assert_eq!(line_with_lists(&[(292, 65535)], &record), "{\"subTemplateList\":\"\"}\n");
}

/// Where there is room for one template's keys only, those of the outer record are replaced while it is written.
#[test]
fn keys_that_have_no_room_beside_each_other_still_make_whole_lines() {
    let mut record = RecordWriter::new();
    record.sub_template_list(ListSemantic::AllOf, 400, |records| {
        records.unsigned(1, 4).string("a");
    });
    record.unsigned(6, 1);
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 65_535 });
    exporting.define(1, TemplateRecord { id: 400, ..iana(&[(128, 4), (82, 65535)]) }).unwrap();
    exporting.define(1, iana(&[(292, 65535), (4, 1)])).unwrap();
    exporting.record(1, 256, record.octets(), 0).unwrap();
    exporting.flush_all(0);
    let mut collecting = CollectingSession::new(CollectingConfig::default());
    let mut writer = Writer { lines: Lines::with_keys(1), identity: None, out: Vec::new() };
    while let Some(message) = exporting.poll_message() {
        collecting.decode(1, &message.octets, &mut writer).unwrap();
    }
    let line = String::from_utf8(writer.out).unwrap();
    assert!(line.ends_with("\"interfaceName\":\"a\"}]},\"protocolIdentifier\":6}\n"), "{line}");
}

#[test]
fn elements_that_the_exporter_described_have_its_names_unless_those_are_other_keys() {
    let described = |id, name: &str| ElementDescription {
        pen: 32_473,
        id,
        data_type: DataType::Unsigned32,
        semantics: Semantics::Default,
        units: 0,
        name: name.into(),
    };
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 65_535 });
    exporting.define(1, ElementDescription::template(400)).unwrap();
    let mut record = RecordWriter::new();
    for told in [described(1, "cars"), described(2, "cars"), described(3, "number")] {
        record.clear();
        told.encode(&mut record);
        exporting.record(1, 400, record.octets(), 0).unwrap();
    }
    exporting.flush_all(0);
    exporting.define(1, data(&[(32_473, 1, 4), (32_473, 2, 4), (32_473, 3, 4)])).unwrap();
    record.clear().unsigned(7, 4).unsigned(8, 4).unsigned(9, 4);
    exporting.record(1, 256, record.octets(), 0).unwrap();
    exporting.flush_all(0);
    let mut collecting = CollectingSession::new(CollectingConfig::default());
    let mut writer = Writer { lines: Lines::default(), identity: None, out: Vec::new() };
    while let Some(message) = exporting.poll_message() {
        collecting.decode(1, &message.octets, &mut writer).unwrap();
    }
    let lines = String::from_utf8(writer.out).unwrap();
    assert_eq!(lines.lines().last(), Some(r#"{"cars":7,"cars#2":8,"e32473id3":9}"#));
}

struct Uniflows {
    lines: Lines,
    splitter: BiflowSplitter,
    out: Vec<u8>,
}

impl Visitor for Uniflows {
    fn record(&mut self, record: &Record<'_>) {
        let Self { lines, splitter, out } = self;
        splitter.split(record, |record, direction| lines.uniflow(out, record, None, direction));
    }
}

#[test]
fn a_biflow_is_split_into_two_lines_where_asked_and_the_second_says_so() {
    // Addresses, octets, the reverse octets.
    let template = data(&[(0, 8, 4), (0, 12, 4), (0, 1, 4), (29_305, 1, 4)]);
    let mut record = RecordWriter::new();
    record.ipv4(Ipv4Addr::new(192, 0, 2, 1)).ipv4(Ipv4Addr::new(198, 51, 100, 7)).unsigned(9, 4);
    let mut one_way = record.clone();
    one_way.unsigned(0, 4);
    record.unsigned(5, 4);
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 65_535 });
    exporting.define(1, template).unwrap();
    exporting.record(1, 256, record.octets(), 0).unwrap();
    exporting.record(1, 256, one_way.octets(), 0).unwrap();
    exporting.flush_all(0);
    let mut collecting = CollectingSession::new(CollectingConfig::default());
    let mut uniflows =
        Uniflows { lines: Lines::default(), splitter: BiflowSplitter::new(4096), out: Vec::new() };
    while let Some(message) = exporting.poll_message() {
        collecting.decode(1, &message.octets, &mut uniflows).unwrap();
    }
    let written = String::from_utf8(uniflows.out).unwrap();
    assert_eq!(
        written.lines().collect::<Vec<_>>(),
        [
            r#"{"sourceIPv4Address":"192.0.2.1","destinationIPv4Address":"198.51.100.7","octetDeltaCount":9}"#,
            concat!(
                r#"{"direction":"reverse","destinationIPv4Address":"192.0.2.1","#,
                r#""sourceIPv4Address":"198.51.100.7","octetDeltaCount":5}"#
            ),
            r#"{"sourceIPv4Address":"192.0.2.1","destinationIPv4Address":"198.51.100.7","octetDeltaCount":9}"#,
        ]
    );
}
