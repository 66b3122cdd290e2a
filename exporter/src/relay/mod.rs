//! The relay: NetFlow and IPFIX over UDP from routers, passed on to the pool (RFC 7119; docs/relay.md).
//!
//! A datagram's way: a thread for each socket reads it; `intake` finds its source and session, makes IPFIX of NetFlow and keeps
//! data back until its template has come; `repacking` copies each record, tells whence it came, and sorts it into a class; the driver gets
//! batches like those of an observation thread. Templates go into one [`Catalog`], from which the driver's tables follow.
//!
//! UDP cannot be held back: the threads wait for nothing but datagrams, and for a driver that takes batches at all times.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod catalog;
mod metrics;
mod repacking;
mod source;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Stopped, TryRecvError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use intake::store::{self, Depositor, Loaded};
use intake::{Counts, Limits, Rooms, Sources, Totals};
use tracing::{error, info};
use transport::udp::{Receiver, ReceiverOptions};

use crate::export::{Classes, OpenRules};
use crate::observe::{Batch, CHANNEL, Observation, Observer};

pub use catalog::Catalog;
pub(crate) use metrics::TableMetrics;
pub use repacking::OptionsBatch;

use repacking::Common;
use source::Gathered;

/// How long records wait for their batch to fill, and the stop signal waits to be heard.
const TICK: Duration = Duration::from_millis(50);
/// Octets after which a batch is handed over.
const BATCH: usize = 32 << 10;
/// Batches of datagrams read at the end, at most: what had come before it.
const LAST_BATCHES: usize = 1024;

/// Where routers send, and how much is kept of them.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// Addresses to listen at.
    pub listen: Vec<std::net::SocketAddr>,
    /// Of each socket.
    pub receiver: ReceiverOptions,
    /// Of sources.
    pub limits: Limits,
    /// The file that keeps templates over a restart.
    pub store: Option<PathBuf>,
}

/// What one thread has gathered: options records go first.
#[derive(Debug, Default)]
pub struct Relayed {
    /// Flow records.
    pub flows: Batch,
    /// Options records.
    pub options: OptionsBatch,
}

/// Binds the sockets and starts a thread for each; their templates go to `catalog`.
///
/// Fails where an address cannot be had, or the operating system gives no thread.
pub fn start(
    options: &RelayOptions,
    classes: &Arc<Classes>,
    rules: &Arc<OpenRules>,
    catalog: &Arc<Catalog>,
) -> io::Result<Observer> {
    let (sender, mut observer) = Observer::without_threads(CHANNEL);
    let (metrics, counts) = (metrics::RelayMetrics::new(), metrics::counts());
    let loaded = options.store.as_deref().map(Loaded::read).unwrap_or_default();
    let (totals, rooms) = (Arc::new(Totals::new(loaded)), Rooms::default());
    let (to, deposits) = channel();
    let mut number = 0;
    for &address in &options.listen {
        let sockets = Receiver::bind(address, &options.receiver)?;
        if let Some(socket) = sockets.first() {
            let (address, buffer) = (socket.local(), socket.receive_buffer());
            info!(%address, sockets = sockets.len(), receive_buffer = buffer, "listening for NetFlow and IPFIX");
        }
        for receiver in sockets {
            let common = Common {
                catalog: Arc::clone(catalog),
                classes: Arc::clone(classes),
                rules: Arc::clone(rules),
            };
            let gathered = Gathered::new(common, Arc::clone(&rooms.templates), metrics.clone());
            let totals = Arc::clone(&totals);
            let mut sources = Sources::new(options.limits, Instant::now(), totals, counts.clone(), gathered);
            if options.store.is_some() {
                sources.keep_templates(Depositor { socket: number, to: to.clone() });
                number += 1;
            }
            let (sender, counts) = (sender.clone(), counts.clone());
            let listening = Listening { receiver, sources, sender, counts, drops: 0 };
            observer.spawn("relay", move |stopped| listening.run(&stopped))?;
        }
    }
    if let Some(path) = options.store.clone() {
        // It ends with the last of the threads above.
        observer.spawn("relay-templates", move |_| store::write_all(&path, &totals.loaded, &deposits))?;
    }
    Ok(observer)
}

/// One socket and its thread.
struct Listening {
    receiver: Receiver,
    sources: Sources<Gathered>,
    sender: tokio::sync::mpsc::Sender<Observation>,
    counts: Counts,
    drops: u64,
}

/// The thread has nothing more to do.
enum Over {
    /// The driver is gone.
    Abandoned,
    Socket(io::Error),
}

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl Listening {
    fn run(mut self, stopped: &Stopped<()>) {
        if let Err(Over::Socket(error)) = self.listen(stopped) {
            error!(%error, address = %self.receiver.local(), "datagrams cannot be received any more");
        }
    }

    fn listen(&mut self, stopped: &Stopped<()>) -> Result<(), Over> {
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            let now = Instant::now();
            if !self.read(now)? {
                let due = self.sources.poll_timeout().saturating_duration_since(now);
                self.receiver.wait(due.min(TICK))?;
            }
        }
        for _ in 0..LAST_BATCHES {
            if !self.read(Instant::now())? {
                break;
            }
        }
        self.sources.close(Instant::now(), wall_clock());
        self.hand_over()
    }

    /// Reads a batch of datagrams; returns whether there were any. What was decoded goes on when there are no more at
    /// hand, or enough.
    fn read(&mut self, now: Instant) -> Result<bool, Over> {
        let count = self.receiver.receive()?;
        let drops = self.receiver.kernel_drops();
        self.counts.kernel_drops.increment(drops - std::mem::replace(&mut self.drops, drops));
        if count > 0 {
            let wall_clock = wall_clock();
            for (from, octets) in self.receiver.datagrams() {
                self.sources.datagram(now, wall_clock, from, octets);
            }
        }
        let Gathered { flows, options, .. } = self.sources.sink();
        if count == 0 || flows.octets() + options.octets() >= BATCH {
            self.hand_over()?;
        }
        self.sources.handle_timeout(now, wall_clock());
        Ok(count > 0)
    }

    fn hand_over(&mut self) -> Result<(), Over> {
        let Gathered { flows, options, .. } = self.sources.sink_mut();
        if flows.is_empty() && options.octets() == 0 {
            return Ok(());
        }
        let relayed = Relayed { flows: std::mem::take(flows), options: std::mem::take(options) };
        self.sender.blocking_send(Observation::Relayed(relayed)).map_err(|_| Over::Abandoned)
    }
}

/// Returns milliseconds since the Unix epoch.
fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
