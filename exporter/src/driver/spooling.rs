//! The spool beside the driver: opened at the start, closed with everything in it that no collector has.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use delivery::{ExporterState, SessionRecord, session_record};
use service::{Condition, Exit, Failure, OrExit as _};
use spool::{Cursor, Found};
use tracing::{error, info, warn};

use crate::config::{self, Config};
use crate::failover::{Durability, Failover, SpoolConfig};
use crate::spooling::{Event, Spooling};

use super::{export_time, setup};

/// Its folder in the state directory.
const FOLDER: &str = "spool";
/// Octets of a segment, and how many segments there are at least.
const SEGMENT: u64 = 16 << 20;
const SEGMENTS: u64 = 8;
/// Identifier and length of a set (RFC 7011 section 3.3.2).
const SET_HEADER: usize = 4;

/// The open spool.
pub(super) struct Spool {
    thread: Spooling,
    folder: PathBuf,
    condition: Condition,
    /// Why it cannot be written, and why it cannot be read.
    failing: [Option<String>; 2],
}

/// Opens the spool if there is to be one; `condition` is met as long as it works.
///
/// Fails when it cannot be read, or is another exporter's.
pub(super) fn open(
    config: &Config,
    incarnation: ExporterState,
    condition: Condition,
) -> Result<(Option<Spool>, Option<SpoolConfig>), Failure> {
    condition.met();
    let retention = &config.retention;
    let Some(directory) = config.state.directory.as_ref().filter(|_| retention.spool_limit.0 > 0) else {
        return Ok((None, None));
    };
    let (folder, domain) = (directory.join(FOLDER), config.metering.observation_domain);
    let settings = spool::Config {
        folder: folder.clone(),
        capacity: retention.spool_limit.0,
        segment: SEGMENT.min(retention.spool_limit.0 / SEGMENTS),
        domain,
        templates: crate::spooling::templates(&setup::templates(config)),
    };
    let (spool, found) = spool::Spool::open(settings).or_exit(Exit::Io)?;
    check_owner(&spool, incarnation, domain)
        .with_context(|| format!("{} is not this exporter's; move it away", folder.display()))
        .or_exit(Exit::Io)?;
    tell(&folder, &found);
    let durability = match retention.durability {
        config::Durability::Memory => Durability::Memory,
        config::Durability::Spool => Durability::Spool,
    };
    let spool_config = SpoolConfig {
        durability,
        capacity: retention.spool_limit.0,
        interval: retention.sync_interval.0,
        messages: found.messages,
        flow_records: found.flow_records,
    };
    let thread = Spooling::start(spool).context("the spool's thread").or_exit(Exit::Io)?;
    let failing = Default::default();
    Ok((Some(Spool { thread, folder, condition, failing }), Some(spool_config)))
}

/// Says what an earlier start has left.
fn tell(folder: &Path, found: &Found) {
    let Found { flow_records, damage, .. } = found;
    for damage in damage {
        let (file, offset, octets) = (damage.file.display(), damage.offset, damage.octets);
        match damage.torn {
            true => info!(%file, offset, octets, "the end of a spool segment was not synced"),
            false => warn!(%file, offset, octets, "a part of the spool cannot be read, its records are lost"),
        }
    }
    if *flow_records > 0 {
        info!(folder = %folder.display(), flow_records, "flow records of an earlier start found on disk");
    }
}

/// Looks whose records are in the spool: only records of this ledger and domain can be sent.
fn check_owner(spool: &spool::Spool, incarnation: ExporterState, domain: u32) -> anyhow::Result<()> {
    let mut cursor = Cursor::default();
    let Some(first) = spool.read(&mut cursor)? else { return Ok(()) };
    let Some(record) = first.sets.get(SET_HEADER..SET_HEADER + session_record::LENGTH) else {
        bail!("its first message has no session record");
    };
    let series = SessionRecord::decode(domain, record).context("metering.observation-domain")?.series;
    ensure!(series.ledger == incarnation.ledger, "its records are of ledger {}", series.ledger);
    Ok(())
}

impl Spool {
    /// Has done what the machine asks for.
    pub(super) fn obey(&self, failover: &mut Failover, now: Instant) {
        while let Some(command) = failover.poll_spool(now, export_time()) {
            self.thread.send(command);
        }
    }

    /// Waits for what the spool tells. Cancel safe.
    pub(super) async fn event(&mut self) -> Event {
        let event = self.thread.event().await;
        let folder = self.folder.display();
        let [unwritten, unread] = &mut self.failing;
        match &event {
            Event::Failing { error } => {
                warn!(%folder, error, "the spool cannot be written, records are kept in memory alone; trying again");
                *unwritten = Some(error.clone());
            }
            Event::Unread { error } => {
                warn!(%folder, error, "the spool cannot be read; trying again");
                *unread = Some(error.clone());
            }
            // What memory has is told of when it is lost.
            Event::Dropped { flow_records: 0, .. } => {}
            Event::Dropped { flow_records, .. } => {
                warn!(%folder, flow_records, "the spool is full, its oldest flow records are dropped");
            }
            Event::Synced { .. } => *unwritten = None,
            Event::Returned { .. } => *unread = None,
            Event::Freed { .. } => {}
        }
        match self.failing.iter().flatten().next() {
            Some(error) => self.condition.unmet(error),
            None => self.condition.met(),
        }
        event
    }

    /// Puts on disk what no collector has, and closes the spool. Returns where its records wait; `None` when they do not.
    pub(super) fn close(self, failover: &mut Failover, now: Instant) -> Option<PathBuf> {
        let until = failover.spill()?;
        self.obey(failover, now);
        match self.thread.close(until, |event| failover.handle_spool(event)) {
            Ok(()) => Some(self.folder),
            Err(error) => {
                error!(%error, "the spool was not written to the end");
                None
            }
        }
    }
}

/// Waits for what the spool tells, for ever without one. Cancel safe.
pub(super) async fn event(spool: &mut Option<Spool>) -> Event {
    match spool {
        Some(spool) => spool.event().await,
        None => std::future::pending().await,
    }
}
