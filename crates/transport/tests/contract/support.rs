//! Pairs of associations on each back end.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use test_pki::{Authority, Issued, Validity};
use transport::{Association, Endpoint, EndpointConfig, PeerAddress, sim, tcp, tls};

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
    over_tcp(tcp::Options::default()).await
}

/// MPTCP on loopback, where the kernel has it.
pub(crate) async fn mptcp() -> (Pair, Guard) {
    let mut options = tcp::Options::default();
    options.mptcp = true;
    over_tcp(options).await
}

async fn over_tcp(options: tcp::Options) -> (Pair, Guard) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = tcp::listen(address, options.clone()).await.unwrap();
    let PeerAddress::Tcp(address) = listener.local() else { panic!("not TCP") };
    let a = tcp::connect(address, options).await.unwrap();
    let b = listener.accept().await.unwrap();
    (Pair { a, b, streams: false }, Box::new(listener))
}

/// TLS on loopback.
pub(crate) async fn tls() -> (Pair, Guard) {
    let authority = Authority::new();
    let Issued { certificate, key, ca } = authority.issue("both", &["127.0.0.1"], Validity::Current);
    let identity = tls::Identity::read(tls::Files { certificate, key, ca }).unwrap();
    let (address, names) = (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls::Names::default());
    let mut listener = tls::listen(address, tcp::Options::default(), &identity, &names).await.unwrap();
    let PeerAddress::Tls(address) = listener.local() else { panic!("not TLS") };
    let a = tls::connect(address, tcp::Options::default(), &identity, &names).await.unwrap();
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
