//! Plain UDP: what a burst leaves, who gets whose datagrams, what a sender hears.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use transport::udp::{Receiver, ReceiverOptions, Sender};

/// Nothing here takes so long on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn receivers(receive_buffer: usize, sockets: usize) -> Vec<Receiver> {
    Receiver::bind(anywhere(), &ReceiverOptions { receive_buffer, sockets }).unwrap()
}

/// A socket connected to `to`.
fn source(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(anywhere()).unwrap();
    socket.connect(to).unwrap();
    socket
}

/// Everything that waits in the socket.
fn drain(receiver: &mut Receiver) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    while receiver.receive().unwrap() > 0 {
        all.extend(receiver.datagrams().map(|(from, octets)| (from, octets.to_vec())));
    }
    all
}

#[test]
fn a_burst_arrives_up_to_the_buffer_and_the_rest_is_counted_exactly() {
    let mut receiver = receivers(64 << 10, 1).remove(0);
    assert_eq!(receiver.receive_buffer(), 64 << 10);
    let source = source(receiver.local());
    for number in 0..1_000_u16 {
        let mut datagram = [0; 1_400];
        datagram[..2].copy_from_slice(&number.to_be_bytes());
        // On loopback a datagram that was sent is in the receiver's buffer, or dropped.
        source.send(&datagram).unwrap();
    }
    let arrived = drain(&mut receiver);
    assert!(arrived.len() > 30, "{} arrived", arrived.len());
    assert_eq!(arrived.len() as u64 + receiver.kernel_drops(), 1_000);
    // The first ones arrive, in order.
    for (number, (from, octets)) in (0_u16..).zip(&arrived) {
        assert_eq!((*from, octets.len()), (source.local_addr().unwrap(), 1_400));
        assert_eq!(octets[..2], number.to_be_bytes());
    }
    // Between two bursts nothing is counted twice.
    for _ in 0..1_000 {
        source.send(&[0; 1_400]).unwrap();
    }
    let more = drain(&mut receiver);
    assert_eq!((arrived.len() + more.len()) as u64 + receiver.kernel_drops(), 2_000);
}

#[test]
fn datagrams_of_every_size_arrive_whole() {
    let mut receiver = receivers(4 << 20, 1).remove(0);
    let source = source(receiver.local());
    let sizes = [0, 1, 1_472, 1_473, 9_000, 65_507];
    for size in sizes {
        source.send(&vec![7; size]).unwrap();
    }
    let arrived: Vec<usize> = drain(&mut receiver).iter().map(|(_, octets)| octets.len()).collect();
    assert_eq!(arrived, sizes);
}

#[test]
fn datagrams_over_ipv6_arrive_with_their_source() {
    let options = ReceiverOptions { receive_buffer: 1 << 20, sockets: 2 };
    // A host without IPv6 has no such address.
    let Ok(mut receivers) = Receiver::bind("[::1]:0".parse().unwrap(), &options) else { return };
    let source = UdpSocket::bind("[::1]:0").unwrap();
    source.send_to(b"x", receivers[0].local()).unwrap();
    let arrived: Vec<_> = receivers.iter_mut().flat_map(drain).collect();
    assert_eq!(arrived, [(source.local_addr().unwrap(), b"x".to_vec())]);
}

