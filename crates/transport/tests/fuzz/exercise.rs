//! Octets from a fuzzer, taken for what a network and its users do to two endpoints: packets out of
//! nowhere, packets altered with their checksum put right, lost, repeated and late ones, ICMP, messages,
//! time that passes. The clock is virtual; nothing else is simulated. Panics if an endpoint does, if it
//! makes packets without end, or wants attention without end.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use transport::machine::{Machine, NetworkError};
use transport::{Association, ConnectError, EndpointConfig, MsgOut, Ppid, Reliability};

use crate::wire::{PORT, packet, seal};

/// Packets kept to be altered and sent again.
const KEPT: usize = 32;
/// Associations of an endpoint at most.
const ASSOCIATIONS: usize = 8;
/// More than any one step can make.
const MANY: usize = 4_000;

/// The fuzzer's octets, read to the end and not beyond.
struct Octets<'a>(&'a [u8]);

impl Octets<'_> {
    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> usize {
        usize::from(self.octet().unwrap_or(0)) << 8 | usize::from(self.octet().unwrap_or(0))
    }

    fn some(&mut self, octets: usize) -> Vec<u8> {
        let (some, rest) = self.0.split_at(octets.min(self.0.len()));
        self.0 = rest;
        some.to_vec()
    }
}

struct Bench {
    now: Instant,
    machines: [Machine; 2],
    associations: Vec<Association>,
    accepted: mpsc::Receiver<Association>,
    answers: Vec<oneshot::Receiver<Result<Association, ConnectError>>>,
    /// On the way, with the side they go to.
    flying: VecDeque<(usize, Vec<u8>)>,
    kept: VecDeque<(usize, Vec<u8>)>,
}

fn address(side: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, [1, 2, 3][side % 3]), 9899))
}

fn machine(side: usize, now: Instant) -> Machine {
    let mut config = EndpointConfig::new(address(side).ip());
    (config.max_associations, config.max_per_address) = (ASSOCIATIONS, 4);
    (config.queues.send, config.queues.receive, config.window) = (64 << 10, 64 << 10, 128 << 10);
    let mut random = fastrand::Rng::with_seed(side as u64);
    Machine::new(config, address(side), Box::new(move || Ok(random.u64(..))), || (), now).expect("seeded")
}

impl Bench {
    fn new(now: Instant) -> Bench {
        let mut machines = [machine(0, now), machine(1, now)];
        let (incoming, accepted) = mpsc::channel(4);
        machines[1].listen(PORT, incoming).expect("a free port");
        let (associations, answers) = (Vec::new(), Vec::new());
        let (flying, kept) = (VecDeque::new(), VecDeque::new());
        let mut bench = Bench { now, machines, associations, accepted, answers, flying, kept };
        bench.connect();
        for _ in 0..8 {
            bench.settle();
            bench.deliver(usize::MAX);
        }
        bench.settle();
        assert_eq!(bench.associations.len(), 2, "an association to start with");
        bench
    }

    /// As a user who keeps to the limit that peers are held to.
    fn connect(&mut self) {
        if self.machines[0].associations() >= ASSOCIATIONS {
            return;
        }
        let (reply, answer) = oneshot::channel();
        let to = self.machines[1].address(PORT);
        self.machines[0].connect(self.now, to, reply);
        self.answers.push(answer);
    }

    /// Lets both do what they want to, which must end.
    fn settle(&mut self) {
        for (side, machine) in self.machines.iter_mut().enumerate() {
            for round in 0.. {
                machine.handle_timeout(self.now);
                if machine.poll_timeout().is_none_or(|due| due > self.now) {
                    break;
                }
                assert!(round < 100, "wants attention without end");
            }
            let mut made = 0;
            while let Some((_, octets)) = machine.poll_transmit() {
                made += 1;
                assert!(made < MANY, "packets without end");
                self.kept.push_back((1 - side, octets.clone()));
                self.flying.push_back((1 - side, octets));
            }
            assert!(machine.associations() <= ASSOCIATIONS);
        }
        self.kept.drain(..self.kept.len().saturating_sub(KEPT));
        self.flying.drain(..self.flying.len().saturating_sub(MANY));
        self.answers.retain_mut(|answer| match answer.try_recv() {
            Ok(Ok(association)) => {
                self.associations.push(association);
                false
            }
            Ok(Err(_)) | Err(oneshot::error::TryRecvError::Closed) => false,
            Err(oneshot::error::TryRecvError::Empty) => true,
        });
        self.associations.extend(self.accepted.try_recv());
        let extra = self.associations.len().saturating_sub(12);
        self.associations.drain(..extra);
    }

