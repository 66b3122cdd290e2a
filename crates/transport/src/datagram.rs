//! What every datagram socket of the crate needs beyond the standard library: waiting, the error queue,
//! options, addresses. Each unsafe block says why it holds.
#![expect(
    unsafe_code,
    reason = "ppoll, eventfd, the error queue and socket options have no safe wrapper in std"
)]

mod batch;

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

pub(crate) use batch::Batch;

/// The longest UDP payload.
pub(crate) const MAX_DATAGRAM: usize = 65_535;

/// Octets of the buffer for a peer's address.
#[expect(clippy::cast_possible_truncation, reason = "128 octets")]
pub(crate) const NAME_LENGTH: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

/// Turns the C convention, negative for failure, into a result.
pub(crate) fn check(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Wakes a thread that waits in [`wait`].
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<EventFd> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        check(fd)?;
        // SAFETY: a fresh descriptor that nothing else owns.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn signal(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the buffer lives over the call and has the length told. It fails only when the
        // counter is full, and then the waiter is awake anyway.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub(crate) fn drain(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: the buffer lives over the call and has the length told. Nothing to read is fine.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// What [`wait`] saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) errors: bool,
}

/// Waits until the socket is readable (or writable, if wanted), the event is signalled or time is up.
pub(crate) fn wait(
    socket: BorrowedFd<'_>,
    event: &EventFd,
    writable: bool,
    timeout: Option<Duration>,
) -> io::Result<Ready> {
    let events = if writable { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
    let mut fds = [
        libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 },
        libc::pollfd { fd: event.0.as_raw_fd(), events: libc::POLLIN, revents: 0 },
    ];
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos()),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `fds` holds two entries; `timeout` is null or points to a local that lives over the call.
    let result = unsafe { libc::ppoll(fds.as_mut_ptr(), 2, timeout, std::ptr::null()) };
    if let Err(error) = check(result) {
        return if error.kind() == io::ErrorKind::Interrupted { Ok(Ready::default()) } else { Err(error) };
    }
    if fds[1].revents != 0 {
        event.drain();
    }
    Ok(Ready { readable: fds[0].revents & libc::POLLIN != 0, errors: fds[0].revents & libc::POLLERR != 0 })
}

/// One entry of a socket's error queue: an ICMP message about a datagram sent.
#[derive(Debug)]
pub(crate) struct NetworkError {
    /// Where the datagram went.
    pub(crate) destination: SocketAddr,
    /// Port unreachable; false for everything else (host unreachable, too big …).
    pub(crate) port_unreachable: bool,
    /// Host, network, port or anything else unreachable, by ICMP; false for "too big", "time exceeded" and what this
    /// host found by itself.
    pub(crate) unreachable: bool,
    /// How much of the datagram came back, in the buffer given.
    pub(crate) quoted: usize,
}

