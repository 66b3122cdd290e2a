use rserpool::{Load, Policy};

use super::*;

const A: PeId = PeId(0xa);
const B: PeId = PeId(0xb);
const C: PeId = PeId(0xc);

#[expect(clippy::disallowed_methods, reason = "tests need some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A choice and what it says, in short.
struct Case {
    choice: Choice,
    now: Instant,
    news: u64,
}

impl Case {
    fn new(config: ChoiceConfig, seed: u64) -> Self {
        Self { choice: Choice::new(config, seed), now: start(), news: 0 }
    }

    /// With a standby, in a pool of these; the first is in use, the second stands by, if there are two.
    fn in_use(elements: &[PeId]) -> Self {
        let mut case = Self::new(ChoiceConfig { standby: true, rebalance: true }, 1);
        assert_eq!(case.told(), ["seek except []"]);
        case.pool(elements);
        case.connected(elements[0]);
        if let Some(&second) = elements.get(1) {
            assert_eq!(case.told(), ["admit", "promote", &format!("seek except [{}]", elements[0])]);
            case.connected(second);
            assert_eq!(case.told(), ["admit"]);
        } else {
            assert_eq!(case.told(), ["admit", "promote"]);
        }
        case
    }

    fn pool(&mut self, usable: &[PeId]) {
        self.pool_with(usable.iter().map(|&pe| (pe, true, Policy::RoundRobin)));
    }

    fn loads(&mut self, loads: &[(PeId, u64)]) {
        let policy = |per_cent| Policy::LeastUsed { load: Load::of(per_cent, 100) };
        self.pool_with(loads.iter().map(|&(pe, per_cent)| (pe, true, policy(per_cent))));
    }

    fn pool_with(&mut self, members: impl IntoIterator<Item = (PeId, bool, Policy)>) {
        self.news += 1;
        let members = members.into_iter().map(|(pe, usable, policy)| Member { pe, policy, usable });
        self.choice.handle_pool(self.now, self.news, &members.collect::<Vec<_>>());
    }

    fn connected(&mut self, pe: PeId) {
        self.choice.handle_connecting(self.now, pe);
        self.choice.handle_connected(self.now, pe, true);
    }

    fn connecting(&mut self, pe: PeId) {
        self.choice.handle_connecting(self.now, pe);
    }

    fn quiet(&mut self, role: Role, quiet: bool) {
        self.choice.handle_quiet(self.now, role, quiet);
    }

    fn sign(&mut self, role: Role, sign: Sign) {
        self.choice.handle_sign(self.now, role, sign);
    }

    fn cookie(&mut self, role: Role, state: State, covered: bool) {
        self.choice.handle_cookie(self.now, role, state, covered);
    }

    /// Time passes, with everything that is due by then.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.choice.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.choice.handle_timeout(self.now);
        }
        self.now = until;
    }

    fn told(&mut self) -> Vec<String> {
        let outputs = std::iter::from_fn(|| self.choice.poll_output());
        let text = |output| match output {
            Output::Seek { except } => {
                let except: Vec<String> = except.iter().map(ToString::to_string).collect();
                format!("seek except [{}]", except.join(" "))
            }
            Output::SeekElement(pe) => format!("seek {pe}"),
            Output::Admit => "admit".into(),
            Output::Pause => "pause".into(),
            Output::Resume => "resume".into(),
            Output::Leave { role, sign } => format!("leave {role:?} {}", sign.label()),
            Output::Promote => "promote".into(),
            Output::Resolve => "resolve".into(),
        };
        outputs.map(text).collect()
    }
}

#[test]
fn the_first_collector_is_used_and_the_second_stands_by() {
    let mut case = Case::in_use(&[A, B]);
    case.pass(seconds(50));
    assert_eq!(case.told(), [""; 0], "and that is all");
}

#[test]
fn a_standby_is_promoted_at_once_when_the_collector_in_use_is_lost_and_another_one_sought() {
    for sign in [Sign::Lost, Sign::Shutdown, Sign::Frozen, Sign::Unusable] {
        let mut case = Case::in_use(&[A, B, C]);
        case.sign(Role::Active, sign);
        let left = format!("leave Active {}", sign.label());
        assert_eq!(case.told(), [&*left, "promote", "seek except [0000000b]"]);
        case.connected(C);
        assert_eq!(case.told(), ["admit"]);
    }
}

