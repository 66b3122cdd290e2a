//! One source of one version: its decoder, and the data sets of it that wait for their template.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use ipfix::{Header, OPTIONS_TEMPLATE_SET, TEMPLATE_SET, Template, TemplateRecord};

use crate::held::{Held, Set};
use crate::netflow::{self, Version};
use crate::recent::Recent;
use crate::store::Kept;
use crate::{Counts, Decoder as _, MAX_MALFORMED, Reception, Sink, Taken, Unknown};

/// What belongs to all sources of a socket.
pub(crate) struct Around<'a, S> {
    pub(crate) reader: &'a mut netflow::Reader,
    pub(crate) sink: &'a mut S,
    pub(crate) counts: &'a Counts,
    /// Octets that all sources hold back.
    pub(crate) held: &'a AtomicUsize,
    /// Octets one source may hold back, and all of them.
    pub(crate) hold: (usize, usize),
}

pub(crate) struct Session<S: Sink> {
    decoder: S::Decoder,
    pub(crate) recent: Recent,
    version: Version,
    /// What NetFlow has told; empty for IPFIX.
    netflow: netflow::Source,
    /// Datagrams of NetFlow malformed in a row.
    malformed: u32,
    held: Held,
    /// When each template came last, by the clock of receptions.
    seen: BTreeMap<(u32, u16), u32>,
}

impl<S: Sink> Session<S> {
    pub(crate) fn new(decoder: S::Decoder, version: Version) -> Self {
        Self {
            decoder,
            recent: Recent::new(),
            version,
            netflow: netflow::Source::default(),
            malformed: 0,
            held: Held::default(),
            seen: BTreeMap::new(),
        }
    }

    /// Forgives what was malformed.
    pub(crate) fn pardon(&mut self) {
        self.decoder.pardon();
        self.malformed = 0;
    }

    /// Decodes a datagram, and then what had waited for the templates in it.
    pub(crate) fn take(&mut self, around: &mut Around<'_, S>, octets: &[u8], reception: Reception) -> Taken {
        let taken = self.decode(around, octets, reception);
        for key in self.decoder.told().defined {
            self.seen.insert(key, reception.received);
            if self.held.octets() == 0 {
                continue;
            }
            let sets = self.held.take(key);
            self.release(around, &sets);
            for set in &sets {
                self.decode(around, &set.datagram, Reception { again: true, ..reception });
            }
        }
        taken
    }

    /// Takes in what was kept of this source over a restart.
    pub(crate) fn restore(&mut self, around: &mut Around<'_, S>, mut kept: Vec<Kept>, reception: Reception) {
        kept.sort_by_key(|kept| kept.seen);
        for Kept { seen, datagram } in kept {
            let age = u32::try_from((reception.now / 1000).saturating_sub(seen)).unwrap_or(u32::MAX);
            if age <= reception.lifetime {
                let received = reception.received.saturating_sub(age);
                self.decode(around, &datagram, Reception { again: true, received, ..reception });
                let defined = self.decoder.told().defined;
                self.seen.extend(defined.into_iter().map(|key| (key, received)));
            }
        }
    }

    /// Returns the templates that are to be kept over a restart; `received` and `now`, in seconds since the Unix epoch,
    /// are one moment.
    pub(crate) fn keep(&mut self, received: u32, lifetime: u32, now: u64) -> Vec<Kept> {
        self.forget_templates(received.saturating_sub(lifetime));
        let kept = |(domain, template): (u32, &Template)| {
            let seen = self.seen.get(&(domain, template.id()))?;
            let record = template.to_record();
            let datagram = match self.version {
                Version::V9 => self.netflow.v9_template(domain, &record)?,
                Version::Ipfix => ipfix_template(domain, &record)?,
                // The templates are our own.
                Version::V5 | Version::V7 => return None,
            };
            Some(Kept { seen: now.saturating_sub(received.saturating_sub(*seen).into()), datagram })
        };
        self.decoder.templates().filter_map(kept).collect()
    }

    /// Forgets when templates came that none has repeated since `oldest`; they have expired.
    pub(crate) fn forget_templates(&mut self, oldest: u32) {
        self.seen.retain(|_, seen| *seen >= oldest);
    }

