//! Associations from a local port that was asked for, over SCTP of either kind (RFC 9260 section 5.2.1).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use transport::{
    Association, ConnectError, ConnectOptions, Endpoint, EndpointConfig, Event, Listener, MsgOut,
    PeerAddress, Ppid, Stack,
};

const PORT: u16 = 9901;
/// More than any step takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint that listens at [`PORT`], at an address of its own.
struct End {
    endpoint: Endpoint,
    listener: Listener,
}

impl End {
    /// None where this host has no such stack.
    async fn new(stack: Stack, ip: IpAddr) -> Option<End> {
        let mut config = EndpointConfig::new(ip);
        config.stack = stack;
        let endpoint = match Endpoint::bind(config) {
            Err(error) if error.to_string().contains("no kernel SCTP here") => {
                println!("SKIPPED: {error}");
                return None;
            }
            bound => bound.unwrap(),
        };
        let listener = endpoint.listen(PORT).await.unwrap();
        Some(End { endpoint, listener })
    }

    fn address(&self) -> PeerAddress {
        self.endpoint.peer_address(PORT)
    }

    async fn connect(&self, to: PeerAddress) -> Result<Association, ConnectError> {
        self.endpoint.connect_with(&[to], ConnectOptions::from_port(PORT)).await
    }

    async fn accept(&mut self) -> Association {
        tokio::time::timeout(PATIENCE, self.listener.accept()).await.expect("an association").unwrap()
    }
}

async fn ends(stack: Stack) -> Option<[End; 2]> {
    let [a, b, ..] = getrandom::u32().unwrap().to_be_bytes();
    let ip = |host| IpAddr::from(Ipv4Addr::new(127, a, b.max(1), host));
    Some([End::new(stack, ip(1)).await?, End::new(stack, ip(2)).await?])
}

async fn message_crosses(from: &Association, to: &mut Association) {
    from.send(MsgOut::new(Ppid::ENRP, vec![7; 20])).await.unwrap();
    wait_for(to, |event| matches!(event, Event::Message(_))).await;
}

/// Reads until the event that is waited for; no association ends meanwhile.
async fn wait_for(association: &mut Association, wanted: impl Fn(&Event) -> bool) {
    loop {
        let event = tokio::time::timeout(PATIENCE, association.recv()).await.expect("an event");
        if wanted(&event) {
            return;
        }
        assert!(!matches!(event, Event::Lost(_) | Event::Restarted), "{event:?}");
    }
}

pub(crate) async fn the_peer_sees_the_port_asked_for(stack: Stack) {
    let Some([left, mut right]) = ends(stack).await else { return };
    let mut a = left.connect(right.address()).await.unwrap();
    let mut b = right.accept().await;
    assert_eq!((a.local().port(), b.peer().port()), (PORT, PORT));
    message_crosses(&a, &mut b).await;
    message_crosses(&b, &mut a).await;
    // From a free one there is a second association.
    let c = left.endpoint.connect(right.address()).await.unwrap();
    assert_ne!(c.local().port(), PORT);
    assert_eq!(right.accept().await.peer().port(), c.local().port());
}

pub(crate) async fn beside_an_association_between_the_same_ports_none_is_made(stack: Stack) {
    let Some([mut left, mut right]) = ends(stack).await else { return };
    let mut a = left.connect(right.address()).await.unwrap();
    let mut b = right.accept().await;
    for (from, to) in [(&left, right.address()), (&right, left.address())] {
        let error = from.connect(to).await.unwrap_err();
        assert!(matches!(error, ConnectError::Exists(peer) if peer == to), "{error}");
    }
    message_crosses(&a, &mut b).await;
    message_crosses(&b, &mut a).await;
    // Once it is over, the ports are free again.
    drop(a);
    wait_for(&mut b, |event| matches!(event, Event::Lost(_))).await;
    let again = right.connect(left.address()).await.unwrap();
    message_crosses(&again, &mut left.accept().await).await;
}

pub(crate) async fn two_ends_that_connect_to_each_other_at_once_have_one_association(stack: Stack) {
    let Some([mut left, mut right]) = ends(stack).await else { return };
    let mut collisions = 0;
    for _ in 0..20 {
        let (to_right, to_left) = (right.address(), left.address());
        let (a, b) = tokio::join!(left.connect(to_right), right.connect(to_left));
        // Who came too late has accepted that of the other.
        let (mut a, mut b) = match (a, b) {
            (Ok(a), Ok(b)) => {
                collisions += 1;
                (a, b)
            }
            (Ok(a), Err(ConnectError::Exists(_))) => (a, right.accept().await),
            (Err(ConnectError::Exists(_)), Ok(b)) => (left.accept().await, b),
            other => panic!("{other:?}"),
        };
        message_crosses(&a, &mut b).await;
        message_crosses(&b, &mut a).await;
        a.shutdown(PATIENCE).await.unwrap();
        wait_for(&mut b, |event| matches!(event, Event::Lost(_))).await;
    }
    // On loopback the kernel sets up the first before the second begins.
    println!("{collisions} of 20 collided");
}

pub(crate) async fn one_port_reaches_several_peers(stack: Stack) {
    let Some([left, mut right]) = ends(stack).await else { return };
    let Some([mut third, _]) = ends(stack).await else { return };
    let [mut a, mut b] =
        [left.connect(right.address()).await.unwrap(), left.connect(third.address()).await.unwrap()];
    message_crosses(&right.accept().await, &mut a).await;
    message_crosses(&third.accept().await, &mut b).await;
}

pub(crate) async fn an_endpoint_reaches_itself_from_a_free_port(stack: Stack) {
    let Some([mut left, _]) = ends(stack).await else { return };
    let a = left.connect(left.address()).await.unwrap();
    assert_ne!(a.local().port(), PORT);
    message_crosses(&a, &mut left.accept().await).await;
}

pub(crate) async fn a_second_listener_is_refused(stack: Stack) {
    let Some([left, _right]) = ends(stack).await else { return };
    let error = left.endpoint.listen(PORT).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}");
}
