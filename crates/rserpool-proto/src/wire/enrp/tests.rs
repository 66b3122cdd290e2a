//! The captured messages of each type, octet by octet, and what is wrong with broken ones.

use super::*;
use crate::wire::ErrorCause;
use crate::wire::ParameterType;
use crate::wire::UnknownParameter;
use crate::wire::enrp::handle_update::UpdateAction;
use crate::wire::param::pe_checksum::PeChecksum;

const R1: RegistrarId = RegistrarId(0x0a0b_0c01);
const R2: RegistrarId = RegistrarId(0x0a0b_0c02);
const R3: RegistrarId = RegistrarId(0x0a0b_0c03);

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// Decodes, encodes, and expects the same octets again.
fn round_trip(hex: &str) -> Message {
    let octets = octets(hex);
    let message = Message::decode(&octets).unwrap();
    assert_eq!(message.to_octets().unwrap(), octets, "{message:?}");
    message
}

#[test]
fn a_captured_presence_tells_checksum_and_address() {
    let message = round_trip(
        "0100002c 0a0b0c01 00000000 000f0006 e5c70000 000b0018 0a0b0c01 00040010 26ad0000 00010008 0a4d000b",
    );
    assert_eq!((message.sender, message.receiver), (R1, RegistrarId::UNDETERMINED));
    let Body::Presence(presence) = message.body else { panic!() };
    assert_eq!((presence.reply_required, presence.checksum), (false, Some(PeChecksum(0xe5c7))));
    let information = presence.information.unwrap();
    assert_eq!((information.registrar, information.transport.port), (R1, 9901));
}

#[test]
fn a_presence_may_lack_both_parameters_and_have_them_in_any_order() {
    let Body::Presence(bare) = round_trip("0101000c 0a0b0c01 0a0b0c02").body else { panic!() };
    assert!(bare.reply_required && bare.checksum.is_none() && bare.information.is_none());
    let turned = octets(
        "0100002c 0a0b0c01 00000000 000b0018 0a0b0c01 00040010 26ad0000 00010008 0a4d000b 000f0006 e5c70000",
    );
    let Body::Presence(turned) = Message::decode(&turned).unwrap().body else { panic!() };
    assert_eq!(turned.checksum, Some(PeChecksum(0xe5c7)));
}

#[test]
fn captured_requests_and_takeover_messages_have_their_flags_and_targets() {
    let message = round_trip("0201000c 0a0b0c02 0a0b0c01");
    assert!(matches!(message.body, Body::HandleTableRequest(request) if request.own_children_only));
    let message = round_trip("0500000c 0a0b0c02 0a0b0c01");
    assert_eq!((message.sender, message.receiver), (R2, R1));
    let message = round_trip("07000010 0a0b0c03 0a0b0c02 0a0b0c01");
    assert_eq!(message.sender, R3);
    assert_eq!(message.body, Body::InitTakeover(InitTakeover::of(R1)));
    let message = round_trip("08000010 0a0b0c02 0a0b0c03 0a0b0c01");
    assert_eq!(message.body, Body::InitTakeoverAck(InitTakeoverAck::of(R1)));
    let message = round_trip("09000010 0a0b0c03 00000000 0a0b0c01");
    assert_eq!(message.body, Body::TakeoverServer(TakeoverServer::of(R1)));
}

#[test]
fn a_captured_list_may_have_a_registrar_without_identifier() {
    let message = round_trip(
        "0600003c 0a0b0c01 63eaeca1 000b0018 00000000 00040010 26ad0000 00010008 0a4d000c \
         000b0018 63eaeca1 00040010 e0810000 00010008 0a4d0020",
    );
    let Body::ListResponse(list) = message.body else { panic!() };
    assert_eq!(list.peers[0].registrar, RegistrarId::UNDETERMINED);
    assert_eq!((list.peers.len(), list.rejected), (2, false));
    let Body::ListResponse(refused) = round_trip("0601000c 0a0b0c01 63eaeca1").body else { panic!() };
    assert!(refused.rejected);
}

const TABLE: &str = "030000d4 0a0b0c01 63eaeca1 0009000c 4563686f 506f6f6c \
    000a0038 000000a1 0a0b0c01 00015f90 00040010 bade0001 00010008 0a4d0015 00080008 00000001 \
    00040010 82ed0000 00010008 0a4d0015 \
    000a0038 000000a2 0a0b0c01 00015f90 00040010 bea20001 00010008 0a4d0016 00080008 00000001 \
    00040010 b1ca0000 00010008 0a4d0016 0009000f 43616c63 41707050 6f6f6c00 \
    000a003c 000000a3 0a0b0c01 00015f90 00040010 a9cf0001 00010008 0a4d0017 0008000c 40000001 00000000 \
    00040010 c6a90000 00010008 0a4d0017";

#[test]
fn a_captured_table_has_the_elements_of_each_pool() {
    let Body::HandleTableResponse(table) = round_trip(TABLE).body else { panic!() };
    assert_eq!((table.rejected, table.more_to_send), (false, false));
    let pools: Vec<_> = table.entries.iter().map(|e| (e.pool.to_string(), e.elements.len())).collect();
    assert_eq!(pools, [("EchoPool".to_owned(), 2), ("CalcAppPool".to_owned(), 1)]);
    assert_eq!(table.entries[1].elements[0].asap_transport.as_ref().unwrap().port, 0xc6a9);
}

#[test]
fn a_table_has_a_flag_for_more_and_one_for_refusal() {
    let Body::HandleTableResponse(more) = round_trip("0302000c 0a0b0c01 0a0b0c02").body else { panic!() };
    assert!(more.more_to_send && !more.rejected);
    let Body::HandleTableResponse(no) = round_trip("0301000c 0a0b0c01 0a0b0c02").body else { panic!() };
    assert!(no.rejected && !no.more_to_send);
}

