//! The list of registrars (RFC 5353 section 3.2.2.2).

use std::time::Instant;

use super::super::Registrar;
use super::{PeerState, Refusal, next_generation};
use crate::RegistrarId;
use crate::wire::enrp::list::{ListRequest, ListResponse};

/// Whether the list of registrars is still to be got. Who serves alone because nobody was there, or everybody was starting
/// as well, asks those that come later: two that are configured with the same third one would not hear of each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LateList {
    NotNeeded,
    /// To be asked for with the next heartbeat, of another peer than the last one if there is one.
    Wanted {
        last: RegistrarId,
    },
    Asked {
        peer: RegistrarId,
    },
}

impl Registrar {
    /// Asks one peer for its list, if we have none. To be called with each heartbeat.
    pub(super) fn ask_list_late(&mut self) {
        let (LateList::Wanted { last } | LateList::Asked { peer: last }) = self.enrp.late_list else {
            return;
        };
        let peers: Vec<RegistrarId> =
            self.connected_peers().into_iter().filter(|id| self.is_active(*id)).collect();
        let next = peers.iter().find(|id| **id > last).or(peers.first());
        if let Some(&peer) = next {
            self.enrp.late_list = LateList::Asked { peer };
            self.tell_peer(peer, ListRequest::default());
        }
    }

    /// Lists the peers, to each as it reads them; while we start we know too few of them.
    pub(super) fn handle_list_request(&mut self, sender: RegistrarId) {
        let rejected = !self.is_ready();
        let listed = |id: RegistrarId, state| id != sender && state == PeerState::Active;
        let peers = self.enrp.peers.iter().filter(|(id, peer)| !rejected && listed(**id, peer.state));
        let peers = peers.filter_map(|(_, peer)| peer.information.clone());
        let peers = match self.tells_next_generation(sender) {
            true => peers.collect(),
            false => peers.filter_map(next_generation::without_it).collect(),
        };
        self.tell_peer(sender, ListResponse { rejected, peers, unknown: vec![] });
    }

    pub(super) fn handle_list_response(&mut self, now: Instant, sender: RegistrarId, list: ListResponse) {
        let late = self.enrp.late_list == LateList::Asked { peer: sender };
        if !late && !self.awaits_list(sender) {
            return self.refuse(Refusal::Unasked, None);
        }
        if late {
            self.enrp.late_list =
                if list.rejected { LateList::Wanted { last: sender } } else { LateList::NotNeeded };
        }
        if list.rejected {
            return self.mentor_refused(now);
        }
        for information in list.peers {
            let id = information.registrar;
            // The reference implementation lists registrars it looks for without knowing who they are.
            if id == RegistrarId::UNDETERMINED {
                if let Some(peer) = self.enrp.peers.get_mut(&sender) {
                    peer.is_reference = true;
                }
                continue;
            }
            let next_generation = self.enrp.config.next_generation;
            if next_generation && next_generation::lies(&information) {
                self.refuse(Refusal::LongIdentifier, None);
            } else if self.contradicts(&information) {
                self.conflict(now, None, &information);
            } else if !self.enrp.config.may_be_peer(&information) {
                self.refuse(Refusal::Stranger, None);
            } else if self.know(now, id) {
                self.learn(now, id, &information);
                if let Some(peer) = self.enrp.peers.get_mut(&id) {
                    peer.information.get_or_insert_with(|| next_generation::bounded(information));
                }
            }
        }
        self.reconnect(now);
        self.list_received(now);
    }
}
