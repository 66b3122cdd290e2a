//! One line per message and event, for the ladders.

use rserpool_proto::ControlProtocol;
use rserpool_proto::registrar::Event;
use rserpool_proto::wire::enrp::handle_table::PoolEntry;
use rserpool_proto::wire::enrp::handle_update::UpdateAction;
use rserpool_proto::wire::enrp::presence::Presence;
use rserpool_proto::wire::enrp::{self, Body};
use rserpool_proto::wire::param::draining;
use rserpool_proto::wire::param::long_registrar_identifier::LongRegistrarId;
use rserpool_proto::wire::param::pe_checksum32::PeChecksum32;
use rserpool_proto::wire::param::registrar_tcp::RegistrarTcp;
use rserpool_proto::wire::param::server_information::ServerInformation;
use rserpool_proto::wire::{Message, PoolElementParameter};

use crate::world::Told;

#[path = "../../../rserpool-proto/tests/ladder/describe.rs"]
#[expect(unreachable_pub, reason = "shared with the ladders of rserpool-proto")]
mod asap;

pub(crate) fn message(protocol: ControlProtocol, octets: &[u8]) -> String {
    match protocol {
        ControlProtocol::Asap => {
            Message::decode(octets).map_or_else(|e| e.to_string(), |m| asap::message(&m))
        }
        ControlProtocol::Enrp => enrp::Message::decode(octets).map_or_else(|e| e.to_string(), |m| peer(&m)),
    }
}

/// Who is meant only where it is not everybody; the sender is in the ladder.
fn peer(message: &enrp::Message) -> String {
    let details: String = match &message.body {
        Body::Presence(m) => {
            let checksum = m.checksum.map_or(String::new(), |sum| format!(" checksum={:04x}", sum.0));
            let information = if m.information.is_some() { " information" } else { "" };
            let next = next_generation(m);
            format!("{checksum}{information}{next}{}", if m.reply_required { " reply-required" } else { "" })
        }
        Body::HandleTableRequest(m) => String::from(if m.own_children_only { " W" } else { "" }),
        Body::HandleTableResponse(m) => {
            let entries: Vec<String> = m.entries.iter().map(entry).collect();
            let (rejected, more) =
                (if m.rejected { " R" } else { "" }, if m.more_to_send { " M" } else { "" });
            format!("{rejected}{more} [{}]", entries.join(", "))
        }
        Body::HandleUpdate(m) => {
            let action = match m.action {
                UpdateAction::ADD_PE => "ADD_PE".to_string(),
                UpdateAction::DEL_PE => "DEL_PE".to_string(),
                other => format!("{other:?}"),
            };
            let suggested = if m.takeover_suggested { " T" } else { "" };
            format!(" {action}{suggested} pool={} {}", m.pool, element(&m.element))
        }
        Body::ListRequest(_) => String::new(),
        Body::ListResponse(m) => {
            let peers: Vec<String> =
                m.peers.iter().map(|peer| format!("{}{}", peer.registrar, of_it(peer))).collect();
            format!("{} [{}]", if m.rejected { " R" } else { "" }, peers.join(" "))
        }
        Body::InitTakeover(m) => format!(" target={}", m.target),
        Body::InitTakeoverAck(m) => format!(" target={}", m.target),
        Body::TakeoverServer(m) => format!(" target={}", m.target),
        Body::EnrpError(m) => m.causes.iter().map(|cause| format!(" ({cause})")).collect(),
    };
    let receiver = match message.receiver.0 {
        0 => String::new(),
        _ => format!(" to={}", message.receiver),
    };
    format!("{}{receiver}{details}", message.message_type())
}

/// What a presence tells beside RFC 5353 (docs/wire.md sections 15 to 18).
fn next_generation(presence: &Presence) -> String {
    let checksum = PeChecksum32::find(&presence.unknown).unwrap();
    let checksum = checksum.map_or(String::new(), |sum| format!(" checksum32={sum}"));
    presence.information.as_ref().map_or(String::new(), of_it) + &checksum
}

fn of_it(information: &ServerInformation) -> String {
    let long = LongRegistrarId::find(&information.unknown).unwrap();
    let mut text = long.map_or(String::new(), |long| format!(" long={long}"));
    for tcp in RegistrarTcp::all(&information.unknown) {
        text += &format!(" tcp={}", tcp.address);
    }
    text
}

fn entry(entry: &PoolEntry) -> String {
    if entry.elements.len() > 4 {
        return format!("{}: {} elements", entry.pool, entry.elements.len());
    }
    let elements: Vec<String> = entry.elements.iter().map(|e| format!("{}@{}", e.pe, e.home)).collect();
    format!("{}: {}", entry.pool, elements.join(" "))
}

fn element(element: &PoolElementParameter) -> String {
    let draining = if draining::is_marked(&element.unknown) { " draining" } else { "" };
    format!("pe={} home={}{draining}", element.pe, element.home)
}

/// Whether it asks a pool element to change its home; `None` for other messages than keep-alives.
pub(crate) fn is_home_change(protocol: ControlProtocol, octets: &[u8]) -> Option<bool> {
    match Message::decode(octets) {
        Ok(Message::EndpointKeepAlive(message)) if protocol == ControlProtocol::Asap => Some(message.home),
        _ => None,
    }
}

pub(crate) fn told(told: &Told) -> String {
    let text = match told {
        Told::Registrar(Event::ElementRemoved { pool, pe, reason, .. }) => {
            return format!("ElementRemoved {{ pool: {pool}, pe: {pe}, reason: {reason:?} }}");
        }
        Told::Registrar(Event::ChecksumMismatch { peer, told, held }) => {
            return format!(
                "ChecksumMismatch {{ peer: {peer}, told: {:04x}, held: {:04x} }}",
                told.0, held.0
            );
        }
        Told::Registrar(Event::IdConflict { holder, ours, holder_at, newcomer, newcomer_at, .. }) => {
            let holder_at = if *ours { "here".to_string() } else { format!("{holder_at:?}") };
            return format!("IdConflict {{ {holder} at {holder_at}, {newcomer} at {newcomer_at:?} }}");
        }
        Told::Registrar(event) => format!("{event:?}"),
        Told::Element(event) => format!("{event:?}"),
        Told::User(event) => format!("{event:?}"),
    };
    without_types(&text)
}

/// Identifiers and handles stand for themselves.
fn without_types(text: &str) -> String {
    let mut short = text.to_string();
    for name in ["RegistrarId(", "PoolHandle(", "PeId(", "ConnectionId("] {
        while let Some((before, after)) = short.split_once(name) {
            let Some((inside, rest)) = after.split_once(')') else { break };
            short = format!("{before}{inside}{rest}");
        }
    }
    short
}
