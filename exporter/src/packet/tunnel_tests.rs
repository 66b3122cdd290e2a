use super::*;
use pcap_fixtures::Frame;
use proptest::prelude::*;
use std::net::SocketAddr;

const OUTER: [&str; 2] = ["203.0.113.1:40000", "203.0.113.2:0"];

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// What travels in tunnels here: 40 octets of IPv4.
fn inner() -> Frame {
    Frame::tcp(at("192.0.2.1:49152"), at("198.51.100.2:443"), 0x12).unwrap()
}

fn inner6() -> Frame {
    Frame::tcp(at("[2001:db8::1]:49152"), at("[2001:db8::2]:443"), 0x12).unwrap()
}

fn views(frame: &[u8], layers: Layers) -> Vec<PacketView> {
    let packet = Packet {
        timestamp: 0,
        original_length: u32::try_from(frame.len()).unwrap(),
        octets: frame,
        interface: 7,
        link: LinkType::Ethernet,
        outgoing: false,
    };
    let mut views = Vec::new();
    let count = PacketView::each(&packet, layers, |view| views.push(*view)).unwrap();
    assert_eq!(count, views.len());
    views
}

/// A frame around these octets, by IP protocol.
fn around(protocol: u8, parts: &[&[u8]]) -> Vec<u8> {
    let [source, destination] = OUTER.map(at);
    Frame::ip(source.ip(), destination.ip(), protocol, parts.concat()).unwrap().ethernet()
}

/// The same, in UDP to this port.
fn in_udp(port: u16, parts: &[&[u8]]) -> Vec<u8> {
    let mut header = vec![0x9c, 0x40];
    header.extend(port.to_be_bytes());
    header.extend([0; 4]);
    around(protocol::UDP, &[&header, &parts.concat()])
}

/// The inner packet alone is what the frame without a tunnel gives, but for its segment.
fn assert_inner(frame: &[u8], expected: &Frame, segment: Segment) {
    let [alone] = views(&expected.ethernet(), Layers::Inner)[..] else { panic!("one packet") };
    assert_eq!(views(frame, Layers::Inner), [PacketView { segment, ..alone }]);
    let [outer, inner] = views(frame, Layers::Both)[..] else { panic!("two packets") };
    assert_eq!(inner, PacketView { segment, ..alone });
    assert_eq!(views(frame, Layers::Outer), [outer]);
    assert_eq!((outer.source, outer.segment), (at(OUTER[0]).ip(), Segment::NONE));
    assert_eq!(outer.octets as usize, frame.len() - 14);
}

#[test]
fn labels_of_mpls_are_passed_and_the_top_one_is_told() {
    let ip = inner().packet();
    let labels = [&[0x00, 0x10, 0x04, 64][..], &[0x00, 0x20, 0x11, 64]].concat();
    for ethertype in [[0x88, 0x47], [0x88, 0x48]] {
        let frame = [&[0; 12][..], &ethertype, &labels, &ip].concat();
        let [plain] = views(&inner().ethernet(), Layers::Outer)[..] else { panic!("one packet") };
        let expected = PacketView { mpls_top_label: 0x1004, ..plain };
        assert_eq!(views(&frame, Layers::Outer), [expected]);
    }
    let pseudowire = [&[0; 12][..], &[0x88, 0x47], &labels, &[0; 4], &inner6().tag(0x8100, 5).ethernet()];
    let [view] = views(&pseudowire.concat(), Layers::Outer)[..] else { panic!("one packet") };
    assert_eq!((view.octets, view.destination_port, view.vlan_id), (60, 443, 5));
    for kept in 14..14 + labels.len() + 1 {
        let frame = [&[0; 12][..], &[0x88, 0x47], &labels, &ip].concat();
        let octets = &frame[..kept];
        let packet = Packet {
            timestamp: 0,
            original_length: 90,
            octets,
            interface: 0,
            link: LinkType::Ethernet,
            outgoing: false,
        };
        assert_eq!(PacketView::parse(&packet), Err(Unparsed::Short), "{kept} octets");
    }
}

