//! Endpoints with a bystander on the wire between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use transport::{Association, Counters, Endpoint, EndpointConfig, Event, MsgOut, PeerAddress, Ppid};

use crate::wire::PORT;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn endpoint() -> Endpoint {
    endpoint_at(Ipv4Addr::LOCALHOST.into())
}

pub(crate) fn endpoint_at(ip: IpAddr) -> Endpoint {
    let mut config = EndpointConfig::new(ip);
    config.encapsulation = 0;
    Endpoint::bind(config).unwrap()
}

/// Waits until the counters look as they should.
pub(crate) async fn counted(endpoint: &Endpoint, condition: impl Fn(&Counters) -> bool) -> Counters {
    let wait = async {
        loop {
            let counters = endpoint.counters();
            if condition(&counters) {
                return counters;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{:?}", endpoint.counters()))
}

/// What a bystander on the path does with a datagram.
pub(crate) type Tap = Box<dyn FnMut(bool, &[u8]) -> Vec<Vec<u8>> + Send>;

/// A wire tap between a client endpoint and `server`; gives the address clients connect to. The tap
/// gets each datagram, with whether it goes to the server, and says what goes on instead.
pub(crate) async fn tap(server: SocketAddr, mut tap: Tap) -> SocketAddr {
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut forth, mut back_buffer) = (vec![0; 65_536], vec![0; 65_536]);
        let mut client = None;
        loop {
            tokio::select! {
                Ok((n, from)) = front.recv_from(&mut forth) => {
                    client = Some(from);
                    for datagram in tap(true, &forth[..n]) {
                        let _ = back.send_to(&datagram, server).await;
                    }
                }
                Ok(n) = back.recv(&mut back_buffer) => {
                    for datagram in tap(false, &back_buffer[..n]) {
                        if let Some(client) = client {
                            let _ = front.send_to(&datagram, client).await;
                        }
                    }
                }
            }
        }
    });
    address
}

pub(crate) fn sctp(address: SocketAddr) -> PeerAddress {
    PeerAddress::Sctp { ip: address.ip(), port: PORT, encapsulation: Some(address.port()) }
}

/// An association through a tap that also tells every datagram to the test.
pub(crate) async fn tapped(
    server: &Endpoint,
    client: &Endpoint,
) -> (Association, Association, tokio::sync::mpsc::UnboundedReceiver<(bool, Vec<u8>)>) {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let mut listener = server.listen(PORT).await.unwrap();
    let spy = move |forth: bool, datagram: &[u8]| {
        let _ = tell.send((forth, datagram.to_vec()));
        vec![datagram.to_vec()]
    };
    let address = tap(server.local_address(), Box::new(spy)).await;
    let a = client.connect(sctp(address)).await.unwrap();
    let b = listener.accept().await.unwrap();
    (a, b, told)
}

/// The association still carries messages both ways.
pub(crate) async fn works(a: &mut Association, b: &mut Association) {
    one_way(a, b).await;
    one_way(b, a).await;
}

pub(crate) async fn one_way(from: &Association, to: &mut Association) {
    from.send(MsgOut::new(Ppid::ASAP, vec![9; 3_000])).await.unwrap();
    loop {
        match tokio::time::timeout(PATIENCE, to.recv()).await.unwrap() {
            Event::Message(message) => break assert_eq!(message.data, vec![9; 3_000]),
            Event::SenderDry => {}
            event => panic!("{event:?}"),
        }
    }
}
