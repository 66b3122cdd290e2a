//! A session with a pool: data, acknowledgements, cookies, failover, and whom it hides.

mod world;

use rserpool::session::{
    Destination, Leave, NotTaken, Origin, PoolSession, SendOptions, Service, SessionConfig, SessionEvent,
};
use rserpool::wire::Message;
use rserpool::wire::asap::business_card::BusinessCard;
use rserpool::wire::asap::cookie::Cookie;
use rserpool::{PeId, PoolHandle, PoolUser, PoolUserConfig, TransportUse};
use tokio::time::timeout;
use transport::{Association, Endpoint, Event, MsgOut, Outcome, Ppid};

use world::pool::{Element, Pool, handle};
use world::{Net, PATIENCE, end, send};

const DATA: Ppid = Ppid(77);
const FULL: TransportUse = TransportUse::DATA_PLUS_CONTROL;
const ACKNOWLEDGED: SendOptions = SendOptions {
    acknowledge: true,
    failover: true,
    stream: 0,
    unordered: false,
    reliability: transport::Reliability::Full,
};

fn open(net: Net, pool: &Pool, config: SessionConfig) -> PoolSession {
    open_at(net.endpoint(9), pool, config, None)
}

fn open_at(endpoint: Endpoint, pool: &Pool, config: SessionConfig, sticky: Option<PeId>) -> PoolSession {
    let endpoint = Some(endpoint);
    let user = PoolUserConfig { sticky, ..PoolUserConfig::new(handle(), pool.registrars()) };
    let user = PoolUser::spawn(user, endpoint.clone());
    PoolSession::open(user, endpoint, SessionConfig { ppid: DATA, ..config })
}

/// Two elements, and a session with their pool.
async fn open_beside_two(net: Net, pool: &Pool, config: SessionConfig) -> (Element, Element, PoolSession) {
    let elements = (pool.element(2, FULL).await, pool.element(3, FULL).await);
    (elements.0, elements.1, open(net, pool, config))
}

async fn next(session: &mut PoolSession) -> SessionEvent {
    timeout(PATIENCE, session.next_event()).await.expect("an event in time")
}

/// The element that is in use now, and the one before.
async fn ready(session: &mut PoolSession) -> (PeId, Option<PeId>) {
    loop {
        match next(session).await {
            SessionEvent::Ready { element, after } => return (element, after),
            SessionEvent::Data { .. } | SessionEvent::Outcome { .. } => panic!("not ready first"),
            _ => {}
        }
    }
}

async fn outcome(session: &mut PoolSession) -> (Origin, Outcome, Option<String>) {
    loop {
        if let SessionEvent::Outcome { to, outcome, data, .. } = next(session).await {
            return (to, outcome, data.map(|data| String::from_utf8_lossy(&data).into_owned()));
        }
    }
}

/// The next message an element receives.
async fn next_message(association: &mut Association) -> (Ppid, Vec<u8>) {
    loop {
        match association.recv().await {
            Event::Message(message) => return (message.ppid, message.data.to_vec()),
            Event::Lost(reason) => panic!("association lost: {reason}"),
            _ => {}
        }
    }
}

/// The next message an element receives, while the session goes on: what it is said to be, and its octets.
async fn received(association: &mut Association, session: &mut PoolSession) -> (Ppid, Vec<u8>) {
    let going_on = async {
        loop {
            session.next_event().await;
        }
    };
    tokio::select! {
        message = timeout(PATIENCE, next_message(association)) => message.expect("a message in time"),
        () = going_on => unreachable!("it never ends"),
    }
}

/// Ends an association of which the session hears when it is awaited next: what it sends until then is not acknowledged.
async fn abort(mut association: Association) {
    association.abort();
    end(&mut association).await;
}

fn data(text: &str) -> (Ppid, Vec<u8>) {
    (DATA, text.as_bytes().to_vec())
}

fn cookie(text: &str) -> Message {
    Message::Cookie(Cookie { cookie: text.into(), unknown: Vec::new() })
}

#[tokio::test]
async fn data_wait_for_an_element_and_are_acknowledged_and_answered() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let mut session = open(net, &pool, SessionConfig::default());
    let taken = session.send(Destination::Pool, "early", ACKNOWLEDGED).await.unwrap();
    assert_eq!(taken.element, None, "nobody is there yet");
    let mut element = pool.element(2, FULL).await;
    assert_eq!(ready(&mut session).await, (element.pe, None));
    let mut association = element.accept().await;
    assert_eq!(received(&mut association, &mut session).await, data("early"));
    let taken = session.send(Destination::Pool, "more", ACKNOWLEDGED).await.unwrap();
    assert_eq!(taken.element, Some(element.pe));
    while session.held() > 0 {
        assert_eq!(outcome(&mut session).await, (Origin::Element(element.pe), Outcome::Delivered, None));
    }
    association.send(MsgOut::new(DATA, "answer")).await.unwrap();
    let SessionEvent::Data { from, message } = next(&mut session).await else { panic!("no data") };
    assert_eq!((from, &message.data[..]), (Origin::Element(element.pe), &b"answer"[..]));
    assert_eq!(session.primary().await, Some(element.pe));
    assert!(session.close(PATIENCE).await);
    end(&mut association).await;
}

