//! Data Records as lines of JSON: one object per record, keys in template order, IANA's element names.
//!
//! A template compiles once to its keys; a record is appended to an octet buffer without allocating. Elements no
//! registry here has are kept as `e<PEN>id<N>` in hexadecimal, unless the exporter told their names and types (RFC 5610); so is
//! what does not fit its type. An element that
//! occurs again in a template (RFC 7011 section 8) has `#2`, `#3`, … behind its name. Padding is left out.
//!
//! Lists (RFC 6313) are objects, `list.rs` says of which form.

mod list;
pub(crate) mod text;

use std::collections::HashMap;
use std::sync::Arc;

use ipfix::view::ElementName;
use ipfix::{Direction, Field, Fields, PlanField, Record, Template, Value};

use self::text::Fraction;

/// IANA's paddingOctets (RFC 7012): its value means nothing.
const PADDING_OCTETS: (u32, u16) = (0, 210);

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

/// Octets of keys kept for the templates of one session, unless told otherwise. Whoever defines more has them compiled
/// again and again.
const MAX_KEY_OCTETS: usize = 4 << 20;

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
    keys: Vec<Arc<Keys>>,
    /// Place in `keys` by [`Template::serial`].
    places: HashMap<u64, usize>,
    latest: Option<(u64, usize)>,
    /// Octets of all keys, and how many there may be.
    octets: usize,
    max_octets: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self::with_keys(MAX_KEY_OCTETS)
    }
}

/// The keys of a template, one after the other, each with the comma before it and the colon after it.
#[derive(Debug, Default)]
struct Keys {
    text: Vec<u8>,
    /// Where each field's key ends; a field without a key ends where the one before it does.
    ends: Vec<u32>,
}

impl Lines {
    /// Returns lines that keep so many octets of keys at most.
    pub(crate) fn with_keys(max_octets: usize) -> Self {
        Self { keys: Vec::new(), places: HashMap::new(), latest: None, octets: 0, max_octets }
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
        } else {
            self.keys(record.template).write(out, record.fields(), |out, field| {
                value(out, field.value(), field.octets().len());
            });
        }
        close(out, line);
    }

    fn keys(&mut self, template: &Template) -> &Arc<Keys> {
        let serial = template.serial();
        let place = match self.latest {
            Some((latest, place)) if latest == serial => place,
            _ => self.place(serial, template),
        };
        self.latest = Some((serial, place));
        &self.keys[place]
    }

    fn place(&mut self, serial: u64, template: &Template) -> usize {
        if let Some(&place) = self.places.get(&serial) {
            return place;
        }
        let keys = Keys::compile(template);
        if self.octets + keys.octets() > self.max_octets {
            *self = Self::with_keys(self.max_octets);
        }
        self.octets += keys.octets();
        self.keys.push(Arc::new(keys));
        self.places.insert(serial, self.keys.len() - 1);
        self.keys.len() - 1
    }
}

impl Keys {
    fn compile(template: &Template) -> Self {
        let mut keys = Self::default();
        let mut seen = HashMap::<String, u32>::new();
        for (at, field) in template.fields().iter().enumerate() {
            let specifier = field.specifier();
            if (specifier.pen, specifier.id) != PADDING_OCTETS {
                let name = name(template, at, field);
                let occurrence = seen.entry(name.clone()).or_default();
                *occurrence += 1;
                let again = if *occurrence > 1 { format!("#{occurrence}") } else { String::new() };
                keys.text.extend_from_slice(format!(",\"{name}{again}\":").as_bytes());
            }
            keys.ends.push(u32::try_from(keys.text.len()).unwrap_or(u32::MAX));
        }
        keys
    }

    /// Appends the fields that have a key, each as `write` does.
    #[inline]
    fn write<'a>(
        &self,
        out: &mut Vec<u8>,
        fields: Fields<'a>,
        mut write: impl FnMut(&mut Vec<u8>, &Field<'a>),
    ) {
        let mut start = 0;
        for (field, &end) in fields.zip(&self.ends) {
            let end = end as usize;
            if start < end {
                out.extend_from_slice(&self.text[start..end]);
                write(out, &field);
            }
            start = end;
        }
    }

    fn octets(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<u32>()
    }
}

/// Ends the line that starts at `line`. Without identity it starts with the comma before its first key, if it has any.
fn close(out: &mut Vec<u8>, line: usize) {
    match out.get_mut(line) {
        Some(first) => *first = b'{',
        None => out.push(b'{'),
    }
    out.extend_from_slice(b"}\n");
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
            let nanos = u32::try_from(time % 1000).unwrap_or(0) * 1_000_000;
            text::time(out, time / 1000, nanos, Fraction::Milli);
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

#[cfg(test)]
mod tests;
