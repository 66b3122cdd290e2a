//! The flow table: an index of keys into a slab of flows, with a timer wheel beside it.
//!
//! Among many flows, a packet's is in no cache, and neither is its place in the index: nearly all of the time is waiting for memory. So
//! packets wait until there are some of them ([`FlowTable::settle`]), and memory is asked for what all of them need before the first is
//! metered. It answers in about the time that one alone would take.

use super::expiry::Wheel;
use super::extra::Extra;
use super::index::Index;
use super::key::{FlowKey, KeyHasher, KeyMask};
use super::record::{BiflowDirection, Direction, FlowEndReason, FlowRecord};
use super::seen::Seen;
use super::{Keys, MeteringConfig};
use crate::capture::Packet;
use crate::packet::PacketView;
use std::hint::black_box;
use std::time::Duration;

mod survey;

pub use survey::{LARGEST, Survey};

/// Packets that wait for each other. What they need of memory is in the nearest cache while they are metered, with room to spare.
const WAITING: usize = 32;
/// Flows looked at for expiry with one packet, so that no packet waits for thousands.
const LOOKED_AT_PER_PACKET: usize = 64;
/// Records of one call of `advance` or `flush`.
const BATCH: usize = 4096;
/// So many packets in a row from far in the past mean that the clock was set back, and not that one packet strayed.
const BEHIND: u32 = 1024;

const FIN: u16 = 0x001;
const SYN: u16 = 0x002;
const RST: u16 = 0x004;
const ACK: u16 = 0x010;

/// Meters packets into flows.
pub struct FlowTable {
    config: MeteringConfig,
    active: u64,
    /// Without a packet for longer than this a flow is over: the smaller time-out, since a gap of either makes
    /// the next packet begin a new flow.
    quiet: u64,
    /// The same after the end of TCP.
    linger: u64,
    /// Whether the end of TCP is heeded.
    heeds_end: bool,
    /// Something is configured beyond the flows' own fields, or fewer keys.
    is_special: bool,
    mask: KeyMask,
    extra: Extra,
    /// When TCP ended flows, by their index; of those that are closing.
    closed: Vec<u64>,
    hasher: KeyHasher,
    /// Packets that are not in their flows yet, in the order in which they came.
    waiting: Vec<Seen>,
    indices: Index,
    flows: Vec<Flow>,
    free: Vec<u32>,
    wheel: Wheel,
    /// The latest packet time, or what `advance` was told.
    clock: u64,
    behind: u32,
    counters: Counters,
}

/// What was metered. `started` is the sum of `ended` and the flows still kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Octets of their IP packets.
    pub octets: u64,
    /// Flows begun.
    pub started: u64,
    ended: [u64; FlowEndReason::ALL.len()],
}

impl Counters {
    /// Returns how many flows ended for `reason`.
    pub const fn ended(&self, reason: FlowEndReason) -> u64 {
        self.ended[reason as usize - 1]
    }
}

/// In the order of its octets: `touch` reads both ends.
#[derive(Clone, Copy)]
#[repr(C)]
struct Flow {
    key: FlowKey,
    octets: u64,
    packets: u64,
    first: u64,
    last: u64,
    tcp_control_bits: u16,
    class_of_service: u8,
    minimum_ttl: u8,
    maximum_ttl: u8,
    /// TCP has ended it and the configuration heeds that.
    closing: bool,
    /// The key is that of the other direction (biflows).
    reversed: bool,
    /// The first packet left the device.
    outgoing: bool,
}

// What `MeteringConfig::max_flows` says of memory counts on it.
const _: () = assert!(size_of::<Flow>() == 88);

impl Flow {
    fn begin(seen: &Seen) -> Self {
        Self {
            key: seen.key,
            octets: u64::from(seen.octets),
            packets: 1,
            first: seen.timestamp,
            last: seen.timestamp,
            tcp_control_bits: seen.tcp_control_bits,
            class_of_service: seen.class_of_service,
            minimum_ttl: seen.ttl,
            maximum_ttl: seen.ttl,
            closing: false,
            reversed: seen.reversed,
            outgoing: seen.outgoing,
        }
    }

