//! The suite. Each test gets a fresh pair.

use std::time::Duration;

use bytes::Bytes;
use transport::{
    Event, LossReason, MAX_MESSAGE, Message, MsgOut, Outcome, Ppid, Reliability, SendError, ShutdownError,
    State, Token, TrySendError,
};

use super::support::{Pair, ipfix, number};

const PATIENCE: Duration = Duration::from_secs(60);

fn reliable(stream: u16, data: Bytes) -> MsgOut {
    MsgOut { stream, ..MsgOut::new(Ppid::IPFIX, data) }
}

/// The next message; other events before it are passed over, an end is a failure.
async fn message(association: &mut transport::Association) -> Message {
    loop {
        match tokio::time::timeout(PATIENCE, association.recv()).await.expect("a message in time") {
            Event::Message(message) => return message,
            Event::Lost(reason) => panic!("lost: {reason}"),
            _ => {}
        }
    }
}

/// Everything up to the end.
async fn rest(association: &mut transport::Association) -> (Vec<Event>, LossReason) {
    let mut events = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE, association.recv()).await.expect("an end in time") {
            Event::Lost(reason) => return (events, reason),
            event => events.push(event),
        }
    }
}

fn numbers(events: &[Event]) -> Vec<u32> {
    let messages = events.iter().filter_map(|event| match event {
        Event::Message(message) => Some(number(&message.data)),
        _ => None,
    });
    messages.collect()
}

pub(crate) async fn boundaries_streams_and_ppids_are_kept(pair: Pair) {
    let Pair { a, mut b, streams } = pair;
    let asap = Bytes::from_static(&[1, 0, 0, 8, 1, 2, 3, 4]);
    let sent = [(0, Ppid::IPFIX, ipfix(16, 1)), (3, Ppid::ASAP, asap), (1, Ppid::IPFIX, ipfix(1_400, 2))];
    for (stream, ppid, data) in &sent {
        let stream = if streams { *stream } else { 0 };
        // One after the other: streams do not keep order among themselves.
        a.send(MsgOut { stream, ..MsgOut::new(*ppid, data.clone()) }).await.unwrap();
        let got = message(&mut b).await;
        assert_eq!((got.stream, got.ppid, &got.data), (stream, *ppid, data));
    }
}

pub(crate) async fn a_message_of_60_000_octets_crosses(pair: Pair) {
    let Pair { a, mut b, .. } = pair;
    for length in [60_000, MAX_MESSAGE] {
        let data = ipfix(length, 9);
        a.send(reliable(0, data.clone())).await.unwrap();
        assert!(message(&mut b).await.data == data, "{length} octets arrive as they were");
    }
}

pub(crate) async fn a_message_without_octets_or_too_long_is_refused(pair: Pair) {
    let Pair { a, .. } = pair;
    assert_eq!(a.send(reliable(0, Bytes::new())).await, Err(SendError::Empty));
    let long = Bytes::from(vec![0; MAX_MESSAGE + 1]);
    assert_eq!(a.send(reliable(0, long)).await, Err(SendError::TooLong(MAX_MESSAGE + 1)));
}

pub(crate) async fn each_stream_keeps_its_order_over_5_000_messages(pair: Pair) {
    let Pair { a, mut b, streams } = pair;
    let streams = if streams { 4 } else { 1 };
    let writer = async {
        for n in 0..5_000_u32 {
            let stream = u16::try_from(n % streams).unwrap();
            a.send(reliable(stream, ipfix(1_400, n / streams))).await.unwrap();
        }
    };
    let reader = async {
        let mut next = vec![0; streams as usize];
        for _ in 0..5_000 {
            let got = message(&mut b).await;
            assert_eq!(number(&got.data), next[usize::from(got.stream)], "stream {}", got.stream);
            assert_eq!(got.data.len(), 1_400);
            next[usize::from(got.stream)] += 1;
        }
    };
    tokio::join!(writer, reader);
}

/// Sends without anybody reading until the queue stays full.
async fn fill(a: &transport::Association) -> u32 {
    fill_with(a, |count| reliable(0, ipfix(1_400, count))).await
}

