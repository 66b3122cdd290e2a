//! One line per message and event, for the ladders.

use rserpool_proto::ControlProtocol;
use rserpool_proto::wire::Message;

use crate::world::Told;

#[path = "../../../rserpool-proto/tests/ladder/describe.rs"]
#[expect(unreachable_pub, reason = "shared with the ladders of rserpool-proto")]
mod asap;

pub(crate) fn message(protocol: ControlProtocol, octets: &[u8]) -> String {
    match protocol {
        ControlProtocol::Asap => {
            Message::decode(octets).map_or_else(|e| e.to_string(), |m| asap::message(&m))
        }
        ControlProtocol::Enrp => String::from("ENRP"),
    }
}

pub(crate) fn told(told: &Told) -> String {
    match told {
        Told::Registrar(event) => format!("{event:?}"),
        Told::Element(event) => format!("{event:?}"),
        Told::User(event) => format!("{event:?}"),
    }
}
