//! Options records about the exporter (RFC 7011 section 4; docs/wire.md section 10a): before the first data of a session, at intervals,
//! whenever a name changes, and at the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffer::Buffer;
use super::lane::Carrier;
use super::session::{Moment, Packed, Session};
use super::{Failover, Transmit};
use crate::export::options::{OptionsRecord, Sent, Told, records, types};

/// When a session's options records are due.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    /// At once, if this is none.
    next: Option<Instant>,
    /// After the last flow record.
    is_over: bool,
    sent: Sent,
}

impl Schedule {
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, next: None, is_over: false, sent: Sent { messages: 0, octets: 0, records: 0 } }
    }

    /// They are due at once.
    pub(super) const fn hurry(&mut self) {
        self.next = None;
    }

    /// Returns when they are due; none for at once, and before they were sent for the first time.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Counts what is sent.
    pub(super) fn count(&mut self, packed: &Packed) {
        self.sent.messages += 1;
        self.sent.octets += packed.message.octets.len() as u64;
        self.sent.records += u64::from(packed.records);
    }

    /// Tells whether they are due, `over`: all else was sent, for ever.
    fn is_due(&mut self, now: Instant, over: bool) -> bool {
        let last = over && !std::mem::replace(&mut self.is_over, over);
        last || self.next.is_none_or(|next| next <= now)
    }
}

impl Failover {
    /// Says what options records tell from here on. Until it is called none are sent.
    pub fn set_told(&mut self, told: Told) {
        let known = self.told.replace(told);
        let is_described = known.zip(self.told.as_ref()).is_some_and(|(known, told)| {
            Arc::ptr_eq(&known.described, &told.described) && known.address == told.address
        });
        if let Some(session) = self.session.as_mut().filter(|_| !is_described) {
            session.schedule.hurry();
        }
    }
}

impl Session {
    /// Sends options records if they are due.
    pub(super) fn tell_in_time(&mut self, moment: Moment, buffer: &mut Buffer, told: &Told) {
        let over = moment.finishing && buffer.is_empty() && !self.is_busy();
        if !self.schedule.is_due(moment.now, over) {
            return;
        }
        let records = self.options(moment, told);
        self.tell_records(moment, buffer, &records);
    }

    /// Sends options records.
    pub(super) fn tell_records(&mut self, moment: Moment, buffer: &mut Buffer, records: &[OptionsRecord]) {
        match self.carrier {
            Carrier::Streams => {
                let messages = self.control_stream.options(records, moment.export_time);
                self.control.extend(messages);
            }
            Carrier::OneStream => {
                self.tell_between(moment, records, buffer.retention.mark(self.id));
                // Another record follows those of class `reliable`: they go on with a new session record.
                buffer.retention.end_run(self.id, self.domain);
            }
        }
    }

    /// Returns the messages of options records for a collector that stands by; over one stream it gets them when it is needed.
    pub(super) fn tell_in_advance(&mut self, moment: Moment, told: &Told) -> Vec<Transmit> {
        match self.carrier {
            Carrier::Streams => {
                let records = self.options(moment, told);
                self.control_stream.options(&records, moment.export_time)
            }
            Carrier::OneStream => Vec::new(),
        }
    }

    fn options(&mut self, moment: Moment, told: &Told) -> Vec<OptionsRecord> {
        self.schedule.next = Some(moment.now + self.schedule.interval);
        types().chain(records(told, &self.schedule.sent)).collect()
    }
}
