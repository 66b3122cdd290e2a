#![expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::wire::asap::deregistration::DeregistrationResponse;
use crate::wire::asap::handle_resolution::HandleResolutionResponse;
use crate::wire::asap::keep_alive::{EndpointKeepAlive, EndpointKeepAliveAck};
use crate::wire::asap::registration::{Registration, RegistrationResponse};
use crate::wire::param::observed_address;
use crate::wire::{CauseCode, ErrorCause, TransportUse};
use crate::{ENCAPSULATION_PORT, Protocol, UserTransport};

mod addresses;
mod homes;

const PE: PeId = PeId(0xa1);
const HOME: ConnectionId = ConnectionId(1);
const OTHER: RegistrarAddress = RegistrarAddress::sctp(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 8)), 3863);

struct Bench {
    element: PoolElement,
    now: Instant,
}

fn pool() -> PoolHandle {
    PoolHandle::new("ipfix").unwrap()
}

fn config(profile: Profile) -> PoolElementConfig {
    PoolElementConfig {
        pool: pool(),
        pe: Some(PE),
        transport: UserTransport {
            protocol: Protocol::Sctp,
            addresses: vec![IpAddr::from([127, 0, 0, 1])],
            port: 4739,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            encapsulation: ENCAPSULATION_PORT,
        },
        policy: Policy::LeastUsed { load: Load(0) },
        registrars: vec![RegistrarAddress::sctp(IpAddr::from([127, 0, 0, 9]), 3863)],
        profile,
    }
}

#[derive(Debug, PartialEq)]
enum Did {
    Connect(ConnectionId),
    Send(ConnectionId, Message),
    Disconnect(ConnectionId),
    Event(Event),
}

impl Bench {
    fn new(config: PoolElementConfig) -> Bench {
        Bench { element: PoolElement::new(config, 7).unwrap(), now: Instant::now() }
    }

    /// An element that is registered over `HOME`.
    fn registered() -> Bench {
        let mut bench = Bench::new(config(Profile::FAST));
        bench.element.trust_registrars(vec!["127.0.0.8".parse().unwrap()]);
        bench.element.register(bench.now);
        bench.element.handle_connected(bench.now, HOME);
        bench.drain();
        bench.grant();
        bench
    }

    fn drain(&mut self) -> Vec<Did> {
        let mut did = Vec::new();
        while let Some(output) = self.element.poll_output() {
            did.push(match output {
                Output::Connect { connection, .. } => Did::Connect(connection),
                Output::Send { connection, octets } => {
                    Did::Send(connection, Message::decode(&octets).unwrap())
                }
                Output::Disconnect { connection } => Did::Disconnect(connection),
                Output::Announce { .. } => panic!("only a registrar announces"),
                Output::LookUp { .. } => panic!("only a registrar has peers"),
                Output::Event(event) => Did::Event(event),
            });
        }
        did
    }

    fn tell(&mut self, from: ConnectionId, message: &Message) -> Vec<Did> {
        self.element.handle_message(self.now, from, &message.to_octets().unwrap());
        self.drain()
    }

    fn answer(&mut self, rejected: bool, causes: Vec<ErrorCause>) -> Vec<Did> {
        let pe = self.element.pe();
        let response = RegistrationResponse { rejected, pool: pool(), pe, causes, unknown: vec![] };
        self.tell(HOME, &Message::RegistrationResponse(response))
    }

    fn grant(&mut self) -> Vec<Did> {
        self.answer(false, vec![])
    }

    fn next(&mut self) -> (Duration, Vec<Did>) {
        let before = self.now;
        self.now = self.element.poll_timeout().expect("a timer");
        self.element.handle_timeout(self.now);
        (self.now - before, self.drain())
    }
}

fn registration(did: &[Did]) -> Option<&Registration> {
    did.iter().find_map(|did| match did {
        Did::Send(_, Message::Registration(registration)) => Some(registration),
        _ => None,
    })
}

fn keep_alive(home: bool) -> Message {
    let registrar = RegistrarId(0x0b);
    Message::EndpointKeepAlive(EndpointKeepAlive {
        home,
        draining: false,
        registrar,
        pool: pool(),
        pe: Some(PE),
        unknown: vec![],
    })
}

fn ack(to: ConnectionId) -> Did {
    Did::Send(
        to,
        Message::EndpointKeepAliveAck(EndpointKeepAliveAck { pool: pool(), pe: PE, unknown: vec![] }),
    )
}

#[test]
fn re_registration_comes_with_t4_and_tells_the_home_learnt_from_a_keep_alive() {
    let mut bench = Bench::registered();
    assert_eq!(bench.tell(HOME, &keep_alive(false)), [ack(HOME)]);
    let (after, did) = bench.next();
    assert_eq!(after, Duration::from_secs(10));
    assert_eq!(registration(&did).unwrap().element.home, RegistrarId(0x0b));
    assert_eq!(bench.grant(), [Did::Event(Event::Reregistered { pe: PE })]);
}

