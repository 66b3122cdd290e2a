//! One source of one version: its decoder, and the data sets of it that wait for their template.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use ipfix::{Header, OPTIONS_TEMPLATE_SET, TEMPLATE_SET, Template, TemplateRecord};

use super::held::{Held, Set};
use super::recent::Recent;
use super::sources::Key;
use super::store::Kept;
use crate::metrics::{SessionMetrics, UdpMetrics};
use crate::netflow::{self, Version};
use crate::output::Forms;
use crate::session::Decoder;
use crate::session::decoder::{Decoded, MAX_MALFORMED, Reception, Unknown, discard};
use crate::session::room::Rooms;

/// What belongs to all sources of a socket.
pub(super) struct Around<'a> {
    pub(super) reader: &'a mut netflow::Reader,
    pub(super) decoded: &'a mut Decoded,
    pub(super) metrics: &'a SessionMetrics,
    pub(super) udp: &'a UdpMetrics,
    /// Octets that all sources hold back.
    pub(super) held: &'a AtomicUsize,
    /// Octets one source may hold back, and all of them.
    pub(super) hold: (usize, usize),
}

/// How a datagram was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Taken {
    Well,
    Malformed,
    /// One more in a row than is borne.
    Hopeless,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) decoder: Decoder,
    pub(super) recent: Recent,
    version: Version,
    /// What NetFlow has told; empty for IPFIX.
    netflow: netflow::Source,
    /// Datagrams of NetFlow malformed in a row.
    malformed: u32,
    held: Held,
    /// When each template came last, by the clock of receptions.
    seen: BTreeMap<(u32, u16), u32>,
}

impl Session {
    pub(super) fn new((source, version): Key, forms: &Forms, metrics: SessionMetrics, rooms: &Rooms) -> Self {
        let mut decoder = Decoder::udp(forms, metrics, rooms);
        decoder.set_source(source);
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
    pub(super) fn pardon(&mut self) {
        self.decoder.pardon();
        self.malformed = 0;
    }

    /// Decodes a datagram, and then what had waited for the templates in it.
    pub(super) fn take(&mut self, around: &mut Around<'_>, octets: &[u8], reception: Reception) -> Taken {
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
    pub(super) fn restore(&mut self, around: &mut Around<'_>, mut kept: Vec<Kept>, reception: Reception) {
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
    pub(super) fn keep(&mut self, received: u32, lifetime: u32, now: u64) -> Vec<Kept> {
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
    pub(super) fn forget_templates(&mut self, oldest: u32) {
        self.seen.retain(|_, seen| *seen >= oldest);
    }

    /// Gives up what was received before this time, and counts it.
    pub(super) fn expire(&mut self, around: &mut Around<'_>, before: u32, now: u64) {
        let sets = self.held.expire(before);
        self.release(around, &sets);
        // A header, and the header of the set.
        let header = if self.version == Version::V9 { 24 } else { 20 };
        for Set { key: (domain, set_id), datagram, .. } in &sets {
            let octets = datagram.get(header..).unwrap_or_default().to_vec();
            let unknown = Unknown { domain: *domain, set_id: *set_id, octets };
            self.decoder.without_template(around.decoded, now, &unknown);
        }
    }

    fn release(&self, around: &Around<'_>, sets: &[Set]) {
        let octets: usize = sets.iter().map(Set::cost).sum();
        if octets > 0 {
            around.held.fetch_sub(octets, Ordering::Relaxed);
            around.udp.held.decrement(gauge(octets));
        }
    }

    fn decode(&mut self, around: &mut Around<'_>, octets: &[u8], reception: Reception) -> Taken {
        if self.version != Version::Ipfix {
            return self.decode_netflow(around, octets, reception);
        }
        let taken = match self.decoder.datagram(around.decoded, octets, reception) {
            Ok(true) => Taken::Well,
            Ok(false) => Taken::Malformed,
            Err(_) => Taken::Hopeless,
        };
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

    fn decode_netflow(&mut self, around: &mut Around<'_>, octets: &[u8], reception: Reception) -> Taken {
        let times = (reception.received, reception.lifetime);
        let read = match around.reader.read(&mut self.netflow, octets, times, reception.again) {
            Ok(read) => read,
            Err(error) => {
                discard(around.metrics, around.decoded, 0, octets, reception.now, error);
                self.malformed += 1;
                return if self.malformed < MAX_MALFORMED { Taken::Malformed } else { Taken::Hopeless };
            }
        };
        self.malformed = 0;
        around.udp.lost.increment(read.lost.into());
        around.udp.late.increment(read.late.into());
        around.metrics.limit.increment(read.templates_refused.into());
        for message in around.reader.messages() {
            // Made here, so it is well-formed, but for records of variable length.
            let _ = self.decoder.datagram(around.decoded, message, reception);
            read.uncounted.into_iter().for_each(|domain| self.decoder.ignore_sequence(domain));
        }
        let mut told = self.decoder.told();
        for unknown in told.unknown.drain(..) {
            // Its template was refused: it will not come.
            self.decoder.without_template(around.decoded, reception.now, &unknown);
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
    fn hold(&mut self, around: &mut Around<'_>, datagram: &[u8], reception: Reception, unknown: Unknown) {
        let key = (unknown.domain, unknown.set_id);
        let (own, all) = around.hold;
        let before = self.held.octets();
        let room = all.saturating_sub(around.held.load(Ordering::Relaxed));
        let limit = own.min(before.saturating_add(room));
        if !reception.again && self.held.hold(key, datagram, reception.received, limit) {
            let octets = self.held.octets() - before;
            around.held.fetch_add(octets, Ordering::Relaxed);
            around.udp.held.increment(gauge(octets));
        } else {
            self.decoder.without_template(around.decoded, reception.now, &unknown);
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
