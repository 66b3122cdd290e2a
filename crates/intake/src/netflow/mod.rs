//! NetFlow versions 5, 7 and 9 (RFC 3954) over UDP, as IPFIX: each datagram becomes IPFIX messages of its source's own
//! session, so that everything behind knows one record model.
//!
//! The crate netflow_parser decodes headers, flow records of versions 5 and 7, and the FlowSets and templates of version 9.
//! It keeps nothing from one datagram to the next: templates live in the IPFIX session alone, with its limits and lifetimes,
//! and records of version 9 are read by their plan there. What changes on the way:
//!
//! * Times by the exporter's uptime become absolute (`flowStartMilliseconds`, `flowEndMilliseconds`), see `clock`.
//! * A field type of version 9 is IANA's element of that number. Types from 32768 on, where IPFIX has its enterprise bit,
//!   become elements `type - 32768` of the reserved enterprise 4294967295.
//! * Scopes of options become the elements for such things, see `v9`.
//!
//! Deviation: over UDP withdrawals have no effect, and version 9 has none; a template without fields is refused.

mod clock;
mod legacy;
mod messages;
mod sequence;
mod templates;
mod v9;

use std::collections::BTreeMap;
use std::ops::Range;

use ipfix::TemplateRecord;
use netflow_parser::{NetflowPacket, NetflowParser};

use self::messages::Messages;
use self::sequence::Datagrams;
use self::templates::Templates;

/// Private Enterprise Number for field types of version 9 that have IPFIX's enterprise bit; IANA has reserved it.
const VENDOR_PEN: u32 = u32::MAX;

/// Source IDs of one source whose sequence numbers are followed.
const MAX_DOMAINS: usize = 64;

/// Fields of one template: as elements of an enterprise each, they fit in a message.
const MAX_FIELDS: usize = 4096;

/// What a datagram is by its first two octets.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Version {
    /// NetFlow version 5.
    V5,
    /// NetFlow version 7, of Catalyst switches.
    V7,
    /// NetFlow version 9 (RFC 3954).
    V9,
    /// IPFIX, or nothing known.
    Ipfix,
}

impl Version {
    /// Returns what `datagram` says to be.
    pub fn of(datagram: &[u8]) -> Self {
        match datagram {
            [0, 5, ..] => Self::V5,
            [0, 7, ..] => Self::V7,
            [0, 9, ..] => Self::V9,
            _ => Self::Ipfix,
        }
    }

    /// The Version Number of its datagrams.
    pub const fn number(self) -> u16 {
        match self {
            Self::V5 => 5,
            Self::V7 => 7,
            Self::V9 => 9,
            Self::Ipfix => 10,
        }
    }

    /// Returns the version with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        [Self::V5, Self::V7, Self::V9, Self::Ipfix].into_iter().find(|version| version.number() == number)
    }
}

/// Why a datagram was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NetflowError {
    /// It is too short.
    #[error("{octets} octets are no header of NetFlow version 9 and a FlowSet")]
    Header {
        /// Octets of the datagram.
        octets: usize,
    },
    /// A FlowSet does not fit.
    #[error("octet {offset}: FlowSet length {length} but {octets} octets are left")]
    SetLength {
        /// Where the length is.
        offset: usize,
        /// What it says.
        length: u16,
        /// What there is.
        octets: usize,
    },
    /// The parser refuses it; what it says has all octets in it.
    #[error("netflow_parser refuses the datagram")]
    Parser,
    /// Something follows that is no padding.
    #[error("octet {offset}: {octets} octets behind the last record")]
    Trailing {
        /// Where it begins.
        offset: usize,
        /// How many octets.
        octets: usize,
    },
}

/// What a source has told so far.
#[derive(Debug, Default)]
pub struct Source {
    templates: Templates,
    /// By source ID.
    datagrams: BTreeMap<u32, Datagrams>,
}

impl Source {
    /// Returns a datagram of version 9 that brings the template once more, which the session knows as `record`.
    pub fn v9_template(&self, domain: u32, record: &TemplateRecord) -> Option<Vec<u8>> {
        v9::template(self, domain, record)
    }
}

