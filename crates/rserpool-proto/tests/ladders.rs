//! Procedures between real machines in virtual time; the traces are goldens in `tests/golden`.

mod ladder;

use ladder::{World, least_used, pool};
use rserpool_proto::Profile;
use rserpool_proto::handlespace::Limits;
use rserpool_proto::pe::PoolElement;
use rserpool_proto::pu::{PoolUser, PoolUserConfig};
use rserpool_proto::wire::Load;

fn fast() -> World {
    World::new(Profile::FAST)
}

#[test]
fn an_element_registers_answers_keep_alives_and_registers_again() {
    let mut world = fast();
    let registrar = world.registrar(1);
    world.element(0xa1, &[1]);
    world.run(11.0);
    assert_eq!(world.registered(registrar), [0xa1]);
    world.assert_golden("registration");
}

#[test]
fn a_change_of_load_is_registered_at_once_and_changes_the_order() {
    let mut world = fast();
    world.registrar(1);
    let mut config = world.element_config(0xa1, &[1]);
    config.policy = least_used(0);
    let first = world.element_with(0xa1, config);
    let mut config = world.element_config(0xa2, &[1]);
    config.policy = least_used(u32::MAX / 2);
    world.element_with(0xa2, config);
    let user = world.user(1, &[1]);
    assert!(world.select(user).is_none());
    world.run(0.5);
    assert_eq!(world.select(user).unwrap().pe.0, 0xa1);
    world.with_element(first, |element, now| element.set_load(now, Load::of(90, 100)));
    world.run(0.1);
    world.with_user(user, PoolUser::resolve);
    world.run(0.1);
    assert_eq!(world.select(user).unwrap().pe.0, 0xa2);
    world.assert_golden("re-registration");
}

#[test]
fn a_registration_that_does_not_fit_the_pool_is_rejected_with_its_cause() {
    let mut world = fast();
    let limits = Limits { elements: 2, ..Limits::default() };
    let registrar = world.registrar_with(1, |config| config.limits = limits);
    world.element(0xa1, &[1]);
    world.run(0.1);
    let mut config = world.element_config(0xa2, &[1]);
    config.policy = least_used(0);
    let other = world.element_with(0xa2, config);
    world.run(0.1);
    world.element(0xa3, &[1]);
    world.run(0.1);
    world.element(0xa4, &[1]);
    world.run(0.1);
    assert_eq!(world.registered(registrar), [0xa1, 0xa3]);
    assert!(world.with_element(other, |element, _| !element.is_registered()));
    world.assert_golden("rejection");
}

#[test]
fn an_element_without_power_is_gone_within_3500_ms() {
    let mut world = fast();
    let registrar = world.registrar(1);
    let element = world.element(0xa1, &[1]);
    world.run(2.0);
    world.cut(element);
    world.run(3.5);
    assert_eq!(world.registered(registrar), []);
    world.assert_golden("keep-alive-loss");
}

#[test]
fn a_killed_element_is_suspect_at_once_and_gone_after_the_grace() {
    let mut world = fast();
    let registrar = world.registrar(1);
    let doomed = world.element(0xa1, &[1]);
    world.element(0xa2, &[1]);
    let user = world.user(1, &[1]);
    world.run(1.0);
    world.kill(doomed);
    world.run(0.4);
    world.with_user(user, PoolUser::resolve);
    world.run(0.1);
    // A suspect is not offered while others are up.
    assert_eq!(world.select(user).unwrap().pe.0, 0xa2);
    world.run(3.0);
    assert_eq!(world.registered(registrar), [0xa2]);
    world.assert_golden("killed-element");
}

#[test]
fn a_frozen_element_that_wakes_after_its_removal_registers_again_at_once() {
    let mut world = fast();
    let registrar = world.registrar(1);
    let element = world.element(0xa1, &[1]);
    world.run(1.0);
    world.freeze(element);
    world.run(4.0);
    assert_eq!(world.registered(registrar), []);
    world.thaw(element);
    world.run(0.1);
    assert_eq!(world.registered(registrar), [0xa1]);
    world.assert_golden("frozen-element");
}

