//! The session with the collector that stands by (RFC 7011 section 10.2.5), and how it becomes the one in use.
//!
//! Templates and options templates are sent in advance. So is a session record, although no record follows it yet: it is
//! the request for cookies (docs/wire.md sections 3 and 5), and the cookies of a collector without records
//! tell its state.

use std::time::Instant;

use delivery::ack_watch::{self, Expectation};
use delivery::cookie::State;
use delivery::{AckWatch, Cookie, Series, SessionRecord};
use transport::{Outcome, Token};

use super::session::{Moment, Session};
use super::{Carrier, CookieRefused, Failover, ONE_PACKET, Transmit, cookie_echo};

impl Failover {
    /// A collector is connected and stands by; the one before it does no longer. `acknowledges`: it sends cookies (full
    /// service).
    pub fn handle_standby_connected(&mut self, carrier: Carrier, acknowledges: bool) {
        self.drop_standby();
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let expectation = if acknowledges { Expectation::Cookies } else { Expectation::Unknown };
        let watch = AckWatch::new(ack_watch::Config::default(), expectation, self.seed);
        let id = self.buffer.retention.open_session();
        let max_lossy_message = self.config.max_lossy_message.or(self.max_payload).unwrap_or(ONE_PACKET);
        self.standby = Some(Session::new(&self.config, max_lossy_message, &self.settled, id, watch, carrier));
    }

    /// The collector that stands by is lost, or is left.
    pub fn drop_standby(&mut self) {
        if let Some(session) = self.standby.take() {
            self.buffer.retention.close_session(session.id);
        }
    }

    /// The collector that stands by is used from here on; what the one before does not have on disk goes to it. Nothing
    /// happens without one.
    pub fn promote(&mut self) {
        let Some(mut session) = self.standby.take() else { return };
        self.end_session();
        session.take_over(&self.settled);
        let acknowledges = session.watch.sends_cookies();
        self.echo = self.last_cookie.as_deref().filter(|_| acknowledges).and_then(cookie_echo);
        self.session = Some(session);
    }

    /// Stops sending to the collector in use, which is to be left without sending anything twice: only what is packed,
    /// or being packed, still goes to it.
    pub fn pause(&mut self, now: Instant) {
        if self.session.is_some() {
            self.paused = true;
            self.lost_at.get_or_insert(now);
        }
    }

    /// Takes back [`Failover::pause`].
    pub fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.lost_at = None;
        }
    }

    /// Tells whether the collector in use has everything that was sent to it: on disk, or, in the classes that may lose,
    /// known to have arrived or to be lost.
    pub fn is_settled(&self) -> bool {
        self.session
            .as_ref()
            .is_none_or(|session| !session.is_busy() && self.buffer.retention.in_flight(session.id) == 0)
    }

    /// Returns the next message for the collector that stands by. `export_time` is the wall clock, in seconds since the
    /// Unix epoch.
    pub fn poll_standby_transmit(&mut self, now: Instant, export_time: u32) -> Option<Transmit> {
        let ledger = self.incarnation.ledger;
        let series = Series { ledger, epoch: self.incarnation.epoch, domain: self.config.domain };
        let session = self.standby.as_mut()?;
        let moment = Moment { now, export_time, finishing: self.finishing };
        if !session.is_announced() {
            let mut issued = self.buffer.retention.issued();
            let first_number = issued.find(|(known, _)| *known == series).map_or(0, |(_, next)| next);
            let request = SessionRecord { series, first_number, possible_duplicate_until: first_number };
            session.announce_all(
                moment,
                session.watch.sends_cookies().then_some(request),
                self.told.as_ref(),
                &self.passed,
            );
        }
        session.next_begun(moment).map(|packed| packed.message)
    }

    /// The transport tells what became of a message for the collector that stands by.
    pub fn handle_standby_sent(&mut self, now: Instant, token: Token, outcome: Outcome) {
        if let Some(session) = &mut self.standby {
            session.settle(now, token, outcome);
        }
    }

    /// A cookie of the collector that stands by arrived. Returns its state; it has no records to speak of.
    ///
    /// Fails when it is not to be believed.
    pub fn handle_standby_cookie(&mut self, octets: &[u8]) -> Result<State, CookieRefused> {
        if self.standby.is_none() {
            return Err(CookieRefused::NoSession);
        }
        Ok(Cookie::decode(octets, &self.config.keys)?.state)
    }
}
