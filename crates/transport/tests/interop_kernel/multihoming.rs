//! Kernel SCTP with two addresses at each end: a path may fail without an end to the association.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use transport::Stack::Kernel;
use transport::{
    Association, ConnectError, Endpoint, EndpointConfig, Event, MsgOut, PeerAddress, Ppid, Stack,
};

use crate::end::{End, LOCAL, PEER, Spec};
use crate::net::{Net, Offloads};
use crate::report::row;
use crate::roles::tell;

const LIMIT: Duration = Duration::from_secs(60);
const PORT: u16 = 4740;
const MESSAGES: u32 = 400;
/// The path is cut, and healed again, once so many were sent.
const CUT: u32 = 50;
/// A host behind the right one.
const BEHIND: [u8; 4] = [10, 79, 0, 1];

/// The address of the same host on the second link.
fn second(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [a, _, c, d] = ip.octets();
            [a, 78, c, d].into()
        }
        IpAddr::V6(ip) => {
            let mut segments = ip.segments();
            segments[0] += 1;
            segments.into()
        }
    }
}

fn add_second_link(net: &Net) {
    let (left, right) = (&net.left, &net.right);
    left.run("ip", &["link", "add", "second-a", "type", "veth", "peer", "name", "second-b"]);
    left.run("ip", &["link", "set", "second-b", "netns", &right.namespace]);
    for (side, device) in [(left, "second-a"), (right, "second-b")] {
        side.run("ip", &["address", "add", &format!("{}/24", second(side.v4)), "dev", device]);
        side.run("ip", &["address", "add", &format!("{}/64", second(side.v6)), "dev", device, "nodad"]);
        side.run("ip", &["link", "set", device, "up"]);
    }
}

fn endpoint() -> (Endpoint, IpAddr) {
    let local: IpAddr = std::env::var(LOCAL).unwrap().parse().unwrap();
    let mut config = EndpointConfig::new(local);
    config.stack = Stack::Kernel;
    config.more_addresses = vec![second(local)];
    (Endpoint::bind(config).unwrap(), local)
}

/// Accepts one association and counts what arrives in order.
pub(crate) async fn sink() {
    let (endpoint, _) = endpoint();
    let mut listener = endpoint.listen(PORT).await.unwrap();
    assert_eq!(endpoint.peer_addresses(PORT).len(), 2);
    tell("listening");
    let mut association = listener.accept().await.unwrap();
    let mut next = 0;
    loop {
        match association.recv().await {
            Event::Message(message) => {
                assert_eq!(message.data[..4], u32::to_be_bytes(next));
                next += 1;
            }
            Event::Lost(reason) => return tell(&format!("in order {next}, lost: {reason}")),
            _ => {}
        }
    }
}

