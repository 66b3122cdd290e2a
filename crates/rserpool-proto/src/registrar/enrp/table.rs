//! The handlespace in parts, in both directions (RFC 5353 sections 3.2.3 and 3.6.3).
//!
//! A table is sent in order of handle and identifier. A session is where the next part starts, so what changes
//! meanwhile is neither lost nor sent twice: elements before that place are told by updates as to every peer.
//! Timer: MAX-TIME-NO-RESPONSE for each request and for each session.

use std::collections::BTreeSet;
use std::time::Instant;

use super::super::{Event, Key, Registrar, Removal};
use super::{Refusal, Timer};
use crate::wire::PoolElementParameter;
use crate::wire::enrp::handle_table::{HandleTableRequest, HandleTableResponse, PoolEntry};
use crate::wire::param::pe_checksum::PeChecksum;
use crate::{PoolHandle, RegistrarId};

/// Elements in one part, as in the reference implementation.
const MAX_ELEMENTS: usize = 128;

/// Octets of one part; the reference implementation takes less.
const MAX_OCTETS: usize = 60_000;
const MAX_OCTETS_REFERENCE: usize = 1_400;

/// A table we have asked for.
#[derive(Debug)]
pub(super) struct Download {
    /// Only what the peer owns.
    own: bool,
    /// What the peer owned here when it began and was not listed yet.
    marked: BTreeSet<Key>,
    elements: usize,
    /// Elements of the peer that could not be stored here.
    pub(super) missing: usize,
}

impl Registrar {
    /// Asks a peer for its table; returns whether it can be asked.
    pub(super) fn request_table(&mut self, now: Instant, from: RegistrarId, own: bool) -> bool {
        let marked = match own {
            true => {
                self.handlespace.owned_by(from).map(|(pool, element)| (pool.clone(), element.pe)).collect()
            }
            false => BTreeSet::new(),
        };
        let Some(peer) = self.enrp.peers.get_mut(&from).filter(|peer| peer.via.is_some()) else {
            return false;
        };
        peer.download = Some(Download { own, marked, elements: 0, missing: 0 });
        if own {
            peer.last_download = Some(now);
        }
        peer.missed = false;
        self.enrp.counters.tables_requested += 1;
        self.request_part(now, from, own);
        true
    }

    fn request_part(&mut self, now: Instant, from: RegistrarId, own: bool) {
        self.tell_peer(from, HandleTableRequest { own_children_only: own, unknown: vec![] });
        self.set_timer(Timer::Table(from), now + self.config.profile.peer_no_response);
    }

    pub(super) fn handle_table_request(
        &mut self,
        now: Instant,
        sender: RegistrarId,
        request: &HandleTableRequest,
    ) {
        let own = request.own_children_only;
        if !self.is_ready() {
            let refusal = HandleTableResponse { rejected: true, ..HandleTableResponse::default() };
            self.tell_peer(sender, refusal);
            return;
        }
        let from = self.enrp.sessions.remove(&(sender, own));
        let (entries, last) = self.table_part(sender, own, from.as_ref());
        let sent: usize = entries.iter().map(|entry| entry.elements.len()).sum();
        self.enrp.counters.table_elements_sent += u64::try_from(sent).unwrap_or(u64::MAX);
        let more_to_send = last.is_some();
        match last {
            Some(last) => {
                self.enrp.sessions.insert((sender, own), last);
                self.set_timer(Timer::Session(sender, own), now + self.config.profile.peer_no_response);
            }
            None => self.stop_timer(Timer::Session(sender, own)),
        }
        let part = HandleTableResponse { more_to_send, entries, ..HandleTableResponse::default() };
        self.tell_peer(sender, part);
    }

    /// The elements that come after `from` and fit one part, and the last of them if there are more.
    fn table_part(&self, to: RegistrarId, own: bool, from: Option<&Key>) -> (Vec<PoolEntry>, Option<Key>) {
        let reference = self.enrp.peers.get(&to).is_some_and(|peer| peer.is_reference);
        let room = if reference { MAX_OCTETS_REFERENCE } else { MAX_OCTETS };
        let from = from.map(|(pool, pe)| (pool, *pe));
        let owned = own.then(|| self.handlespace.owned_after(self.id, from)).into_iter().flatten();
        let known = (!own).then(|| self.handlespace.after(from)).into_iter().flatten();
        let mut all = owned.chain(known).peekable();
        let mut entries: Vec<PoolEntry> = Vec::new();
        let (mut octets, mut elements, mut last) = (12, 0, None);
        while let Some((pool, element)) = all.peek() {
            let (pool, key) = (*pool, ((*pool).clone(), element.pe));
            let told = Some(element).filter(|element| !self.is_hidden_from(to, element));
            let Some(element) = told.and_then(|element| self.element_for(to, pool, element)) else {
                all.next();
                continue;
            };
            let handle = entries.last().is_none_or(|entry| entry.pool != *pool);
            let size = element.to_octets().len() + if handle { pool.as_octets().len() + 8 } else { 0 };
            // A first element that is too large for the room is sent alone; a message it always fits.
            if elements == MAX_ELEMENTS || (elements > 0 && octets + size > room) {
                return (entries, last);
            }
            (octets, elements, last) = (octets + size, elements + 1, Some(key));
            if handle {
                entries.push(PoolEntry { pool: pool.clone(), elements: vec![] });
            }
            if let Some(entry) = entries.last_mut() {
                entry.elements.push(element);
            }
            all.next();
        }
        (entries, None)
    }