#[test]
fn sessions_of_pppoe_carry_both_versions_of_ip() {
    for (frame, ppp) in [(inner(), [0x00, 0x21]), (inner6(), [0x00, 0x57])] {
        let [plain] = views(&frame.ethernet(), Layers::Outer)[..] else { panic!("one packet") };
        let octets = [&[0; 12][..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 42], &ppp, &frame.packet()].concat();
        assert_eq!(views(&octets, Layers::Outer), [plain]);
    }
    let lcp = [&[0; 12][..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 42, 0xc0, 0x21], &[0; 40]].concat();
    let packet = Packet {
        timestamp: 0,
        original_length: 62,
        octets: &lcp,
        interface: 0,
        link: LinkType::Ethernet,
        outgoing: false,
    };
    assert_eq!(PacketView::parse(&packet), Err(Unparsed::NotIp));
}

#[test]
fn ip_in_ip_is_taken_out() {
    assert_inner(&around(4, &[&inner().packet()]), &inner(), Segment::NONE);
    assert_inner(&around(41, &[&inner6().packet()]), &inner6(), Segment::NONE);
}

#[test]
fn gre_is_taken_out_with_any_of_its_fields() {
    let ip = inner().packet();
    assert_inner(&around(47, &[&[0, 0, 8, 0], &ip]), &inner(), Segment::NONE);
    assert_inner(&around(47, &[&[0xb0, 0, 8, 0], &[1; 12], &ip]), &inner(), Segment::NONE);
    assert_inner(&around(47, &[&[0, 0, 0x86, 0xdd], &inner6().packet()]), &inner6(), Segment::NONE);
    let nvgre = [0x20, 0, 0x65, 0x58, 0x12, 0x34, 0x56, 9];
    assert_inner(&around(47, &[&nvgre, &inner().ethernet()]), &inner(), Segment::nvgre(0x0012_3456));
    assert_inner(&around(47, &[&[0, 0, 0x65, 0x58], &inner().ethernet()]), &inner(), Segment::NONE);
    let frame = inner().ethernet();
    assert_inner(&around(47, &[&[0, 0, 0x88, 0xbe], &frame]), &inner(), Segment::NONE);
    assert_inner(&around(47, &[&[0x10, 0, 0x88, 0xbe], &[1; 12], &frame]), &inner(), Segment::NONE);
    assert_inner(&around(47, &[&[0x10, 0, 0x22, 0xeb], &[0; 16], &frame]), &inner(), Segment::NONE);
    assert_inner(&around(47, &[&[0x10, 0, 0x22, 0xeb], &[1; 24], &frame]), &inner(), Segment::NONE);
    let pptp = around(47, &[&[0x20, 1, 0x88, 0x0b], &ip]);
    assert_eq!(views(&pptp, Layers::Both).len(), 1);
}

#[test]
fn vxlan_and_geneve_tell_their_network() {
    let vxlan = in_udp(4789, &[&[8, 0, 0, 0, 0x12, 0x34, 0x56, 0], &inner().ethernet()]);
    assert_inner(&vxlan, &inner(), Segment::vxlan(0x0012_3456));
    assert_eq!(Segment::vxlan(0x0012_3456).layer2_segment_id(), 0x0100_0000_0012_3456);
    let geneve = in_udp(6081, &[&[1, 0, 0x65, 0x58, 0, 0, 5, 0], &[0; 4], &inner6().ethernet()]);
    assert_inner(&geneve, &inner6(), Segment::geneve(5));
    let of_ip = in_udp(6081, &[&[0, 0, 8, 0, 0, 0, 5, 0], &inner().packet()]);
    assert_inner(&of_ip, &inner(), Segment::geneve(5));
    let without_vni = in_udp(4789, &[&[0; 8], &inner().ethernet()]);
    assert_eq!(views(&without_vni, Layers::Inner)[0].destination_port, 4789);
}

