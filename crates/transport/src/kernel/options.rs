//! The socket options of SCTP we use (RFC 6458 section 8), laid out as in `linux/sctp.h`.
//!
//! Each is a buffer of octets with fields at named offsets: several of the structures are packed.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use super::{notification, sockaddr, sys};

const SCTP_RTOINFO: i32 = 0;
const SCTP_ASSOCINFO: i32 = 1;
const SCTP_INITMSG: i32 = 2;
const SCTP_NODELAY: i32 = 3;
const SCTP_PEER_ADDR_PARAMS: i32 = 9;
const SCTP_STATUS: i32 = 14;
const SCTP_DELAYED_SACK: i32 = 16;
const SCTP_RECVRCVINFO: i32 = 32;
const SCTP_SOCKOPT_BINDX_ADD: i32 = 100;
const SCTP_GET_PEER_ADDRS: i32 = 108;
const SCTP_SOCKOPT_CONNECTX: i32 = 110;
const SCTP_GET_ASSOC_STATS: i32 = 112;
const SCTP_PR_SUPPORTED: i32 = 113;
const SCTP_PR_STREAM_STATUS: i32 = 116;
const SCTP_EVENT: i32 = 127;
const SCTP_REMOTE_UDP_ENCAPS_PORT: i32 = 132;

/// Sizes and offsets of the structures.
pub(super) mod layout {
    pub(in super::super) const RTOINFO: usize = 16;
    pub(in super::super) const ASSOCPARAMS: usize = 20;
    pub(in super::super) const INITMSG: usize = 8;
    pub(in super::super) const SACK_INFO: usize = 12;
    pub(in super::super) const PADDRPARAMS: usize = 156;
    pub(in super::super) const SPP_ADDRESS: usize = 4;
    pub(in super::super) const SPP_HBINTERVAL: usize = 132;
    pub(in super::super) const SPP_PATHMAXRXT: usize = 136;
    pub(in super::super) const SPP_FLAGS: usize = 146;
    pub(in super::super) const STATUS: usize = 176;
    pub(in super::super) const SSTAT_STATE: usize = 4;
    pub(in super::super) const SSTAT_RWND: usize = 8;
    pub(in super::super) const SSTAT_OUTSTRMS: usize = 18;
    pub(in super::super) const SSTAT_PRIMARY: usize = 24;
    pub(in super::super) const SPINFO_ADDRESS: usize = 4;
    pub(in super::super) const SPINFO_CWND: usize = 136;
    pub(in super::super) const SPINFO_SRTT: usize = 140;
    pub(in super::super) const SPINFO_RTO: usize = 144;
    pub(in super::super) const ASSOC_STATS: usize = 256;
    pub(in super::super) const SAS_MAXRTO: usize = 136;
    pub(in super::super) const SAS_IPACKETS: usize = 168;
    pub(in super::super) const SAS_RTXCHUNKS: usize = 176;
    pub(in super::super) const SAS_GAPCNT: usize = 200;
    pub(in super::super) const PRSTATUS: usize = 24;
    pub(in super::super) const SPRSTAT_UNSENT: usize = 8;
    pub(in super::super) const SPRSTAT_SENT: usize = 16;
    pub(in super::super) const EVENT: usize = 8;
    pub(in super::super) const UDPENCAPS: usize = 144;
    pub(in super::super) const SUE_ADDRESS: usize = 8;
    pub(in super::super) const SUE_PORT: usize = 136;
    pub(in super::super) const GETADDRS: usize = 8;
}
use layout::*;

const SCTP_ESTABLISHED: u32 = 4;
const SPP_HB_ENABLE: u32 = 1;
const SPP_HB_DEMAND: u32 = 4;
/// Of the array of SO_MEMINFO: what the send queue holds.
const SK_MEMINFO_WMEM_QUEUED: usize = 5;

/// One structure.
struct Octets<const N: usize>([u8; N]);

impl<const N: usize> Octets<N> {
    const fn new() -> Octets<N> {
        Octets([0; N])
    }

