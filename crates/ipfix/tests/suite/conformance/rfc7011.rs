//! Points of RFC 7011.

use ipfix::{CollectingConfig, CollectingSession, Summary, ie};

use crate::support::{
    Seen, collecting, decode, message, options_template_set, seen, set, template_set, words,
};

#[test]
fn a_message_of_65535_octets_is_read_whole() {
    let template = template_set(300, &[(4, 1)]);
    let records = 65_535 - 16 - template.len() - 4;
    let octets = message(1, 0, &[template, set(300, &vec![6; records])]);
    assert_eq!(octets.len(), 65_535);
    let summary = decode(&mut collecting(), &octets).unwrap().0;
    assert_eq!(summary.records, u32::try_from(records).unwrap());
}

#[test]
fn several_scope_fields_keep_their_order() {
    // lineCardId, templateId and observationDomainId are scope, selectorAlgorithm is not.
    let options = set(3, &words(&[300, 4, 3, 141, 4, 145, 2, 149, 4, 304, 2]));
    let data = set(300, &words(&[0, 7, 512, 0, 9, 3]));
    let mut session = collecting();
    assert_eq!(seen(&mut session, &message(1, 0, &[options, data]))[1], "record 0 of 1/300: 7 512 9 3");
    let template = session.templates().next().unwrap().1;
    assert_eq!((template.scope_fields(), template.is_options()), (3, true));
}

/// Sections 4.1 to 4.4: metering process statistics and reliability, exporting process reliability, flow keys.
#[test]
fn the_options_templates_of_the_protocol_are_read() {
    let metering = options_template_set(300, &[(149, 4), (40, 8), (41, 8), (42, 8)]);
    let unmetered = set(3, &words(&[301, 5, 2, 149, 4, 143, 4, 164, 8, 165, 8, 323, 8]));
    let unsent = options_template_set(302, &[(144, 4), (166, 8), (167, 8), (168, 8), (323, 8)]);
    let keys = options_template_set(303, &[(145, 2), (173, 8)]);
    let counts = |scope: &[u16], numbers: &[u16]| {
        words(&[scope, &numbers.iter().flat_map(|&number| [0, 0, 0, number]).collect::<Vec<_>>()].concat())
    };
    let data = [
        set(300, &counts(&[0, 1], &[3, 2, 1])),
        set(301, &counts(&[0, 1, 0, 5], &[9, 8, 0])),
        set(302, &counts(&[0, 6], &[7, 6, 5, 0])),
        set(303, &counts(&[512], &[31])),
    ];
    let (summary, told) = decode(
        &mut collecting(),
        &message(1, 0, &[[metering, unmetered, unsent, keys].concat(), data.concat()]),
    )
    .unwrap();
    assert_eq!((summary.options_templates, summary.options_records, summary.records), (4, 4, 0));
    let epoch = "1970-01-01T00:00:00.000Z";
    let expected = [
        "record 0 of 1/300: 1 3 2 1".to_owned(),
        format!("record 1 of 1/301: 1 5 9 8 {epoch}"),
        format!("record 2 of 1/302: 6 7 6 5 {epoch}"),
        "record 3 of 1/303: 512 31".to_owned(),
    ];
    assert_eq!(told[4..], expected);
}

#[test]
fn an_element_that_occurs_again_is_read_again_in_its_order() {
    // mplsTopLabelStackSection is followed by itself (section 8); protocolIdentifier is between two ports.
    let template = template_set(300, &[(70, 3), (70, 3), (7, 2), (4, 1), (7, 2)]);
    let data = set(300, &[0, 1, 0, 0, 2, 1, 0, 80, 6, 1, 187]);
    assert_eq!(
        seen(&mut collecting(), &message(1, 0, &[template, data]))[1],
        "record 0 of 1/300: 000100 000201 80 6 443"
    );
}

#[test]
fn each_of_many_streams_has_sequence_numbers_of_its_own() {
    let mut session = collecting();
    seen(&mut session, &message(1, 0, &[template_set(300, &[(4, 1)])]));
    let mut on = |stream: u16, sequence: u32| -> Summary {
        session.decode(stream, &message(1, sequence, &[set(300, &[6])]), &mut Seen::default()).unwrap()
    };
    for round in 0..3 {
        for stream in 0..1000 {
            let summary = on(stream, u32::from(stream) * 7 + round);
            assert!(!summary.out_of_sequence && !summary.sequence_untracked, "{stream}");
        }
    }
    // Two records are missing on one stream alone, which two messages show.
    on(500, 3507);
    assert_eq!((on(500, 3508).lost, on(501, 3510).lost), (4, 0));
}

#[test]
fn whatever_element_a_template_names_is_skipped_by_its_length() {
    // Unassigned IANA numbers and unknown enterprises, of fixed and variable length.
    assert_eq!((ie::lookup(0, 20_000), ie::lookup(4_000_000_000, 1)), (None, None));
    let record =
        [300, 5, 20_000, 3, 0x8001, 65535, 61_035, 10_240, 20_001, 65535, 0x8002, 8, 61_035, 10_240, 4, 1];
    let data = [&[1, 2, 3, 2, 0xab, 0xcd, 255, 0, 1, 9][..], &[7; 8], &[6]].concat();
    let octets = message(1, 0, &[set(2, &words(&record)), set(300, &data)]);
    let expected = "record 0 of 1/300: 010203 abcd 09 0707070707070707 6";
    assert_eq!(seen(&mut collecting(), &octets)[1], expected);
}

/// Section 8 scopes templates to the session and the domain; what is bounded is told.
#[test]
fn ten_thousand_domains_are_as_many_scopes_within_the_limit() {
    let config = CollectingConfig { max_templates: 10_000, ..CollectingConfig::default() };
    let mut session = CollectingSession::new(config);
    let refused: u32 = (0..10_001)
        .map(|domain| {
            let octets = message(domain, 0, &[template_set(300, &[(4, 1)])]);
            decode(&mut session, &octets).unwrap().0.templates_refused
        })
        .sum();
    assert_eq!((refused, session.templates().count()), (1, 10_000));
}
