//! What exporters tell of their own elements (RFC 5610), and what is believed of it.

use ipfix::{
    CollectingConfig, CollectingSession, DataType, ElementDescription, FieldSpecifier, RecordWriter,
    Semantics, Summary, TemplateRecord,
};

use crate::support::{collecting, decode, message, seen, set};

const PEN: u32 = 32_473;

fn description(id: u16, data_type: DataType, semantics: Semantics, name: &str) -> ElementDescription {
    ElementDescription { pen: PEN, id, data_type, semantics, units: 0, name: name.into() }
}

/// The set of the type records' template, and that of the records.
fn type_records(descriptions: &[ElementDescription]) -> Vec<u8> {
    let mut template = Vec::new();
    ElementDescription::template(400).encode(&mut template);
    let mut writer = RecordWriter::new();
    descriptions.iter().for_each(|description| description.encode(&mut writer));
    [set(3, &template), set(400, writer.octets())].concat()
}

/// A template set of template 300: elements 1 and 2 of the enterprise, of four octets and of variable length.
fn template() -> Vec<u8> {
    let fields = [(1, 4), (2, 65535)];
    let fields = fields.map(|(id, length)| FieldSpecifier { pen: PEN, id, length }).to_vec();
    let mut octets = Vec::new();
    TemplateRecord { id: 300, scope_fields: 0, fields }.encode(&mut octets);
    set(2, &octets)
}

fn data() -> Vec<u8> {
    set(300, &[0, 0, 1, 0, 2, b'a', b'b'])
}

fn both() -> [ElementDescription; 2] {
    [
        description(1, DataType::Unsigned32, Semantics::DeltaCounter, "carsPassed"),
        description(2, DataType::String, Semantics::Default, "roadName"),
    ]
}

fn tell(session: &mut CollectingSession, domain: u32, descriptions: &[ElementDescription]) -> Summary {
    decode(session, &message(domain, 0, &[type_records(descriptions)])).unwrap().0
}

/// Names of the first template's elements as they are told, empty where nothing is.
fn names(session: &CollectingSession) -> Vec<String> {
    let template = session.templates().map(|(_, template)| template).find(|template| template.id() == 300);
    let told = |at| template.unwrap().description(at).map_or(String::new(), |told| told.name.to_string());
    (0..2).map(told).collect()
}

#[test]
fn elements_that_were_described_are_read_by_their_type_and_have_their_name() {
    let mut session = collecting();
    let summary = tell(&mut session, 1, &both());
    assert_eq!((summary.descriptions, summary.descriptions_refused), (2, 0));
    assert_eq!(seen(&mut session, &message(1, 0, &[template(), data()]))[1], "record 0 of 1/300: 256 ab");
    assert_eq!(names(&session), ["carsPassed", "roadName"]);
    let text = ipfix::view::message(&mut session, 0, &message(1, 0, &[data()])).unwrap();
    assert!(text.contains("carsPassed = 256") && text.contains("roadName = ab"), "{text}");
}

#[test]
fn a_template_that_came_before_its_elements_were_described_is_read_anew_from_the_next_message_on() {
    let mut session = collecting();
    assert_eq!(
        seen(&mut session, &message(1, 0, &[template(), data()]))[1],
        "record 0 of 1/300: 00000100 6162"
    );
    let serial = session.templates().next().unwrap().1.serial();
    tell(&mut session, 1, &both());
    assert_ne!(session.templates().next().unwrap().1.serial(), serial, "what is derived from it changes");
    assert_eq!(seen(&mut session, &message(1, 1, &[data()])), ["record 1 of 1/300: 256 ab"]);
    // Told again nothing changes, and a repeated template stays what it is.
    assert_eq!(tell(&mut session, 1, &both()).descriptions, 0);
    let (summary, _) = decode(&mut session, &message(1, 2, &[template()])).unwrap();
    assert_eq!((summary.templates_repeated, names(&session)[0].as_str()), (1, "carsPassed"));
}

#[test]
fn descriptions_belong_to_one_session_and_domain() {
    let mut session = collecting();
    tell(&mut session, 2, &both());
    seen(&mut session, &message(1, 0, &[template()]));
    assert_eq!(names(&session), ["", ""]);
    let mut session = collecting();
    tell(&mut session, 1, &both());
    session.restart();
    seen(&mut session, &message(1, 0, &[template()]));
    assert_eq!(names(&session), ["", ""]);
}

#[test]
fn contradicting_descriptions_count_for_nothing() {
    let mut session = collecting();
    tell(&mut session, 1, &both());
    tell(&mut session, 1, &[description(1, DataType::Ipv4Address, Semantics::Default, "carsPassed")]);
    tell(&mut session, 1, &both());
    assert_eq!(
        seen(&mut session, &message(1, 0, &[template(), data()]))[1],
        "record 0 of 1/300: 00000100 ab"
    );
    assert_eq!(names(&session), ["", "roadName"]);
}

#[test]
fn nobody_describes_elements_that_are_known_here() {
    let theirs = |pen, id| ElementDescription {
        pen,
        id,
        ..description(1, DataType::String, Semantics::Default, "mine")
    };
    // IANA's, assigned or not, a reverse one, and CERT's DNSName.
    let refused = [theirs(0, 1), theirs(0, 30_000), theirs(29_305, 1), theirs(8057, 2), theirs(PEN, 0)];
    let summary = tell(&mut collecting(), 1, &refused);
    assert_eq!((summary.descriptions, summary.descriptions_refused), (0, 5));
}

#[test]
fn names_that_are_no_plain_words_or_another_elements_are_refused() {
    for name in [
        "",
        "a b",
        "a\0b",
        "a\u{1b}[2J",
        "\"",
        "1st",
        "caf\u{e9}",
        "octetDeltaCount",
        "DNSName",
        &"x".repeat(65),
    ] {
        let summary =
            tell(&mut collecting(), 1, &[description(1, DataType::String, Semantics::Default, name)]);
        assert_eq!((summary.descriptions, summary.descriptions_refused), (0, 1), "{name:?}");
    }
    let longest = description(1, DataType::String, Semantics::Default, &"x".repeat(64));
    assert_eq!(tell(&mut collecting(), 1, &[longest]).descriptions, 1);
}

/// RFC 5610 section 3.10.
#[test]
fn types_and_semantics_that_do_not_go_together_are_refused() {
    for (data_type, semantics, taken) in [
        (DataType::Unsigned16, Semantics::Flags, 1),
        (DataType::Signed16, Semantics::Flags, 0),
        (DataType::Signed16, Semantics::Identifier, 1),
        (DataType::Float64, Semantics::Identifier, 0),
        (DataType::Float64, Semantics::Quantity, 1),
        (DataType::Ipv4Address, Semantics::DeltaCounter, 0),
        (DataType::BasicList, Semantics::List, 1),
    ] {
        let told = description(1, data_type, semantics, "thing");
        assert_eq!(tell(&mut collecting(), 1, &[told]).descriptions, taken, "{data_type} {semantics:?}");
    }
}

#[test]
fn what_is_described_takes_of_the_memory_for_templates_and_no_more() {
    let config = CollectingConfig { max_template_octets: 20_000, ..CollectingConfig::default() };
    let mut session = CollectingSession::new(config);
    let many: Vec<_> = (1..1000)
        .map(|id| description(id, DataType::Unsigned64, Semantics::Quantity, &format!("element{id}")))
        .collect();
    let taken: u32 = many.chunks(100).map(|some| tell(&mut session, 1, some).descriptions).sum();
    assert!((50..300).contains(&taken), "{taken}");
    assert!(session.template_octets() <= 20_000);
}
