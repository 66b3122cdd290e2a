//! The rules for unknown types, tried on whole messages (captured ones where they exist).

use super::*;
use crate::wire::{ParameterRule, Policy};

/// ASAP_HANDLE_RESOLUTION of pool "P" with one more parameter of this type, as captured.
fn resolution_with(kind: u16) -> Vec<u8> {
    let mut octets = vec![5, 0, 0, 0x14, 0, 9, 0, 5, b'P', 0, 0, 0];
    octets.extend(kind.to_be_bytes());
    octets.extend([0, 8, 0xde, 0xad, 0xbe, 0xef]);
    octets
}

fn decode(octets: &[u8]) -> (Result<Message, WireError>, Vec<ErrorCause>) {
    let mut report = Report::default();
    let decoded = Message::decode_reporting(octets, &mut report);
    (decoded, report.causes().to_vec())
}

#[test]
fn bits_00_stop_silently() {
    let (decoded, causes) = decode(&resolution_with(0x0bbb));
    let kind = ParameterType(0x0bbb);
    assert_eq!(decoded.unwrap_err(), WireError::UnrecognizedParameter { offset: 12, kind });
    assert_eq!(causes, []);
}

#[test]
fn bits_01_stop_and_report_the_whole_parameter() {
    let (decoded, causes) = decode(&resolution_with(0x4bbb));
    assert!(decoded.is_err());
    let expected = ErrorCause::unrecognized_parameter(&[0x4b, 0xbb, 0, 8, 0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(causes, [expected]);
}

#[test]
fn bits_10_skip_silently_and_keep() {
    let octets = resolution_with(0x8bbb);
    let (decoded, causes) = decode(&octets);
    assert_eq!(decoded.unwrap().to_octets().unwrap(), octets);
    assert_eq!(causes, []);
}

#[test]
fn bits_11_skip_and_report() {
    let octets = resolution_with(0xcbbb);
    let (decoded, causes) = decode(&octets);
    assert_eq!(decoded.unwrap().to_octets().unwrap(), octets);
    assert_eq!(causes.len(), 1);
}

#[test]
fn rules_hold_in_nested_parameters() {
    // Registration: an address of type 0x?bbb inside the SCTP transport inside the pool element.
    for (kind, processed, reported) in
        [(0x0bbb_u16, false, 0), (0x4bbb, false, 1), (0x8bbb, true, 0), (0xcbbb, true, 1)]
    {
        let mut octets = vec![1, 0, 0, 0x3c, 0, 9, 0, 5, b'P', 0, 0, 0];
        octets.extend([0, 0x0a, 0, 0x30, 0, 0, 0, 0xa1, 0, 0, 0, 0, 0, 0, 0, 30]);
        octets.extend([0, 4, 0, 0x18, 0x12, 0x83, 0, 1, 0, 1, 0, 8, 127, 0, 0, 1]);
        octets.extend(kind.to_be_bytes());
        octets.extend([0, 8, 1, 2, 3, 4, 0, 8, 0, 8, 0, 0, 0, 1]);
        let (decoded, causes) = decode(&octets);
        assert_eq!(decoded.is_ok(), processed, "{kind:#06x}");
        assert_eq!(causes.len(), reported, "{kind:#06x}");
        match decoded {
            Ok(message) => assert_eq!(message.to_octets().unwrap(), octets),
            Err(error) => {
                let kind = ParameterType(kind);
                assert_eq!(error, WireError::UnrecognizedParameter { offset: 44, kind });
            }
        }
    }
}

#[test]
fn a_known_parameter_in_the_wrong_place_is_unknown_there() {
    let octets = [5, 0, 0, 0x14, 0, 9, 0, 5, b'P', 0, 0, 0, 0, 0x0d, 0, 8, 1, 2, 3, 4];
    let kind = ParameterType::COOKIE;
    assert_eq!(Message::decode(&octets), Err(WireError::UnrecognizedParameter { offset: 12, kind }));
}

#[test]
fn an_unknown_message_is_reported_only_with_bits_01() {
    for (kind, reported) in [(0x3f, 0), (0x7f, 1), (0xbf, 0), (0xff, 0)] {
        let octets = [kind, 0, 0, 0x0c, 0, 9, 0, 5, b'P', 0, 0, 0];
        let (decoded, causes) = decode(&octets);
        assert_eq!(decoded, Err(WireError::UnrecognizedMessage { kind }));
        assert_eq!(causes.len(), reported);
        for cause in causes {
            assert_eq!(cause, ErrorCause::unrecognized_message(&octets));
        }
    }
}

#[test]
fn a_malformed_parameter_is_reported_once_and_innermost() {
    // The policy inside the pool element has a length that Round Robin does not have.
    let mut octets = vec![1, 0, 0, 0x38, 0, 9, 0, 5, b'P', 0, 0, 0];
    octets.extend([0, 0x0a, 0, 0x2c, 0, 0, 0, 0xa1, 0, 0, 0, 0, 0, 0, 0, 30]);
    octets.extend([0, 4, 0, 0x10, 0x12, 0x83, 0, 1, 0, 1, 0, 8, 127, 0, 0, 1]);
    octets.extend([0, 8, 0, 0x0c, 0, 0, 0, 1, 0, 0, 0, 9]);
    let (decoded, causes) = decode(&octets);
    let kind = ParameterType::POLICY;
    assert_eq!(decoded.unwrap_err(), WireError::ParameterLength { offset: 44, kind, length: 12 });
    assert_eq!(causes, [ErrorCause::invalid_values(&octets[44..])]);
}

#[test]
fn a_report_never_outgrows_the_message_that_carries_it() {
    let mut octets = vec![5, 0, 0xff, 0xfc, 0, 9, 0, 5, b'P', 0, 0, 0];
    while octets.len() < 0xfffc {
        octets.extend([0xcb, 0xbb, 0, 4]);
    }
    let (decoded, causes) = decode(&octets);
    assert!(decoded.is_ok());
    let error = Message::Error(AsapError { causes, unknown: vec![] });
    assert!(error.to_octets().unwrap().len() <= Report::MAX_OCTETS + 8);
}

#[test]
fn the_message_length_must_fit_and_only_padding_may_follow() {
    let octets = [5, 0, 0, 0x0c, 0, 9, 0, 5, b'P', 0, 0, 0];
    assert_eq!(
        Message::decode(&octets[..11]).unwrap_err(),
        WireError::MessageLength { length: 12, octets: 11 }
    );
    let mut longer = octets.to_vec();
    longer.push(0);
    assert_eq!(Message::decode(&longer).unwrap_err(), WireError::TrailingOctets { offset: 12, extra: 1 });
    // The padding of the last parameter, and with it of the message, is not counted.
    let mut uncounted = octets;
    uncounted[3] = 9;
    assert!(Message::decode(&uncounted).is_ok());
    assert_eq!(Message::decode(&[5, 0]).unwrap_err(), WireError::Truncated { offset: 2, needed: 2, left: 0 });
}

#[test]
fn parameters_are_read_in_any_order() {
    let octets = [9, 0, 0, 0x14, 0, 0x0e, 0, 8, 0, 0, 0, 0xa1, 0, 9, 0, 5, b'P', 0, 0, 0];
    let Ok(Message::EndpointUnreachable(report)) = Message::decode(&octets) else { panic!() };
    assert_eq!(report.pe, PeId(0xa1));
}

#[test]
fn a_second_pool_handle_is_refused_with_its_offset() {
    let octets = [5, 0, 0, 0x14, 0, 9, 0, 5, b'P', 0, 0, 0, 0, 9, 0, 5, b'Q', 0, 0, 0];
    let kind = ParameterType::POOL_HANDLE;
    assert_eq!(Message::decode(&octets).unwrap_err(), WireError::DuplicateParameter { offset: 12, kind });
}

#[test]
fn a_business_card_keeps_the_policy_of_the_reference_implementation() {
    let card = Message::BusinessCard(BusinessCard {
        pool: PoolHandle::new("P").unwrap(),
        policy: Some(Policy::RoundRobin),
        elements: vec![],
        unknown: vec![],
    });
    assert_eq!(Message::decode(&card.to_octets().unwrap()).unwrap(), card);
}

#[test]
fn a_message_that_does_not_fit_leaves_the_buffer_as_it_was() {
    let mut out = vec![1, 2, 3];
    let message = Message::Cookie(Cookie { cookie: vec![0; 65_530], unknown: vec![] });
    assert_eq!(message.encode(&mut out), Err(EncodeError::TooLong { octets: 65_540 }));
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn rules_are_the_two_highest_bits() {
    assert_eq!(ParameterRule::of(ParameterType(0x3fff)), ParameterRule::Stop);
    assert_eq!(ParameterRule::of(ParameterType::RESOLUTION_OPTION), ParameterRule::Skip);
    assert_eq!(ParameterRule::of(ParameterType::ENCAPSULATION_PORT), ParameterRule::Skip);
    assert_eq!(ParameterRule::of(ParameterType(0xffff)), ParameterRule::SkipAndReport);
}

#[test]
fn every_mandatory_parameter_is_missed_by_name() {
    // Each message without one of its parameters (RFC 5352 section 2.2), and which that is.
    let pool = [0, 9, 0, 5, b'P', 0, 0, 0];
    let pe = [0, 0x0e, 0, 8, 0, 0, 0, 0xa1];
    let without: [(u8, &[u8], ParameterType); 9] = [
        (0x01, &pool, ParameterType::POOL_ELEMENT),
        (0x02, &pool, ParameterType::PE_IDENTIFIER),
        (0x02, &pe, ParameterType::POOL_HANDLE),
        (0x03, &pool, ParameterType::PE_IDENTIFIER),
        (0x04, &pe, ParameterType::POOL_HANDLE),
        (0x05, &[], ParameterType::POOL_HANDLE),
        (0x08, &pool, ParameterType::PE_IDENTIFIER),
        (0x09, &pe, ParameterType::POOL_HANDLE),
        (0x0b, &[], ParameterType::COOKIE),
    ];
    for (kind, parameters, missing) in without {
        let length = u8::try_from(4 + parameters.len()).unwrap();
        let (decoded, causes) = decode(&[&[kind, 0, 0, length][..], parameters].concat());
        let found = match decoded {
            Err(WireError::MissingParameter { kind, .. }) => kind,
            other => panic!("message {kind:#04x}: {other:?}"),
        };
        assert_eq!(found, missing, "message {kind:#04x}");
        assert_eq!(causes, [], "message {kind:#04x}");
    }
}