#[test]
fn without_a_collector_another_element_is_tried_beside_one_that_does_not_answer() {
    let mut case = Case::in_use(&[A, B, C]);
    case.sign(Role::Standby, Sign::Lost);
    assert_eq!(case.told(), ["leave Standby comm_lost", "seek except [0000000a]"]);
    case.connecting(B);
    case.pass(seconds(1));
    assert_eq!(case.told(), [""; 0], "the one in use serves");
    case.sign(Role::Active, Sign::Lost);
    assert_eq!(case.told(), ["leave Active comm_lost", "seek except [0000000b]"], "at once");
    case.connecting(C);
    case.pass(seconds(1));
    assert_eq!(case.told(), ["seek except [0000000b 0000000c]"], "after a quarter of a second");
    case.choice.handle_nobody(case.now);
    case.pass(seconds(1));
    assert_eq!(case.told(), [""; 0], "both are awaited");
    case.choice.handle_not_connected(case.now, B);
    assert_eq!(case.told(), ["seek except [0000000c]"]);
    case.choice.handle_nobody(case.now);
    case.choice.handle_connected(case.now, C, true);
    assert_eq!(case.told(), ["admit", "promote", "seek except [0000000c]"]);
}

#[test]
fn the_pool_is_asked_again_when_nobody_was_reached() {
    let mut case = Case::new(ChoiceConfig { standby: true, rebalance: true }, 1);
    case.pool(&[A, B, C]);
    assert_eq!(case.told(), ["seek except []"]);
    for pe in [A, B, C] {
        case.connecting(pe);
        case.pass(Duration::from_millis(250));
    }
    assert_eq!(case.told(), ["seek except [0000000a]", "seek except [0000000a 0000000b]"], "three at most");
    for pe in [A, B] {
        case.choice.handle_not_connected(case.now, pe);
        case.told();
        case.choice.handle_nobody(case.now);
    }
    case.choice.handle_not_connected(case.now, C);
    assert_eq!(case.told(), ["seek except []"]);
}

#[test]
fn a_promoted_collector_that_is_quiet_is_left_for_one_that_is_not_until_it_has_sent_a_cookie() {
    let mut case = Case::in_use(&[A, B, C]);
    case.cookie(Role::Active, State::Ok, false);
    assert!(!case.choice.is_in_doubt());
    case.sign(Role::Active, Sign::Lost);
    assert_eq!(case.told(), ["leave Active comm_lost", "promote", "seek except [0000000b]"]);
    assert!(case.choice.is_in_doubt() && case.choice.poll_timeout() == Some(case.now));
    case.quiet(Role::Active, true);
    assert_eq!(case.told(), [""; 0], "there is no other");
    case.connected(C);
    assert_eq!(case.told(), ["admit", "leave Active comm_lost", "promote", "seek except [0000000c]"]);

    case.connected(A);
    assert_eq!(case.told(), ["admit"]);
    case.quiet(Role::Standby, true);
    case.quiet(Role::Active, true);
    assert_eq!(case.told(), [""; 0], "the other one is no better");
    case.quiet(Role::Active, false);
    case.quiet(Role::Standby, false);
    case.cookie(Role::Active, State::Ok, false);
    case.quiet(Role::Active, true);
    assert_eq!(case.told(), [""; 0], "it has shown that it serves");
}

#[test]
fn a_promoted_collector_that_says_nothing_is_doubted_for_five_seconds() {
    let mut case = Case::in_use(&[A, B]);
    case.pass(Duration::from_millis(4_900));
    assert!(case.choice.is_in_doubt());
    case.pass(Duration::from_millis(200));
    assert!(!case.choice.is_in_doubt());
}

#[test]
fn a_standby_that_is_lost_is_replaced_if_the_pool_has_another() {
    let mut case = Case::in_use(&[A, B, C]);
    case.sign(Role::Standby, Sign::Lost);
    assert_eq!(case.told(), ["leave Standby comm_lost", "seek except [0000000a]"]);
    case.choice.handle_nobody(case.now);
    assert_eq!(case.told(), [""; 0]);
    case.pass(seconds(30));
    assert_eq!(case.told(), ["seek except [0000000a]"], "from time to time");
    case.choice.handle_nobody(case.now);
    case.pool(&[A, B, C]);
    assert_eq!(case.told(), [""; 0], "nothing has changed");
    case.pool(&[A, C]);
    assert_eq!(case.told(), ["seek except [0000000a]"], "and when the pool changes");
}

