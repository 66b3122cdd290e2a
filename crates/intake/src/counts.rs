//! What is counted of datagrams; the owner makes the handles, under names of its own.

use metrics::{Counter, Gauge};

use crate::netflow::Version;

/// Handles of what is counted of all sockets.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Datagrams.
    pub messages: Counter,
    /// Octets of them.
    pub octets: Counter,
    /// Sources with a session.
    pub sessions: Gauge,
    /// Sources in the penalty box.
    pub penalized: Gauge,
    /// Datagrams the kernel had no room for.
    pub kernel_drops: Counter,
    /// Datagrams of sources in the penalty box.
    pub penalty: Counter,
    /// Datagrams of new sources while there were too many.
    pub too_many: Counter,
    /// Datagrams that had come before.
    pub duplicates: Counter,
    /// Of NetFlow version 5, 7 and 9.
    pub netflow: [Counter; 3],
    /// Datagrams of NetFlow version 9 that sequence numbers show missing.
    pub lost: Counter,
    /// Of these, such as came after all.
    pub late: Counter,
    /// Octets of data sets that wait for their template.
    pub held: Gauge,
}

impl Counts {
    pub(crate) fn datagram(&self, version: Version, octets: &[u8]) {
        self.messages.increment(1);
        self.octets.increment(octets.len() as u64);
        let netflow = [Version::V5, Version::V7, Version::V9].into_iter().zip(&self.netflow);
        netflow.filter(|(counted, _)| *counted == version).for_each(|(_, counter)| counter.increment(1));
    }
}