    /// Returns what depends on its octets: its first, its last and some between, as it lies in up to three cache lines.
    #[inline]
    fn touch(&self) -> u64 {
        self.key.word() ^ self.packets ^ u64::from(self.outgoing)
    }

    #[inline]
    fn add(&mut self, seen: &Seen) {
        self.octets += u64::from(seen.octets);
        self.packets += 1;
        self.first = self.first.min(seen.timestamp);
        self.last = self.last.max(seen.timestamp);
        self.tcp_control_bits |= seen.tcp_control_bits;
        self.minimum_ttl = self.minimum_ttl.min(seen.ttl);
        self.maximum_ttl = self.maximum_ttl.max(seen.ttl);
    }
}

impl FlowTable {
    /// Returns an empty table; `seed` should be random, it keeps the hashes unguessable.
    pub fn new(config: MeteringConfig, seed: u64) -> Self {
        let active = nanoseconds(config.active_timeout);
        let quiet = nanoseconds(config.idle_timeout).min(active);
        // Without ports, the connections of two hosts are one flow, and the end of one ends nothing.
        let heeds_end = config.end_of_flow.is_some() && config.keys.ports;
        Self {
            heeds_end,
            is_special: config.biflows || config.details || config.keys != Keys::default(),
            mask: KeyMask::new(config.keys),
            extra: Extra::new(config.details, config.biflows, config.first_flow_id),
            closed: Vec::new(),
            config: MeteringConfig { max_flows: config.max_flows.clamp(1, u32::MAX as usize), ..config },
            active,
            quiet,
            linger: config.end_of_flow.map_or(quiet, nanoseconds).min(quiet),
            hasher: KeyHasher::new(seed),
            waiting: Vec::with_capacity(WAITING),
            indices: Index::default(),
            flows: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(quiet),
            clock: 0,
            behind: 0,
            counters: Counters::default(),
        }
    }

    /// Takes in one packet, of which `view` tells. It is metered when some have come, or with [`settle`](Self::settle): the records of
    /// flows that ended before one of them are appended then, its own predecessor, if it was cut, and some others that are due.
    #[inline]
    pub fn packet(&mut self, view: &PacketView, packet: &Packet<'_>, out: &mut Vec<FlowRecord>) {
        self.counters.packets += 1;
        self.counters.octets += u64::from(view.octets);
        let mut key = FlowKey::of(view);
        let reversed = self.is_special && self.shape(&mut key);
        let hash = self.hasher.hash(&key);
        self.waiting.push(Seen::new((key, reversed, hash), view, packet, self.config.details));
        if self.waiting.len() == WAITING {
            self.settle(out);
        }
    }

    /// Meters the packets that wait, and appends records as [`packet`](Self::packet) does.
    pub fn settle(&mut self, out: &mut Vec<FlowRecord>) {
        if self.waiting.is_empty() {
            return;
        }
        self.touch();
        if self.is_special {
            self.meter_all::<true>(out);
        } else {
            self.meter_all::<false>(out);
        }
    }

    /// Reads what the packets that wait will need, so that it comes from memory at the same time: no read here waits for the one
    /// before it.
    #[inline]
    fn touch(&self) {
        let mut flows = [None; WAITING];
        let slots = self.waiting.iter().map(|seen| self.indices.touch(seen.hash));
        black_box(slots.fold(0, |all, slot| all ^ slot));
        for (flow, seen) in flows.iter_mut().zip(&self.waiting) {
            // The first with this hash: another one now and then, and then the read was in vain.
            *flow = self.indices.find(seen.hash, |_| true);
        }
        let read =
            flows.iter().flatten().map(|&index| self.flows[index as usize].touch() ^ self.extra.touch(index));
        black_box(read.fold(0, |all, word| all ^ word));
        let new = flows.iter().take(self.waiting.len()).filter(|flow| flow.is_none()).count();
        if self.indices.len() + new > self.config.max_flows {
            self.touch_next(new);
        }
    }

