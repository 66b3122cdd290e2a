//! What peers cost in memory: a process of its own, its resident pages counted.
#![expect(clippy::disallowed_methods, reason = "a start for virtual time")]

#[path = "hostile/wire.rs"]
#[expect(dead_code, reason = "shared with the tests of hostile packets")]
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use transport::EndpointConfig;
use transport::machine::Machine;

/// Tests share the process, and so its pages.
static ALONE: Mutex<()> = Mutex::new(());

/// Octets of resident memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

fn machine(last: u8, now: Instant) -> Machine {
    let local = SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 9899));
    let mut random = fastrand::Rng::with_seed(last.into());
    let randomness = Box::new(move || Ok(random.u64(..)));
    Machine::new(EndpointConfig::new(local.ip()), local, randomness, || (), now).unwrap()
}

#[test]
fn a_flood_of_100_000_inits_leaves_no_state() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let mut victim = machine(1, now);
    let (incoming, _accepted) = mpsc::channel(1);
    victim.listen(wire::PORT, incoming).unwrap();
    let mut flood = |from: u32, count: u32| {
        for n in from..from + count {
            let source = SocketAddr::from((Ipv4Addr::from(0x0a06_0000 + n), 9899));
            let init = wire::init(u16::try_from(1 + n % 60_000).unwrap(), n + 1);
            victim.handle_datagram(now, source, &init);
            victim.handle_timeout(now);
            assert!(victim.poll_transmit().is_some() && victim.poll_transmit().is_none());
        }
    };
    // What is kept once and for all is there after the first thousand.
    flood(0, 1_000);
    let before = resident();
    flood(1_000, 100_000);
    let grown = resident().saturating_sub(before);
    println!("100,000 INITs: {grown} octets");
    assert!(grown <= 128 << 10, "{grown} octets");
    assert_eq!((victim.associations(), victim.poll_timeout()), (0, None));
    assert_eq!(victim.counters().inits_answered, 101_000);
}

#[test]
fn an_idle_association_costs_at_most_16_kib() {
    const COUNT: usize = 1_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let mut ends = [machine(1, now), machine(2, now)];
    let addresses = [1, 2].map(|last| SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 9899)));
    let (incoming, mut accepted) = mpsc::channel(COUNT);
    ends[1].listen(wire::PORT, incoming).unwrap();
    let to = ends[1].address(wire::PORT);
    let before = resident();
    let mut associations = Vec::new();
    let mut now = now;
    for _ in 0..COUNT {
        let (reply, mut answer) = oneshot::channel();
        ends[0].connect(now, to, reply);
        associations.push(loop {
            exchange(&mut ends, addresses, now);
            now += Duration::from_micros(100);
            if let Ok(association) = answer.try_recv() {
                break association.unwrap();
            }
        });
        associations.push(accepted.try_recv().unwrap());
    }
    // And some seconds of heartbeats.
    for _ in 0..300 {
        now += Duration::from_millis(10);
        exchange(&mut ends, addresses, now);
    }
    let each = (resident() - before) / associations.len();
    println!("{each} octets for one end of an idle association");
    assert!(each <= 16 << 10, "{each} octets");
    assert_eq!(ends.map(|end| end.associations()), [COUNT, COUNT]);
}

/// Delivers everything at once until there is nothing more.
fn exchange(ends: &mut [Machine; 2], addresses: [SocketAddr; 2], now: Instant) {
    let mut quiet = false;
    while !quiet {
        quiet = true;
        for side in [0, 1] {
            ends[side].handle_timeout(now);
            while let Some((_, octets)) = ends[side].poll_transmit() {
                ends[1 - side].handle_datagram(now, addresses[side], &octets);
                quiet = false;
            }
        }
    }
}