    pub(super) fn handle_table_response(
        &mut self,
        now: Instant,
        sender: RegistrarId,
        response: HandleTableResponse,
    ) {
        let Some(peer) = self.enrp.peers.get_mut(&sender) else { return };
        let Some(download) = &mut peer.download else { return self.refuse(Refusal::Unasked, None) };
        let own = download.own;
        if response.rejected {
            return self.download_failed(now, sender);
        }
        let elements: usize = response.entries.iter().map(|entry| entry.elements.len()).sum();
        download.elements += elements;
        let too_many = download.elements > self.config.limits.elements.saturating_mul(2);
        self.enrp.counters.table_elements_received += u64::try_from(elements).unwrap_or(u64::MAX);
        // A part without elements would let a table go on for ever.
        if too_many || (response.more_to_send && elements == 0) {
            self.refuse(Refusal::TooMany, None);
            return self.download_failed(now, sender);
        }
        for PoolEntry { pool, elements } in response.entries {
            for element in elements {
                self.take_listed(now, sender, &pool, element, own);
            }
        }
        if response.more_to_send {
            return self.request_part(now, sender, own);
        }
        self.stop_timer(Timer::Table(sender));
        self.download_done(now, sender);
    }

    fn take_listed(
        &mut self,
        now: Instant,
        sender: RegistrarId,
        pool: &PoolHandle,
        element: PoolElementParameter,
        own: bool,
    ) {
        let key = (pool.clone(), element.pe);
        let element = self.element_from(sender, element);
        self.unmark(sender, &key);
        if own || element.home == sender {
            self.take_from_home(now, sender, key, element);
        } else {
            self.take_from_mentor(now, sender, key, element);
        }
    }

    /// What the home has told of since a download began is not taken away at its end.
    pub(super) fn unmark(&mut self, home: RegistrarId, key: &Key) {
        if let Some(download) = self.enrp.peers.get_mut(&home).and_then(|peer| peer.download.as_mut()) {
            download.marked.remove(key);
        }
    }

    fn download_done(&mut self, now: Instant, sender: RegistrarId) {
        let Some(download) = self.enrp.peers.get_mut(&sender).and_then(|peer| peer.download.take()) else {
            return;
        };
        if download.own {
            self.purge(now, sender, download.marked);
        }
        let (elements, missing) = (download.elements, download.missing);
        if let Some(peer) = self.enrp.peers.get_mut(&sender) {
            peer.incomplete = if missing == 0 { 0 } else { peer.incomplete.saturating_add(1) };
        }
        if missing > 0 {
            self.event(Event::TableIncomplete { peer: sender, missing });
        }
        self.event(Event::TableDownloaded { peer: sender, own: download.own, elements });
        if !download.own {
            self.mentor_table_received(sender);
        }
    }

    /// Elements a peer owned here and did not list are not its any more (section 3.6.3).
    ///
    /// That is believed if what remains has the checksum the peer told, or at the second time: the beginning of
    /// a table may have gone to an earlier request. What a peer did not know when it took over is ours.
    fn purge(&mut self, now: Instant, from: RegistrarId, marked: BTreeSet<Key>) {
        let marked: BTreeSet<Key> =
            marked.into_iter().filter(|key| self.home_of(key) == Some(from)).collect();
        let all = self.handlespace.owned_by(from).map(|(pool, element)| (pool.clone(), element.pe));
        let rest = checksum(all.filter(|key| !marked.contains(key)));
        let Some(peer) = self.enrp.peers.get_mut(&from) else { return };
        let agreed = peer.told == Some(rest);
        let before = std::mem::take(&mut peer.unlisted);
        for key in marked {
            if self.enrp.inherited.remove(&key) {
                self.inherit(now, &key);
            } else if agreed || before.contains(&key) {
                self.remove_foreign(now, &key, Removal::NotListed);
            } else if let Some(peer) = self.enrp.peers.get_mut(&from) {
                peer.unlisted.insert(key);
            }
        }
    }

    /// A table was refused, or did not come in time.
    pub(super) fn download_failed(&mut self, now: Instant, from: RegistrarId) {
        self.enrp.counters.tables_failed += 1;
        self.abort_download(from);
        if self.enrp.startup.is_table_of(from) {
            self.mentor_refused(now);
        }
    }

    pub(super) fn abort_download(&mut self, from: RegistrarId) {
        self.stop_timer(Timer::Table(from));
        if let Some(peer) = self.enrp.peers.get_mut(&from) {
            peer.missed |= peer.download.take().is_some();
        }
    }
}

/// The PE checksum over these elements (RFC 5353 section 3.6.2).
pub(super) fn checksum(keys: impl Iterator<Item = Key>) -> PeChecksum {
    let mut sum: u64 = 0;
    for (pool, pe) in keys {
        for pair in pool.as_octets().chunks(2).chain(pe.0.to_be_bytes().chunks(2)) {
            sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while let high @ 1.. = sum >> 16 {
        sum = (sum & 0xffff) + high;
    }
    PeChecksum(!u16::try_from(sum).unwrap_or(u16::MAX))
}