    /// The same for flows that have to make room.
    #[cold]
    fn touch_next(&self, count: usize) {
        let mut next = [0; WAITING];
        let found =
            next.iter_mut().zip(self.wheel.next().take(count)).map(|(place, index)| *place = index).count();
        self.touch_ending(&next[..found]);
    }

    /// The same for flows that may have come to their end.
    fn touch_ending(&self, indices: &[u32]) {
        let flows = || indices.iter().map(|&index| &self.flows[index as usize]);
        black_box(flows().fold(0, |all, flow| all ^ flow.touch()));
        let slots = flows().map(|flow| self.indices.touch(self.hasher.hash(&flow.key)));
        black_box(slots.fold(0, |all, slot| all ^ slot));
    }

    /// Apart for each kind, so that plain flows do not carry the others' along.
    #[inline(never)]
    fn meter_all<const SPECIAL: bool>(&mut self, out: &mut Vec<FlowRecord>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for seen in waiting.drain(..) {
            self.meter::<SPECIAL>(&seen, out);
        }
        self.waiting = waiting;
    }

    #[inline]
    fn meter<const SPECIAL: bool>(&mut self, seen: &Seen, out: &mut Vec<FlowRecord>) {
        self.observe(seen.timestamp);
        if self.wheel.is_due(self.clock) {
            self.expire(LOOKED_AT_PER_PACKET, out);
        }
        let flows = &self.flows;
        match self.indices.find(seen.hash, |index| flows[index as usize].key == seen.key) {
            Some(index) => self.packet_of::<SPECIAL>(index, seen, out),
            None => self.begin(seen, out),
        }
    }

    /// Takes note that it is `now` (nanoseconds since the Unix epoch, on the packets' clock) and appends records of
    /// flows that are over. Returns whether more are due: call again once these are taken.
    pub fn advance(&mut self, now: u64, out: &mut Vec<FlowRecord>) -> bool {
        self.settle(out);
        self.clock = self.clock.max(now);
        self.expire(BATCH, out)
    }

    /// Ends flows, over or not, and appends their records. Returns whether more are left: call again once these are taken.
    ///
    /// A flow that is over gets its own reason, any other gets `reason`.
    pub fn flush(&mut self, reason: FlowEndReason, out: &mut Vec<FlowRecord>) -> bool {
        self.settle(out);
        for _ in 0..BATCH {
            let Some((index, _)) = self.wheel.pop_next() else { return false };
            let flow = &self.flows[index as usize];
            let reason = if self.clock > self.deadline(index, flow) { self.reason(flow) } else { reason };
            self.end(index, reason, out);
        }
        !self.is_empty()
    }

    /// Returns how many flows are kept. Packets that wait have begun none.
    pub const fn len(&self) -> usize {
        self.indices.len()
    }

    /// Tells whether no flow is kept.
    pub const fn is_empty(&self) -> bool {
        self.indices.len() == 0
    }

    /// Returns what was metered so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the latest packet time, in nanoseconds since the Unix epoch, or what [`advance`](Self::advance) was told.
    pub const fn clock(&self) -> u64 {
        self.clock
    }

    #[inline]
    fn observe(&mut self, timestamp: u64) {
        if timestamp >= self.clock {
            self.clock = timestamp;
            self.behind = 0;
        } else if self.clock - timestamp > self.active.saturating_add(self.quiet) {
            self.behind += 1;
            if self.behind == BEHIND {
                self.behind = 0;
                self.clock = timestamp;
                self.wheel.rewind(timestamp);
            }
        }
    }

    /// Leaves the configured parts of a key; tells whether it has become that of the other direction.
    fn shape(&self, key: &mut FlowKey) -> bool {
        self.mask.apply(key);
        self.config.biflows && key.orient()
    }

