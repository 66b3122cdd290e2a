//! Another collector that gets the records over TCP (RFC 7011 section 10.4): this one is a mediator for it.
//!
//! TCP does not tell what has reached the other side, so that nothing is ever durable here. While there is no connection
//! records wait in the queue; what fails on its way is lost and counted. Each connection is a transport session: it begins with
//! the templates.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::info;

use super::batch::Share;
use super::file::Format;
use super::health::{Health, Work};
use super::intake::Intake;
use super::packer::Packer;
use super::queue::{Backlog, Next};
use crate::metrics::{DropReason, OutputMetrics};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a write that waits looks whether the collector ends.
const LOOK: Duration = Duration::from_millis(500);
/// A connection that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// An idle writer looks up so often.
const IDLE: Duration = Duration::from_secs(1);

/// The way to another collector.
#[derive(Debug)]
pub(super) struct Forward {
    /// HOST:PORT.
    to: String,
    /// Time between two attempts to connect (RFC 7011 section 10.4.4).
    reconnect: Duration,
    last_attempt: Option<Instant>,
    packer: Packer,
    intake: Intake,
    buffer: Vec<u8>,
    health: Arc<Health>,
    metrics: OutputMetrics,
}

/// Why a connection is over.
enum End {
    /// Everything is sent, and no more will come.
    Closed,
    /// It failed, or there are too many templates. A share that was not begun goes to the next one.
    Lost(Option<Share>),
}

impl Forward {
    /// Returns the way to `to`, which is looked up at each attempt to connect.
    pub(super) fn new(
        to: &str,
        reconnect: Duration,
        options_records: bool,
        health: Arc<Health>,
        metrics: OutputMetrics,
    ) -> Self {
        Self {
            to: to.to_owned(),
            reconnect,
            last_attempt: None,
            packer: Packer::default(),
            intake: Intake::new(to, options_records, metrics.clone()),
            buffer: Vec::new(),
            health,
            metrics,
        }
    }

    /// Sends batches until every association task has ended. Never fails: what cannot be sent by then is lost.
    pub(super) fn run(mut self, backlog: &Backlog) {
        let mut share = None;
        while let Some(mut stream) = self.connect() {
            match self.serve(&mut stream, backlog, share.take()) {
                End::Closed => {
                    // The other side may have gone before.
                    let _ = stream.shutdown(Shutdown::Write);
                    return;
                }
                End::Lost(left) => share = left,
            }
        }
        if let Some(share) = share {
            self.metrics.discard(DropReason::Connection, share.books.flows);
            backlog.release(&share);
        }
        super::drain(backlog, &self.metrics, DropReason::Connection);
    }

    /// Connects, again and again; `None` at the collector's end.
    fn connect(&mut self) -> Option<TcpStream> {
        loop {
            while let Some(last) = self.last_attempt {
                let left = self.reconnect.saturating_sub(last.elapsed());
                if left.is_zero() {
                    break;
                }
                if self.health.is_ending() {
                    return None;
                }
                std::thread::park_timeout(left.min(LOOK));
            }
            self.last_attempt = Some(Instant::now());
            match self.try_connect() {
                Ok(stream) => {
                    self.health.succeeded();
                    info!(to = %self.to, "forwarding");
                    return Some(stream);
                }
                Err(error) => self.health.failed(Work::Connect, &error),
            }
            if self.health.is_ending() {
                return None;
            }
        }
    }

