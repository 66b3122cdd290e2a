//! Packets of an interface, out of memory that the kernel shares: AF_PACKET with TPACKET_V3 (packet(7), and
//! Documentation/networking/packet_mmap.rst of Linux).
//!
//! The kernel fills blocks with packets and hands over each when it is full, or after [`RETIRE`] with what it has. They are lent
//! packet by packet from where they lie. Times are the kernel's, in nanoseconds. A VLAN tag, which the kernel takes off, is put
//! back where it was. Needs the capability CAP_NET_RAW when it is opened, and nothing after.

mod sys;

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use socket2::{Domain, SockFilter, Socket, Type};

use super::bpf::{Instruction, Program};
use super::{Filter, LinkType, Packet};
use sys::Blocks;

/// The kernel hands over a block that is not full so long after it began it.
pub(super) const RETIRE: Duration = Duration::from_millis(20);
/// Octets kept of a packet: headers, also those of tunnels.
const KEPT: u32 = 512;
/// Octets of a block: some hundred packets.
const BLOCK: usize = 1 << 18;
/// Blocks of a ring at least: one is read, one is written, others wait.
const MIN_BLOCKS: usize = 4;
/// What the kernel wants to be told of frames; blocks of TPACKET_V3 have frames of any length.
const FRAME: usize = 1 << 11;
/// Octets of 802.1Q's tag, for which room is kept before each packet.
const TAG: usize = 4;
/// Two MAC addresses stand before the tag.
const ADDRESSES: usize = 12;
const ETHERTYPE_VLAN: u16 = 0x8100;
/// Where sll_pkttype is: in the sockaddr_ll behind a tpacket3_hdr.
const PACKET_TYPE: usize = 48 + 10;

/// How rings are opened.
#[derive(Clone, Debug)]
pub(super) struct RingOptions {
    /// Octets of memory of a ring.
    pub(super) octets: usize,
    /// Whether packets for other hosts are received, too.
    pub(super) promiscuous: bool,
    /// Which packets are received.
    pub(super) filter: Option<Filter>,
}

/// Lends the packets of one interface.
pub(super) struct Ring {
    socket: Socket,
    blocks: Blocks,
    interface: u32,
    link: LinkType,
    /// What the kernel filters by.
    kernel: Program,
    /// What chooses of the packets that the kernel's filter lets pass, where that cannot see all.
    own: Option<Program>,
    /// Whether packets are received that leave there.
    outgoing: bool,
    /// The block to read next, or being read.
    block: usize,
    /// Whether it is being read.
    held: bool,
    /// Packets left in it, and where the next one is.
    left: u32,
    at: usize,
    drops: u64,
}

/// A packet in a block.
struct Frame {
    timestamp: u64,
    original_length: u32,
    outgoing: bool,
    at: usize,
    length: usize,
}

impl Ring {
    /// Opens rings that share the packets of an interface among them: both directions of what has one pair of addresses and ports
    /// go to the same ring. Each begins to receive with the last one's opening.
    ///
    /// Fails without CAP_NET_RAW, without memory, and where there is no such interface.
    pub(super) fn open(interface: u32, count: usize, options: &RingOptions) -> io::Result<Vec<Self>> {
        let rings: Vec<Self> =
            (0..count).map(|_| Self::prepare(interface, options)).collect::<io::Result<_>>()?;
        if let [first, others @ ..] = rings.as_slice()
            && !others.is_empty()
        {
            // The kernel chooses a number that no one else uses, for the first; and tells it.
            let unique = first.join(0, libc::PACKET_FANOUT_FLAG_UNIQUEID)?;
            others.iter().try_for_each(|ring| ring.join(unique, 0).map(|_| ()))?;
        }
        for ring in &rings {
            // Until here nothing passed, or each ring would have had everything until it joined.
            ring.attach(&ring.kernel)?;
            sys::statistics(ring.socket.as_fd())?;
        }
        Ok(rings)
    }

