//! Pairs of associations on each back end.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use test_pki::{Authority, Issued, Validity};
use transport::{Association, Endpoint, EndpointConfig, PeerAddress, Stack, sim, tcp, tls};

/// Two ends, and whether the back end has streams.
pub(crate) struct Pair {
    pub(crate) a: Association,
    pub(crate) b: Association,
    pub(crate) streams: bool,
}

/// What must live as long as the pair.
pub(crate) type Guard = Box<dyn Any>;

/// What a back end made; none where this host has no such back end.
pub(crate) fn available(made: impl Into<Option<(Pair, Guard)>>) -> Option<(Pair, Guard)> {
    made.into()
}

async fn over_endpoints(ip: IpAddr, mtu: Option<usize>) -> (Pair, Guard) {
    let mut config = EndpointConfig::new(ip);
    config.stack = Stack::Userland;
    config.encapsulation = 0;
    config.mtu = mtu;
    between(config).await
}

async fn between(config: EndpointConfig) -> (Pair, Guard) {
    let (left, right) = (Endpoint::bind(config.clone()).unwrap(), Endpoint::bind(config).unwrap());
    let mut listener = right.listen(0).await.unwrap();
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

/// Kernel SCTP over IPv4; none, and a line that says so, where the kernel has no SCTP.
#[cfg(feature = "kernel-sctp")]
pub(crate) async fn kernel() -> Option<(Pair, Guard)> {
    over_kernel(Ipv4Addr::LOCALHOST.into(), true).await
}

/// Kernel SCTP over IPv6.
#[cfg(feature = "kernel-sctp")]
pub(crate) async fn kernel_v6() -> Option<(Pair, Guard)> {
    over_kernel(Ipv6Addr::LOCALHOST.into(), true).await
}

/// Kernel SCTP that does not always look for acknowledgements.
#[cfg(feature = "kernel-sctp")]
pub(crate) async fn kernel_not_prompt() -> Option<(Pair, Guard)> {
    over_kernel(Ipv4Addr::LOCALHOST.into(), false).await
}

#[cfg(feature = "kernel-sctp")]
async fn over_kernel(ip: IpAddr, prompt: bool) -> Option<(Pair, Guard)> {
    use std::io::Write as _;

    let mut config = EndpointConfig::new(ip);
    config.stack = Stack::Kernel;
    config.prompt = prompt;
    if let Err(error) = Endpoint::bind(config.clone())
        && error.to_string().contains("no kernel SCTP here")
    {
        // Past libtest, which hides the output of tests that pass.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {error}");
        return None;
    }
    Some(between(config).await)
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
pub(crate) fn sim() -> std::future::Ready<(Pair, Guard)> {
    let (a, b) = sim::pair(1, sim::Options::default());
    std::future::ready((Pair { a, b, streams: true }, Box::new(())))
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