#[test]
fn with_one_usable_element_nobody_stands_by_until_another_can_be_used() {
    let mut case = Case::in_use(&[A]);
    case.pass(seconds(100));
    case.pool_with([(A, true, Policy::RoundRobin), (B, false, Policy::RoundRobin)]);
    assert_eq!(case.told(), [""; 0], "it is in quarantine");
    case.pool(&[A, B]);
    assert_eq!(case.told(), ["seek except [0000000a]"]);
}

#[test]
fn without_a_collector_the_pool_is_asked_again_soon_and_whenever_there_is_news() {
    let mut case = Case::in_use(&[A]);
    case.sign(Role::Active, Sign::Lost);
    assert_eq!(case.told(), ["leave Active comm_lost", "seek except []"]);
    case.choice.handle_not_connected(case.now, B);
    assert_eq!(case.told(), ["seek except []"]);
    case.choice.handle_nobody(case.now);
    case.pass(seconds(1));
    assert_eq!(case.told(), ["seek except []"]);
    case.choice.handle_nobody(case.now);
    case.pool(&[A]);
    assert_eq!(case.told(), ["seek except []"]);
}

#[test]
fn a_draining_collector_is_left_for_the_standby_once_it_has_everything() {
    let mut case = Case::in_use(&[A, B]);
    case.cookie(Role::Active, State::Draining, false);
    assert_eq!(case.told(), ["pause"]);
    case.cookie(Role::Active, State::Draining, true);
    assert_eq!(case.told(), [""; 0], "it repeats it");
    assert!(case.choice.is_settling());
    case.choice.handle_settled(case.now);
    case.pool(&[B]);
    assert_eq!(case.told(), ["leave Active draining", "promote", "seek except [0000000b]"]);
}

#[test]
fn what_is_on_its_way_to_a_draining_collector_is_waited_for_five_seconds_and_two_without_progress() {
    let mut case = Case::in_use(&[A, B]);
    case.cookie(Role::Active, State::Draining, false);
    assert_eq!(case.told(), ["pause"]);
    for _ in 0..4 {
        case.pass(Duration::from_millis(1_200));
        case.cookie(Role::Active, State::Draining, true);
    }
    case.pass(Duration::from_millis(199));
    assert_eq!(case.told(), [""; 0]);
    case.pass(Duration::from_millis(1));
    assert_eq!(case.told()[..2], ["leave Active draining", "promote"]);

    let mut case = Case::in_use(&[A, B]);
    case.cookie(Role::Active, State::Draining, false);
    case.pass(Duration::from_millis(1_000));
    case.cookie(Role::Active, State::Draining, false);
    case.pass(Duration::from_millis(999));
    assert_eq!(case.told(), ["pause"]);
    case.pass(Duration::from_millis(1));
    assert_eq!(case.told()[..2], ["leave Active draining", "promote"], "its disk may be full");
}

#[test]
fn a_draining_collector_that_says_no_more_has_not_failed() {
    let mut case = Case::in_use(&[A, B]);
    case.cookie(Role::Active, State::Draining, false);
    case.sign(Role::Active, Sign::Frozen);
    assert_eq!(case.told()[..3], ["pause", "leave Active draining", "promote"]);
}

#[test]
fn a_draining_collector_is_used_while_there_is_no_other() {
    let mut case = Case::in_use(&[A]);
    case.cookie(Role::Active, State::Draining, true);
    case.pass(seconds(100));
    assert_eq!(case.told(), [""; 0]);
    case.pool(&[A, B]);
    assert_eq!(case.told(), ["seek except [0000000a]"], "the other is connected first");
    case.connected(B);
    assert_eq!(case.told(), ["admit", "pause"]);
}

