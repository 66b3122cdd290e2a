//! Malformed messages: each is refused with the offset of what is wrong, and leaves no trace (RFC 7011 section 9.1).

use ipfix::DecodeError;

use crate::support::{collecting, decode, message, options_template_set, seen, set, template_set, words};

/// Checks that a message is refused with `expected`, although a good template and record come before what is
/// wrong, and that the session knows nothing of that template then.
#[track_caller]
fn refused(bad: &[u8], expected: DecodeError) {
    let mut session = collecting();
    let good = [template_set(400, &[(4, 1)]), set(400, &[6])].concat();
    let shift = good.len();
    let whole = message(1, 0, &[good, bad.to_vec()]);
    let error = decode(&mut session, &whole).unwrap_err();
    assert_eq!(error.offset(), expected.offset() + shift, "{error}");
    assert_eq!(session.templates().count(), 0);
    let alone = decode(&mut session, &message(1, 0, &[bad.to_vec()])).unwrap_err();
    assert_eq!(alone, expected);
    let after = seen(&mut session, &message(1, 0, &[set(400, &[6])]));
    assert_eq!(after, ["no template 1/400: 1 octets"]);
}

#[test]
fn a_message_shorter_than_its_header_is_refused() {
    assert_eq!(decode(&mut collecting(), &[0, 10, 0, 15]).unwrap_err(), DecodeError::Header { octets: 4 });
    assert_eq!(decode(&mut collecting(), &[]).unwrap_err(), DecodeError::Header { octets: 0 });
}

#[test]
fn another_version_is_refused() {
    let mut octets = message(1, 0, &[]);
    octets[1] = 9;
    assert_eq!(decode(&mut collecting(), &octets).unwrap_err(), DecodeError::Version { version: 9 });
}

#[test]
fn a_message_longer_or_shorter_than_its_length_is_refused() {
    let mut octets = message(1, 0, &[set(300, &[1, 2, 3, 4])]);
    octets.push(0);
    let error = decode(&mut collecting(), &octets).unwrap_err();
    assert_eq!(error, DecodeError::MessageLength { length: 24, octets: 25 });
    assert_eq!(error.to_string(), "octet 2: message length 24 but 25 octets");
    assert!(decode(&mut collecting(), &octets[..23]).is_err());
}

#[test]
fn a_message_without_sets_is_accepted() {
    let (summary, seen) = decode(&mut collecting(), &message(1, 7, &[])).unwrap();
    assert_eq!((summary.sequence, summary.data_records(), seen.len()), (7, 0, 0));
}

#[test]
fn octets_too_few_for_a_set_header_are_refused() {
    refused(&[1, 0, 0], DecodeError::SetHeader { offset: 16, octets: 3 });
}

#[test]
fn a_set_shorter_than_its_header_or_beyond_the_message_is_refused() {
    refused(&words(&[300, 3]), DecodeError::SetLength { offset: 18, length: 3, octets: 4 });
    refused(&words(&[300, 0]), DecodeError::SetLength { offset: 18, length: 0, octets: 4 });
    refused(&words(&[300, 9, 0, 0]), DecodeError::SetLength { offset: 18, length: 9, octets: 8 });
}

#[test]
fn a_template_id_below_256_is_refused() {
    refused(&template_set(255, &[(4, 1)]), DecodeError::TemplateId { offset: 20, id: 255 });
    refused(&set(2, &words(&[3, 0])), DecodeError::TemplateId { offset: 20, id: 3 });
}

#[test]
fn a_template_with_more_fields_than_octets_is_refused() {
    refused(&set(2, &words(&[300, 2, 4, 1])), DecodeError::TemplateTruncated { offset: 28, id: 300 });
    refused(&set(2, &words(&[300, 1, 0x8004, 1, 0])), DecodeError::TemplateTruncated { offset: 24, id: 300 });
    refused(&set(3, &words(&[300, 1])), DecodeError::TemplateTruncated { offset: 24, id: 300 });
}

#[test]
fn an_options_template_without_scope_or_with_more_scope_than_fields_is_refused() {
    let none = DecodeError::ScopeFieldCount { offset: 24, scope_fields: 0, fields: 1 };
    refused(&set(3, &words(&[300, 1, 0, 4, 1])), none);
    let many = DecodeError::ScopeFieldCount { offset: 24, scope_fields: 2, fields: 1 };
    refused(&set(3, &words(&[300, 1, 2, 4, 1])), many);
}

#[test]
fn a_field_of_variable_length_beyond_its_set_is_refused() {
    let template = template_set(300, &[(4, 1), (82, 65535)]);
    let at = 16 + template.len() + 4;
    let bad = |data: &[u8], offset: usize| {
        refused(&[template.clone(), set(300, data)].concat(), DecodeError::FieldLength { offset, id: 300 });
    };
    bad(&[6, 3, b'a', b'b'], at + 1);
    bad(&[6, 1, b'a', 6, 255, 0], at + 4);
    bad(&[6, 255, 0, 2, b'a'], at + 1);
}

#[test]
fn a_malformed_redefinition_or_withdrawal_leaves_the_old_template() {
    let mut session = collecting();
    seen(
        &mut session,
        &message(1, 0, &[template_set(300, &[(4, 1)]), options_template_set(301, &[(149, 4), (41, 8)])]),
    );
    let bad_end = words(&[999, 1]);
    let redefined = message(1, 0, &[template_set(300, &[(4, 2)]), bad_end.clone()]);
    let withdrawn = message(1, 0, &[set(2, &words(&[2, 0])), set(3, &words(&[3, 0])), bad_end]);
    assert!(decode(&mut session, &redefined).is_err());
    assert!(decode(&mut session, &withdrawn).is_err());
    assert_eq!(session.templates().map(|(_, template)| template.id()).collect::<Vec<_>>(), [300, 301]);
    assert_eq!(
        seen(&mut session, &message(1, 0, &[set(300, &[6, 17])])),
        ["record 0 of 1/300: 6", "record 1 of 1/300: 17"]
    );
}

#[test]
fn a_malformed_message_does_not_move_the_sequence_number() {
    let mut session = collecting();
    let template = template_set(300, &[(4, 1)]);
    seen(&mut session, &message(1, 0, &[template, set(300, &[6])]));
    let bad = message(1, 50, &[set(300, &[6]), words(&[300, 1])]);
    assert!(decode(&mut session, &bad).is_err());
    let next = message(1, 1, &[set(300, &[6])]);
    assert!(!decode(&mut session, &next).unwrap().0.out_of_sequence);
}
