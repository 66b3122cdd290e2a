//! The peers, for metrics and the operator's view.

use std::net::IpAddr;
use std::time::Instant;

use super::super::Registrar;
use super::Startup;
use super::next_generation::long_id;
use crate::wire::param::long_registrar_identifier::LongRegistrarId;
use crate::wire::param::pe_checksum::PeChecksum;
use crate::wire::param::registrar_tcp::RegistrarTcp;
use crate::{Protocol, RegistrarId};

/// How a peer is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PeerState {
    /// Others told of it; it has said nothing itself.
    Unheard,
    /// It lives.
    Active,
    /// It was silent for too long, or is disconnected, and has been asked.
    Suspect,
    /// It did not answer; it is taken over.
    Dead,
}

impl PeerState {
    /// Returns the state as operators and metrics call it.
    pub const fn label(self) -> &'static str {
        match self {
            PeerState::Unheard => "unheard",
            PeerState::Active => "active",
            PeerState::Suspect => "suspect",
            PeerState::Dead => "dead",
        }
    }
}

/// One peer.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its identifier.
    pub id: RegistrarId,
    /// Its long identifier, if it told it and we read it (docs/wire.md section 17).
    pub long_id: Option<LongRegistrarId>,
    /// Its addresses as it told them, else those it is connected from.
    pub addresses: Vec<IpAddr>,
    /// Its ENRP port over SCTP, if it told one.
    pub port: Option<u16>,
    /// Where it speaks ENRP over TCP and TLS, if it told that and we read it (docs/wire.md section 18).
    pub tcp: Vec<RegistrarTcp>,
    /// How it is.
    pub state: PeerState,
    /// Whether there is a connection.
    pub connected: bool,
    /// Over which protocol messages to it go.
    pub protocol: Option<Protocol>,
    /// When something came from it last.
    pub last_heard: Option<Instant>,
    /// Checksum over its elements as it told.
    pub checksum_told: Option<PeChecksum>,
    /// Checksum over its elements as they are here.
    pub checksum_held: PeChecksum,
    /// How many elements it owns.
    pub elements: usize,
    /// It was our mentor.
    pub is_mentor: bool,
    /// It looks like the reference implementation.
    pub is_reference: bool,
}

impl Registrar {
    /// Returns the known peers by identifier.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> {
        self.enrp.peers.iter().map(|(&id, peer)| {
            let link = peer.via.and_then(|via| self.enrp.links.get(&via));
            let told = peer.information.as_ref().map(|information| &information.transport);
            let read = peer.information.as_ref().filter(|_| self.enrp.config.next_generation);
            PeerStatus {
                id,
                long_id: read.and_then(long_id),
                addresses: told
                    .map(|transport| transport.addresses.clone())
                    .or_else(|| link.map(|link| link.remote.clone()))
                    .unwrap_or_default(),
                port: told.map(|transport| transport.port).filter(|&port| port != 0),
                tcp: read.map(|told| RegistrarTcp::all(&told.unknown)).unwrap_or_default(),
                state: peer.state,
                connected: link.is_some(),
                protocol: link.map(|link| link.protocol),
                last_heard: peer.last_heard,
                checksum_told: peer.told,
                checksum_held: self.handlespace.checksum(id),
                elements: self.owned(id),
                is_mentor: self.enrp.mentor == Some(id),
                is_reference: peer.is_reference,
            }
        })
    }

    /// Returns whether the mentor's table is downloaded, or nobody was there to give one.
    pub fn is_ready(&self) -> bool {
        matches!(self.enrp.startup, Startup::Ready)
    }

    /// How many elements a registrar owns.
    pub(super) fn owned(&self, home: RegistrarId) -> usize {
        self.handlespace.owners().find(|(owner, _)| *owner == home).map_or(0, |(_, elements)| elements)
    }
}
