#![expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]

use std::net::IpAddr;

use super::*;
use crate::RegistrarId;
use crate::wire::asap::business_card::BusinessCard;
use crate::wire::asap::handle_resolution::HandleResolutionResponse;
use crate::wire::param::resolution_option;
use crate::wire::param::transport::{OpaqueTransport, SctpTransport, Transport, TransportUse};
use crate::wire::{CauseCode, Load, PoolElementParameter, RegistrationLife};

const HOME: ConnectionId = ConnectionId(1);

struct Bench {
    user: PoolUser,
    now: Instant,
}

fn pool() -> PoolHandle {
    PoolHandle::new("ipfix").unwrap()
}

fn element(pe: u32, load: u32, port: u16) -> PoolElementParameter {
    PoolElementParameter {
        pe: PeId(pe),
        home: RegistrarId(1),
        life: RegistrationLife(30),
        user_transport: Transport::Sctp(SctpTransport {
            port,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses: vec![IpAddr::from([127, 0, 0, 1])],
            unknown: vec![],
        }),
        policy: Policy::LeastUsed { load: Load(load) },
        asap_transport: None,
        encapsulation: None,
        unknown: vec![],
    }
}

#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a handful of them")]
enum Did {
    Connect(ConnectionId),
    Send(ConnectionId, Message),
    Disconnect(ConnectionId),
    Event(Event),
}

impl Bench {
    /// A pool user that is connected to `HOME` and has asked.
    fn new(profile: Profile) -> Bench {
        Bench::at(profile, [127, 0, 0, 9])
    }

    /// The same, of a registrar at this address.
    fn at(profile: Profile, registrar: [u8; 4]) -> Bench {
        let config = PoolUserConfig {
            pool: pool(),
            registrars: vec![RegistrarAddress::sctp(IpAddr::from(registrar), 3863)],
            items: Some(8),
            updates: false,
            profile,
        };
        let mut bench = Bench { user: PoolUser::new(config, 7), now: Instant::now() };
        bench.user.resolve(bench.now);
        bench.user.handle_connected(bench.now, HOME);
        bench.drain();
        bench
    }

    fn drain(&mut self) -> Vec<Did> {
        let mut did = Vec::new();
        while let Some(output) = self.user.poll_output() {
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

    fn answer(
        &mut self,
        policy: Option<Policy>,
        elements: Vec<PoolElementParameter>,
        causes: Option<Vec<ErrorCause>>,
    ) -> Vec<Did> {
        let (pool, unknown) = (pool(), vec![]);
        let updates_accepted = false;
        self.respond(HandleResolutionResponse { updates_accepted, pool, policy, elements, causes, unknown })
    }

    fn respond(&mut self, response: HandleResolutionResponse) -> Vec<Did> {
        let octets = Message::HandleResolutionResponse(response).to_octets().unwrap();
        self.user.handle_message(self.now, HOME, &octets);
        self.drain()
    }

    /// An answer of a Least Used pool that says how many elements it would have had.
    fn list_cut(&mut self, elements: Vec<PoolElementParameter>, of: u32) -> Vec<Did> {
        self.respond(HandleResolutionResponse {
            updates_accepted: false,
            pool: pool(),
            policy: Some(Policy::LeastUsed { load: Load(0) }),
            elements,
            causes: None,
            unknown: vec![resolution_option::to_parameter(of)],
        })
    }

    /// The registrar answers with elements of a Least Used pool.
    fn list(&mut self, elements: Vec<PoolElementParameter>) -> Vec<Did> {
        self.answer(Some(Policy::LeastUsed { load: Load(0) }), elements, None)
    }

    fn unknown_pool(&mut self) -> Vec<Did> {
        self.answer(None, vec![], Some(vec![ErrorCause::plain(CauseCode::UNKNOWN_POOL_HANDLE)]))
    }

    fn select(&mut self) -> Option<u32> {
        self.user.next_element(self.now).map(|selected| selected.pe.0)
    }

    fn pass(&mut self, duration: Duration) -> Vec<Did> {
        let end = self.now + duration;
        let mut did = Vec::new();
        while let Some(at) = self.user.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.user.handle_timeout(at);
            did.extend(self.drain());
        }
        self.now = end;
        did
    }
}

fn requests(did: &[Did]) -> usize {
    did.iter().filter(|did| matches!(did, Did::Send(_, Message::HandleResolution(_)))).count()
}

#[test]
fn least_used_takes_the_lowest_load_and_then_the_next_when_it_fails() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1), element(2, 20, 1), element(3, 30, 1)]);
    assert_eq!((bench.select(), bench.select()), (Some(1), Some(1)));
    assert!(bench.user.report_unreachable(bench.now, PeId(1)));
    assert_eq!(bench.select(), Some(2));
    assert!(bench.user.report_unreachable(bench.now, PeId(2)));
    assert_eq!(bench.select(), Some(3));
    assert!(bench.user.report_unreachable(bench.now, PeId(3)));
    assert_eq!(bench.select(), None);
}

