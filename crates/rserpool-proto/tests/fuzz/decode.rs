//! Octets from a fuzzer, taken for a message: what decodes must encode to a message that decodes to the same.

use rserpool_proto::wire::{Message, Report, enrp};

/// More causes than any message can hold in 65,535 octets.
const CAUSES: usize = 1 << 14;

/// Takes the octets for an ASAP message; returns whether they are one.
///
/// # Panics
///
/// If the decoder panics, or the message is another one after encoding.
pub(crate) fn asap(octets: &[u8]) -> bool {
    let mut report = Report::default();
    let decoded = Message::decode_reporting(octets, &mut report);
    assert!(report.causes().len() <= CAUSES);
    let Ok(message) = decoded else { return false };
    let again = message.to_octets().expect("what was decoded is not too long");
    assert!(again.len() <= octets.len() + 3, "{message:?} has grown from {octets:?}");
    assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
    assert_eq!(message.to_octets(), Ok(again));
    true
}

/// Takes the octets for an ENRP message; returns whether they are one.
///
/// # Panics
///
/// If the decoder panics, or the message is another one after encoding.
pub(crate) fn enrp(octets: &[u8]) -> bool {
    let mut report = Report::default();
    let decoded = enrp::Message::decode_reporting(octets, &mut report);
    assert!(report.causes().len() <= CAUSES);
    let Ok(message) = decoded else { return false };
    let again = message.to_octets().expect("what was decoded is not too long");
    assert!(again.len() <= octets.len() + 3, "{message:?} has grown from {octets:?}");
    assert_eq!(enrp::Message::decode(&again).as_ref(), Ok(&message));
    assert_eq!(message.to_octets(), Ok(again));
    true
}
