use super::*;
use pcap_fixtures::Frame;
use proptest::prelude::*;
use std::net::SocketAddr;

const CLIENT: &str = "192.0.2.1:49152";
const SERVER: &str = "198.51.100.2:443";
const CLIENT6: &str = "[2001:db8::1]:49152";
const SERVER6: &str = "[2001:db8::2]:443";

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn tcp() -> Frame {
    Frame::tcp(at(CLIENT), at(SERVER), 0x12).unwrap()
}

fn tcp6() -> Frame {
    Frame::tcp(at(CLIENT6), at(SERVER6), 0x18).unwrap()
}

fn captured(link: LinkType, octets: &[u8]) -> Packet<'_> {
    Packet {
        timestamp: 0,
        original_length: u32::try_from(octets.len()).unwrap(),
        octets,
        interface: 7,
        link,
        outgoing: false,
    }
}

fn parse(octets: &[u8]) -> Result<PacketView, Unparsed> {
    PacketView::parse(&captured(LinkType::Ethernet, octets))
}

#[test]
fn an_ipv4_segment_gives_addresses_ports_flags_and_length() {
    let view = parse(&tcp().payload(100).marked(0xb8, 57).ethernet()).unwrap();
    let expected = PacketView {
        source: at(CLIENT).ip(),
        destination: at(SERVER).ip(),
        source_port: 49152,
        destination_port: 443,
        protocol: 6,
        class_of_service: 0xb8,
        ttl: 57,
        tcp_control_bits: 0x012,
        vlan_id: 0,
        customer_vlan_id: 0,
        mpls_top_label: 0,
        segment: Segment::NONE,
        interface: 7,
        outgoing: false,
        octets: 140,
        fragment: None,
        later_fragment: false,
        cut: false,
    };
    assert_eq!(view, expected);
}

#[test]
fn an_ipv6_segment_gives_the_traffic_class_and_the_length_with_the_header() {
    let view = parse(&tcp6().payload(100).marked(0xb8, 57).ethernet()).unwrap();
    assert_eq!((view.source, view.destination), (at(CLIENT6).ip(), at(SERVER6).ip()));
    assert_eq!((view.source_port, view.destination_port, view.tcp_control_bits), (49152, 443, 0x018));
    assert_eq!((view.class_of_service, view.ttl, view.octets), (0xb8, 57, 160));
}

#[test]
fn the_ns_bit_of_tcp_is_a_control_bit_and_the_data_offset_is_not() {
    let mut frame = tcp().ethernet();
    frame[14 + 20 + 12] = 0x51;
    assert_eq!(parse(&frame).unwrap().tcp_control_bits, 0x112);
}

#[test]
fn stacked_tags_give_the_outer_and_the_inner_identifier() {
    let view = parse(&tcp().tag(0x88a8, 100).tag(0x8100, 0xe000 | 42).ethernet()).unwrap();
    assert_eq!((view.vlan_id, view.customer_vlan_id, view.destination_port), (100, 42, 443));
    let view = parse(&tcp().tag(0x8100, 42).ethernet()).unwrap();
    assert_eq!((view.vlan_id, view.customer_vlan_id), (42, 0));
    let view = parse(&tcp().tag(0x9100, 1).tag(0x8100, 2).tag(0x8100, 3).ethernet()).unwrap();
    assert_eq!((view.vlan_id, view.customer_vlan_id), (1, 2));
}