#[test]
fn without_a_policy_in_the_answer_the_pool_is_round_robin() {
    let mut bench = Bench::new(Profile::FAST);
    bench.answer(None, vec![element(2, 90, 1), element(1, 10, 1)], None);
    assert_eq!([bench.select(), bench.select(), bench.select()], [Some(2), Some(1), Some(2)]);
}

#[test]
fn elements_of_protocols_we_do_not_speak_are_left_out() {
    let mut bench = Bench::new(Profile::FAST);
    let opaque = Transport::Opaque(OpaqueTransport { octets: vec![1, 2] });
    let strange = PoolElementParameter { user_transport: opaque, ..element(1, 0, 1) };
    let did = bench.list(vec![strange, element(2, 50, 1)]);
    assert_eq!(did, [Did::Event(Event::Resolved { elements: 1, changed: true })]);
    assert_eq!(bench.select(), Some(2));
}

#[test]
fn only_what_was_handed_out_is_reported_and_only_once() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1)]);
    assert!(!bench.user.report_unreachable(bench.now, PeId(1)));
    bench.select();
    assert!(bench.user.report_unreachable(bench.now, PeId(1)));
    assert!(!bench.user.report_unreachable(bench.now, PeId(1)));
    let reports = |did: &Vec<Did>| {
        did.iter().filter(|did| matches!(did, Did::Send(_, Message::EndpointUnreachable(_)))).count()
    };
    assert_eq!(reports(&bench.drain()), 1);
}

#[test]
fn an_element_set_aside_is_passed_over_and_not_reported() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1), element(2, 20, 1)]);
    assert!(!bench.user.set_aside(bench.now, PeId(1)), "nobody uses it");
    assert_eq!(bench.select(), Some(1));
    assert!(bench.user.set_aside(bench.now, PeId(1)));
    assert!(!bench.user.report_unreachable(bench.now, PeId(1)), "that was its failure");
    assert_eq!((bench.select(), bench.select()), (Some(2), Some(2)));
    let reported = |did: &Did| matches!(did, Did::Send(_, Message::EndpointUnreachable(_)));
    assert!(!bench.drain().iter().any(reported));
}

#[test]
fn an_element_put_off_is_passed_over_for_that_time_and_has_not_failed() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1)]);
    assert!(!bench.user.put_off(bench.now, PeId(1), Duration::from_secs(7)), "nobody uses it");
    assert_eq!(bench.select(), Some(1));
    assert!(bench.user.put_off(bench.now, PeId(1), Duration::from_secs(7)));
    assert_eq!(bench.select(), None);
    bench.now += Duration::from_secs(7);
    bench.user.handle_timeout(bench.now);
    assert_eq!(bench.select(), Some(1));
    bench.drain();
    bench.user.set_aside(bench.now, PeId(1));
    let first = |did: &Did| matches!(did, Did::Event(Event::Quarantined { duration, .. }) if duration.as_secs() == 30);
    assert!(bench.drain().iter().any(first), "its first failure");
}

#[test]
fn a_report_without_registrar_is_sent_to_the_next_one() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1)]);
    bench.select();
    bench.user.handle_lost(bench.now, HOME);
    bench.user.report_unreachable(bench.now, PeId(1));
    bench.drain();
    bench.user.handle_connected(bench.now, ConnectionId(2));
    let did = bench.drain();
    assert!(matches!(&did[1], Did::Send(ConnectionId(2), Message::EndpointUnreachable(_))), "{did:?}");
}

