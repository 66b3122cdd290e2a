//! The counts of one message.

use super::Breach;
use crate::{Header, Template};

/// What one message held, and what was found missing when it came. Counts are of this message alone.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Observation Domain ID.
    pub domain: u32,
    /// Sequence Number of the message's first Data Record.
    pub sequence: u32,
    /// Export Time, in seconds since the Unix epoch.
    pub export_time: u32,
    /// Records of data templates.
    pub records: u32,
    /// Records of options templates.
    pub options_records: u32,
    /// Template Records taken, repeated ones included.
    pub templates: u32,
    /// Options Template Records taken, repeated ones included.
    pub options_templates: u32,
    /// Of these, how many were a living template once more.
    pub templates_repeated: u32,
    /// Of these, how many differed from a living template of the same id.
    pub templates_changed: u32,
    /// Template records refused: beyond a limit, of records without octets, or of many empty fields.
    pub templates_refused: u32,
    /// Withdrawals honoured.
    pub withdrawals: u32,
    /// Withdrawals ignored: of unknown templates, or over UDP.
    pub withdrawals_ignored: u32,
    /// Data sets without a known template.
    pub no_template_sets: u32,
    /// Octets in them, set headers not counted.
    pub no_template_octets: u32,
    /// Lists of records (RFC 6313) without a known template; their records keep the octets.
    pub unknown_sub_templates: u32,
    /// Type records (RFC 5610) that told something new of the exporter's elements.
    pub descriptions: u32,
    /// Type records refused: of what is not the exporter's to say, or that cannot be.
    pub descriptions_refused: u32,
    /// Sets with a reserved Set ID, skipped.
    pub reserved_sets: u32,
    /// Octets in them, set headers counted.
    pub reserved_octets: u32,
    /// Data Records the sequence numbers show missing; told when a second message confirms a jump.
    pub lost: u32,
    /// Template of all these records, where per-stream export shows it (RFC 6526 section 4.5.4).
    pub lost_template: Option<u16>,
    /// The rule of per-stream export that this message broke: the extension is off from here on, which is to be logged
    /// (RFC 6526 section 4.5.3).
    pub breach: Option<Breach>,
    /// Data Records told `lost` earlier and now found: their message came late, or the exporter turns out not
    /// to count as RFC 7011 section 3.1 asks.
    pub late: u32,
    /// Whether the exporter is found to have started its sequence numbers anew.
    pub restarted: bool,
    /// Whether the sequence number was off what was expected.
    pub out_of_sequence: bool,
    /// Whether the sequence number was not followed: there are too many streams and domains.
    pub sequence_untracked: bool,
}

impl Summary {
    pub(super) fn new(header: &Header) -> Self {
        Self {
            domain: header.domain,
            sequence: header.sequence,
            export_time: header.export_time,
            ..Self::default()
        }
    }

    /// Data Records of both kinds.
    #[must_use]
    pub const fn data_records(&self) -> u32 {
        self.records + self.options_records
    }

    pub(super) fn add_records(&mut self, template: &Template, records: usize) {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        if template.is_options() {
            self.options_records += records;
        } else {
            self.records += records;
        }
    }
}
