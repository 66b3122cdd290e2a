//! What a durable output has on disk, as a file beside it: on start the output is cut to `offset`.
//!
//! A readable text, one fact per line, closed by its CRC-32C. It is written anew at every sync, synced and renamed into
//! place, after the data was synced.
//!
//! ```text
//! flowpool sidecar 1
//! file flows.jsonl
//! offset 48210
//! ranges 00112233445566778899aabbccddeeff 3 1 0-60 100-4711
//! crc32c 1a2b3c4d
//! ```

use std::fmt::Write;
use std::ops::Range;

use crate::holdings::Holdings;
use crate::identity::{Epoch, Series};

const FIRST_LINE: &str = "flowpool sidecar 1";
/// What the first line of every version begins with.
const NAME: &str = "flowpool sidecar ";
/// The version this crate writes and reads.
pub const VERSION: u32 = 1;

/// What a durable output has on disk.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sidecar {
    /// Name of the data file that the offset is about, without its folder; earlier files of the output are complete.
    pub file: String,
    /// Octets of it that are durable.
    pub offset: u64,
    /// The records in it and in earlier files.
    pub holdings: Holdings,
}

/// Why octets are no sidecar.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SidecarError {
    /// The first line is not the one of a sidecar.
    #[error("octet 0: expected `{FIRST_LINE}`")]
    FirstLine,
    /// A sidecar of another version. What is durable is not known here, so that the data file must not be cut.
    #[error(
        "sidecar of version {version}, and this collector reads {VERSION}: start the version that wrote it, or move the \
             file and its sidecar away"
    )]
    Version {
        /// The version found.
        version: u32,
    },
    /// The last line is not the checksum of what stands before it: the file is torn or changed.
    #[error("octet {offset}: wrong checksum")]
    Checksum {
        /// Where the last line starts.
        offset: usize,
    },
    /// A line is none of those known.
    #[error("octet {offset}: not understood")]
    Line {
        /// Where the line starts.
        offset: usize,
    },
}

impl Sidecar {
    /// Returns the file's octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!("{FIRST_LINE}\nfile {}\noffset {}\n", self.file.escape_default(), self.offset);
        for (series, ranges) in self.holdings.iter().filter(|(_, ranges)| !ranges.is_empty()) {
            write!(out, "ranges {} {} {}", series.ledger, series.epoch, series.domain)
                .expect("into a string");
            for range in ranges {
                write!(out, " {}-{}", range.start, range.end).expect("into a string");
            }
            out.push('\n');
        }
        let sum = crc32c(out.as_bytes());
        writeln!(out, "crc32c {sum:08x}").expect("into a string");
        out.into_bytes()
    }

    /// Reads the file's octets.
    pub fn decode(octets: &[u8]) -> Result<Self, SidecarError> {
        match version(octets).ok_or(SidecarError::FirstLine)? {
            VERSION => {}
            version => return Err(SidecarError::Version { version }),
        }
        let inner = octets.strip_suffix(b"\n").unwrap_or(octets);
        let last = inner.iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at + 1);
        let (body, sum) = octets.split_at(last);
        if sum != format!("crc32c {:08x}\n", crc32c(body)).as_bytes() {
            return Err(SidecarError::Checksum { offset: last });
        }
        let body =
            str::from_utf8(body).map_err(|error| SidecarError::Line { offset: error.valid_up_to() })?;
        let mut sidecar = Self::default();
        let mut offset = 0;
        for (at, line) in body.split_inclusive('\n').enumerate() {
            if at > 0 {
                sidecar.read_line(line.trim_end_matches('\n')).ok_or(SidecarError::Line { offset })?;
            }
            offset += line.len();
        }
        Ok(sidecar)
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "file" => self.file = unescape(rest)?,
            "offset" => self.offset = rest.parse().ok()?,
            "ranges" => {
                let mut words = rest.split(' ');
                let ledger = words.next()?.parse().ok()?;
                let epoch = Epoch(words.next()?.parse().ok()?);
                let series = Series { ledger, epoch, domain: words.next()?.parse().ok()? };
                for word in words {
                    self.holdings.insert_range(series, range(word)?);
                }
            }
            _ => return None,
        }
        Some(())
    }
}

/// The version that the first line tells.
fn version(octets: &[u8]) -> Option<u32> {
    let first = octets.split(|&octet| octet == b'\n').next()?;
    str::from_utf8(first).ok()?.strip_prefix(NAME)?.parse().ok()
}

fn range(word: &str) -> Option<Range<u64>> {
    let (start, end) = word.split_once('-')?;
    let range = start.parse().ok()?..end.parse().ok()?;
    (!range.is_empty()).then_some(range)
}

/// Undoes [`str::escape_default`].
fn unescape(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        out.push(match character {
            '\\' => match rest.next()? {
                't' => '\t',
                'r' => '\r',
                'n' => '\n',
                'u' => {
                    let digits: String = rest.by_ref().skip(1).take_while(|&digit| digit != '}').collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                literal => literal,
            },
            plain => plain,
        });
    }
    Some(out)
}

/// CRC-32C (Castagnoli), as in SCTP (RFC 9260 appendix A).
fn crc32c(octets: &[u8]) -> u32 {
    !octets.iter().fold(!0, |sum, &octet| TABLE[usize::from(sum.to_le_bytes()[0] ^ octet)] ^ (sum >> 8))
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0_u32;
    while at < 256 {
        let (mut value, mut bit) = (at, 0);
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[at as usize] = value;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Sidecar {
        let ledger = "00112233445566778899aabbccddeeff".parse().unwrap();
        let series = Series { ledger, epoch: Epoch(3), domain: 1 };
        let mut holdings = Holdings::new();
        holdings.insert_range(series, 0..60);
        holdings.insert_range(series, 100..4711);
        Sidecar { file: "flows.jsonl".into(), offset: 48210, holdings }
    }

    #[test]
    fn a_sidecar_is_readable() {
        let text = "flowpool sidecar 1\nfile flows.jsonl\noffset 48210\n\
            ranges 00112233445566778899aabbccddeeff 3 1 0-60 100-4711\n";
        let text = format!("{text}crc32c {:08x}\n", crc32c(text.as_bytes()));
        assert_eq!(String::from_utf8(example().encode()).unwrap(), text);
        assert_eq!(Sidecar::decode(text.as_bytes()), Ok(example()));
    }

    #[test]
    fn the_checksum_is_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_torn_or_changed_sidecar_is_refused() {
        let octets = example().encode();
        for length in 0..octets.len() {
            assert!(Sidecar::decode(&octets[..length]).is_err(), "{length} octets");
        }
        for at in 0..octets.len() {
            let mut changed = octets.clone();
            changed[at] ^= 1;
            assert!(Sidecar::decode(&changed).is_err(), "octet {at}");
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_named_by_its_place() {
        let text = format!("{FIRST_LINE}\noffset 1\nranges x 3 1\n");
        let text = format!("{text}crc32c {:08x}\n", crc32c(text.as_bytes()));
        assert_eq!(Sidecar::decode(text.as_bytes()), Err(SidecarError::Line { offset: 28 }));
    }

    proptest! {
        #[test]
        fn any_file_name_survives(file in any::<String>()) {
            let sidecar = Sidecar { file, ..example() };
            prop_assert_eq!(Sidecar::decode(&sidecar.encode()), Ok(sidecar));
        }
    }
}