    #[inline]
    fn packet_of<const SPECIAL: bool>(&mut self, index: u32, seen: &Seen, out: &mut Vec<FlowRecord>) {
        let flow = &self.flows[index as usize];
        let over = if seen.timestamp > self.deadline(index, flow) {
            Some(self.reason(flow))
        } else if seen.timestamp.saturating_sub(flow.first) > self.active {
            Some(FlowEndReason::ActiveTimeout)
        } else if flow.closing && seen.tcp_control_bits & SYN != 0 {
            Some(FlowEndReason::EndOfFlow)
        } else {
            None
        };
        if let Some(reason) = over {
            self.cut(index, reason, seen, out);
        } else if SPECIAL {
            self.add_special(index, seen);
        } else {
            self.flows[index as usize].add(seen);
        }
        if self.heeds_end && seen.tcp_control_bits & (FIN | RST) != 0 {
            self.heed_end(index, seen);
        }
    }

    /// Ends the flow at `index` before this packet, with which it begins anew.
    #[cold]
    fn cut(&mut self, index: u32, reason: FlowEndReason, seen: &Seen, out: &mut Vec<FlowRecord>) {
        out.push(self.record(index, reason));
        self.counters.started += 1;
        // Its place in the wheel is early rather than late.
        let before = self.flows[index as usize].reversed;
        self.flows[index as usize] = Flow::begin(seen);
        if self.is_special {
            let goes_on = reason == FlowEndReason::ActiveTimeout;
            let direction = match (goes_on, self.extra.direction(index)) {
                (true, direction) if seen.reversed == before => direction,
                (true, BiflowDirection::Initiator) => BiflowDirection::ReverseInitiator,
                (true, BiflowDirection::ReverseInitiator) => BiflowDirection::Initiator,
                (false, _) => first_direction(seen),
            };
            self.extra.begin(index, seen, direction, goes_on);
        }
    }

    fn add_special(&mut self, index: u32, seen: &Seen) {
        let flow = &mut self.flows[index as usize];
        let is_reverse = flow.reversed != seen.reversed;
        if is_reverse {
            flow.last = flow.last.max(seen.timestamp);
        } else {
            flow.add(seen);
        }
        self.extra.add(index, seen, is_reverse);
    }

