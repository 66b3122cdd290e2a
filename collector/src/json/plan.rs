//! What a template compiles to: the key of each field and the shape of its value.

use std::collections::HashMap;

use ipfix::{DataType, Field, Fields, PlanField, Template};

use super::name;
use super::piece::{Fraction, Piece, Times, WIDEST};

/// IANA's paddingOctets (RFC 7012): its value means nothing.
const PADDING_OCTETS: (u32, u16) = (0, 210);

/// Octets in which a line is put together.
pub(super) const ROOM: usize = 1024 + WIDEST;
/// Octets of a key that are copied at once. Few of IANA's are longer.
const KEY: usize = 32;

/// How the lines of a template's records are written.
#[derive(Debug, Default)]
pub(super) struct Plan {
    steps: Vec<Step>,
}

/// What is written of a field.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Its key, with the comma before it and the colon after it; then zeros.
    key: [u8; KEY],
    length: u8,
    shape: Shape,
}

/// What follows a key. The values that records consist of mostly have so many octets each, and text of bounded length.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// The rest of the key.
    Key,
    /// Nothing: the field is left out.
    Nothing,
    Unsigned1,
    Unsigned2,
    Unsigned4,
    Unsigned8,
    Ipv4,
    Ipv6,
    Seconds,
    Milliseconds,
    /// Anything else.
    Other,
}

impl Plan {
    pub(super) fn compile(template: &Template) -> Self {
        let mut plan = Self::default();
        let mut seen = HashMap::<String, u32>::new();
        for (at, field) in template.fields().iter().enumerate() {
            let specifier = field.specifier();
            if (specifier.pen, specifier.id) == PADDING_OCTETS {
                plan.steps.push(Step::new(&[], Shape::Nothing));
                continue;
            }
            let name = name(template, at, field);
            let occurrence = seen.entry(name.clone()).or_default();
            *occurrence += 1;
            let again = if *occurrence > 1 { format!("#{occurrence}") } else { String::new() };
            let key = format!(",\"{name}{again}\":");
            let mut parts = key.as_bytes().chunks(KEY).peekable();
            while let Some(part) = parts.next() {
                let is_last = parts.peek().is_none();
                let shape = if is_last { Shape::of(template, at, field) } else { Shape::Key };
                plan.steps.push(Step::new(part, shape));
            }
        }
        plan
    }

    /// Adds the fields of a record that have a key; those of no particular shape as `other` does. What `piece` has no room for
    /// goes to `out`.
    #[inline]
    pub(super) fn write<'a>(
        &self,
        piece: &mut Piece<'_, ROOM>,
        out: &mut Vec<u8>,
        times: &mut Times,
        mut fields: Fields<'a>,
        mut other: impl FnMut(&mut Vec<u8>, &Field<'a>),
    ) {
        for step in &self.steps {
            if !piece.has_room(KEY + WIDEST) {
                piece.flush(out);
            }
            piece.put(&step.key, step.length.into());
            let field = match step.shape {
                Shape::Key => Some(()),
                Shape::Nothing => fields.next().map(drop),
                Shape::Unsigned1 => fields.next_array().map(|[octet]| piece.octet(octet)),
                Shape::Unsigned2 => {
                    fields.next_array().map(|octets| piece.unsigned(u16::from_be_bytes(octets).into()))
                }
                Shape::Unsigned4 => {
                    fields.next_array().map(|octets| piece.unsigned(u32::from_be_bytes(octets).into()))
                }
                Shape::Unsigned8 => {
                    fields.next_array().map(|octets| piece.unsigned(u64::from_be_bytes(octets)))
                }
                Shape::Ipv4 => fields.next_array().map(|octets| piece.ipv4(octets)),
                Shape::Ipv6 => fields.next_array().map(|octets| piece.ipv6(octets)),
                Shape::Seconds => fields.next_array().map(|octets| {
                    piece.time(times, u32::from_be_bytes(octets).into(), 0, Fraction::Milli);
                }),
                Shape::Milliseconds => {
                    fields.next_array().map(|octets| piece.milliseconds(times, u64::from_be_bytes(octets)))
                }
                Shape::Other => fields.next().map(|field| {
                    piece.flush(out);
                    other(out, &field);
                }),
            };
            if field.is_none() {
                return;
            }
        }
    }

    /// Octets it takes in memory, about.
    pub(super) fn octets(&self) -> usize {
        self.steps.len() * size_of::<Step>()
    }
}

impl Step {
    /// `key` has [`KEY`] octets at most.
    fn new(key: &[u8], shape: Shape) -> Self {
        let mut padded = [0; KEY];
        padded[..key.len()].copy_from_slice(key);
        Self { key: padded, length: u8::try_from(key.len()).unwrap_or(0), shape }
    }
}

impl Shape {
    fn of(template: &Template, at: usize, field: &PlanField) -> Self {
        let told = template.description(at).map(|told| told.data_type);
        let Some(data_type) = field.element().map(|element| element.data_type).or(told) else {
            return Self::Other;
        };
        match (data_type, field.specifier().length) {
            (
                DataType::Unsigned8 | DataType::Unsigned16 | DataType::Unsigned32 | DataType::Unsigned64,
                length,
            ) => match length {
                1 => Self::Unsigned1,
                2 => Self::Unsigned2,
                4 => Self::Unsigned4,
                8 => Self::Unsigned8,
                _ => Self::Other,
            },
            (DataType::Ipv4Address, 4) => Self::Ipv4,
            (DataType::Ipv6Address, 16) => Self::Ipv6,
            (DataType::DateTimeSeconds, 4) => Self::Seconds,
            (DataType::DateTimeMilliseconds, 8) => Self::Milliseconds,
            _ => Self::Other,
        }
    }
}
