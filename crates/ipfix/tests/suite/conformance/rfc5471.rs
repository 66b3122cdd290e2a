//! The tests of RFC 5471 that feed a collecting process something, octet by octet as printed there.

use ipfix::DecodeError;

use crate::support::{collecting, decode, message, options_template_set, seen, set, template_set, words};

/// Figure 4, with a field count and a total length of one's choice: a template record of two fields that has one.
fn figure_4(total_length: u16, field_count: u16, rest: &[u16]) -> Vec<u8> {
    let mut octets = words(&[10, total_length]);
    octets.extend(1_155_202_151_u32.to_be_bytes());
    octets.extend(0x1234_5678_u32.to_be_bytes());
    octets.extend(0x3333_4444_u32.to_be_bytes());
    octets.extend(words(&[2, total_length.saturating_sub(16), 257, field_count, 8, 4]));
    octets.extend(words(rest));
    octets
}

/// Section 3.6.4 (a) to (d).
#[test]
fn a_template_record_that_disagrees_with_its_lengths_is_refused() {
    let refusal = |octets: &[u8]| decode(&mut collecting(), octets).unwrap_err();
    let a = figure_4(32, 2, &[]);
    assert_eq!(refusal(&a), DecodeError::MessageLength { length: 32, octets: 28 });
    let b = figure_4(28, 2, &[]);
    assert_eq!(refusal(&b), DecodeError::TemplateTruncated { offset: 28, id: 257 });
    let c = figure_4(26, 2, &[]);
    assert_eq!(refusal(&c), DecodeError::MessageLength { length: 26, octets: 28 });
    let d = figure_4(32, 1, &[]);
    assert_eq!(refusal(&d), DecodeError::MessageLength { length: 32, octets: 28 });
}

/// Section 3.6.4 (e).
#[test]
fn the_template_record_with_its_second_field_is_accepted() {
    let mut session = collecting();
    let (summary, _) = decode(&mut session, &figure_4(32, 2, &[12, 4])).unwrap();
    assert_eq!((summary.templates, summary.sequence), (1, 0x1234_5678));
}

/// Section 3.6.4, figure 6.
#[test]
fn an_options_template_with_an_impossible_scope_field_count_is_refused() {
    for scope_fields in [0, 2] {
        let octets = message(0x3333_4444, 0, &[set(3, &words(&[257, 1, scope_fields, 8, 4]))]);
        let error = decode(&mut collecting(), &octets).unwrap_err();
        assert_eq!(error, DecodeError::ScopeFieldCount { offset: 24, scope_fields, fields: 1 });
    }
}

/// Sections 3.6.5 and 3.6.6. An integer in more octets than its type has, or another length where none may be
/// changed, is no reason to lose a message: the value is read where it can be, and kept as octets where not.
#[test]
fn data_records_that_do_not_fit_their_template_are_refused_or_kept_as_octets() {
    let variable = template_set(300, &[(82, 65535), (4, 1)]);
    let offset = 16 + variable.len() + 4;
    let bad = message(1, 0, &[variable, set(300, &[9, b'e', b't', b'h'])]);
    assert_eq!(decode(&mut collecting(), &bad).unwrap_err(), DecodeError::FieldLength { offset, id: 300 });
    // sourceIPv4Address in 3 octets, protocolIdentifier in 2, flowStartMilliseconds in 4.
    let odd = template_set(300, &[(8, 3), (4, 2), (152, 4)]);
    let data = set(300, &[192, 0, 2, 0, 6, 0, 0, 0, 1]);
    let told = seen(&mut collecting(), &message(1, 0, &[odd, data]));
    assert_eq!(told[1], "record 0 of 1/300: c00002 6 00000001");
}

/// Section 3.6.6: a fixed record that is too short for its template is padding, one that is too long begins a next one
/// that is. Nothing in the message could tell them from padding (RFC 7011 section 3.3.1).
#[test]
fn octets_too_few_for_a_record_are_padding() {
    let template = template_set(300, &[(8, 4), (7, 2)]);
    let data = [set(300, &[192, 0, 2, 1]), set(300, &[192, 0, 2, 1, 0, 80, 1, 1])];
    let (summary, told) = decode(&mut collecting(), &message(1, 0, &[template, data.concat()])).unwrap();
    assert_eq!((summary.records, told[1].as_str()), (1, "record 0 of 1/300: 192.0.2.1 80"));
}

/// Section 3.6.7.
#[test]
fn sets_of_unknown_ids_are_skipped_and_the_rest_of_the_message_is_read() {
    let sets =
        [set(1, &[0; 8]), set(4, &words(&[300, 1, 7, 2])), template_set(300, &[(4, 1)]), set(300, &[6])];
    let (summary, told) = decode(&mut collecting(), &message(1, 0, &sets)).unwrap();
    assert_eq!((summary.reserved_sets, told[1].as_str()), (2, "record 0 of 1/300: 6"));
}

/// Section 3.5.3: a template of very many fields.
#[test]
fn a_template_that_fills_a_message_is_read_and_so_is_its_data() {
    let fields = vec![(4, 1); 16_000];
    let mut session = collecting();
    seen(&mut session, &message(1, 0, &[template_set(300, &fields)]));
    let (summary, _) = decode(&mut session, &message(1, 0, &[set(300, &[6; 48_000])])).unwrap();
    assert_eq!(summary.records, 3);
}

/// Section 3.4.1: whatever element may be scope.
#[test]
fn any_element_may_be_scope() {
    for (id, length) in [(8, 4), (82, 65535), (1, 8), (152, 8)] {
        let octets = message(1, 0, &[options_template_set(300, &[(id, length), (34, 4)])]);
        assert_eq!(decode(&mut collecting(), &octets).unwrap().0.options_templates, 1, "{id}");
    }
}
