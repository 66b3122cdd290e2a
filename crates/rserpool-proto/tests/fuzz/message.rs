//! Well-formed messages by the fuzzer's decisions, from a world small enough that they meet each other.

use std::net::IpAddr;

use rserpool_proto::wire::asap::{deregistration, handle_resolution, keep_alive, registration, unreachable};
use rserpool_proto::wire::enrp::handle_table::{HandleTableRequest, HandleTableResponse, PoolEntry};
use rserpool_proto::wire::enrp::handle_update::{HandleUpdate, UpdateAction};
use rserpool_proto::wire::enrp::list::{ListRequest, ListResponse};
use rserpool_proto::wire::enrp::presence::Presence;
use rserpool_proto::wire::enrp::takeover::{InitTakeover, InitTakeoverAck, TakeoverServer};
use rserpool_proto::wire::enrp::{self, Body};
use rserpool_proto::wire::param::draining;
use rserpool_proto::wire::param::pe_checksum::PeChecksum;
use rserpool_proto::wire::param::server_information::ServerInformation;
use rserpool_proto::wire::{
    Load, Message, Policy, PoolElementParameter, RegistrationLife, SctpTransport, Transport, TransportUse,
    UnknownParameter,
};
use rserpool_proto::{PeId, PoolHandle, RegistrarId};

use crate::octets::Octets;

pub(crate) fn pool(octets: &mut Octets<'_>) -> PoolHandle {
    PoolHandle::new(["p", "pool", "ipfix", "odd", "much"][octets.below(5)]).unwrap()
}

pub(crate) fn pe(octets: &mut Octets<'_>) -> PeId {
    PeId(u32::from(octets.octet() % 16))
}

/// 2 is the registrar under test, 0 nobody.
fn registrar(octets: &mut Octets<'_>) -> RegistrarId {
    RegistrarId(u32::from(octets.octet() % 6))
}

fn sctp(octets: &mut Octets<'_>) -> SctpTransport {
    SctpTransport {
        port: [1, 3_863, 9_901, 0][octets.below(4)],
        transport_use: TransportUse(u16::from(octets.octet() & 1)),
        addresses: vec![IpAddr::from([127, 0, 0, 1 + octets.octet() % 4])],
        unknown: vec![],
    }
}

fn element(octets: &mut Octets<'_>) -> PoolElementParameter {
    let load = Load(u32::from(octets.octet()) << 24);
    PoolElementParameter {
        pe: pe(octets),
        home: registrar(octets),
        life: RegistrationLife([0, 1, 30, u32::MAX][octets.below(4)]),
        user_transport: Transport::Sctp(sctp(octets)),
        policy: match octets.below(4) {
            0 => Policy::LeastUsed { load },
            _ => Policy::RoundRobin,
        },
        asap_transport: octets.chance().then(|| sctp(octets)),
        encapsulation: None,
        unknown: marks(octets),
    }
}

/// Sometimes draining.
fn marks(octets: &mut Octets<'_>) -> Vec<UnknownParameter> {
    if octets.below(8) == 0 { vec![draining::mark()] } else { vec![] }
}

pub(crate) fn asap(octets: &mut Octets<'_>) -> Message {
    let (which, pool, unknown) = (octets.below(10), pool(octets), vec![]);
    match which {
        0..5 => Message::Registration(registration::Registration { pool, element: element(octets), unknown }),
        5 => Message::Deregistration(deregistration::Deregistration { pool, pe: pe(octets), unknown }),
        6 => Message::EndpointUnreachable(unreachable::EndpointUnreachable { pool, pe: pe(octets), unknown }),
        7 => Message::HandleResolution(handle_resolution::HandleResolution {
            pool,
            items: octets.chance().then_some(u32::from(octets.octet())),
            send_updates: octets.chance(),
            unknown,
        }),
        _ => {
            Message::EndpointKeepAliveAck(keep_alive::EndpointKeepAliveAck { pool, pe: pe(octets), unknown })
        }
    }
}

pub(crate) fn enrp(octets: &mut Octets<'_>) -> enrp::Message {
    enrp::Message { sender: registrar(octets), receiver: registrar(octets), body: body(octets) }
}

/// Makes the sender the home of what he tells of.
pub(crate) fn own(message: &mut enrp::Message) {
    match &mut message.body {
        Body::HandleUpdate(update) => update.element.home = message.sender,
        Body::HandleTableResponse(table) => {
            let elements = table.entries.iter_mut().flat_map(|entry| &mut entry.elements);
            elements.for_each(|element| element.home = message.sender);
        }
        _ => {}
    }
}

fn information(octets: &mut Octets<'_>) -> ServerInformation {
    let registrar = registrar(octets);
    ServerInformation { registrar, transport: sctp(octets), encapsulation: None, unknown: vec![] }
}

fn body(octets: &mut Octets<'_>) -> Body {
    let unknown = vec![];
    match octets.below(16) {
        0..4 => Body::Presence(Presence {
            reply_required: octets.chance(),
            checksum: octets.chance().then(|| PeChecksum(octets.u16())),
            information: octets.chance().then(|| information(octets)),
            unknown: if octets.chance() { vec![draining::mark()] } else { unknown },
        }),
        4 => Body::HandleTableRequest(HandleTableRequest { own_children_only: octets.chance(), unknown }),
        5 | 6 => Body::HandleTableResponse(HandleTableResponse {
            rejected: octets.below(8) == 0,
            more_to_send: octets.below(4) == 0,
            entries: (0..octets.below(3)).map(|_| entry(octets)).collect(),
            unknown,
        }),
        7..11 => Body::HandleUpdate(HandleUpdate {
            action: UpdateAction(u16::from(octets.octet() % 3)),
            takeover_suggested: octets.below(4) == 0,
            pool: pool(octets),
            element: element(octets),
            unknown,
        }),
        11 => Body::ListRequest(ListRequest { unknown }),
        12 => Body::ListResponse(ListResponse {
            rejected: octets.below(8) == 0,
            peers: (0..octets.below(6)).map(|_| information(octets)).collect(),
            unknown,
        }),
        13 => Body::InitTakeover(InitTakeover::of(registrar(octets))),
        14 => Body::InitTakeoverAck(InitTakeoverAck::of(registrar(octets))),
        _ => Body::TakeoverServer(TakeoverServer::of(registrar(octets))),
    }
}

fn entry(octets: &mut Octets<'_>) -> PoolEntry {
    let pool = pool(octets);
    PoolEntry { pool, elements: (0..=octets.below(3)).map(|_| element(octets)).collect() }
}

/// Says that its sender is there, and no more.
pub(crate) fn presence() -> Presence {
    Presence { reply_required: false, checksum: None, information: None, unknown: vec![] }
}
