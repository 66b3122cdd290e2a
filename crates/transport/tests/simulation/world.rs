//! Two machines joined by a seeded link, on virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use transport::machine::{Machine, Randomness};
use transport::{Association, EndpointConfig, Event, Profile};

/// One way between the two.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) delay: Duration,
    /// Of a million packets so many are lost.
    pub(crate) loss: u32,
}

/// A datagram on its way, by the time it arrives; the number keeps those of one time in order.
pub(crate) type Flight = Reverse<(Instant, u64, usize, Vec<u8>)>;

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) ends: [Machine; 2],
    /// The handles of side 0, which connected, and of side 1.
    pub(crate) associations: Vec<Association>,
    pub(crate) path: Path,
    pub(crate) packets: u64,
    /// Datagrams to this side vanish.
    pub(crate) deaf: [bool; 2],
    pub(crate) flights: BinaryHeap<Flight>,
    random: fastrand::Rng,
}

/// Polls once: everything in a simulation happens between polls.
pub(crate) fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

pub(crate) fn address(side: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, [1, 2][side]), 9899))
}

pub(crate) fn seeded(seed: u64) -> Randomness {
    let mut random = fastrand::Rng::with_seed(seed);
    Box::new(move || Ok(random.u64(..)))
}

/// Short queues, so that a stalled reader is felt.
pub(crate) fn short_queues(side: usize, profile: &Profile) -> EndpointConfig {
    let mut config = EndpointConfig::new(address(side).ip());
    config.profile = profile.clone();
    (config.queues.receive, config.queues.send, config.window) = (64 << 10, 64 << 10, 128 << 10);
    config
}

impl World {
    /// Two ends with an association between them; side 0 set it up.
    pub(crate) fn connected(seed: u64, profile: &Profile, path: Path) -> World {
        World::configured(seed, path, |side| short_queues(side, profile))
    }

    /// The same with a configuration for each side.
    pub(crate) fn configured(seed: u64, path: Path, config: impl Fn(usize) -> EndpointConfig) -> World {
        let mut world = World::apart(seed, path, config);
        let now = world.now;
        let (incoming, mut accepted) = mpsc::channel(1);
        world.ends[1].listen(4739, incoming).unwrap();
        let (reply, mut answer) = oneshot::channel();
        let to = world.ends[1].address(4739);
        world.ends[0].connect(now, to, reply);
        while world.associations.len() < 2 {
            world.run(Duration::from_millis(10));
            assert!(world.now < now + Duration::from_secs(60), "no association");
            if world.associations.is_empty() {
                world.associations.extend(answer.try_recv().ok().map(Result::unwrap));
            } else {
                world.associations.extend(accepted.try_recv());
            }
        }
        world
    }

    /// Two ends that know nothing of each other.
    pub(crate) fn apart(seed: u64, path: Path, config: impl Fn(usize) -> EndpointConfig) -> World {
        let now = Instant::now();
        let ends = [0, 1].map(|side| {
            Machine::new(config(side), address(side), seeded(seed * 2 + side as u64), || (), now).unwrap()
        });
        let random = fastrand::Rng::with_seed(seed);
        let (associations, flights, deaf) = (Vec::new(), BinaryHeap::new(), [false; 2]);
        World { now, ends, associations, path, packets: 0, deaf, flights, random }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            for side in [0, 1] {
                self.ends[side].handle_timeout(self.now);
                while let Some((_, octets)) = self.ends[side].poll_transmit() {
                    self.transmit(1 - side, octets);
                }
            }
            let timers = self.ends.iter().filter_map(Machine::poll_timeout).min();
            let arrival = self.flights.peek().map(|Reverse((at, ..))| *at);
            let next = timers.into_iter().chain(arrival).min().filter(|next| *next <= until);
            let Some(next) = next else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            while self.flights.peek().is_some_and(|Reverse((at, ..))| *at <= self.now) {
                let Some(Reverse((_, _, side, octets))) = self.flights.pop() else { break };
                if !self.deaf[side] {
                    self.ends[side].handle_datagram(self.now, address(1 - side), &octets);
                }
            }
        }
    }

    fn transmit(&mut self, side: usize, octets: Vec<u8>) {
        self.packets += 1;
        if self.random.u32(..1_000_000) >= self.path.loss {
            self.flights.push(Reverse((self.now + self.path.delay, self.packets, side, octets)));
        }
    }

    /// The next event of a side, if there is one.
    pub(crate) fn event(&mut self, side: usize) -> Option<Event> {
        now_or_never(self.associations[side].recv())
    }
}