#[test]
fn a_change_of_load_is_sent_at_once_or_after_the_answer_that_is_awaited() {
    let mut bench = Bench::registered();
    bench.element.set_load(bench.now, Load(1));
    assert!(registration(&bench.drain()).is_some());
    bench.element.set_load(bench.now, Load(2));
    bench.element.set_load(bench.now, Load(3));
    assert_eq!(bench.drain(), []);
    let did = bench.grant();
    assert_eq!(registration(&did).unwrap().element.policy, Policy::LeastUsed { load: Load(3) });
    bench.grant();
    bench.element.set_load(bench.now, Load(3));
    assert_eq!(bench.drain(), []);
}

#[test]
fn t2_looks_for_another_registrar_and_failure_is_told_after_max_reg_attempt() {
    let mut bench = Bench::new(config(Profile { jitter_percent: 0, ..Profile::RFC }));
    bench.element.register(bench.now);
    assert_eq!(bench.drain(), [Did::Connect(HOME)]);
    for attempt in 1..=3 {
        let connection = ConnectionId(attempt);
        bench.element.handle_connected(bench.now, connection);
        assert!(registration(&bench.drain()).is_some());
        let (after, did) = bench.next();
        assert_eq!(after, Duration::from_secs(30));
        assert!(did.contains(&Did::Disconnect(connection)));
        let failed = Did::Event(Event::RegistrationFailed { attempts: 3, stopped: true });
        assert_eq!(did.contains(&failed), attempt == 3);
    }
    // The RFC says to stop then.
    assert_eq!(bench.element.poll_timeout(), None);
}

#[test]
fn the_fast_profile_reports_failure_and_goes_on() {
    let mut bench = Bench::new(config(Profile::FAST));
    bench.element.register(bench.now);
    for attempt in 1..=9 {
        bench.element.handle_connected(bench.now, ConnectionId(attempt));
        bench.drain();
        let (_, did) = bench.next();
        let failed = Did::Event(Event::RegistrationFailed { attempts: 3, stopped: false });
        assert_eq!(did.contains(&failed), attempt % 3 == 0);
        assert!(did.contains(&Did::Connect(ConnectionId(attempt + 1))));
    }
}

#[test]
fn a_rejection_is_told_with_its_cause_and_tried_again_later() {
    let mut bench = Bench::new(config(Profile { jitter_percent: 0, ..Profile::FAST }));
    bench.element.register(bench.now);
    bench.element.handle_connected(bench.now, HOME);
    bench.drain();
    let causes = vec![ErrorCause::plain(CauseCode::LACK_OF_RESOURCES)];
    for seconds in [1, 2, 4, 8, 10, 10] {
        let retry = Some(Duration::from_secs(seconds));
        let rejected = Event::Rejected { pe: PE, causes: causes.clone(), retry };
        assert_eq!(bench.answer(true, causes.clone()), [Did::Event(rejected)]);
        let (after, did) = bench.next();
        assert_eq!(Some(after), retry);
        assert!(registration(&did).is_some());
    }
}

#[test]
fn the_rfc_profile_does_not_repeat_a_rejected_registration_until_it_is_corrected() {
    let mut bench = Bench::new(config(Profile::RFC));
    bench.element.register(bench.now);
    bench.element.handle_connected(bench.now, HOME);
    bench.drain();
    bench.answer(true, vec![ErrorCause::plain(CauseCode::INCONSISTENT_POLICY)]);
    assert_eq!(bench.element.poll_timeout(), None);
    bench.element.set_policy(bench.now, Policy::RoundRobin);
    assert_eq!(registration(&bench.drain()).unwrap().element.policy, Policy::RoundRobin);
}

#[test]
fn a_random_identifier_that_is_taken_is_replaced() {
    let mut bench = Bench::new(PoolElementConfig { pe: None, ..config(Profile::FAST) });
    bench.element.register(bench.now);
    bench.element.handle_connected(bench.now, HOME);
    bench.drain();
    let taken = bench.element.pe();
    bench.answer(true, vec![ErrorCause::plain(CauseCode::NON_UNIQUE_PE_ID)]);
    let (_, did) = bench.next();
    assert_ne!(registration(&did).unwrap().element.pe, taken);
    assert_eq!(registration(&did).unwrap().element.pe, bench.element.pe());
}

#[test]
fn a_long_identifier_is_registered_again_and_again_and_drawn_anew_with_a_taken_short_one() {
    let mut bench = Bench::new(PoolElementConfig { pe: None, ..config(Profile::FAST) });
    bench.element.use_long_identifier().unwrap();
    let first = bench.element.long_id().unwrap();
    bench.element.register(bench.now);
    bench.element.handle_connected(bench.now, HOME);
    assert_eq!(registration(&bench.drain()).unwrap().element.long_id(), Some(first));
    bench.answer(true, vec![ErrorCause::plain(CauseCode::NON_UNIQUE_PE_ID)]);
    let (_, did) = bench.next();
    let second = bench.element.long_id().unwrap();
    assert_eq!(registration(&did).unwrap().element.long_id(), Some(second));
    assert!(second.short() != first.short() && second.0 >> 32 != first.0 >> 32);
    bench.grant();
    let (_, did) = bench.next();
    assert_eq!(registration(&did).unwrap().element.long_id(), Some(second), "re-registration");
}