#[test]
fn a_standby_that_is_lost_while_the_other_one_drains_lets_that_be_used_on() {
    let mut case = Case::in_use(&[A, B]);
    case.cookie(Role::Active, State::Draining, false);
    case.sign(Role::Standby, Sign::Lost);
    assert_eq!(case.told(), ["pause", "resume", "leave Standby comm_lost", "seek except [0000000a]"]);
    case.pass(seconds(10));
    assert_eq!(case.told(), [""; 0]);
    case.connected(C);
    assert_eq!(case.told(), ["admit", "pause"]);
    case.sign(Role::Active, Sign::Shutdown);
    assert_eq!(case.told()[..2], ["leave Active shutdown", "promote"], "it does not wait");
}

#[test]
fn without_a_standby_a_draining_collector_is_left_for_one_that_is_connected_then() {
    let mut case = Case::new(ChoiceConfig { standby: false, rebalance: true }, 1);
    case.pool(&[A, B]);
    case.connected(A);
    assert_eq!(case.told(), ["seek except []", "admit", "promote"]);
    case.cookie(Role::Active, State::Draining, false);
    assert_eq!(case.told(), ["seek except [0000000a]"]);
    case.connected(B);
    assert_eq!(case.told(), ["admit", "pause"]);
    case.choice.handle_settled(case.now);
    assert_eq!(case.told(), ["leave Active draining", "promote"]);
}

#[test]
fn a_collector_without_progress_is_left_once_in_thirty_seconds_and_not_for_one_known_to_be_slow() {
    let mut case = Case::in_use(&[A, B, C]);
    case.sign(Role::Active, Sign::Slow);
    assert_eq!(case.told(), ["leave Active slow", "promote", "seek except [0000000b]"]);
    case.connected(C);
    case.told();
    case.pass(seconds(29));
    case.sign(Role::Active, Sign::Slow);
    assert_eq!(case.told(), [""; 0], "too soon");
    case.pass(seconds(1));
    case.cookie(Role::Standby, State::Slow, false);
    case.sign(Role::Active, Sign::Slow);
    assert_eq!(case.told(), [""; 0], "all are slow");
    assert!(!case.choice.is_moving());
    case.cookie(Role::Standby, State::Ok, false);
    case.sign(Role::Active, Sign::Slow);
    assert_eq!(case.told()[..2], ["leave Active slow", "promote"]);
}

#[test]
fn who_made_no_progress_and_stands_by_is_slow_whatever_it_says_without_records() {
    let mut case = Case::in_use(&[A, B]);
    case.sign(Role::Active, Sign::Slow);
    case.connected(A);
    case.told();
    case.cookie(Role::Standby, State::Ok, false);
    case.pass(seconds(60));
    case.sign(Role::Active, Sign::Slow);
    assert_eq!(case.told(), [""; 0]);
    case.sign(Role::Active, Sign::Lost);
    assert_eq!(case.told()[..2], ["leave Active comm_lost", "promote"], "but better than none");
}

#[test]
fn a_slow_collector_with_a_slow_standby_is_left_for_a_third_one_unless_it_goes_on_meanwhile() {
    let mut case = Case::in_use(&[A, B, C]);
    case.cookie(Role::Standby, State::Slow, false);
    case.sign(Role::Active, Sign::Slow);
    assert_eq!(case.told(), ["seek except [0000000a 0000000b 0000000a 0000000b]"]);
    case.cookie(Role::Active, State::Ok, true);
    assert!(!case.choice.is_moving());
    case.choice.handle_not_connected(case.now, B);
    case.sign(Role::Active, Sign::Slow);
    case.told();
    case.connected(C);
    let told = ["leave Standby rebalance", "admit", "leave Active slow", "promote"];
    assert_eq!(case.told()[..4], told);
}

