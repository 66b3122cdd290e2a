//! The machine of userland SCTP on virtual time: no false loss on long and lossy paths, and a dead peer
//! noticed in time.
#![expect(clippy::disallowed_methods, reason = "a start for virtual time")]

mod collision;
mod starved;
mod world;

use std::time::Duration;

use transport::machine::NetworkError;
use transport::{Event, LossReason, MsgOut, Ppid, Profile};
use world::{Path, World};

/// Loss each way, of a million.
const LOSS: u32 = 50_000;
const HOUR: Duration = Duration::from_secs(3_600);
/// How often the applications look at their associations.
const TICK: Duration = Duration::from_millis(250);

/// What the applications do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Load {
    Idle,
    /// Side 0 sends, as an exporter does.
    Sending,
    Both,
    /// Side 0 sends; side 1 reads nothing for 30 s of every minute.
    Stalled,
}

const LOADS: [Load; 4] = [Load::Idle, Load::Sending, Load::Both, Load::Stalled];

fn path(round_trip: u64, loss: u32) -> Path {
    Path { delay: Duration::from_micros(round_trip * 500), loss }
}

/// Runs an association and fails when it is lost; returns how many messages arrived at side 1.
fn survives(seed: u64, round_trip: u64, load: Load, time: Duration) -> u64 {
    let mut world = World::connected(seed, &Profile::fast(), path(round_trip, LOSS));
    let (mut ticks, mut arrived) = (0_u64, 0);
    let end = world.now + time;
    while world.now < end {
        let senders: &[usize] = match load {
            Load::Idle => &[],
            Load::Sending | Load::Stalled => &[0],
            Load::Both => &[0, 1],
        };
        // A stalled reader's sender fills the queues; the others send a little now and then.
        let count = if load == Load::Stalled { 16 } else { 2 };
        for &side in senders {
            for _ in 0..count {
                let _ = world.associations[side].try_send(MsgOut::new(Ppid::IPFIX, vec![7; 1_000]));
            }
        }
        world.run(TICK);
        ticks += 1;
        for side in [0, 1] {
            if load == Load::Stalled && side == 1 && ticks % 240 < 120 {
                continue;
            }
            while let Some(event) = world.event(side) {
                match event {
                    Event::Message(_) => arrived += 1,
                    Event::Lost(reason) => {
                        panic!("seed {seed}, {round_trip} ms, {load:?}, after {ticks} ticks: {reason}")
                    }
                    _ => {}
                }
            }
        }
    }
    println!("{round_trip:3} ms {load:?}: {} packets, {arrived} messages", world.packets);
    arrived
}

fn every_path_and_load(seed: u64, time: Duration) {
    for round_trip in [50, 150, 300, 600] {
        for load in LOADS {
            let arrived = survives(seed, round_trip, load, time);
            assert!(load == Load::Idle || arrived > time.as_secs(), "{arrived} messages");
        }
    }
}

#[test]
fn no_association_is_lost_falsely_in_5_minutes_on_each_long_and_lossy_path() {
    every_path_and_load(1, HOUR / 12);
}

/// 24 hours of every path and load: `cargo test --release -p transport --test simulation -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes; the shorter one runs always"]
fn no_association_is_lost_falsely_in_24_hours_on_each_long_and_lossy_path() {
    for seed in 0..24 {
        every_path_and_load(100 + seed, HOUR);
    }
}

/// Kills side 1: its host answers everything with ICMP, `burst` times and then once a second.
fn killed(seed: u64, send: bool, burst: u32) -> (Duration, LossReason) {
    let mut world = World::connected(seed, &Profile::fast(), path(1, 0));
    world.run(Duration::from_millis(seed * 37));
    world.deaf = [true; 2];
    let (start, mut left, mut since) = (world.now, burst, world.now);
    loop {
        if send {
            let _ = world.associations[0].try_send(MsgOut::new(Ppid::IPFIX, vec![7; 1_000]));
        }
        world.ends[0].handle_timeout(world.now);
        while let Some((destination, octets)) = world.ends[0].poll_transmit() {
            if world.now >= since + Duration::from_secs(1) {
                (left, since) = (1, world.now);
            }
            if left > 0 {
                left -= 1;
                let error = NetworkError {
                    destination,
                    port_unreachable: true,
                    quote: &octets[..64.min(octets.len())],
                };
                world.ends[0].handle_network_error(world.now, error);
            }
        }
        while let Some(event) = world.event(0) {
            if let Event::Lost(reason) = event {
                return (world.now - start, reason);
            }
        }
        world.now += Duration::from_millis(1);
        assert!(world.now < start + Duration::from_secs(10), "not noticed");
    }
}

#[test]
fn a_killed_peer_is_noticed_within_300_ms_idle_or_not_and_where_icmp_is_limited() {
    for seed in 1..50 {
        for (send, burst) in [(false, u32::MAX), (true, u32::MAX), (false, 6), (true, 6)] {
            let (time, reason) = killed(seed, send, burst);
            assert!(matches!(reason, LossReason::Unreachable(_)), "{reason}");
            assert!(time <= Duration::from_millis(300), "sending {send}, burst {burst}: {time:?}");
        }
    }
}

#[test]
fn a_single_icmp_message_is_a_hint_and_ends_nothing() {
    let mut world = World::connected(3, &Profile::fast(), path(50, 0));
    for _ in 0..20 {
        let _ = world.associations[0].try_send(MsgOut::new(Ppid::IPFIX, vec![7; 1_000]));
        world.ends[0].handle_timeout(world.now);
        let (destination, octets) = world.ends[0].poll_transmit().unwrap();
        // The packet is lost, and a router says that it is.
        let error = NetworkError { destination, port_unreachable: true, quote: &octets[..64] };
        for _ in 0..5 {
            world.ends[0].handle_network_error(world.now, error);
        }
        world.run(Duration::from_secs(2));
        while let Some(event) = world.event(0) {
            assert!(!matches!(event, Event::Lost(_)), "{event:?}");
        }
    }
    assert_eq!(world.ends[0].counters().icmp, 100);
}

#[test]
fn a_frozen_peer_is_noticed_within_2500_ms_on_a_short_path() {
    for seed in 1..20 {
        let mut world = World::connected(seed, &Profile::fast(), path(10, 0));
        world.run(Duration::from_millis(seed * 53));
        world.deaf = [true; 2];
        let start = world.now;
        let reason = loop {
            world.run(Duration::from_millis(5));
            if let Some(Event::Lost(reason)) = world.event(0) {
                break reason;
            }
        };
        assert!(matches!(reason, LossReason::Silent(_)), "{reason}");
        assert!(world.now - start <= Duration::from_millis(2_500), "{:?}", world.now - start);
    }
}

#[test]
fn a_peer_behind_rfc_and_rsplib_timers_is_not_asked_all_the_time() {
    for profile in [Profile::rfc(), Profile::rsplib()] {
        let mut world = World::connected(1, &profile, path(50, 0));
        let before = world.packets;
        world.run(HOUR);
        // A HEARTBEAT and its answer, from one side each 30 s.
        assert!(world.packets - before <= 300, "{}: {} packets", profile.name, world.packets - before);
    }
}
