//! What a checked message consists of.

use std::ops::Range;
use std::sync::Arc;

use super::Withdrawal;
use crate::Template;

/// What the second walk does, in wire order. Offsets count from the message's start.
#[derive(Debug)]
pub(super) enum Step {
    Template(Arc<Template>),
    Withdrawal(Withdrawal),
    /// Records of one length, back to back. Their lists name the templates `named`.
    Fixed {
        template: Arc<Template>,
        named: Range<usize>,
        start: usize,
        end: usize,
    },
    /// Records ending at `ends[first..last]`.
    Variable {
        template: Arc<Template>,
        named: Range<usize>,
        start: usize,
        first: usize,
        last: usize,
    },
    NoTemplate {
        set_id: u16,
        start: usize,
        end: usize,
    },
}

impl Step {
    /// Returns the records of a step that has any, with their template.
    pub(super) fn records<'a>(
        &'a self,
        octets: &'a [u8],
        ends: &'a [u32],
    ) -> Option<(&'a Template, Records<'a>)> {
        match self {
            Self::Fixed { template, start, end, .. } => {
                let records = octets[*start..*end].chunks_exact(template.shortest_record());
                Some((template, Records::Fixed(records)))
            }
            Self::Variable { template, start, first, last, .. } => Some((
                template,
                Records::Variable { octets, start: *start, ends: ends[*first..*last].iter() },
            )),
            Self::Template(_) | Self::Withdrawal(_) | Self::NoTemplate { .. } => None,
        }
    }
}

/// The octets of a set's records, one by one.
pub(super) enum Records<'a> {
    Fixed(std::slice::ChunksExact<'a, u8>),
    Variable { octets: &'a [u8], start: usize, ends: std::slice::Iter<'a, u32> },
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::Fixed(records) => records.next(),
            Self::Variable { octets, start, ends } => {
                let end = *ends.next()? as usize;
                Some(&octets[std::mem::replace(start, end)..end])
            }
        }
    }
}
