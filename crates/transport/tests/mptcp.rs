//! MPTCP where the kernel has it, TCP else; and where connections come from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use transport::{Association, Listener, PeerAddress, Ppid, tcp};

fn options(mptcp: bool) -> tcp::Options {
    let mut options = tcp::Options::default();
    options.mptcp = mptcp;
    options
}

async fn listener(mptcp: bool) -> (Listener, SocketAddr) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = tcp::listen(address, options(mptcp)).await.unwrap();
    let PeerAddress::Tcp(address) = listener.local() else { panic!("not TCP") };
    (listener, address)
}

async fn pair(client: bool, server: bool) -> (Association, Association) {
    let (mut listener, address) = listener(server).await;
    let a = tcp::connect(address, options(client)).await.unwrap();
    (a, listener.accept().await.unwrap())
}

#[tokio::test]
async fn mptcp_is_spoken_where_both_sides_want_it() {
    let enabled = std::fs::read_to_string("/proc/sys/net/mptcp/enabled").unwrap_or_default();
    if enabled.trim() != "1" {
        eprintln!("SKIPPED: this kernel has no MPTCP (sysctl net.mptcp.enabled)");
        return;
    }
    for (client, server) in [(true, true), (true, false), (false, true), (false, false)] {
        let (a, b) = pair(client, server).await;
        let expected = client && server;
        assert_eq!((a.is_multipath(), b.is_multipath()), (expected, expected), "{client} {server}");
    }
}

#[tokio::test]
async fn a_connection_comes_from_the_local_address_asked_for() {
    let (mut listener, address) = listener(false).await;
    let local = IpAddr::from([127, 200, 3, 4]);
    let mut options = options(false);
    options.local = Some(local);
    let a = tcp::connect(address, options).await.unwrap();
    let b = listener.accept().await.unwrap();
    assert_eq!((a.local().ip(), b.peer().ip()), (Some(local), Some(local)));
}

#[tokio::test]
async fn a_listener_knows_what_it_speaks_beside_ipfix() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut enrp = options(false);
    enrp.control = Ppid::ENRP;
    let mut listener = tcp::listen(address, enrp).await.unwrap();
    let PeerAddress::Tcp(address) = listener.local() else { panic!("not TCP") };
    let a = tcp::connect(address, options(false)).await.unwrap();
    let mut b = listener.accept().await.unwrap();
    a.send(transport::MsgOut::new(Ppid::ENRP, vec![1, 0, 0, 4])).await.unwrap();
    let event = b.recv().await;
    assert!(matches!(&event, transport::Event::Message(message) if message.ppid == Ppid::ENRP), "{event:?}");
}
