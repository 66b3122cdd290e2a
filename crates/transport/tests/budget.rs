//! The bound that associations share, with machines on virtual time and over TCP.
#![expect(clippy::disallowed_methods, reason = "a start for virtual time")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use transport::machine::Machine;
use transport::{Association, Budget, EndpointConfig, Event, LossReason, MsgOut, Ppid, State, tcp};

const PATIENCE: Duration = Duration::from_secs(60);

/// A client and a server whose associations share a budget.
struct Pair {
    ends: [Machine; 2],
    addresses: [SocketAddr; 2],
    now: Instant,
    accepted: mpsc::Receiver<Association>,
    /// Packets with the end of a message are lost.
    lossy: bool,
}

impl Pair {
    fn new(budget: &Budget) -> Pair {
        let now = Instant::now();
        let addresses = [1, 2].map(|last| SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 9899)));
        let mut ends = addresses.map(|local| {
            let mut random = fastrand::Rng::with_seed(local.ip().to_string().len() as u64);
            let mut config = EndpointConfig::new(local.ip());
            config.budget = (local == addresses[1]).then(|| budget.clone());
            Machine::new(config, local, Box::new(move || Ok(random.u64(..))), || (), now).unwrap()
        });
        let (incoming, accepted) = mpsc::channel(8);
        ends[1].listen(3863, incoming).unwrap();
        Pair { ends, addresses, now, accepted, lossy: false }
    }

    fn connect(&mut self) -> [Association; 2] {
        let (reply, mut answer) = oneshot::channel();
        let to = self.ends[1].address(3863);
        self.ends[0].connect(self.now, to, reply);
        self.exchange();
        [answer.try_recv().unwrap().unwrap(), self.accepted.try_recv().unwrap()]
    }

    /// Delivers for a second what there is.
    fn exchange(&mut self) {
        for _ in 0..100 {
            for side in [0, 1, 0, 1, 0, 1] {
                self.ends[side].handle_timeout(self.now);
                while let Some((_, packet)) = self.ends[side].poll_transmit() {
                    // A DATA chunk with the E bit (RFC 9260 section 3.3.1).
                    if !(self.lossy && packet[12] == 0 && packet[13] & 1 == 1) {
                        self.ends[1 - side].handle_datagram(self.now, self.addresses[side], &packet);
                    }
                }
            }
            self.now += Duration::from_millis(10);
        }
    }
}

fn message(octets: usize) -> MsgOut {
    MsgOut::new(Ppid::ASAP, vec![1; octets])
}

#[test]
fn what_userland_sctp_keeps_of_unfinished_messages_is_counted_and_forgotten_with_them() {
    let budget = Budget::new(1 << 20);
    let mut pair = Pair::new(&budget);
    let [client, mut server] = pair.connect();
    assert_eq!(budget.held(), 0);
    pair.lossy = true;
    client.try_send(message(60_000)).unwrap();
    pair.exchange();
    // All but the last piece, and what each piece costs.
    let held = budget.held();
    assert!((50_000..90_000).contains(&held), "{held}");
    pair.lossy = false;
    pair.exchange();
    pair.exchange();
    assert!((60_000..61_000).contains(&budget.held()), "whole, and not read: {}", budget.held());
    assert!(matches!(server.try_recv(), Some(Event::Message(_))));
    pair.exchange();
    assert_eq!(budget.held(), 0);
    assert_eq!(budget.closed(), 0);
}

#[test]
fn a_full_budget_costs_the_association_that_holds_most_and_those_spared_last() {
    let budget = Budget::new(100_000);
    let mut pair = Pair::new(&budget);
    let [spared, mut large, mut small] = [0; 3].map(|_| pair.connect());
    spared[1].spare();
    pair.lossy = true;
    spared[0].try_send(message(60_000)).unwrap();
    small[0].try_send(message(8_000)).unwrap();
    pair.exchange();
    large[0].try_send(message(40_000)).unwrap();
    pair.exchange();
    assert_eq!(budget.closed(), 1);
    assert_eq!(large[1].try_recv(), Some(Event::Lost(LossReason::Aborted)));
    assert!(budget.held() < 100_000 && !budget.is_full());
    pair.lossy = false;
    pair.exchange();
    for association in [&spared, &small] {
        assert_eq!(association[1].status().state, State::Up);
    }
    assert!(matches!(small[1].try_recv(), Some(Event::Message(_))));
}

#[tokio::test]
async fn over_tcp_unfinished_messages_fill_the_budget_and_a_connection_that_says_more_is_closed() {
    let mut options = tcp::Options::default();
    let budget = Budget::new(100_000);
    options.budget = Some(budget.clone());
    let mut listener = tcp::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).await.unwrap();
    let transport::PeerAddress::Tcp(address) = listener.local() else { panic!("no TCP address") };
    let unfinished = [&[1, 0, 0xff, 0xf0][..], &[0; 40_000]].concat();
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let association = listener.accept().await.unwrap();
        stream.write_all(&unfinished).await.unwrap();
        held.push((stream, association));
    }
    let shed = async {
        while budget.closed() == 0 || budget.is_full() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, shed).await.expect("a connection is closed");
    // With the others gone, nothing is left.
    drop(held);
    let empty = async {
        while budget.held() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, empty).await.expect("nothing is held for nobody");
}