#[test]
fn the_user_plane_of_gtp_is_taken_out_with_its_extension_headers() {
    let plain = [0x30, 255, 0, 40, 0, 0, 0, 1];
    assert_inner(&in_udp(2152, &[&plain, &inner().packet()]), &inner(), Segment::NONE);
    let sequence = [0x32, 255, 0, 44, 0, 0, 0, 1, 0, 9, 0, 0];
    assert_inner(&in_udp(2152, &[&sequence, &inner6().packet()]), &inner6(), Segment::NONE);
    let session = [0x34, 255, 0, 48, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0x10, 9, 0x85, 2, 0, 0, 0, 0, 0, 0, 0];
    assert_inner(&in_udp(2152, &[&session, &inner().packet()]), &inner(), Segment::NONE);
    let echo = [0x32, 1, 0, 4, 0, 0, 0, 0, 0, 9, 0, 0];
    assert_eq!(views(&in_udp(2152, &[&echo]), Layers::Both).len(), 1);
}

#[test]
fn tunnels_in_tunnels_end_at_the_innermost_packet_and_keep_its_network() {
    let ip = around(4, &[&inner().packet()]);
    let frame = in_udp(4789, &[&[8, 0, 0, 0, 0, 0, 77, 0], &ip]);
    let all = views(&frame, Layers::Both);
    assert_eq!(all.iter().map(|view| view.protocol).collect::<Vec<_>>(), [17, 4, 6]);
    assert_eq!(views(&frame, Layers::Inner), all[2..]);
    assert_eq!((all[2].segment, all[2].octets), (Segment::vxlan(77), 40));
    let mut deep = inner().packet();
    for _ in 0..20 {
        deep = around(4, &[&deep])[14..].to_vec();
    }
    assert_eq!(views(&[&inner().ethernet()[..14], &deep].concat(), Layers::Both).len(), 1 + MAX_TUNNELS);
}

#[test]
fn a_tunnel_whose_packet_cannot_be_read_counts_itself() {
    let arp = [&[0; 12][..], &[8, 6], &[0; 28]].concat();
    let frame = in_udp(4789, &[&[8, 0, 0, 0, 0, 0, 77, 0], &arp]);
    for layers in [Layers::Inner, Layers::Both] {
        assert_eq!(views(&frame, layers), views(&frame, Layers::Outer));
    }
    let later = Frame::ip(at(OUTER[0]).ip(), at(OUTER[1]).ip(), 4, inner().packet()).unwrap();
    let frame = later.fragment(5).ethernet();
    assert_eq!(views(&frame, Layers::Inner), views(&frame, Layers::Outer), "no header in a later fragment");
}

proptest! {
    #[test]
    fn damaged_tunnels_never_panic(at in 0usize..120, octet in any::<u8>(), kept in 34usize..200, case in 0usize..6) {
        let (ip, frame) = (inner().packet(), inner6().tag(0x8100, 1).ethernet());
        let mut octets = match case {
            0 => around(47, &[&[0xb0, 0, 0x88, 0xbe], &[1; 12], &frame]),
            1 => in_udp(6081, &[&[3, 0, 0x65, 0x58, 0, 0, 5, 0], &[0; 12], &frame]),
            2 => in_udp(2152, &[&[0x34, 255, 0, 48, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0], &ip]),
            3 => in_udp(4789, &[&[8, 0, 0, 0, 0, 0, 77, 0], &around(4, &[&ip])]),
            4 => [&[0; 12][..], &[0x88, 0x47, 0, 0, 4, 1, 0, 0, 1, 1, 0, 0, 0, 0], &frame].concat(),
            _ => [&[0; 12][..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 42, 0, 0x21], &ip].concat(),
        };
        if let Some(field) = octets.get_mut(at) {
            *field = octet;
        }
        octets.truncate(kept);
        let packet = Packet { timestamp: 0, original_length: 90, octets: &octets, interface: 0, link: LinkType::Ethernet, outgoing: false };
        let _ = PacketView::each(&packet, Layers::Both, |_| ());
    }
}
