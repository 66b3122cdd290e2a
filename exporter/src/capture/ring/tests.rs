use super::{ADDRESSES, TAG, frame};

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
    assert_eq!((found.at, found.length), (136, 60));
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