    fn put(mut self, at: usize, octets: &[u8]) -> Octets<N> {
        self.0[at..at + octets.len()].copy_from_slice(octets);
        self
    }

    fn u32(self, at: usize, value: u32) -> Octets<N> {
        self.put(at, &value.to_ne_bytes())
    }

    fn u16(self, at: usize, value: u16) -> Octets<N> {
        self.put(at, &value.to_ne_bytes())
    }

    fn array<const M: usize>(&self, at: usize) -> [u8; M] {
        let mut array = [0; M];
        array.copy_from_slice(&self.0[at..at + M]);
        array
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.array(at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.array(at))
    }

    fn get(mut self, socket: &impl AsFd, option: i32) -> io::Result<Octets<N>> {
        let length = sys::get(socket, libc::IPPROTO_SCTP, option, &mut self.0)?;
        if length < N {
            return Err(io::Error::other(format!("option {option}: {length} octets of {N}")));
        }
        Ok(self)
    }

    fn set(&self, socket: &impl AsFd, option: i32) -> io::Result<()> {
        sys::set(socket, option, &self.0)
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// Bounds of the retransmission time-out.
pub(super) fn set_rto(socket: &impl AsFd, initial: Duration, min: Duration, max: Duration) -> io::Result<()> {
    Octets::<RTOINFO>::new()
        .u32(4, millis(initial))
        .u32(8, millis(max))
        .u32(12, millis(min))
        .set(socket, SCTP_RTOINFO)
}

/// Association.Max.Retrans.
pub(super) fn set_association_max_retrans(socket: &impl AsFd, count: u16) -> io::Result<()> {
    Octets::<ASSOCPARAMS>::new().u16(4, count).set(socket, SCTP_ASSOCINFO)
}

/// Streams offered, INITs sent, and the cap of the time between them.
pub(super) fn set_init(socket: &impl AsFd, streams: u16, attempts: u16, cap: Duration) -> io::Result<()> {
    Octets::<INITMSG>::new()
        .u16(0, streams)
        .u16(2, streams)
        .u16(4, attempts)
        .u16(6, u16::try_from(millis(cap)).unwrap_or(u16::MAX))
        .set(socket, SCTP_INITMSG)
}

/// Sends what there is to send at once.
pub(super) fn set_no_delay(socket: &impl AsFd) -> io::Result<()> {
    sys::set(socket, SCTP_NODELAY, &1_i32.to_ne_bytes())
}

/// SCTP_RCVINFO with every message.
pub(super) fn set_receive_info(socket: &impl AsFd) -> io::Result<()> {
    sys::set(socket, SCTP_RECVRCVINFO, &1_i32.to_ne_bytes())
}

/// Longest delay of our own SACK. The kernel takes 500 ms at most.
pub(super) fn set_sack_delay(socket: &impl AsFd, delay: Duration) -> io::Result<()> {
    set_sack_frequency(socket, delay, 0)
}

/// The same, and after how many packets one is due at once: 2 or more, or 0 for as many as it was. Linux begins with 2.
pub(super) fn set_sack_frequency(socket: &impl AsFd, delay: Duration, packets: u32) -> io::Result<()> {
    Octets::<SACK_INFO>::new().u32(4, millis(delay).min(500)).u32(8, packets).set(socket, SCTP_DELAYED_SACK)
}

/// Offers partial reliability (RFC 3758), whatever the host's default is.
pub(super) fn set_partial_reliability(socket: &impl AsFd) -> io::Result<()> {
    Octets::<8>::new().u32(4, 1).set(socket, SCTP_PR_SUPPORTED)
}

/// HB.interval and Path.Max.Retrans of all paths.
pub(super) fn set_paths(socket: &impl AsFd, heartbeat: Duration, retrans: u16) -> io::Result<()> {
    Octets::<PADDRPARAMS>::new()
        .u32(SPP_HBINTERVAL, millis(heartbeat))
        .u16(SPP_PATHMAXRXT, retrans)
        .u32(SPP_FLAGS, SPP_HB_ENABLE)
        .set(socket, SCTP_PEER_ADDR_PARAMS)
}

/// Sends a HEARTBEAT on the path to `peer` at once.
pub(super) fn demand_heartbeat(socket: &impl AsFd, peer: SocketAddr) -> io::Result<()> {
    Octets::<PADDRPARAMS>::new()
        .put(SPP_ADDRESS, &sockaddr::encode(peer))
        .u32(SPP_FLAGS, SPP_HB_DEMAND)
        .set(socket, SCTP_PEER_ADDR_PARAMS)
}

/// Asks for the notifications [`notification::parse`] knows, but for [`subscribe_to_dry`].
pub(super) fn subscribe(socket: &impl AsFd) -> io::Result<()> {
    notification::WANTED.into_iter().try_for_each(|kind| subscribe_to(socket, kind))
}

/// Asks for [`notification::Notification::Dry`]. It comes at once if nothing waits for an acknowledgement.
pub(super) fn subscribe_to_dry(socket: &impl AsFd) -> io::Result<()> {
    subscribe_to(socket, notification::SENDER_DRY)
}

fn subscribe_to(socket: &impl AsFd, kind: u16) -> io::Result<()> {
    Octets::<EVENT>::new().u16(4, kind).put(6, &[1]).set(socket, SCTP_EVENT)
}

/// Sends to the peer in UDP at this port; 0 is native.
pub(super) fn set_encapsulation(socket: &impl AsFd, port: u16) -> io::Result<()> {
    Octets::<UDPENCAPS>::new().put(SUE_PORT, &port.to_be_bytes()).set(socket, SCTP_REMOTE_UDP_ENCAPS_PORT)
}

/// The UDP port the peer is reached at; none if natively.
pub(super) fn encapsulation(socket: &impl AsFd, peer: SocketAddr) -> io::Result<Option<u16>> {
    let answer = Octets::<UDPENCAPS>::new()
        .put(SUE_ADDRESS, &sockaddr::encode(peer))
        .get(socket, SCTP_REMOTE_UDP_ENCAPS_PORT)?;
    Ok(Some(u16::from_be_bytes(answer.array(SUE_PORT))).filter(|&port| port != 0))
}

fn packed(addresses: &[SocketAddr]) -> Vec<u8> {
    addresses.iter().copied().flat_map(sockaddr::encode).collect()
}

/// Binds to further addresses, or to the first ones.
pub(super) fn bind(socket: &impl AsFd, addresses: &[SocketAddr]) -> io::Result<()> {
    sys::set(socket, SCTP_SOCKOPT_BINDX_ADD, &packed(addresses))
}

/// Starts to connect to a peer with these addresses.
pub(super) fn connect(socket: &impl AsFd, addresses: &[SocketAddr]) -> io::Result<()> {
    sys::set(socket, SCTP_SOCKOPT_CONNECTX, &packed(addresses))
}

/// The peer's addresses.
pub(super) fn peer_addresses(socket: &impl AsFd) -> io::Result<Vec<SocketAddr>> {
    let mut octets = vec![0; GETADDRS + 64 * sockaddr::STORAGE];
    let length = sys::get(socket, libc::IPPROTO_SCTP, SCTP_GET_PEER_ADDRS, &mut octets)?;
    let mut rest = octets.get(GETADDRS..length).unwrap_or_default();
    let mut addresses = Vec::new();
    while let Some((address, taken)) = sockaddr::decode(rest) {
        addresses.push(address);
        rest = &rest[taken..];
    }
    Ok(addresses)
}

/// A look at the association.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    pub(super) established: bool,
    pub(super) peer_window: u32,
    pub(super) streams: u16,
    /// The peer's primary address.
    pub(super) primary: Option<SocketAddr>,
    /// In octets.
    pub(super) congestion_window: u32,
    pub(super) srtt: Duration,
    pub(super) rto: Duration,
}

/// Fails once the association is over.
pub(super) fn status(socket: &impl AsFd) -> io::Result<Status> {
    let answer = Octets::<STATUS>::new().get(socket, SCTP_STATUS)?;
    let primary = &answer.0[SSTAT_PRIMARY..];
    let address = &primary[SPINFO_ADDRESS..SPINFO_ADDRESS + sockaddr::STORAGE];
    Ok(Status {
        established: answer.u32_at(SSTAT_STATE) == SCTP_ESTABLISHED,
        peer_window: answer.u32_at(SSTAT_RWND),
        streams: u16::from_ne_bytes(answer.array(SSTAT_OUTSTRMS)),
        primary: sockaddr::decode(address).map(|(address, _)| address),
        congestion_window: answer.u32_at(SSTAT_PRIMARY + SPINFO_CWND),
        // RFC 6458 section 8.2.1 says milliseconds; Linux tells ticks, though not for the time-out.
        srtt: sys::tick() * answer.u32_at(SSTAT_PRIMARY + SPINFO_SRTT),
        rto: Duration::from_millis(answer.u32_at(SSTAT_PRIMARY + SPINFO_RTO).into()),
    })
}

/// What an association counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statistics {
    /// Packets received for it.
    pub(super) packets_in: u64,
    /// Chunks sent again.
    pub(super) retransmissions: u64,
    /// Gaps the peer's SACKs reported.
    pub(super) gaps: u64,
    /// The longest retransmission time-out since the last look; 0 if it did not change.
    pub(super) longest_rto: Duration,
}