#[test]
fn options_and_extension_headers_stand_before_the_ports() {
    let view = parse(&tcp().options(&[1; 8]).ethernet()).unwrap();
    assert_eq!((view.source_port, view.octets), (49152, 48));
    let authentication = [4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
    let view = parse(
        &tcp6()
            .extension(0, &[0, 5, 2, 0, 0, 0, 0])
            .extension(60, &[1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .extension(51, &authentication)
            .ethernet(),
    )
    .unwrap();
    assert_eq!((view.protocol, view.source_port, view.tcp_control_bits), (6, 49152, 0x018));
}

#[test]
fn a_first_fragment_has_ports_and_a_later_one_none() {
    let first = parse(&tcp().fragment(0x2000).ethernet()).unwrap();
    assert_eq!((first.source_port, first.later_fragment), (49152, false));
    let later = parse(&tcp().fragment(0x2001).ethernet()).unwrap();
    assert_eq!((later.source_port, later.tcp_control_bits, later.later_fragment), (0, 0, true));
    let first = parse(&tcp6().extension(44, &[0, 0, 1, 0, 0, 0, 9]).ethernet()).unwrap();
    assert_eq!((first.protocol, first.source_port, first.later_fragment), (6, 49152, false));
    let later = parse(&tcp6().extension(44, &[0, 0, 9, 0, 0, 0, 9]).ethernet()).unwrap();
    assert_eq!((later.protocol, later.source_port, later.later_fragment), (6, 0, true));
    // What follows are data, even where the header says that an extension header followed in the first one.
    let frame = tcp6().extension(44, &[0, 0, 9, 0, 0, 0, 9]).extension(60, &[0; 7]).ethernet();
    assert_eq!(parse(&frame).unwrap().protocol, 60);
}

#[test]
fn icmp_type_and_code_stand_in_for_the_destination_port() {
    let unreachable = Frame::icmp(at(CLIENT).ip(), at(SERVER).ip(), 3, 1).unwrap();
    let view = parse(&unreachable.ethernet()).unwrap();
    assert_eq!((view.protocol, view.source_port, view.destination_port), (1, 0, 0x0301));
    let echo = Frame::icmp(at(CLIENT6).ip(), at(SERVER6).ip(), 128, 0).unwrap();
    let view = parse(&echo.ethernet()).unwrap();
    assert_eq!((view.protocol, view.source_port, view.destination_port), (58, 0, 0x8000));
}

#[test]
fn other_protocols_count_by_their_number() {
    for number in [47, 50, 89] {
        let frame = Frame::ip(at(CLIENT).ip(), at(SERVER).ip(), number, vec![1; 30]).unwrap();
        let view = parse(&frame.ethernet()).unwrap();
        assert_eq!((view.protocol, view.source_port, view.octets), (number, 0, 50));
    }
    let sctp = Frame::ip(at(CLIENT).ip(), at(SERVER).ip(), 132, vec![1; 12]).unwrap();
    assert_eq!(parse(&sctp.ethernet()).unwrap().destination_port, 0x0101);
}

#[test]
fn what_the_capture_cut_off_reads_as_zero_and_still_counts() {
    let whole = tcp().payload(1000).ethernet();
    for (kept, source_port, bits) in [(14 + 20, 0, 0), (14 + 24, 49152, 0), (14 + 34, 49152, 0x012)] {
        let view =
            PacketView::parse(&Packet { octets: &whole[..kept], ..captured(LinkType::Ethernet, &whole) })
                .unwrap();
        assert_eq!((view.octets, view.source_port, view.tcp_control_bits), (1040, source_port, bits));
        assert_eq!(view.cut, bits == 0);
    }
}

#[test]
fn what_has_no_ports_is_not_cut() {
    let cut = |frame: &[u8], kept: usize| {
        PacketView::parse(&Packet { octets: &frame[..kept], ..captured(LinkType::Ethernet, frame) })
            .unwrap()
            .cut
    };
    let esp = Frame::ip(at(CLIENT).ip(), at(SERVER).ip(), 50, vec![1; 30]).unwrap().ethernet();
    let later = tcp().fragment(0x2001).ethernet();
    let echo = Frame::icmp(at(CLIENT6).ip(), at(SERVER6).ip(), 128, 0).unwrap().ethernet();
    assert!(!cut(&esp, 14 + 20) && !cut(&later, 14 + 20) && !cut(&echo, 14 + 40 + 2));
    assert!(cut(&echo, 14 + 40 + 1));
    let options = tcp6().extension(0, &[0, 5, 2, 0, 0, 0, 0]).ethernet();
    assert!(cut(&options, 14 + 40 + 4), "the transport header is behind what is missing");
}

#[test]
fn a_packet_leaves_where_the_link_layer_or_the_capture_says_so() {
    let packet = tcp().ethernet()[14..].to_vec();
    let cooked = |kind: u8| [&[0, kind, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0], &packet[..]].concat();
    let cooked2 =
        |kind: u8| [&[8, 0, 0, 0, 0, 0, 0, 9, 0, 1, kind, 6, 1, 2, 3, 4, 5, 6, 0, 0], &packet[..]].concat();
    let outgoing = |link, octets: &[u8]| PacketView::parse(&captured(link, octets)).unwrap().outgoing;
    for (kind, expected) in [(0, false), (3, false), (4, true)] {
        assert_eq!(outgoing(LinkType::LinuxSll, &cooked(kind)), expected, "{kind}");
        assert_eq!(outgoing(LinkType::LinuxSll2, &cooked2(kind)), expected, "{kind}");
    }
    let leaves = Packet { outgoing: true, ..captured(LinkType::RawIp, &packet) };
    assert!(PacketView::parse(&leaves).unwrap().outgoing && !outgoing(LinkType::RawIp, &packet));
}

#[test]
fn padding_behind_a_short_packet_is_not_read_as_ports() {
    let mut frame = Frame::ip(at(CLIENT).ip(), at(SERVER).ip(), 6, Vec::new()).unwrap().ethernet();
    frame.resize(60, 0xff);
    let view = parse(&frame).unwrap();
    assert_eq!((view.octets, view.source_port, view.tcp_control_bits), (20, 0, 0));
}

#[test]
fn a_total_length_of_zero_stands_for_what_was_on_the_wire() {
    let mut frame = tcp().payload(60).ethernet();
    frame[16..18].fill(0);
    assert_eq!(parse(&frame).unwrap().octets, 100);
    let mut frame = tcp6().payload(60).ethernet();
    frame[18..20].fill(0);
    assert_eq!(parse(&frame).unwrap().octets, 120);
}

#[test]
fn every_link_type_leads_to_the_same_packet() {
    let ip = tcp().packet();
    let sll: Vec<u8> = [&[0; 14][..], &[8, 0], &ip].concat();
    let sll2: Vec<u8> = [&[8, 0, 0, 0, 0, 0, 0, 9][..], &[0; 12], &ip].concat();
    let null: Vec<u8> = [&[2, 0, 0, 0][..], &ip].concat();
    let loopback: Vec<u8> = [&[0, 0, 0, 2][..], &ip].concat();
    let expected = parse(&tcp().ethernet()).unwrap();
    for (link, octets, interface) in [
        (LinkType::RawIp, &ip, 7),
        (LinkType::LinuxSll, &sll, 7),
        (LinkType::LinuxSll2, &sll2, 9),
        (LinkType::Null, &null, 7),
        (LinkType::Null, &loopback, 7),
    ] {
        let view = PacketView::parse(&captured(link, octets));
        assert_eq!(view, Ok(PacketView { interface, ..expected }), "{link}");
    }
    let ip6 = tcp6().packet();
    let null6: Vec<u8> = [&[30, 0, 0, 0][..], &ip6].concat();
    assert_eq!(PacketView::parse(&captured(LinkType::Null, &null6)), parse(&tcp6().ethernet()));
    assert_eq!(PacketView::parse(&captured(LinkType::RawIp, &ip6)), parse(&tcp6().ethernet()));
}

#[test]
fn headers_that_cannot_be_right_are_refused_with_their_reason() {
    let change = |at: usize, octet: u8| {
        let mut frame = tcp().ethernet();
        frame[at] = octet;
        parse(&frame)
    };
    assert_eq!(change(12, 0x42), Err(Unparsed::NotIp));
    assert_eq!(change(14, 0x65), Err(Unparsed::Version));
    assert_eq!(change(14, 0x44), Err(Unparsed::HeaderLength));
    assert_eq!(change(17, 19), Err(Unparsed::TotalLength));
    let mut frame = tcp6().ethernet();
    frame[14] = 0x40;
    assert_eq!(parse(&frame), Err(Unparsed::Version));
    assert_eq!(PacketView::parse(&captured(LinkType::RawIp, &[0x50; 40])), Err(Unparsed::Version));
    assert_eq!(PacketView::parse(&captured(LinkType::Null, &[7; 40])), Err(Unparsed::NotIp));
}

#[test]
fn a_frame_cut_within_the_ip_header_is_short() {
    for (frame, header) in
        [(tcp().ethernet(), 20), (tcp6().ethernet(), 40), (tcp().tag(0x8100, 1).ethernet(), 24)]
    {
        for kept in 0..14 + header {
            assert_eq!(parse(&frame[..kept]), Err(Unparsed::Short), "{kept} octets");
        }
    }
}

#[test]
fn a_chain_of_extension_headers_cut_anywhere_is_no_error() {
    let frame = tcp6().extension(0, &[0; 7]).extension(43, &[0; 7]).extension(44, &[0; 7]).ethernet();
    for kept in 54..frame.len() {
        let view = parse(&frame[..kept]).unwrap();
        assert!([0, 43, 44, 6].contains(&view.protocol), "{kept} octets: {view:?}");
    }
}

#[test]
fn reasons_are_numbered_in_the_order_of_the_list() {
    for (index, reason) in Unparsed::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
    }
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic(
        mut octets in proptest::collection::vec(any::<u8>(), 0..200),
        ethertype in prop::sample::select(vec![0x0800u16, 0x86dd, 0x8100, 0x88a8, 0x0806]),
        original_length in any::<u32>(),
    ) {
        for link in
            [LinkType::Ethernet, LinkType::RawIp, LinkType::LinuxSll, LinkType::LinuxSll2, LinkType::Null]
        {
            let _ = PacketView::parse(&Packet { original_length, ..captured(link, &octets) });
        }
        if let Some(field) = octets.get_mut(12..14) {
            field.copy_from_slice(&ethertype.to_be_bytes());
        }
        let _ = PacketView::parse(&captured(LinkType::Ethernet, &octets));
    }

    #[test]
    fn a_damaged_header_never_panics(at in 0usize..100, octet in any::<u8>(), kept in 0usize..160) {
        for frame in [
            tcp().options(&[1; 12]).tag(0x8100, 3).payload(40).ethernet(),
            tcp6().extension(0, &[0; 7]).extension(44, &[0; 7]).extension(51, &[1; 11]).ethernet(),
        ] {
            let mut frame = frame;
            if let Some(field) = frame.get_mut(at) {
                *field = octet;
            }
            let _ = parse(&frame[..kept.min(frame.len())]);
        }
    }
}