#[test]
fn no_long_identifier_is_registered_unless_it_is_asked_for() {
    let mut bench = Bench::new(config(Profile::FAST));
    bench.element.register(bench.now);
    bench.element.handle_connected(bench.now, HOME);
    assert_eq!(registration(&bench.drain()).unwrap().element.unknown, []);
}

#[test]
fn an_expired_registration_is_made_again() {
    let mut bench = Bench::registered();
    let response = DeregistrationResponse { pool: pool(), pe: PE, causes: vec![], unknown: vec![] };
    let did = bench.tell(HOME, &Message::DeregistrationResponse(response));
    assert_eq!(did[0], Did::Event(Event::Expired));
    assert!(registration(&did).is_some());
    assert_eq!(bench.grant(), [Did::Event(Event::Registered { pe: PE, warnings: vec![] })]);
}

#[test]
fn deregistration_without_an_answer_fails_after_its_attempts() {
    let mut bench = Bench::registered();
    bench.element.deregister(bench.now);
    assert!(matches!(&bench.drain()[..], [Did::Send(HOME, Message::Deregistration(_))]));
    let mut did = Vec::new();
    while bench.element.poll_timeout().is_some() {
        did.extend(bench.next().1);
    }
    assert_eq!(did.last(), Some(&Did::Event(Event::DeregistrationFailed)));
    assert!(!did.iter().any(|did| matches!(did, Did::Send(..))));
}

#[test]
fn an_element_that_never_registered_is_deregistered_at_once() {
    let mut bench = Bench::new(config(Profile::FAST));
    bench.element.register(bench.now);
    bench.drain();
    bench.element.deregister(bench.now);
    assert_eq!(bench.drain(), [Did::Disconnect(HOME), Did::Event(Event::Deregistered)]);
    assert_eq!(bench.element.poll_timeout(), None);
}

#[test]
fn a_malformed_message_is_told_and_an_unknown_one_answered() {
    let mut bench = Bench::registered();
    bench.element.handle_message(bench.now, HOME, &[0x7f, 0, 0, 4]);
    let did = bench.drain();
    assert!(
        matches!(&did[..], [Did::Send(HOME, Message::Error(_)), Did::Event(Event::Malformed(_))]),
        "{did:?}"
    );
}

#[test]
fn what_cannot_be_registered_is_refused_at_the_start() {
    let refused = |change: fn(&mut PoolElementConfig)| {
        let mut config = config(Profile::FAST);
        change(&mut config);
        PoolElement::new(config, 1).unwrap_err()
    };
    assert_eq!(refused(|config| config.transport.addresses.clear()), ConfigError::NoAddress);
    assert_eq!(refused(|config| config.pe = Some(PeId(0))), ConfigError::ZeroIdentifier);
    assert!(matches!(
        refused(|config| config.pool = PoolHandle::new([b'x'; PoolHandle::MAX_LENGTH]).unwrap()),
        ConfigError::TooLong(_)
    ));
}

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const PRIVATE: [u8; 4] = [10, 0, 0, 1];

#[test]
fn the_other_elements_of_the_pool_are_learnt_and_only_other_places_are_news() {
    let mut bench = Bench::new(config(Profile::FAST));
    bench.element.watch_peers();
    bench.element.register(bench.now);
    bench.element.handle_connected(bench.now, HOME);
    bench.drain();
    let did = bench.grant();
    let asked =
        |did: &Did| matches!(did, Did::Send(HOME, Message::HandleResolution(ask)) if ask.send_updates);
    assert!(did.iter().any(asked), "{did:?}");
    let Message::Registration(own) = bench.element.registration().unwrap() else { panic!() };
    let other = |load, port| {
        let mut element = PoolElementParameter { pe: PeId(0xb2), ..own.element.clone() };
        element.policy = Policy::LeastUsed { load: Load(load) };
        let Transport::Sctp(sctp) = &mut element.user_transport else { panic!() };
        sctp.port = port;
        element
    };
    let mut told = |elements: Vec<PoolElementParameter>| {
        let (updates_accepted, policy, causes, unknown) = (true, None, None, vec![]);
        let response =
            HandleResolutionResponse { updates_accepted, pool: pool(), policy, elements, causes, unknown };
        bench.tell(HOME, &Message::HandleResolutionResponse(response))
    };
    let news = [Did::Event(Event::PeersChanged)];
    assert_eq!(told(vec![own.element.clone(), other(1, 4739)]), news);
    assert_eq!(told(vec![other(2, 4739), own.element.clone()]), []);
    assert_eq!(told(vec![other(2, 4740)]), news);
    assert_eq!(told(vec![own.element.clone()]), news);
    assert_eq!(bench.element.peers(), []);
}