#[test]
fn quarantine_doubles_from_30_s_to_10_min() {
    let mut bench = Bench::new(Profile::FAST);
    for seconds in [30, 60, 120, 240, 480, 600, 600] {
        bench.list(vec![element(1, 10, 1), element(2, 20, 1)]);
        assert_eq!(bench.select(), Some(1));
        bench.user.report_unreachable(bench.now, PeId(1));
        let duration = Duration::from_secs(seconds);
        assert!(bench.drain().contains(&Did::Event(Event::Quarantined { pe: PeId(1), duration })));
        bench.list(vec![element(1, 10, 1), element(2, 20, 1)]);
        // The registrar is asked at times, and is silent for this test's purpose.
        bench.now += duration - Duration::from_millis(1);
        assert_eq!(bench.select(), Some(2));
        bench.now += Duration::from_millis(1);
        bench.user.handle_timeout(bench.now);
        assert!(bench.drain().contains(&Did::Event(Event::QuarantineEnded { pe: PeId(1) })));
    }
    // After ten minutes without failure all is forgotten.
    bench.now += Duration::from_secs(600);
    bench.user.handle_timeout(bench.now);
    assert!(bench.user.quarantine.is_empty());
}

#[test]
fn re_registration_at_another_port_ends_the_quarantine_and_other_load_does_not() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1), element(2, 20, 1)]);
    bench.select();
    bench.user.report_unreachable(bench.now, PeId(1));
    bench.list(vec![element(1, 5, 1), element(2, 20, 1)]);
    assert_eq!(bench.select(), Some(2));
    bench.list(vec![element(1, 5, 7), element(2, 20, 1)]);
    assert_eq!(bench.select(), Some(1));
}

#[test]
fn an_element_listed_again_after_it_was_not_is_out_of_quarantine() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1), element(2, 20, 1)]);
    bench.select();
    bench.user.report_unreachable(bench.now, PeId(1));
    bench.list(vec![element(2, 20, 1)]);
    let did = bench.list(vec![element(1, 10, 1), element(2, 20, 1)]);
    assert!(did.contains(&Did::Event(Event::QuarantineEnded { pe: PeId(1) })));
    assert_eq!(bench.select(), Some(1));
}

#[test]
fn an_answer_that_may_be_a_part_of_the_pool_proves_no_absence() {
    let mut bench = Bench::new(Profile::FAST);
    let all: Vec<_> = (1..=9).map(|pe| element(pe, pe, 1)).collect();
    bench.list(all[..8].to_vec());
    bench.select();
    bench.user.report_unreachable(bench.now, PeId(1));
    bench.list(all[1..].to_vec());
    bench.list(all[..8].to_vec());
    assert_eq!(bench.select(), Some(2));
}

#[test]
fn an_answer_that_was_cut_proves_no_absence() {
    for (of, ended) in [(1, true), (2, false)] {
        let mut bench = Bench::new(Profile::FAST);
        bench.list(vec![element(1, 10, 1), element(2, 20, 1)]);
        bench.select();
        bench.user.report_unreachable(bench.now, PeId(1));
        bench.list_cut(vec![element(2, 20, 1)], of);
        let did = bench.list(vec![element(1, 10, 1), element(2, 20, 1)]);
        assert_eq!(did.contains(&Did::Event(Event::QuarantineEnded { pe: PeId(1) })), ended, "of {of}");
    }
}

#[test]
fn a_fresh_cache_is_used_without_asking_and_a_stale_one_is_refreshed() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1)]);
    assert!(!bench.user.next_element(bench.now).unwrap().stale);
    assert_eq!(requests(&bench.drain()), 0);
    bench.now += Duration::from_secs(6);
    assert!(bench.user.next_element(bench.now).unwrap().stale);
    assert_eq!(requests(&bench.drain()), 1);
    bench.list(vec![element(1, 10, 1)]);
    assert!(!bench.user.next_element(bench.now).unwrap().stale);
}

#[test]
fn t1_repeats_the_request_and_then_looks_for_another_registrar() {
    let mut bench = Bench::new(Profile::RFC);
    let did = bench.pass(Duration::from_secs(44));
    assert_eq!(requests(&did), 2);
    let did = bench.pass(Duration::from_secs(1));
    assert_eq!(did[0], Did::Disconnect(HOME));
    assert!(matches!(did[1], Did::Event(Event::RegistrarLost { reason: LostReason::Silent, .. })));
    assert_eq!(did[2], Did::Connect(ConnectionId(2)));
    bench.user.handle_connected(bench.now, ConnectionId(2));
    assert_eq!(requests(&bench.drain()), 1);
}

