//! The associations of a machine, over simulated ones.
#![expect(clippy::disallowed_methods, reason = "reads the simulated clock")]

use std::time::Duration;

use rserpool::{ConnectionEvent, Connections, NotSent, Pacing};
use rserpool_proto::ConnectionId;
use tokio::time::timeout;
use transport::sim::{self, Options};
use transport::{Association, Connector, Event, LossReason, MsgOut, Ppid};

const FIRST: ConnectionId = ConnectionId::accepted(1);
const SECOND: ConnectionId = ConnectionId::accepted(2);

/// An association of the machine, and the peer's end of it.
fn accept(connections: &mut Connections, id: ConnectionId) -> Association {
    let (ours, peer) = sim::pair(id.0, Options::default());
    connections.accept(id, ours);
    peer
}

/// Simulated time.
const LONG: Duration = Duration::from_secs(60);

async fn message(association: &mut Association) -> Vec<u8> {
    loop {
        match timeout(LONG, association.recv()).await.expect("no message") {
            Event::Message(message) => return message.data.to_vec(),
            Event::Lost(reason) => panic!("no message: {reason}"),
            _ => {}
        }
    }
}

async fn end(association: &mut Association) -> LossReason {
    loop {
        let event = timeout(LONG, association.recv()).await.expect("the association does not end");
        if let Event::Lost(reason) = event {
            return reason;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_close_arrives() {
    let mut connections = Connections::new(Connector::default());
    let mut peer = accept(&mut connections, FIRST);
    connections.send(FIRST, vec![4, 0, 0, 4]).unwrap();
    connections.close(FIRST);
    assert_eq!(message(&mut peer).await, [4, 0, 0, 4]);
    assert_eq!(end(&mut peer).await, LossReason::PeerClosed);
    assert_eq!(connections.send(FIRST, vec![4, 0, 0, 4]), Err(NotSent::NotConnected));
}

#[tokio::test(start_paused = true)]
async fn a_close_goes_on_when_its_owner_is_gone() {
    let mut connections = Connections::new(Connector::default());
    let mut peer = accept(&mut connections, FIRST);
    connections.send(FIRST, vec![4, 0, 0, 4]).unwrap();
    connections.close(FIRST);
    drop(connections);
    assert_eq!(message(&mut peer).await, [4, 0, 0, 4]);
    assert_eq!(end(&mut peer).await, LossReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_has_no_more_events() {
    let mut connections = Connections::new(Connector::default());
    let first = accept(&mut connections, FIRST);
    let second = accept(&mut connections, SECOND);
    first.send(MsgOut::new(Ppid::ASAP, vec![1])).await.unwrap();
    // Time passes, so that the message waits in the queue.
    tokio::time::sleep(Duration::from_secs(1)).await;
    connections.abort(FIRST);
    second.send(MsgOut::new(Ppid::ASAP, vec![2])).await.unwrap();
    let (id, event) = connections.next().await;
    assert_eq!(id, SECOND);
    assert!(matches!(event, ConnectionEvent::Message { ppid: Ppid::ASAP, data } if data[..] == [2]));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_aborted_and_costs_the_others_nothing() {
    let mut connections = Connections::new(Connector::default());
    let mut stuck = accept(&mut connections, FIRST);
    let mut reading = accept(&mut connections, SECOND);
    let mut sent = 0;
    let refused = loop {
        match connections.send(FIRST, vec![0; 60_000]) {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
        assert!(sent < 1_000, "the queue has no bound");
    };
    assert_eq!(refused, NotSent::Stuck);
    connections.send(SECOND, vec![1]).unwrap();
    assert_eq!(message(&mut reading).await, [1]);
    assert!(matches!(end(&mut stuck).await, LossReason::PeerAborted(_)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_floods_does_not_keep_the_others_from_being_heard() {
    let mut connections = Connections::new(Connector::default());
    let flooding = accept(&mut connections, FIRST);
    let quiet = accept(&mut connections, SECOND);
    while flooding.try_send(MsgOut::new(Ppid::ASAP, vec![0; 1_000])).is_ok() {}
    quiet.send(MsgOut::new(Ppid::ASAP, vec![1])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut heard_first = 0;
    while connections.next().await.0 != SECOND {
        heard_first += 1;
    }
    // What the queue held, and what filled it again before the other's turn.
    assert!(heard_first <= 128, "{heard_first} messages of the flood came first");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_association_is_told_once_and_a_shutdown_waits_for_all() {
    let mut connections = Connections::new(Connector::default());
    let first = accept(&mut connections, FIRST);
    let mut second = accept(&mut connections, SECOND);
    first.abort();
    let (id, event) = connections.next().await;
    assert!(matches!((id, event), (FIRST, ConnectionEvent::Lost(LossReason::PeerAborted(_)))));
    assert_eq!(connections.len(), 1);
    connections.send(SECOND, vec![9]).unwrap();
    let (got, ()) = tokio::join!(message(&mut second), connections.shutdown());
    assert_eq!(got, [9]);
}

/// Each message takes a second, of which five may come at once.
fn paced() -> (Connections, Pacing) {
    let pacing = Pacing::new(|_| Duration::from_secs(1));
    (Connections::new(Connector::default()).paced(pacing.clone()), pacing)
}

#[tokio::test(start_paused = true)]
async fn who_asks_too_much_is_read_later_and_the_others_are_not() {
    let (mut connections, pacing) = paced();
    let eager = accept(&mut connections, FIRST);
    let modest = accept(&mut connections, SECOND);
    for _ in 0..20 {
        eager.send(MsgOut::new(Ppid::ASAP, vec![1])).await.unwrap();
    }
    let begun = tokio::time::Instant::now();
    let mut heard = Vec::new();
    while heard.len() < 21 {
        let (id, event) = timeout(LONG, connections.next()).await.expect("a message is lost");
        assert!(matches!(event, ConnectionEvent::Message { .. }));
        heard.push((id, begun.elapsed().as_secs()));
        if heard.len() == 5 {
            modest.send(MsgOut::new(Ppid::ASAP, vec![2])).await.unwrap();
        }
    }
    let seconds = |id| heard.iter().filter(|heard| heard.0 == id).map(|heard| heard.1).collect::<Vec<_>>();
    assert_eq!(seconds(SECOND), [0]);
    let eager = seconds(FIRST);
    assert_eq!(eager.len(), 20);
    assert_eq!((eager[4], eager[19]), (0, 14), "{eager:?}");
    assert_eq!(pacing.held_back(), 14);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_has_said_before_it_went_is_not_held_back() {
    let (mut connections, _) = paced();
    let mut peer = accept(&mut connections, FIRST);
    for _ in 0..20 {
        peer.send(MsgOut::new(Ppid::ASAP, vec![1])).await.unwrap();
    }
    peer.shutdown(LONG).await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut messages = 0;
    while let (FIRST, ConnectionEvent::Message { .. }) =
        timeout(LONG, connections.next()).await.expect("no end")
    {
        messages += 1;
    }
    assert_eq!((messages, begun.elapsed().as_secs()), (20, 0));
    assert!(connections.is_empty());
}
