use ipfix::{CollectingConfig, CollectingSession, Record, Transport, Visitor};

use super::*;
use crate::capture::Interface;
use crate::export::options::Facts;

const TIME: u32 = 1_795_219_200;

fn config() -> SessionConfig {
    SessionConfig {
        domain: 7,
        max_message: 1_452,
        template_refresh: Duration::from_secs(600),
        template_refresh_packets: 4_096,
        linger: Duration::from_millis(50),
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests' own beginning of time")]
fn begin() -> Instant {
    Instant::now()
}

fn templates() -> Templates {
    crate::export::FlowEncoder::new().templates().clone()
}

fn push(session: &mut Session, count: usize, now: Instant) {
    let templates = templates();
    let template = templates.indices().next().unwrap();
    let fields = templates.get(template).fields();
    let record = vec![0; fields.iter().map(|field| usize::from(field.length)).sum()];
    for _ in 0..count {
        session.push(template, &record, now, TIME);
    }
}

/// Sends all messages; returns them.
fn send(session: &mut Session) -> Vec<OutMessage> {
    let messages: Vec<_> = session.messages().iter().map(|queued| queued.message.clone()).collect();
    session.handle_sent(messages.len());
    messages
}

fn contents(messages: &[OutMessage]) -> Vec<(Content, u32)> {
    messages.iter().map(|message| (message.content, message.records)).collect()
}

/// A collector; returns how many records it finds in the messages, and how many it finds missing.
fn collect(messages: &[OutMessage]) -> (u64, u64) {
    struct Count(u64);
    impl Visitor for Count {
        fn record(&mut self, _: &Record<'_>) {
            self.0 += 1;
        }
        fn no_template(&mut self, _: u32, set: u16, _: &[u8]) {
            panic!("no template for set {set}");
        }
    }
    let config = CollectingConfig { transport: Transport::Udp, ..CollectingConfig::default() };
    let (mut session, mut count, mut lost) = (CollectingSession::new(config), Count(0), 0);
    for message in messages {
        lost += u64::from(session.decode(0, &message.octets, &mut count).unwrap().lost);
    }
    (count.0, lost + session.settle())
}

#[test]
fn the_templates_come_first_and_twice() {
    let mut session = Session::new(config(), &templates(), begin(), TIME);
    let first = send(&mut session);
    assert_eq!(contents(&first), [(Content::Templates, 0); 2]);
    assert_eq!(first[0].octets, first[1].octets);
    assert!(session.is_done());
}

#[test]
fn templates_are_repeated_by_time_with_or_without_records() {
    let now = begin();
    let mut session = Session::new(config(), &templates(), now, TIME);
    send(&mut session);
    push(&mut session, 1, now);
    let later = now + Duration::from_millis(599_999);
    session.handle_timeout(later, TIME);
    assert_eq!(contents(&send(&mut session)), [(Content::DataOnly, 1)]);
    assert_eq!(session.poll_timeout(), now + Duration::from_secs(600));
    session.handle_timeout(now + Duration::from_secs(600), TIME);
    assert_eq!(contents(&send(&mut session)), [(Content::Templates, 0)]);
    session.handle_timeout(now + Duration::from_secs(1_199), TIME);
    assert_eq!(contents(&send(&mut session)), []);
    session.handle_timeout(now + Duration::from_secs(1_200), TIME);
    assert_eq!(contents(&send(&mut session)), [(Content::Templates, 0)]);
    assert_eq!(session.books().refreshes, 2);
}

#[test]
fn templates_are_repeated_after_so_many_messages_and_the_time_starts_anew() {
    let now = begin();
    let mut session =
        Session::new(SessionConfig { template_refresh_packets: 3, ..config() }, &templates(), now, TIME);
    send(&mut session);
    let later = now + Duration::from_secs(400);
    for _ in 0..7 {
        push(&mut session, 1, later);
        session.flush(later, TIME);
    }
    let data = (Content::DataOnly, 1);
    let templates = (Content::Templates, 0);
    let expected = [data, data, data, templates, data, data, data, templates, data];
    assert_eq!(contents(&send(&mut session)), expected);
    assert_eq!(session.poll_timeout(), later + Duration::from_secs(600));
}

#[test]
fn a_record_waits_for_its_message_to_fill_but_not_long() {
    let now = begin();
    let mut session = Session::new(config(), &templates(), now, TIME);
    send(&mut session);
    push(&mut session, 1, now);
    push(&mut session, 1, now + Duration::from_millis(40));
    assert!(session.messages().is_empty() && !session.is_done());
    assert_eq!(session.poll_timeout(), now + Duration::from_millis(50));
    session.handle_timeout(now + Duration::from_millis(50), TIME);
    assert_eq!(contents(&send(&mut session)), [(Content::DataOnly, 2)]);
    assert!(session.is_done());
}

#[test]
fn a_collector_finds_every_record_and_misses_those_that_could_not_be_sent() {
    let now = begin();
    let mut session =
        Session::new(SessionConfig { template_refresh_packets: 2, ..config() }, &templates(), now, TIME);
    let mut sent = Vec::new();
    for round in 0..40 {
        push(&mut session, 100, now);
        session.flush(now, TIME);
        if round == 20 {
            while session.messages()[0].message.records == 0 {
                sent.push(session.messages()[0].message.clone());
                session.handle_sent(1);
            }
            session.handle_refused();
        }
        sent.extend(send(&mut session));
    }
    let books = session.books();
    assert!(books.dropped > 0 && books.waiting == 0, "{books:?}");
    assert_eq!((books.metered, books.sent + books.dropped), (4_000, 4_000));
    assert_eq!(books.messages, sent.len() as u64);
    assert_eq!(collect(&sent), (books.sent, books.dropped));
    assert!(sent.iter().all(|message| message.octets.len() <= 1_452));
}

#[test]
fn messages_shrink_with_the_path() {
    let now = begin();
    let mut session = Session::new(config(), &templates(), now, TIME);
    send(&mut session);
    push(&mut session, 200, now);
    assert!(send(&mut session).iter().any(|message| message.octets.len() > 1_350));
    session.set_max_message(484);
    push(&mut session, 200, now);
    session.flush(now, TIME);
    let after = send(&mut session);
    // The one that was being filled was longer already.
    assert!(after[1..].iter().all(|message| message.octets.len() <= 484), "{:?}", contents(&after));
    assert_eq!((session.books().sent, session.books().waiting), (400, 0));
}

#[test]
fn options_follow_the_templates_each_time_and_count_as_no_flows() {
    let told = |name: &str| {
        let facts = Facts::default();
        facts.describe(Interface { index: 1, name: name.to_owned(), description: String::new() });
        Told { described: facts.described(), ..Told::default() }
    };
    let now = begin();
    let mut session = Session::new(config(), &templates(), now, TIME);
    let eth0 = told("eth0");
    session.set_told(eth0.clone(), TIME);
    let mut sent = send(&mut session);
    assert_eq!(contents(&sent[2..]), [(Content::Templates, 0), (Content::DataOnly, 4)]);
    push(&mut session, 3, now);
    session.set_told(eth0, TIME);
    assert_eq!(send(&mut session), [], "there is no news");
    let later = session.next_refresh;
    session.handle_timeout(later, TIME);
    let again = send(&mut session);
    assert_eq!(contents(&again), [(Content::DataOnly, 3), (Content::Templates, 0), (Content::DataOnly, 4)]);
    sent.extend(again);
    session.set_told(told("lan0"), TIME);
    sent.extend(send(&mut session));
    let books = session.books();
    assert_eq!((books.metered, books.sent, books.dropped, books.waiting), (3, 3, 0, 0));
    assert_eq!(collect(&sent), (3 + 3 * 4, 0));
}
