//! The times that are promised in profile `fast`, measured over many moments of failure.

use std::collections::BTreeSet;
use std::time::Duration;

use rserpool_proto::PeId;
use rserpool_proto::pu::PoolUser;
use rserpool_proto::registrar::{Event, PeerState};
use rserpool_proto::wire::{Load, Policy};

use crate::world::{Node, Options, Told, World, pool};
use crate::{milliseconds, seconds};

/// A dead element is gone from every registrar.
const GONE: Duration = Duration::from_millis(3_500);
/// A dead registrar is taken over.
const TAKEN_OVER: Duration = Duration::from_secs(6);
const SEEDS: u64 = 100;

struct Scope {
    world: World,
    registrars: Vec<Node>,
    elements: Vec<Node>,
    users: Vec<Node>,
}

/// Three registrars, two elements at each, a user at each of the last two; at some moment.
fn scope(seed: u64) -> Scope {
    let mut options = Options { seed, ..Options::default() };
    options.link.delay = milliseconds(1 + seed % 30);
    options.link.jitter = milliseconds(seed % 7);
    options.transport_timeout = (!seed.is_multiple_of(3)).then(|| milliseconds(2_000));
    let mut world = World::new(options);
    let all = [1, 2, 3];
    let registrars = all.map(|number| {
        let config = world.registrar_config(number, &all);
        world.add_registrar(number, config)
    });
    world.run(seconds(3));
    let elements = (0..6).map(|number| {
        let mut home: Vec<u8> = all.to_vec();
        home.rotate_left(usize::from(number) % 3);
        // Who knows one registrar only cannot register elsewhere by himself.
        let known = if number < 3 { 1 } else { 3 };
        let config = world.element_config(0xa1 + number, &home[..known]);
        world.add_element(0xa1 + number, config)
    });
    let elements = elements.collect();
    let users = vec![world.add_user(1, &[2]), world.add_user(2, &[3])];
    for &user in &users {
        world.with_user(user, PoolUser::resolve);
    }
    world.run(seconds(4));
    let moment = world.random.between(Duration::ZERO, seconds(3));
    world.run(moment);
    Scope { world, registrars: registrars.to_vec(), elements, users }
}

impl Scope {
    fn known(&self, registrar: Node) -> BTreeSet<PeId> {
        let space = self.world.registrar(registrar).handlespace();
        space.pools().flat_map(|(_, pool)| pool.ids().collect::<Vec<_>>()).collect()
    }

    fn everybody(&self) -> BTreeSet<PeId> {
        self.elements.iter().map(|node| self.world.element(*node).pe()).collect()
    }
}

#[test]
fn a_connection_lost_between_distant_registrars_is_no_death() {
    let mut options = Options::default();
    options.link.delay = milliseconds(300);
    let mut world = World::new(options);
    let registrars = [1, 2].map(|number| {
        let config = world.registrar_config(number, &[1, 2]);
        world.add_registrar(number, config)
    });
    world.run(seconds(6));
    let config = world.element_config(0xa1, &[1]);
    world.add_element(0xa1, config);
    world.run(seconds(4));
    world.begin_ladder();
    world.disconnect_all(registrars[0], registrars[1]);
    world.run(seconds(10));
    assert!(!world.ladder().contains("PeerLost"), "{}", world.ladder());
}

