use super::*;

/// Someone's home is taken over, and it registers by itself before it is asked, as over TCP.
#[test]
fn each_element_that_is_inherited_is_told_of_however_it_comes() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    for pe in [0xa1, 0xa2] {
        bench.say(low, LOW, add(PoolElementParameter { asap_transport: None, ..element(pe, LOW) }));
    }
    bench.lose(low);
    let done = events(&bench.pass(Duration::from_secs(5)));
    for pe in [0xa1, 0xa2].map(PeId) {
        let told = Event::HomeChanged { pool: pool(), pe, from: LOW, to: ME };
        assert_eq!(done.iter().filter(|event| **event == told).count(), 1, "{done:?}");
    }
    let element = element(0xa1, RegistrarId::UNDETERMINED);
    let address = element.user_transport.addresses()[0];
    let connection = ConnectionId::accepted(100);
    bench.asap.insert(connection);
    bench.registrar.handle_accepted(bench.now, connection, Bench::remote(address));
    let registration = Registration { pool: pool(), element, unknown: vec![] };
    let done = bench.tell(connection, &wire::Message::Registration(registration));
    let adopted = Event::ElementAdopted { pool: pool(), pe: PE, from: None };
    assert!(events(&done).contains(&adopted), "{done:?}");
}

use crate::wire::enrp::takeover::{InitTakeover, InitTakeoverAck, TakeoverServer};

/// We, two living peers, and a third one with an element that has fallen silent.
struct Scope {
    bench: Bench,
    low: ConnectionId,
    high: ConnectionId,
    dead: ConnectionId,
}

impl Scope {
    fn new() -> Scope {
        Scope::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut EnrpConfig)) -> Scope {
        let mut bench = Bench::ready_with(change);
        let [low, high, dead] = [LOW, HIGH, THIRD].map(|id| bench.join(id));
        bench.say(dead, THIRD, add(element(0xa1, THIRD)));
        Scope { bench, low, high, dead }
    }

    fn pass(&mut self, millis: u64) -> Vec<Did> {
        self.bench.pass_with(Duration::from_millis(millis), &[(self.low, LOW), (self.high, HIGH)])
    }

    /// Until we have begun to take over.
    fn initiate(&mut self) -> Vec<Did> {
        let done = self.pass(3_500);
        assert!(events(&done).contains(&Event::TakeoverStarted { target: THIRD, elements: 1 }));
        done
    }

    fn home(&self) -> Option<RegistrarId> {
        self.bench.home(0xa1)
    }
}

fn init() -> Body {
    InitTakeover::of(THIRD).into()
}

fn ack() -> Body {
    InitTakeoverAck::of(THIRD).into()
}

#[test]
fn everybody_is_asked_and_when_all_have_agreed_the_elements_are_ours() {
    let mut scope = Scope::new();
    let done = scope.initiate();
    for to in [scope.low, scope.high, scope.dead] {
        assert!(messages(&done).contains(&(to, init())));
    }
    scope.bench.say(scope.low, LOW, ack());
    assert_eq!(scope.home(), Some(THIRD));
    let done = scope.bench.say(scope.high, HIGH, ack());
    assert_eq!(scope.home(), Some(ME));
    let told = messages(&done);
    for to in [scope.low, scope.high] {
        assert!(told.contains(&(to, TakeoverServer::of(THIRD).into())));
    }
    assert!(events(&done).contains(&Event::TakenOver { target: THIRD, elements: 1 }));
    assert_eq!(connects(&done)[0].1, ControlProtocol::Asap, "the element is asked to agree");
    assert!(scope.bench.registrar.peers().all(|peer| peer.id != THIRD));
}

#[test]
fn a_target_that_is_heard_stops_the_takeover() {
    let mut scope = Scope::new();
    scope.initiate();
    scope.bench.say(scope.low, LOW, ack());
    let checksum = scope.bench.registrar.handlespace().checksum(THIRD).0;
    let done = scope.bench.say(scope.dead, THIRD, presence(THIRD, false, checksum));
    let abandoned = Event::TakeoverAbandoned { target: THIRD, why: Abandoned::TargetLives };
    assert!(events(&done).contains(&abandoned));
    scope.bench.say(scope.high, HIGH, ack());
    assert_eq!((scope.home(), scope.bench.refused(Refusal::Unasked)), (Some(THIRD), 1));
}