    fn try_connect(&self) -> io::Result<TcpStream> {
        let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in self.to.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_write_timeout(Some(LOOK))?;
                    return Ok(stream);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn serve(&mut self, stream: &mut TcpStream, backlog: &Backlog, first: Option<Share>) -> End {
        self.buffer.clear();
        self.packer.begin(&mut self.buffer);
        let mut first = first;
        loop {
            let share = match first.take().map_or_else(|| backlog.next(IDLE), Next::Share) {
                Next::Share(share) => share,
                Next::TimedOut if is_open(stream) => continue,
                Next::TimedOut => return self.lost(&io::Error::from(ErrorKind::ConnectionReset), None),
                Next::Closed => return End::Closed,
            };
            if !is_open(stream) {
                return self.lost(&io::Error::from(ErrorKind::ConnectionReset), Some(share));
            }
            if !self.packer.has_room(&share.form) {
                // Another session may begin at once, and begins without templates.
                self.last_attempt = None;
                self.packer = Packer::default();
                return End::Lost(Some(share));
            }
            let taken = self.intake.take(&share, &mut self.packer, &mut self.buffer);
            let start = Instant::now();
            let sent = self.send(stream);
            self.metrics.write_duration.record(start.elapsed().as_secs_f64());
            self.buffer.clear();
            match &sent {
                Ok(()) => taken.count(&self.metrics),
                Err(_) => self.metrics.discard(DropReason::Connection, taken.flows),
            }
            backlog.release(&share);
            if let Err(error) = sent {
                return self.lost(&error, None);
            }
        }
    }

    fn lost(&self, error: &io::Error, share: Option<Share>) -> End {
        self.health.failed(Work::Write, error);
        End::Lost(share)
    }

    /// Hands the buffer to the socket.
    fn send(&self, stream: &mut TcpStream) -> io::Result<()> {
        let (mut rest, mut progress) = (self.buffer.as_slice(), Instant::now());
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => (rest, progress) = (&rest[written..], Instant::now()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if self.health.is_ending() || progress.elapsed() > STALLED {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Returns whether the other side has neither closed nor reset the connection. What it sends is discarded: IPFIX goes one way.
fn is_open(stream: &mut TcpStream) -> bool {
    let mut scratch = [0; 512];
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let open = match stream.read(&mut scratch) {
        Ok(octets) => octets > 0,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    };
    stream.set_nonblocking(false).is_ok() && open
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use ipfix::FieldSpecifier;

    use super::super::batch::{Batch, Form, Rendered, RunKind};
    use super::super::form::FlowTemplate;
    use super::super::progress::Progress;
    use super::super::queue;
    use super::*;

    /// A share with so many records of 1,000 octets each.
    fn share(records: u64) -> Share {
        let fields = Box::new([FieldSpecifier::iana(1, 8), FieldSpecifier::iana(210, 992)]);
        let template = Arc::new(FlowTemplate { domain: 1, scope_fields: 0, fields });
        let (mut rendered, mut form) = (Rendered::default(), Form::default());
        form.place(&template);
        rendered.forms.push(form);
        for _ in 0..records {
            rendered.begin(RunKind::Plain);
            let octets = &mut rendered.forms[0].octets;
            octets.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 0x03, 0xe8]);
            octets.resize(octets.len() + 1_000, 7);
        }
        Batch::new(rendered, Progress::new(0), 1).share(0)
    }

    #[test]
    fn what_fails_on_its_way_is_counted_and_the_next_connection_begins_with_the_templates() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap().to_string();
        let metrics = OutputMetrics::new("upstream", 1 << 20, false);
        let health = Arc::new(Health::new("upstream", "upstream".into(), false));
        let (queue, backlog) = queue::bounded(1 << 30, &metrics);
        // More than the buffers of both sockets take.
        for records in [100_000, 10] {
            assert!(queue.try_push(share(records)).unwrap().is_none());
        }
        drop(queue);
        let reader = std::thread::spawn(move || {
            let (mut first, _) = listener.accept().unwrap();
            first.read_exact(&mut [0; 1_000]).unwrap();
            // Closing it with octets unread resets it.
            drop(first);
            let mut octets = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut octets).unwrap();
            octets
        });
        Forward::new(&to, Duration::ZERO, true, health, metrics.clone()).run(&backlog);
        let octets = reader.join().unwrap();
        assert_eq!(octets[16..18], ipfix::TEMPLATE_SET.to_be_bytes(), "templates come first");
        assert_eq!((metrics.received(), metrics.written.total(), metrics.in_flight()), (100_010, 10, 0));
        assert_eq!(metrics.dropped(DropReason::Connection), 100_000);
    }

    #[test]
    fn at_the_collectors_end_what_was_never_sent_is_counted() {
        let metrics = OutputMetrics::new("upstream", 1 << 20, false);
        let health = Arc::new(Health::new("upstream", "upstream".into(), false));
        let (queue, backlog) = queue::bounded(1 << 20, &metrics);
        assert!(queue.try_push(share(5)).unwrap().is_none());
        drop(queue);
        health.give_up();
        // Nobody listens at a port that was given back.
        let to = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        Forward::new(&to, Duration::from_secs(60), true, health, metrics.clone()).run(&backlog);
        assert_eq!((metrics.dropped(DropReason::Connection), metrics.in_flight()), (5, 0));
    }
}
