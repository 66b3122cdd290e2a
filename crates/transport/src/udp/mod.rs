//! Plain UDP: the datagrams of a collecting and of an exporting process (RFC 7011 section 10.3).
//!
//! There is no association here. A [`Receiver`] reads batches of datagrams with the address each came from,
//! without allocating, and tells how many the kernel had to drop. A [`Sender`] is connected to one address, sends
//! batches, and hears from ICMP that nobody is there. A [`Group`] hears and sends announces by multicast.

mod group;
mod receiver;
mod sender;
mod sys;

pub use group::{Group, GroupOptions};
pub use receiver::{Receiver, ReceiverOptions, Waker};
pub use sender::{Sender, Sent};

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd as _;

use crate::datagram::is_pending;

/// Any port: nothing is sent there.
const DISCARD: u16 = 9;

/// Returns the MTU of the path to `peer` in octets, as far as this host knows: the route's, or what ICMP said of it. Nothing is
/// sent.
///
/// Fails where there is no route, where IPsec has still to agree on keys with the peer, or `local`, which is to be sent from, is
/// no address of this host.
pub fn path_mtu(peer: IpAddr, local: Option<IpAddr>) -> io::Result<usize> {
    let any = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((local.unwrap_or(any), 0))?;
    socket.connect((peer, DISCARD))?;
    let mtu = sys::path_mtu(socket.as_fd(), peer.is_ipv6()).ok_or_else(io::Error::last_os_error)?;
    if is_pending(mtu, peer) {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "IPsec has not agreed on keys with it"));
    }
    Ok(mtu)
}