#[test]
fn of_two_initiators_one_gives_up_by_the_configured_rule() {
    for (arbitration, winner, loser) in
        [(Arbitration::HighestWins, HIGH, LOW), (Arbitration::LowestWins, LOW, HIGH)]
    {
        let mut scope = Scope::with(|config| config.arbitration = arbitration);
        scope.initiate();
        let connection = |scope: &Scope, id| if id == HIGH { scope.high } else { scope.low };
        let (from, other) = (connection(&scope, winner), connection(&scope, loser));
        let done = scope.bench.say(other, loser, init());
        assert_eq!(messages(&done), [], "who would lose is ignored");
        let done = scope.bench.say(from, winner, init());
        assert_eq!(messages(&done), [(from, ack())]);
        let why = Abandoned::Conceded(winner);
        assert!(events(&done).contains(&Event::TakeoverAbandoned { target: THIRD, why }));
        let done = scope.bench.say(from, winner, TakeoverServer::of(THIRD));
        assert_eq!(scope.home(), Some(winner));
        assert!(events(&done).contains(&Event::TakeoverLost { target: THIRD, to: winner }));
    }
}

#[test]
fn we_agree_only_when_the_target_is_silent_for_us_too() {
    let mut scope = Scope::new();
    let done = scope.bench.say(scope.high, HIGH, init());
    let asked = |(to, body): &(ConnectionId, Body)| {
        *to == scope.dead && matches!(body, Body::Presence(presence) if presence.reply_required)
    };
    assert!(messages(&done).iter().any(asked) && !messages(&done).contains(&(scope.high, ack())));
    let done = scope.pass(1_500);
    assert!(messages(&done).contains(&(scope.high, ack())), "it did not answer");
    assert!(!messages(&done).contains(&(scope.low, init())), "and we do not compete");
}

#[test]
fn a_target_that_answers_keeps_its_elements_and_its_taker_is_not_agreed_with() {
    let mut scope = Scope::new();
    scope.bench.say(scope.high, HIGH, init());
    let checksum = scope.bench.registrar.handlespace().checksum(THIRD).0;
    scope.bench.say(scope.dead, THIRD, presence(THIRD, false, checksum));
    let done = scope.pass(1_500);
    assert!(!messages(&done).contains(&(scope.high, ack())));
    scope.bench.say(scope.high, HIGH, TakeoverServer::of(THIRD));
    assert_eq!((scope.home(), scope.bench.refused(Refusal::Takeover)), (Some(THIRD), 1));
}

#[test]
fn a_takeover_server_of_somebody_else_than_whom_we_agreed_with_is_refused() {
    let mut scope = Scope::new();
    scope.bench.say(scope.high, HIGH, init());
    scope.pass(1_500);
    scope.bench.say(scope.low, LOW, TakeoverServer::of(THIRD));
    assert_eq!((scope.home(), scope.bench.refused(Refusal::Takeover)), (Some(THIRD), 1));
    scope.bench.say(scope.high, HIGH, TakeoverServer::of(THIRD));
    assert_eq!(scope.home(), Some(HIGH));
}

#[test]
fn a_taken_over_registrar_that_lives_says_so() {
    let mut scope = Scope::new();
    for message in [Body::from(InitTakeover::of(ME)), TakeoverServer::of(ME).into()] {
        let done = scope.bench.say(scope.high, HIGH, message);
        let told = messages(&done);
        for to in [scope.low, scope.high, scope.dead] {
            assert!(told.iter().any(|(at, body)| *at == to && matches!(body, Body::Presence(_))));
        }
    }
}

#[test]
fn a_peer_that_falls_silent_is_not_waited_for() {
    let mut scope = Scope::new();
    scope.initiate();
    scope.bench.say(scope.low, LOW, ack());
    // The other peer is dead as well, but it owned nothing.
    scope.bench.lose(scope.high);
    let done = scope.bench.pass_with(Duration::from_millis(1_200), &[(scope.low, LOW)]);
    assert!(events(&done).contains(&Event::PeerLost { peer: HIGH, elements: 0 }));
    assert_eq!(scope.home(), Some(ME));
}

