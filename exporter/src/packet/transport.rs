//! Ports, TCP control bits, ICMP types: the first octets of what IP carries.

use super::{be16, protocol};

/// What the transport header tells; zero what it has not, or what was not captured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Transport {
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) tcp_control_bits: u16,
    /// Something of it was not captured.
    pub(super) cut: bool,
}

#[inline]
pub(super) fn transport(number: u8, payload: &[u8]) -> Transport {
    match number {
        protocol::TCP => {
            // The octet before the flags is the data offset and three bits that are reserved.
            let control_bits = be16(payload, 12);
            let tcp_control_bits = control_bits.unwrap_or(0) & 0x0fff;
            Transport { tcp_control_bits, cut: control_bits.is_none(), ..ports(payload) }
        }
        protocol::UDP | protocol::SCTP | protocol::UDP_LITE | protocol::DCCP => ports(payload),
        protocol::ICMP | protocol::ICMPV6 => {
            let kind = be16(payload, 0);
            Transport { destination_port: kind.unwrap_or(0), cut: kind.is_none(), ..Transport::default() }
        }
        _ => Transport::default(),
    }
}

#[inline]
fn ports(payload: &[u8]) -> Transport {
    match payload.first_chunk() {
        Some(&[a, b, c, d]) => Transport {
            source_port: u16::from_be_bytes([a, b]),
            destination_port: u16::from_be_bytes([c, d]),
            tcp_control_bits: 0,
            cut: false,
        },
        None => Transport { cut: true, ..Transport::default() },
    }
}