    fn prepare(interface: u32, options: &RingOptions) -> io::Result<Self> {
        let mut socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        sys::bind(socket.as_fd(), interface, sys::NONE)?;
        let hardware = sys::hardware_type(socket.as_fd())?;
        let link = match hardware {
            libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => LinkType::Ethernet,
            // Whatever is before IP there, the kernel takes it off.
            _ => {
                socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
                LinkType::RawIp
            }
        };
        let blocks = (options.octets / BLOCK).max(MIN_BLOCKS);
        let set = |option, value: libc::c_int| sys::set(socket.as_fd(), option, &value);
        set(libc::PACKET_VERSION, libc::tpacket_versions::TPACKET_V3 as libc::c_int)?;
        #[expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "4")]
        set(libc::PACKET_RESERVE, TAG as libc::c_int)?;
        // On the loopback interface whatever leaves also comes.
        let outgoing = hardware != libc::ARPHRD_LOOPBACK;
        set(libc::PACKET_IGNORE_OUTGOING, (!outgoing).into())?;
        sys::set(socket.as_fd(), libc::PACKET_RX_RING, &request(blocks))?;
        let blocks = Blocks::map(socket.as_fd(), BLOCK, blocks)?;
        if options.promiscuous {
            sys::promiscuous(socket.as_fd(), interface)?;
        }
        let (kernel, own) = programs(options.filter.as_ref(), link);
        let (block, held, left, at, drops) = (0, false, 0, 0, 0);
        let ring =
            Self { socket, blocks, interface, link, kernel, own, outgoing, block, held, left, at, drops };
        ring.attach(&Program::keep(0))?;
        sys::bind(ring.socket.as_fd(), interface, sys::ALL)?;
        Ok(ring)
    }

    /// Joins a group of sockets of which the kernel gives each packet to one, by a hash that is the same in both directions.
    /// Returns the group's number.
    fn join(&self, group: u16, flag: u32) -> io::Result<u16> {
        // The group takes the place of each socket's own choice.
        let outgoing = if self.outgoing { 0 } else { libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING };
        let fanout = u32::from(group) | (libc::PACKET_FANOUT_HASH | flag | outgoing) << 16;
        sys::set(self.socket.as_fd(), libc::PACKET_FANOUT, &fanout)?;
        sys::fanout(self.socket.as_fd())
    }

    fn attach(&self, filter: &Program) -> io::Result<()> {
        let instruction =
            |&Instruction { code, if_true, if_false, k }| SockFilter::new(code, if_true, if_false, k);
        let filter: Vec<SockFilter> = filter.instructions().iter().map(instruction).collect();
        self.socket.attach_filter(&filter)
    }

    /// Receives nothing more; what was received is still lent, the last of it after [`RETIRE`].
    pub(super) fn close(&self) -> io::Result<()> {
        self.attach(&Program::keep(0))
    }

    /// Returns the index of its interface.
    pub(super) const fn interface(&self) -> u32 {
        self.interface
    }

    /// Returns how many packets the kernel had no room for in the ring, since it was opened.
    pub(super) fn drops(&mut self) -> u64 {
        // Reading resets the kernel's figure, so what cannot be read is read later.
        if let Ok(statistics) = sys::statistics(self.socket.as_fd()) {
            self.drops += u64::from(statistics.tp_drops);
        }
        self.drops
    }

    /// Tells whether its interface is still there; one that is down is, and its packets come when it is up again.
    pub(super) fn is_there(&self) -> bool {
        // A socket whose interface is gone is bound to none.
        !matches!(sys::interface(self.socket.as_fd()), Ok(index) if index != self.interface)
    }

    /// Waits until one of `rings` has packets, or for `limit`.
    pub(super) fn wait<'a>(rings: impl Iterator<Item = &'a Self> + Clone, limit: Duration) -> io::Result<()> {
        if sys::wait(rings.clone().map(|ring| ring.socket.as_fd()), limit)? {
            // An interface went down. Once that was told it does not wake again.
            rings.for_each(|ring| drop(ring.socket.take_error()));
        }
        Ok(())
    }

    /// Returns the next packet; none if there is none at present.
    #[inline]
    pub(super) fn next_packet(&mut self) -> Option<Packet<'_>> {
        let frame = loop {
            while self.left == 0 {
                self.next_block()?;
            }
            self.left -= 1;
            let block = self.blocks.get(self.block)?;
            let Some((frame, next)) = frame(block, self.at, self.link == LinkType::Ethernet) else {
                // No kernel writes such a thing.
                self.left = 0;
                return None;
            };
            self.at += next;
            match &self.own {
                Some(own) if !own.chooses(frame.octets(block), frame.original_length) => {}
                _ => break frame,
            }
        };
        let Frame { timestamp, original_length, outgoing, .. } = frame;
        let (interface, link) = (self.interface, self.link);
        let octets = frame.octets(self.blocks.get(self.block)?);
        Some(Packet { timestamp, original_length, octets, interface, link, outgoing })
    }

    /// Gives back the block that was read, and begins with the next one, if it is there.
    fn next_block(&mut self) -> Option<()> {
        if self.held {
            self.blocks.release(self.block);
            self.block = (self.block + 1) % self.blocks.count();
            self.held = false;
        }
        let block = self.blocks.get(self.block)?;
        // tpacket_hdr_v1, after two words.
        (self.left, self.at) = (word(block, 12)?, word(block, 16)? as usize);
        self.held = true;
        Some(())
    }

    /// Tells whether the packet lent last was the last of its block.
    pub(super) const fn at_end_of_block(&self) -> bool {
        self.left == 0
    }
}

