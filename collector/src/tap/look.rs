//! One message that somebody looks at.

use std::net::IpAddr;

use ipfix::{Header, Record, Template, Value, Visitor, Withdrawal};

use super::talkers::{Flow, Service};
use super::{Examiner, Found, PLAN_OCTETS, STRIDE};
use crate::json::Lines;

/// A look at one message: takes what is wanted of its records and sends it when the message is over.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    examiner: &'a mut Examiner,
    /// One record in so many is taken for the talkers; 0: none.
    one_in: usize,
    /// Flow records so far.
    seen: usize,
    flows: Vec<Flow>,
    /// For each watch: lines, and how many.
    texts: Vec<(Vec<u8>, u64)>,
}

impl<'a> Look<'a> {
    pub(super) fn new(examiner: &'a mut Examiner, is_sampled: bool, octets: usize) -> Self {
        let one_in = if is_sampled { octets / STRIDE + 1 } else { 0 };
        let texts = vec![(Vec::new(), 0); examiner.watches.len()];
        Self { examiner, one_in, seen: 0, flows: Vec::new(), texts }
    }

    /// Looks at a flow record.
    fn record(&mut self, record: &Record<'_>) {
        if self.one_in > 0 && self.seen.is_multiple_of(self.one_in) {
            self.flows.extend(flow(record));
        }
        self.seen += 1;
        let Examiner { watches, lines, prefix, .. } = &mut *self.examiner;
        for (watch, (text, count)) in watches.iter().zip(&mut self.texts) {
            if !watch.filter.matches(record) {
                continue;
            }
            watch.matched.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if watch.admit() {
                let lines = lines.get_or_insert_with(|| Box::new(Lines::with_plans(PLAN_OCTETS)));
                line(text, lines, prefix, record);
                *count += 1;
            }
        }
    }

    /// The message is over, and was well-formed. What there is no room for is dropped.
    pub(crate) fn send(self) {
        let Examiner { control, watches, stands_for, .. } = self.examiner;
        if !self.flows.is_empty() {
            let stands_for = u64::from(*stands_for) * self.one_in as u64;
            let _ = control.found.try_send(Found::Flows { flows: self.flows, stands_for });
        }
        for (watch, (lines, count)) in watches.iter().zip(self.texts) {
            if count > 0 && control.found.try_send(Found::Lines { watch: watch.clone(), lines }).is_err() {
                watch.drop_lines(count);
            }
        }
    }
}

/// Appends a record as a line that begins with `prefix`, an object's beginning.
fn line(text: &mut Vec<u8>, lines: &mut Lines, prefix: &str, record: &Record<'_>) {
    let start = text.len();
    text.extend_from_slice(prefix.as_bytes());
    let object = text.len();
    lines.record(text, record, None);
    if object > start {
        match text.get(object + 1) {
            // The object goes on where the prefix ends.
            Some(b'"') => text[object] = b',',
            // There is nothing in the record's.
            _ => drop(text.remove(object)),
        }
    }
}

/// Elements of a flow: the first that a record has counts.
const SOURCES: [u16; 2] = [8, 27];
const DESTINATIONS: [u16; 2] = [12, 28];
/// octetDeltaCount, initiatorOctets, octetTotalCount; and of packets.
const OCTETS: [u16; 3] = [1, 231, 85];
const PACKETS: [u16; 3] = [2, 298, 86];
const PROTOCOL: u16 = 4;
const DESTINATION_PORT: u16 = 11;

/// Returns what a record tells of a flow, if it has addresses and octets.
fn flow(record: &Record<'_>) -> Option<Flow> {
    let value = |id: u16| record.find(0, id).map(|field| field.value());
    let address = |ids: [u16; 2]| {
        ids.into_iter().find_map(|id| match value(id)? {
            Value::Ipv4(address) => Some(IpAddr::V4(address)),
            Value::Ipv6(address) => Some(IpAddr::V6(address)),
            _ => None,
        })
    };
    let number = |id: u16| value(id).and_then(|value| value.as_unsigned());
    let first = |ids: [u16; 3]| ids.into_iter().find_map(number);
    Some(Flow {
        source: address(SOURCES)?,
        destination: address(DESTINATIONS)?,
        service: Service {
            protocol: number(PROTOCOL).and_then(|protocol| u8::try_from(protocol).ok()).unwrap_or(0),
            port: number(DESTINATION_PORT).and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        },
        octets: first(OCTETS)?,
        packets: first(PACKETS).unwrap_or(0),
    })
}

/// A message's way to its visitor, with somebody looking at its flow records.
pub(crate) struct Both<'a, 'b, V> {
    pub(crate) visitor: &'a mut V,
    pub(crate) look: &'a mut Look<'b>,
}

impl<V: Visitor> Visitor for Both<'_, '_, V> {
    fn message(&mut self, header: &Header) {
        self.visitor.message(header);
    }

    fn template(&mut self, domain: u32, template: &Template) {
        self.visitor.template(domain, template);
    }

    fn withdrawal(&mut self, domain: u32, withdrawal: Withdrawal) {
        self.visitor.withdrawal(domain, withdrawal);
    }

    fn record(&mut self, record: &Record<'_>) {
        self.visitor.record(record);
        if !record.template.is_options() {
            self.look.record(record);
        }
    }

    fn no_template(&mut self, domain: u32, set_id: u16, octets: &[u8]) {
        self.visitor.no_template(domain, set_id, octets);
    }
}
