//! What [`Choice`] says, done: elements are asked for, connected, promoted and left; and what happens to them, told.
//!
//! [`Choice`]: crate::failover::Choice

use std::time::{Duration, Instant};

use delivery::cookie::State;
use rserpool::Selected;
use rserpool::wire::Message as Asap;
use tracing::{debug, info, warn};
use transport::{ConnectError, Event, Ppid};

use super::collector::{Collector, LinkEvent, addresses};
use super::{Driver, export_time};
use crate::failover::{Output, Role, Sign, Transmit};
use crate::metrics::COLLECTOR_INFO;

impl Driver {
    /// Does what is to be done with collectors.
    pub(super) fn obey(&mut self) {
        while let Some(output) = self.choice.poll_output() {
            match output {
                Output::Seek { except } => self.links.seek.ask(&self.pool, except),
                Output::SeekElement(pe) => self.links.seek.ask_for(&self.pool, pe),
                Output::Admit => self.admit(),
                Output::Promote => self.promote(),
                Output::Pause => self.failover.pause(Instant::now()),
                Output::Resume => self.failover.resume(),
                Output::Leave { role, sign } => self.leave(role, sign),
                Output::Resolve => self.pool.resolve(),
            }
        }
    }

    pub(super) fn link_event(&mut self, event: LinkEvent) {
        let now = Instant::now();
        match event {
            LinkEvent::Element(Some(element)) => self.connect(now, element),
            LinkEvent::Element(None) => self.choice.handle_nobody(now),
            LinkEvent::Connected(collector) => {
                let (pe, peer) = (collector.element.pe, collector.association.peer());
                info!(%pe, %peer, "collector connected");
                let acknowledges = collector.acknowledges(self.service);
                self.links.candidate = Some(Box::new(collector));
                self.choice.handle_connected(now, pe, acknowledges);
            }
            LinkEvent::NotConnected { pe, error } => {
                // Whom this exporter does not trust is no business of the registrar.
                if let ConnectError::Tls(..) = error {
                    warn!(%pe, %error, "collector refused, taking the next");
                    self.pool.set_aside(pe);
                } else {
                    debug!(%pe, %error, "collector not reached, taking the next");
                    self.pool.report_unreachable(pe);
                }
                self.choice.handle_not_connected(now, pe);
            }
            LinkEvent::Unblocked => {}
            LinkEvent::Association(role, event) => self.association_event(now, role, event),
        }
    }

    /// Connects to the element the pool offers, if it is for this exporter and its time has come.
    fn connect(&mut self, now: Instant, element: Selected) {
        let pe = element.pe;
        let addresses = addresses(&element, self.transport);
        let pause = self.pauses.remaining(now, &addresses);
        if addresses.is_empty() {
            let (has, wanted) = (element.transport.protocol, self.transport.name());
            info!(%pe, %has, wanted, "collector not used: it has another transport");
            self.pool.set_aside(pe);
            self.choice.handle_not_connected(now, pe);
        } else if pause > Duration::ZERO {
            debug!(%pe, seconds = pause.as_secs_f64(), "collector not connected to yet, taking the next");
            self.pool.put_off(pe, pause);
            self.choice.handle_not_connected(now, pe);
        } else {
            self.pauses.note(now, &addresses);
            self.links.seek.connect(&self.connector, element, addresses);
            self.choice.handle_connecting(now, pe);
        }
    }

    /// The collector connected last stands by: its session begins.
    fn admit(&mut self) {
        let Some(collector) = self.links.candidate.take() else { return };
        self.failover.set_path(collector.association.status().max_payload);
        self.failover.handle_standby_connected(collector.carrier(), collector.acknowledges(self.service));
        self.links.standby = Some(collector);
    }

    /// The collector that stands by is used from here on.
    fn promote(&mut self) {
        let Some(collector) = self.links.standby.take() else { return };
        self.failover.promote();
        let (pe, peer) = (collector.element.pe, collector.association.peer());
        info!(%pe, %peer, "collector in use");
        collector.describe(&self.shown);
        self.paths.begin(&collector.association);
        self.status.history.promoted(super::status::peer(&collector));
        self.memory.iter().for_each(|memory| memory.note(pe));
        self.links.active = Some(collector);
    }

    fn association_event(&mut self, now: Instant, role: Role, event: Event) {
        let Some(collector) = self.links.of(role) else { return };
        let sign = match event {
            Event::Message(message) => {
                collector.heard = true;
                if message.ppid == Ppid::ASAP {
                    return self.control_message(now, role, &message.data);
                }
                return debug!(ppid = %message.ppid, "message from a collector ignored");
            }
            Event::Sent { token, outcome } if role == Role::Active => {
                return self.failover.handle_sent(now, token, outcome);
            }
            Event::Sent { token, outcome } => return self.failover.handle_standby_sent(now, token, outcome),
            // The collector has lost our templates with its state (RFC 7011 section 8.1).
            Event::Restarted => {
                collector.detail = Some("restarted".into());
                Sign::Lost
            }
            Event::PeerShutdown => Sign::Shutdown,
            Event::Lost(reason) => {
                collector.detail = Some(reason.to_string());
                Sign::Lost
            }
            event => {
                if role == Role::Active {
                    self.path_event(event);
                }
                return;
            }
        };
        self.choice.handle_sign(now, role, sign);
    }