#[test]
fn an_unknown_pool_is_told_once_and_asked_for_again_and_the_cache_is_stale() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1)]);
    bench.user.resolve(bench.now);
    bench.drain();
    assert_eq!(bench.unknown_pool(), [Did::Event(Event::PoolUnknown)]);
    assert!(bench.user.next_element(bench.now).unwrap().stale);
    bench.drain();
    assert_eq!(bench.unknown_pool(), []);
    let did = bench.pass(Duration::from_millis(700));
    assert!(requests(&did) >= 1, "{did:?}");
}

#[test]
fn when_all_are_in_quarantine_the_pool_is_resolved_again_and_again() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1)]);
    bench.select();
    bench.user.report_unreachable(bench.now, PeId(1));
    bench.drain();
    let mut count = 0;
    for _ in 0..20 {
        bench.list(vec![element(1, 10, 1)]);
        if bench.select().is_some() {
            bench.user.report_unreachable(bench.now, PeId(1));
            bench.drain();
        }
        count += requests(&bench.pass(Duration::from_secs(1)));
    }
    assert!((8..=30).contains(&count), "{count}");
}

#[test]
fn who_failed_is_offered_while_there_is_no_other_at_growing_intervals() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1)]);
    bench.select();
    bench.user.report_unreachable(bench.now, PeId(1));
    let mut waited = Vec::new();
    for _ in 0..8 {
        let mut tenths = 0;
        while bench.select().is_none() {
            bench.pass(Duration::from_millis(100));
            tenths += 1;
        }
        waited.push(tenths);
        bench.user.report_unreachable(bench.now, PeId(1));
    }
    let bounds = [(5, 15), (10, 30), (20, 60), (40, 120), (50, 150), (50, 150), (50, 150), (50, 150)];
    for (waited, (least, most)) in waited.into_iter().zip(bounds) {
        assert!((least..=most).contains(&waited), "{waited} tenths of a second, not {least} to {most}");
    }
}

#[test]
fn of_those_that_failed_the_one_that_did_so_longest_ago_is_offered_and_only_without_others() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1), element(2, 20, 1), element(3, 30, 1)]);
    for _ in [1, 2] {
        let failed = bench.select().unwrap();
        bench.user.report_unreachable(bench.now, PeId(failed));
        bench.pass(Duration::from_secs(2));
    }
    assert_eq!(bench.select(), Some(3));
    let except = |bench: &mut Bench, exclude: &[PeId]| {
        bench.user.next_element_except(bench.now, exclude).map(|selected| selected.pe.0)
    };
    assert_eq!(except(&mut bench, &[PeId(3)]), Some(1));
    assert_eq!(except(&mut bench, &[PeId(3), PeId(1)]), Some(2));
    assert_eq!(except(&mut bench, &[PeId(3), PeId(1), PeId(2)]), None);
}

#[test]
fn who_must_not_be_connected_to_yet_is_no_last_resort() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 10, 1)]);
    bench.select();
    bench.user.put_off(bench.now, PeId(1), Duration::from_secs(60));
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.select(), None);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.select(), Some(1));
}

#[test]
fn answers_from_anywhere_else_and_for_other_pools_are_ignored() {
    let mut bench = Bench::new(Profile::FAST);
    let response = |pool: PoolHandle| HandleResolutionResponse {
        updates_accepted: false,
        pool,
        policy: None,
        elements: vec![element(1, 10, 1)],
        causes: None,
        unknown: vec![],
    };
    let other = Message::HandleResolutionResponse(response(PoolHandle::new("other").unwrap()));
    bench.user.handle_message(bench.now, HOME, &other.to_octets().unwrap());
    let stranger = Message::HandleResolutionResponse(response(pool()));
    bench.user.handle_message(bench.now, ConnectionId(99), &stranger.to_octets().unwrap());
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.select(), None);
}

