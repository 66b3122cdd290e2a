#![expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]

mod announce;
mod associations;
mod authority;
mod drain;
mod life;
mod long_pe_identifier;
mod resolution;
mod unreachable;

use std::net::IpAddr;

use super::*;
use crate::wire::asap::business_card::BusinessCard;
use crate::wire::asap::deregistration::Deregistration;
use crate::wire::asap::handle_resolution::{HandleResolution, HandleResolutionResponse};
use crate::wire::asap::keep_alive::EndpointKeepAliveAck;
use crate::wire::asap::registration::RegistrationResponse;
use crate::wire::asap::unreachable::EndpointUnreachable;
use crate::wire::param::transport::{SctpTransport, Transport, TransportUse};
use crate::wire::param::{observed_address, resolution_option};
use crate::wire::{CauseCode, Policy, PoolElementParameter, RegistrationLife};
use crate::{Profile, Protocol};

const FIRST: ConnectionId = ConnectionId::accepted(1);
const SECOND: ConnectionId = ConnectionId::accepted(2);
const PE: PeId = PeId(0xa1);

struct Bench {
    registrar: Registrar,
    now: Instant,
}

fn pool() -> PoolHandle {
    PoolHandle::new("ipfix").unwrap()
}

fn element(addresses: &[[u8; 4]]) -> PoolElementParameter {
    PoolElementParameter {
        pe: PE,
        home: RegistrarId::UNDETERMINED,
        life: RegistrationLife(30),
        user_transport: Transport::Sctp(SctpTransport {
            port: 4739,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses: addresses.iter().map(|&octets| IpAddr::from(octets)).collect(),
            unknown: vec![],
        }),
        policy: Policy::RoundRobin,
        asap_transport: None,
        encapsulation: None,
        unknown: vec![],
    }
}

const HERE: [u8; 4] = [10, 0, 0, 1];
const THERE: [u8; 4] = [10, 0, 0, 2];

impl Bench {
    /// A registrar with two connections from `HERE`.
    fn new(config: RegistrarConfig) -> Bench {
        let config = RegistrarConfig { id: Some(RegistrarId(0x0b)), ..config };
        let mut bench = Bench { registrar: Registrar::new(config, 1), now: Instant::now() };
        bench.accept(FIRST, HERE);
        bench.accept(SECOND, HERE);
        bench
    }

    fn default() -> Bench {
        Bench::new(RegistrarConfig::default())
    }

    fn accept(&mut self, connection: ConnectionId, from: [u8; 4]) {
        let remote = Remote {
            protocol: Protocol::Sctp,
            addresses: vec![IpAddr::from(from)],
            port: 5000,
            encapsulation: None,
        };
        self.registrar.handle_accepted(self.now, connection, remote);
    }

    /// What it told of elements that came back, and why.
    fn reassociated(&mut self) -> Vec<(ConnectionId, Reassociation)> {
        let mut told = Vec::new();
        while let Some(output) = self.registrar.poll_output() {
            if let Output::Event(Event::ElementReassociated { by, reason, .. }) = output {
                told.push((by, reason));
            }
        }
        told
    }

    fn drain(&mut self) -> Vec<(ConnectionId, Message)> {
        let mut sent = Vec::new();
        while let Some(output) = self.registrar.poll_output() {
            if let Output::Send { connection, octets } = output {
                sent.push((connection, Message::decode(&octets).unwrap()));
            }
        }
        sent
    }

    fn tell(&mut self, from: ConnectionId, message: &Message) -> Vec<(ConnectionId, Message)> {
        self.registrar.handle_message(self.now, from, &message.to_octets().unwrap());
        self.drain()
    }

    /// Registers and returns the answer.
    fn register(&mut self, from: ConnectionId, element: PoolElementParameter) -> RegistrationResponse {
        let answers = self.try_register(from, element);
        let (_, Message::RegistrationResponse(response)) = answers.into_iter().next().unwrap() else {
            panic!("no response")
        };
        response
    }

    fn try_register(
        &mut self,
        from: ConnectionId,
        element: PoolElementParameter,
    ) -> Vec<(ConnectionId, Message)> {
        self.tell(from, &Message::Registration(Registration { pool: pool(), element, unknown: vec![] }))
    }

    fn ack(&mut self, from: ConnectionId) -> Vec<(ConnectionId, Message)> {
        let ack = EndpointKeepAliveAck { pool: pool(), pe: PE, unknown: vec![] };
        self.tell(from, &Message::EndpointKeepAliveAck(ack))
    }