/// Connects to both addresses at once and sends, slowly.
pub(crate) async fn source() {
    let (endpoint, _) = endpoint();
    let peer: IpAddr = std::env::var(PEER).unwrap().parse().unwrap();
    let peers = [peer, second(peer)].map(|ip| PeerAddress::Sctp { ip, port: PORT, encapsulation: None });
    let mut association = endpoint.connect_any(&peers).await.unwrap();
    tell("up");
    let sender = association.sender();
    let sending = async {
        for number in 0..MESSAGES {
            sender.send(MsgOut::new(Ppid::IPFIX, number.to_be_bytes().to_vec())).await.unwrap();
            tell(&format!("sent {number}."));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = tell_events(&mut association) => return,
        () = sending => {}
    }
    // The path that was cut is back within some heartbeats.
    while association.recv().await != Event::PathUp(peers[0]) {}
    tell("first path again");
    tell(&format!("shutdown {:?}", association.shutdown(LIMIT).await));
}

async fn tell_events(association: &mut Association) {
    loop {
        match association.recv().await {
            Event::Lost(reason) => return tell(&format!("lost {reason}")),
            Event::SenderDry => {}
            other => tell(&format!("event {other:?}")),
        }
    }
}

fn one_path_fails(ipv6: bool) {
    let net = Net::new(0, Offloads::Off);
    add_second_link(&net);
    let spec = Spec { role: "multihomed sink", stack: Kernel, profile: "fast", ipv6 };
    let mut sink = End::start(&net.right, spec, None);
    sink.expect("listening", LIMIT);
    let spec = Spec { role: "multihomed source", ..spec };
    let mut source = End::start(&net.left, spec, Some(net.right.address(ipv6)));
    source.expect(&format!("sent {CUT}."), LIMIT);
    let start = Instant::now();
    net.cut();
    let event = source.expect("event PathDown", LIMIT);
    assert!(event.contains(&net.right.address(ipv6).to_string()), "{event}");
    let noticed = start.elapsed();
    source.expect(&format!("sent {}.", MESSAGES - 1), LIMIT);
    net.heal();
    source.expect("first path again", LIMIT);
    assert_eq!(source.expect("shutdown", LIMIT), "Ok(())", "{:?}", source.seen());
    assert_eq!(sink.expect("in order", LIMIT), format!("{MESSAGES}, lost: closed by the peer"));
    row(
        "One path of two cut, kernel SCTP",
        &[
            ("IP", if ipv6 { "v6" } else { "v4" }.to_owned()),
            ("noticed", format!("{:.1} s", noticed.as_secs_f64())),
            ("messages", format!("{MESSAGES}/{MESSAGES}")),
            ("association", "kept".to_owned()),
        ],
    );
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn a_cut_path_of_two_over_ipv4_is_an_event_and_loses_nothing() {
    one_path_fails(false);
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn a_cut_path_of_two_over_ipv6_is_an_event_and_loses_nothing() {
    one_path_fails(true);
}

/// Answers each SCTP packet for a host behind this one with ICMP protocol unreachable, as a host without SCTP does.
pub(crate) fn refuse_sctp() {
    use std::io::Read as _;

    use socket2::{Domain, Protocol, Socket, Type};

    let all_ip = Protocol::from(i32::from(0x0800_u16.to_be()));
    let mut packets = Socket::new(Domain::PACKET, Type::DGRAM, Some(all_ip)).unwrap();
    let answers = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
    tell("listening");
    let mut packet = [0; 2048];
    loop {
        let length = packets.read(&mut packet).unwrap();
        let packet = &packet[..length];
        if packet.get(9) != Some(&132) || packet[16..20] != BEHIND {
            continue;
        }
        let mut answer = vec![3, 2, 0, 0, 0, 0, 0, 0];
        answer.extend_from_slice(packet);
        let sum = answer.chunks(2).fold(0_u32, |sum, pair| {
            sum + u32::from(pair[0]) * 256 + u32::from(pair.get(1).copied().unwrap_or_default())
        });
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        answer[2..4].copy_from_slice(&(!sum).to_be_bytes());
        let source: [u8; 4] = packet[12..16].try_into().unwrap();
        answers.send_to(&answer, &std::net::SocketAddr::from((source, 0)).into()).unwrap();
    }
}

/// Connects natively to the host without SCTP.
pub(crate) async fn connect_to_a_host_without_sctp() {
    let (endpoint, _) = endpoint();
    let peer = PeerAddress::Sctp { ip: BEHIND.into(), port: PORT, encapsulation: None };
    let error = endpoint.connect(peer).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoSctp { .. }), "{error:?}");
    tell(&format!("error {error}"));
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn a_host_without_sctp_is_named_as_such() {
    let net = Net::new(0, Offloads::Off);
    add_second_link(&net);
    let route = [format!("{}/32", IpAddr::from(BEHIND)), net.right.v4.to_string()];
    net.left.run("ip", &["route", "add", &route[0], "via", &route[1]]);
    let spec = Spec { role: "host without sctp", stack: Stack::Userland, profile: "fast", ipv6: false };
    let mut peer = End::start(&net.right, spec, None);
    peer.expect("listening", LIMIT);
    let spec = Spec { role: "connect to a host without sctp", stack: Kernel, ..spec };
    let error = End::start(&net.left, spec, None).expect("error", LIMIT);
    assert!(error.contains("no native SCTP there"), "{error}");
}