#[test]
fn elements_that_cannot_be_reached_from_here_are_left_out() {
    let beside = |registrar: [u8; 4]| {
        let mut bench = Bench::at(Profile::FAST, registrar);
        let mut both = element(2, 0, 4739);
        let Transport::Sctp(sctp) = &mut both.user_transport else { panic!() };
        sctp.addresses.push(IpAddr::from([10, 0, 0, 1]));
        bench.list(vec![element(1, 0, 4739), both]);
        let elements = bench.user.elements();
        let told = elements.map(|element| (element.pe.0, element.user_transport.addresses().len()));
        told.collect::<Vec<_>>()
    };
    assert_eq!(beside([127, 0, 0, 9]), [(1, 1), (2, 2)]);
    assert_eq!(beside([10, 0, 0, 9]), [(2, 1)], "loopback addresses name another host there");
}

fn card(pes: &[u32]) -> BusinessCard {
    let elements = pes.iter().map(|&pe| element(pe, 0, 4739)).collect();
    BusinessCard { pool: pool(), policy: None, elements, unknown: vec![] }
}

#[test]
fn without_a_registrar_the_last_business_card_says_whom_to_turn_to() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 0, 4739), element(2, 1, 4739), element(3, 2, 4739)]);
    assert!(bench.user.handle_business_card(card(&[3, 2, 9])));
    let other = BusinessCard { pool: PoolHandle::new("other").unwrap(), ..card(&[1]) };
    assert!(!bench.user.handle_business_card(other));
    let next = |bench: &mut Bench| bench.user.next_element(bench.now).unwrap().pe;
    assert_eq!(next(&mut bench), PeId(1), "the policy knows more while there is a registrar");
    bench.user.handle_lost(bench.now, HOME);
    assert_eq!(next(&mut bench), PeId(3));
    bench.user.set_aside(bench.now, PeId(3));
    assert_eq!(next(&mut bench), PeId(2));
    bench.user.set_aside(bench.now, PeId(2));
    // One that no registrar has told yet.
    assert_eq!(next(&mut bench), PeId(9));
    bench.user.set_aside(bench.now, PeId(9));
    assert_eq!(next(&mut bench), PeId(1));
}

#[test]
fn a_user_goes_back_once_to_the_element_it_was_on_if_the_pool_has_it() {
    let mut bench = Bench::new(Profile::FAST);
    let next = |bench: &mut Bench| bench.user.next_element(bench.now).map(|selected| selected.pe.0);
    bench.user.stick_to(PeId(2));
    assert_eq!(next(&mut bench), None);
    bench.list(vec![element(1, 0, 4739), element(2, 9, 4739)]);
    assert_eq!(next(&mut bench), Some(2));
    assert_eq!(next(&mut bench), Some(1), "by the policy from then on");
    bench.user.stick_to(PeId(7));
    assert_eq!(next(&mut bench), Some(1), "the pool has it no more");
}

#[test]
fn excluded_elements_are_not_offered() {
    let mut bench = Bench::new(Profile::FAST);
    bench.list(vec![element(1, 0, 4739), element(2, 1, 4739)]);
    bench.user.stick_to(PeId(1));
    let mut except =
        |exclude: &[PeId]| bench.user.next_element_except(bench.now, exclude).map(|selected| selected.pe.0);
    assert_eq!(except(&[PeId(1)]), Some(2));
    assert_eq!(except(&[PeId(1), PeId(2)]), None);
    assert_eq!(except(&[]), Some(1));
}

#[test]
fn an_element_used_by_its_identifier_can_be_reported_and_is_looked_up_when_stale() {
    let mut bench = Bench::new(Profile::FAST);
    assert_eq!(bench.user.use_element(bench.now, PeId(2)), None, "the registrar has not answered");
    bench.list(vec![element(1, 10, 1), element(2, 20, 7)]);
    let used = bench.user.use_element(bench.now, PeId(2)).expect("it was told");
    assert_eq!((used.pe, used.transport.port, used.stale), (PeId(2), 7, false));
    assert_eq!(bench.user.use_element(bench.now, PeId(3)), None);
    assert!(!bench.user.report_unreachable(bench.now, PeId(1)), "nobody uses it");
    assert!(bench.user.report_unreachable(bench.now, PeId(2)));
    bench.list(vec![element(1, 10, 1), element(2, 20, 7)]);
    bench.now += Profile::FAST.stale_cache + Duration::from_millis(1);
    assert!(
        bench.user.use_element(bench.now, PeId(2)).is_some_and(|used| used.stale),
        "in quarantine or not"
    );
    assert_eq!(requests(&bench.drain()), 1);
}
