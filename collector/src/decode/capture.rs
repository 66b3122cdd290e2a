//! Captured packets: those that carry IPFIX over UDP, TCP or SCTP (RFC 7011 section 10), the last also within UDP (RFC 6951), and
//! NetFlow over UDP.
//!
//! Each pair of addresses and ports is a transport session, and for each version of NetFlow another. Fragments of IP are not
//! put together.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};

use anyhow::Context as _;
use intake::netflow::{Reader, Version};
use ipfix::Transport;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

use super::READ_OCTETS;
use super::packet::{Carried, Ends, carried};
use super::printer::{Printer, Session};
use super::streams::{Associations, Bytes};

/// Transport sessions of a capture at most.
const MAX_SESSIONS: usize = 4096;

/// What was passed over.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Packets that are no IP, or cut short.
    unreadable: u64,
    fragments: u64,
    /// Segments of TCP and chunks of SCTP that others are missing before, or that nothing of the message came for.
    torn: u64,
    /// Datagrams, segments and chunks that are neither IPFIX nor NetFlow.
    foreign: u64,
    /// Of sessions beyond the limit.
    sessions: u64,
}

impl Passed {
    pub(super) fn tell(&self, lines: &mut Vec<String>) {
        let passed = [
            (self.unreadable, "packets that are no IP or cut short"),
            (self.fragments, "fragments of IP packets"),
            (self.torn, "segments or chunks of messages that are not whole"),
            (self.foreign, "datagrams, segments or chunks that are neither IPFIX nor NetFlow"),
            (self.sessions, "messages of more sessions than are kept"),
        ];
        let passed = passed.into_iter().filter(|(count, _)| *count > 0);
        lines.extend(passed.map(|(count, what)| format!("{count} {what} passed over")));
    }
}

/// Prints the messages of a capture.
pub(super) fn decode<W: Write>(
    input: BufReader<impl Read + Send>,
    printer: &mut Printer<W>,
) -> anyhow::Result<()> {
    let mut reader = create_reader(READ_OCTETS, input).map_err(|error| refused(&error))?;
    let mut decoder = Decoder { sessions: HashMap::new(), reader: Reader::new() };
    // Link types: of the file, or of the section's interfaces.
    let mut links = Vec::new();
    let mut number = 0_u64;
    loop {
        let (length, block) = match reader.next() {
            Ok(read) => read,
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|error| refused(&error))?;
                continue;
            }
            Err(error) => return Err(refused(&error)).with_context(|| format!("behind packet {number}")),
        };
        let packet = match &block {
            PcapBlockOwned::LegacyHeader(header) => {
                links = vec![header.network.0];
                None
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                links.clear();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                links.push(interface.linktype.0);
                None
            }
            PcapBlockOwned::Legacy(packet) => Some((0, packet.data, packet.caplen)),
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                Some((packet.if_id as usize, packet.data, packet.caplen))
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => Some((0, packet.data, packet.origlen)),
            PcapBlockOwned::NG(_) => None,
        };
        if let Some((interface, data, captured)) = packet {
            number += 1;
            // Blocks are padded to four octets.
            let data = &data[..data.len().min(captured as usize)];
            let link = links.get(interface).copied();
            decoder.packet(printer, number, link, data)?;
        }
        reader.consume(length);
    }
}

fn refused(error: &PcapError<&[u8]>) -> anyhow::Error {
    match error {
        PcapError::UnexpectedEof | PcapError::Incomplete(_) => {
            anyhow::anyhow!("the file ends within a packet")
        }
        PcapError::BufferTooSmall => anyhow::anyhow!("a packet is longer than {READ_OCTETS} octets"),
        PcapError::ReadError => anyhow::anyhow!("the file cannot be read"),
        _ => anyhow::anyhow!("what is there is no packet"),
    }
}

/// The sessions of a capture.
struct Decoder {
    sessions: HashMap<(Ends, Version), Captured>,
    reader: Reader,
}

struct Captured {
    session: Session,
    bytes: Bytes,
    chunks: Associations,
}