#[test]
fn a_registrar_that_wakes_finds_nobody_dead() {
    for step in 0..200 {
        let mut options = Options { transport_timeout: Some(milliseconds(2_000)), ..Options::default() };
        options.seed = step;
        options.link.delay = milliseconds(200);
        options.link.loss = 5;
        let mut world = World::new(options);
        let registrars = [1, 2, 3].map(|number| {
            let config = world.registrar_config(number, &[1, 2, 3]);
            world.add_registrar(number, config)
        });
        world.run(seconds(4));
        for pe in [1, 2, 3] {
            let config = world.element_config(0xa0 + pe, &[pe]);
            world.add_element(0xa0 + pe, config);
        }
        world.run(seconds(4));
        world.freeze(registrars[0]);
        world.run(milliseconds(1_000 + 60 * step));
        world.begin_ladder();
        world.told.clear();
        world.thaw(registrars[0]);
        world.run(seconds(10));
        let dead = |(_, node, told): &(_, Node, Told)| {
            let dead = matches!(told, Told::Registrar(Event::PeerLost { .. } | Event::TakenOver { .. }));
            *node == registrars[0] && dead
        };
        assert!(!world.told.iter().any(dead), "step {step}\n{}", world.ladder());
    }
}

#[test]
fn a_dead_element_is_gone_from_every_registrar_within_3500_ms() {
    let mut longest = Duration::ZERO;
    for seed in 0..SEEDS {
        let mut scope = scope(seed);
        assert!(scope.registrars.iter().all(|node| scope.known(*node) == scope.everybody()), "seed {seed}");
        let dead = scope.elements[usize::try_from(seed % 6).unwrap()];
        let pe = scope.world.element(dead).pe();
        match seed % 2 {
            0 => scope.world.power_off(dead),
            _ => scope.world.kill(dead),
        }
        let died = scope.world.elapsed();
        while scope.registrars.iter().any(|node| scope.known(*node).contains(&pe)) {
            scope.world.run(milliseconds(10));
            assert!(scope.world.elapsed() - died <= GONE, "seed {seed}");
        }
        longest = longest.max(scope.world.elapsed() - died);
        scope.world.run(seconds(5));
        let mut living = scope.everybody();
        living.remove(&pe);
        assert!(scope.registrars.iter().all(|node| scope.known(*node) == living), "seed {seed}");
    }
    println!("a dead element is gone from every registrar after {longest:?} at most");
}

#[test]
fn a_dead_registrar_is_taken_over_within_6_s_and_nobody_is_lost_meanwhile() {
    let mut longest = Duration::ZERO;
    for seed in 0..SEEDS {
        let mut scope = scope(seed);
        let (dead, others) = (scope.registrars[0], [scope.registrars[1], scope.registrars[2]]);
        let dead_id = scope.world.registrar(dead).id();
        scope.world.begin_ladder();
        match seed % 3 {
            0 => scope.world.kill(dead),
            1 => scope.world.power_off(dead),
            _ => scope.world.freeze(dead),
        }
        let (died, everybody) = (scope.world.elapsed(), scope.everybody());
        let mut complete = None;
        while scope.world.elapsed() - died <= seconds(10) {
            scope.world.run(milliseconds(100));
            for user in scope.users.clone() {
                scope.world.with_user(user, PoolUser::resolve);
            }
            scope.world.run(milliseconds(100));
            for &user in &scope.users.clone() {
                let resolved: BTreeSet<PeId> = scope
                    .world
                    .with_user(user, |user, _| user.elements().map(|element| element.pe).collect());
                assert_eq!(
                    resolved,
                    everybody,
                    "seed {seed}, {:?} after\n{}",
                    scope.world.elapsed() - died,
                    scope.world.ladder()
                );
            }
            let owned = |node: &Node| scope.world.registrar(*node).handlespace().owned_by(dead_id).count();
            if others.iter().all(|node| owned(node) == 0) {
                complete = complete.or(Some(scope.world.elapsed() - died));
            }
        }
        let complete = complete.unwrap_or_else(|| panic!("seed {seed}: not taken over"));
        assert!(complete <= TAKEN_OVER, "seed {seed}: {complete:?}");
        longest = longest.max(complete);
        let tables = others.map(|node| {
            let space = scope.world.registrar(node).handlespace();
            let rows = space
                .pools()
                .flat_map(|(_, pool)| pool.elements().map(|e| (e.pe, e.home)).collect::<Vec<_>>());
            rows.collect::<Vec<_>>()
        });
        assert_eq!(tables[0], tables[1], "seed {seed}");
    }
    println!("a dead registrar is taken over after {longest:?} at most");
}