#[test]
fn deregistration_empties_the_pool_and_closes_the_connection() {
    let mut world = fast();
    let registrar = world.registrar(1);
    let element = world.element(0xa1, &[1]);
    let user = world.user(1, &[1]);
    world.run(0.5);
    world.select(user);
    world.run(0.1);
    world.with_element(element, PoolElement::deregister);
    world.run(0.1);
    assert_eq!(world.registered(registrar), []);
    assert!(world.with_element(element, |element, now| {
        element.deregister(now);
        element.poll_timeout().is_none()
    }));
    world.assert_golden("deregistration");
}

#[test]
fn resolution_gives_elements_in_turn() {
    let mut world = fast();
    world.registrar(1);
    for pe in [0xa1, 0xa2, 0xa3] {
        world.element(pe, &[1]);
    }
    world.run(0.1);
    let config = PoolUserConfig {
        pool: pool(),
        registrars: world.element_config(1, &[1]).registrars,
        items: Some(2),
        updates: false,
        profile: Profile::FAST,
    };
    let user = world.user_with(1, config);
    for _ in 0..4 {
        world.with_user(user, PoolUser::resolve);
        world.run(0.1);
        world.select(user);
    }
    world.assert_golden("resolution");
}

#[test]
fn an_unknown_pool_is_told_once_and_found_when_it_appears() {
    let mut world = fast();
    world.registrar(1);
    let user = world.user(1, &[1]);
    assert!(world.select(user).is_none());
    world.run(3.0);
    world.element(0xa1, &[1]);
    world.run(3.0);
    assert_eq!(world.select(user).unwrap().pe.0, 0xa1);
    assert_eq!(world.trace.matches("PoolUnknown").count(), 1);
    world.assert_golden("unknown-pool");
}

#[test]
fn a_report_of_a_dead_element_finds_it_out_and_the_other_is_used() {
    let mut world = fast();
    let registrar = world.registrar(1);
    let dead = world.element(0xa1, &[1]);
    world.element(0xa2, &[1]);
    let user = world.user(1, &[1]);
    world.run(1.0);
    world.select(user);
    world.run(0.1);
    assert_eq!(world.select(user).unwrap().pe.0, 0xa1);
    world.cut(dead);
    assert!(world.report(user, 0xa1));
    assert!(!world.report(user, 0xa1), "a failure is reported once");
    assert_eq!(world.select(user).unwrap().pe.0, 0xa2);
    assert_eq!(world.select(user).unwrap().pe.0, 0xa2);
    world.run(3.0);
    assert_eq!(world.registered(registrar), [0xa2]);
    world.assert_golden("report-dead");
}

#[test]
fn a_living_element_is_never_removed_by_reports() {
    let mut world = fast();
    let registrar = world.registrar(1);
    world.element(0xa1, &[1]);
    let users: Vec<_> = (1..=5).map(|number| world.user(number, &[1])).collect();
    for &user in &users {
        world.select(user);
    }
    world.run(0.5);
    for &user in &users {
        world.select(user);
        world.report(user, 0xa1);
    }
    // The only element is in quarantine: the caller keeps what it has.
    assert!(world.select(users[0]).is_none());
    world.run(2.0);
    assert_eq!(world.registered(registrar), [0xa1]);
    assert!(!world.trace.contains("ElementSuspect"));
    world.assert_golden("report-living");
}

#[test]
fn a_lost_registrar_is_replaced_and_the_element_keeps_its_identifier() {
    let mut world = fast();
    let first = world.registrar(1);
    world.run(0.001);
    let element = world.element(0xa1, &[1, 2]);
    let user = world.user(1, &[1, 2]);
    world.select(user);
    world.run(1.0);
    let second = world.registrar(2);
    world.kill(first);
    world.run(1.0);
    assert_eq!(world.registered(second), [0xa1]);
    assert_eq!(world.with_element(element, |element, _| element.pe().0), 0xa1);
    assert_eq!(world.select(user).unwrap().pe.0, 0xa1);
    world.assert_golden("registrar-lost-and-found");
}

