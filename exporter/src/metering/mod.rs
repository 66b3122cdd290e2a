//! Packets to flow records (RFC 7011 section 2 "Metering Process"): flows of one direction or of both (RFC 5103), ended by time-outs
//! and by what TCP tells. The rules are in docs/metering.md.
//!
//! No clock: time is what the packets say, so a capture gives the same flows however fast it is read.
//! A flow is cut when the next packet of its key comes more than the idle time-out after the last one
//! (reason: idle) or more than the active time-out after the first one (reason: active). [`FlowTable`] also
//! ends flows without waiting for a next packet, once idle for long enough and at most 1/254 of the time-out
//! late; this moves when a record comes out but not what is in it.

mod expiry;
mod extra;
mod index;
mod key;
mod record;
pub mod sampling;
mod seen;
mod table;

pub use key::FlowKey;
pub use record::{BiflowDirection, Details, Direction, FlowEndReason, FlowRecord, Reverse};
pub use sampling::{Sampler, Selector};
pub use table::{Counters, FlowTable, LARGEST, Survey};

use crate::capture::Packet;
use crate::packet::{Fragments, Layers, PacketView, Unparsed};
use std::time::Duration;

/// How packets become flows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeteringConfig {
    /// A flow without packets for longer than this ends. Default 15 s.
    pub idle_timeout: Duration,
    /// A flow older than this ends and goes on as a new one. Default 60 s.
    pub active_timeout: Duration,
    /// Flows kept at a time. When one more comes, the flow nearest to its end is ended early. Default 524,288, which take about 64 MiB.
    pub max_flows: usize,
    /// How long a TCP flow waits for further packets once a RST, or the FIN of both directions, has ended it; it takes in the last
    /// acknowledgements. Default: it ends by the time-outs only.
    pub end_of_flow: Option<Duration>,
    /// What tells flows apart beside addresses and protocol.
    pub keys: Keys,
    /// Whether both directions are one flow. ICMP's are two nevertheless: their types differ. Default: they are two.
    pub biflows: bool,
    /// Whether [`FlowRecord::details`] are kept; they take 40 octets of a flow. Default: they are not.
    pub details: bool,
    /// The flowId of the first flow; meters beside this one need others. Default 1.
    pub first_flow_id: u64,
    /// Which packet is metered where one travels in another. Default: the one on the wire.
    pub layers: Layers,
    /// Which packets are metered at all. Default: all.
    pub sampling: Option<Selector>,
}

impl Default for MeteringConfig {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(15),
            active_timeout: Duration::from_secs(60),
            max_flows: 1 << 19,
            end_of_flow: None,
            keys: Keys::default(),
            biflows: false,
            details: false,
            first_flow_id: 1,
            layers: Layers::Outer,
            sampling: None,
        }
    }
}

/// What tells flows apart beside addresses and protocol. What does not is not in their records either.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "a set")]
pub struct Keys {
    /// Ports, or ICMP's type and code.
    pub ports: bool,
    /// Both VLAN identifiers.
    pub vlan: bool,
    /// The network in a tunnel.
    pub segment: bool,
    /// The interface.
    pub interface: bool,
}

impl Default for Keys {
    /// All of them.
    fn default() -> Self {
        Self { ports: true, vlan: true, segment: true, interface: true }
    }
}

/// IP packets that were not metered, as ignoredPacketTotalCount has them (RFC 7011 section 4.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ignored {
    /// How many.
    pub packets: u64,
    /// Octets of their frames on the wire: where their IP packets begin is not always known.
    pub octets: u64,
    /// When the first and the last were seen, in nanoseconds since the Unix epoch; 0 without any.
    pub first_ns: u64,
    /// See `first_ns`.
    pub last_ns: u64,
}

impl Ignored {
    /// Returns those that came after `earlier` was told.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self { packets: self.packets - earlier.packets, octets: self.octets - earlier.octets, ..self }
    }
}

/// Selects, parses and meters packets, and counts what could not be parsed.
pub struct Meter {
    table: FlowTable,
    layers: Layers,
    sampler: Option<Sampler>,
    fragments: Fragments,
    tunnelled: u64,
    truncated: u64,
    unparsed: [u64; Unparsed::ALL.len()],
    ignored: Ignored,
}

impl Meter {
    /// Returns a meter without flows; `seed` should be random, it keeps the table's hashes unguessable.
    pub fn new(config: MeteringConfig, seed: u64) -> Self {
        Self {
            table: FlowTable::new(config, seed),
            layers: config.layers,
            // Not the seed itself, whose numbers hash the flows.
            sampler: config.sampling.map(|selector| Sampler::new(selector, seed.rotate_left(32))),
            fragments: Fragments::new(seed.rotate_left(16)),
            tunnelled: 0,
            truncated: 0,
            unparsed: [0; Unparsed::ALL.len()],
            ignored: Ignored::default(),
        }
    }

