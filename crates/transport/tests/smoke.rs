//! The shortest life of an association on each transport.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use transport::{Endpoint, EndpointConfig, Event, LossReason, MsgOut, Outcome, Ppid, Token, tcp};

fn endpoint() -> Endpoint {
    let mut config = EndpointConfig::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
    config.encapsulation = 0;
    Endpoint::bind(config).unwrap()
}

fn ipfix(length: u16) -> Vec<u8> {
    let mut message = vec![0; usize::from(length)];
    message[1] = 10;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    message
}

#[tokio::test]
async fn a_message_crosses_userland_sctp_and_the_close_is_graceful() {
    let (a, b) = (endpoint(), endpoint());
    let mut listener = b.listen(4739).await.unwrap();
    let mut client = a.connect(listener.local()).await.unwrap();
    let mut server = listener.accept().await.unwrap();

    let token = Token(7);
    let message = MsgOut { stream: 3, token: Some(token), ..MsgOut::new(Ppid::ASAP, ipfix(100)) };
    client.send(message).await.unwrap();
    let Event::Message(message) = server.recv().await else { panic!("no message") };
    assert_eq!((message.stream, message.ppid, message.data.len()), (3, Ppid::ASAP, 100));
    assert_eq!(client.recv().await, Event::Sent { token, outcome: Outcome::Delivered });
    assert_eq!(client.recv().await, Event::SenderDry);

    client.shutdown(Duration::from_secs(2)).await.unwrap();
    assert_eq!(server.recv().await, Event::PeerShutdown);
    assert_eq!(server.recv().await, Event::Lost(LossReason::PeerClosed));
    assert_eq!(client.recv().await, Event::Lost(LossReason::Closed));
}

#[tokio::test]
async fn a_message_crosses_tcp_and_the_close_is_graceful() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = tcp::listen(address, tcp::Options::default()).await.unwrap();
    let transport::PeerAddress::Tcp(address) = listener.local() else { panic!("not TCP") };
    let mut client = tcp::connect(address, tcp::Options::default()).await.unwrap();
    let mut server = listener.accept().await.unwrap();

    client.send(MsgOut::new(Ppid::IPFIX, ipfix(100))).await.unwrap();
    let Event::Message(message) = server.recv().await else { panic!("no message") };
    assert_eq!((message.stream, message.ppid, message.data.len()), (0, Ppid::IPFIX, 100));
    assert_eq!(client.recv().await, Event::SenderDry);

    client.shutdown(Duration::from_secs(2)).await.unwrap();
    assert_eq!(server.recv().await, Event::PeerShutdown);
    assert_eq!(server.recv().await, Event::Lost(LossReason::PeerClosed));
}
