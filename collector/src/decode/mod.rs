//! `ipfix-collector decode FILE`: prints an IPFIX message file (RFC 5655: messages back to back) as JSON lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use ipfix::{CollectingConfig, CollectingSession, Header, Record, Visitor};

use crate::json::Lines;

/// Octets of lines gathered before they are written.
const WRITE_OCTETS: usize = 256 << 10;

/// Prints the records of `path`; `-` is standard input. Fails at the first octets that are no message, after what came before.
pub(crate) fn run(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let mut out = io::stdout().lock();
    let decoded = if path.as_os_str() == "-" {
        decode(&mut io::stdin().lock(), &mut out)
    } else {
        let file = File::open(path).with_context(|| format!("{name}"))?;
        decode(&mut BufReader::with_capacity(WRITE_OCTETS, file), &mut out)
    };
    decoded.with_context(|| format!("{name}"))
}

fn decode(input: &mut impl BufRead, out: &mut impl Write) -> anyhow::Result<()> {
    let mut session = CollectingSession::new(CollectingConfig::default());
    let mut printer = Printer::default();
    let mut message = Vec::new();
    let mut offset = 0_u64;
    while !input.fill_buf()?.is_empty() {
        let read = read_message(input, &mut message);
        let decoded = read.and_then(|()| Ok(session.decode(0, &message, &mut printer)?));
        if printer.text.len() >= WRITE_OCTETS || decoded.is_err() {
            out.write_all(&printer.text)?;
            printer.text.clear();
        }
        decoded.with_context(|| format!("message at octet {offset}"))?;
        offset += message.len() as u64;
    }
    out.write_all(&printer.text)?;
    out.flush()?;
    if printer.no_template > 0 {
        bail!("{} sets have no template", printer.no_template);
    }
    Ok(())
}

/// Reads one message by its length field.
fn read_message(input: &mut impl BufRead, message: &mut Vec<u8>) -> anyhow::Result<()> {
    message.resize(Header::LENGTH, 0);
    input.read_exact(message).context("the file ends within a message header")?;
    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
    if length < Header::LENGTH {
        bail!("octet 2: message length {length} is below {}", Header::LENGTH);
    }
    message.resize(length, 0);
    input.read_exact(&mut message[Header::LENGTH..]).context("the file ends within a message")
}

#[derive(Default)]
struct Printer {
    lines: Lines,
    text: Vec<u8>,
    no_template: u64,
}

impl Visitor for Printer {
    fn record(&mut self, record: &Record<'_>) {
        self.lines.record(&mut self.text, record, None);
    }

    fn no_template(&mut self, _domain: u32, _set_id: u16, _octets: &[u8]) {
        self.no_template += 1;
    }
}

#[cfg(test)]
mod tests {
    use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, TemplateRecord};

    use super::*;

    /// Two messages with one record each: octetDeltaCount 1 and 2.
    fn stream() -> Vec<u8> {
        let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 1400 });
        let fields = vec![FieldSpecifier::iana(1, 4)];
        exporting.define(0, TemplateRecord { id: 256, scope_fields: 0, fields }).unwrap();
        let mut stream = Vec::new();
        for record in [[0, 0, 0, 1], [0, 0, 0, 2]] {
            exporting.record(0, 256, &record, 0).unwrap();
            exporting.flush_all(0);
            while let Some(message) = exporting.poll_message() {
                stream.extend(message.octets);
            }
        }
        stream
    }

    #[test]
    fn a_message_file_is_printed_as_json_lines() {
        let mut out = Vec::new();
        decode(&mut &stream()[..], &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"octetDeltaCount\":1}\n{\"octetDeltaCount\":2}\n");
    }

    #[test]
    fn what_comes_before_a_broken_message_is_printed() {
        let mut stream = stream();
        stream.truncate(stream.len() - 1);
        let mut out = Vec::new();
        let error = decode(&mut &stream[..], &mut out).unwrap_err();
        assert!(format!("{error:#}").starts_with("message at octet "), "{error:#}");
        assert_eq!(String::from_utf8(out).unwrap(), "{\"octetDeltaCount\":1}\n");
    }
}
