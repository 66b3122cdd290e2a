//! The floor: walks messages and sets without checking more than it must, and copies every field of
//! records with fixed lengths into a struct, by a match on the element's number.

use std::collections::HashMap;
use std::hint::black_box;

use ipfix::{Field, Value};

/// A flow in host order.
#[derive(Clone, Default)]
pub(crate) struct Flow {
    source: [u8; 16],
    destination: [u8; 16],
    next_hop: [u8; 16],
    octets: u64,
    packets: u64,
    start: u64,
    end: u64,
    ingress: u32,
    egress: u32,
    source_as: u32,
    destination_as: u32,
    source_port: u16,
    destination_port: u16,
    flags: u16,
    vlan: u16,
    protocol: u8,
    class: u8,
    source_mask: u8,
    destination_mask: u8,
    end_reason: u8,
    direction: u8,
    ttl: u8,
    icmp: u16,
    sampler: u16,
}

impl Flow {
    /// A value that depends on the reading being right.
    pub(crate) fn check(&self) -> u64 {
        self.octets ^ self.end
    }

    /// Takes in a decoded field.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the widths of the elements")]
    pub(crate) fn set(&mut self, field: &Field<'_>) {
        match field.id() {
            8 | 27 => set_address(&mut self.source, field),
            12 | 28 => set_address(&mut self.destination, field),
            15 | 62 => set_address(&mut self.next_hop, field),
            1 => self.octets = number_of(field),
            2 => self.packets = number_of(field),
            152 => self.start = number_of(field),
            153 => self.end = number_of(field),
            10 => self.ingress = number_of(field) as u32,
            14 => self.egress = number_of(field) as u32,
            16 => self.source_as = number_of(field) as u32,
            17 => self.destination_as = number_of(field) as u32,
            7 => self.source_port = number_of(field) as u16,
            11 => self.destination_port = number_of(field) as u16,
            6 => self.flags = number_of(field) as u16,
            58 => self.vlan = number_of(field) as u16,
            4 => self.protocol = number_of(field) as u8,
            5 => self.class = number_of(field) as u8,
            9 | 29 => self.source_mask = number_of(field) as u8,
            13 | 30 => self.destination_mask = number_of(field) as u8,
            136 => self.end_reason = number_of(field) as u8,
            61 => self.direction = number_of(field) as u8,
            192 => self.ttl = number_of(field) as u8,
            32 | 139 => self.icmp = number_of(field) as u16,
            48 => self.sampler = number_of(field) as u16,
            _ => {}
        }
    }
}

#[inline(always)]
fn set_address(target: &mut [u8; 16], field: &Field<'_>) {
    match field.value() {
        Value::Ipv4(address) => target[..4].copy_from_slice(&address.octets()),
        Value::Ipv6(address) => *target = address.octets(),
        _ => {}
    }
}

#[inline(always)]
fn number_of(field: &Field<'_>) -> u64 {
    match field.value() {
        Value::Unsigned(value) | Value::Milliseconds(value) => value,
        _ => 0,
    }
}

struct Plan {
    fields: Vec<(u16, u16)>,
    length: usize,
    options: bool,
}

/// Copies all flows of the messages. Returns their number and a check sum.
pub(crate) fn copy(octets: &[u8]) -> (u64, u64) {
    let mut plans: HashMap<(u32, u16), Plan> = HashMap::new();
    let mut flows: Vec<Flow> = Vec::with_capacity(4096);
    let (mut records, mut sum) = (0, 0_u64);
    let mut rest = octets;
    while rest.len() >= 16 {
        let (message, after) = rest.split_at(usize_of(&rest[2..4]));
        rest = after;
        flows.clear();
        let domain = u32::from_be_bytes([message[12], message[13], message[14], message[15]]);
        let mut at = 16;
        while at + 4 <= message.len() {
            let (id, length) = (usize_of(&message[at..at + 2]), usize_of(&message[at + 2..at + 4]));
            let set = &message[at + 4..at + length];
            at += length;
            if id < 256 {
                templates(set, id == 3, domain, &mut plans);
                continue;
            }
            let id = u16::try_from(id).unwrap_or(0);
            let Some(plan) = plans.get(&(domain, id)).filter(|plan| !plan.options) else { continue };
            let mut start = 0;
            while start + plan.length <= set.len() {
                let record = &set[start..start + plan.length];
                start += plan.length;
                let flow = copy_record(record, &plan.fields);
                records += 1;
                sum = sum.wrapping_add(flow.check());
                flows.push(flow);
            }
        }
        black_box(&flows);
    }
    (records, sum)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the widths of the elements")]
fn copy_record(record: &[u8], fields: &[(u16, u16)]) -> Flow {
    let mut flow = Flow::default();
    let mut at = 0;
    for &(id, length) in fields {
        let octets = &record[at..at + usize::from(length)];
        at += usize::from(length);
        match id {
            8 => flow.source[..4].copy_from_slice(octets),
            12 => flow.destination[..4].copy_from_slice(octets),
            15 => flow.next_hop[..4].copy_from_slice(octets),
            27 => flow.source.copy_from_slice(octets),
            28 => flow.destination.copy_from_slice(octets),
            62 => flow.next_hop.copy_from_slice(octets),
            1 => flow.octets = number(octets),
            2 => flow.packets = number(octets),
            152 => flow.start = number(octets),
            153 => flow.end = number(octets),
            10 => flow.ingress = number(octets) as u32,
            14 => flow.egress = number(octets) as u32,
            16 => flow.source_as = number(octets) as u32,
            17 => flow.destination_as = number(octets) as u32,
            7 => flow.source_port = number(octets) as u16,
            11 => flow.destination_port = number(octets) as u16,
            6 => flow.flags = number(octets) as u16,
            58 => flow.vlan = number(octets) as u16,
            4 => flow.protocol = number(octets) as u8,
            5 => flow.class = number(octets) as u8,
            9 | 29 => flow.source_mask = number(octets) as u8,
            13 | 30 => flow.destination_mask = number(octets) as u8,
            136 => flow.end_reason = number(octets) as u8,
            61 => flow.direction = number(octets) as u8,
            192 => flow.ttl = number(octets) as u8,
            32 | 139 => flow.icmp = number(octets) as u16,
            48 => flow.sampler = number(octets) as u16,
            _ => {}
        }
    }
    flow
}

fn templates(set: &[u8], options: bool, domain: u32, plans: &mut HashMap<(u32, u16), Plan>) {
    let mut at = 0;
    while at + 4 <= set.len() {
        let (id, count) = (number(&set[at..at + 2]), number(&set[at + 2..at + 4]));
        at += if options { 6 } else { 4 };
        let mut fields = Vec::new();
        for _ in 0..count {
            let read = |at: usize| u16::from_be_bytes([set[at], set[at + 1]]);
            fields.push((read(at), read(at + 2)));
            at += 4;
        }
        let length = fields.iter().map(|field| usize::from(field.1)).sum();
        plans.insert((domain, u16::try_from(id).unwrap_or(0)), Plan { fields, length, options });
    }
}

#[inline(always)]
fn number(octets: &[u8]) -> u64 {
    let mut value = 0;
    for &octet in octets {
        value = value << 8 | u64::from(octet);
    }
    value
}

fn usize_of(octets: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([octets[0], octets[1]]))
}
