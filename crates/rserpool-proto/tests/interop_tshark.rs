//! Every ASAP and ENRP message that we write is read by tshark's dissectors to its end, without complaint and without a
//! part they do not know, our own skip-type parameters excepted. Needs tshark: `cargo xtask interop tshark` runs it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pcap_fixtures::PcapWriter;
use rserpool_proto::wire::asap::announce::ServerAnnounce;
use rserpool_proto::wire::asap::business_card::BusinessCard;
use rserpool_proto::wire::asap::cookie::{Cookie, CookieEcho};
use rserpool_proto::wire::asap::deregistration::{Deregistration, DeregistrationResponse};
use rserpool_proto::wire::asap::error::AsapError;
use rserpool_proto::wire::asap::handle_resolution::{HandleResolution, HandleResolutionResponse};
use rserpool_proto::wire::asap::keep_alive::{EndpointKeepAlive, EndpointKeepAliveAck};
use rserpool_proto::wire::asap::registration::{Registration, RegistrationResponse};
use rserpool_proto::wire::asap::unreachable::EndpointUnreachable;
use rserpool_proto::wire::enrp::error::EnrpError;
use rserpool_proto::wire::enrp::handle_table::{HandleTableRequest, HandleTableResponse, PoolEntry};
use rserpool_proto::wire::enrp::handle_update::{HandleUpdate, UpdateAction};
use rserpool_proto::wire::enrp::list::{ListRequest, ListResponse};
use rserpool_proto::wire::enrp::presence::Presence;
use rserpool_proto::wire::enrp::takeover::{InitTakeover, InitTakeoverAck, TakeoverServer};
use rserpool_proto::wire::enrp::{self, Body};
use rserpool_proto::wire::param::pe_checksum::PeChecksum;
use rserpool_proto::wire::param::server_information::ServerInformation;
use rserpool_proto::wire::param::transport::{DccpTransport, UdpLiteTransport, UdpTransport};
use rserpool_proto::wire::{
    CauseCode, ErrorCause, Load, Message, Policy, PoolElementParameter, RegistrationLife, SctpTransport,
    TcpTransport, Transport, TransportUse,
};
use rserpool_proto::{PeId, PoolHandle, RegistrarId};

/// Raw SCTP packets.
const LINKTYPE_SCTP: u32 = 248;
const ASAP: u32 = 11;
const ENRP: u32 = 12;
const ME: RegistrarId = RegistrarId(0x0a0b_0c01);
const OTHER: RegistrarId = RegistrarId(0x0a0b_0c02);
const PE: PeId = PeId(0xa1);