async fn fill_with(a: &transport::Association, make: impl Fn(u32) -> MsgOut) -> u32 {
    let mut count = 0;
    loop {
        match a.try_send(make(count)) {
            Ok(()) => count += 1,
            Err(TrySendError::Full(message)) => {
                let send = a.send(message);
                if tokio::time::timeout(Duration::from_secs(1), send).await.is_err() {
                    return count;
                }
                count += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) async fn a_full_queue_says_full_and_send_waits(pair: Pair) {
    let Pair { a, mut b, .. } = pair;
    let count = fill(&a).await;
    assert!(matches!(a.try_send(reliable(0, ipfix(1_400, count))), Err(TrySendError::Full(_))));
    let status = a.status();
    assert_eq!(status.state, State::Up);
    assert!(status.send_queue <= 2 << 20, "{status:?}");
    let waiting = a.send(reliable(0, ipfix(1_400, count)));
    let reading = async {
        for expected in 0..=count {
            assert_eq!(number(&message(&mut b).await.data), expected);
        }
    };
    let (sent, ()) = tokio::join!(waiting, reading);
    sent.unwrap();
}

pub(crate) async fn where_the_send_queue_is_full_lower_priorities_give_way(pair: Pair) {
    let Pair { mut a, mut b, streams } = pair;
    let with_priority = |priority, n: u32| {
        let (reliability, token) = (Reliability::Priority(priority), Some(Token(n.into())));
        MsgOut { stream: 2, reliability, token, ..MsgOut::new(Ppid::IPFIX, ipfix(1_400, n)) }
    };
    let mut count = fill_with(&a, |n| with_priority(5, n)).await;
    for priority in [5, 6] {
        let refused = a.try_send(with_priority(priority, 0));
        assert!(matches!(refused, Err(TrySendError::Full(_))), "equals and lower ones make no room");
    }
    let mut higher = 0;
    for message in [with_priority(4, 1_000_000), reliable(1, ipfix(1_400, 1_000_001))] {
        match a.try_send(message) {
            Ok(()) => higher += 1,
            Err(TrySendError::Full(_)) if !streams => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(higher, if streams { 2 } else { 0 }, "nothing gets lost on TCP");
    count += higher;
    let mut abandoned = Vec::new();
    let mut arrived = Vec::new();
    while abandoned.len() + arrived.len() < count as usize {
        tokio::select! {
            event = a.recv() => {
                if let Event::Sent { token, outcome: Outcome::Abandoned } = event {
                    abandoned.push(u32::try_from(token.0).unwrap());
                }
            }
            message = message(&mut b) => arrived.push(number(&message.data)),
        }
    }
    assert!(abandoned.iter().all(|n| *n < 1_000_000 && !arrived.contains(n)), "{abandoned:?}");
    assert!(abandoned.is_sorted(), "the oldest give way first: {abandoned:?}");
    assert_eq!(abandoned.is_empty(), !streams);
    let special = arrived.iter().filter(|n| **n >= 1_000_000).count();
    assert_eq!(special, higher as usize, "whoever others made room for arrives");
}

pub(crate) async fn a_send_that_waits_ends_when_the_association_does(pair: Pair) {
    let Pair { a, b, .. } = pair;
    fill(&a).await;
    let waiting = async {
        loop {
            if let Err(error) = a.send(reliable(0, ipfix(1_400, 0))).await {
                return error;
            }
        }
    };
    let aborting = async { b.abort() };
    let (error, ()) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(waiting, aborting) }).await.unwrap();
    assert_eq!(error, SendError::Closed);
}

pub(crate) async fn a_reader_stalled_for_5_s_loses_nothing(pair: Pair) {
    let Pair { a, mut b, .. } = pair;
    let total = 8_000;
    let writer = async {
        for n in 0..total {
            a.send(reliable(0, ipfix(1_400, n))).await.unwrap();
        }
    };
    let reader = async {
        // The stall is what is tested.
        tokio::time::sleep(Duration::from_secs(5)).await;
        for expected in 0..total {
            assert_eq!(number(&message(&mut b).await.data), expected);
        }
    };
    tokio::join!(writer, reader);
    assert_eq!(a.status().state, State::Up);
}

pub(crate) async fn both_readers_stalled_for_5_s_lose_nothing(pair: Pair) {
    let Pair { mut a, mut b, .. } = pair;
    let total = 5_000;
    let write = async |sender: transport::Sender| {
        for n in 0..total {
            sender.send(reliable(0, ipfix(1_400, n))).await.unwrap();
        }
    };
    let read = async |association: &mut transport::Association| {
        // The stall is what is tested.
        tokio::time::sleep(Duration::from_secs(5)).await;
        for expected in 0..total {
            assert_eq!(number(&message(association).await.data), expected);
        }
    };
    let senders = (a.sender(), b.sender());
    tokio::join!(write(senders.0), write(senders.1), read(&mut a), read(&mut b));
}

pub(crate) async fn a_graceful_shutdown_under_load_loses_nothing(pair: Pair) {
    let Pair { mut a, mut b, .. } = pair;
    let total = 1_000;
    for n in 0..total {
        a.send(reliable(0, ipfix(1_400, n))).await.unwrap();
    }
    let (done, (events, reason)) = tokio::join!(a.shutdown(PATIENCE), rest(&mut b));
    done.unwrap();
    assert_eq!(numbers(&events), (0..total).collect::<Vec<_>>());
    assert_eq!(events.last(), Some(&Event::PeerShutdown));
    assert_eq!(reason, LossReason::PeerClosed);
    assert_eq!(a.send(reliable(0, ipfix(16, 0))).await, Err(SendError::Closed));
}

pub(crate) async fn a_shutdown_waits_for_what_the_peer_has_queued(pair: Pair) {
    let Pair { mut a, mut b, .. } = pair;
    let total = 500;
    for n in 0..total {
        b.send(reliable(0, ipfix(1_400, n))).await.unwrap();
    }
    let (done, (_, reason)) = tokio::join!(a.shutdown(PATIENCE), rest(&mut b));
    done.unwrap();
    assert_eq!(reason, LossReason::PeerClosed);
    let (events, reason) = rest(&mut a).await;
    assert_eq!(numbers(&events), (0..total).collect::<Vec<_>>());
    assert_eq!(reason, LossReason::Closed);
}

pub(crate) async fn a_shutdown_past_its_deadline_aborts(pair: Pair) {
    let Pair { mut a, b, .. } = pair;
    fill(&a).await;
    let result = a.shutdown(Duration::from_millis(200)).await;
    assert_eq!(result, Err(ShutdownError::DeadlineExceeded));
    let (_, reason) = rest(&mut a).await;
    assert_eq!(reason, LossReason::Aborted);
    drop(b);
}

pub(crate) async fn an_abort_is_seen_as_lost(pair: Pair) {
    let Pair { mut a, mut b, .. } = pair;
    a.abort();
    let (_, reason) = rest(&mut b).await;
    assert!(matches!(reason, LossReason::PeerAborted(_)), "{reason:?}");
    assert_eq!(rest(&mut a).await.1, LossReason::Aborted);
    assert_eq!(b.status().state, State::Closed);
}

pub(crate) async fn a_dropped_association_is_seen_as_lost(pair: Pair) {
    let Pair { a, mut b, .. } = pair;
    drop(a);
    let (_, reason) = rest(&mut b).await;
    assert!(matches!(reason, LossReason::PeerAborted(_)), "{reason:?}");
}

pub(crate) async fn every_token_gets_one_outcome(pair: Pair) {
    let Pair { mut a, mut b, .. } = pair;
    let reliabilities =
        [Reliability::Full, Reliability::MaxRetransmits(0), Reliability::Lifetime(Duration::from_secs(20))];
    for n in 0..300_u32 {
        let reliability = reliabilities[n as usize % 3];
        let token = Some(Token(u64::from(n)));
        a.send(MsgOut { reliability, token, ..reliable(0, ipfix(1_000, n)) }).await.unwrap();
    }
    for n in 0..300 {
        assert_eq!(number(&message(&mut b).await.data), n);
    }
    let mut delivered = Vec::new();
    loop {
        match a.recv().await {
            Event::Sent { token, outcome: Outcome::Delivered } => delivered.push(token.0),
            Event::SenderDry if delivered.len() == 300 => break,
            Event::SenderDry => {}
            other => panic!("{other:?}"),
        }
    }
    delivered.sort_unstable();
    assert_eq!(delivered, (0..300).collect::<Vec<_>>());
    assert_eq!(a.status().send_queue, 0, "everything is released once the outcomes are read");
}

pub(crate) async fn a_loss_tells_the_outcome_of_every_token_first(pair: Pair) {
    let Pair { mut a, b, .. } = pair;
    let mut accepted = 0;
    while a
        .try_send(MsgOut { token: Some(Token(accepted)), ..reliable(0, ipfix(20_000, 0)) })
        .map(|()| accepted += 1)
        .is_ok()
    {}
    b.abort();
    let (events, _) = rest(&mut a).await;
    let mut told: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Sent { token, outcome: Outcome::Delivered | Outcome::Unknown } => Some(token.0),
            _ => None,
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, (0..accepted).collect::<Vec<_>>());
    let status = a.status();
    assert_eq!((status.send_queue, status.unacknowledged), (0, 0));
}

pub(crate) async fn lost_is_repeated(pair: Pair) {
    let Pair { a, mut b, .. } = pair;
    drop(a);
    let (_, reason) = rest(&mut b).await;
    for _ in 0..3 {
        assert_eq!(b.recv().await, Event::Lost(reason.clone()));
    }
}

pub(crate) async fn recv_can_be_cancelled(pair: Pair) {
    let Pair { a, mut b, .. } = pair;
    for n in 0..200 {
        a.send(reliable(0, ipfix(100, n))).await.unwrap();
        loop {
            // Gives up again and again in the middle of waiting.
            let event = tokio::time::timeout(Duration::from_micros(100), b.recv()).await;
            if let Ok(Event::Message(message)) = event {
                assert_eq!(number(&message.data), n);
                break;
            }
        }
    }
}
