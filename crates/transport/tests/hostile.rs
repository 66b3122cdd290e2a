//! What an attacker, or a broken network, sends to a userland endpoint: nothing of it harms an
//! association, and all of it is counted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use transport::{
    Association, ConnectError, Counters, Endpoint, EndpointConfig, Event, LossReason, MsgOut, PeerAddress,
    Ppid,
};

const PATIENCE: Duration = Duration::from_secs(10);
const PORT: u16 = 4739;

fn endpoint() -> Endpoint {
    endpoint_at(Ipv4Addr::LOCALHOST.into())
}

fn endpoint_at(ip: IpAddr) -> Endpoint {
    let mut config = EndpointConfig::new(ip);
    config.encapsulation = 0;
    Endpoint::bind(config).unwrap()
}

/// CRC32c bit by bit, as RFC 9260 appendix A defines it: independent of the code under test.
fn crc32c(octets: &[u8]) -> u32 {
    !octets.iter().fold(u32::MAX, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (0_u32.wrapping_sub(crc & 1)))
        })
    })
}

fn seal(mut packet: Vec<u8>) -> Vec<u8> {
    packet[8..12].fill(0);
    let crc = crc32c(&packet);
    packet[8..12].copy_from_slice(&crc.to_le_bytes());
    packet
}

fn packet(source: u16, destination: u16, tag: u32, chunks: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(source.to_be_bytes());
    packet.extend(destination.to_be_bytes());
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(chunks);
    seal(packet)
}

fn init(source: u16, tag: u32) -> Vec<u8> {
    let mut chunk = vec![1, 0, 0, 20];
    chunk.extend(tag.to_be_bytes());
    chunk.extend(100_000_u32.to_be_bytes());
    chunk.extend([0, 10, 0, 10]);
    chunk.extend(7_u32.to_be_bytes());
    packet(source, PORT, 0, &chunk)
}

fn tag(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[4..8].try_into().unwrap())
}

fn first_chunk(packet: &[u8]) -> u8 {
    packet[12]
}

/// Waits until the counters look as they should.
async fn counted(endpoint: &Endpoint, condition: impl Fn(&Counters) -> bool) -> Counters {
    let wait = async {
        loop {
            let counters = endpoint.counters();
            if condition(&counters) {
                return counters;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{:?}", endpoint.counters()))
}

/// What a bystander on the path does with a datagram.
type Tap = Box<dyn FnMut(bool, &[u8]) -> Vec<Vec<u8>> + Send>;

/// A wire tap between a client endpoint and `server`; gives the address clients connect to. The tap
/// gets each datagram, with whether it goes to the server, and says what goes on instead.
async fn tap(server: SocketAddr, mut tap: Tap) -> SocketAddr {
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut forth, mut back_buffer) = (vec![0; 65_536], vec![0; 65_536]);
        let mut client = None;
        loop {
            tokio::select! {
                Ok((n, from)) = front.recv_from(&mut forth) => {
                    client = Some(from);
                    for datagram in tap(true, &forth[..n]) {
                        let _ = back.send_to(&datagram, server).await;
                    }
                }
                Ok(n) = back.recv(&mut back_buffer) => {
                    for datagram in tap(false, &back_buffer[..n]) {
                        if let Some(client) = client {
                            let _ = front.send_to(&datagram, client).await;
                        }
                    }
                }
            }
        }
    });
    address
}

fn sctp(address: SocketAddr) -> PeerAddress {
    PeerAddress::Sctp { ip: address.ip(), port: PORT, encapsulation: Some(address.port()) }
}

/// An association through a tap that also tells every datagram to the test.
async fn tapped(
    server: &Endpoint,
    client: &Endpoint,
) -> (Association, Association, tokio::sync::mpsc::UnboundedReceiver<(bool, Vec<u8>)>) {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let mut listener = server.listen(PORT).await.unwrap();
    let spy = move |forth: bool, datagram: &[u8]| {
        let _ = tell.send((forth, datagram.to_vec()));
        vec![datagram.to_vec()]
    };
    let address = tap(server.local_address(), Box::new(spy)).await;
    let a = client.connect(sctp(address)).await.unwrap();
    let b = listener.accept().await.unwrap();
    (a, b, told)
}

/// The association still carries messages both ways.
async fn works(a: &mut Association, b: &mut Association) {
    one_way(a, b).await;
    one_way(b, a).await;
}

async fn one_way(from: &Association, to: &mut Association) {
    from.send(MsgOut::new(Ppid::ASAP, vec![9; 3_000])).await.unwrap();
    loop {
        match tokio::time::timeout(PATIENCE, to.recv()).await.unwrap() {
            Event::Message(message) => break assert_eq!(message.data, vec![9; 3_000]),
            Event::SenderDry => {}
            event => panic!("{event:?}"),
        }
    }
}

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

/// The State Cookie parameter of an INIT ACK.
fn state_cookie(init_ack: &[u8]) -> Vec<u8> {
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

fn cookie_echo(source: u16, tag: u32, cookie: &[u8]) -> Vec<u8> {
    let mut chunk = vec![10, 0];
    chunk.extend(u16::try_from(cookie.len() + 4).unwrap().to_be_bytes());
    chunk.extend(cookie);
    packet(source, PORT, tag, &chunk)
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

#[tokio::test]
async fn answers_out_of_the_blue_are_few_and_never_an_abort_for_an_abort() {
    let server = endpoint();
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..50 {
        attacker.send_to(&packet(5, 6, 7, &[6, 0, 0, 4]), server.local_address()).await.unwrap();
    }
    let counters = counted(&server, |c| c.out_of_the_blue == 50).await;
    assert_eq!((counters.out_of_the_blue_answers, counters.answers_suppressed), (0, 0));
    for _ in 0..300 {
        attacker.send_to(&packet(5, 6, 7, &[0, 3, 0, 4]), server.local_address()).await.unwrap();
    }
    let counters = counted(&server, |c| c.out_of_the_blue == 350).await;
    assert!((100..=200).contains(&counters.out_of_the_blue_answers), "{counters:?}");
    let mut buffer = [0; 100];
    let n = attacker.recv(&mut buffer).await.unwrap();
    assert_eq!(buffer[..n], packet(6, 5, 7, &[6, 1, 0, 4]), "an ABORT that reflects the tag");
}

#[tokio::test]
async fn a_lost_shutdown_complete_is_repeated_for_an_association_long_gone() {
    let server = endpoint();
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    attacker.send_to(&packet(5, 6, 7, &[8, 0, 0, 4]), server.local_address()).await.unwrap();
    let mut buffer = [0; 100];
    let n = attacker.recv(&mut buffer).await.unwrap();
    assert_eq!(buffer[..n], packet(6, 5, 7, &[14, 1, 0, 4]));
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
