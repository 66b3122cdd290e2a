//! Data Records as lines of JSON: one object per record, keys in template order, IANA's element names.
//!
//! A template compiles once to a plan (`plan.rs`): its keys, and the shapes of its values. A record is appended to an octet
//! buffer without allocating. Elements no registry here has are kept as `e<PEN>id<N>` in hexadecimal, unless the exporter
//! told their names and types (RFC 5610); so is what does not fit its type. An element that occurs again in a template
//! (RFC 7011 section 8) has `#2`, `#3`, … behind its name. Padding is left out.
//!
//! Lists (RFC 6313) are objects, `list.rs` says of which form.

mod list;
mod piece;
mod plan;
pub(crate) mod text;

use std::collections::HashMap;
use std::sync::Arc;

use ipfix::view::ElementName;
use ipfix::{Direction, PlanField, Record, Template, Value};

use self::piece::{Fraction, Piece, Times};
use self::plan::{Plan, ROOM};

/// Keys of a line that are no element's. An exporter must not name one of its elements so.
const OWN_KEYS: [&str; 16] = [
    "ledger",
    "epoch",
    "domain",
    "number",
    "options",
    "direction",
    "exporter",
    "session",
    "stream",
    "sequence",
    "source",
    "template",
    "received",
    "export-time",
    "sampling",
    "scaled",
];

/// Octets of plans kept for the templates of one session, unless told otherwise. Whoever defines more has them compiled
/// again and again.
const MAX_PLAN_OCTETS: usize = 4 << 20;

/// What marks the line of a biflow's reverse flow, before its fields.
pub(crate) const REVERSE: &[u8] = b",\"direction\":\"reverse\"";

/// The identity of a record (see docs/wire.md), as its line tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    /// What [`identity_prefix`] returned for the record's series.
    pub(crate) prefix: &'a [u8],
    pub(crate) number: u64,
}

/// Returns the start of every line of a series, up to its number.
pub(crate) fn identity_prefix(ledger: [u8; 16], epoch: u32, domain: u32) -> Vec<u8> {
    let mut out = b"{\"ledger\":".to_vec();
    text::hex(&mut out, &ledger);
    out.extend_from_slice(b",\"epoch\":");
    text::unsigned(&mut out, epoch.into());
    out.extend_from_slice(b",\"domain\":");
    text::unsigned(&mut out, domain.into());
    out.extend_from_slice(b",\"number\":");
    out
}

/// Writes the records of one transport session.
#[derive(Debug)]
pub(crate) struct Lines {
    plans: Vec<Arc<Plan>>,
    /// Place in `plans` by [`Template::serial`].
    places: HashMap<u64, usize>,
    latest: Option<(u64, usize)>,
    /// Octets of all plans, and how many there may be.
    octets: usize,
    max_octets: usize,
    times: Times,
    /// In which lines are put together.
    room: Box<[u8; ROOM]>,
}

impl Default for Lines {
    fn default() -> Self {
        Self::with_plans(MAX_PLAN_OCTETS)
    }
}

impl Lines {
    /// Returns lines that keep so many octets of plans at most.
    pub(crate) fn with_plans(max_octets: usize) -> Self {
        Self {
            plans: Vec::new(),
            places: HashMap::new(),
            latest: None,
            octets: 0,
            max_octets,
            times: Times::default(),
            room: Box::new([0; ROOM]),
        }
    }

    /// Appends one line. An options record is marked by `"options":true`, before its fields.
    pub(crate) fn record(&mut self, out: &mut Vec<u8>, record: &Record<'_>, identity: Option<Identity<'_>>) {
        self.uniflow(out, record, identity, Direction::Forward);
    }

