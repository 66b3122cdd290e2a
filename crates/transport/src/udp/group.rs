//! One socket on a multicast group: hears what others announce there, and announces.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::datagram::MAX_DATAGRAM;

/// Where and how [`Group::join`] joins.
#[derive(Clone, Copy, Debug)]
pub struct GroupOptions {
    /// The group's address and port; 0 takes a free port. An IPv6 group on a link has its interface as scope id.
    pub group: SocketAddr,
    /// The local address whose interface is used, and which datagrams are sent from; IPv4 only. `None`: the one of
    /// the host's route to the group.
    pub interface: Option<IpAddr>,
    /// How many routers a datagram may pass, for sending.
    pub ttl: u8,
}

/// A multicast group this process has joined. Several processes of a host can join the same.
pub struct Group {
    socket: UdpSocket,
    group: SocketAddr,
    buffer: Box<[u8]>,
}

impl Group {
    /// Joins a group. Must run within a tokio runtime.
    ///
    /// Fails where the address is none of a group, or the host has no interface for it; the error names it.
    pub fn join(options: &GroupOptions) -> io::Result<Group> {
        let GroupOptions { group, .. } = *options;
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("multicast group {group}: {error}"));
        if !group.ip().is_multicast() {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "not a multicast address");
            return Err(named(error));
        }
        Self::open(options).map_err(named)
    }

    fn open(options: &GroupOptions) -> io::Result<Group> {
        let socket = Socket::new(Domain::for_address(options.group), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Bound to the group, it gets no datagrams sent to this host alone.
        socket.bind(&options.group.into())?;
        match options.group {
            SocketAddr::V4(group) => {
                let interface = match options.interface {
                    Some(IpAddr::V4(interface)) => interface,
                    Some(IpAddr::V6(_)) => {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidInput,
                            "an IPv6 interface for IPv4",
                        ));
                    }
                    None => Ipv4Addr::UNSPECIFIED,
                };
                socket.join_multicast_v4(group.ip(), &interface)?;
                if !interface.is_unspecified() {
                    socket.set_multicast_if_v4(&interface)?;
                }
                socket.set_multicast_ttl_v4(options.ttl.into())?;
            }
            SocketAddr::V6(group) => {
                socket.join_multicast_v6(group.ip(), group.scope_id())?;
                socket.set_multicast_if_v6(group.scope_id())?;
                socket.set_multicast_hops_v6(options.ttl.into())?;
            }
        }
        let port = socket.local_addr()?.as_socket().map_or(options.group.port(), |local| local.port());
        let mut group = options.group;
        group.set_port(port);
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Group { socket, group, buffer: vec![0; MAX_DATAGRAM].into() })
    }

    /// Returns the group's address and port.
    pub fn address(&self) -> SocketAddr {
        self.group
    }

    /// Waits for the next datagram, own ones included, and returns where it comes from. Cancel safe.
    pub async fn receive(&mut self) -> io::Result<(SocketAddr, &[u8])> {
        let (length, from) = self.socket.recv_from(&mut self.buffer).await?;
        Ok((from, self.buffer.get(..length).unwrap_or_default()))
    }

    /// Sends one datagram to the group, from the group's port. Cancel safe.
    ///
    /// Fails where it is too long, or the host has no way to the group.
    pub async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send_to(datagram, self.group).await.map(drop)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("group", &self.group).finish_non_exhaustive()
    }
}
