//! What needs exact time or addresses: the machine alone, on virtual time.
#![expect(clippy::disallowed_methods, reason = "a start for virtual time")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use transport::machine::{Machine, Transmit};
use transport::{Association, EndpointConfig, Event};

use crate::wire::{PORT, cookie_echo, first_chunk, init, packet, seal, state_cookie, tag};

const ATTACKER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 6, 6, 6)), 9899);
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 9899);
const PEER_PORT: u16 = 4_000;
const PEER_TAG: u32 = 0x0505_0505;

/// A machine that listens, and its clock.
struct Victim {
    machine: Machine,
    accepted: mpsc::Receiver<Association>,
    now: Instant,
}

impl Victim {
    fn new() -> Victim {
        let local = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 9899));
        let mut random = fastrand::Rng::with_seed(1);
        let randomness = Box::new(move || Ok(random.u64(..)));
        let now = Instant::now();
        let mut machine =
            Machine::new(EndpointConfig::new(local.ip()), local, randomness, || (), now).unwrap();
        let (incoming, accepted) = mpsc::channel(4);
        machine.listen(PORT, incoming).unwrap();
        Victim { machine, accepted, now }
    }

    /// What the machine answers to a packet.
    fn answers(&mut self, from: SocketAddr, octets: &[u8]) -> Vec<Transmit> {
        self.machine.handle_datagram(self.now, from, octets);
        self.machine.handle_timeout(self.now);
        std::iter::from_fn(|| self.machine.poll_transmit()).collect()
    }

    /// The tag and cookie of the INIT ACK.
    fn init(&mut self, from: SocketAddr, octets: &[u8]) -> (u32, Vec<u8>) {
        let answers = self.answers(from, octets);
        let [(to, ack)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((*to, first_chunk(ack)), (from, 2));
        (u32::from_be_bytes(ack[16..20].try_into().unwrap()), state_cookie(ack))
    }

    /// An association with `PEER`, and the tag its packets must carry.
    fn established(&mut self) -> (Association, u32) {
        let (mine, cookie) = self.init(PEER, &init(PEER_PORT, PEER_TAG));
        self.answers(PEER, &cookie_echo(PEER_PORT, mine, &cookie));
        (self.accepted.try_recv().unwrap(), mine)
    }
}

/// Whether the association hears and answers: a HEARTBEAT comes back.
fn lives(victim: &mut Victim, mine: u32) -> bool {
    let heartbeat = packet(PEER_PORT, PORT, mine, &[4, 0, 0, 12, 0, 1, 0, 8, 1, 2, 3, 4]);
    victim.answers(PEER, &heartbeat).iter().any(|(_, answer)| first_chunk(answer) == 5)
}

fn is_up(association: &Association) -> bool {
    association.status().state == transport::State::Up
}

#[test]
fn a_cookie_older_than_60_s_is_answered_with_how_late_it_is_and_makes_nothing() {
    for (age, fresh) in [(59, true), (60, true), (61, false), (600, false)] {
        let mut victim = Victim::new();
        victim.now += Duration::from_millis(1);
        let (mine, cookie) = victim.init(PEER, &init(PEER_PORT, PEER_TAG));
        victim.now += Duration::from_secs(age);
        let answers = victim.answers(PEER, &cookie_echo(PEER_PORT, mine, &cookie));
        assert_eq!(victim.machine.associations() == 1, fresh, "after {age} s");
        if !fresh {
            let [(_, error)] = &answers[..] else { panic!("{answers:?}") };
            // ERROR, cause 3 "Stale Cookie", with the microseconds beyond its life.
            assert_eq!((first_chunk(error), tag(error), &error[16..20]), (9, PEER_TAG, &[0, 3, 0, 8][..]));
            let late = u32::from_be_bytes(error[20..24].try_into().unwrap());
            assert_eq!(u64::from(late), (age - 60) * 1_000_000);
            assert_eq!(victim.machine.counters().cookies_stale, 1);
        }
    }
}

#[test]
fn the_exceptions_of_section_8_5_1_are_taken_exactly() {
    let other = PEER_TAG ^ 1;
    // Rule A: an INIT carries tag 0, and is alone in its packet.
    let mut victim = Victim::new();
    let mut wrong = init(PEER_PORT, PEER_TAG);
    wrong[7] = 1;
    let mut bundled = init(PEER_PORT, PEER_TAG);
    bundled.extend([0, 3, 0, 4]);
    for octets in [seal(wrong), seal(bundled)] {
        assert_eq!(victim.answers(PEER, &octets), []);
    }
    assert_eq!(victim.machine.counters().bad_tag, 2);

    // Rule B: an ABORT carries our tag, or with the T bit the peer's. Rule C: so does SHUTDOWN COMPLETE,
    // which nobody awaits here.
    for (chunk, flags, theirs, ends) in [
        (6, 0, false, true),
        (6, 1, true, true),
        (6, 0, true, false),
        (6, 1, false, false),
        (14, 0, true, false),
        (14, 1, false, false),
    ] {
        let mut victim = Victim::new();
        let (association, mine) = victim.established();
        let tag = if theirs { PEER_TAG } else { mine };
        victim.answers(PEER, &packet(PEER_PORT, PORT, tag, &[chunk, flags, 0, 4]));
        assert_eq!(!is_up(&association), ends, "chunk {chunk}, flags {flags}, their tag {theirs}");
        if !ends {
            assert_eq!(victim.machine.counters().bad_tag, 1);
            assert!(lives(&mut victim, mine));
        }
    }

    // Everything else carries our tag, whatever its flags.
    let mut victim = Victim::new();
    let (association, mine) = victim.established();
    for kind in [0, 2, 3, 4, 5, 7, 8, 9, 11, 192] {
        for (flags, tag) in [(0, PEER_TAG), (1, PEER_TAG), (0, other), (1, 0), (0, mine ^ 1)] {
            let before = victim.machine.counters().bad_tag;
            let chunk = [kind, flags, 0, 12, 0, 1, 0, 8, 1, 2, 3, 4];
            assert_eq!(victim.answers(PEER, &packet(PEER_PORT, PORT, tag, &chunk)), [], "chunk {kind}");
            assert_eq!(victim.machine.counters().bad_tag, before + 1);
        }
    }
    assert!(is_up(&association) && lives(&mut victim, mine));
}

