//! `ipfix-collector decode FILE`: prints what is in an IPFIX message file (RFC 5655: messages back to back), in one of NetFlow
//! messages, or was caught in a pcap or pcapng file, as JSON lines or as text for people. Files that this collector has compressed
//! are read as they are.
//!
//! What cannot be read is passed over, and told on standard error at the end. Data without a template is no failure; malformed
//! messages, and octets that are no message, are.

mod capture;
mod frames;
mod messages;
mod packet;
mod printer;
mod streams;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::Context as _;
use intake::netflow::{Reader, Version};

use self::frames::Frames;
use self::messages::Messages;
use self::printer::{Printer, Session};

/// Octets read at once.
const READ_OCTETS: usize = 256 << 10;

/// How records are printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Format {
    /// A line of JSON for each record
    #[default]
    Json,
    /// Messages, sets and records indented, a line for each field
    Text,
}

/// What to print.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) format: Format,
    /// A biflow is printed as two uniflows.
    pub(crate) split_biflows: bool,
}

/// Prints the records of `path`; `-` is standard input.
pub(crate) fn run(path: &Path, options: Options) -> anyhow::Result<()> {
    let name = path.display();
    let input: Box<dyn Read + Send> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("{name}"))?)
    };
    let mut printer = Printer::new(io::stdout().lock(), options);
    let decoded = decode(BufReader::with_capacity(READ_OCTETS, input), &mut printer);
    let finished = printer.finish();
    let told = printer.told().to_string();
    if !told.is_empty() {
        eprintln!("{told}");
    }
    decoded.and(finished).with_context(|| format!("{name}"))
}

/// Prints what is in `input`, of whatever kind it is, compressed or not.
fn decode<W: Write>(mut input: BufReader<impl Read + Send>, printer: &mut Printer<W>) -> anyhow::Result<()> {
    if *first_octets(&mut input)? != frames::MAGIC {
        return decode_plain(input, printer);
    }
    decode_plain(BufReader::with_capacity(READ_OCTETS, Frames::new(input)?), printer)
}

fn decode_plain<W: Write>(
    mut input: BufReader<impl Read + Send>,
    printer: &mut Printer<W>,
) -> anyhow::Result<()> {
    match *first_octets(&mut input)? {
        [] => Ok(()),
        [0xd4, 0xc3, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0xc3, 0xd4]
        | [0x4d, 0x3c, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0x3c, 0x4d]
        | [0x0a, 0x0d, 0x0d, 0x0a] => capture::decode(input, printer),
        _ => decode_messages(input, printer),
    }
}

/// Returns the first four octets, or all of them if there are fewer; they are still to be read.
fn first_octets(input: &mut BufReader<impl Read>) -> io::Result<Vec<u8>> {
    // The buffer is empty, so this reads once; a pipe may give less than four octets then, which no writer of captures does.
    Ok(input.fill_buf()?.iter().take(4).copied().collect())
}

/// Prints messages that lie back to back; those of each version are a session. Fails at the first octets that are no message,
/// after what came before.
fn decode_messages<W: Write>(input: impl Read, printer: &mut Printer<W>) -> anyhow::Result<()> {
    let (mut sessions, mut reader) = (HashMap::new(), Reader::new());
    let (mut messages, mut message) = (Messages::new(input), Vec::new());
    let mut offset = 0_u64;
    while messages.read(&mut message).with_context(|| format!("message at octet {offset}"))? {
        let session =
            sessions.entry(Version::of(&message)).or_insert_with(|| Session::file(printer.options()));
        printer.datagram(session, &mut reader, &message, format_args!("message at octet {offset}"))?;
        offset += message.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
