//! What a captured packet carries: a datagram, a segment of TCP or the data chunks of an SCTP packet.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, NetSlice, SlicedPacket, TransportSlice};

/// UDP port of SCTP within UDP (RFC 6951).
const ENCAPSULATION: u16 = 9899;
const SCTP: u8 = 132;

/// Sender and receiver.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Ends {
    from: SocketAddr,
    to: SocketAddr,
    protocol: u8,
}

/// Why a packet is not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unread {
    Fragment,
    Other,
}

#[derive(Debug)]
pub(super) enum Carried<'a> {
    /// Nothing that could hold messages.
    Nothing,
    Datagram(Ends, &'a [u8]),
    Segment(Ends, Segment<'a>),
    Chunks(Ends, Chunks<'a>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) sequence: u32,
    /// The connection begins here.
    pub(super) begins: bool,
    pub(super) octets: &'a [u8],
}

/// A data chunk of SCTP (RFC 9260 section 3.3.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub(super) tsn: u32,
    pub(super) stream: u16,
    /// Whether a message begins, and ends, with it.
    pub(super) begins: bool,
    pub(super) ends: bool,
    pub(super) octets: &'a [u8],
}

/// Reads a packet of this link type (tcpdump.org's numbers).
pub(super) fn carried(link: Option<i32>, octets: &[u8]) -> Result<Carried<'_>, Unread> {
    let sliced = match link {
        Some(1) => SlicedPacket::from_ethernet(octets),
        Some(0 | 108) => SlicedPacket::from_ip(octets.get(4..).unwrap_or_default()),
        Some(12 | 14 | 101 | 228 | 229) => SlicedPacket::from_ip(octets),
        Some(113) => SlicedPacket::from_linux_sll(octets),
        Some(276) => {
            let (head, body) = octets.split_at_checked(20).ok_or(Unread::Other)?;
            SlicedPacket::from_ether_type(EtherType(u16::from_be_bytes([head[0], head[1]])), body)
        }
        _ => return Err(Unread::Other),
    };
    let packet = sliced.map_err(|_| Unread::Other)?;
    let (from, to): (IpAddr, IpAddr) = match packet.net.as_ref() {
        Some(NetSlice::Ipv4(net)) => {
            (net.header().source_addr().into(), net.header().destination_addr().into())
        }
        Some(NetSlice::Ipv6(net)) => {
            (net.header().source_addr().into(), net.header().destination_addr().into())
        }
        Some(NetSlice::Arp(_)) => return Ok(Carried::Nothing),
        None => return Err(Unread::Other),
    };
    let payload = packet.ip_payload().ok_or(Unread::Other)?;
    if payload.fragmented {
        return Err(Unread::Fragment);
    }
    let protocol = payload.ip_number.0;
    let ends = |ports: (u16, u16)| Ends { from: (from, ports.0).into(), to: (to, ports.1).into(), protocol };
    Ok(match packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            let ports = (udp.source_port(), udp.destination_port());
            if ports.0 == ENCAPSULATION || ports.1 == ENCAPSULATION {
                sctp(udp.payload(), |ports| Ends { protocol: SCTP, ..ends(ports) })
            } else {
                Carried::Datagram(ends(ports), udp.payload())
            }
        }
        Some(TransportSlice::Tcp(tcp)) => {
            let (begins, sequence) = (tcp.syn(), tcp.sequence_number());
            let segment = Segment { sequence, begins, octets: tcp.payload() };
            Carried::Segment(ends((tcp.source_port(), tcp.destination_port())), segment)
        }
        None if protocol == SCTP => sctp(payload.payload, ends),
        Some(_) | None => Carried::Nothing,
    })
}

fn sctp(octets: &[u8], ends: impl Fn((u16, u16)) -> Ends) -> Carried<'_> {
    let Some((&[s0, s1, d0, d1, ..], chunks)) = octets.split_first_chunk::<12>() else {
        return Carried::Nothing;
    };
    Carried::Chunks(ends((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]))), Chunks(chunks))
}

/// The data chunks of an SCTP packet.
#[derive(Clone, Debug)]
pub(super) struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        loop {
            let &[kind, flags, high, low] = self.0.first_chunk()?;
            let length = usize::from(u16::from_be_bytes([high, low]));
            let chunk = self.0.get(..length)?;
            self.0 = self.0.get(length.max(4).next_multiple_of(4)..).unwrap_or_default();
            let (0, Some((head, octets))) = (kind, chunk.split_first_chunk::<16>()) else { continue };
            let tsn = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            let stream = u16::from_be_bytes([head[8], head[9]]);
            return Some(Chunk { tsn, stream, begins: flags & 2 != 0, ends: flags & 1 != 0, octets });
        }
    }
}