    fn deliver(&mut self, count: usize) {
        for (side, octets) in self.flying.drain(..count.min(self.flying.len())) {
            self.machines[side].handle_datagram(self.now, address(1 - side), &octets);
        }
    }

    fn kept(&self, choice: usize) -> Option<(usize, Vec<u8>)> {
        self.kept.get(choice % self.kept.len().max(1)).cloned()
    }

    fn step(&mut self, octets: &mut Octets<'_>, operation: u8) {
        let choice = octets.number();
        let side = choice & 1;
        match operation % 12 {
            0 => {
                let noise = octets.some(choice % 256);
                self.machines[side].handle_datagram(self.now, address(choice >> 8), &noise);
            }
            1 => {
                let mut noise = octets.some(choice % 256);
                noise.resize(noise.len().max(16), 0);
                self.machines[side].handle_datagram(self.now, address(1 - side), &seal(noise));
            }
            // A packet that went over the wire, altered in some octets; or only repeated.
            2 | 3 => {
                let Some((to, mut altered)) = self.kept(choice) else { return };
                for _ in 0..choice >> 12 {
                    let at = octets.number() % altered.len();
                    altered[at] = octets.octet().unwrap_or(0xff);
                }
                self.machines[to].handle_datagram(self.now, address(1 - to), &seal(altered));
            }
            // Chunks of the fuzzer's behind a header that is right.
            4 | 5 => {
                let Some((to, right)) = self.kept(choice) else { return };
                let ports =
                    (u16::from_be_bytes([right[0], right[1]]), u16::from_be_bytes([right[2], right[3]]));
                let tag = u32::from_be_bytes([right[4], right[5], right[6], right[7]]);
                let mut chunks = octets.some(choice >> 6 & 0xff);
                if chunks.len() >= 4 && choice & 0x20 != 0 {
                    // A length that fits lets the octets through to the chunk's own parser.
                    let length = u16::try_from(chunks.len()).unwrap_or(4);
                    chunks[2..4].copy_from_slice(&length.to_be_bytes());
                    chunks[0] %= 16;
                }
                chunks.resize(chunks.len().max(4).next_multiple_of(4), 0);
                let forged = packet(ports.0, ports.1, tag, &chunks);
                self.machines[to].handle_datagram(self.now, address(1 - to), &forged);
            }
            6 => self.now += Duration::from_millis(choice as u64 % 2_500),
            7 => {
                let count = self.associations.len().max(1);
                let Some(association) = self.associations.get(choice % count) else { return };
                let reliability = match choice % 3 {
                    0 => Reliability::Full,
                    1 => Reliability::MaxRetransmits(0),
                    _ => Reliability::Lifetime(Duration::from_millis(10)),
                };
                let stream = u16::try_from(choice % 5).unwrap_or(0);
                let message =
                    MsgOut { stream, reliability, ..MsgOut::new(Ppid::ASAP, vec![7; 1 + choice % 5_000]) };
                drop(association.try_send(message));
            }
            8 => {
                for association in &mut self.associations {
                    for _ in 0..choice % 8 {
                        let event = pin!(association.recv()).poll(&mut Context::from_waker(Waker::noop()));
                        if event == Poll::Pending {
                            break;
                        }
                    }
                }
            }
            9 => {
                let Some((to, quote)) = self.kept(choice) else { return };
                let error = NetworkError {
                    destination: address(to),
                    port_unreachable: choice & 0x100 == 0,
                    quote: &quote[..quote.len().min(choice >> 9)],
                };
                self.machines[1 - to].handle_network_error(self.now, error);
            }
            10 if choice.is_multiple_of(16) => self.connect(),
            10 if choice % 64 == 1 => drop(self.associations.pop()),
            10 => drop(self.flying.pop_front()),
            _ => self.deliver(1 + choice % 16),
        }
    }
}

/// Runs the fuzzer's octets.
pub(crate) fn exercise(octets: &[u8], start: Instant) {
    let mut bench = Bench::new(start);
    let mut octets = Octets(octets);
    while let Some(operation) = octets.octet() {
        bench.step(&mut octets, operation);
        bench.settle();
    }
    bench.machines.iter_mut().for_each(|machine| machine.close(bench.now));
}