impl Decoder {
    fn packet<W: Write>(
        &mut self,
        printer: &mut Printer<W>,
        number: u64,
        link: Option<i32>,
        octets: &[u8],
    ) -> anyhow::Result<()> {
        let carried = match carried(link, octets) {
            Ok(carried) => carried,
            Err(super::packet::Unread::Fragment) => {
                printer.told_mut().capture.fragments += 1;
                return Ok(());
            }
            Err(super::packet::Unread::Other) => {
                printer.told_mut().capture.unreadable += 1;
                return Ok(());
            }
        };
        match carried {
            Carried::Nothing => Ok(()),
            Carried::Datagram(ends, octets) => self.datagram(printer, number, ends, octets),
            Carried::Segment(ends, segment) => {
                let Some(captured) = self.association(printer, ends) else { return Ok(()) };
                if segment.begins {
                    captured.session.restart();
                }
                let Captured { session, bytes, .. } = captured;
                if !bytes.take(&segment) {
                    printer.told_mut().capture.torn += 1;
                }
                while let Some(message) = bytes.next() {
                    printer.message(session, 0, &message, format_args!("packet {number}"))?;
                }
                if bytes.is_foreign() {
                    printer.told_mut().capture.foreign += 1;
                }
                Ok(())
            }
            Carried::Chunks(ends, chunks) => {
                for chunk in chunks {
                    let Some(captured) = self.association(printer, ends) else { return Ok(()) };
                    let Captured { session, chunks, .. } = captured;
                    match chunks.take(&chunk) {
                        Some(message) if is_ipfix(&message) => {
                            printer.message(
                                session,
                                chunk.stream,
                                &message,
                                format_args!("packet {number}"),
                            )?;
                        }
                        Some(_) => printer.told_mut().capture.foreign += 1,
                        None => {}
                    }
                    printer.told_mut().capture.torn += chunks.torn();
                }
                Ok(())
            }
        }
    }

    /// Over streams exporters speak IPFIX alone.
    fn association<W: Write>(&mut self, printer: &mut Printer<W>, ends: Ends) -> Option<&mut Captured> {
        captured(&mut self.sessions, printer, (ends, Version::Ipfix), Transport::Reliable)
    }

    /// A datagram of any protocol that exporters speak; by their first two octets they tell which.
    fn datagram<W: Write>(
        &mut self,
        printer: &mut Printer<W>,
        number: u64,
        ends: Ends,
        octets: &[u8],
    ) -> anyhow::Result<()> {
        let version = octets.first_chunk().map(|&version| u16::from_be_bytes(version));
        let Some(version) = version.and_then(Version::from_number) else {
            printer.told_mut().capture.foreign += 1;
            return Ok(());
        };
        let Some(captured) = captured(&mut self.sessions, printer, (ends, version), Transport::Udp) else {
            return Ok(());
        };
        let place = format_args!("packet {number}");
        Ok(printer.datagram(&mut captured.session, &mut self.reader, octets, place)?)
    }
}

/// Returns the session with this key, a new one if need be; none beyond the limit, which is counted.
fn captured<'a, W: Write>(
    sessions: &'a mut HashMap<(Ends, Version), Captured>,
    printer: &mut Printer<W>,
    key: (Ends, Version),
    transport: Transport,
) -> Option<&'a mut Captured> {
    if sessions.len() >= MAX_SESSIONS && !sessions.contains_key(&key) {
        printer.told_mut().capture.sessions += 1;
        return None;
    }
    Some(sessions.entry(key).or_insert_with(|| Captured {
        session: Session::captured(transport, printer.options()),
        bytes: Bytes::default(),
        chunks: Associations::default(),
    }))
}

/// Whether octets say that they are one IPFIX message.
fn is_ipfix(octets: &[u8]) -> bool {
    let length = u16::try_from(octets.len()).unwrap_or(0).to_be_bytes();
    octets.starts_with(&ipfix::VERSION.to_be_bytes()) && octets.get(2..4) == Some(&length[..])
}
