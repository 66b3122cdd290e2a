//! What a template compiles to: the key of each field and the shape of its value.

use std::collections::HashMap;

use ipfix::{DataType, Field, Fields, PlanField, Template};

use super::piece::{Date, Fraction, Piece, WIDEST};
use super::{name, nanos};

/// IANA's paddingOctets (RFC 7012): its value means nothing.
const PADDING_OCTETS: (u32, u16) = (0, 210);

/// Octets in which a line is put together.
const ROOM: usize = 1024;
/// Octets of a key that are copied at once.
const KEY: usize = 32;
/// Octets of the longest key that goes through the room. IANA's are shorter.
const LONGEST_KEY: usize = 2 * KEY;

/// How the lines of a template's records are written.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The keys, one after the other, each with the comma before it and the colon after it; then zeros, so that
    /// [`LONGEST_KEY`] octets can be read from the start of each.
    text: Vec<u8>,
    steps: Vec<Step>,
}

/// What is written of a field.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Where its key starts, and the key's octets; 0: the field is left out.
    key: u32,
    length: u32,
    shape: Shape,
}

/// The values that records consist of mostly: each has so many octets, and text of bounded length.
#[derive(Clone, Copy, Debug)]
enum Shape {
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
            let (specifier, start) = (field.specifier(), plan.text.len());
            if (specifier.pen, specifier.id) != PADDING_OCTETS {
                let name = name(template, at, field);
                let occurrence = seen.entry(name.clone()).or_default();
                *occurrence += 1;
                let again = if *occurrence > 1 { format!("#{occurrence}") } else { String::new() };
                plan.text.extend_from_slice(format!(",\"{name}{again}\":").as_bytes());
            }
            plan.steps.push(Step {
                key: u32::try_from(start).unwrap_or(u32::MAX),
                length: u32::try_from(plan.text.len() - start).unwrap_or(u32::MAX),
                shape: Shape::of(template, at, field),
            });
        }
        plan.text.extend_from_slice(&[0; LONGEST_KEY]);
        plan
    }

    /// Appends the fields of a record that have a key; those of no particular shape as `other` does.
    #[inline]
    pub(super) fn write<'a>(
        &self,
        out: &mut Vec<u8>,
        date: &mut Date,
        fields: Fields<'a>,
        mut other: impl FnMut(&mut Vec<u8>, &Field<'a>),
    ) {
        let mut room = [0; ROOM];
        let mut piece = Piece::new(&mut room);
        for (field, step) in fields.zip(&self.steps) {
            if step.length == 0 {
                continue;
            }
            if piece.left() < LONGEST_KEY + WIDEST {
                piece.flush(out);
            }
            self.key(&mut piece, out, *step);
            if !step.shape.write(&mut piece, date, field.octets()) {
                piece.flush(out);
                other(out, &field);
            }
        }
        piece.flush(out);
    }

    #[inline(always)]
    fn key(&self, piece: &mut Piece<'_>, out: &mut Vec<u8>, Step { key, length, .. }: Step) {
        let (text, length) = (&self.text[key as usize..], length as usize);
        if let Some(first) = text.first_chunk::<KEY>()
            && length <= KEY
        {
            piece.put(first, length);
        } else if let Some(whole) = text.first_chunk::<LONGEST_KEY>()
            && length <= LONGEST_KEY
        {
            piece.put(whole, length);
        } else {
            piece.flush(out);
            out.extend_from_slice(&text[..length]);
        }
    }

    /// Octets it takes in memory, about.
    pub(super) fn octets(&self) -> usize {
        self.text.len() + self.steps.len() * size_of::<Step>()
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

    /// Adds the value if it is of this shape; returns whether it was.
    #[inline(always)]
    fn write(self, piece: &mut Piece<'_>, date: &mut Date, octets: &[u8]) -> bool {
        let written = match self {
            Self::Unsigned1 => octets.first().map(|&octet| piece.octet(octet)),
            Self::Unsigned2 => exact(octets).map(|octets| piece.unsigned(u16::from_be_bytes(octets).into())),
            Self::Unsigned4 => exact(octets).map(|octets| piece.unsigned(u32::from_be_bytes(octets).into())),
            Self::Unsigned8 => exact(octets).map(|octets| piece.unsigned(u64::from_be_bytes(octets))),
            Self::Ipv4 => exact(octets).map(|octets| piece.ipv4(octets)),
            Self::Ipv6 => exact(octets).map(|octets| piece.ipv6(octets)),
            Self::Seconds => exact(octets)
                .map(|octets| piece.time(date, u32::from_be_bytes(octets).into(), 0, Fraction::Milli)),
            Self::Milliseconds => exact(octets).map(|octets| {
                let time = u64::from_be_bytes(octets);
                piece.time(date, time / 1000, nanos(time), Fraction::Milli);
            }),
            Self::Other => None,
        };
        written.is_some()
    }
}

#[inline(always)]
fn exact<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    octets.try_into().ok()
}
