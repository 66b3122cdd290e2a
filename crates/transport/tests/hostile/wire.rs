//! Packets as an attacker makes them, independent of the code under test.

pub(crate) const PORT: u16 = 4739;

/// CRC32c bit by bit, as RFC 9260 appendix A defines it: independent of the code under test.
pub(crate) fn crc32c(octets: &[u8]) -> u32 {
    !octets.iter().fold(u32::MAX, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (0_u32.wrapping_sub(crc & 1)))
        })
    })
}

pub(crate) fn seal(mut packet: Vec<u8>) -> Vec<u8> {
    packet[8..12].fill(0);
    let crc = crc32c(&packet);
    packet[8..12].copy_from_slice(&crc.to_le_bytes());
    packet
}

pub(crate) fn packet(source: u16, destination: u16, tag: u32, chunks: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(source.to_be_bytes());
    packet.extend(destination.to_be_bytes());
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(chunks);
    seal(packet)
}

pub(crate) fn init(source: u16, tag: u32) -> Vec<u8> {
    let mut chunk = vec![1, 0, 0, 20];
    chunk.extend(tag.to_be_bytes());
    chunk.extend(100_000_u32.to_be_bytes());
    chunk.extend([0, 10, 0, 10]);
    chunk.extend(7_u32.to_be_bytes());
    packet(source, PORT, 0, &chunk)
}

pub(crate) fn tag(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[4..8].try_into().unwrap())
}

pub(crate) fn first_chunk(packet: &[u8]) -> u8 {
    packet[12]
}

/// The State Cookie parameter of an INIT ACK.
pub(crate) fn state_cookie(init_ack: &[u8]) -> Vec<u8> {
    assert_eq!(first_chunk(init_ack), 2);
    let mut at = 32;
    loop {
        let length = usize::from(u16::from_be_bytes([init_ack[at + 2], init_ack[at + 3]]));
        if init_ack[at..at + 2] == [0, 7] {
            return init_ack[at + 4..at + length].to_vec();
        }
        at += length.next_multiple_of(4);
    }
}

pub(crate) fn cookie_echo(source: u16, tag: u32, cookie: &[u8]) -> Vec<u8> {
    let mut chunk = vec![10, 0];
    chunk.extend(u16::try_from(cookie.len() + 4).unwrap().to_be_bytes());
    chunk.extend(cookie);
    packet(source, PORT, tag, &chunk)
}