    fn report(&mut self, from: ConnectionId) -> Vec<(ConnectionId, Message)> {
        let report = EndpointUnreachable { pool: pool(), pe: PE, unknown: vec![] };
        self.tell(from, &Message::EndpointUnreachable(report))
    }

    fn resolve(&mut self, items: Option<u32>) -> HandleResolutionResponse {
        let request = HandleResolution { send_updates: false, pool: pool(), items, unknown: vec![] };
        let answers = self.tell(SECOND, &Message::HandleResolution(request));
        let Some((SECOND, Message::HandleResolutionResponse(response))) = answers.into_iter().next() else {
            panic!("no response")
        };
        response
    }

    /// Fires timers until `duration` has passed.
    fn pass(&mut self, duration: Duration) -> Vec<(ConnectionId, Message)> {
        let end = self.now + duration;
        let mut sent = Vec::new();
        while let Some(at) = self.registrar.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.registrar.handle_timeout(at);
            sent.extend(self.drain());
        }
        self.now = end;
        sent
    }

    fn is_registered(&self) -> bool {
        self.registrar.handlespace().pool(&pool()).is_some_and(|pool| pool.element(PE).is_some())
    }
}

fn codes(response: &RegistrationResponse) -> Vec<CauseCode> {
    response.causes.iter().map(|cause| cause.code).collect()
}

#[test]
fn whoever_registers_addresses_that_are_not_its_own_is_told_its_own() {
    let observed = |addresses: &[[u8; 4]]| {
        let response = Bench::default().register(FIRST, element(addresses));
        (response.rejected, observed_address::find(&response.unknown))
    };
    assert_eq!(observed(&[HERE]), (false, None));
    assert_eq!(observed(&[THERE, HERE]), (false, Some(IpAddr::from(HERE))));
    assert_eq!(observed(&[THERE]), (true, Some(IpAddr::from(HERE))));
}

#[test]
fn a_told_asap_transport_is_kept_as_far_as_it_is_the_senders() {
    let told = |addresses: &[[u8; 4]]| {
        let mut registrant = element(&[HERE]);
        let Transport::Sctp(asap) = element(addresses).user_transport else { panic!() };
        registrant.asap_transport = Some(SctpTransport { port: 50_000, ..asap });
        let mut bench = Bench::default();
        assert!(!bench.register(FIRST, registrant).rejected);
        let registered = bench.registrar.handlespace().pool(&pool()).unwrap().element(PE).unwrap();
        let asap = registered.asap_transport.clone().unwrap();
        (asap.port, asap.addresses)
    };
    assert_eq!(told(&[HERE]), (50_000, vec![IpAddr::from(HERE)]));
    assert_eq!(told(&[THERE, HERE]), (50_000, vec![IpAddr::from(HERE)]));
    assert_eq!(told(&[THERE]), (5_000, vec![IpAddr::from(HERE)]), "where the association comes from");
}

#[test]
fn the_registrar_becomes_home_and_records_where_the_registration_came_from() {
    let mut bench = Bench::default();
    assert!(!bench.register(FIRST, element(&[HERE])).rejected);
    let registered = bench.registrar.handlespace().pool(&pool()).unwrap().element(PE).unwrap();
    assert_eq!(registered.home, RegistrarId(0x0b));
    let asap = registered.asap_transport.as_ref().unwrap();
    assert_eq!((asap.port, &asap.addresses[..]), (5000, &[IpAddr::from(HERE)][..]));
    // Pool users are told the home, not the ASAP transport.
    let answer = bench.resolve(None);
    assert_eq!(answer.elements[0].home, RegistrarId(0x0b));
    assert_eq!(answer.elements[0].asap_transport, None);
}

#[test]
fn identifier_zero_and_life_zero_are_invalid_values() {
    let mut bench = Bench::default();
    let zero = PoolElementParameter { pe: PeId(0), ..element(&[HERE]) };
    let response = bench.register(FIRST, zero);
    assert!(response.rejected);
    assert_eq!(codes(&response), [CauseCode::INVALID_VALUES]);
    let dead = PoolElementParameter { life: RegistrationLife(0), ..element(&[HERE]) };
    assert_eq!(codes(&bench.register(FIRST, dead)), [CauseCode::INVALID_VALUES]);
}

#[test]
fn addresses_of_others_are_refused_or_taken_out_with_a_warning() {
    let mut bench = Bench::default();
    assert!(bench.register(FIRST, element(&[THERE])).rejected);
    let response = bench.register(FIRST, element(&[THERE, HERE]));
    assert!(!response.rejected);
    assert_eq!(codes(&response), [CauseCode::INVALID_VALUES]);
    assert_eq!(bench.resolve(None).elements[0].user_transport.addresses(), [IpAddr::from(HERE)]);
}

