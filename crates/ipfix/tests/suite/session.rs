//! The two sessions against each other: what is exported is collected again.

use ipfix::{
    CollectingConfig, CollectingSession, Content, ExportingConfig, ExportingSession, FieldSpecifier,
    OutMessage, Record, RecordWriter, TemplateRecord, Text, Value, Visitor,
};

const TIME: u32 = 1_700_000_000;

/// Keeps every field as `name=value` text, per record.
#[derive(Default)]
struct Texts {
    records: Vec<(u32, String)>,
}

impl Visitor for Texts {
    fn record(&mut self, record: &Record<'_>) {
        let fields: Vec<String> = record
            .fields()
            .map(|field| format!("{}={:?}", field.name().unwrap_or("?"), field.value()))
            .collect();
        self.records.push((record.sequence, fields.join(" ")));
    }
}

fn flow_template() -> TemplateRecord {
    let fields = vec![
        FieldSpecifier::iana(8, 4),
        FieldSpecifier::iana(1, 4),
        FieldSpecifier::iana(82, 65535),
        FieldSpecifier { pen: 32473, id: 7, length: 2 },
        FieldSpecifier::iana(152, 8),
    ];
    TemplateRecord { id: 256, scope_fields: 0, fields }
}

fn flow(octets: u64, interface: &str) -> Vec<u8> {
    let mut writer = RecordWriter::new();
    writer.ipv4([192, 0, 2, 1].into()).unsigned(octets, 4).string(interface).fixed(&[0xab, 0xcd]);
    writer.unsigned(1_700_000_000_123, 8);
    writer.octets().to_vec()
}

fn session(max_message: usize) -> ExportingSession {
    ExportingSession::new(ExportingConfig { domain: 5, max_message })
}

fn drain(session: &mut ExportingSession) -> Vec<OutMessage> {
    std::iter::from_fn(|| session.poll_message()).collect()
}

#[test]
fn records_arrive_as_they_were_exported() {
    let mut exporting = session(1400);
    exporting.define(3, flow_template()).unwrap();
    exporting.record(3, 256, &flow(1500, "eth0"), TIME).unwrap();
    exporting.record(3, 256, &flow(u64::MAX, ""), TIME).unwrap();
    exporting.flush(3, TIME);
    let mut collecting = CollectingSession::new(CollectingConfig::default());
    let mut texts = Texts::default();
    let messages = drain(&mut exporting);
    let summaries: Vec<_> =
        messages.iter().map(|out| collecting.decode(3, &out.octets, &mut texts).unwrap()).collect();

    assert_eq!(
        messages.iter().map(|out| out.content).collect::<Vec<_>>(),
        [Content::Templates, Content::DataOnly]
    );
    assert_eq!((summaries[0].templates, summaries[1].records, summaries[1].lost), (1, 2, 0));
    let [first, second] = &texts.records[..] else { panic!("{:?}", texts.records) };
    assert_eq!(first.0, 0);
    assert_eq!(
        first.1,
        "sourceIPv4Address=Ipv4(192.0.2.1) octetDeltaCount=Unsigned(1500) interfaceName=String(\"eth0\") \
         ?=Octets([171, 205]) flowStartMilliseconds=Milliseconds(1700000000123)"
    );
    assert_eq!(second.0, 1);
    assert!(
        second.1.contains("octetDeltaCount=Unsigned(4294967295) interfaceName=String(\"\")"),
        "{}",
        second.1
    );
}

#[test]
fn messages_are_packed_up_to_their_limit_and_numbered() {
    let mut exporting = session(600);
    exporting.define(1, flow_template()).unwrap();
    for octets in 0..100 {
        exporting.record(1, 256, &flow(octets, "eth0"), TIME).unwrap();
    }
    assert_eq!(exporting.next_sequence(1), 100);
    exporting.flush(1, TIME);
    let messages = drain(&mut exporting);
    let mut next = 0;
    for out in &messages[1..] {
        assert!(out.octets.len() <= 600, "{} octets", out.octets.len());
        assert_eq!(out.first_sequence, next);
        next += out.records;
    }
    assert_eq!(next, 100);
    assert!(messages[1].octets.len() > 600 - 27, "the first message is full");
}

#[test]
fn a_restart_makes_templates_due_and_sequences_zero() {
    let mut exporting = session(1400);
    exporting.define(1, flow_template()).unwrap();
    exporting.record(1, 256, &flow(1, ""), TIME).unwrap();
    exporting.flush(1, TIME);
    drain(&mut exporting);
    exporting.restart();
    exporting.record(1, 256, &flow(2, ""), TIME).unwrap();
    exporting.flush(1, TIME);
    let messages = drain(&mut exporting);
    assert_eq!((messages[0].content, messages[0].first_sequence), (Content::Templates, 0));
    assert_eq!(
        (messages[1].content, messages[1].first_sequence, messages[1].records),
        (Content::DataOnly, 0, 1)
    );
}

#[test]
fn data_without_a_template_is_passed_on_and_makes_no_gap() {
    #[derive(Default)]
    struct Lost(Vec<(u32, u16, usize)>);
    impl Visitor for Lost {
        fn record(&mut self, _record: &Record<'_>) {}
        fn no_template(&mut self, domain: u32, set_id: u16, octets: &[u8]) {
            self.0.push((domain, set_id, octets.len()));
        }
    }
    let mut exporting = session(1400);
    exporting.define(1, flow_template()).unwrap();
    for _ in 0..3 {
        exporting.record(1, 256, &flow(1, ""), TIME).unwrap();
        exporting.flush(1, TIME);
    }
    let messages = drain(&mut exporting);
    let mut collecting = CollectingSession::new(CollectingConfig::default());
    let mut lost = Lost::default();
    let first = collecting.decode(1, &messages[1].octets, &mut lost).unwrap();
    assert_eq!((first.no_template_sets, first.no_template_octets, first.records), (1, 19, 0));
    collecting.decode(1, &messages[0].octets, &mut lost).unwrap();
    let third = collecting.decode(1, &messages[3].octets, &mut lost).unwrap();
    assert_eq!((third.records, third.lost, third.sequence), (1, 0, 2));
    assert_eq!(lost.0, [(5, 256, 19)]);
}

#[test]
fn a_field_is_found_by_its_place() {
    struct Places(Vec<(Option<u64>, usize)>);
    impl Visitor for Places {
        fn record(&mut self, record: &Record<'_>) {
            let octets = record.template.position(0, 1).and_then(|at| record.field(at));
            let interface = record.find(0, 82).map(|field| field.value());
            let Some(Value::String(Text(name))) = interface else { panic!("{interface:?}") };
            self.0.push((octets.and_then(|field| field.value().as_unsigned()), name.len()));
            assert!(record.find(0, 999).is_none());
            assert_eq!(record.find(0, 152).unwrap().value(), Value::Milliseconds(1_700_000_000_123));
            assert!(!record.template.is_options());
        }
    }
    let mut exporting = session(1400);
    exporting.define(0, flow_template()).unwrap();
    exporting.record(0, 256, &flow(77, &"x".repeat(300)), TIME).unwrap();
    exporting.flush_all(TIME);
    let mut collecting = CollectingSession::new(CollectingConfig::default());
    let mut places = Places(Vec::new());
    for out in drain(&mut exporting) {
        collecting.decode(0, &out.octets, &mut places).unwrap();
    }
    assert_eq!(places.0, [(Some(77), 300)]);
}