    fn path_event(&mut self, event: Event) {
        let Some(collector) = &self.links.active else { return };
        match event {
            Event::PathUp(path) => self.paths.up(path, &collector.association),
            Event::PathDown(path) => self.paths.down(path, &collector.association),
            _ => {}
        }
    }

    fn control_message(&mut self, now: Instant, role: Role, octets: &[u8]) {
        let service = self.service;
        if self.links.of(role).as_ref().is_none_or(|collector| !collector.acknowledges(service)) {
            return debug!("message on the control channel ignored: the service is minimal");
        }
        match Asap::decode(octets) {
            Ok(Asap::Cookie(message)) => self.cookie(now, role, &message.cookie),
            Ok(Asap::BusinessCard(card)) => {
                self.metrics.business_card();
                // It is about the collector in use (RFC 5352 section 3.9).
                if role == Role::Active {
                    self.pool.business_card(card);
                }
            }
            Ok(message) => {
                debug!(message = %message.message_type(), "message on the control channel ignored");
            }
            Err(error) => debug!(%error, "message on the control channel refused"),
        }
    }

    fn cookie(&mut self, now: Instant, role: Role, cookie: &[u8]) {
        let before = self.failover.books().covered;
        let taken = match role {
            Role::Active => self.failover.handle_cookie(now, cookie),
            Role::Standby => self.failover.handle_standby_cookie(cookie),
        };
        self.metrics.cookie(taken.is_ok());
        match taken {
            Ok(state) => {
                if state == State::Draining {
                    debug!(?role, "collector is draining");
                }
                let covered = self.failover.books().covered > before;
                self.choice.handle_cookie(now, role, state, covered);
            }
            Err(error) => debug!(%error, "cookie refused"),
        }
    }

    /// Sends a message; an association that cannot carry it at all is left.
    pub(super) fn send(&mut self, role: Role, message: Transmit) {
        let Some(collector) = self.links.of(role) else { return };
        if let Err(error) = collector.send(message) {
            collector.detail = Some(error.to_string());
            self.choice.handle_sign(Instant::now(), role, Sign::Unusable);
            self.obey();
        }
    }

    /// Looks whether the collectors were heard, while one was promoted that has not shown that it serves.
    pub(super) fn look(&mut self, now: Instant) {
        if !self.choice.is_in_doubt() {
            return;
        }
        for role in [Role::Standby, Role::Active] {
            let link = self.links.of(role).as_ref();
            if let Some(quiet) = link.map(|collector| collector.association.status().quiet) {
                self.choice.handle_quiet(now, role, quiet);
            }
        }
    }

    /// Leaves a collector: what the one in use does not have on disk goes to the next one.
    fn leave(&mut self, role: Role, sign: Sign) {
        let Some(mut collector) = self.links.of(role).take() else { return };
        let pe = collector.element.pe;
        match role {
            Role::Active => self.end_session(sign, &mut collector),
            Role::Standby => {
                self.failover.drop_standby();
                info!(%pe, %sign, detail = collector.detail, "collector that stood by left");
            }
        }
        // Whom a collector does not trust has no say in whether it stays in the pool.
        if sign.is_gone() && !collector.may_have_refused() {
            self.pool.report_unreachable(pe);
        } else if sign != Sign::Rebalance {
            self.pool.set_aside(pe);
        }
        collector.close(sign);
    }

    fn end_session(&mut self, sign: Sign, collector: &mut Collector) {
        if !sign.is_gone() {
            // Losing them costs the collector some figures.
            self.failover
                .farewell(export_time())
                .into_iter()
                .try_for_each(|message| collector.send(message))
                .ok();
        }
        self.failover.handle_lost(Instant::now());
        self.paths.end();
        let (pe, unacknowledged) = (collector.element.pe, self.failover.books().waiting);
        self.remember_failover(collector, sign, unacknowledged);
        if sign == Sign::Rebalance {
            info!(%pe, %sign, unacknowledged, "collector left for another one");
        } else {
            let detail = collector.detail.take();
            warn!(%pe, %sign, detail, unacknowledged, "collector lost, failing over");
        }
        self.shown.clear_info(COLLECTOR_INFO);
        self.metrics.failover(sign.label());
        self.failovers += 1;
    }
}