#[test]
fn an_element_nobody_can_connect_to_stays_until_it_registers_again() {
    for step in 0..20 {
        let mut world = World::new(Options { elements_over_tcp: true, seed: step, ..Options::default() });
        let registrars = [1, 2].map(|number| {
            let config = world.registrar_config(number, &[1, 2]);
            world.add_registrar(number, config)
        });
        world.run(seconds(3));
        let mut config = world.element_config(0xa1, &[1]);
        config.registrars = World::registrars(&[1, 2]);
        let element = world.add_element(0xa1, config);
        world.run(milliseconds(2_000 + 450 * step));
        let home = world
            .registrar(registrars[0])
            .handlespace()
            .owned_by(world.registrar(registrars[0]).id())
            .count();
        let (dead, other) = (registrars[1 - home], registrars[home]);
        world.begin_ladder();
        // Its element finds out when it registers again and is not answered.
        world.power_off(dead);
        for _ in 0..200 {
            world.run(milliseconds(100));
            let pe = world.element(element).pe();
            let pool = world.registrar(other).handlespace().pool(&pool());
            assert!(pool.is_some_and(|pool| pool.contains(pe)), "step {step}\n{}", world.ladder());
        }
        let owned = world.registrar(other).handlespace().owned_by(world.registrar(other).id()).count();
        assert_eq!(owned, 1, "step {step}\n{}", world.ladder());
    }
}

#[test]
fn registrars_that_connect_to_each_other_at_once_agree_without_an_audit() {
    for seed in 0..100 {
        let mut options = Options { seed, ..Options::default() };
        options.link.delay = milliseconds(5);
        options.link.jitter = milliseconds(40);
        options.link.loss = 5;
        // Nothing is registered again meanwhile.
        options.profile.life = seconds(600);
        options.profile.t4_max = seconds(600);
        let mut world = World::new(options);
        let registrars = [1, 2].map(|number| {
            let config = world.registrar_config(number, &[1, 2]);
            world.add_registrar(number, config)
        });
        let elements = [1, 2].map(|number| {
            let mut config = world.element_config(0xa0 + number, &[number]);
            config.policy = Policy::LeastUsed { load: Load::of(0, 1_000) };
            world.add_element(0xa0 + number, config)
        });
        for step in 1..=100 {
            world.run(milliseconds(4));
            for element in elements {
                world.with_element(element, |element, now| element.set_load(now, Load::of(step, 1_000)));
            }
        }
        world.begin_ladder();
        world.run(seconds(8));
        for node in registrars {
            let space = world.registrar(node).handlespace();
            let policies: Vec<_> =
                space.pool(&pool()).unwrap().elements().map(|element| element.policy).collect();
            let last = Policy::LeastUsed { load: Load::of(100, 1_000) };
            assert_eq!(policies, [last.clone(), last], "seed {seed}\n{}", world.ladder());
        }
    }
}

#[test]
fn registrars_that_know_only_a_third_one_find_each_other_whoever_starts_first() {
    for order in [[1, 2, 3], [3, 1, 2], [1, 3, 2]] {
        for pause in [0, 5_000] {
            let mut world = World::new(Options::default());
            let mut registrars = Vec::new();
            for number in order {
                let known: &[u8] = if number == 3 { &[] } else { &[3] };
                let config = world.registrar_config(number, known);
                registrars.push(world.add_registrar(number, config));
                world.run(milliseconds(pause));
            }
            world.run(seconds(15));
            for &registrar in &registrars {
                let peers = world.registrar(registrar).peers();
                let active = peers.filter(|peer| peer.connected && peer.state == PeerState::Active).count();
                assert_eq!(active, 2, "started as {order:?}, {pause} ms apart");
            }
        }
    }
}
