//! INIT and cookie: forged, repeated, refused.

use std::net::Ipv6Addr;
use std::time::Duration;

use tokio::net::UdpSocket;
use transport::{ConnectError, Event, LossReason};

use crate::tap::{PATIENCE, counted, endpoint, endpoint_at, sctp, tap, tapped, works};
use crate::wire::{PORT, cookie_echo, first_chunk, init, packet, state_cookie, tag};

#[tokio::test]
async fn a_forged_or_altered_cookie_makes_no_association() {
    let server = endpoint();
    let mut listener = server.listen(PORT).await.unwrap();
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // An invented cookie.
    let mut chunk = vec![10, 0, 0, 76];
    chunk.extend([0x41; 72]);
    attacker.send_to(&packet(4_000, PORT, 9, &chunk), server.local_address()).await.unwrap();
    counted(&server, |c| c.cookies_rejected == 1).await;

    // A cookie of ours with one bit changed, each in turn.
    attacker.send_to(&init(4_000, 77), server.local_address()).await.unwrap();
    let mut buffer = [0; 2_000];
    let n = attacker.recv(&mut buffer).await.unwrap();
    let cookie = state_cookie(&buffer[..n]);
    let tag = u32::from_be_bytes(buffer[16..20].try_into().unwrap());
    for at in 0..cookie.len() {
        let mut altered = cookie.clone();
        altered[at] ^= 0x10;
        attacker.send_to(&cookie_echo(4_000, tag, &altered), server.local_address()).await.unwrap();
        counted(&server, |c| c.cookies_rejected == 2 + at as u64).await;
    }

    // The same cookie from another address is somebody else's.
    let thief = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    thief.send_to(&cookie_echo(4_000, tag, &cookie), server.local_address()).await.unwrap();
    counted(&server, |c| c.cookies_rejected == 2 + cookie.len() as u64).await;
    assert_eq!(server.counters().accepted, 0);

    // With the wrong verification tag it is not ours either.
    attacker.send_to(&cookie_echo(4_000, tag ^ 1, &cookie), server.local_address()).await.unwrap();
    counted(&server, |c| c.bad_tag == 1).await;
    assert_eq!(server.counters().accepted, 0);

    // Unaltered it makes one.
    attacker.send_to(&cookie_echo(4_000, tag, &cookie), server.local_address()).await.unwrap();
    tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    assert_eq!(server.counters().accepted, 1);
}

#[tokio::test]
async fn an_init_leaves_nothing_behind_and_its_answer_is_small() {
    let server = endpoint();
    let _listener = server.listen(PORT).await.unwrap();
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut tags = std::collections::HashSet::new();
    let mut buffer = [0; 2_000];
    for source in 1_000..1_200 {
        attacker.send_to(&init(source, 77), server.local_address()).await.unwrap();
        let n = attacker.recv(&mut buffer).await.unwrap();
        tags.insert(u32::from_be_bytes(buffer[16..20].try_into().unwrap()));
        // With IP and UDP headers, less than three times the INIT.
        assert!(n + 28 <= 3 * (init(source, 77).len() + 28), "{n} octets");
    }
    assert_eq!(tags.len(), 200, "every INIT gets its own tag");
    let counters = server.counters();
    assert_eq!((counters.inits_answered, counters.accepted), (200, 0));
}

#[tokio::test]
async fn a_replayed_cookie_echo_leaves_the_association_as_it_is() {
    let (server, client) = (endpoint(), endpoint());
    let (mut a, mut b, mut told) = tapped(&server, &client).await;
    works(&mut a, &mut b).await;
    let mut echo = None;
    while let Ok((forth, datagram)) = told.try_recv() {
        if forth && first_chunk(&datagram) == 10 {
            echo = Some(datagram);
        }
    }
    let echo = echo.expect("a COOKIE ECHO was seen");
    // From elsewhere it is refused; the replay over the same path is in the tap's test below.
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..10 {
        attacker.send_to(&echo, server.local_address()).await.unwrap();
    }
    counted(&server, |c| c.cookies_rejected == 10).await;
    works(&mut a, &mut b).await;
    assert_eq!(server.counters().accepted, 1);
}

#[tokio::test]
async fn a_refusal_with_a_guessed_tag_does_not_stop_a_connect() {
    let server = endpoint();
    let mut listener = server.listen(PORT).await.unwrap();
    let mut done = false;
    let refuse = move |forth: bool, datagram: &[u8]| {
        if !forth && !done {
            done = true;
            let destination = u16::from_be_bytes([datagram[2], datagram[3]]);
            let abort = packet(PORT, destination, tag(datagram) ^ 4, &[6, 0, 0, 4]);
            return vec![abort, datagram.to_vec()];
        }
        vec![datagram.to_vec()]
    };
    let address = tap(server.local_address(), Box::new(refuse)).await;
    let client = endpoint();
    let mut a = client.connect(sctp(address)).await.unwrap();
    let mut b = listener.accept().await.unwrap();
    works(&mut a, &mut b).await;
    assert_eq!(client.counters().bad_tag, 1);
}

#[tokio::test]
async fn nobody_listening_is_refused_and_no_endpoint_is_unreachable() {
    let (server, client) = (endpoint(), endpoint());
    let bound = Duration::from_millis(2_500);
    let refused = tokio::time::timeout(bound, client.connect(server.peer_address(1))).await.unwrap();
    assert!(matches!(refused, Err(ConnectError::Refused(_))), "{refused:?}");
    for (client, any) in [(client, "127.0.0.1:0"), (endpoint_at(Ipv6Addr::LOCALHOST.into()), "[::1]:0")] {
        let free = UdpSocket::bind(any).await.unwrap().local_addr().unwrap();
        let unreachable = tokio::time::timeout(bound, client.connect(sctp(free))).await.unwrap();
        assert!(matches!(unreachable, Err(ConnectError::Unreachable(_))), "{unreachable:?}");
        assert!(client.counters().icmp > 0);
    }
}

#[tokio::test]
async fn a_peer_that_lost_its_state_is_told_from_one_that_lives() {
    // The tap lets a second client endpoint appear as the first: same addresses, same ports.
    let server = endpoint();
    let mut listener = server.listen(PORT).await.unwrap();
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut buffer = [0; 2_000];
    let handshake = async |tag: u32, buffer: &mut [u8]| {
        attacker.send_to(&init(4_000, tag), server.local_address()).await.unwrap();
        loop {
            let n = attacker.recv(buffer).await.unwrap();
            if first_chunk(&buffer[..n]) == 2 {
                let cookie = state_cookie(&buffer[..n]);
                let peer_tag = u32::from_be_bytes(buffer[16..20].try_into().unwrap());
                let echo = cookie_echo(4_000, peer_tag, &cookie);
                attacker.send_to(&echo, server.local_address()).await.unwrap();
                return;
            }
        }
    };
    handshake(77, &mut buffer).await;
    let mut b = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    handshake(78, &mut buffer).await;
    assert_eq!(b.recv().await, Event::Restarted);
    assert_eq!(b.recv().await, Event::Up);
    assert_eq!((server.counters().accepted, server.counters().restarts), (1, 1));
    // And it is lost for silence like any other.
    assert!(matches!(b.recv().await, Event::Lost(LossReason::Silent(_))));
}