#[tokio::test]
async fn the_next_element_gets_the_last_cookie_first_then_what_the_hook_sends_then_what_waits() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let (mut first, mut second, mut session) = open_beside_two(net, &pool, SessionConfig::default()).await;
    assert_eq!(ready(&mut session).await, (first.pe, None));
    let association = first.accept().await;
    send(&association, cookie("old")).await;
    send(&association, cookie("last")).await;
    association.send(MsgOut::new(DATA, "hello")).await.unwrap();
    assert!(matches!(next(&mut session).await, SessionEvent::Data { .. }));
    assert_eq!(session.cookie(), Some(&b"last"[..]));
    association.abort();
    assert!(
        matches!(next(&mut session).await, SessionEvent::Lost { with, .. } if with == Origin::Element(first.pe))
    );
    session.send(Destination::Pool, "waits", ACKNOWLEDGED).await.unwrap();
    assert_eq!(ready(&mut session).await, (second.pe, Some(first.pe)));
    session.send(Destination::Pool, "state", SendOptions::default()).await.unwrap();
    let mut association = second.accept().await;
    let (ppid, echo) = received(&mut association, &mut session).await;
    assert_eq!(ppid, Ppid::ASAP);
    assert!(matches!(Message::decode(&echo), Ok(Message::CookieEcho(echo)) if echo.cookie == b"last"));
    assert_eq!(received(&mut association, &mut session).await, data("state"));
    assert_eq!(received(&mut association, &mut session).await, data("waits"));
    assert_eq!(pool.reported(1).await, [first.pe]);
}

#[tokio::test]
async fn without_failover_the_data_come_back_and_with_it_they_go_to_the_next_element() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let (mut first, mut second, mut session) = open_beside_two(net, &pool, SessionConfig::default()).await;
    ready(&mut session).await;
    abort(first.accept().await).await;
    let stays = SendOptions { failover: false, ..SendOptions::default() };
    session.send(Destination::Pool, "stays", stays).await.unwrap();
    session.send(Destination::Element(first.pe), "moves", SendOptions::default()).await.unwrap();
    let back = outcome(&mut session).await;
    assert_eq!(back, (Origin::Element(first.pe), Outcome::Unknown, Some("stays".to_owned())));
    assert_eq!(ready(&mut session).await, (second.pe, Some(first.pe)));
    let mut association = second.accept().await;
    assert_eq!(received(&mut association, &mut session).await, data("moves"));
}

#[tokio::test]
async fn over_minimal_service_cookies_are_refused_and_none_is_sent() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let (mut first, mut second) = (pool.element(2, FULL).await, pool.element(3, FULL).await);
    let minimal = SessionConfig { service: Service::Minimal, ..SessionConfig::default() };
    let mut session = open(net, &pool, minimal);
    ready(&mut session).await;
    let association = first.accept().await;
    send(&association, cookie("x")).await;
    association.send(MsgOut::new(DATA, "hello")).await.unwrap();
    assert!(matches!(next(&mut session).await, SessionEvent::Data { .. }));
    assert_eq!((session.cookie(), session.control_refused()), (None, 1));
    session.next(Leave::Failed).await;
    assert_eq!(ready(&mut session).await, (second.pe, Some(first.pe)));
    session.send(Destination::Pool, "first", SendOptions::default()).await.unwrap();
    assert_eq!(received(&mut second.accept().await, &mut session).await, data("first"));
}

#[tokio::test]
async fn the_next_element_is_another_one_and_only_a_failed_one_is_reported() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let elements = [pool.element(2, FULL).await, pool.element(3, FULL).await, pool.element(4, FULL).await];
    let mut session = open(net, &pool, SessionConfig::default());
    ready(&mut session).await;
    assert_eq!(session.next(Leave::Unwilling).await, Some(elements[1].pe));
    assert_eq!(ready(&mut session).await, (elements[1].pe, Some(elements[0].pe)));
    assert_eq!(session.next(Leave::Failed).await, Some(elements[2].pe));
    assert_eq!(ready(&mut session).await, (elements[2].pe, Some(elements[1].pe)));
    let transport = session.transport_of(elements[2].pe).await.expect("it is asked for");
    assert_eq!((transport.addresses, session.transport_of(PeId(9)).await), (vec![net.host(4)], None));
    assert_eq!(session.next(Leave::Unwilling).await, None, "all are in quarantine");
    assert_eq!(pool.reported(1).await, [elements[1].pe]);
}

