//! Datagrams to a multicast group, on the loopback interface.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;
use transport::udp::{Group, GroupOptions};

const PATIENCE: Duration = Duration::from_secs(20);

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
