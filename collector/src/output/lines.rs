//! Files of lines: JSON lines, and CSV with its header.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use super::batch::Form;
use super::file::Format;
use super::form::{Column, header};

/// A format in which every record is a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// The first line of every file, if there is one.
    header: Vec<u8>,
}

impl Lines {
    /// Lines of JSON.
    pub(super) fn json() -> Self {
        Self::default()
    }

    /// Lines of comma-separated values.
    pub(super) fn csv(columns: &[Column]) -> Self {
        let mut lines = Self::default();
        header(&mut lines.header, columns);
        lines
    }
}

impl Format for Lines {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
    }

    fn append(&mut self, out: &mut Vec<u8>, form: &Form, records: Range<usize>) {
        out.extend_from_slice(&form.octets[records]);
    }

    fn record_length(&self, octets: &[u8]) -> usize {
        octets.iter().position(|&octet| octet == b'\n').map_or(octets.len(), |at| at + 1)
    }

    fn whole(&self, file: &mut File, length: u64) -> io::Result<u64> {
        end_of_last_line(file, length)
    }
}

/// Returns where the last whole line of `file` ends.
fn end_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        io::Read::by_ref(file).take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|&octet| octet == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
