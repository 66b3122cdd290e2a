//! Peers that send what they like: the registrar's memory stays bounded, and others are served.

use std::time::Duration;

use rserpool::wire::asap::handle_resolution::HandleResolution;
use rserpool::wire::asap::registration::Registration;
use rserpool::wire::param::transport::TcpTransport;
use rserpool::wire::{Message, PoolElementParameter, RegistrationLife, Transport};
use rserpool::{PeId, Policy, PoolHandle};
use rserpool_proto::RegistrarId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{Net, Process, value};
use crate::{PE, SOON};

pub(crate) fn registration(net: Net, pool: &[u8], pe: u32) -> Vec<u8> {
    let transport = TcpTransport { port: 4739, reserved: 0, address: net.host(9), unknown: vec![] };
    let element = PoolElementParameter {
        pe: PeId(pe),
        home: RegistrarId(0),
        life: RegistrationLife(3_600),
        user_transport: Transport::Tcp(transport),
        policy: Policy::RoundRobin,
        asap_transport: None,
        encapsulation: None,
        unknown: vec![],
    };
    let pool = PoolHandle::new(pool).unwrap();
    Message::Registration(Registration { pool, element, unknown: vec![] }).to_octets().unwrap()
}

/// A handle of `length` octets that begins with `name`.
pub(crate) fn long(name: u32, length: usize) -> Vec<u8> {
    let mut handle = name.to_be_bytes().to_vec();
    handle.resize(length, b'x');
    handle
}

pub(crate) async fn connect(net: Net) -> TcpStream {
    TcpStream::connect((net.host(1), 3863)).await.unwrap()
}

pub(crate) async fn memory(net: Net) -> f64 {
    value(&net.metrics().await, "process_resident_memory_bytes").unwrap()
}

/// Registers one after the other, and reads whatever comes meanwhile.
async fn register(mut stream: TcpStream, registrations: Vec<Vec<u8>>) -> TcpStream {
    let mut answers = vec![0; 65_536];
    for registration in registrations {
        if stream.write_all(&registration).await.is_err() {
            break;
        }
        while matches!(timeout(QUIET, stream.read(&mut answers)).await, Ok(Ok(1..))) {}
    }
    stream
}

/// Answers come faster than this.
const QUIET: Duration = Duration::from_millis(20);

/// Writes as much as the far end takes; it may close.
async fn flood(mut stream: TcpStream, octets: Vec<u8>) -> TcpStream {
    let _ = timeout(Duration::from_secs(2), stream.write_all(&octets)).await;
    stream
}

#[tokio::test]
async fn memory_stays_bounded_whatever_peers_send() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let start = memory(net).await;
    let mut held = Vec::new();

    // Registrations with the longest handles, more than may be kept in all.
    let mut registering = tokio::task::JoinSet::new();
    for peer in 0..48 {
        let handles = (0..40).map(|pool| registration(net, &long(peer * 100 + pool, 60_000), 1));
        registering.spawn(register(connect(net).await, handles.collect()));
    }
    held.extend(registering.join_all().await);
    let (metrics, registered) = (net.metrics().await, memory(net).await);
    let lack = "rserpool_message_errors_total{protocol=\"asap\",cause=\"lack_of_resources\"}";
    net.metric(lack, |count| count > 0.0).await;
    let pools = value(&metrics, "rserpool_pools").unwrap();
    assert!(pools > 100.0 && pools < 220.0, "{pools} handles of 60,000 octets in 12 MiB");
    // Messages that never come whole.
    for _ in 0..100 {
        held.push(flood(connect(net).await, [&[1, 0, 0xff, 0xf0][..], &[0; 60_000]].concat()).await);
    }
    // Requests whose answers nobody reads: each is longer than the question.
    let small = (1..=128).map(|pe| registration(net, b"many", pe));
    held.push(flood(connect(net).await, small.flatten().collect()).await);
    let question = |pool: &[u8]| {
        let pool = PoolHandle::new(pool).unwrap();
        let message = HandleResolution { send_updates: true, pool, items: Some(u32::MAX), unknown: vec![] };
        Message::HandleResolution(message).to_octets().unwrap()
    };
    let floods = (0..100).map(|_| async { flood(connect(net).await, question(b"many").repeat(2_000)).await });
    let floods: Vec<_> = floods.collect();
    for flooding in floods {
        held.push(flooding.await);
    }

    let grown = memory(net).await;
    eprintln!("resident: {start} octets at the start, {registered} and {grown} under the floods");
    assert!(grown.max(registered) < f64::from(64 << 20) + 1024.0 * 1_000.0, "{grown} octets");

    // Others are served all the while.
    let mut element = net.element(2);
    crate::common::registered(&mut element).await;
    let user = net.user();
    assert_eq!(timeout(SOON, user.wait_element()).await.unwrap().pe, PE);
    drop(held);
}

#[tokio::test]
async fn more_connections_than_an_address_may_have_are_closed() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let mut held = Vec::new();
    for _ in 0..256 {
        held.push(connect(net).await);
    }
    let mut beyond = connect(net).await;
    let ended = timeout(SOON, beyond.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    net.metric("rserpool_connections{protocol=\"asap\"}", |count| count == 256.0).await;
}
