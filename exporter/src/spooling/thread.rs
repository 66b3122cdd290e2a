//! The thread of a spool: commands in, events out. What comes while the disk is busy is one sync.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use spool::{Position, Spool, SpoolError};
use tokio::sync::mpsc;

use super::{Command, Event, Worker};

/// How long a disk that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// While nothing failed, nothing is to be done without a command.
const IDLE: Duration = Duration::from_secs(3600);

enum Order {
    Do(Command),
    Close(Position),
}

/// The running thread. Dropping it without [`Spooling::close`] loses what is not synced.
#[derive(Debug)]
pub struct Spooling {
    orders: Sender<Order>,
    events: mpsc::UnboundedReceiver<Event>,
    thread: JoinHandle<Result<(), SpoolError>>,
}

impl Spooling {
    /// Starts the thread.
    ///
    /// Fails when the operating system gives none.
    pub fn start(spool: Spool) -> std::io::Result<Self> {
        let (orders, received) = channel();
        // Each command causes a few events at most, and what is appended and not synced is bounded by who appends it.
        let (sender, events) = mpsc::unbounded_channel();
        let run = move || run(Worker::new(spool), &received, &sender);
        let thread = std::thread::Builder::new().name("spool".into()).spawn(run)?;
        Ok(Self { orders, events, thread })
    }

    /// Has a command done.
    pub fn send(&self, command: Command) {
        // The thread ends before this handle only by a panic, which `close` tells.
        let _ = self.orders.send(Order::Do(command));
    }

    /// Waits for the next event. Cancel safe.
    pub async fn event(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// Syncs what was appended and ends the thread; nothing before `until` stays on disk. `tell` takes the last events. Blocks
    /// for as long as the disk takes.
    ///
    /// Fails when the disk does.
    pub fn close(mut self, until: Position, tell: impl FnMut(Event)) -> Result<(), SpoolError> {
        let _ = self.orders.send(Order::Close(until));
        let closed = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        std::iter::from_fn(|| self.events.try_recv().ok()).for_each(tell);
        closed
    }
}

fn run(
    mut worker: Worker,
    orders: &Receiver<Order>,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<(), SpoolError> {
    loop {
        let first = match orders.recv_timeout(if worker.is_failing() { RETRY } else { IDLE }) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        for order in first.into_iter().chain(orders.try_iter()) {
            match order {
                Order::Do(command) => worker.handle(command),
                Order::Close(until) => {
                    tell(&mut worker, events);
                    return worker.close(until);
                }
            }
        }
        worker.sync();
        tell(&mut worker, events);
    }
}

fn tell(worker: &mut Worker, events: &mpsc::UnboundedSender<Event>) {
    while let Some(event) = worker.poll_event() {
        let _ = events.send(event);
    }
}
