//! An SCTP handshake by hand (RFC 9260 section 5.1), in UDP, from a chosen port: that of an association before.

use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;
use transport::SCTP_ENCAPSULATION_PORT;

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
/// The parameter of the INIT ACK that holds the cookie.
const STATE_COOKIE: u16 = 7;
/// Common header, chunk header, and the fixed part of INIT and INIT ACK.
const FIXED: usize = 12 + 4 + 16;
/// This end's verification tag; any other than that of the association before.
const TAG: u32 = 0x5eed;

/// Returns once the peer has acknowledged the cookie. What gets lost is not repeated.
pub(crate) async fn handshake(local: IpAddr, port: u16, peer: SocketAddr) {
    let socket = UdpSocket::bind((local, SCTP_ENCAPSULATION_PORT)).await.unwrap();
    socket.connect((peer.ip(), SCTP_ENCAPSULATION_PORT)).await.unwrap();
    let ports = (port, peer.port());
    // Tag, window, streams out and in, first TSN.
    let init = [TAG.to_be_bytes(), [0, 2, 0, 0], [0, 16, 0, 16], [0, 0, 0, 1]].concat();
    socket.send(&packet(ports, 0, INIT, &init)).await.unwrap();
    let answer = answer(&socket, INIT_ACK).await;
    let peer_tag = u32::from_be_bytes(answer[16..20].try_into().unwrap());
    socket.send(&packet(ports, peer_tag, COOKIE_ECHO, cookie(&answer))).await.unwrap();
    self::answer(&socket, COOKIE_ACK).await;
}

/// The next packet for this end whose first chunk is of this type.
async fn answer(socket: &UdpSocket, chunk: u8) -> Vec<u8> {
    let mut packet = vec![0; 2_000];
    loop {
        let length = socket.recv(&mut packet).await.unwrap();
        if length > 12 && packet[4..8] == TAG.to_be_bytes() && packet[12] == chunk {
            packet.truncate(length);
            return packet;
        }
    }
}

fn cookie(init_ack: &[u8]) -> &[u8] {
    let mut rest = &init_ack[FIXED..];
    loop {
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if rest[..2] == STATE_COOKIE.to_be_bytes() {
            return &rest[4..length];
        }
        rest = &rest[length.next_multiple_of(4)..];
    }
}

/// A packet with one chunk.
fn packet((from, to): (u16, u16), tag: u32, chunk: u8, value: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend([chunk, 0]);
    packet.extend(u16::try_from(4 + value.len()).unwrap().to_be_bytes());
    packet.extend(value);
    packet.resize(packet.len().next_multiple_of(4), 0);
    let crc = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&crc);
    packet
}

/// RFC 9260 appendix A, bit by bit.
fn crc32c(octets: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for octet in octets {
        crc ^= u32::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn the_checksum_is_that_of_the_known_vector() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