    /// Takes in one packet, if it is selected, and appends the records of flows that ended; see [`FlowTable::packet`] for when.
    #[inline]
    pub fn packet(&mut self, packet: &Packet<'_>, out: &mut Vec<FlowRecord>) {
        if let Some(sampler) = &mut self.sampler
            && !sampler.select(packet)
        {
            return;
        }
        if self.layers != Layers::Outer {
            return self.packet_in_packets(packet, out);
        }
        match PacketView::parse(packet) {
            Ok(view) if view.fragment.is_some() => self.fragment(view, packet, out),
            Ok(view) => {
                self.truncated += u64::from(view.cut);
                self.table.packet(&view, packet, out);
            }
            Err(reason) => self.ignore(packet, reason),
        }
    }

    /// Apart, so that the view of a whole packet need not be in memory.
    #[cold]
    #[inline(never)]
    fn fragment(&mut self, mut view: PacketView, packet: &Packet<'_>, out: &mut Vec<FlowRecord>) {
        self.truncated += u64::from(view.cut);
        self.fragments.resolve(&mut view, packet.timestamp);
        self.table.packet(&view, packet, out);
    }

    /// Apart, so that metering without tunnels does not carry it along.
    #[inline(never)]
    fn packet_in_packets(&mut self, packet: &Packet<'_>, out: &mut Vec<FlowRecord>) {
        let Self { table, fragments, truncated, .. } = self;
        let metered = PacketView::each(packet, self.layers, |view| {
            let mut view = *view;
            *truncated += u64::from(view.cut);
            fragments.resolve(&mut view, packet.timestamp);
            table.packet(&view, packet, out);
        });
        match metered {
            Ok(metered) => self.tunnelled += metered as u64 - 1,
            Err(reason) => self.ignore(packet, reason),
        }
    }

    #[cold]
    fn ignore(&mut self, packet: &Packet<'_>, reason: Unparsed) {
        self.unparsed[reason as usize] += 1;
        if reason == Unparsed::NotIp {
            return;
        }
        let Ignored { packets, octets, first_ns, last_ns } = &mut self.ignored;
        *first_ns = if *packets == 0 { packet.timestamp } else { packet.timestamp.min(*first_ns) };
        *last_ns = packet.timestamp.max(*last_ns);
        *packets += 1;
        *octets += u64::from(packet.original_length);
    }

    /// Returns the IP packets that were not metered.
    pub const fn ignored(&self) -> Ignored {
        self.ignored
    }

    /// Returns what selects the packets, if not all are metered.
    pub const fn sampler(&self) -> Option<&Sampler> {
        self.sampler.as_ref()
    }

    /// Returns how many packets were left out by sampling.
    pub fn not_selected(&self) -> u64 {
        self.sampler().map_or(0, |sampler| sampler.observed() - sampler.selected())
    }

    /// Returns how many packets were metered that travelled in one that was metered, too ([`Layers::Both`]): so many more than were
    /// captured.
    pub const fn tunnelled(&self) -> u64 {
        self.tunnelled
    }

    /// Returns how many packets were metered without ports, ICMP type or control bits, because what was captured of them ends before.
    pub const fn truncated(&self) -> u64 {
        self.truncated
    }

    /// Returns how many fragments were metered without ports, because their first fragment was not known.
    pub const fn unknown_fragments(&self) -> u64 {
        self.fragments.unknown()
    }

    /// See [`FlowTable::settle`].
    pub fn settle(&mut self, out: &mut Vec<FlowRecord>) {
        self.table.settle(out);
    }

    /// See [`FlowTable::advance`].
    pub fn advance(&mut self, now: u64, out: &mut Vec<FlowRecord>) -> bool {
        self.table.advance(now, out)
    }

    /// See [`FlowTable::flush`].
    pub fn flush(&mut self, reason: FlowEndReason, out: &mut Vec<FlowRecord>) -> bool {
        self.table.flush(reason, out)
    }

    /// See [`FlowTable::begin_survey`].
    pub const fn begin_survey(&self) -> Survey {
        self.table.begin_survey()
    }

    /// See [`FlowTable::survey`].
    pub fn survey(&self, survey: &mut Survey) -> bool {
        self.table.survey(survey)
    }

    /// See [`FlowTable::largest`].
    pub fn largest(&self, survey: &Survey) -> Vec<FlowRecord> {
        self.table.largest(survey)
    }

    /// See [`FlowTable::clock`].
    pub const fn clock(&self) -> u64 {
        self.table.clock()
    }

    /// Returns how many flows are kept.
    pub const fn active_flows(&self) -> usize {
        self.table.len()
    }

    /// Returns what was metered so far.
    pub const fn counters(&self) -> &Counters {
        self.table.counters()
    }

    /// Returns how many packets were not metered for `reason`.
    pub const fn unparsed(&self, reason: Unparsed) -> u64 {
        self.unparsed[reason as usize]
    }
}
