//! Peers that are configured by DNS name: when to look one up, and what follows from what was found.
//!
//! A name may have the addresses of one registrar or of several, so each address is a target of its own. A name is
//! looked up at every attempt to connect to one of its addresses, again and again less and less often while none is known,
//! with every audit, and, at a bounded rate, when a stranger comes: he may be a peer that has moved. What was found the
//! last time counts until something else is. A connection that is up stays when its address leaves; nothing new is
//! opened to it or taken from it.

use std::time::Instant;

use super::super::Registrar;
use super::{Link, Refusal, Target};
use crate::{ConnectionId, Output, RegistrarAddress};

/// The names, in the order of `EnrpConfig::named_peers`.
#[derive(Debug)]
pub(super) struct Names {
    names: Vec<Name>,
    /// When strangers may cause lookups again.
    strangers_after: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Name {
    /// When it was asked for, or answered, the last time.
    last: Option<Instant>,
    /// Lookups since an address was told.
    unanswered: u32,
    /// When it is asked for again while nothing is known of it.
    again_at: Option<Instant>,
}

impl Names {
    pub(super) fn new(count: usize) -> Names {
        Names { names: vec![Name::default(); count], strangers_after: None }
    }
}

impl Registrar {
    /// Tells where a registrar is that is configured by name, the answer to `Output::LookUp`: all its addresses at present.
    ///
    /// They are looked for and believed from here on, and those it had before no longer. An empty list, and a number
    /// that no name has, change nothing.
    pub fn set_peer_addresses(&mut self, now: Instant, peer: usize, addresses: &[RegistrarAddress]) {
        self.notice_stall(now);
        let Some(name) = self.enrp.names.names.get_mut(peer) else { return };
        let usable = |address: &&RegistrarAddress| !address.ip.is_unspecified() && !address.ip.is_multicast();
        let addresses: Vec<RegistrarAddress> = addresses.iter().filter(usable).copied().collect();
        if !self.enrp.enabled || addresses.is_empty() {
            return;
        }
        (name.last, name.unanswered) = (Some(now), 0);
        if self.enrp.config.named_peers[peer] != addresses {
            self.enrp.config.named_peers[peer].clone_from(&addresses);
            self.forget_stale(now, peer);
            self.add_targets(peer, &addresses);
        }
        self.reconnect(now);
    }

    /// Nobody is looked for where no peer may be any more.
    fn forget_stale(&mut self, now: Instant, peer: usize) {
        let config = &self.enrp.config;
        for target in &mut self.enrp.targets {
            target.addresses.retain(|address| config.allows(address.ip));
            let listed = |address: &RegistrarAddress| config.named_peers[peer].contains(address);
            if target.name == Some(peer) && !target.addresses.iter().any(listed) {
                // What is left of it was told by a registrar, which is still to be found there.
                (target.name, target.configured) = (None, false);
                target.forget_at = Some(now + super::links::FORGET);
            }
        }
        self.enrp.targets.retain(|target| !target.addresses.is_empty());
        let stale = |link: &Link| !link.up && !link.remote.iter().any(|ip| config.allows(*ip));
        let stale: Vec<ConnectionId> = self
            .enrp
            .links
            .iter()
            .filter(|(_, link)| stale(link))
            .map(|(&connection, _)| connection)
            .collect();
        for connection in stale {
            self.close_link(now, connection);
        }
    }

    fn add_targets(&mut self, peer: usize, addresses: &[RegistrarAddress]) {
        for &address in addresses {
            let full = self.enrp.targets.len() >= self.enrp.config.max_peers * 2;
            let known = self.enrp.targets.iter_mut().find(|target| target.addresses.contains(&address));
            match known {
                Some(target) if target.configured => {}
                Some(target) => {
                    (target.configured, target.name, target.forget_at) = (true, Some(peer), None);
                }
                None if full => self.refuse(Refusal::TooMany, None),
                None => self.enrp.targets.push(Target::configured(address, Some(peer))),
            }
        }
    }

    /// Asks for the addresses of a name, if that was not done just now.
    pub(super) fn look_up(&mut self, now: Instant, peer: usize) {
        let profile = &self.config.profile;
        let Some(name) = self.enrp.names.names.get_mut(peer) else { return };
        // Who answers something else each time must not be asked because of that.
        let gap = profile.peer_retry / 4;
        let recently = name.last.is_some_and(|at| now.saturating_duration_since(at) < gap);
        if self.enrp.leaving || recently {
            return;
        }
        let wait = profile.peer_retry.saturating_mul(2_u32.saturating_pow(name.unanswered.min(10)));
        let wait = self.random.jitter(wait.min(profile.peer_retry_max), profile.jitter_percent);
        (name.last, name.again_at) = (Some(now), Some(now + wait.max(gap)));
        name.unanswered = name.unanswered.saturating_add(1);
        self.outputs.push_back(Output::LookUp { peer });
    }

    pub(super) fn look_up_all(&mut self, now: Instant) {
        for peer in 0..self.enrp.names.names.len() {
            self.look_up(now, peer);
        }
    }

    /// Asks for the names nothing is known of, if it is time.
    pub(super) fn look_up_unknown(&mut self, now: Instant) {
        for peer in 0..self.enrp.names.names.len() {
            let is_due = self.enrp.names.names[peer].again_at.is_none_or(|at| at <= now);
            if is_due && self.enrp.config.named_peers[peer].is_empty() {
                self.look_up(now, peer);
            }
        }
    }

    /// When a name nothing is known of is asked for again.
    pub(super) fn next_lookup(&self) -> Option<Instant> {
        let known = &self.enrp.config.named_peers;
        let unknown = self.enrp.names.names.iter().zip(known).filter(|(_, known)| known.is_empty());
        unknown.filter(|_| !self.enrp.leaving).filter_map(|(name, _)| name.again_at).min()
    }

    /// Somebody came from where no peer may be.
    pub(super) fn look_up_for_stranger(&mut self, now: Instant) {
        let names = &mut self.enrp.names;
        if names.strangers_after.is_none_or(|at| at <= now) {
            names.strangers_after = Some(now + self.config.profile.peer_retry_max);
            self.look_up_all(now);
        }
    }
}
