//! What the ring needs of the kernel: options of packet sockets, the shared memory, interfaces by name. Each unsafe block says
//! why it holds.
#![expect(unsafe_code, reason = "packet sockets and shared memory have no safe wrapper in std")]

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where a block says whose it is (tpacket_block_desc in linux/if_packet.h).
const BLOCK_STATUS: usize = 8;
/// All protocols, in network order as sockaddr_ll wants it; and none, which receives nothing.
#[expect(clippy::cast_possible_truncation, reason = "3")]
pub(super) const ALL: u16 = (libc::ETH_P_ALL as u16).to_be();
pub(super) const NONE: u16 = 0;
#[expect(clippy::cast_possible_truncation, reason = "17")]
const FAMILY: libc::c_ushort = libc::AF_PACKET as libc::c_ushort;
#[expect(clippy::cast_possible_truncation, reason = "1")]
const PROMISCUOUS: libc::c_ushort = libc::PACKET_MR_PROMISC as libc::c_ushort;

/// Sets an option of a packet socket.
pub(super) fn set<T: Copy>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<T>()` octets from `value`, which has as many.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            length::<T>(),
        )
    };
    check(result)
}

/// Reads packets and drops since the last call, which resets them.
pub(super) fn statistics(socket: BorrowedFd<'_>) -> io::Result<libc::tpacket_stats_v3> {
    get(socket, libc::PACKET_STATISTICS)
}

/// Returns the number of the group of sockets that a socket has joined.
pub(super) fn fanout(socket: BorrowedFd<'_>) -> io::Result<u16> {
    // The upper half is how the group shares packets.
    Ok((get::<u32>(socket, libc::PACKET_FANOUT)? & 0xffff) as u16)
}

/// Reads an option of a packet socket whose value is of numbers only.
fn get<T: Numbers>(socket: BorrowedFd<'_>, option: libc::c_int) -> io::Result<T> {
    // SAFETY: all zeroes is a valid value of numbers.
    let mut value: T = unsafe { zeroed() };
    let mut length = length::<T>();
    // SAFETY: the kernel writes at most `length` octets, which `value` has; any octets are valid numbers.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    check(result).map(|()| value)
}

/// What consists of numbers.
trait Numbers {}
impl Numbers for u32 {}
impl Numbers for libc::tpacket_stats_v3 {}

/// Receives `protocol` of an interface on a socket from here on.
pub(super) fn bind(socket: BorrowedFd<'_>, interface: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: all zeroes is a valid address of numbers only.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = FAMILY;
    address.sll_protocol = protocol;
    address.sll_ifindex = interface.cast_signed();
    // SAFETY: `address` is a sockaddr_ll of the length given, and lives over the call.
    let result =
        unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length::<libc::sockaddr_ll>()) };
    check(result)
}

/// Returns the ARPHRD_ number of the interface that a socket is bound to.
pub(super) fn hardware_type(socket: BorrowedFd<'_>) -> io::Result<u16> {
    address(socket).map(|address| address.sll_hatype)
}

/// Returns the index of the interface that a socket is bound to; another number than before once that interface is gone.
pub(super) fn interface(socket: BorrowedFd<'_>) -> io::Result<u32> {
    address(socket).map(|address| address.sll_ifindex.cast_unsigned())
}

fn address(socket: BorrowedFd<'_>) -> io::Result<libc::sockaddr_ll> {
    // SAFETY: all zeroes is a valid address of numbers only.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    let mut length = length::<libc::sockaddr_ll>();
    // SAFETY: the kernel writes at most `length` octets, which `address` has.
    let result = unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut length) };
    check(result).map(|()| address)
}

/// Receives also what is for other hosts, as long as the socket is open.
pub(super) fn promiscuous(socket: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    // SAFETY: all zeroes is a valid request of numbers only.
    let mut request: libc::packet_mreq = unsafe { zeroed() };
    request.mr_ifindex = interface.cast_signed();
    request.mr_type = PROMISCUOUS;
    set(socket, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Waits until one of `sockets` has something, or an error to tell, or `limit` is over; returns whether there is an error.
pub(super) fn wait<'a>(sockets: impl Iterator<Item = BorrowedFd<'a>>, limit: Duration) -> io::Result<bool> {
    let events = libc::POLLIN | libc::POLLERR;
    let mut polled: Vec<libc::pollfd> =
        sockets.map(|socket| libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 }).collect();
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `polled` has as many entries as the call is told.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, limit) };
    match check(result.min(0)) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(polled.iter().any(|polled| polled.revents & libc::POLLERR != 0)),
    }
}

/// Returns index and name of every interface of this network namespace.
pub(super) fn interfaces() -> io::Result<Vec<(u32, String)>> {
    // SAFETY: takes nothing; what it returns is checked, and freed below, once.
    let Some(first) = NonNull::new(unsafe { libc::if_nameindex() }) else {
        return Err(io::Error::last_os_error());
    };
    let mut found = Vec::new();
    let mut entry = first.as_ptr();
    // SAFETY: the array ends with an entry whose index is 0 and whose name is null; up to there every name is a C string that
    // lives until the array is freed.
    unsafe {
        while (*entry).if_index != 0 && !(*entry).if_name.is_null() {
            let name = CStr::from_ptr((*entry).if_name).to_string_lossy().into_owned();
            found.push(((*entry).if_index, name));
            entry = entry.add(1);
        }
        libc::if_freenameindex(first.as_ptr());
    }
    Ok(found)
}

/// Memory that a packet socket and this process share: blocks that belong to one of them at a time.
pub(super) struct Blocks {
    start: NonNull<u8>,
    size: usize,
    count: usize,
}

// SAFETY: the memory is reached through this value only, and goes where it goes.
unsafe impl Send for Blocks {}

impl Blocks {
    /// Maps the ring of a socket: `count` blocks of `size` octets, as it was asked for.
    pub(super) fn map(socket: BorrowedFd<'_>, size: usize, count: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory. It outlives the socket's
        // descriptor, since the mapping holds the ring.
        let start = unsafe {
            libc::mmap(null_mut(), size * count, protection, libc::MAP_SHARED, socket.as_raw_fd(), 0)
        };
        match NonNull::new(start.cast()) {
            Some(mapped) if start != libc::MAP_FAILED => Ok(Self { start: mapped, size, count }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Returns how many there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Returns a block, if it is this process's.
    #[inline]
    pub(super) fn get(&mut self, block: usize) -> Option<&mut [u8]> {
        if self.status(block)?.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: `status` has checked that the block is within the mapping. The kernel writes to a block of this process's only
        // when it was given back, which `release` does and borrows `self` for; what it wrote before is visible by the acquiring
        // load.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(block * self.size), self.size) })
    }

    /// Gives a block back to the kernel.
    #[inline]
    pub(super) fn release(&mut self, block: usize) {
        if let Some(status) = self.status(block) {
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        }
    }

    #[inline]
    fn status(&self, block: usize) -> Option<&AtomicU32> {
        // SAFETY: within the mapping, since a block is longer than its header; aligned, since blocks are whole pages; and valid
        // for all of `self`'s life. Nothing in this process writes to it but through this reference.
        (block < self.count).then(|| unsafe {
            AtomicU32::from_ptr(self.start.as_ptr().add(block * self.size + BLOCK_STATUS).cast())
        })
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `map` has mapped; nothing borrowed from it is alive any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size * self.count) };
    }
}

#[expect(clippy::cast_possible_truncation, reason = "structures of some octets")]
const fn length<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