#[test]
fn a_lighter_collector_is_moved_to_after_a_second_look_that_says_the_same() {
    let mut case = Case::in_use(&[A, B, C]);
    case.loads(&[(A, 60), (B, 50), (C, 41)]);
    case.pass(seconds(100));
    assert!(case.told().iter().all(|told| told == "resolve"), "less than a fifth is not enough");
    case.loads(&[(A, 60), (B, 50), (C, 10)]);
    let (mut asked, mut waited) = (0, 0);
    while !case.choice.is_moving() {
        assert!(waited < 200, "it moves");
        case.pass(seconds(1));
        waited += 1;
        let told = case.told();
        assert!(told.iter().all(|told| told == "resolve"), "{told:?}");
        asked += told.len();
        if !told.is_empty() {
            case.loads(&[(A, 60), (B, 50), (C, 10)]);
        }
    }
    assert!(waited >= 10 && asked >= 1, "after {waited} s");
    assert_eq!(case.told(), ["seek 0000000c"]);
    case.connected(C);
    assert_eq!(case.told(), ["leave Standby rebalance", "admit", "pause"]);
    case.choice.handle_settled(case.now);
    assert_eq!(case.told()[..2], ["leave Active rebalance", "promote"]);
    case.loads(&[(A, 10), (B, 50), (C, 60)]);
    case.pass(seconds(59));
    case.loads(&[(A, 10), (B, 50), (C, 60)]);
    assert!(!case.choice.is_moving(), "a minute at least");
}

#[test]
fn an_exporter_whose_load_comes_along_moves_once_an_hour_at_most() {
    let mut case = Case::new(ChoiceConfig { standby: false, rebalance: true }, 1);
    case.pool(&[A, B]);
    case.connected(A);
    let mut used = A;
    let mut moves = 0;
    for _ in 0..3_600 / 10 {
        case.loads(&[A, B].map(|pe| (pe, if pe == used { 60 } else { 0 })));
        case.pass(seconds(10));
        if case.told().iter().any(|told| told.starts_with("seek 0")) {
            moves += 1;
            used = if used == A { B } else { A };
            case.connected(used);
            case.choice.handle_settled(case.now);
        }
    }
    assert_eq!(moves, 1);
}

#[test]
fn a_difference_of_loads_that_passes_moves_nobody() {
    let mut case = Case::in_use(&[A, B]);
    for _ in 0..50 {
        case.loads(&[(A, 60), (B, 10)]);
        case.pass(seconds(9));
        case.loads(&[(A, 30), (B, 30)]);
        case.pass(seconds(9));
    }
    assert!(case.told().iter().all(|told| told == "resolve"));
}

#[test]
fn a_collector_that_joins_gets_its_share_of_exporters() {
    let mut moved = 0;
    for seed in 0..300 {
        let mut case = Case::new(ChoiceConfig { standby: false, rebalance: true }, seed);
        case.pool(&[A, B]);
        case.connected(A);
        case.pool(&[A, B]);
        case.pass(seconds(100));
        case.pool(&[A, B, C]);
        case.told();
        case.pass(seconds(10));
        assert_eq!(case.told(), [""; 0], "not at once");
        case.pass(seconds(120));
        let told = case.told();
        moved += usize::from(!told.is_empty());
        assert!(told.is_empty() || told == ["seek 0000000c"]);
    }
    assert!((70..130).contains(&moved), "{moved} of 300 move to the third of three");
}

#[test]
fn a_collector_that_was_away_for_a_moment_does_not_join() {
    for seed in 0..50 {
        let mut case = Case::new(ChoiceConfig { standby: false, rebalance: true }, seed);
        case.pool(&[A, B]);
        case.connected(A);
        case.pool(&[A, B]);
        case.pass(seconds(1_000));
        case.pool(&[A]);
        case.pass(seconds(59));
        case.pool(&[A, B]);
        case.pass(seconds(300));
        assert_eq!(case.told(), ["seek except []", "admit", "promote"]);
    }
}

#[test]
fn a_registrar_that_begins_anew_moves_nobody_by_forgetting() {
    let mut case = Case::in_use(&[A, B]);
    case.pool(&[A, B]);
    for _ in 0..20 {
        case.pool(&[]);
        case.pool(&[B]);
        case.pool(&[A, B]);
        case.pass(seconds(20));
    }
    assert_eq!(case.told(), [""; 0]);
}

#[test]
fn a_collector_without_cookies_is_not_left_for_a_better_one() {
    let mut case = Case::new(ChoiceConfig { standby: false, rebalance: true }, 1);
    case.pool(&[A, B]);
    case.choice.handle_connected(case.now, A, false);
    for _ in 0..30 {
        case.loads(&[(A, 90), (B, 10)]);
        case.pass(seconds(20));
    }
    assert_eq!(case.told(), ["seek except []", "admit", "promote"]);
}