#[test]
fn an_init_from_another_address_or_naming_others_gets_no_part_of_an_association() {
    let mut victim = Victim::new();
    let (mut association, mine) = victim.established();
    // With the ports of the association from elsewhere: answered there, without state.
    let (theirs, cookie) = victim.init(ATTACKER, &init(PEER_PORT, 77));
    assert!(lives(&mut victim, mine));
    // Its cookie is good at its own address only, and makes an association of its own.
    victim.answers(PEER, &cookie_echo(PEER_PORT, theirs, &cookie));
    assert_eq!((victim.machine.counters().cookies_rejected, victim.machine.associations()), (1, 1));
    victim.answers(ATTACKER, &cookie_echo(PEER_PORT, theirs, &cookie));
    assert_eq!((victim.machine.associations(), victim.machine.counters().restarts), (2, 0));
    assert!(is_up(&association) && lives(&mut victim, mine));

    // RFC 9260 section 5.2.2 fears an INIT that adds addresses to an association. Addresses named in an
    // INIT are never sent to, so there is nothing to add: the answer goes where the INIT came from.
    let mut naming = init(PEER_PORT, 78);
    naming.truncate(32);
    naming.extend([0, 5, 0, 8, 10, 6, 6, 6]);
    naming[15] = 28;
    let naming = seal(naming);
    let (restarted, cookie) = victim.init(PEER, &naming);
    let answers = victim.answers(PEER, &cookie_echo(PEER_PORT, restarted, &cookie));
    assert!(answers.iter().all(|(to, _)| *to == PEER), "{answers:?}");
    let event = std::pin::pin!(association.recv())
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert_eq!(event, std::task::Poll::Ready(Event::Restarted));
    victim.now += Duration::from_millis(600);
    victim.machine.handle_timeout(victim.now);
    while let Some((to, _)) = victim.machine.poll_transmit() {
        assert!(to == PEER || to == ATTACKER);
    }
    assert_eq!(victim.machine.counters().restarts, 1);
}

#[test]
fn a_chunk_of_length_0_or_beyond_the_packet_ends_the_packet_and_no_loop() {
    let mut victim = Victim::new();
    let (association, mine) = victim.established();
    for length in [0_u8, 1, 2, 3] {
        // First, and behind a chunk that is right.
        for chunks in
            [&[0, 3, 0, length, 9, 9, 9, 9][..], &[4, 0, 0, 12, 0, 1, 0, 8, 1, 2, 3, 4, 0, 3, 0, length]]
        {
            for (from, tag) in [(PEER, mine), (ATTACKER, 5)] {
                victim.answers(from, &packet(PEER_PORT, PORT, tag, chunks));
            }
        }
    }
    // A parameter of length 0 within an INIT.
    let mut parameter = init(PEER_PORT + 1, 77);
    parameter.extend([0, 5, 0, 0]);
    parameter[15] = 24;
    victim.answers(ATTACKER, &seal(parameter));
    assert!(is_up(&association) && lives(&mut victim, mine));
}

#[test]
fn no_more_than_100_packets_out_of_the_blue_are_answered_in_a_second() {
    let mut victim = Victim::new();
    for second in 1..=3 {
        for _ in 0..1_000 {
            victim.answers(ATTACKER, &packet(5, 6, 7, &[0, 3, 0, 4]));
        }
        let counters = victim.machine.counters();
        assert_eq!(counters.out_of_the_blue_answers, 100 * second);
        assert_eq!(counters.answers_suppressed, 900 * second);
        victim.now += Duration::from_secs(1);
    }
}

#[test]
fn an_abort_is_never_answered_with_an_abort() {
    let mut victim = Victim::new();
    let (_association, mine) = victim.established();
    for from in [PEER, ATTACKER] {
        for flags in [0, 1] {
            for tag in [0, 1, mine ^ 4, PEER_TAG ^ 4] {
                for chunks in
                    [&[6, flags, 0, 4][..], &[0, 3, 0, 4, 6, flags, 0, 4], &[10, 0, 0, 4, 6, flags, 0, 4]]
                {
                    let answers = victim.answers(from, &packet(PEER_PORT, PORT, tag, chunks));
                    assert_eq!(answers, [], "{chunks:?} with tag {tag}");
                }
            }
        }
    }
}

#[test]
fn every_answer_to_a_stranger_is_at_most_three_times_what_it_answers() {
    // IP and UDP headers count on both sides.
    let cost = |octets: &[u8]| octets.len() + 28;
    let mut victim = Victim::new();
    let mut questions = vec![init(PEER_PORT, 77)];
    for kind in 0..=255 {
        questions.push(packet(5, 6, 7, &[kind, 0, 0, 4]));
        questions.push(packet(PEER_PORT, PORT, 7, &[kind, 0, 0, 4]));
    }
    for question in questions {
        victim.now += Duration::from_secs(1);
        let answered: usize =
            victim.answers(ATTACKER, &question).iter().map(|(_, octets)| cost(octets)).sum();
        assert!(answered <= 3 * cost(&question), "{answered} octets for {question:?}");
    }
    assert!(victim.machine.counters().inits_answered > 0);
}
