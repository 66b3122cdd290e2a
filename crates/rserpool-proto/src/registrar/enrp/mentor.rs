//! Starting: finds a mentor, asks it for the list of registrars and for the handlespace (RFC 5353 section 3.2).
//!
//! Timer: MAX-TIME-NO-RESPONSE for each answer. A mentor that refuses or falls silent is followed by a back-up
//! mentor, or asked again. Who finds nobody in the profile's discovery time serves alone and goes on looking;
//! pool elements and pool users are served from the beginning.

use std::collections::BTreeSet;
use std::time::Instant;

use super::super::{Event, Registrar};
use super::Timer;
use super::list::LateList;
use crate::RegistrarId;
use crate::wire::enrp::list::ListRequest;

/// How far the start has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Startup {
    NotStarted,
    /// Looking for a mentor; these were not able to help.
    Searching {
        failed: BTreeSet<RegistrarId>,
    },
    /// The mentor is asked for its list of registrars.
    List {
        mentor: RegistrarId,
        failed: BTreeSet<RegistrarId>,
    },
    /// The mentor's table comes.
    Table {
        mentor: RegistrarId,
        failed: BTreeSet<RegistrarId>,
    },
    Ready,
}

impl Startup {
    pub(super) fn is_table_of(&self, peer: RegistrarId) -> bool {
        matches!(self, Startup::Table { mentor, .. } if *mentor == peer)
    }
}

impl Registrar {
    pub(super) fn begin_startup(&mut self, now: Instant) {
        let config = &self.enrp.config;
        let configured = !config.peers.is_empty() || !config.named_peers.is_empty();
        if !configured && !config.multicast && config.networks.is_empty() {
            return self.ready();
        }
        self.enrp.startup = Startup::Searching { failed: BTreeSet::new() };
        self.set_timer(Timer::Discovery, now + self.config.profile.mentor_discovery);
    }

    fn ready(&mut self) {
        self.enrp.startup = Startup::Ready;
        if self.enrp.mentor.is_none() {
            self.enrp.late_list = LateList::Wanted { last: self.id };
        }
        self.stop_timer(Timer::Discovery);
        self.stop_timer(Timer::Mentor);
        self.event(Event::Ready { mentor: self.enrp.mentor });
    }

    /// Nobody was found; a download that goes on is waited for.
    pub(super) fn discovery_ended(&mut self, now: Instant) {
        match &self.enrp.startup {
            Startup::Searching { .. } => self.ready(),
            // Who refuses all the time is starting as well.
            Startup::List { mentor, failed } if failed.contains(mentor) => self.ready(),
            Startup::List { .. } | Startup::Table { .. } => {
                self.set_timer(Timer::Discovery, now + self.config.profile.peer_no_response);
            }
            Startup::NotStarted | Startup::Ready => {}
        }
    }

    /// A peer is there: the first one becomes the mentor.
    pub(super) fn found_mentor(&mut self, now: Instant, peer: RegistrarId) {
        let Startup::Searching { failed } = &self.enrp.startup else { return };
        if failed.contains(&peer) {
            return;
        }
        let failed = failed.clone();
        self.ask_list(now, peer, failed);
    }

    fn ask_list(&mut self, now: Instant, mentor: RegistrarId, failed: BTreeSet<RegistrarId>) {
        self.enrp.startup = Startup::List { mentor, failed };
        let presence = self.presence(mentor, false);
        self.tell_peer(mentor, presence);
        self.tell_peer(mentor, ListRequest::default());
        self.set_timer(Timer::Mentor, now + self.config.profile.peer_no_response);
    }

    pub(super) fn awaits_list(&self, from: RegistrarId) -> bool {
        matches!(self.enrp.startup, Startup::List { mentor, .. } if mentor == from)
    }

    pub(super) fn list_received(&mut self, now: Instant) {
        let Startup::List { mentor, failed } = &self.enrp.startup else { return };
        let (mentor, failed) = (*mentor, failed.clone());
        self.stop_timer(Timer::Mentor);
        self.enrp.startup = Startup::Table { mentor, failed };
        self.request_table(now, mentor, false);
    }

    /// The mentor's whole table is here.
    pub(super) fn mentor_table_received(&mut self, peer: RegistrarId) {
        if self.enrp.startup.is_table_of(peer) {
            self.enrp.mentor = Some(peer);
            // What it knew of the others may be older than what they tell.
            for (_, other) in self.enrp.peers.iter_mut().filter(|(id, _)| **id != peer) {
                other.missed = true;
            }
            self.ready();
        }
    }

    /// The mentor says no: a back-up mentor is asked, or the same one after a while.
    pub(super) fn mentor_refused(&mut self, now: Instant) {
        let (mentor, mut failed) = match &self.enrp.startup {
            Startup::List { mentor, failed } | Startup::Table { mentor, failed } => (*mentor, failed.clone()),
            Startup::NotStarted | Startup::Searching { .. } | Startup::Ready => return,
        };
        failed.insert(mentor);
        let active = self.connected_peers().into_iter().filter(|id| self.is_active(*id));
        if let Some(backup) = active.into_iter().find(|id| !failed.contains(id)) {
            return self.ask_list(now, backup, failed);
        }
        self.enrp.startup = Startup::List { mentor, failed };
        // "wait for a few seconds and re-send" (section 3.2.2.2).
        self.set_timer(Timer::Mentor, now + self.config.profile.peer_no_response / 2);
    }

    /// The mentor did not answer in time, or has had its time to become ready.
    pub(super) fn mentor_timed_out(&mut self, now: Instant) {
        let Startup::List { mentor, failed } = &self.enrp.startup else { return };
        let (mentor, failed) = (*mentor, failed.clone());
        if failed.contains(&mentor) && self.is_active(mentor) {
            return self.ask_list(now, mentor, failed.into_iter().filter(|id| *id != mentor).collect());
        }
        self.mentor_lost(now, mentor);
    }

    /// A mentor is gone: somebody else, or nobody, helps us to start.
    pub(super) fn mentor_lost(&mut self, now: Instant, peer: RegistrarId) {
        let (mentor, mut failed) = match &self.enrp.startup {
            Startup::List { mentor, failed } | Startup::Table { mentor, failed } => (*mentor, failed.clone()),
            Startup::NotStarted | Startup::Searching { .. } | Startup::Ready => return,
        };
        if mentor != peer {
            return;
        }
        failed.insert(mentor);
        self.stop_timer(Timer::Mentor);
        let next = self.connected_peers().into_iter().find(|id| !failed.contains(id));
        self.enrp.startup = Startup::Searching { failed };
        if let Some(next) = next {
            self.found_mentor(now, next);
        }
    }
}