    #[cold]
    #[inline(never)]
    fn begin(&mut self, seen: &Seen, out: &mut Vec<FlowRecord>) {
        if self.indices.len() >= self.config.max_flows {
            self.make_room(out);
        }
        let flow = Flow::begin(seen);
        let index = match self.free.pop() {
            Some(index) => {
                self.flows[index as usize] = flow;
                index
            }
            None => {
                self.flows.push(flow);
                u32::try_from(self.flows.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.indices.insert(seen.hash, index);
        self.wheel.insert(index, self.deadline(index, &self.flows[index as usize]));
        self.counters.started += 1;
        if self.is_special {
            self.extra.begin(index, seen, first_direction(seen), false);
        }
        if self.heeds_end && seen.tcp_control_bits & (FIN | RST) != 0 {
            self.heed_end(index, seen);
        }
    }

    /// A packet with FIN or RST was added: the connection is over if it was a RST, or if the other direction has sent its FIN or is
    /// not seen here at all. Then both directions are.
    #[cold]
    fn heed_end(&mut self, index: u32, seen: &Seen) {
        let other = if self.config.biflows { None } else { self.find_reverse(index) };
        let others_bits = match other {
            Some(other) => Some(self.flows[other as usize].tcp_control_bits),
            None => self.extra.reverse_control_bits(index),
        };
        let own_bits = self.flows[index as usize].tcp_control_bits;
        let is_half_open = others_bits.is_some_and(|bits| own_bits & bits & FIN == 0);
        if seen.tcp_control_bits & RST != 0 || !is_half_open {
            self.close(index, seen.timestamp);
            if let Some(other) = other {
                self.close(other, seen.timestamp);
            }
        }
    }

    /// Returns the flow of the other direction.
    fn find_reverse(&self, index: u32) -> Option<u32> {
        let key = self.flows[index as usize].key.reversed();
        let flows = &self.flows;
        self.indices.find(self.hasher.hash(&key), |other| flows[other as usize].key == key)
    }

    /// Brings the deadline of a flow nearer that TCP has ended.
    fn close(&mut self, index: u32, now: u64) {
        let flow = &mut self.flows[index as usize];
        if !std::mem::replace(&mut flow.closing, true) {
            if self.closed.len() <= index as usize {
                self.closed.resize(self.flows.len(), 0);
            }
            self.closed[index as usize] = now;
            self.wheel.remove(index);
            self.wheel.insert(index, self.deadline(index, &self.flows[index as usize]));
        }
    }

    /// Looks at up to `budget` flows whose slot has come; returns whether more are due.
    #[cold]
    fn expire(&mut self, budget: usize, out: &mut Vec<FlowRecord>) -> bool {
        let mut due = [0; LOOKED_AT_PER_PACKET];
        for _ in 0..budget / LOOKED_AT_PER_PACKET {
            let popped = std::iter::from_fn(|| self.wheel.pop_due(self.clock));
            let count = due.iter_mut().zip(popped).map(|(place, index)| *place = index).count();
            self.touch_ending(&due[..count]);
            for &index in &due[..count] {
                let flow = &self.flows[index as usize];
                let deadline = self.deadline(index, flow);
                if self.clock > deadline {
                    self.end(index, self.reason(flow), out);
                } else {
                    self.wheel.insert(index, deadline);
                }
            }
            if count < due.len() {
                return false;
            }
        }
        true
    }

    /// Ends the flow that is nearest to its end.
    #[cold]
    fn make_room(&mut self, out: &mut Vec<FlowRecord>) {
        while let Some((index, tick)) = self.wheel.pop_next() {
            let deadline = self.deadline(index, &self.flows[index as usize]);
            if self.wheel.tick_of(deadline) <= tick {
                return self.end(index, FlowEndReason::LackOfResources, out);
            }
            self.wheel.insert(index, deadline);
        }
    }

    /// Ends a flow that is no longer in the wheel.
    fn end(&mut self, index: u32, reason: FlowEndReason, out: &mut Vec<FlowRecord>) {
        out.push(self.record(index, reason));
        let hash = self.hasher.hash(&self.flows[index as usize].key);
        self.indices.remove(hash, index);
        self.free.push(index);
    }

    /// Until when a flow, the one at `index`, waits for its next packet.
    #[inline]
    fn deadline(&self, index: u32, flow: &Flow) -> u64 {
        if flow.closing {
            return flow.last.max(self.closed[index as usize]).saturating_add(self.linger);
        }
        flow.last.saturating_add(self.quiet)
    }

    /// Why a flow whose deadline has passed is over.
    fn reason(&self, flow: &Flow) -> FlowEndReason {
        if flow.closing {
            FlowEndReason::EndOfFlow
        } else if self.config.idle_timeout <= self.config.active_timeout {
            FlowEndReason::IdleTimeout
        } else {
            FlowEndReason::ActiveTimeout
        }
    }

    #[inline]
    fn record(&mut self, index: u32, end_reason: FlowEndReason) -> FlowRecord {
        self.counters.ended[end_reason as usize - 1] += 1;
        self.describe(index, end_reason)
    }

    /// Returns the record of a flow as it is.
    #[inline]
    fn describe(&self, index: u32, end_reason: FlowEndReason) -> FlowRecord {
        let flow = &self.flows[index as usize];
        let direction = if flow.outgoing { Direction::Egress } else { Direction::Ingress };
        let mut record = FlowRecord {
            class_of_service: flow.class_of_service,
            tcp_control_bits: flow.tcp_control_bits,
            minimum_ttl: flow.minimum_ttl,
            maximum_ttl: flow.maximum_ttl,
            octets: flow.octets,
            packets: flow.packets,
            start_ns: flow.first,
            end_ns: flow.last,
            ..FlowRecord::empty(direction, end_reason)
        };
        if self.is_special {
            let key = if flow.reversed { flow.key.reversed() } else { flow.key };
            key.fill(&mut record);
            self.extra.fill(index, &mut record);
        } else {
            flow.key.fill(&mut record);
        }
        record
    }
}

/// Returns which direction a flow has whose first packet is this: one that accepts a connection answers another.
const fn first_direction(seen: &Seen) -> BiflowDirection {
    if seen.tcp_control_bits & (SYN | ACK) == SYN | ACK {
        BiflowDirection::ReverseInitiator
    } else {
        BiflowDirection::Initiator
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