#[tokio::test]
async fn an_element_or_an_address_can_be_sent_to_beside_the_one_in_use() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let (mut first, mut second, mut session) =
        open_beside_two(net, &pool, SessionConfig { max_held: 16, ..SessionConfig::default() }).await;
    ready(&mut session).await;
    let _in_use = first.accept().await;
    let taken = session.send(Destination::Element(second.pe), "by name", ACKNOWLEDGED).await.unwrap();
    assert_eq!(taken.element, Some(second.pe));
    let mut beside = second.accept().await;
    assert_eq!(received(&mut beside, &mut session).await, data("by name"));
    let address = second.listener.local();
    let taken = session.send(Destination::Address(address), "address", ACKNOWLEDGED).await.unwrap();
    assert_eq!(taken.element, None);
    let mut beside = second.accept().await;
    assert_eq!(received(&mut beside, &mut session).await, data("address"));
    assert_eq!(session.primary().await, Some(first.pe));

    let mut fails = async |to, octets: usize| {
        session.send(to, vec![1; octets], SendOptions::default()).await.expect_err("it is not taken")
    };
    assert_eq!(fails(Destination::Pool, 0).await, NotTaken::Empty);
    assert_eq!(fails(Destination::Pool, 65_536).await, NotTaken::TooLong(65_536));
    assert_eq!(fails(Destination::Pool, 17).await, NotTaken::Full);
    assert_eq!(fails(Destination::Element(PeId(9)), 1).await, NotTaken::UnknownElement(PeId(9)));
}

#[tokio::test]
async fn the_element_remembered_from_before_is_used_first_if_the_pool_has_it() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let elements = [pool.element(2, FULL).await, pool.element(3, FULL).await];
    let open = |host, last| {
        let endpoint = net.endpoint(host);
        open_at(endpoint, &pool, SessionConfig::default(), Some(last))
    };
    assert_eq!(ready(&mut open(8, elements[1].pe)).await, (elements[1].pe, None));
    assert_eq!(ready(&mut open(9, PeId(77))).await, (elements[0].pe, None));
}

#[tokio::test]
async fn an_element_that_ends_in_order_is_left_without_a_report_and_what_it_took_is_not_sent_again() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let (mut first, mut second, mut session) = open_beside_two(net, &pool, SessionConfig::default()).await;
    ready(&mut session).await;
    let mut association = first.accept().await;
    session.send(Destination::Pool, "taken", ACKNOWLEDGED).await.unwrap();
    assert_eq!(outcome(&mut session).await, (Origin::Element(first.pe), Outcome::Delivered, None));
    let ending = tokio::spawn(async move { association.shutdown(PATIENCE).await });
    assert_eq!(ready(&mut session).await, (second.pe, Some(first.pe)));
    ending.await.unwrap().unwrap();
    session.send(Destination::Pool, "first", SendOptions::default()).await.unwrap();
    let mut association = second.accept().await;
    assert_eq!(received(&mut association, &mut session).await, data("first"));
    session.next(Leave::Failed).await;
    assert_eq!(pool.reported(1).await, [second.pe]);
}

#[tokio::test]
async fn a_user_that_is_itself_in_a_pool_introduces_itself() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let mut element = pool.element(2, FULL).await;
    let card = BusinessCard {
        pool: PoolHandle::new("relays").unwrap(),
        policy: None,
        elements: Vec::new(),
        unknown: Vec::new(),
    };
    let config = SessionConfig { business_card: Some(card.clone()), ..SessionConfig::default() };
    let mut session = open(net, &pool, config);
    session.send(Destination::Pool, "data", SendOptions::default()).await.unwrap();
    ready(&mut session).await;
    let mut association = element.accept().await;
    let (ppid, octets) = received(&mut association, &mut session).await;
    assert_eq!((ppid, Message::decode(&octets)), (Ppid::ASAP, Ok(Message::BusinessCard(card))));
    assert_eq!(received(&mut association, &mut session).await, data("data"));
}

#[tokio::test]
async fn nothing_is_lost_where_the_application_stops_waiting_again_and_again() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let (mut first, mut second, mut session) = open_beside_two(net, &pool, SessionConfig::default()).await;
    ready(&mut session).await;
    abort(first.accept().await).await;
    for number in 0..50 {
        let message = format!("message {number}");
        session.send(Destination::Pool, message, SendOptions::default()).await.unwrap();
    }
    let in_pieces = async {
        loop {
            tokio::select! {
                biased;
                _ = session.next_event() => {}
                () = tokio::task::yield_now() => {}
            }
        }
    };
    let reading = async {
        let mut association = second.accept().await;
        for number in 0..50 {
            let message = next_message(&mut association).await;
            assert_eq!(message, data(&format!("message {number}")));
        }
    };
    tokio::select! {
        read = timeout(PATIENCE, reading) => read.expect("all messages in time"),
        () = in_pieces => unreachable!("it never ends"),
    }
}
