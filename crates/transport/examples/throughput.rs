//! Messages per second over loopback: `cargo run --release -p transport --example throughput`.
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use transport::{Association, Endpoint, EndpointConfig, Event, MsgOut, PeerAddress, Ppid, tcp};

fn endpoint(mtu: usize) -> Endpoint {
    let mut config = EndpointConfig::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
    config.encapsulation = 0;
    config.mtu = Some(mtu);
    Endpoint::bind(config).expect("an endpoint")
}

async fn measure(name: &str, a: Association, mut b: Association, length: u16, count: u32) {
    let mut message = vec![0; usize::from(length)];
    message[1] = 10;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    let start = Instant::now();
    let writer = tokio::spawn(async move {
        for _ in 0..count {
            a.send(MsgOut::new(Ppid::IPFIX, message.clone())).await.expect("sent");
        }
        a
    });
    let mut received = 0;
    while received < count {
        match b.recv().await {
            Event::Message(_) => received += 1,
            Event::Lost(reason) => panic!("{reason}"),
            _ => {}
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = f64::from(count) / seconds;
    let status = writer.await.expect("the writer").status();
    println!(
        "{name:28} {length:6} octets {rate:9.0} messages/s {:7.1} Mbit/s, {} retransmissions",
        rate * f64::from(length) * 8e-6,
        status.retransmissions.unwrap_or(0),
    );
}

#[tokio::main]
async fn main() {
    for (mtu, length, count) in [
        (1_192, 1_400, 60_000),
        (1_452, 1_400, 60_000),
        (8_192, 1_400, 60_000),
        (16_384, 1_400, 60_000),
        (60_000, 1_400, 60_000),
        (16_384, 60_000, 2_000),
    ] {
        let (left, right) = (endpoint(mtu), endpoint(mtu));
        let mut listener = right.listen(4739).await.expect("a listener");
        let a = left.connect(listener.local()).await.expect("an association");
        let b = listener.accept().await.expect("an association");
        measure(&format!("SCTP in UDP, packets {mtu}"), a, b, length, count).await;
    }
    for (length, count) in [(1_400, 300_000), (60_000, 10_000)] {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut listener = tcp::listen(address, tcp::Options::default()).await.expect("a listener");
        let PeerAddress::Tcp(address) = listener.local() else { unreachable!("TCP") };
        let a = tcp::connect(address, tcp::Options::default()).await.expect("a connection");
        let b = listener.accept().await.expect("a connection");
        measure("TCP", a, b, length, count).await;
    }
}
