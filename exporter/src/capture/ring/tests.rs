use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use pcap_fixtures::Frame;
use socket2::{Domain, Socket, Type};

use super::{ADDRESSES, Ring, RingOptions, TAG, frame, interfaces, sys};
use crate::capture::{Filter, FilterError};

/// A block of one packet of 60 octets with headers at 64, and room for a tag before it.
fn block(status: u32, control: u16, kind: u16) -> Vec<u8> {
    const AT: usize = 64;
    let mut block = vec![0; 256];
    let mut put = |at: usize, octets: &[u8]| block[AT + at..AT + at + octets.len()].copy_from_slice(octets);
    for (at, field) in [(0, 128_u32), (4, 3), (8, 7), (12, 60), (16, 1_500), (20, status)] {
        put(at, &field.to_ne_bytes());
    }
    put(24, &72_u16.to_ne_bytes());
    put(32, &control.to_ne_bytes());
    put(36, &kind.to_ne_bytes());
    put(72, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x00, 0x45]);
    block
}

#[test]
fn a_packet_lies_where_the_header_says() {
    let mut block = block(libc::TP_STATUS_USER, 0, 0);
    let (found, next) = frame(&mut block, 64, true).unwrap();
    assert_eq!((found.timestamp, found.original_length, next), (3_000_000_007, 1_500, 128));
    assert_eq!((found.at, found.length, found.outgoing), (136, 60, false));
}

#[test]
fn a_packet_that_leaves_is_told_from_one_that_comes() {
    for (packet_type, outgoing) in
        [(libc::PACKET_HOST, false), (libc::PACKET_OTHERHOST, false), (libc::PACKET_OUTGOING, true)]
    {
        let mut block = block(libc::TP_STATUS_USER, 0, 0);
        // sll_pkttype of the sockaddr_ll behind the header's 48 octets.
        block[64 + 48 + 10] = packet_type;
        assert_eq!(frame(&mut block, 64, true).unwrap().0.outgoing, outgoing, "{packet_type}");
    }
}

#[test]
fn a_tag_that_was_taken_off_is_put_back() {
    let valid = libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
    for (status, kind, expected) in
        [(valid, 0x88a8, [0x88, 0xa8]), (libc::TP_STATUS_VLAN_VALID, 0, [0x81, 0])]
    {
        let mut block = block(status, 0x2064, kind);
        let (found, _) = frame(&mut block, 64, true).unwrap();
        let octets = &block[found.at..found.at + found.length];
        assert_eq!((found.length, found.original_length), (64, 1_504));
        assert_eq!(octets[..ADDRESSES], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(octets[ADDRESSES..ADDRESSES + TAG], [expected[0], expected[1], 0x20, 0x64]);
        assert_eq!(octets[16..19], [0x08, 0x00, 0x45]);
    }
}

#[test]
fn a_header_that_points_outside_is_no_packet() {
    for (at, value) in [(12, 200_u32), (12, u32::MAX), (24, 0xffff)] {
        let mut block = block(0, 0, 0);
        block[64 + at..64 + at + 4].copy_from_slice(&value.to_ne_bytes());
        assert!(frame(&mut block, 64, true).is_none(), "{at} {value}");
    }
    assert!(frame(&mut block(0, 0, 0), 240, true).is_none());
}

/// A ring of the loopback interface with a filter; none without permission or tcpdump.
fn loopback(filter: &str) -> Option<(u32, Ring)> {
    let skipped = |why: &dyn std::error::Error| {
        // Not `eprintln!`, which shows nothing of a test that passes.
        let _ = writeln!(io::stderr(), "SKIPPED: {why}");
        None
    };
    let filter = match Filter::compile(filter) {
        Err(error @ FilterError::Tcpdump(_)) => return skipped(&error),
        filter => Some(filter.unwrap()),
    };
    let (index, _) = interfaces().unwrap().into_iter().find(|(_, name)| name == "lo")?;
    let options = RingOptions { octets: 1 << 20, promiscuous: false, filter };
    match Ring::open(index, 1, &options) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => skipped(&error),
        rings => Some((index, rings.unwrap().pop()?)),
    }
}

#[test]
fn tags_of_live_packets_are_where_they_were() {
    // Of other test runs at this time.
    let [high, low, ..] = std::process::id().to_le_bytes();
    let port = u16::from_be_bytes([high, low | 1]);
    let Some((index, mut ring)) = loopback(&format!("vlan 77 and udp port {port}")) else { return };
    let sender = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
    sys::bind(sender.as_fd(), index, sys::NONE).unwrap();
    let address = |host: &str| format!("{host}:{port}").parse().unwrap();
    let frame = Frame::udp(address("192.0.2.1"), address("192.0.2.2")).unwrap();
    // Of the second one another filter would have let pass neither or both.
    let [tagged, other] = [77, 78].map(|vlan| frame.clone().tag(0x8100, vlan).ethernet());
    for frame in [&other, &tagged] {
        sender.send(frame).unwrap();
    }
    let mut wakes = 0;
    let (octets, original_length) = loop {
        if let Some(packet) = ring.next_packet() {
            break (packet.octets.to_vec(), packet.original_length);
        }
        // Packets of others on this interface wake it, too.
        wakes += 1;
        assert!(wakes < 10_000, "nothing was chosen");
        Ring::wait(std::iter::once(&ring), Duration::from_secs(20)).unwrap();
    };
    assert_eq!((octets, original_length as usize), (tagged.clone(), tagged.len()));
    assert!(ring.next_packet().is_none());
}
