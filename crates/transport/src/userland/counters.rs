//! What an endpoint counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What an endpoint counted since it was bound.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        impl std::ops::Add for Counters {
            type Output = Counters;

            fn add(self, other: Counters) -> Counters {
                Counters { $($name: self.$name + other.$name,)* }
            }
        }

        #[derive(Default)]
        pub(crate) struct Cells { $(pub(crate) $name: Cell,)* }

        impl Cells {
            pub(crate) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// UDP datagrams received.
    packets_in,
    /// UDP datagrams sent.
    packets_out,
    /// UDP payload octets received.
    octets_in,
    /// UDP payload octets sent.
    octets_out,
    /// Datagrams the socket refused to send, other than for a full buffer.
    send_failures,
    /// Datagrams too short or too broken to be an SCTP packet.
    malformed,
    /// Packets with a wrong CRC32c.
    crc_failures,
    /// Of these, packets longer than 1,500 octets: offloads of a virtual link
    /// (`ethtool -K DEV tx-sctp-segmentation off gso off gro off` on the sender).
    crc_failures_large,
    /// Packets for an association, with the wrong verification tag.
    bad_tag,
    /// Packets for no association (RFC 9260 section 8.4).
    out_of_the_blue,
    /// ABORTs and SHUTDOWN COMPLETEs sent for such packets.
    out_of_the_blue_answers,
    /// Such answers not sent for the limit of 100 a second.
    answers_suppressed,
    /// INITs answered with a cookie.
    inits_answered,
    /// Cookies whose MAC is wrong or missing.
    cookies_rejected,
    /// Cookies older than 60 s.
    cookies_stale,
    /// Handshakes not finished for a full backlog or a limit on associations.
    handshakes_refused,
    /// Associations set up by a peer.
    accepted,
    /// Associations set up from here.
    connected,
    /// Associations set up anew by a peer that had lost its state.
    restarts,
    /// ICMP messages about packets of an association.
    icmp,
    /// ICMP messages about anything else, not believed.
    icmp_ignored,
    /// Peers whose UDP port moved (RFC 6951 section 5.4).
    rebinds,
    /// Associations lost for silence.
    lost_silent,
    /// Associations lost for ICMP port unreachable.
    lost_unreachable,
    /// Times this process did not run for a while; peers are not blamed for it.
    stalls,
}

/// A counter only one thread writes.
#[derive(Default)]
pub(crate) struct Cell(AtomicU64);

impl Cell {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }
}
