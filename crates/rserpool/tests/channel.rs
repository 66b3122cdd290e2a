//! Data over a pool, as an application sends it (RFC 5352 section 6.5).
#![expect(clippy::disallowed_methods, reason = "a registrar on real sockets reads the clock")]

#[path = "../examples/ping_pong.rs"]
mod ping_pong;
#[path = "world/registrar.rs"]
mod registrar;
mod world;

use std::time::Duration;

use rserpool::wire::Message;
use rserpool::wire::asap::business_card::BusinessCard;
use rserpool::{
    ChannelConfig, ChannelError, ConfiguredRegistrar, DataChannel, Destination, Indication, PeId,
    PoolElement, PoolElementConfig, PoolElementEvent, PoolHandle, PoolUser, PoolUserConfig, Protocol,
    SendOptions, TransportUse, UserTransport,
};
use tokio::time::timeout;
use transport::{Association, Event, Listener, PeerAddress, Ppid};

use world::{Net, PATIENCE, receive};

const DATA: Ppid = Ppid(77);

fn pool() -> PoolHandle {
    PoolHandle::new("echo").unwrap()
}

/// The registrar of every test here.
fn at_first(net: Net) -> ConfiguredRegistrar {
    net.host(1).to_string().parse().unwrap()
}

/// An element at `host` that is registered, and where it serves.
async fn element(net: Net, host: u8) -> (PoolElement, Listener) {
    let endpoint = net.endpoint(host);
    let listener = endpoint.listen(0).await.unwrap();
    let transport = UserTransport {
        protocol: Protocol::Sctp,
        addresses: vec![net.host(host)],
        port: listener.local().port(),
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        encapsulation: 9899,
    };
    let config = PoolElementConfig::new(pool(), transport, vec![at_first(net)]);
    let config = PoolElementConfig { pe: Some(PeId(host.into())), ..config };
    let mut element = PoolElement::spawn(config, Some(endpoint)).unwrap();
    let registered = timeout(PATIENCE, element.next_event()).await.expect("an event");
    assert!(matches!(registered, Some(PoolElementEvent::Registered { .. })), "{registered:?}");
    (element, listener)
}

fn channel(net: Net, change: impl FnOnce(&mut PoolUserConfig)) -> DataChannel {
    let endpoint = net.endpoint(9);
    let mut config = PoolUserConfig::new(pool(), vec![at_first(net)]);
    change(&mut config);
    let user = PoolUser::spawn(config, Some(endpoint.clone()));
    let card = BusinessCard {
        pool: PoolHandle::new("relays").unwrap(),
        policy: None,
        elements: vec![],
        unknown: vec![],
    };
    DataChannel::new(user, Some(endpoint), ChannelConfig { ppid: DATA, secured: false, card: Some(card) })
}

async fn accept(listener: &mut Listener) -> Association {
    timeout(PATIENCE, listener.accept()).await.expect("nobody connects").unwrap()
}

async fn next(channel: &mut DataChannel) -> Indication {
    timeout(PATIENCE, channel.next()).await.expect("an indication")
}

/// The next message with data.
async fn data(association: &mut Association) -> Vec<u8> {
    loop {
        match timeout(PATIENCE, association.recv()).await.expect("a message") {
            Event::Message(message) if message.ppid == DATA => return message.data.to_vec(),
            Event::Lost(reason) => panic!("lost: {reason}"),
            _ => {}
        }
    }
}

const TELL: SendOptions = SendOptions { acknowledge: true, failover: true };

