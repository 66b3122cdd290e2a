//! Which of the peer's addresses are reached.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::link::Link;
use crate::{Event, PeerAddress};

/// The paths of one association. A path nothing was heard of counts as working.
pub(super) struct Paths {
    encapsulation: Option<u16>,
    down: BTreeSet<SocketAddr>,
    /// Confirmed, so that the first confirmation of the address connected to is no event.
    up: BTreeSet<SocketAddr>,
}

impl Paths {
    pub(super) fn new(peer: SocketAddr, encapsulation: Option<u16>) -> Paths {
        Paths { encapsulation, down: BTreeSet::new(), up: BTreeSet::from([peer]) }
    }

    pub(super) fn address(&self, address: SocketAddr) -> PeerAddress {
        PeerAddress::Sctp { ip: address.ip(), port: address.port(), encapsulation: self.encapsulation }
    }

    pub(super) fn up(&mut self, link: &Link, address: SocketAddr) {
        self.down.remove(&address);
        if self.up.insert(address) {
            let address = self.address(address);
            tracing::info!(%address, "path of the peer up");
            link.push(Event::PathUp(address));
        }
    }

    pub(super) fn down(&mut self, link: &Link, address: SocketAddr) {
        self.up.remove(&address);
        if !self.down.insert(address) {
            return;
        }
        let failed = self.address(address);
        tracing::info!(address = %failed, "path of the peer down");
        link.push(Event::PathDown(failed));
        // The kernel goes on with another one.
        if link.peer() == failed
            && let Some(&other) = self.up.first()
        {
            link.move_peer(self.address(other));
        }
    }
}