/// A registrar that lets elements of one network register further addresses there.
fn bench_with_network() -> Bench {
    let networks = vec!["10.0.0.0/24".parse().unwrap()];
    Bench::new(RegistrarConfig { networks, ..RegistrarConfig::default() })
}

#[test]
fn further_addresses_are_allowed_in_listed_networks_beside_one_of_the_association() {
    let mut bench = bench_with_network();
    assert!(bench.register(FIRST, element(&[THERE])).rejected, "none of its own");
    let response = bench.register(FIRST, element(&[THERE, HERE, [10, 0, 1, 1]]));
    assert_eq!((response.rejected, codes(&response)), (false, vec![CauseCode::INVALID_VALUES]));
    let known = bench.resolve(None).elements[0].user_transport.addresses().to_vec();
    assert_eq!(known, [IpAddr::from(THERE), IpAddr::from(HERE)]);
    let response = bench.register(FIRST, element(&[THERE, HERE]));
    assert_eq!((response.rejected, codes(&response)), (false, vec![]));
}

#[test]
fn listed_networks_mean_nothing_to_elements_outside_of_them() {
    let mut bench = bench_with_network();
    let third = ConnectionId::accepted(3);
    bench.accept(third, [10, 0, 1, 1]);
    let response = bench.register(third, element(&[[10, 0, 1, 1], HERE]));
    assert_eq!(codes(&response), [CauseCode::INVALID_VALUES]);
    let known = bench.resolve(None).elements[0].user_transport.addresses().to_vec();
    assert_eq!(known, [IpAddr::from([10, 0, 1, 1])]);
}

#[test]
fn an_element_with_several_addresses_comes_back_and_deregisters_from_any_of_them() {
    let mut bench = bench_with_network();
    let (third, stranger) = (ConnectionId::accepted(3), ConnectionId::accepted(4));
    bench.accept(third, THERE);
    bench.accept(stranger, [10, 0, 0, 3]);
    bench.register(FIRST, element(&[HERE, THERE]));
    bench.registrar.handle_lost(bench.now, FIRST);
    let answer = bench.register(stranger, element(&[HERE, THERE]));
    assert!(answer.rejected, "listed, and none of the element's addresses");
    assert!(!bench.register(third, element(&[HERE, THERE])).rejected);
    bench.registrar.handle_lost(bench.now, third);
    let fifth = ConnectionId::accepted(5);
    bench.accept(fifth, THERE);
    let leave = Message::Deregistration(Deregistration { pool: pool(), pe: PE, unknown: vec![] });
    bench.tell(stranger, &leave);
    assert_eq!(bench.resolve(None).elements.len(), 1);
    bench.tell(fifth, &leave);
    assert!(bench.resolve(None).elements.is_empty());
}