#[tokio::test]
async fn ping_pong_goes_on_where_it_was_when_a_server_is_lost() {
    let net = Net::random();
    let _registrar = registrar::run(net, 1).await;
    let server = |host| {
        let serving = ping_pong::serve(net.host(host), at_first(net));
        // It ends by being dropped.
        tokio::task::spawn_local(async move { drop(serving.await) })
    };
    let local = tokio::task::LocalSet::new();
    let answers = local.run_until(async {
        let first = server(2);
        let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
        let tell = move |pe: PeId, answer: &str| drop(told.send((pe, answer.to_owned())));
        let client = tokio::task::spawn_local(async move {
            ping_pong::ping(net.host(9), at_first(net), 40, tell).await.map_err(|error| error.to_string())
        });
        let mut answers: Vec<(PeId, String)> = Vec::new();
        let mut second = None;
        while let Some(answer) = timeout(PATIENCE, telling.recv()).await.expect("an answer") {
            answers.push(answer);
            match answers.len() {
                10 => second = Some(server(3)),
                20 => first.abort(),
                _ => {}
            }
        }
        client.await.unwrap().unwrap();
        drop(second);
        answers
    });
    let answers = answers.await;
    assert_eq!(answers.len(), 40);
    let elements: std::collections::BTreeSet<PeId> = answers.iter().map(|(pe, _)| *pe).collect();
    assert_eq!(elements.len(), 2, "{answers:?}");
    let number = |(_, text): &(PeId, String)| text.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let numbers: Vec<u64> = answers.iter().map(number).collect();
    assert!(numbers.is_sorted() && numbers[39] >= 40, "the count goes on: {answers:?}");
}

#[tokio::test]
async fn data_goes_to_a_pool_an_element_or_an_address_and_is_acknowledged() {
    let net = Net::random();
    let _registrar = registrar::run(net, 1).await;
    let ((_first, mut at_two), (_second, mut at_three)) = (element(net, 2).await, element(net, 3).await);
    let mut channel = channel(net, |_| {});
    let receipt = channel.send(Destination::Pool, &b"to any"[..], TELL).await.unwrap();
    let (used, other) = match receipt.pe {
        Some(PeId(2)) => (&mut at_two, &mut at_three),
        _ => (&mut at_three, &mut at_two),
    };
    let mut association = accept(used).await;
    // A pool user that is itself in a pool says so first.
    let Message::BusinessCard(card) = receive(&mut association).await else { panic!("no card") };
    assert_eq!(card.pool.to_string(), "relays");
    assert_eq!(data(&mut association).await, b"to any");
    assert_eq!(next(&mut channel).await, Indication::Acknowledged { token: receipt.token });

    let wanted = PeId(5 - receipt.pe.unwrap().0);
    let to_element = channel.send(Destination::Element(wanted), &b"to you"[..], TELL).await.unwrap();
    assert_eq!(to_element.pe, Some(wanted));
    let mut association = accept(other).await;
    assert_eq!(data(&mut association).await, b"to you");
    assert_eq!(next(&mut channel).await, Indication::Acknowledged { token: to_element.token });
    let unknown = channel.send(Destination::Element(PeId(7)), &b"?"[..], TELL).await;
    assert!(matches!(unknown, Err(ChannelError::NoSuchElement(PeId(7)))), "{unknown:?}");

    let address = PeerAddress::sctp(net.host(2), at_two.local().port());
    let to_address = channel.send(Destination::Address(address), &b"there"[..], TELL).await.unwrap();
    assert_eq!(to_address.pe, None);
    let mut association = accept(&mut at_two).await;
    assert_eq!(data(&mut association).await, b"there");
    assert_eq!(next(&mut channel).await, Indication::Acknowledged { token: to_address.token });
    association.abort();
    assert_eq!(next(&mut channel).await, Indication::Lost, "no failover from an address");
    channel.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_the_lost_element_did_not_acknowledge_follows_what_the_callback_says() {
    let net = Net::random();
    let _registrar = registrar::run(net, 1).await;
    let (_first, mut at_two) = element(net, 2).await;
    let mut channel = channel(net, |config| config.hide_addresses = true);
    channel.on_failover(|from, to| vec![format!("from {from} to {to}").into_bytes().into()]);
    channel.send(Destination::Pool, &b"one"[..], TELL).await.unwrap();
    let mut association = accept(&mut at_two).await;
    assert_eq!(data(&mut association).await, b"one");
    assert!(matches!(next(&mut channel).await, Indication::Acknowledged { .. }));
    // One element was learnt; this one is asked for when it is needed.
    let (_second, mut at_three) = element(net, 3).await;
    association.abort();
    let (failover, mut association) = tokio::join!(next(&mut channel), accept(&mut at_three));
    assert_eq!(failover, Indication::Failover { from: PeId(2), to: PeId(3) });
    assert_eq!(data(&mut association).await, b"from 00000002 to 00000003");
    let receipt = channel.send(Destination::Pool, &b"two"[..], TELL).await.unwrap();
    assert_eq!(receipt.pe, Some(PeId(3)));
    assert_eq!(data(&mut association).await, b"two");
}
