//! Versions 5 and 7: fixed records of flows over IPv4, as templates of our own.
//!
//! The sequence number counts flows, as IPFIX counts records. The observation domain is the engine's type and number.
//! Sampling, which version 5 tells in its header for all records (two bits of mode, 14 of interval), is noted in each record.

use ipfix::{FieldSpecifier, TEMPLATE_SET, TemplateRecord};
use netflow_parser::static_versions::{v5::V5, v7::V7};

use super::clock::Clock;
use super::messages::Messages;
use super::{Read, Source};

/// Template IDs.
const FLOWS: u16 = 256;
const SAMPLED_FLOWS: u16 = 257;

/// What both versions tell: element and octets, in the order in which [`Common`] writes them.
const COMMON: [(u16, u16); 17] = [
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 2),
    (14, 2),
    (2, 4),
    (1, 4),
    (152, 8),
    (153, 8),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 2),
    (17, 2),
    (9, 1),
];
const DESTINATION_PREFIX: (u16, u16) = (13, 1);
/// engineType, engineId.
const ENGINE: [(u16, u16); 2] = [(38, 1), (39, 1)];
/// samplingInterval, samplingAlgorithm.
const SAMPLING: [(u16, u16); 2] = [(34, 4), (35, 1)];
/// ipv4RouterSc.
const ROUTER: (u16, u16) = (43, 4);

/// Writes the template, if the session has not had it lately, and the set header of the records.
fn begin(out: &mut Messages, id: u16, is_due: bool, more: &[(u16, u16)]) {
    if is_due {
        define(out, id, more);
    }
    out.set(id);
}

fn define(out: &mut Messages, id: u16, more: &[(u16, u16)]) {
    let elements = COMMON.iter().chain(std::iter::once(&DESTINATION_PREFIX)).chain(more);
    let fields = elements.map(|&(id, length)| FieldSpecifier::iana(id, length)).collect();
    let template = TemplateRecord { id, scope_fields: 0, fields };
    out.set(TEMPLATE_SET);
    template.encode(out.room(template.wire_length()));
}

/// Appends the fields that both versions have; the crate has a type for each version.
macro_rules! flow {
    ($record:ident, $flow:ident, $clock:ident) => {
        $record.extend($flow.src_addr.octets());
        $record.extend($flow.dst_addr.octets());
        $record.extend($flow.next_hop.octets());
        $record.extend([$flow.input, $flow.output].map(u16::to_be_bytes).as_flattened());
        $record.extend([$flow.d_pkts, $flow.d_octets].map(u32::to_be_bytes).as_flattened());
        $record.extend([$flow.first, $flow.last].map(|at| $clock.absolute(at).to_be_bytes()).as_flattened());
        $record.extend([$flow.src_port, $flow.dst_port].map(u16::to_be_bytes).as_flattened());
        $record.extend([$flow.tcp_flags, $flow.protocol_number, $flow.tos]);
        $record.extend([$flow.src_as, $flow.dst_as].map(u16::to_be_bytes).as_flattened());
        $record.extend([$flow.src_mask, $flow.dst_mask]);
    };
}

/// Translates a datagram of version 5.
pub(super) fn v5(out: &mut Messages, source: &mut Source, packet: &V5, times: (u32, u32)) -> Read {
    let header = &packet.header;
    let clock = Clock::new(header.unix_secs, header.unix_nsecs, header.sys_up_time);
    let domain = u32::from(header.engine_type) << 8 | u32::from(header.engine_id);
    out.begin(header.unix_secs, header.flow_sequence, domain);
    let (mode, interval) = (header.sampling_interval >> 14, header.sampling_interval & 0x3fff);
    let (id, more) = match header.sampling_interval {
        0 => (FLOWS, ENGINE.to_vec()),
        _ => (SAMPLED_FLOWS, [ENGINE, SAMPLING].concat()),
    };
    begin(out, id, source.templates.is_due((domain, id), times), &more);
    for flow in &packet.flowsets {
        let record = out.room(0);
        flow!(record, flow, clock);
        record.extend([header.engine_type, header.engine_id]);
        if header.sampling_interval != 0 {
            record.extend(u32::from(interval).to_be_bytes());
            record.extend(mode.to_be_bytes().last());
        }
    }
    Read::default()
}

/// Translates a datagram of version 7. Which of its fields are not valid, as its flags say, is left to the reader of zeros.
pub(super) fn v7(out: &mut Messages, source: &mut Source, packet: &V7, times: (u32, u32)) -> Read {
    let header = &packet.header;
    let clock = Clock::new(header.unix_secs, header.unix_nsecs, header.sys_up_time);
    out.begin(header.unix_secs, header.flow_sequence, 0);
    begin(out, FLOWS, source.templates.is_due((0, FLOWS), times), &[ROUTER]);
    for flow in &packet.flowsets {
        let record = out.room(0);
        flow!(record, flow, clock);
        record.extend(flow.router_src.octets());
    }
    Read::default()
}