/// What was found out beside the messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Read {
    /// Datagrams that sequence numbers show missing (version 9).
    pub lost: u32,
    /// Datagrams counted as missing that came after all.
    pub late: u32,
    /// Templates refused: not valid, or beyond a limit.
    pub templates_refused: u32,
    /// The domain, where the sequence numbers of its messages are none.
    pub uncounted: Option<u32>,
}

/// Makes IPFIX of NetFlow. One for each socket.
#[derive(Debug)]
pub struct Reader {
    parser: NetflowParser,
    /// A datagram as the parser takes it, where that is not as it came.
    prepared: Vec<u8>,
    messages: Messages,
    unknown: Vec<Range<usize>>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// Returns a reader without messages.
    #[must_use]
    pub fn new() -> Self {
        // It must not decode records: whatever template it has just learned is forgotten with the datagram.
        let parser = NetflowParser::builder()
            .with_allowed_versions(&[5, 7, 9])
            .with_cache_size(1)
            .with_max_field_count(MAX_FIELDS)
            .with_max_records_per_flowset(1)
            .with_max_error_sample_size(1)
            .build()
            .unwrap_or_default();
        Self { parser, prepared: Vec::new(), messages: Messages::default(), unknown: Vec::new() }
    }

    /// Returns whether `datagram` could be read.
    pub fn check(&mut self, datagram: &[u8]) -> Result<(), NetflowError> {
        self.parse(datagram).map(drop)
    }

    /// Reads a datagram of `source`; `times` are when it was received and how long templates live, in seconds of any clock. Its content is in [`Self::messages`]
    /// and [`Self::unknown`] then. `again`: it is a set that was held back. Fails, and changes nothing, if the datagram is malformed.
    pub fn read(
        &mut self,
        source: &mut Source,
        datagram: &[u8],
        times: (u32, u32),
        again: bool,
    ) -> Result<Read, NetflowError> {
        self.messages.clear();
        self.unknown.clear();
        let packet = self.parse(datagram)?;
        let out = &mut self.messages;
        let read = match packet {
            NetflowPacket::V5(v5) => legacy::v5(out, source, &v5, times),
            NetflowPacket::V7(v7) => legacy::v7(out, source, &v7, times),
            NetflowPacket::V9(v9) => {
                self.parser.clear_v9_templates();
                v9::translate(out, source, datagram, &v9, times, again, &mut self.unknown)
            }
            _ => return Err(NetflowError::Parser),
        };
        out.finish();
        Ok(read)
    }

    /// The IPFIX messages of the datagram that was read last.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.messages.iter()
    }

    /// The sets of the datagram that was read last whose template is not known: set ID, and a datagram with this set alone.
    pub fn unknown<'a>(&'a self, datagram: &'a [u8]) -> impl Iterator<Item = (u16, Vec<u8>)> + 'a {
        self.unknown.iter().filter_map(|set| {
            let set = datagram.get(set.clone())?;
            let id = u16::from_be_bytes(*set.first_chunk()?);
            Some((id, [datagram.get(..v9::HEADER)?, set].concat()))
        })
    }

    /// The sets of the datagram that was read last whose template is not known, each where it lies in it.
    pub fn unknown_sets(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.unknown.iter().cloned()
    }

    fn parse(&mut self, datagram: &[u8]) -> Result<NetflowPacket, NetflowError> {
        let octets = match Version::of(datagram) {
            Version::V9 => v9::prepare(datagram, &mut self.prepared)?,
            Version::V5 | Version::V7 | Version::Ipfix => datagram,
        };
        let mut packets = self.parser.iter_packets(octets);
        let Some(Ok(packet)) = packets.next() else { return Err(NetflowError::Parser) };
        // The crate would go on with the next packet; one datagram is one.
        match packets.remaining() {
            [] => Ok(packet),
            rest if rest.iter().all(|octet| *octet == 0) => Ok(packet),
            rest => Err(NetflowError::Trailing { offset: octets.len() - rest.len(), octets: rest.len() }),
        }
    }
}

#[cfg(test)]
mod tests;