#[test]
fn only_the_registrant_deregisters() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    let message = Message::Deregistration(Deregistration { pool: pool(), pe: PE, unknown: vec![] });
    let sent = bench.tell(SECOND, &message);
    let [(SECOND, Message::DeregistrationResponse(response))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(response.causes, [ErrorCause::plain(CauseCode::SECURITY)]);
    assert!(bench.is_registered());
    let sent = bench.tell(FIRST, &message);
    let [(FIRST, Message::DeregistrationResponse(response))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(response.causes, []);
    assert!(!bench.is_registered());
    // An element that is not there is deregistered with success.
    let sent = bench.tell(SECOND, &message);
    assert!(
        matches!(&sent[..], [(SECOND, Message::DeregistrationResponse(response))] if response.causes.is_empty())
    );
}

#[test]
fn a_life_that_ends_is_told_to_the_element() {
    let mut bench = Bench::default();
    let short = PoolElementParameter { life: RegistrationLife(1), ..element(&[HERE]) };
    bench.register(FIRST, short);
    bench.pass(Duration::from_millis(999));
    bench.ack(FIRST);
    assert!(bench.is_registered());
    let sent = bench.pass(Duration::from_millis(1));
    assert!(matches!(&sent[..], [(FIRST, Message::DeregistrationResponse(_))]), "{sent:?}");
    assert_eq!(bench.registrar.counters().removed.get(&Removal::Expired), Some(&1));
}

#[test]
fn the_rsplib_profile_counts_a_life_in_milliseconds() {
    let mut bench = Bench::new(RegistrarConfig { profile: Profile::RSPLIB, ..RegistrarConfig::default() });
    bench.register(FIRST, PoolElementParameter { life: RegistrationLife(5_000), ..element(&[HERE]) });
    bench.pass(Duration::from_millis(5_000));
    assert!(!bench.is_registered());
}

#[test]
fn unknown_types_are_answered_with_an_error_and_errors_are_not() {
    let mut bench = Bench::default();
    bench.registrar.handle_message(bench.now, FIRST, &[0x7f, 0, 0, 4]);
    let sent = bench.drain();
    let [(FIRST, Message::Error(error))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(error.causes, [ErrorCause::unrecognized_message(&[0x7f, 0, 0, 4])]);
    // An ASAP_ERROR with a parameter that asks to be reported.
    let nested = [0x0e, 0, 0, 0x10, 0, 0x0c, 0, 8, 0, 0, 0, 4, 0xcb, 0xbb, 0, 4];
    bench.registrar.handle_message(bench.now, FIRST, &nested);
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.registrar.counters().malformed, 1);
}

#[test]
fn a_malformed_registration_changes_nothing() {
    let mut bench = Bench::default();
    let message =
        Message::Registration(Registration { pool: pool(), element: element(&[HERE]), unknown: vec![] });
    let octets = message.to_octets().unwrap();
    for end in 0..octets.len() {
        bench.registrar.handle_message(bench.now, FIRST, &octets[..end]);
    }
    assert_eq!(bench.registrar.handlespace().elements(), 0);
    assert_eq!(bench.registrar.poll_timeout(), None);
}

#[test]
fn messages_meant_for_others_and_strangers_are_ignored() {
    let mut bench = Bench::default();
    let card = BusinessCard { pool: pool(), policy: None, elements: vec![], unknown: vec![] };
    assert_eq!(bench.tell(FIRST, &Message::BusinessCard(card)), []);
    assert_eq!(bench.try_register(ConnectionId::accepted(99), element(&[HERE])), []);
}

#[test]
fn limits_hold_for_connections_elements_of_one_and_the_rate_of_registrations() {
    let mut bench = Bench::new(RegistrarConfig {
        max_connections: 2,
        max_elements_per_connection: 3,
        registrations_per_second: 1,
        ..RegistrarConfig::default()
    });
    bench.accept(ConnectionId::accepted(3), HERE);
    assert!(matches!(bench.registrar.poll_output(), Some(Output::Disconnect { .. })));
    assert_eq!(bench.registrar.counters().connections_refused, 1);
    let mut register =
        |pe| codes(&bench.register(FIRST, PoolElementParameter { pe: PeId(pe), ..element(&[HERE]) }));
    for pe in 1..=3 {
        assert_eq!(register(pe), []);
    }
    assert_eq!(register(4), [CauseCode::LACK_OF_RESOURCES]);
    assert_eq!(register(3), []);
    // The burst of five is used up.
    assert_eq!(register(3), [CauseCode::LACK_OF_RESOURCES]);
}

#[test]
fn a_registrar_that_was_stopped_puts_its_deadlines_off() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    bench.report(SECOND);
    // One keep-alive was missed, the other one is on its way.
    bench.pass(Profile::FAST.keep_alive_timeout);
    bench.now += Duration::from_secs(10);
    bench.registrar.handle_timeout(bench.now);
    assert!(bench.is_registered());
    // Its association's end was waiting too; the element has time to come back.
    bench.registrar.handle_lost(bench.now, FIRST);
    bench.pass(Duration::from_secs(9));
    assert!(bench.is_registered());
    bench.pass(Duration::from_secs(2));
    assert!(!bench.is_registered());
    assert_eq!(bench.registrar.counters().stalls, 1);
}

#[test]
fn an_element_that_was_silent_before_its_association_was_lost_gains_no_time() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    // The keep-alive comes within 1.5 s and is not answered; the transport notices after 2 s.
    bench.pass(Duration::from_secs(2));
    bench.registrar.handle_lost(bench.now, FIRST);
    assert!(bench.is_registered());
    bench.pass(Duration::from_millis(1_300));
    assert!(!bench.is_registered());
}

#[test]
fn when_an_element_last_answered_a_keep_alive_is_known_and_survives_a_registration() {
    let mut bench = Bench::default();
    let answered = |bench: &Bench| bench.registrar.elements(&pool(), None, 1)[0].answered;
    bench.register(FIRST, element(&[HERE]));
    assert_eq!(answered(&bench), None, "it was not asked yet");
    bench.pass(Duration::from_secs(2));
    bench.ack(FIRST);
    let at = bench.now;
    bench.now += Duration::from_millis(100);
    bench.register(FIRST, element(&[HERE]));
    assert_eq!(answered(&bench), Some(at));
}
