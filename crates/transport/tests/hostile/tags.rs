//! Verification tags (RFC 9260 section 8.5), and peers that move (RFC 6951 section 5.4).

use tokio::net::UdpSocket;
use transport::{Event, MsgOut, PeerAddress, Ppid};

use crate::tap::{PATIENCE, counted, endpoint, sctp, tap, tapped, works};
use crate::wire::{PORT, packet, tag};

#[tokio::test]
async fn an_abort_or_data_with_the_wrong_tag_is_ignored() {
    let (server, client) = (endpoint(), endpoint());
    let (mut a, mut b, mut told) = tapped(&server, &client).await;
    works(&mut a, &mut b).await;
    let (_, sample) = told.recv().await.unwrap();
    let client_port = u16::from_be_bytes([sample[0], sample[1]]);
    let address = server.local_address();
    let PeerAddress::Sctp { encapsulation, .. } = b.peer() else { panic!("not SCTP") };
    drop(sample);
    // Nobody else can send from the tap's port, so the attacker is seen as a peer that moved: the tag
    // decides. With a wrong one it is out of the blue.
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for (flags, tag) in [(0, 1), (1, 1), (0, 0), (1, 0), (0, 0xdead_beef)] {
        let abort = packet(client_port, PORT, tag, &[6, flags, 0, 4]);
        attacker.send_to(&abort, address).await.unwrap();
    }
    let heartbeat = packet(client_port, PORT, 0xdead_beef, &[4, 0, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0]);
    attacker.send_to(&heartbeat, address).await.unwrap();
    counted(&server, |c| c.out_of_the_blue >= 6).await;
    works(&mut a, &mut b).await;
    let PeerAddress::Sctp { encapsulation: still, .. } = b.peer() else { panic!("not SCTP") };
    assert_eq!(encapsulation, still, "the peer did not move");
}

#[tokio::test]
async fn a_wrong_tag_over_the_same_path_is_counted_and_ignored() {
    let server = endpoint();
    let mut listener = server.listen(PORT).await.unwrap();
    let mut count = 0;
    // Before each of the client's packets comes an ABORT with a guessed tag, from the same address.
    let inject = move |forth: bool, datagram: &[u8]| {
        let mut out = vec![datagram.to_vec()];
        count += 1;
        if forth && count > 4 {
            let source = u16::from_be_bytes([datagram[0], datagram[1]]);
            out.insert(0, packet(source, PORT, tag(datagram) ^ 0x1000, &[6, 0, 0, 4]));
            out.insert(0, packet(source, PORT, tag(datagram), &[6, 1, 0, 4]));
        }
        out
    };
    let address = tap(server.local_address(), Box::new(inject)).await;
    let client = endpoint();
    let mut a = client.connect(sctp(address)).await.unwrap();
    let mut b = listener.accept().await.unwrap();
    for _ in 0..5 {
        works(&mut a, &mut b).await;
    }
    assert!(server.counters().bad_tag > 0, "{:?}", server.counters());
}

#[tokio::test]
async fn a_peer_behind_a_nat_that_moves_is_followed() {
    let server = endpoint();
    let mut listener = server.listen(PORT).await.unwrap();
    // A NAT whose outer port changes with every so many packets.
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap();
    let target = server.local_address();
    tokio::spawn(async move {
        let (mut forth, mut back) = (vec![0; 65_536], vec![0; 65_536]);
        let mut outer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (mut client, mut count) = (target, 0);
        loop {
            tokio::select! {
                Ok((n, from)) = front.recv_from(&mut forth) => {
                    client = from;
                    count += 1;
                    if count % 20 == 0 {
                        outer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    }
                    outer.send_to(&forth[..n], target).await.unwrap();
                }
                Ok(n) = outer.recv(&mut back) => drop(front.send_to(&back[..n], client).await.unwrap()),
            }
        }
    });
    let client = endpoint();
    let mut a = client.connect(sctp(address)).await.unwrap();
    let mut b = listener.accept().await.unwrap();
    for _ in 0..60 {
        a.send(MsgOut::new(Ppid::ASAP, vec![1; 1_000])).await.unwrap();
        loop {
            match tokio::time::timeout(PATIENCE, b.recv()).await.unwrap() {
                Event::Message(_) => break,
                Event::PathUp(_) => {}
                event => panic!("{event:?}"),
            }
        }
    }
    assert!(server.counters().rebinds >= 1, "{:?}", server.counters());
    a.shutdown(PATIENCE).await.unwrap();
}