impl Frame {
    fn octets<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        &block[self.at..self.at + self.length]
    }
}

/// Returns what the kernel filters by, and what is left to do here: tags are in packets here only.
fn programs(filter: Option<&Filter>, link: LinkType) -> (Program, Option<Program>) {
    let Some(filter) = filter else { return (Program::keep(KEPT), None) };
    // What makes no sense on this link layer chooses nothing.
    let mut program = filter.program(link).cloned().unwrap_or_else(|| Program::keep(0));
    if filter.heeds_tags() && link == LinkType::Ethernet {
        return (Program::keep(KEPT), Some(program));
    }
    program.limit(KEPT);
    (program, None)
}

/// What the kernel is asked for.
#[expect(clippy::cast_possible_truncation, reason = "checked with the configuration: below 4 GiB")]
const fn request(blocks: usize) -> libc::tpacket_req3 {
    libc::tpacket_req3 {
        tp_block_size: BLOCK as u32,
        tp_block_nr: blocks as u32,
        tp_frame_size: FRAME as u32,
        tp_frame_nr: (BLOCK / FRAME * blocks) as u32,
        tp_retire_blk_tov: RETIRE.as_millis() as u32,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    }
}

/// Reads a tpacket3_hdr and puts a VLAN tag back; returns also how far the next one is.
#[inline]
fn frame(block: &mut [u8], at: usize, restores: bool) -> Option<(Frame, usize)> {
    let next = word(block, at)? as usize;
    let (seconds, nanoseconds) = (word(block, at + 4)?, word(block, at + 8)?);
    let (length, mut original_length) = (word(block, at + 12)? as usize, word(block, at + 16)?);
    let status = word(block, at + 20)?;
    let outgoing = *block.get(at + PACKET_TYPE)? == libc::PACKET_OUTGOING;
    let mut length = length;
    let mut begin = at + usize::from(half(block, at + 24)?);
    if restores && status & libc::TP_STATUS_VLAN_VALID != 0 && length >= ADDRESSES {
        let control = half(block, at + 32)?;
        let told = half(block, at + 36)?;
        let kind = if status & libc::TP_STATUS_VLAN_TPID_VALID == 0 { ETHERTYPE_VLAN } else { told };
        begin = begin.checked_sub(TAG)?;
        block.get(begin..begin + TAG + length)?;
        block.copy_within(begin + TAG..begin + TAG + ADDRESSES, begin);
        block[begin + ADDRESSES..begin + ADDRESSES + 2].copy_from_slice(&kind.to_be_bytes());
        block[begin + ADDRESSES + 2..begin + ADDRESSES + TAG].copy_from_slice(&control.to_be_bytes());
        length += TAG;
        #[expect(clippy::cast_possible_truncation, reason = "4")]
        (original_length = original_length.saturating_add(TAG as u32));
    }
    block.get(begin..begin.checked_add(length)?)?;
    let timestamp = u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds);
    Some((Frame { timestamp, original_length, outgoing, at: begin, length }, next))
}

#[inline]
fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|field| u32::from_ne_bytes(*field))
}

#[inline]
fn half(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|field| u16::from_ne_bytes(*field))
}

/// Returns index and name of every interface of this network namespace.
pub(super) fn interfaces() -> io::Result<Vec<(u32, String)>> {
    sys::interfaces()
}

#[cfg(test)]
mod tests;