/// Fails once the association is over.
pub(super) fn statistics(socket: &impl AsFd) -> io::Result<Statistics> {
    let answer = Octets::<ASSOC_STATS>::new().get(socket, SCTP_GET_ASSOC_STATS)?;
    Ok(Statistics {
        packets_in: answer.u64_at(SAS_IPACKETS),
        retransmissions: answer.u64_at(SAS_RTXCHUNKS),
        gaps: answer.u64_at(SAS_GAPCNT),
        longest_rto: Duration::from_millis(answer.u64_at(SAS_MAXRTO)),
    })
}

/// How many messages the kernel gave up on a stream under a policy of RFC 7496, sent before or not.
pub(super) fn abandoned(socket: &impl AsFd, stream: u16, policy: u16) -> io::Result<u64> {
    let answer =
        Octets::<PRSTATUS>::new().u16(4, stream).u16(6, policy).get(socket, SCTP_PR_STREAM_STATUS)?;
    Ok(answer.u64_at(SPRSTAT_UNSENT).saturating_add(answer.u64_at(SPRSTAT_SENT)))
}

/// Octets of memory the send queue takes: 0 when everything was acknowledged or given up.
pub(super) fn send_queue(socket: &impl AsFd) -> io::Result<u32> {
    let mut octets = [0; 36];
    let length = sys::get(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut octets)?;
    let at = SK_MEMINFO_WMEM_QUEUED * 4;
    match octets.get(at..at + 4) {
        Some(value) if length >= at + 4 => Ok(u32::from_ne_bytes([value[0], value[1], value[2], value[3]])),
        _ => Err(io::Error::other("SO_MEMINFO is too short")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::notification::offset;
    use super::*;

    /// What the C compiler makes of `linux/sctp.h`, and what we make of it.
    const SIZES: [(&str, usize); 11] = [
        ("struct sctp_rtoinfo", RTOINFO),
        ("struct sctp_assocparams", ASSOCPARAMS),
        ("struct sctp_initmsg", INITMSG),
        ("struct sctp_sack_info", SACK_INFO),
        ("struct sctp_paddrparams", PADDRPARAMS),
        ("struct sctp_status", STATUS),
        ("struct sctp_assoc_stats", ASSOC_STATS),
        ("struct sctp_prstatus", PRSTATUS),
        ("struct sctp_event", EVENT),
        ("struct sctp_udpencaps", UDPENCAPS),
        ("struct sctp_getaddrs", GETADDRS),
    ];
    const OFFSETS: [(&str, &str, usize); 39] = [
        ("rtoinfo", "srto_initial", 4),
        ("rtoinfo", "srto_max", 8),
        ("rtoinfo", "srto_min", 12),
        ("assocparams", "sasoc_asocmaxrxt", 4),
        ("initmsg", "sinit_num_ostreams", 0),
        ("initmsg", "sinit_max_instreams", 2),
        ("initmsg", "sinit_max_attempts", 4),
        ("initmsg", "sinit_max_init_timeo", 6),
        ("sack_info", "sack_delay", 4),
        ("sack_info", "sack_freq", 8),
        ("assoc_value", "assoc_value", 4),
        ("event", "se_type", 4),
        ("event", "se_on", 6),
        ("paddrparams", "spp_address", SPP_ADDRESS),
        ("paddrparams", "spp_hbinterval", SPP_HBINTERVAL),
        ("paddrparams", "spp_pathmaxrxt", SPP_PATHMAXRXT),
        ("paddrparams", "spp_flags", SPP_FLAGS),
        ("status", "sstat_state", SSTAT_STATE),
        ("status", "sstat_rwnd", SSTAT_RWND),
        ("status", "sstat_outstrms", SSTAT_OUTSTRMS),
        ("status", "sstat_primary", SSTAT_PRIMARY),
        ("paddrinfo", "spinfo_address", SPINFO_ADDRESS),
        ("paddrinfo", "spinfo_cwnd", SPINFO_CWND),
        ("paddrinfo", "spinfo_srtt", SPINFO_SRTT),
        ("paddrinfo", "spinfo_rto", SPINFO_RTO),
        ("assoc_stats", "sas_maxrto", SAS_MAXRTO),
        ("assoc_stats", "sas_ipackets", SAS_IPACKETS),
        ("assoc_stats", "sas_rtxchunks", SAS_RTXCHUNKS),
        ("assoc_stats", "sas_gapcnt", SAS_GAPCNT),
        ("prstatus", "sprstat_abandoned_unsent", SPRSTAT_UNSENT),
        ("prstatus", "sprstat_abandoned_sent", SPRSTAT_SENT),
        ("udpencaps", "sue_address", SUE_ADDRESS),
        ("udpencaps", "sue_port", SUE_PORT),
        ("assoc_change", "sac_state", offset::SAC_STATE),
        ("assoc_change", "sac_error", offset::SAC_ERROR),
        ("assoc_change", "sac_outbound_streams", offset::SAC_OUTBOUND),
        ("paddr_change", "spc_aaddr", offset::SPC_ADDRESS),
        ("paddr_change", "spc_state", offset::SPC_STATE),
        ("send_failed_event", "ssf_error", offset::SSF_ERROR),
    ];

    #[test]
    fn structures_are_laid_out_as_in_linux_sctp_h() {
        let mut program = String::from(
            "#include <stddef.h>\n#include <stdint.h>\n#include <sys/socket.h>\n#include <linux/sctp.h>\n",
        );
        for (name, size) in SIZES {
            program += &format!("_Static_assert(sizeof({name}) == {size}, \"{name}\");\n");
        }
        for (name, field, at) in OFFSETS {
            let text = format!("offsetof(struct sctp_{name}, {field}) == {at}");
            program += &format!("_Static_assert({text}, \"{name}.{field}\");\n");
        }
        let context = offset::SSF_CONTEXT;
        program += &format!(
            "_Static_assert(offsetof(struct sctp_send_failed_event, ssfe_info) + \
             offsetof(struct sctp_sndinfo, snd_context) == {context}, \"snd_context\");\n"
        );
        let source = std::env::temp_dir().join(format!("flowpool-sctp-{}.c", std::process::id()));
        std::fs::write(&source, program).unwrap();
        let compiled = Command::new("cc").args(["-std=c11", "-fsyntax-only"]).arg(&source).output();
        std::fs::remove_file(&source).unwrap();
        match compiled {
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            Err(error) => println!("SKIPPED: no C compiler: {error}"),
        }
    }
}
