//! Packets that are broken, altered or repeated.

use tokio::net::UdpSocket;
use transport::{Event, MsgOut, Ppid};

use crate::tap::{PATIENCE, counted, endpoint, sctp, tap, tapped, works};
use crate::wire::{PORT, packet};

#[tokio::test]
async fn garbage_is_counted_and_harms_nothing() {
    let (server, client) = (endpoint(), endpoint());
    let (mut a, mut b, _) = tapped(&server, &client).await;
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in [0, 1, 11, 12, 15] {
        attacker.send_to(&vec![0xff; length], server.local_address()).await.unwrap();
    }
    for length in [16, 100, 1_400, 20_000] {
        let mut noise = vec![0x77; length];
        noise[12..16].copy_from_slice(&[0, 0, 0, 4]);
        attacker.send_to(&noise, server.local_address()).await.unwrap();
    }
    // A chunk that claims more than there is, a chunk shorter than its header, with a right checksum.
    for chunk in [[0, 0, 0xff, 0xff], [0, 0, 0, 3]] {
        attacker.send_to(&packet(1, PORT, 5, &chunk), server.local_address()).await.unwrap();
    }
    let counters = counted(&server, |c| c.malformed >= 7 && c.crc_failures >= 4).await;
    assert_eq!((counters.malformed, counters.crc_failures, counters.crc_failures_large), (7, 4, 1));
    works(&mut a, &mut b).await;
}

#[tokio::test]
async fn flipped_octets_are_lost_packets_and_no_message_suffers() {
    let server = endpoint();
    let mut listener = server.listen(PORT).await.unwrap();
    let mut count = 0_usize;
    let flip = move |_: bool, datagram: &[u8]| {
        let mut datagram = datagram.to_vec();
        count += 1;
        if count.is_multiple_of(7) {
            let at = (count * 31) % datagram.len();
            datagram[at] ^= 1 << (count % 8);
        }
        vec![datagram]
    };
    let address = tap(server.local_address(), Box::new(flip)).await;
    let client = endpoint();
    let a = client.connect(sctp(address)).await.unwrap();
    let mut b = listener.accept().await.unwrap();
    for n in 0..100_u8 {
        a.send(MsgOut::new(Ppid::ASAP, vec![n; 1_400])).await.unwrap();
        let Event::Message(message) = tokio::time::timeout(PATIENCE, b.recv()).await.unwrap() else {
            panic!()
        };
        assert_eq!(message.data, vec![n; 1_400]);
    }
    assert!(server.counters().crc_failures > 0);
}

#[tokio::test]
async fn packets_that_come_twice_change_nothing() {
    let server = endpoint();
    let mut listener = server.listen(PORT).await.unwrap();
    let twice = |_: bool, datagram: &[u8]| vec![datagram.to_vec(), datagram.to_vec()];
    let address = tap(server.local_address(), Box::new(twice)).await;
    let client = endpoint();
    let mut a = client.connect(sctp(address)).await.unwrap();
    let mut b = listener.accept().await.unwrap();
    for _ in 0..20 {
        works(&mut a, &mut b).await;
    }
    assert_eq!((server.counters().accepted, server.counters().restarts), (1, 0));
    a.shutdown(PATIENCE).await.unwrap();
}