    /// As [`Self::record`], of a biflow that was split: its reverse flow is marked by `"direction":"reverse"`.
    pub(crate) fn uniflow(
        &mut self,
        out: &mut Vec<u8>,
        record: &Record<'_>,
        identity: Option<Identity<'_>>,
        direction: Direction,
    ) {
        let line = out.len();
        if let Some(Identity { prefix, number }) = identity {
            out.extend_from_slice(prefix);
            text::unsigned(out, number);
        }
        if direction == Direction::Reverse {
            out.extend_from_slice(REVERSE);
        }
        if record.template.is_options() {
            out.extend_from_slice(b",\"options\":true");
        }
        if record.template.has_lists() {
            self.fields_with_lists(out, record.template, record.fields(), record.sub_templates);
            out.extend_from_slice(b"}\n");
        } else {
            let place = self.place_of(record.template);
            let Self { plans, times, room, .. } = self;
            let mut piece = Piece::new(room);
            plans[place].write(&mut piece, out, times, record.fields(), |out, field| {
                value(out, field.value(), field.octets().len());
            });
            piece.put(b"}\n", 2);
            piece.flush(out);
        }
        begin(out, line);
    }

    /// Returns the place of the template's plan.
    #[inline]
    fn place_of(&mut self, template: &Template) -> usize {
        let serial = template.serial();
        let place = match self.latest {
            Some((latest, place)) if latest == serial => place,
            _ => self.place(serial, template),
        };
        self.latest = Some((serial, place));
        place
    }

    fn place(&mut self, serial: u64, template: &Template) -> usize {
        if let Some(&place) = self.places.get(&serial) {
            return place;
        }
        let plan = Plan::compile(template);
        if self.octets + plan.octets() > self.max_octets {
            *self = Self::with_plans(self.max_octets);
        }
        self.octets += plan.octets();
        self.plans.push(Arc::new(plan));
        self.places.insert(serial, self.plans.len() - 1);
        self.plans.len() - 1
    }
}

/// Begins the line that was written from `line` on. Without identity it starts with the comma before its first key, if it
/// has any.
#[inline]
fn begin(out: &mut Vec<u8>, line: usize) {
    match out.get_mut(line) {
        Some(first @ (b',' | b'{')) => *first = b'{',
        _ => out.insert(line, b'{'),
    }
}

/// Returns the registry's name, or what the exporter calls its own element (RFC 5610), as long as that is no other key.
/// Neither holds anything JSON would have to escape.
fn name(template: &Template, at: usize, field: &PlanField) -> String {
    let told = template.description(at).filter(|told| !OWN_KEYS.contains(&&*told.name));
    told.map_or_else(|| ElementName(field.specifier()).to_string(), |told| told.name.to_string())
}

/// Appends a value; its field has so many octets.
#[inline]
pub(crate) fn value(out: &mut Vec<u8>, value: Value<'_>, octets: usize) {
    match value {
        Value::Unsigned(value) => text::unsigned(out, value),
        Value::Signed(value) => text::signed(out, value),
        // A single-precision number is told with its own digits.
        #[expect(clippy::cast_possible_truncation, reason = "was made of an f32")]
        Value::Float(value) if octets == 4 => text::float32(out, value as f32),
        Value::Float(value) => text::float(out, value),
        Value::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Mac(octets) => text::mac(out, octets),
        Value::String(text) => text::string(out, text.0),
        Value::Seconds(seconds) => text::time(out, seconds.into(), 0, Fraction::Milli),
        Value::Milliseconds(time) => {
            text::time(out, time / 1000, nanos(time), Fraction::Milli);
        }
        Value::Microseconds(time) => {
            let time = time.microseconds_since_unix_epoch();
            text::time(out, time.as_secs(), time.subsec_nanos(), Fraction::Micro);
        }
        Value::Nanoseconds(time) => {
            let time = time.since_unix_epoch();
            text::time(out, time.as_secs(), time.subsec_nanos(), Fraction::Nano);
        }
        Value::Ipv4(address) => text::ipv4(out, address.octets()),
        Value::Ipv6(address) => text::ipv6(out, address.octets()),
        Value::Octets(octets) | Value::List(octets) => text::hex(out, octets),
    }
}

/// Returns the nanoseconds of a time in milliseconds beyond its second.
fn nanos(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds % 1000).unwrap_or(0) * 1_000_000
}

#[cfg(test)]
mod tests;
