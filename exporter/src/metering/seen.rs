//! What the table takes in of a packet, so that packets can wait for each other: the packet itself is lent for a moment only.

use super::key::FlowKey;
use crate::capture::{LinkType, Packet};
use crate::packet::PacketView;

/// The two MAC addresses at the start of an Ethernet frame: destination, source.
pub(super) const MAC_ADDRESSES: usize = 12;

/// One packet on its way into its flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The key of its flow, of the parts that are configured.
    pub(super) key: FlowKey,
    /// Of the key.
    pub(super) hash: u64,
    pub(super) timestamp: u64,
    pub(super) octets: u32,
    pub(super) mpls_top_label: u32,
    pub(super) tcp_control_bits: u16,
    pub(super) class_of_service: u8,
    pub(super) ttl: u8,
    /// The key is that of the other direction (biflows).
    pub(super) reversed: bool,
    pub(super) outgoing: bool,
    /// Of the frame, where details are kept; zero otherwise.
    pub(super) mac_addresses: [u8; MAC_ADDRESSES],
}

impl Seen {
    #[inline]
    pub(super) fn new(
        (key, reversed, hash): (FlowKey, bool, u64),
        view: &PacketView,
        packet: &Packet<'_>,
        details: bool,
    ) -> Self {
        Self {
            key,
            hash,
            timestamp: packet.timestamp,
            octets: view.octets,
            mpls_top_label: view.mpls_top_label,
            tcp_control_bits: view.tcp_control_bits,
            class_of_service: view.class_of_service,
            ttl: view.ttl,
            reversed,
            outgoing: view.outgoing,
            mac_addresses: if details { mac_addresses(packet) } else { [0; MAC_ADDRESSES] },
        }
    }
}

fn mac_addresses(packet: &Packet<'_>) -> [u8; MAC_ADDRESSES] {
    let addresses = packet.octets.first_chunk().filter(|_| packet.link == LinkType::Ethernet);
    addresses.copied().unwrap_or_default()
}
