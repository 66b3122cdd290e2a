//! IPFIX over UDP, from exporters of any make (RFC 7011 section 10.3): a thread for each socket.
//!
//! UDP cannot be held back. While an output has no room its records are dropped and counted; the thread never waits
//! for anything but datagrams. Nothing is ever acknowledged.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod gathered;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use intake::store::{self, Depositor, Loaded};
use intake::{Counts, Rooms, Sources, Totals};
use tokio::task::JoinSet;
use tracing::info;
use transport::udp::{Receiver, ReceiverOptions, Waker};

pub(crate) use self::gathered::Gathered;
use crate::config::Config;
use crate::metrics::{self, Count};
use crate::output::{Batch, Closed, Letter, Outputs, Progress};
use crate::session::{BATCH_OCTETS, Shared, wall_clock};

/// Batches of datagrams read at the end, at most: what had come before it.
const LAST_BATCHES: usize = 1024;

/// The file of templates in the state directory.
const TEMPLATES: &str = "udp-templates";

/// The threads that receive.
#[derive(Debug)]
pub(crate) struct Receivers {
    running: JoinSet<Result<(), Ended>>,
    stop: Arc<AtomicBool>,
    wakers: Vec<Waker>,
}

/// A thread has ended although it was still needed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("receiving UDP: {0}")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Output(#[from] Closed),
}

impl Receivers {
    /// Binds every address and starts its threads.
    pub(crate) fn start(config: &Config, shared: &Shared) -> io::Result<Self> {
        let mut receivers =
            Self { running: JoinSet::new(), stop: Arc::new(AtomicBool::new(false)), wakers: Vec::new() };
        let options = ReceiverOptions {
            receive_buffer: config.udp.receive_buffer.as_usize(),
            sockets: config.udp.sockets,
        };
        let kept = (config.udp.keep_templates && !config.listen.ipfix_udp.is_empty())
            .then(|| config.state.directory.join(TEMPLATES));
        let loaded = kept.as_deref().map(Loaded::read).unwrap_or_default();
        let (totals, metrics) = (Arc::new(Totals::new(loaded)), metrics::udp(&shared.metrics));
        let rooms = Rooms::default();
        let (to, deposits) = mpsc::channel();
        let mut socket = 0;
        for &address in &config.listen.ipfix_udp {
            let sockets = Receiver::bind(address, &options)?;
            if let Some(socket) = sockets.first() {
                info!(
                    address = %format_args!("udp {}", socket.local()), sockets = sockets.len(),
                    receive_buffer = socket.receive_buffer(), "listening for IPFIX"
                );
            }
            for receiver in sockets {
                receivers.wakers.push(receiver.waker());
                let forms = shared.outputs.forms().clone();
                let gathered =
                    Gathered::new(forms, rooms.clone(), shared.metrics.clone(), shared.window.clone());
                let (limits, totals) = (config.udp.limits(), Arc::clone(&totals));
                let mut sources = Sources::new(limits, Instant::now(), totals, metrics.clone(), gathered);
                if kept.is_some() {
                    sources.keep_templates(Depositor { socket, to: to.clone() });
                    socket += 1;
                }
                let listening = Listening {
                    sources,
                    receiver,
                    progress: shared.outputs.progress(),
                    outputs: shared.outputs.clone(),
                    batches: 0,
                    letters: 0,
                    drops: 0,
                    metrics: metrics.clone(),
                    dropped: shared.metrics.output.clone(),
                };
                let stop = Arc::clone(&receivers.stop);
                receivers.running.spawn_blocking(move || listening.run(&stop));
            }
        }
        if let Some(path) = kept {
            // It ends with the last of the threads above.
            receivers.running.spawn_blocking(move || {
                store::write_all(&path, &totals.loaded, &deposits);
                Ok(())
            });
        }
        Ok(receivers)
    }

    /// Waits until a thread ends before its time; forever if none does. Cancel safe.
    pub(crate) async fn failure(&mut self) -> Ended {
        loop {
            match self.running.join_next().await {
                Some(Ok(Err(ended))) => return ended,
                Some(Ok(Ok(()))) => {}
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                None => std::future::pending().await,
            }
        }
    }

    /// Reads what has come, and ends.
    pub(crate) async fn shutdown(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wakers.iter().for_each(Waker::wake);
        while self.running.join_next().await.is_some() {}
    }
}

/// One socket and its thread.
struct Listening {
    receiver: Receiver,
    sources: Sources<Gathered>,
    outputs: Outputs,
    /// Told what is synced; nobody asks.
    progress: Arc<Progress>,
    batches: u64,
    letters: u64,
    drops: u64,
    metrics: Counts,
    /// Records no output had room for.
    dropped: Count,
}

impl Listening {
    fn run(mut self, stop: &AtomicBool) -> Result<(), Ended> {
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if self.read(now)? {
                continue;
            }
            self.sources.handle_timeout(now, wall_clock());
            self.receiver.wait(self.sources.poll_timeout().saturating_duration_since(now))?;
        }
        for _ in 0..LAST_BATCHES {
            if !self.read(Instant::now())? {
                break;
            }
        }
        self.sources.close(Instant::now(), wall_clock());
        self.flush()?;
        Ok(())
    }

    /// Reads a batch of datagrams; returns whether there were any. What was decoded goes on when there are no more at
    /// hand, or enough.
    fn read(&mut self, now: Instant) -> Result<bool, Ended> {
        let count = self.receiver.receive()?;
        let drops = self.receiver.kernel_drops();
        self.metrics.kernel_drops.increment(drops - std::mem::replace(&mut self.drops, drops));
        if count > 0 {
            let wall_clock = wall_clock();
            for (from, octets) in self.receiver.datagrams() {
                self.sources.datagram(now, wall_clock, from, octets);
            }
        }
        if count == 0 || self.sources.sink().decoded.waiting() >= BATCH_OCTETS {
            self.flush()?;
        }
        self.sources.handle_timeout(now, wall_clock());
        Ok(count > 0)
    }

    /// Gives what was decoded to the outputs that have room.
    fn flush(&mut self) -> Result<(), Closed> {
        let decoded = &mut self.sources.sink_mut().decoded;
        if decoded.waiting() == 0 {
            return Ok(());
        }
        let decoded = decoded.take();
        if !decoded.letters.is_empty() {
            self.letters += 1;
            let (line, progress) = (decoded.letters, Arc::clone(&self.progress));
            self.outputs.dead_letter.try_push(Letter { line, progress, number: self.letters });
        }
        if decoded.rendered.is_empty() {
            return Ok(());
        }
        self.batches += 1;
        let flows = decoded.rendered.flows();
        let batch = Batch::new(decoded.rendered, Arc::clone(&self.progress), self.batches);
        if !self.outputs.try_push(&batch)? {
            self.dropped.increment(flows);
        }
        Ok(())
    }
}
