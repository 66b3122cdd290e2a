//! Pairs of associations on each back end.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use transport::{Association, Endpoint, EndpointConfig, PeerAddress, sim, tcp};

/// Two ends, and whether the back end has streams.
pub(crate) struct Pair {
    pub(crate) a: Association,
    pub(crate) b: Association,
    pub(crate) streams: bool,
}

/// What must live as long as the pair.
pub(crate) type Guard = Box<dyn Any>;

fn endpoint(ip: IpAddr, mtu: Option<usize>) -> Endpoint {
    let mut config = EndpointConfig::new(ip);
    config.encapsulation = 0;
    config.mtu = mtu;
    Endpoint::bind(config).unwrap()
}

async fn over_endpoints(ip: IpAddr, mtu: Option<usize>) -> (Pair, Guard) {
    let (left, right) = (endpoint(ip, mtu), endpoint(ip, mtu));
    let mut listener = right.listen(4739).await.unwrap();
    let a = left.connect(listener.local()).await.unwrap();
    let b = listener.accept().await.unwrap();
    (Pair { a, b, streams: true }, Box::new((left, right, listener)))
}

/// Userland SCTP over IPv4 with loopback's large packets.
pub(crate) async fn userland() -> (Pair, Guard) {
    over_endpoints(Ipv4Addr::LOCALHOST.into(), None).await
}

/// Userland SCTP over IPv6 with packets that fit any path.
pub(crate) async fn userland_small_packets() -> (Pair, Guard) {
    over_endpoints(Ipv6Addr::LOCALHOST.into(), Some(1_192)).await
}

/// TCP on loopback.
pub(crate) async fn tcp() -> (Pair, Guard) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = tcp::listen(address, tcp::Options::default()).await.unwrap();
    let PeerAddress::Tcp(address) = listener.local() else { panic!("not TCP") };
    let a = tcp::connect(address, tcp::Options::default()).await.unwrap();
    let b = listener.accept().await.unwrap();
    (Pair { a, b, streams: false }, Box::new(listener))
}

/// The simulation.
#[expect(clippy::unused_async, reason = "like the others")]
pub(crate) async fn sim() -> (Pair, Guard) {
    let (a, b) = sim::pair(1, sim::Options::default());
    (Pair { a, b, streams: true }, Box::new(()))
}

/// An IPFIX message by its header, `number` in its sequence number field.
pub(crate) fn ipfix(length: usize, number: u32) -> Bytes {
    let mut message = vec![0x5a; length];
    message[0] = 0;
    message[1] = 10;
    message[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    message[8..12].copy_from_slice(&number.to_be_bytes());
    message.into()
}

/// The number put in by [`ipfix`].
pub(crate) fn number(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[8..12].try_into().unwrap())
}
