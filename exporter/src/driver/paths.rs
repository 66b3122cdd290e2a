//! The paths of the association with the collector in use (RFC 9260 sections 5.4 and 8.2).
//!
//! A path that is lost is told and counted, and nothing else follows: the association lives while another path does,
//! and only the transport ends it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tracing::{info, warn};
use transport::{Association, PeerAddress};

use crate::metrics::PathMetrics;

/// Which paths are down, and the metrics of that.
pub(super) struct Paths {
    down: BTreeSet<IpAddr>,
    metrics: PathMetrics,
}

impl Paths {
    /// No association yet.
    pub(super) fn new() -> Self {
        Self { down: BTreeSet::new(), metrics: PathMetrics::without_paths() }
    }

    /// An association is up: its paths are until the transport says otherwise.
    pub(super) fn begin(&mut self, association: &Association) {
        self.down.clear();
        self.publish(&association.peer_addresses());
    }

    /// The association is over.
    pub(super) fn end(&mut self) {
        self.metrics.update(0, 0);
    }

    /// A path of `association` is up, for the first time or again.
    pub(super) fn up(&mut self, path: PeerAddress, association: &Association) {
        let again = path.ip().is_some_and(|ip| self.down.remove(&ip));
        info!(%path, again, "path to the collector up");
        self.metrics.up.increment(1);
        self.publish(&association.peer_addresses());
    }

    /// A path of `association` is lost.
    pub(super) fn down(&mut self, path: PeerAddress, association: &Association) {
        self.down.extend(path.ip());
        let (up, down) = self.publish(&association.peer_addresses());
        warn!(%path, up, down, "path to the collector lost, the association goes on");
        self.metrics.down.increment(1);
    }

    /// Returns the paths of `association`, and which of them are up.
    pub(super) fn list(&self, association: &Association) -> impl Iterator<Item = (IpAddr, bool)> {
        let known: BTreeSet<IpAddr> =
            association.peer_addresses().iter().filter_map(PeerAddress::ip).collect();
        known.into_iter().map(|ip| (ip, !self.down.contains(&ip)))
    }

    fn publish(&mut self, known: &[PeerAddress]) -> (usize, usize) {
        let (up, down) = count(&mut self.down, known);
        self.metrics.update(up, down);
        (up, down)
    }
}

/// Returns how many of the `known` paths are up and down. What is not known (any more) is forgotten.
fn count(down: &mut BTreeSet<IpAddr>, known: &[PeerAddress]) -> (usize, usize) {
    let known: BTreeSet<IpAddr> = known.iter().filter_map(PeerAddress::ip).collect();
    down.retain(|ip| known.contains(ip));
    (known.len() - down.len(), down.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_counted_among_those_of_the_association() {
        let [first, second, third] = [1, 2, 3].map(|host| IpAddr::from([192, 0, 2, host]));
        let known = [first, second].map(|ip| PeerAddress::sctp(ip, 4739));
        let mut down = BTreeSet::new();
        assert_eq!(count(&mut down, &known), (2, 0));
        down.extend([second, third]);
        assert_eq!(count(&mut down, &known), (1, 1));
        assert_eq!(down, BTreeSet::from([second]), "an address of nobody is not kept");
        assert_eq!(count(&mut down, &known[..1]), (1, 0));
    }
}