#[test]
fn sockets_share_a_port_and_a_source_stays_with_one_of_them() {
    let mut receivers = receivers(1 << 20, 4);
    let local = receivers[0].local();
    assert!(receivers.iter().all(|receiver| receiver.local() == local));
    let sources: Vec<UdpSocket> = (0..32).map(|_| source(local)).collect();
    for round in 0..5 {
        for source in &sources {
            source.send(&[round]).unwrap();
        }
    }
    let mut seen: BTreeMap<SocketAddr, BTreeMap<usize, usize>> = BTreeMap::new();
    for (socket, receiver) in receivers.iter_mut().enumerate() {
        for (from, _) in drain(receiver) {
            *seen.entry(from).or_default().entry(socket).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 32);
    assert!(seen.values().all(|sockets| sockets.values().eq([&5])), "{seen:?}");
    let used: std::collections::BTreeSet<_> = seen.values().flat_map(BTreeMap::keys).collect();
    // That all 32 fall on one socket happens once in 4^31 runs.
    assert!(used.len() > 1, "32 sources on one of 4 sockets");
}

#[test]
fn a_port_that_is_not_shared_is_had_once() {
    let receiver = receivers(64 << 10, 1).remove(0);
    let error = Receiver::bind(receiver.local(), &ReceiverOptions::default()).unwrap_err();
    assert!(error.to_string().contains(&format!("UDP at {}", receiver.local())), "{error}");
}

#[test]
fn a_waiting_thread_is_woken_by_a_datagram_and_by_its_waker() {
    let mut receiver = receivers(64 << 10, 1).remove(0);
    let (waker, source) = (receiver.waker(), source(receiver.local()));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Ok(()) = receiver.wait(Duration::from_secs(3_600)) {
            if tell.send(receiver.receive().unwrap()).is_err() {
                return;
            }
        }
    });
    source.send(&[1]).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(1));
    waker.wake();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(0));
}

#[tokio::test]
async fn a_batch_leaves_in_order_and_an_empty_batch_is_nothing() {
    let mut receiver = receivers(4 << 20, 1).remove(0);
    let mut sender = Sender::connect(receiver.local(), None).unwrap();
    let batch: Vec<Vec<u8>> = (1..=100_u8).map(|number| vec![number; usize::from(number)]).collect();
    let mut rest = &batch[..];
    while !rest.is_empty() {
        let sent = sender.try_send(rest);
        assert!(sent.refused.is_none(), "{sent:?}");
        if sent.sent == 0 {
            sender.writable().await.unwrap();
        }
        rest = &rest[sent.sent..];
    }
    assert_eq!(sender.try_send(&[] as &[Vec<u8>]).sent, 0);
    let arrived = drain(&mut receiver);
    assert!(arrived.iter().all(|(from, _)| *from == sender.local().unwrap()));
    assert_eq!(arrived.into_iter().map(|(_, octets)| octets).collect::<Vec<_>>(), batch);
    assert_eq!(sender.unreachable(), 0);
}

#[tokio::test]
async fn the_longest_datagram_is_that_of_the_path() {
    let mtu: usize = std::fs::read_to_string("/sys/class/net/lo/mtu").unwrap().trim().parse().unwrap();
    for (peer, headers, most) in [("127.0.0.1:9", 28, 65_507), ("[::1]:9", 48, 65_527)] {
        // A host without IPv6 has no such path.
        let Ok(mut sender) = Sender::connect(peer.parse().unwrap(), None) else { continue };
        let longest = sender.max_datagram();
        assert_eq!(longest, (mtu - headers).min(most), "{peer}");
        let sent = sender.try_send(&[vec![0; longest]]);
        assert_eq!(sent.sent, 1, "{sent:?}");
        let refused = sender.try_send(&[vec![0; 65_536]]).refused.expect("longer than any datagram");
        assert_eq!(refused.raw_os_error(), Some(EMSGSIZE), "{refused}");
    }
}

/// "Message too long", in Linux.
const EMSGSIZE: i32 = 90;

#[tokio::test]
async fn icmp_unreachable_is_counted_and_sending_goes_on() {
    let receiver = receivers(64 << 10, 1).remove(0);
    let peer = receiver.local();
    drop(receiver);
    let mut sender = Sender::connect(peer, None).unwrap();
    // On loopback the answer is there before the call returns; a host only limits how many it sends in all.
    let told = (0..100_000).any(|_| {
        let sent = sender.try_send(&[[0; 100]]);
        assert_eq!(sent.sent, 1, "{sent:?}");
        sender.unreachable() > 2
    });
    assert!(told, "{} ICMP messages", sender.unreachable());
    let options = ReceiverOptions { receive_buffer: 64 << 10, sockets: 1 };
    let mut receiver = Receiver::bind(peer, &options).unwrap().remove(0);
    assert_eq!(sender.try_send(&[[1; 100]]).sent, 1);
    assert_eq!(drain(&mut receiver).len(), 1);
}