#[test]
fn an_element_without_a_pool_before_it_is_refused_with_its_offset() {
    let mut broken = octets(TABLE);
    broken.drain(12..24);
    broken[2..4].copy_from_slice(&200_u16.to_be_bytes());
    let kind = ParameterType::POOL_HANDLE;
    assert_eq!(Message::decode(&broken), Err(WireError::MissingParameter { offset: 12, kind }));
}

const UPDATE: &str = "04000054 0a0b0c02 0a0b0c01 00000000 0009000c 4563686f 506f6f6c 000a0038 000000a4 \
    0a0b0c02 00015f90 00040010 e5630001 00010008 0a4d0018 00080008 00000001 00040010 90f80000 00010008 0a4d0018";

#[test]
fn a_captured_update_adds_an_element_and_may_suggest_a_takeover() {
    let Body::HandleUpdate(update) = round_trip(UPDATE).body else { panic!() };
    assert_eq!((update.action, update.element.home), (UpdateAction::ADD_PE, R2));
    assert!(!update.takeover_suggested);
    let Body::HandleUpdate(suggesting) = round_trip(&UPDATE.replacen("0400", "0401", 1)).body else {
        panic!()
    };
    assert!(suggesting.takeover_suggested);
}

/// The reference implementation refuses a message that ends with what it does not know.
#[test]
fn the_next_generation_stands_where_old_peers_pass_over_it() {
    let message = round_trip(
        "01000054 0a0b0c01 00000000 000f0006 e5c70000 8f030008 12345678 8f060004 \
         000b0034 0a0b0c01 00040010 26ad0000 00010008 0a4d000b \
         8f05000c 01020304 0a0b0c01 8f020010 26ad0000 00010008 0a4d000b",
    );
    let Body::Presence(presence) = message.body else { panic!() };
    let kinds = |unknown: &[UnknownParameter]| unknown.iter().map(|found| found.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&presence.unknown), [ParameterType::PE_CHECKSUM_32, ParameterType::DRAINING]);
    let information = presence.information.unwrap();
    let inside = [ParameterType::LONG_REGISTRAR_IDENTIFIER, ParameterType::REGISTRAR_TCP];
    assert_eq!(kinds(&information.unknown), inside);
    let long = UPDATE.replacen("04000054", "04000060", 1).replacen("000a0038", "000a0044", 1);
    let Body::HandleUpdate(update) = round_trip(&(long + "8f04000c 01020304 000000a4")).body else {
        panic!()
    };
    assert_eq!(update.element.long_id().map(|long| long.0), Some(0x0102_0304_0000_00a4));
}

#[test]
fn an_update_without_element_is_refused_where_it_ends() {
    let broken = octets("0400001c 0a0b0c02 00000000 00010000 0009000c 4563686f 506f6f6c");
    let kind = ParameterType::POOL_ELEMENT;
    assert_eq!(Message::decode(&broken), Err(WireError::MissingParameter { offset: 28, kind }));
}

#[test]
fn a_captured_error_of_the_reference_implementation_has_a_private_cause() {
    let Body::EnrpError(error) = round_trip("0a000014 0a0b0c02 0a0b0c01 000c0008 00100004").body else {
        panic!()
    };
    assert_eq!(error.causes, [ErrorCause::plain(crate::wire::CauseCode(0x10))]);
}

#[test]
fn lengths_that_lie_are_refused_where_they_do() {
    let cut = octets("07000010 0a0b0c03 0a0b0c02");
    assert_eq!(Message::decode(&cut), Err(WireError::MessageLength { length: 16, octets: 12 }));
    let short = octets("0700000c 0a0b0c03 0a0b0c02");
    assert_eq!(Message::decode(&short), Err(WireError::Truncated { offset: 12, needed: 4, left: 0 }));
    let headless = octets("01000008 0a0b0c03");
    assert_eq!(Message::decode(&headless), Err(WireError::Truncated { offset: 8, needed: 4, left: 0 }));
    let long = octets("0500000c 0a0b0c02 0a0b0c01 00000000");
    assert_eq!(Message::decode(&long), Err(WireError::TrailingOctets { offset: 12, extra: 4 }));
    let nested = octets("01000010 0a0b0c02 0a0b0c01 000f000c");
    let kind = ParameterType::PE_CHECKSUM;
    assert_eq!(Message::decode(&nested), Err(WireError::ParameterLength { offset: 12, kind, length: 12 }));
}

#[test]
fn unknown_parameters_and_messages_are_skipped_stopped_and_reported_by_their_upper_bits() {
    for (kind, processed, reported) in
        [("0bbb", false, 0), ("4bbb", false, 1), ("8bbb", true, 0), ("cbbb", true, 1)]
    {
        let mut report = Report::default();
        let hex = format!("05000014 0a0b0c02 0a0b0c01 {kind}0008 deadbeef");
        let decoded = Message::decode_reporting(&octets(&hex), &mut report);
        assert_eq!((decoded.is_ok(), report.causes().len()), (processed, reported), "{kind}");
        if processed {
            round_trip(&hex);
        }
    }
    for (kind, reported) in [("7f", 1), ("0b", 0), ("ff", 0)] {
        let mut report = Report::default();
        let decoded =
            Message::decode_reporting(&octets(&format!("{kind}00000c 0a0b0c02 0a0b0c01")), &mut report);
        assert!(matches!(decoded, Err(WireError::UnrecognizedMessage { .. })));
        assert_eq!(report.causes().len(), reported, "{kind}");
    }
}