/// Takes the next entry of the error queue; none when it is empty.
pub(crate) fn network_error(socket: BorrowedFd<'_>, quote: &mut [u8]) -> io::Result<Option<NetworkError>> {
    // SAFETY: all zeroes is valid for these plain structures.
    let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
    let mut control = Control([0; 256]);
    let mut vector = libc::iovec { iov_base: quote.as_mut_ptr().cast(), iov_len: quote.len() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = NAME_LENGTH;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: all pointers are to locals or to `quote`, with their true lengths.
    let result = unsafe {
        libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
    };
    let quoted = match usize::try_from(result) {
        Ok(quoted) => quoted,
        Err(_) => {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
    };
    let (mut port_unreachable, mut unreachable) = (false, false);
    // SAFETY: the kernel filled `control` and told its length in the header; the CMSG functions stay
    // within it.
    let mut cmsg = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !cmsg.is_null() {
        // SAFETY: not null, so it is a header within `control`.
        let (level, kind) = unsafe { ((*cmsg).cmsg_level, (*cmsg).cmsg_type) };
        if (level, kind) == (libc::IPPROTO_IP, libc::IP_RECVERR)
            || (level, kind) == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        {
            // SAFETY: this kind of control message carries a sock_extended_err; it may be unaligned.
            let error = unsafe { libc::CMSG_DATA(cmsg).cast::<libc::sock_extended_err>().read_unaligned() };
            // ICMP type 3 code 4 asks for fragmentation; ICMPv6 has a type of its own for that.
            let (port, any) = match (error.ee_origin, error.ee_type, error.ee_code) {
                (libc::SO_EE_ORIGIN_ICMP, 3, code) => (code == 3, code != 4),
                (libc::SO_EE_ORIGIN_ICMP6, 1, code) => (code == 4, true),
                _ => (false, false),
            };
            port_unreachable |= port;
            unreachable |= any;
        }
        // SAFETY: as for the first.
        cmsg = unsafe { libc::CMSG_NXTHDR(&raw const header, cmsg) };
    }
    let Some(destination) = from_storage(&name) else { return Ok(None) };
    Ok(Some(NetworkError { destination, port_unreachable, unreachable, quoted }))
}

/// Control messages start with a `cmsghdr`, which wants this alignment.
#[repr(align(8))]
pub(crate) struct Control(pub(crate) [u8; 256]);

/// Sets an option whose value is an int.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "4 octets")]
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value lives over the call and has the length told.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    check(result).map(drop)
}

/// The MTU of the path to the peer of a connected socket, as far as the kernel knows; none where it does not say.
pub(crate) fn path_mtu(socket: BorrowedFd<'_>, ipv6: bool) -> Option<usize> {
    let (level, name) =
        if ipv6 { (libc::IPPROTO_IPV6, libc::IPV6_MTU) } else { (libc::IPPROTO_IP, libc::IP_MTU) };
    let mut mtu: libc::c_int = 0;
    #[expect(clippy::cast_possible_truncation, reason = "4 octets")]
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` octets into `mtu`, which has as many.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut mtu).cast(), &raw mut length) };
    if result == 0 { usize::try_from(mtu).ok() } else { None }
}

/// Whether the kernel does not know the path to `peer` yet, of which it says `mtu`: while IPsec agrees on keys, a route has the
/// MTU of loopback, which no other path has.
pub(crate) fn is_pending(mtu: usize, peer: IpAddr) -> bool {
    mtu > usize::from(u16::MAX) && UdpSocket::bind((peer, 0)).is_err()
}

/// Writes an address; returns its length.
#[expect(clippy::cast_possible_truncation, reason = "address families and structure sizes are small")]
pub(crate) fn into_storage(address: SocketAddr, storage: &mut libc::sockaddr_storage) -> libc::socklen_t {
    let storage = std::ptr::from_mut(storage);
    match address {
        SocketAddr::V4(address) => {
            // SAFETY: all zeroes is a valid sockaddr_in.
            let mut raw: libc::sockaddr_in = unsafe { zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = address.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
            // SAFETY: a sockaddr_storage holds and aligns every kind of address.
            unsafe { storage.cast::<libc::sockaddr_in>().write(raw) };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(address) => {
            // SAFETY: all zeroes is a valid sockaddr_in6.
            let mut raw: libc::sockaddr_in6 = unsafe { zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = address.port().to_be();
            raw.sin6_addr.s6_addr = address.ip().octets();
            raw.sin6_flowinfo = address.flowinfo();
            raw.sin6_scope_id = address.scope_id();
            // SAFETY: a sockaddr_storage holds and aligns every kind of address.
            unsafe { storage.cast::<libc::sockaddr_in6>().write(raw) };
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Reads an address; none where its family is not IP.
pub(crate) fn from_storage(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let raw = std::ptr::from_ref(storage);
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says so, and a sockaddr_storage is long and aligned enough.
            let raw = unsafe { *raw.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(raw.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let raw = unsafe { *raw.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            // The flow label is the packet's, not the peer's: it must not take part in comparisons.
            Some(SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(raw.sin6_port), 0, raw.sin6_scope_id)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mtu_of_loopback_is_believed_of_addresses_of_this_host_only() {
        let pending = |mtu, peer: &str| is_pending(mtu, peer.parse().unwrap());
        assert!(pending(65_536, "192.0.2.1"));
        assert!(!pending(65_536, "127.0.0.9"));
        assert!(!pending(65_535, "192.0.2.1"));
        assert!(!pending(1_420, "192.0.2.1"));
    }
}
