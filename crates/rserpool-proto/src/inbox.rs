//! What every machine does first with received octets: decode, and prepare the error message the rules ask for.

use crate::wire::asap::error::AsapError;
use crate::wire::{ErrorCause, Message, MessageType, Report, WireError, enrp};

/// Returns the message, and the ASAP_ERROR to answer with, if any (RFC 5352 section 2.2.14).
///
/// An ASAP_ERROR is never answered with another one.
pub(crate) fn open(octets: &[u8]) -> (Result<Message, WireError>, Option<Box<Message>>) {
    let mut report = Report::default();
    let decoded = Message::decode_reporting(octets, &mut report);
    let silent = report.is_empty() || MessageType::of(octets) == Some(MessageType::ERROR);
    let answer = (!silent).then(|| {
        let causes = report.causes().to_vec();
        Box::new(Message::Error(AsapError { causes, unknown: vec![] }))
    });
    (decoded, answer)
}

/// Returns the message, and the causes of the ENRP_ERROR to answer with, if any (RFC 5353 section 3.7).
pub(crate) fn open_enrp(octets: &[u8]) -> (Result<enrp::Message, WireError>, Option<Vec<ErrorCause>>) {
    let mut report = Report::default();
    let decoded = enrp::Message::decode_reporting(octets, &mut report);
    let silent = report.is_empty() || enrp::MessageType::of(octets) == Some(enrp::MessageType::ERROR);
    (decoded, (!silent).then(|| report.causes().to_vec()))
}
