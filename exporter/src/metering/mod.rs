//! Packets to flow records (RFC 7011 section 2 "Metering Process"): unidirectional flows, ended by time-outs.
//!
//! No clock: time is what the packets say, so a capture gives the same flows however fast it is read.
//! A flow is cut when the next packet of its key comes more than the idle time-out after the last one
//! (reason: idle) or more than the active time-out after the first one (reason: active). [`FlowTable`] also
//! ends flows without waiting for a next packet, once idle for long enough and at most 1/254 of the time-out
//! late; this moves when a record comes out but not what is in it.

mod expiry;
mod key;
mod record;
mod table;

pub use key::FlowKey;
pub use record::{Direction, FlowEndReason, FlowRecord};
pub use table::{Counters, FlowTable};

use crate::capture::Packet;
use crate::packet::{Layers, PacketView, Unparsed};
use std::time::Duration;

/// How packets become flows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MeteringConfig {
    /// A flow without packets for longer than this ends. Default 15 s.
    pub idle_timeout: Duration,
    /// A flow older than this ends and goes on as a new one. Default 60 s.
    pub active_timeout: Duration,
    /// Flows kept at a time. When one more comes, the flow nearest to its end is ended early. Default 524,288, which take about 64 MiB.
    pub max_flows: usize,
    /// How long after a FIN or RST a TCP flow ends; it takes in the last acknowledgement. Default: it ends by the time-outs only.
    pub end_of_flow: Option<Duration>,
    /// What the records say in flowDirection. Default ingress.
    pub direction: Direction,
    /// Which packet is metered where one travels in another. Default: the one on the wire.
    pub layers: Layers,
}

impl Default for MeteringConfig {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(15),
            active_timeout: Duration::from_secs(60),
            max_flows: 1 << 19,
            end_of_flow: None,
            direction: Direction::Ingress,
            layers: Layers::Outer,
        }
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

/// Parses and meters packets, and counts what could not be parsed.
pub struct Meter {
    table: FlowTable,
    layers: Layers,
    tunnelled: u64,
    unparsed: [u64; Unparsed::ALL.len()],
    ignored: Ignored,
}

impl Meter {
    /// Returns a meter without flows; `seed` should be random, it keeps the table's hashes unguessable.
    pub fn new(config: MeteringConfig, seed: u64) -> Self {
        Self {
            table: FlowTable::new(config, seed),
            layers: config.layers,
            tunnelled: 0,
            unparsed: [0; Unparsed::ALL.len()],
            ignored: Ignored::default(),
        }
    }

    /// Meters one packet and appends the records of flows that ended before it.
    #[inline]
    pub fn packet(&mut self, packet: &Packet<'_>, out: &mut Vec<FlowRecord>) {
        if self.layers != Layers::Outer {
            return self.packet_in_packets(packet, out);
        }
        match PacketView::parse(packet) {
            Ok(view) => self.table.packet(&view, packet.timestamp, out),
            Err(reason) => self.ignore(packet, reason),
        }
    }

    /// Apart, so that metering without tunnels does not carry it along.
    #[inline(never)]
    fn packet_in_packets(&mut self, packet: &Packet<'_>, out: &mut Vec<FlowRecord>) {
        let table = &mut self.table;
        match PacketView::each(packet, self.layers, |view| table.packet(view, packet.timestamp, out)) {
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

    /// Returns how many packets were metered that travelled in one that was metered, too ([`Layers::Both`]): so many more than were
    /// captured.
    pub const fn tunnelled(&self) -> u64 {
        self.tunnelled
    }

    /// See [`FlowTable::advance`].
    pub fn advance(&mut self, now: u64, out: &mut Vec<FlowRecord>) -> bool {
        self.table.advance(now, out)
    }

    /// See [`FlowTable::flush`].
    pub fn flush(&mut self, reason: FlowEndReason, out: &mut Vec<FlowRecord>) -> bool {
        self.table.flush(reason, out)
    }

    /// Returns how many flows are kept.
    pub fn active_flows(&self) -> usize {
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
