//! A synthetic trace with internet-like flow sizes: most flows are tiny, a few carry most packets.

use crate::{Frame, PcapWriter};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const START: u64 = 1_750_000_000_000_000_000;
const SNAPLEN: u32 = 96;

/// A capture made from a seed; the same seed makes the same capture.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The pcap file.
    pub file: Vec<u8>,
    /// Packets in it.
    pub packets: u64,
    /// Octets of their IP packets.
    pub octets: u64,
}

struct Session {
    forward: Frame,
    back: Frame,
    left: u64,
    gap: u64,
}

impl Trace {
    /// Makes a trace of so many sessions, one begun each millisecond.
    ///
    /// A session lasts 20 s in the mean and has 2 to 20,000 packets; one in four is IPv6. The trace ends when the
    /// last session begins.
    pub fn new(seed: u64, sessions: u64) -> Self {
        let mut random = Random(seed);
        let mut file = PcapWriter::new(SNAPLEN);
        let (mut packets, mut octets) = (0, 0);
        let mut due = BinaryHeap::new();
        let mut open: Vec<Session> = Vec::new();
        for number in 0..sessions {
            let start = START + number * 1_000_000;
            while let Some(&Reverse((time, index))) = due.peek()
                && time <= start
            {
                due.pop();
                let session: &mut Session = &mut open[index];
                let frame = if random.below(2) == 0 { &session.forward } else { &session.back };
                let ethernet = frame.ethernet();
                packets += 1;
                octets += ethernet.len() as u64 - 14;
                file.packet(time, &ethernet);
                session.left -= 1;
                if session.left > 0 {
                    due.push(Reverse((time + 1_000 + random.below(2 * session.gap), index)));
                }
            }
            if let Some(session) = Session::random(&mut random) {
                due.push(Reverse((start, open.len())));
                open.push(session);
            }
        }
        Self { file: file.octets, packets, octets }
    }
}

impl Session {
    fn random(random: &mut Random) -> Option<Self> {
        let v6 = random.below(4) == 0;
        let client = SocketAddr::new(address(v6, 1, random.below(60_000)), port(random.below(64_512)));
        let server = SocketAddr::new(address(v6, 2, random.below(130_000)), 443);
        let make = |from, to| match v6 {
            true => Frame::udp(from, to),
            false => Frame::tcp(from, to, 0x18),
        };
        // 1 / (1 - x) for an even x is a Pareto distribution; it is cut so that no session outlives all others.
        let left = 2 + (1_000_000 / (1 + random.below(1_000_000))).min(20_000);
        Some(Self {
            forward: make(client, server).ok()?.payload(40),
            back: make(server, client).ok()?.payload(1_200),
            left,
            gap: 20_000_000_000 / left,
        })
    }
}

fn address(v6: bool, side: u8, number: u64) -> IpAddr {
    let [.., a, b, c] = number.to_be_bytes();
    if v6 {
        Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(side) << 64 | u128::from(number)).into()
    } else {
        Ipv4Addr::new(10 + side, a, b, c).into()
    }
}

fn port(number: u64) -> u16 {
    1024 + u16::try_from(number).unwrap_or(0)
}

/// splitmix64
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
