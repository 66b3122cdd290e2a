//! Datagrams to a multicast group, on the loopback interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use tokio::time::timeout;
use transport::udp::{Group, GroupOptions};

const PATIENCE: Duration = Duration::from_secs(60);

/// Two addresses of the loopback interface and a group of this host's, all random.
fn options() -> (GroupOptions, GroupOptions) {
    let [a, b, c, d, ..] = getrandom::u64().unwrap().to_be_bytes();
    let group = SocketAddr::from(([239, 255, a, b], 0));
    let interface = |host| Some(IpAddr::from([127, c % 127 + 64, d, host]));
    let options = |host| GroupOptions { group, interface: interface(host), ttl: 0 };
    (options(1), options(2))
}

#[tokio::test]
async fn every_member_hears_who_sends_and_from_which_port() {
    let (first, second) = options();
    let mut sender = Group::join(&first).unwrap();
    let mut member = Group::join(&GroupOptions { group: sender.address(), ..second }).unwrap();
    sender.send(b"here I am").await.unwrap();
    let expected = SocketAddr::new(first.interface.unwrap(), sender.address().port());
    for group in [&mut member, &mut sender] {
        let (from, octets) = timeout(PATIENCE, group.receive()).await.expect("no datagram").unwrap();
        assert_eq!((from, octets), (expected, &b"here I am"[..]));
    }
}

#[tokio::test]
async fn what_is_no_group_is_refused_by_name() {
    let group = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let error = Group::join(&GroupOptions { group, interface: None, ttl: 0 }).unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:0") && error.contains("not a multicast address"), "{error}");
}

/// Whether this machine delivers datagrams to an IPv6 group on the loopback interface, whose index is 1: by plain sockets.
fn loopback_delivers(address: Ipv6Addr) -> std::io::Result<()> {
    let socket = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    socket.join_multicast_v6(&address, 1)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.send_to(b"?", SocketAddrV6::new(address, socket.local_addr()?.port(), 0, 1))?;
    socket.recv_from(&mut [0; 8]).map(drop)
}

/// Interface-local and link-local groups (RFC 4291 section 2.7). Most hosts have no route for them on the loopback
/// interface: this is skipped there.
#[tokio::test]
async fn an_ipv6_group_on_the_loopback_interface_is_heard() {
    for scope in [0xff01, 0xff02] {
        let random = getrandom::u32().unwrap();
        let [high, low] = [random >> 16, random & 0xffff].map(|half| u16::try_from(half).unwrap());
        let address = Ipv6Addr::new(scope, 0, 0, 0, 0, 0, high, low);
        if let Err(error) = loopback_delivers(address) {
            eprintln!("SKIPPED: no datagrams to {address} on the loopback interface: {error}");
            continue;
        }
        let group = SocketAddr::V6(SocketAddrV6::new(address, 0, 0, 1));
        let options = GroupOptions { group, interface: None, ttl: 0 };
        let sender = Group::join(&options).unwrap();
        let mut member = Group::join(&GroupOptions { group: sender.address(), ..options }).unwrap();
        sender.send(b"here I am").await.unwrap();
        let (from, octets) = timeout(PATIENCE, member.receive()).await.expect("no datagram").unwrap();
        assert_eq!((from.port(), octets), (sender.address().port(), &b"here I am"[..]));
    }
}