#[test]
#[ignore = "needs tshark"]
fn every_message_is_read_to_its_end() {
    let asap: Vec<Vec<u8>> = asap().iter().map(|message| message.to_octets().unwrap()).collect();
    let enrp: Vec<Vec<u8>> = enrp().iter().map(|message| message.to_octets().unwrap()).collect();
    let kinds = |messages: &[Vec<u8>]| messages.iter().map(|octets| octets[0]).collect::<BTreeSet<_>>();
    assert_eq!(kinds(&asap), (1..=14).collect(), "all of ASAP");
    assert_eq!(kinds(&enrp), (1..=10).collect(), "all of ENRP");
    let messages: Vec<(u32, Vec<u8>)> = asap
        .into_iter()
        .map(|octets| (ASAP, octets))
        .chain(enrp.into_iter().map(|octets| (ENRP, octets)))
        .collect();
    let Some(text) = pcap_fixtures::tshark(&capture(&messages), &["-V", "-o", "sctp.checksum:NONE"]) else {
        return;
    };
    let frames: Vec<&str> = text.split("\nFrame ").collect();
    assert_eq!(frames.len(), messages.len());
    let mut complaints = Vec::new();
    for (frame, (ppid, octets)) in frames.iter().zip(&messages) {
        let protocol = if *ppid == ASAP {
            "Aggregate Server Access Protocol"
        } else {
            "Endpoint Handlespace Redundancy"
        };
        assert!(frame.contains(protocol), "{frame}\n{octets:02x?}");
        complaints.extend(frame.lines().filter(|line| complains(line)).map(|line| (octets[0], line.trim())));
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// What tshark 4 does not know, although the RFCs or the reference implementation have it, and its names of what we
/// do not know in others' messages.
const NAMED: [&str; 12] = [
    "Policy Type: Unknown (0xb0001001)",
    "Policy Type: Unknown (0xb0001002)",
    "Policy Type: Unknown (0xb0001004)",
    "Policy Type: Unknown (0xb0002003)",
    "Unknown error cause (code 0 and 0 bytes information)",
    "Cause Code: Unknown (0x0000)",
    "Unrecognized parameter",
    "Unknown Parameter (type 19387 and 4 bytes value)",
    "Parameter Type: Unknown (0x4bbb)",
    "Unrecognized message",
    "Type: Unknown (127)",
    "nknown pool handle",
];

/// Whether tshark could not read something, or does not know it.
fn complains(line: &str) -> bool {
    let words = ["Malformed", "Expert Info (Err", "Expert Info (Warn", "Unknown", "unknown", "nrecognized"];
    words.iter().any(|word| line.contains(word)) && !NAMED.iter().any(|name| line.contains(name))
}

/// A capture of these messages, each `(payload protocol identifier, octets)` in an SCTP packet with one DATA chunk.
fn capture(messages: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = PcapWriter::with(false, false, 65_535, LINKTYPE_SCTP);
    for (tsn, (ppid, octets)) in (1_u32..).zip(messages) {
        let port: u16 = if *ppid == ASAP { 3863 } else { 9901 };
        let length = u16::try_from(16 + octets.len()).unwrap();
        let mut packet = Vec::new();
        packet.extend([port, port].iter().flat_map(|port| port.to_be_bytes()));
        packet.extend([7_u32, 0].iter().flat_map(|word| word.to_be_bytes()));
        // DATA, whole.
        packet.extend([0, 3]);
        packet.extend(length.to_be_bytes());
        packet.extend(tsn.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(u16::try_from(tsn).unwrap().to_be_bytes());
        packet.extend(ppid.to_be_bytes());
        packet.extend(octets);
        packet.resize(packet.len().next_multiple_of(4), 0);
        file.packet(0, &packet);
    }
    file.octets
}

fn pool() -> PoolHandle {
    PoolHandle::new("EchoPool").unwrap()
}

fn v4() -> IpAddr {
    Ipv4Addr::new(10, 77, 0, 21).into()
}

fn v6() -> IpAddr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x21).into()
}

fn sctp() -> SctpTransport {
    SctpTransport {
        port: 7001,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        addresses: vec![v4(), v6()],
        unknown: vec![],
    }
}

/// All but the opaque one (RFC 5354 section 3.16), which tshark does not know and we do not register.
fn transports() -> Vec<Transport> {
    let (port, unknown) = (4739, vec![]);
    vec![
        Transport::Sctp(sctp()),
        Transport::Tcp(TcpTransport { port, reserved: 0, address: v4(), unknown: unknown.clone() }),
        Transport::Udp(UdpTransport { port, address: v6(), unknown: unknown.clone() }),
        Transport::UdpLite(UdpLiteTransport { port, address: v4(), unknown: unknown.clone() }),
        Transport::Dccp(DccpTransport { port, service_code: 7, address: v4(), unknown }),
    ]
}

fn policies() -> Vec<Policy> {
    let (weight, distance, load, degradation) = (3, 20, Load::of(1, 2), Load::of(1, 10));
    vec![
        Policy::RoundRobin,
        Policy::WeightedRoundRobin { weight },
        Policy::Random,
        Policy::WeightedRandom { weight },
        Policy::Priority { priority: 5 },
        Policy::LeastUsed { load },
        Policy::LeastUsedDegradation { load, degradation },
        Policy::PriorityLeastUsed { load, degradation },
        Policy::RandomizedLeastUsed { load },
        Policy::RandomizedPriorityLeastUsed { load, degradation },
        Policy::RandomizedLeastUsedDegradation { load, degradation },
        Policy::PriorityLeastUsedDegradation { load, degradation },
        Policy::RandomizedPriorityLeastUsedDegradation { load, degradation },
        Policy::WeightedRandomDpf { weight, weight_dpf: degradation, distance },
        Policy::LeastUsedDpf { load, load_dpf: degradation, distance },
        Policy::LeastUsedDegradationDpf { load, degradation, load_dpf: degradation, distance },
    ]
}

fn element(
    user_transport: Transport,
    policy: Policy,
    asap_transport: Option<SctpTransport>,
) -> PoolElementParameter {
    PoolElementParameter {
        pe: PE,
        home: ME,
        life: RegistrationLife(300),
        user_transport,
        policy,
        asap_transport,
        encapsulation: None,
        unknown: vec![],
    }
}

fn plain() -> PoolElementParameter {
    element(Transport::Sctp(sctp()), Policy::RoundRobin, Some(sctp()))
}

/// Every error cause of RFC 5354 section 3.12, with what it carries.
fn causes() -> Vec<ErrorCause> {
    let carry = |code, information: &[u8]| ErrorCause { code, information: information.to_vec() };
    vec![
        carry(CauseCode(0), &[]),
        carry(CauseCode(1), &[0x4b, 0xbb, 0, 8, 0xde, 0xad, 0xbe, 0xef]),
        carry(CauseCode(2), &[0x7f, 0, 0, 4]),
        carry(CauseCode(3), &[0, 9, 0, 8, b'P', b'o', b'o', b'l']),
        carry(CauseCode(4), &[]),
        carry(CauseCode(5), &[0, 8, 0, 8, 0, 0, 0, 1]),
        carry(CauseCode(6), &[]),
        carry(CauseCode(7), &[0, 5, 0, 16, 0x12, 0x83, 0, 0, 0, 1, 0, 8, 10, 77, 0, 21]),
        carry(CauseCode(8), &[]),
        carry(CauseCode(9), &[]),
        carry(CauseCode(10), &[]),
    ]
}

fn asap() -> Vec<Message> {
    let (pool, pe, cookie) = (pool(), PE, vec![1, 2, 3, 4, 5]);
    let registration =
        |element| Message::Registration(Registration { pool: self::pool(), element, unknown: vec![] });
    let mut messages: Vec<Message> = transports()
        .into_iter()
        .map(|transport| registration(element(transport, Policy::RoundRobin, None)))
        .collect();
    messages.extend(
        policies()
            .into_iter()
            .map(|policy| registration(element(Transport::Sctp(sctp()), policy, Some(sctp())))),
    );
    messages.extend(causes().into_iter().map(|cause| {
        Message::RegistrationResponse(RegistrationResponse {
            rejected: true,
            pool: self::pool(),
            pe,
            causes: vec![cause],
            unknown: vec![],
        })
    }));
    let resolved = |policy, elements, causes| HandleResolutionResponse {
        updates_accepted: true,
        pool: self::pool(),
        policy,
        elements,
        causes,
        unknown: vec![],
    };
    messages.extend([
        Message::Deregistration(Deregistration { pool: pool.clone(), pe, unknown: vec![] }),
        Message::RegistrationResponse(RegistrationResponse {
            rejected: false,
            pool: pool.clone(),
            pe,
            causes: vec![],
            unknown: vec![],
        }),
        Message::DeregistrationResponse(DeregistrationResponse {
            pool: pool.clone(),
            pe,
            causes: vec![],
            unknown: vec![],
        }),
        Message::HandleResolution(HandleResolution {
            send_updates: true,
            pool: pool.clone(),
            items: None,
            unknown: vec![],
        }),
        Message::HandleResolutionResponse(resolved(Some(Policy::RoundRobin), vec![plain(), plain()], None)),
        Message::HandleResolutionResponse(resolved(
            None,
            vec![],
            Some(vec![ErrorCause::plain(CauseCode(9))]),
        )),
        Message::EndpointKeepAlive(EndpointKeepAlive {
            home: true,
            draining: false,
            registrar: ME,
            pool: pool.clone(),
            pe: None,
            unknown: vec![],
        }),
        Message::EndpointKeepAliveAck(EndpointKeepAliveAck { pool: pool.clone(), pe, unknown: vec![] }),
        Message::EndpointUnreachable(EndpointUnreachable { pool: pool.clone(), pe, unknown: vec![] }),
        Message::ServerAnnounce(ServerAnnounce {
            registrar: ME,
            transports: vec![Transport::Sctp(sctp())],
            unknown: vec![],
        }),
        Message::Cookie(Cookie { cookie: cookie.clone(), unknown: vec![] }),
        Message::CookieEcho(CookieEcho { cookie, unknown: vec![] }),
        Message::BusinessCard(BusinessCard { pool, policy: None, elements: vec![plain()], unknown: vec![] }),
        Message::Error(AsapError { causes: vec![ErrorCause::plain(CauseCode(0))], unknown: vec![] }),
    ]);
    messages
}

fn enrp() -> Vec<enrp::Message> {
    let information =
        ServerInformation { registrar: ME, transport: sctp(), encapsulation: None, unknown: vec![] };
    let update = |action, takeover_suggested| HandleUpdate {
        action,
        takeover_suggested,
        pool: pool(),
        element: plain(),
        unknown: vec![],
    };
    let entries = vec![PoolEntry { pool: pool(), elements: vec![plain(), plain()] }];
    let bodies: [Body; 14] = [
        Presence {
            reply_required: true,
            checksum: Some(PeChecksum(0xe5c7)),
            information: Some(information.clone()),
            unknown: vec![],
        }
        .into(),
        HandleTableRequest { own_children_only: true, unknown: vec![] }.into(),
        HandleTableResponse { rejected: false, more_to_send: true, entries, unknown: vec![] }.into(),
        HandleTableResponse { rejected: true, ..HandleTableResponse::default() }.into(),
        update(UpdateAction::ADD_PE, false).into(),
        update(UpdateAction::ADD_PE, true).into(),
        update(UpdateAction::DEL_PE, false).into(),
        ListRequest { unknown: vec![] }.into(),
        ListResponse { rejected: false, peers: vec![information.clone(), information], unknown: vec![] }
            .into(),
        ListResponse { rejected: true, peers: vec![], unknown: vec![] }.into(),
        InitTakeover::of(OTHER).into(),
        InitTakeoverAck::of(OTHER).into(),
        TakeoverServer::of(OTHER).into(),
        EnrpError { causes: causes(), unknown: vec![] }.into(),
    ];
    bodies.into_iter().map(|body| enrp::Message { sender: ME, receiver: OTHER, body }).collect()
}