    /// Gives up what was received before this time, and counts it.
    pub(crate) fn expire(&mut self, around: &mut Around<'_, S>, before: u32, now: u64) {
        let sets = self.held.expire(before);
        self.release(around, &sets);
        // A header, and the header of the set.
        let header = if self.version == Version::V9 { 24 } else { 20 };
        for Set { key: (domain, set_id), datagram, .. } in &sets {
            let octets = datagram.get(header..).unwrap_or_default().to_vec();
            let unknown = Unknown { domain: *domain, set_id: *set_id, octets };
            self.decoder.without_template(around.sink, now, &unknown);
        }
    }

    fn release(&self, around: &Around<'_, S>, sets: &[Set]) {
        let octets: usize = sets.iter().map(Set::cost).sum();
        if octets > 0 {
            around.held.fetch_sub(octets, Ordering::Relaxed);
            around.counts.held.decrement(gauge(octets));
        }
    }

    fn decode(&mut self, around: &mut Around<'_, S>, octets: &[u8], reception: Reception) -> Taken {
        if self.version != Version::Ipfix {
            return self.decode_netflow(around, octets, reception);
        }
        let taken = self.decoder.datagram(around.sink, octets, reception);
        let mut told = self.decoder.told();
        for unknown in told.unknown.drain(..) {
            let mut datagram = octets[..16].to_vec();
            datagram.extend(unknown.set_id.to_be_bytes());
            let set = 4 + unknown.octets.len();
            datagram.extend(u16::try_from(set).unwrap_or(u16::MAX).to_be_bytes());
            datagram.extend_from_slice(&unknown.octets);
            let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
            datagram[2..4].copy_from_slice(&length.to_be_bytes());
            self.hold(around, &datagram, reception, unknown);
        }
        self.decoder.tell(told);
        taken
    }

    fn decode_netflow(&mut self, around: &mut Around<'_, S>, octets: &[u8], reception: Reception) -> Taken {
        let times = (reception.received, reception.lifetime);
        let read = match around.reader.read(&mut self.netflow, octets, times, reception.again) {
            Ok(read) => read,
            Err(error) => {
                around.sink.malformed(octets, reception.now, &error);
                self.malformed += 1;
                return if self.malformed < MAX_MALFORMED { Taken::Malformed } else { Taken::Hopeless };
            }
        };
        self.malformed = 0;
        around.counts.lost.increment(read.lost.into());
        around.counts.late.increment(read.late.into());
        if read.templates_refused > 0 {
            around.sink.templates_refused(read.templates_refused);
        }
        for message in around.reader.messages() {
            // Made here, so it is well-formed, but for records of variable length.
            self.decoder.datagram(around.sink, message, reception);
            read.uncounted.into_iter().for_each(|domain| self.decoder.ignore_sequence(domain));
        }
        let mut told = self.decoder.told();
        for unknown in told.unknown.drain(..) {
            // Its template was refused: it will not come.
            self.decoder.without_template(around.sink, reception.now, &unknown);
        }
        self.decoder.tell(told);
        let domain = read.uncounted.unwrap_or(0);
        let unknown: Vec<_> = around.reader.unknown(octets).collect();
        for (set_id, datagram) in unknown {
            let octets = datagram.get(24..).unwrap_or_default().to_vec();
            self.hold(around, &datagram, reception, Unknown { domain, set_id, octets });
        }
        Taken::Well
    }

    /// Holds back a set, or counts it where there is no room for it.
    fn hold(&mut self, around: &mut Around<'_, S>, datagram: &[u8], reception: Reception, unknown: Unknown) {
        let key = (unknown.domain, unknown.set_id);
        let (own, all) = around.hold;
        let before = self.held.octets();
        let room = all.saturating_sub(around.held.load(Ordering::Relaxed));
        let limit = own.min(before.saturating_add(room));
        if !reception.again && self.held.hold(key, datagram, reception.received, limit) {
            let octets = self.held.octets() - before;
            around.held.fetch_add(octets, Ordering::Relaxed);
            around.counts.held.increment(gauge(octets));
        } else {
            self.decoder.without_template(around.sink, reception.now, &unknown);
        }
    }
}

/// Returns a message with one template.
fn ipfix_template(domain: u32, record: &TemplateRecord) -> Option<Vec<u8>> {
    let set = u16::try_from(4 + record.wire_length()).ok()?;
    let length = set.checked_add(16)?;
    let mut message = Header { length, export_time: 0, sequence: 0, domain }.to_octets().to_vec();
    let set_id = if record.is_options() { OPTIONS_TEMPLATE_SET } else { TEMPLATE_SET };
    message.extend([set_id, set].map(u16::to_be_bytes).as_flattened());
    record.encode(&mut message);
    Some(message)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
const fn gauge(octets: usize) -> f64 {
    octets as f64
}