#[test]
fn a_takeover_that_times_out_starts_again() {
    let mut scope = Scope::new();
    scope.initiate();
    scope.bench.say(scope.low, LOW, ack());
    let done = scope.pass(1_600);
    let why = Abandoned::NotAgreed(vec![HIGH]);
    assert!(events(&done).contains(&Event::TakeoverAbandoned { target: THIRD, why }));
    scope.bench.say(scope.high, HIGH, ack());
    assert_eq!(scope.home(), Some(THIRD), "too late");
    let done = scope.pass(2_500);
    assert!(messages(&done).contains(&(scope.high, init())));
    scope.bench.say(scope.low, LOW, ack());
    scope.bench.say(scope.high, HIGH, ack());
    assert_eq!(scope.home(), Some(ME));
}

#[test]
fn a_takeover_we_agreed_to_that_never_happens_is_begun_by_us() {
    let mut scope = Scope::new();
    scope.bench.say(scope.high, HIGH, init());
    let done = scope.pass(8_000);
    assert!(messages(&done).contains(&(scope.high, init())));
}

#[test]
fn a_new_home_is_learnt_by_its_update_alone() {
    let mut scope = Scope::new();
    scope.bench.say(scope.high, HIGH, init());
    scope.pass(1_500);
    scope.bench.say(scope.high, HIGH, add(element(0xa1, HIGH)));
    assert_eq!(scope.home(), Some(HIGH));
    assert!(scope.bench.registrar.peers().all(|peer| peer.id != THIRD), "nothing is left to take over");
    let done = scope.pass(8_000);
    assert!(!messages(&done).iter().any(|(_, body)| *body == init()));
}

#[test]
fn of_two_that_die_together_both_are_taken_over() {
    let mut bench = Bench::ready();
    let [low, dead, other] = [LOW, THIRD, HIGH].map(|id| bench.join(id));
    bench.say(dead, THIRD, add(element(0xa1, THIRD)));
    bench.say(other, HIGH, add(element(0xa2, HIGH)));
    let mut done = vec![];
    for _ in 0..12 {
        let more = bench.pass_with(Duration::from_millis(500), &[(low, LOW)]);
        for (to, body) in messages(&more) {
            if let (Body::InitTakeover(InitTakeover { target, .. }), true) = (body, to == low) {
                done.extend(bench.say(low, LOW, InitTakeoverAck::of(target)));
            }
        }
        done.extend(more);
    }
    for target in [THIRD, HIGH] {
        assert!(events(&done).contains(&Event::TakenOver { target, elements: 1 }));
    }
}

#[test]
fn what_the_taker_did_not_know_is_adopted_by_who_does() {
    let mut scope = Scope::new();
    scope.bench.say(scope.high, HIGH, init());
    scope.pass(1_500);
    scope.bench.say(scope.high, HIGH, TakeoverServer::of(THIRD));
    // The new home's table has not got it.
    let done = scope.bench.say(scope.high, HIGH, presence(HIGH, false, 0xffff));
    assert!(messages(&done).iter().any(|(_, body)| matches!(body, Body::HandleTableRequest(_))));
    let empty = wire::enrp::handle_table::HandleTableResponse::default();
    let done = scope.bench.say(scope.high, HIGH, empty);
    assert_eq!(scope.home(), Some(ME));
    assert_eq!(connects(&done)[0].1, ControlProtocol::Asap);
}

#[test]
fn a_registrar_that_was_stopped_meanwhile_does_not_take_over_by_what_was_agreed_before() {
    let mut scope = Scope::new();
    scope.initiate();
    scope.bench.now += Duration::from_secs(60);
    for (from, id) in [(scope.low, LOW), (scope.high, HIGH)] {
        scope.bench.say(from, id, ack());
    }
    assert_eq!(scope.home(), Some(THIRD));
    // It is asked again, and then taken over if it is dead indeed.
    let done = scope.pass(3_500);
    assert!(messages(&done).contains(&(scope.low, init())));
}
