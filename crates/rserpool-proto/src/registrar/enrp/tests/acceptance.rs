//! Who is refused, and what is said about it on both sides.

use super::*;
use crate::wire::enrp::error::EnrpError;
use crate::wire::{CauseCode, ErrorCause};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 0x10));

fn looking() -> Bench {
    let mut bench = Bench::with(|config| config.peers = vec![RegistrarAddress::sctp(PEER, 9901)]);
    bench.start();
    bench
}

fn refusal(code: CauseCode) -> EnrpError {
    EnrpError { causes: vec![ErrorCause::plain(code)], unknown: vec![] }
}

fn not_accepted(done: &[Did]) -> Vec<NotAccepted> {
    let told = |did: &Did| match did {
        Did::Event(Event::NotAccepted { why, .. }) => Some(*why),
        _ => None,
    };
    done.iter().filter_map(told).collect()
}

impl Bench {
    /// Lets each connection to the peer come up and be closed after what the peer says; returns why we think so.
    fn be_refused(&mut self, times: usize, said: Option<CauseCode>) -> Vec<NotAccepted> {
        let (mut told, mut refused) = (vec![], 0);
        let mut done = vec![];
        for _ in 0..20_000 {
            let Some((connection, _, _)) = connects(&done).first().copied() else {
                done = self.pass(Duration::from_millis(50));
                continue;
            };
            self.registrar.handle_connected(self.now, connection, Self::remote(PEER));
            self.drain();
            if let Some(code) = said {
                told.extend(not_accepted(&self.say(connection, LOW, refusal(code))));
            }
            done = self.lose(connection);
            told.extend(not_accepted(&done));
            refused += 1;
            if refused == times {
                return told;
            }
        }
        panic!("only {refused} attempts")
    }
}

#[test]
fn a_stranger_hears_why_it_is_sent_away_and_not_too_many_do() {
    let mut bench = Bench::ready();
    let mut told = 0;
    for stranger in 0..100 {
        let (connection, done) = bench.accept(IpAddr::from([192, 0, 2, stranger]));
        let sent = messages(&done);
        assert!(done.contains(&Did::Disconnect(connection)));
        if let [(to, Body::EnrpError(error))] = &sent[..] {
            assert_eq!((*to, error.causes[0].code), (connection, CauseCode::SECURITY));
            told += 1;
        } else {
            assert!(sent.is_empty(), "{sent:?}");
        }
    }
    assert_eq!(told, 5);
    bench.pass(Duration::from_secs(1));
    assert_eq!(messages(&bench.accept(IpAddr::from([192, 0, 2, 1])).1).len(), 1);
}

#[test]
fn a_second_registrar_of_one_identifier_hears_that_it_is_refused() {
    let mut bench = Bench::ready();
    bench.join(LOW);
    let (second, _) = bench.accept(IpAddr::from([10, 0, 0, 77]));
    let done = bench.say(second, LOW, presence(LOW, false, 0xffff));
    let [(to, Body::EnrpError(error))] = &messages(&done)[..] else { panic!("{done:?}") };
    assert_eq!((*to, error.causes[0].code), (second, CauseCode::UNSPECIFIED));
}

#[test]
fn a_registrar_that_leaves_sends_nobody_away_with_a_reason() {
    let mut bench = Bench::ready();
    bench.registrar.leave(bench.now);
    bench.drain();
    assert_eq!(messages(&bench.accept(ip(LOW)).1), []);
}

#[test]
fn a_registrar_that_is_refused_tells_its_owner_why_once_in_a_while() {
    for (code, why) in [
        (CauseCode::SECURITY, NotAccepted::Stranger),
        (CauseCode::LACK_OF_RESOURCES, NotAccepted::TooMany),
        (CauseCode::UNSPECIFIED, NotAccepted::Unsaid),
    ] {
        let mut bench = looking();
        bench.registrar.handle_connect_failed(bench.now, ConnectionId(1));
        assert_eq!(bench.be_refused(2, Some(code)), [], "it may be about to change");
        assert_eq!(bench.be_refused(50, Some(code)), [why]);
        assert_eq!(bench.be_refused(150, Some(code)), [why], "10 min later");
        assert!(bench.registrar.peers().next().is_none(), "who only refuses is no peer");
    }
}

#[test]
fn a_registrar_that_closes_every_connection_without_a_word_is_told_of() {
    let mut bench = looking();
    bench.registrar.handle_connect_failed(bench.now, ConnectionId(1));
    assert_eq!(bench.be_refused(4, None), []);
    assert_eq!(bench.be_refused(50, None), [NotAccepted::Closes]);
}

#[test]
fn an_error_of_a_peer_is_no_refusal() {
    let mut bench = Bench::ready();
    let connection = bench.join(LOW);
    let done = bench.say(connection, LOW, refusal(CauseCode::SECURITY));
    assert_eq!(not_accepted(&done), []);
    assert!(done.iter().any(|did| matches!(did, Did::Event(Event::PeerError { .. }))));
}

#[test]
fn our_own_identifier_is_told_of_where_we_are_not() {
    let mut bench = looking();
    bench.registrar.handle_connected(bench.now, ConnectionId(1), Bench::remote(PEER));
    bench.drain();
    let done = bench.say(ConnectionId(1), ME, presence(ME, false, 0xffff));
    assert_eq!(not_accepted(&done), [NotAccepted::OurId]);
    assert_eq!(messages(&done), []);

    let (connection, _) = bench.accept(ip(ME));
    assert_eq!(not_accepted(&bench.say(connection, ME, presence(ME, false, 0xffff))), [], "it is ourselves");
}
