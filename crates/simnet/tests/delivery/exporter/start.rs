//! How the exporter starts, for the first time and again.

use std::time::{Duration, Instant};

use delivery::{Epoch, ExporterState, KeyRing, RangeSet};
use exporter::export::{Class, Classes, Kind};
use exporter::failover::{Choice, ChoiceConfig, Failover, FailoverConfig, SpoolConfig};

use super::{Exporter, SERIES};
use crate::spool::Found;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) choice: ChoiceConfig,
    /// Collectors send cookies.
    pub(crate) acknowledges: bool,
    pub(crate) memory: usize,
    pub(crate) seed: u64,
}

impl Exporter {
    /// The next start: with what was found on disk, and without all that was in memory. What was sent and not covered may
    /// be sent again, and everything that was found.
    pub(crate) fn restart(&mut self, now: Instant, found: Found) {
        let epoch = Epoch(self.epoch() + 1);
        let seed = self.settings.seed ^ u64::from(epoch.0) << 32;
        self.failover = failover(self.settings, epoch, Some(found.config));
        self.choice = Choice::new(self.settings.choice, seed);
        self.pool.restart(now, seed);
        (self.active, self.standby, self.candidate) = (None, None, None);
        self.connecting.clear();
        self.done.clear();
        self.metered = 0;
        self.sent = RangeSet::new();
        self.exposed.union(&std::mem::take(&mut self.open));
        self.exposed.union(&found.names);
        (self.recovered, self.doubles) = (found.names, found.doubles);
    }
}

pub(super) fn keys() -> KeyRing {
    KeyRing::parse(crate::KEY).unwrap()
}

pub(super) fn failover(settings: Settings, epoch: Epoch, spool: Option<SpoolConfig>) -> Failover {
    let class = |name: &str, kind| Class { name: name.to_owned(), kind };
    let timed = Kind::Timed { lifetime: Duration::from_millis(500) };
    let config = FailoverConfig {
        domain: SERIES.domain,
        classes: Classes::new(vec![class("reliable", Kind::Reliable), class("rest", timed)]).unwrap(),
        templates: exporter::export::FlowEncoder::new().templates().clone(),
        max_message: 1_400,
        max_lossy_message: Some(1_000),
        linger: Duration::from_millis(50),
        per_stream: false,
        options_interval: Duration::from_secs(600),
        memory: settings.memory,
        spool,
        keys: keys(),
    };
    Failover::new(config, ExporterState { ledger: SERIES.ledger, epoch }, settings.seed)
}
