//! Userland SCTP beyond what every back end does: many associations, limited reliability over a path
//! that loses packets, an endpoint that closes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use transport::{
    ConnectError, Endpoint, EndpointConfig, Event, LossReason, MsgOut, Outcome, PeerAddress, Ppid,
    Reliability, SendError, Token, sim,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn config() -> EndpointConfig {
    let mut config = EndpointConfig::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
    config.encapsulation = 0;
    config
}

fn endpoint() -> Endpoint {
    Endpoint::bind(config()).unwrap()
}

async fn next(association: &mut transport::Association) -> Event {
    tokio::time::timeout(PATIENCE, association.recv()).await.expect("an event in time")
}

#[tokio::test]
async fn an_address_in_use_is_named_in_the_error() {
    let first = endpoint();
    let mut config = config();
    config.encapsulation = first.local_address().port();
    let error = Endpoint::bind(config).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&first.local_address().to_string()), "{error}");
    let _listener = first.listen(4739).await.unwrap();
    let error = first.listen(4739).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains("4739"), "{error}");
}

#[tokio::test]
async fn the_wildcard_address_is_refused() {
    let error = Endpoint::bind(EndpointConfig::new(Ipv4Addr::UNSPECIFIED.into())).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_port_can_be_listened_to_again_after_its_listener_is_gone() {
    let (server, client) = (endpoint(), endpoint());
    let listener = server.listen(4739).await.unwrap();
    drop(listener);
    let refused = client.connect(server.peer_address(4739)).await;
    assert!(matches!(refused, Err(ConnectError::Refused(_))), "{refused:?}");
    let _listener = server.listen(4739).await.unwrap();
    client.connect(server.peer_address(4739)).await.unwrap();
}

#[tokio::test]
async fn many_associations_share_an_endpoint_in_both_directions() {
    let (left, right) = (endpoint(), endpoint());
    let mut at_right = right.listen(3863).await.unwrap();
    let mut at_left = left.listen(3863).await.unwrap();
    let mut pairs = Vec::new();
    for n in 0..200 {
        let (from, to, listener) =
            if n % 2 == 0 { (&left, &right, &mut at_right) } else { (&right, &left, &mut at_left) };
        let a = from.connect(to.peer_address(3863)).await.unwrap();
        pairs.push((a, listener.accept().await.unwrap()));
    }
    for (n, (a, b)) in pairs.iter_mut().enumerate() {
        let text = format!("message {n}");
        a.send(MsgOut::new(Ppid::ASAP, text.clone())).await.unwrap();
        b.send(MsgOut::new(Ppid::ENRP, text)).await.unwrap();
    }
    for (n, (a, b)) in pairs.iter_mut().enumerate() {
        for (end, ppid) in [(a, Ppid::ENRP), (b, Ppid::ASAP)] {
            loop {
                if let Event::Message(message) = next(end).await {
                    assert_eq!((message.ppid, &message.data[..]), (ppid, format!("message {n}").as_bytes()));
                    break;
                }
            }
        }
    }
    assert_eq!((left.counters().connected, left.counters().accepted), (100, 100));
}

#[tokio::test]
async fn a_stream_beyond_those_agreed_on_is_refused() {
    let mut few = config();
    few.streams = 3;
    let (server, client) = (Endpoint::bind(few).unwrap(), endpoint());
    let _listener = server.listen(4739).await.unwrap();
    let association = client.connect(server.peer_address(4739)).await.unwrap();
    let message = |stream| MsgOut { stream, ..MsgOut::new(Ppid::IPFIX, "x") };
    assert_eq!(association.send(message(2)).await, Ok(()));
    assert_eq!(association.send(message(3)).await, Err(SendError::Stream(3)));
}

#[tokio::test]
async fn associations_beyond_the_limit_per_address_are_refused() {
    let mut limited = config();
    limited.max_per_address = 2;
    let (server, client) = (Endpoint::bind(limited).unwrap(), endpoint());
    let _listener = server.listen(4739).await.unwrap();
    let mut kept = Vec::new();
    for _ in 0..2 {
        kept.push(client.connect(server.peer_address(4739)).await.unwrap());
    }
    let third = client.connect(server.peer_address(4739)).await;
    assert!(matches!(third, Err(ConnectError::TimedOut(_))), "{third:?}");
    assert!(server.counters().handshakes_refused > 0);
}

#[tokio::test]
async fn a_full_backlog_only_delays_an_association() {
    let mut small = config();
    small.backlog = 1;
    let (server, client) = (Endpoint::bind(small).unwrap(), endpoint());
    let mut listener = server.listen(4739).await.unwrap();
    let _first = client.connect(server.peer_address(4739)).await.unwrap();
    let second = client.connect(server.peer_address(4739));
    let accept = async {
        while server.counters().handshakes_refused == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        listener.accept().await.unwrap();
        listener.accept().await.unwrap();
    };
    let (second, ()) = tokio::join!(second, accept);
    second.unwrap();
}

#[tokio::test]
async fn a_connect_that_nobody_waits_for_leaves_no_association() {
    let (server, client) = (endpoint(), endpoint());
    let mut listener = server.listen(4739).await.unwrap();
    {
        let connect = client.connect(server.peer_address(4739));
        let _ = tokio::time::timeout(Duration::from_micros(1), connect).await;
    }
    // If the handshake went on without its caller, its end is an abort; the one after it stays.
    let after = client.connect(server.peer_address(4739)).await.unwrap();
    loop {
        let mut b = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        if b.peer() == after.local() {
            break;
        }
        assert!(matches!(next(&mut b).await, Event::Lost(LossReason::PeerAborted(_))));
    }
}

#[tokio::test]
async fn a_closed_endpoint_aborts_its_associations_and_answers_no_more() {
    let (server, client) = (endpoint(), endpoint());
    let mut listener = server.listen(4739).await.unwrap();
    let mut a = client.connect(server.peer_address(4739)).await.unwrap();
    let mut b = listener.accept().await.unwrap();
    server.close();
    assert!(matches!(next(&mut a).await, Event::Lost(LossReason::PeerAborted(_))));
    assert_eq!(next(&mut b).await, Event::Lost(LossReason::EndpointClosed));
    assert!(listener.accept().await.is_err());
    assert!(server.listen(1).await.is_err());
    let connect = server.connect(client.peer_address(1)).await;
    assert!(matches!(connect, Err(ConnectError::EndpointClosed)));
}

#[tokio::test]
async fn an_endpoint_that_was_dropped_carries_its_associations_on() {
    let (server, client) = (endpoint(), endpoint());
    let mut listener = server.listen(4739).await.unwrap();
    let a = client.connect(server.peer_address(4739)).await.unwrap();
    let mut b = listener.accept().await.unwrap();
    drop((client, server, listener));
    a.send(MsgOut::new(Ppid::ASAP, "still here")).await.unwrap();
    assert!(matches!(next(&mut b).await, Event::Message(_)));
}

/// Passes datagrams on, but loses `percent` of those longer than `over` octets, each way; with 100 all,
/// in 250 of every 600 ms.
#[expect(clippy::disallowed_methods, reason = "the outages are in real time")]
async fn lossy(server: SocketAddr, percent: u64, over: usize) -> PeerAddress {
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap();
    let start = std::time::Instant::now();
    tokio::spawn(async move {
        let (mut forth, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
        let (mut client, mut random) = (server, 1_u64);
        loop {
            let (n, out, octets, to) = tokio::select! {
                Ok((n, from)) = front.recv_from(&mut forth) => {
                    client = from;
                    (n, &back, &forth, server)
                }
                Ok(n) = back.recv(&mut answer) => (n, &front, &answer, client),
            };
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let lost = if percent == 100 {
                start.elapsed().as_millis() % 600 < 250
            } else {
                (random >> 33) % 100 < percent
            };
            if n <= over || !lost {
                let _ = out.send_to(&octets[..n], to).await;
            }
        }
    });
    PeerAddress::Sctp { ip: address.ip(), port: 4739, encapsulation: Some(address.port()) }
}

#[tokio::test]
async fn limited_messages_are_skipped_and_reliable_ones_all_arrive_on_a_path_with_losses() {
    let mut small = config();
    small.mtu = Some(1_452);
    let (server, client) = (Endpoint::bind(small.clone()).unwrap(), Endpoint::bind(small).unwrap());
    let mut listener = server.listen(4739).await.unwrap();
    let address = lossy(server.local_address(), 5, 200).await;
    let mut a = client.connect(address).await.unwrap();
    let mut b = listener.accept().await.unwrap();

    let total = 1_200_u32;
    let sender = a.sender();
    let writer = async {
        for n in 0..total {
            let (stream, reliability) = match n % 3 {
                0 => (1, Reliability::Full),
                1 => (2, Reliability::MaxRetransmits(0)),
                _ => (3, Reliability::Lifetime(Duration::from_millis(1))),
            };
            let data = n.to_be_bytes().repeat(250);
            let token = Some(Token(n.into()));
            let message = MsgOut { stream, reliability, token, ..MsgOut::new(Ppid::IPFIX, data) };
            sender.send(message).await.unwrap();
        }
    };
    let outcomes = async {
        let (mut delivered, mut abandoned) = (vec![0_u32; 3], vec![0_u32; 3]);
        loop {
            match next(&mut a).await {
                Event::Sent { token, outcome } => {
                    let class = usize::try_from(token.0 % 3).unwrap();
                    match outcome {
                        Outcome::Delivered => delivered[class] += 1,
                        Outcome::Abandoned => abandoned[class] += 1,
                        Outcome::Unknown => panic!("unknown"),
                    }
                    if delivered.iter().chain(&abandoned).sum::<u32>() == total {
                        return (delivered, abandoned);
                    }
                }
                Event::SenderDry => {}
                event => panic!("{event:?}"),
            }
        }
    };
    let (_, (delivered, abandoned)) = tokio::join!(writer, outcomes);
    a.shutdown(PATIENCE).await.unwrap();

    let mut arrived = vec![Vec::new(); 3];
    loop {
        match next(&mut b).await {
            Event::Message(message) => {
                let n = u32::from_be_bytes(message.data[..4].try_into().unwrap());
                assert_eq!(message.data, n.to_be_bytes().repeat(250));
                arrived[usize::from(message.stream) - 1].push(n);
            }
            Event::PeerShutdown => break,
            event => panic!("{event:?}"),
        }
    }
    assert!(arrived.iter().all(|numbers| numbers.is_sorted()), "order per stream");
    assert_eq!(arrived[0].len(), 400, "every reliable message arrives");
    assert_eq!((delivered[0], abandoned[0]), (400, 0));
    assert!(abandoned[1] > 0, "some limited messages were given up: {abandoned:?}");
    assert!(arrived[1].len() < 400 && arrived[1].len() > 200, "{} of class 1", arrived[1].len());
    assert_eq!((delivered[1] + abandoned[1], delivered[2] + abandoned[2]), (400, 400), "one outcome each");
}

#[tokio::test]
async fn a_graceful_shutdown_on_a_path_with_losses_loses_nothing_either_way() {
    let mut small = config();
    small.mtu = Some(1_192);
    for (percent, from_a, from_b) in
        [(10, 0, 80), (20, 80, 40), (100, 80, 0), (100, 0, 200), (100, 0, 120), (100, 0, 40), (100, 80, 80)]
    {
        let (server, client) =
            (Endpoint::bind(small.clone()).unwrap(), Endpoint::bind(small.clone()).unwrap());
        let mut listener = server.listen(4739).await.unwrap();
        let address = lossy(server.local_address(), percent, 0).await;
        let mut a = client.connect(address).await.unwrap();
        let mut b = listener.accept().await.unwrap();
        for (association, count) in [(&a, from_a), (&b, from_b)] {
            for n in 0..count {
                association.send(MsgOut::new(Ppid::ASAP, vec![n; 1_000])).await.unwrap();
            }
        }
        let done = a.shutdown(PATIENCE).await;
        assert_eq!(done, Ok(()), "{percent} % lost: {:?} {:?}", a.status(), b.status());
        for (association, count) in [(&mut a, from_b), (&mut b, from_a)] {
            let mut arrived = Vec::new();
            loop {
                match next(association).await {
                    Event::Message(message) => arrived.push(message.data[0]),
                    Event::Lost(LossReason::Closed | LossReason::PeerClosed) => break,
                    Event::Lost(reason) => panic!("{percent} % lost: {reason}"),
                    _ => {}
                }
            }
            assert_eq!(arrived, (0..count).collect::<Vec<_>>(), "{percent} % lost");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn limited_messages_are_lost_by_seed_in_the_simulation() {
    let mut options = sim::Options::default();
    options.loss = 0.25;
    let run = async |seed: u64| {
        let (mut a, mut b) = sim::pair(seed, options.clone());
        for n in 0..400_u64 {
            let reliability = if n % 2 == 0 { Reliability::Full } else { Reliability::MaxRetransmits(0) };
            let token = Some(Token(n));
            let data = n.to_be_bytes().to_vec();
            a.send(MsgOut { reliability, token, ..MsgOut::new(Ppid::IPFIX, data) }).await.unwrap();
        }
        let mut abandoned = Vec::new();
        loop {
            match a.recv().await {
                Event::Sent { token, outcome: Outcome::Abandoned } => abandoned.push(token.0),
                Event::SenderDry => break,
                _ => {}
            }
        }
        a.shutdown(PATIENCE).await.unwrap();
        let mut arrived = 0;
        while let Event::Message(_) = b.recv().await {
            arrived += 1;
        }
        assert_eq!(arrived + abandoned.len(), 400);
        assert!(abandoned.iter().all(|n| n % 2 == 1), "only limited ones");
        abandoned
    };
    let (first, again, other) = (run(7).await, run(7).await, run(8).await);
    assert!((30..=70).contains(&first.len()), "{}", first.len());
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[tokio::test(start_paused = true)]
async fn the_simulation_cuts_heals_freezes_kills_and_restarts() {
    let (a, mut b, control) = sim::controlled(1, sim::Options::default());
    control.cut();
    a.send(MsgOut::new(Ppid::ASAP, "late")).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(1), b.recv()).await.is_err());
    control.heal();
    assert!(matches!(b.recv().await, Event::Message(_)));
    control.freeze(sim::Side::A);
    assert!(tokio::time::timeout(Duration::from_secs(1), b.recv()).await.is_err());
    control.thaw(sim::Side::A);
    control.restart(sim::Side::A);
    assert_eq!(b.recv().await, Event::Restarted);
    assert_eq!(b.recv().await, Event::Up);
    control.kill(sim::Side::A);
    assert!(matches!(b.recv().await, Event::Lost(LossReason::Unreachable(_))));
    drop(a);

    let (mut a, mut b, control) = sim::controlled(2, sim::Options::default());
    control.freeze(sim::Side::A);
    assert!(matches!(b.recv().await, Event::Lost(LossReason::Silent(_))));
    control.thaw(sim::Side::A);
    assert!(matches!(a.recv().await, Event::Lost(LossReason::PeerAborted(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_association_aborted_right_after_accept_is_lost_or_refused_never_silent() {
    let (a, b) = (endpoint(), endpoint());
    let mut listener = b.listen(4739).await.unwrap();
    let address = listener.local();
    tokio::spawn(async move {
        while let Ok(association) = listener.accept().await {
            drop(association);
        }
    });
    for _ in 0..300 {
        match a.connect(address).await {
            Ok(mut association) => {
                let lost = tokio::time::timeout(Duration::from_secs(10), async {
                    while !matches!(association.recv().await, Event::Lost(_)) {}
                });
                lost.await.expect("the association's end is told");
            }
            Err(error) => assert!(matches!(error, ConnectError::Refused(_)), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_message_as_long_as_the_path_takes_in_one_packet_is_told_and_fits() {
    for (mtu, expected) in [(Some(1_452), 1_452 - 28), (None, 16_384 - 28)] {
        let mut config = config();
        config.mtu = mtu;
        let (server, client) = (endpoint(), Endpoint::bind(config).unwrap());
        let mut listener = server.listen(4739).await.unwrap();
        let mut a = client.connect(server.peer_address(4739)).await.unwrap();
        let _b = listener.accept().await.unwrap();
        // Loopback takes 65,536; the rest of what an endpoint would take costs socket buffers.
        assert_eq!(a.status().max_payload, Some(expected));
        for (octets, packets) in [(expected, 1), (expected + 4, 2)] {
            let before = client.counters().octets_out;
            a.send(MsgOut::new(Ppid::IPFIX, vec![1; octets])).await.unwrap();
            assert_eq!(next(&mut a).await, Event::SenderDry);
            let sent = usize::try_from(client.counters().octets_out - before).unwrap();
            // A header of 12 for each packet and one of 16 for each chunk; a HEARTBEAT may have come between.
            assert!(sent >= octets + 28 * packets && sent < octets + 28 * packets + 100, "{sent} octets");
        }
    }
}

#[tokio::test]
async fn messages_that_expire_half_sent_do_not_stall_their_stream() {
    // Packets shorter than a message, so that messages are sent in pieces.
    let small = || {
        let mut config = config();
        config.mtu = Some(1_192);
        Endpoint::bind(config).unwrap()
    };
    let (server, client) = (small(), small());
    let mut listener = server.listen(4739).await.unwrap();
    let mut a = client.connect(server.peer_address(4739)).await.unwrap();
    let mut b = listener.accept().await.unwrap();
    let timed = |number: u32, lifetime| MsgOut {
        stream: 1,
        reliability: Reliability::Lifetime(lifetime),
        ..MsgOut::new(Ppid::IPFIX, [&number.to_be_bytes()[..], &[0; 1_396]].concat())
    };
    // Far more than can be sent in time.
    for number in 0..1_000 {
        a.try_send(timed(number, Duration::from_millis(5))).unwrap();
    }
    a.try_send(timed(1_000, PATIENCE)).unwrap();
    assert_eq!(next(&mut a).await, Event::SenderDry);
    let mut arrived = 0;
    loop {
        let Event::Message(message) = next(&mut b).await else { continue };
        arrived += 1;
        if message.data[..4] == 1_000_u32.to_be_bytes() {
            break;
        }
    }
    assert!(arrived < 1_001, "none expired");
}
