//! Two processes on a host that gives them little processor time: every packet read or made takes long.
//! Their congestion windows are from better times.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use transport::machine::TURN;
use transport::{EndpointConfig, Event, LossReason, MsgOut, Ppid, Profile};

use crate::path;
use crate::world::{World, address};

/// What an octet costs while there is enough processor time, and when there is hardly any.
const COSTS: [Duration; 2] = [Duration::from_nanos(35), Duration::from_nanos(2_800)];
/// Datagrams a driver reads in one turn, at most.
const BATCH: usize = 64;
const TICK: Duration = Duration::from_millis(1);

/// One side's thread, as its driver works: reads, then timers, then sends what that made.
struct Thread {
    waiting: VecDeque<Vec<u8>>,
    /// The handle wants something.
    rung: bool,
    busy_until: Instant,
    /// What an octet costs the one who reads or makes it.
    cost: Duration,
}

impl Thread {
    fn turn(&mut self, side: usize, world: &mut World) {
        let due = world.ends[side].poll_timeout().is_some_and(|due| due <= world.now);
        if world.now < self.busy_until || (self.waiting.is_empty() && !due && !self.rung) {
            return;
        }
        self.rung = false;
        let (mut packets, mut octets) = (0, 0);
        while packets < BATCH
            && octets < TURN
            && let Some(datagram) = self.waiting.pop_front()
        {
            world.ends[side].handle_datagram(world.now, address(1 - side), &datagram);
            packets += 1;
            octets += datagram.len();
        }
        world.ends[side].set_behind(!self.waiting.is_empty());
        world.ends[side].handle_timeout(world.now);
        let made: Vec<_> = std::iter::from_fn(|| world.ends[side].poll_transmit()).collect();
        octets += made.iter().map(|(_, datagram)| datagram.len()).sum::<usize>();
        self.busy_until = world.now + self.cost * u32::try_from(octets).unwrap();
        for (_, datagram) in made {
            world.packets += 1;
            world.flights.push(Reverse((self.busy_until, world.packets, 1 - side, datagram)));
        }
    }
}

/// Bursts that fill the send queue, in packets of `mtu` octets.
fn survives(mtu: usize) {
    let config = |side| {
        let mut config = EndpointConfig::new(address(side).ip());
        config.mtu = Some(mtu);
        config
    };
    let mut world = World::configured(1, path(0, 0), config);
    let mut threads = [0, 1].map(|_| Thread {
        waiting: VecDeque::new(),
        rung: false,
        busy_until: world.now,
        cost: COSTS[0],
    });
    let start = world.now;
    let mut arrived = 0;
    for burst in 0..8 {
        for thread in &mut threads {
            thread.cost = COSTS[usize::from(burst == 7)];
        }
        // A queue full at once, when everything before has arrived.
        let mut sent = 0;
        while world.associations[0].try_send(MsgOut::new(Ppid::IPFIX, vec![7; mtu - 28])).is_ok() {
            sent += 1;
        }
        threads[0].rung = true;
        arrived += sent;
        while arrived > 0 {
            world.now += TICK;
            while world.flights.peek().is_some_and(|Reverse((at, ..))| *at <= world.now) {
                let Some(Reverse((_, _, side, octets))) = world.flights.pop() else { break };
                threads[side].waiting.push_back(octets);
            }
            for (side, thread) in threads.iter_mut().enumerate() {
                thread.turn(side, &mut world);
                while let Some(event) = world.event(side) {
                    match event {
                        Event::Message(_) => arrived -= 1,
                        Event::Lost(reason) => panic!("side {side} in burst {burst}: {reason}"),
                        _ => {}
                    }
                }
            }
            assert!(world.now - start < Duration::from_secs(3_600), "{arrived} missing in burst {burst}");
        }
    }
    println!("packets of {mtu}: {:?}, {} packets", world.now - start, world.packets);
}

#[test]
fn no_association_is_lost_falsely_between_processes_that_hardly_run() {
    survives(1_452);
    survives(16_384);
}

#[test]
fn nobody_is_lost_for_silence_in_time_while_datagrams_wait_but_then_all_the_same() {
    let mut world = World::connected(1, &Profile::fast(), path(0, 0));
    world.deaf = [true; 2];
    world.ends[0].set_behind(true);
    world.run(Duration::from_millis(3_900));
    assert!(world.event(0).is_none());
    assert!(matches!(world.event(1), Some(Event::Lost(LossReason::Silent(_)))));
    world.run(Duration::from_millis(200));
    assert!(matches!(world.event(0), Some(Event::Lost(LossReason::Silent(_)))));

    let mut world = World::connected(2, &Profile::fast(), path(0, 0));
    world.deaf = [true; 2];
    world.ends[0].set_behind(true);
    world.run(Duration::from_millis(3_000));
    world.ends[0].set_behind(false);
    world.run(Duration::from_millis(300));
    assert!(matches!(world.event(0), Some(Event::Lost(LossReason::Silent(_)))));
}
