//! Captured packets: those that carry IPFIX over UDP, TCP or SCTP (RFC 7011 section 10), the last also within UDP (RFC 6951).
//!
//! Each pair of addresses and ports is a transport session. Fragments of IP are not put together.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};

use anyhow::Context as _;
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
    /// Datagrams, segments and chunks that are no IPFIX.
    foreign: u64,
    /// Datagrams of NetFlow, by version: 5, 7 and 9.
    netflow: [(u16, u64); 3],
    /// Of sessions beyond the limit.
    sessions: u64,
}

impl Passed {
    pub(super) fn tell(&self, lines: &mut Vec<String>) {
        let passed = [
            (self.unreadable, "packets that are no IP or cut short"),
            (self.fragments, "fragments of IP packets"),
            (self.torn, "segments or chunks of messages that are not whole"),
            (self.foreign, "datagrams, segments or chunks that are no IPFIX"),
            (self.sessions, "messages of more sessions than are kept"),
        ];
        let passed = passed.into_iter().filter(|(count, _)| *count > 0);
        lines.extend(passed.map(|(count, what)| format!("{count} {what} passed over")));
        let netflow = self.netflow.iter().filter(|(_, count)| *count > 0);
        lines.extend(
            netflow.map(|(version, count)| {
                format!("{count} datagrams of NetFlow version {version} passed over")
            }),
        );
    }

    /// Counts octets that are no IPFIX by their first two.
    fn foreign(&mut self, octets: &[u8]) {
        let version = octets.first_chunk().map_or(0, |&version| u16::from_be_bytes(version));
        match version {
            5 => self.netflow[0] = (5, self.netflow[0].1 + 1),
            7 => self.netflow[1] = (7, self.netflow[1].1 + 1),
            9 => self.netflow[2] = (9, self.netflow[2].1 + 1),
            _ => self.foreign += 1,
        }
    }
}

/// Prints the messages of a capture.
pub(super) fn decode<W: Write>(
    input: BufReader<impl Read + Send>,
    printer: &mut Printer<W>,
) -> anyhow::Result<()> {
    let mut reader = create_reader(READ_OCTETS, input).map_err(|error| refused(&error))?;
    let mut decoder = Decoder::default();
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
#[derive(Default)]
struct Decoder {
    sessions: HashMap<Ends, Captured>,
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
                let Some(captured) = self.captured(printer, ends, Transport::Reliable) else { return Ok(()) };
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
                    printer.told_mut().capture.foreign(segment.octets);
                }
                Ok(())
            }
            Carried::Chunks(ends, chunks) => {
                for chunk in chunks {
                    let Some(captured) = self.captured(printer, ends, Transport::Reliable) else {
                        return Ok(());
                    };
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
                        Some(message) => printer.told_mut().capture.foreign(&message),
                        None => {}
                    }
                    printer.told_mut().capture.torn += chunks.torn();
                }
                Ok(())
            }
        }
    }

    /// A datagram of any protocol that exporters speak; by their first two octets they tell which.
    fn datagram<W: Write>(
        &mut self,
        printer: &mut Printer<W>,
        number: u64,
        ends: Ends,
        octets: &[u8],
    ) -> anyhow::Result<()> {
        if !octets.starts_with(&ipfix::VERSION.to_be_bytes()) {
            printer.told_mut().capture.foreign(octets);
            return Ok(());
        }
        let Some(captured) = self.captured(printer, ends, Transport::Udp) else { return Ok(()) };
        Ok(printer.message(&mut captured.session, 0, octets, format_args!("packet {number}"))?)
    }

    fn captured<W: Write>(
        &mut self,
        printer: &mut Printer<W>,
        ends: Ends,
        transport: Transport,
    ) -> Option<&mut Captured> {
        if self.sessions.len() >= MAX_SESSIONS && !self.sessions.contains_key(&ends) {
            printer.told_mut().capture.sessions += 1;
            return None;
        }
        Some(self.sessions.entry(ends).or_insert_with(|| Captured {
            session: Session::captured(transport, printer.options()),
            bytes: Bytes::default(),
            chunks: Associations::default(),
        }))
    }
}

/// Whether octets say that they are one IPFIX message.
fn is_ipfix(octets: &[u8]) -> bool {
    let length = u16::try_from(octets.len()).unwrap_or(0).to_be_bytes();
    octets.starts_with(&ipfix::VERSION.to_be_bytes()) && octets.get(2..4) == Some(&length[..])
}