#[test]
fn without_any_registrar_the_cache_is_offered_as_stale() {
    let mut world = fast();
    let registrar = world.registrar(1);
    world.element(0xa1, &[1]);
    let user = world.user(1, &[1]);
    world.select(user);
    world.run(1.0);
    assert!(!world.select(user).unwrap().stale);
    world.kill(registrar);
    world.run(20.0);
    assert!(world.select(user).unwrap().stale);
    // Both hunt, in growing distances, and tell it once.
    assert_eq!(world.trace.matches("RegistrarLost").count(), 2);
    assert_eq!(world.trace.matches("NoRegistrar").count(), 2);
}

#[test]
fn a_registrar_stopped_for_10_s_loses_nobody() {
    let mut world = fast();
    let registrar = world.registrar(1);
    for pe in [0xa1, 0xa2, 0xa3] {
        world.element(pe, &[1]);
    }
    let user = world.user(1, &[1]);
    world.run(1.5);
    world.freeze(registrar);
    for _ in 0..10 {
        world.run(1.0);
        world.select(user);
    }
    world.thaw(registrar);
    world.run(10.0);
    assert_eq!(world.registered(registrar), [0xa1, 0xa2, 0xa3]);
    assert!(!world.trace.contains("ElementRemoved"));
    world.with_user(user, PoolUser::resolve);
    world.run(0.1);
    assert!(world.select(user).is_some_and(|selected| !selected.stale));
    world.assert_golden("registrar-stopped");
}

#[test]
fn who_asked_for_updates_learns_of_a_dead_element_without_asking() {
    let mut world = fast();
    world.registrar(1);
    let doomed = world.element(0xa1, &[1]);
    world.element(0xa2, &[1]);
    world.run(0.1);
    let config = PoolUserConfig {
        pool: pool(),
        registrars: world.element_config(1, &[1]).registrars,
        items: Some(16),
        updates: true,
        profile: Profile::FAST,
    };
    let user = world.user_with(1, config);
    world.with_user(user, PoolUser::resolve);
    world.run(1.0);
    world.kill(doomed);
    world.run(0.5);
    assert_eq!(world.with_user(user, |user, _| user.elements().count()), 1);
    assert_eq!(world.trace.matches("ASAP_HANDLE_RESOLUTION ").count(), 1);
    world.assert_golden("updates");
}

#[test]
fn however_long_a_registrar_is_stopped_no_living_element_is_removed() {
    for milliseconds in (100..12_000).step_by(370).chain([20_000, 33_000, 61_000]) {
        let mut world = fast();
        let registrar = world.registrar(1);
        for pe in 0xa1..=0xa8 {
            world.element(pe, &[1]);
        }
        world.run(f64::from(milliseconds % 4_000) / 1_000.0 + 1.0);
        world.freeze(registrar);
        world.run(f64::from(milliseconds) / 1_000.0);
        world.thaw(registrar);
        world.run(20.0);
        assert_eq!(world.registered(registrar).len(), 8, "stopped for {milliseconds} ms");
        assert!(!world.trace.contains("ElementRemoved"), "{}", world.trace);
    }
}

#[test]
fn an_element_stopped_for_less_than_two_timeouts_is_never_removed() {
    for step in 0..60 {
        let mut world = fast();
        let registrar = world.registrar(1);
        let element = world.element(0xa1, &[1]);
        world.run(1.0 + f64::from(step) * 0.05);
        world.freeze(element);
        world.run(0.89);
        world.thaw(element);
        world.run(5.0);
        assert_eq!(world.registered(registrar), [0xa1]);
        assert!(!world.trace.contains("ElementRemoved"), "{}", world.trace);
    }
}

#[test]
fn a_dead_element_is_gone_within_3500_ms_whenever_it_dies() {
    for step in 0..60 {
        let mut world = fast();
        let registrar = world.registrar(1);
        let element = world.element(0xa1, &[1]);
        world.run(1.0 + f64::from(step) * 0.05);
        if step % 2 == 0 {
            world.cut(element);
        } else {
            world.kill(element);
        }
        world.run(3.5);
        assert_eq!(world.registered(registrar), [], "{}", world.trace);
    }
}
