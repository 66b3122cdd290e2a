//! TCP as other programs speak it: any split of the octets, nonsense, sudden ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use transport::{ConnectError, Event, Listener, LossReason, MsgOut, PeerAddress, Ppid, SendError, tcp};

const PATIENCE: Duration = Duration::from_secs(60);

async fn listener() -> (Listener, SocketAddr) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = tcp::listen(address, tcp::Options::default()).await.unwrap();
    let PeerAddress::Tcp(address) = listener.local() else { panic!("not TCP") };
    (listener, address)
}

async fn next(association: &mut transport::Association) -> Event {
    tokio::time::timeout(PATIENCE, association.recv()).await.expect("an event in time")
}

fn ipfix(length: u8) -> Vec<u8> {
    let mut message = vec![3; usize::from(length)];
    message[..4].copy_from_slice(&[0, 10, 0, length]);
    message
}

#[tokio::test]
async fn a_plain_stream_of_messages_is_read_however_it_is_cut() {
    let (mut listener, address) = listener().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut association = listener.accept().await.unwrap();
    let octets = [ipfix(16), ipfix(200), ipfix(17)].concat();
    for part in octets.chunks(7) {
        stream.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.shutdown().await.unwrap();
    for length in [16, 200, 17] {
        let Event::Message(message) = next(&mut association).await else { panic!("no message") };
        assert_eq!((message.ppid, &message.data[..]), (Ppid::IPFIX, &ipfix(length)[..]));
    }
    assert_eq!(next(&mut association).await, Event::PeerShutdown);
    assert_eq!(next(&mut association).await, Event::Lost(LossReason::PeerClosed));
}

#[tokio::test]
async fn what_is_no_message_ends_the_connection_after_the_messages_before_it() {
    let no_message: [&[u8]; 4] = [&[0, 9, 0, 40], &[0, 10, 0, 15], &[1, 0, 0, 3], &[0, 0, 0xff, 0xff]];
    for garbage in no_message {
        let (mut listener, address) = listener().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut association = listener.accept().await.unwrap();
        stream.write_all(&[&ipfix(20), garbage].concat()).await.unwrap();
        assert!(matches!(next(&mut association).await, Event::Message(_)));
        let event = next(&mut association).await;
        assert!(matches!(event, Event::Lost(LossReason::Protocol(_))), "{garbage:?}: {event:?}");
        assert!(stream.read_u8().await.is_err(), "the peer is cut off");
    }
}

#[tokio::test]
async fn a_stream_that_ends_within_a_message_is_a_protocol_error() {
    let (mut listener, address) = listener().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut association = listener.accept().await.unwrap();
    stream.write_all(&ipfix(20)[..19]).await.unwrap();
    drop(stream);
    let event = next(&mut association).await;
    assert!(matches!(event, Event::Lost(LossReason::Protocol(_))), "{event:?}");
}

#[tokio::test]
async fn a_message_that_does_not_carry_its_length_is_refused() {
    let (mut listener, address) = listener().await;
    let association = tcp::connect(address, tcp::Options::default()).await.unwrap();
    let _peer = listener.accept().await.unwrap();
    let result = association.send(MsgOut::new(Ppid::IPFIX, vec![0, 10, 0, 17, 0])).await;
    assert_eq!(result, Err(SendError::Framing(5)));
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = bound.local_addr().unwrap();
    drop(bound);
    let error = tcp::connect(address, tcp::Options::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn an_address_in_use_is_named_in_the_error() {
    let (_listener, address) = listener().await;
    let error = tcp::listen(address, tcp::Options::default()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
