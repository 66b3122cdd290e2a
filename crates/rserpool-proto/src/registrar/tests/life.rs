//! Registrars and elements that count the registration life in different units (RFC 5354 section 3.10).

use std::time::Duration;

use super::super::life::MILLISECONDS_FROM;
use super::*;

/// What becomes of an element with this life at a registrar of the reference implementation's profile; keep-alives
/// are answered. Returns whether it is there after `time`.
fn lives(life: u32, time: Duration) -> (bool, u64) {
    let config = RegistrarConfig { profile: Profile::RSPLIB, ..RegistrarConfig::default() };
    let mut bench = Bench::new(config);
    let answer =
        bench.register(FIRST, PoolElementParameter { life: RegistrationLife(life), ..element(&[HERE]) });
    assert!(!answer.rejected);
    let end = bench.now + time;
    while bench.now < end {
        bench.now += Duration::from_millis(500);
        bench.registrar.handle_timeout(bench.now);
        let asked = |(_, message): &(ConnectionId, Message)| matches!(message, Message::EndpointKeepAlive(_));
        if bench.drain().iter().any(asked) {
            bench.ack(FIRST);
        }
    }
    (bench.registrar.element(&(pool(), PE)).is_some(), bench.registrar.counters().lives_in_seconds)
}

#[test]
fn a_life_too_short_for_milliseconds_is_in_seconds_and_counted() {
    for seconds in [30, 300, 3_600] {
        let life = Duration::from_secs(seconds.into());
        assert_eq!(lives(seconds, life - Duration::from_secs(2)), (true, 1), "{seconds} s");
        assert_eq!(lives(seconds, life + Duration::from_secs(2)), (false, 1), "{seconds} s");
    }
}

#[test]
fn a_life_from_the_boundary_on_is_in_milliseconds() {
    for (life, time) in [(MILLISECONDS_FROM, 5), (90_000, 90)] {
        assert_eq!(lives(life, Duration::from_secs(time - 2)), (true, 0), "{life}");
        assert_eq!(lives(life, Duration::from_secs(time + 2)), (false, 0), "{life}");
    }
    let below = MILLISECONDS_FROM - 1;
    assert_eq!(lives(below, Duration::from_secs(60)), (true, 1));
}

#[test]
fn pool_users_are_told_milliseconds_whatever_the_element_said() {
    let config = RegistrarConfig { profile: Profile::RSPLIB, ..RegistrarConfig::default() };
    let mut bench = Bench::new(config);
    bench.register(FIRST, PoolElementParameter { life: RegistrationLife(300), ..element(&[HERE]) });
    let told = bench.registrar.element(&(pool(), PE)).unwrap().life;
    assert_eq!(told, RegistrationLife(300_000));
}

#[test]
fn a_registrar_that_counts_seconds_leaves_lives_alone() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    assert_eq!(bench.registrar.element(&(pool(), PE)).unwrap().life, RegistrationLife(30));
    assert_eq!(bench.registrar.counters().lives_in_seconds, 0);
}
