//! Exporting to one collector of any make, over UDP (RFC 7011 section 10.3), in place of a pool.
//!
//! Nothing is acknowledged, sent again, or sent elsewhere: UDP tells nothing of what arrived. What ICMP tells is counted and
//! logged. `session` packs and repeats templates; this loop has the socket and the clock.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod metrics;
mod session;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use service::config::Size;
use service::{ApiRequest, Condition, Context, Exit, Failure, OrExit as _, Shutdown};
use tokio::sync::mpsc;
use tracing::{info, warn};
use transport::udp::Sender;

use crate::capture::CaptureError;
use crate::config::{Config, Udp};
use crate::driver::{export_time, setup, until};
use crate::export::options::Teller;
use crate::observe::{Observation, Observer};
use crate::status::{State, Status, Totals, View};
use metrics::DirectMetrics;
use session::{Session, SessionConfig};

/// How often the path is looked at and the figures are shown.
const LOOK: Duration = Duration::from_secs(1);
/// How often the log says that the collector is not reached, at most.
const REMIND: Duration = Duration::from_secs(60);
/// How long after ICMP said so the collector counts as not reached.
const UNREACHED: Duration = Duration::from_secs(10);
/// How long the socket gets to take the rest after SIGTERM.
const FINISH: Duration = Duration::from_secs(5);

/// Runs the exporter until its source ends or it is told to stop, and everything was sent.
///
/// Fails when the capture or the socket cannot be used, when the capture is damaged (what is before the damage is
/// exported), and when this host refused to send some of the records.
pub(crate) async fn run(config: &Config, udp: &Udp, context: Context) -> Result<(), Failure> {
    let [collector] = context.health.conditions(["collector"]);
    let requests = context.api.requests();
    let (_, classifier) = config.classes().or_exit(Exit::Configuration)?;
    let to = udp.collector;
    let sender = Sender::connect(to, udp.address)
        .with_context(|| format!("udp.collector = \"{to}\""))
        .or_exit(Exit::Io)?;
    let asked = udp.max_message.map_or(usize::MAX, Size::as_usize);
    let max_message = asked.min(sender.max_datagram());
    let session = SessionConfig {
        domain: config.metering.observation_domain,
        max_message,
        template_refresh: udp.template_refresh.0,
        template_refresh_packets: udp.template_refresh_packets,
        linger: config.export.linger.0,
    };
    let address = udp.address.or_else(|| Some(sender.local().ok()?.ip()));
    let teller = Teller::new(session.domain, std::process::id(), address);
    let session = Session::new(session, config.encoder().templates(), Instant::now(), export_time());
    let source = config.packets().or_exit(Exit::Configuration)?;
    let observer = setup::observe(config, source, classifier, &teller.facts())?;
    info!(collector = %to, max_message, "exporting over UDP, without acknowledgements");
    let now = Instant::now();
    let driver = Driver {
        session,
        teller,
        sender,
        observer,
        to,
        capture: source.to_string(),
        domain: config.metering.observation_domain,
        asked,
        max_message,
        unreachable: 0,
        unreached_until: None,
        next_reminder: now,
        next_look: now,
        blocked: false,
        source_ended: None,
        deadline: None,
        health: collector,
        metrics: DirectMetrics::new(),
        status: Status::new(now, config, &context, None),
        requests,
    };
    driver.run(context.shutdown).await
}

struct Driver {
    session: Session,
    teller: Teller,
    sender: Sender,
    observer: Observer,
    to: SocketAddr,
    /// The source's name.
    capture: String,
    domain: u32,
    /// Octets of a message at most, by the configuration.
    asked: usize,
    /// And by the path.
    max_message: usize,
    /// ICMP messages so far.
    unreachable: u64,
    unreached_until: Option<Instant>,
    next_reminder: Instant,
    next_look: Instant,
    /// The socket has no room.
    blocked: bool,
    source_ended: Option<Result<(), CaptureError>>,
    /// When to end with messages that still wait; the end was asked for.
    deadline: Option<Instant>,
    health: Condition,
    metrics: DirectMetrics,
    /// What is shown over HTTP beside the metrics, and who asks for it.
    status: Status,
    requests: mpsc::Receiver<ApiRequest>,
}

/// What the loop woke up for.
enum Wake {
    Shutdown,
    Observation(Option<Observation>),
    Request(ApiRequest),
    Time,
}

impl Driver {
    async fn run(mut self, shutdown: Shutdown) -> Result<(), Failure> {
        loop {
            self.transmit();
            let now = Instant::now();
            if self.next_look <= now {
                self.look(now);
            }
            let late = self.deadline.is_some_and(|deadline| deadline <= now);
            if late || self.source_ended.is_some() && self.session.is_done() {
                return self.end();
            }
            match self.next(&shutdown).await {
                Wake::Shutdown => {
                    self.observer.stop();
                    self.deadline = Some(Instant::now() + FINISH);
                }
                Wake::Observation(Some(Observation::Flows(batch))) => {
                    let (now, export_time) = (Instant::now(), export_time());
                    self.tell(export_time);
                    for record in batch.iter() {
                        self.session.push(record.template, record.octets, now, export_time);
                    }
                }
                // A relay passes on to pools only.
                Wake::Observation(Some(Observation::Relayed(_))) => {}
                Wake::Observation(Some(Observation::End(result))) => self.source_over(result),
                Wake::Observation(None) => self.source_over(Ok(())),
                Wake::Request(request) => {
                    self.status.answer(Instant::now(), request, &self.observer, || self.view());
                }
                Wake::Time => {
                    self.tell(export_time());
                    self.session.handle_timeout(Instant::now(), export_time());
                }
            }
        }
    }

    /// Hands on what options records are to say.
    fn tell(&mut self, export_time: u32) {
        let dropped = self.session.books().dropped;
        self.session.set_told(self.teller.told(dropped, export_time).clone(), export_time);
    }

    /// Waits for what happens next. Nothing is lost with the branches not taken: a channel keeps its message.
    async fn next(&mut self, shutdown: &Shutdown) -> Wake {
        let wants_records = self.source_ended.is_none() && self.session.has_room();
        let due = [Some(self.session.poll_timeout()), Some(self.next_look), self.deadline];
        let due = due.into_iter().flatten().min();
        tokio::select! {
            () = shutdown.requested(), if self.deadline.is_none() => Wake::Shutdown,
            observation = self.observer.observations.recv(), if wants_records => Wake::Observation(observation),
            Some(request) = self.requests.recv() => Wake::Request(request),
            // An error is told again by the next message.
            _ = self.sender.writable(), if self.blocked => Wake::Time,
            () = until(due) => Wake::Time,
        }
    }

    fn source_over(&mut self, result: Result<(), CaptureError>) {
        if let Err(error) = &result {
            warn!(%error, "capture damaged, exporting what is before");
        }
        self.source_ended = Some(result);
        self.session.flush(Instant::now(), export_time());
    }

    /// Gives the socket what it takes.
    fn transmit(&mut self) {
        self.blocked = false;
        while !self.session.messages().is_empty() {
            let sent = self.sender.try_send(self.session.messages());
            self.session.handle_sent(sent.sent);
            match sent.refused {
                Some(error) => {
                    self.session.handle_refused();
                    self.next_look = Instant::now();
                    self.remind(&format!("message not sent: {error}"));
                }
                None if sent.sent == 0 => {
                    self.blocked = true;
                    return;
                }
                None => {}
            }
        }
    }

    /// Looks at what the network has told, and shows the figures.
    fn look(&mut self, now: Instant) {
        self.next_look = now + LOOK;
        let max_message = self.asked.min(self.sender.max_datagram());
        if max_message != self.max_message {
            info!(collector = %self.to, from = self.max_message, to = max_message, "path MTU changed");
            self.max_message = max_message;
            self.session.set_max_message(max_message);
        }
        let unreachable = self.sender.unreachable();
        if unreachable > self.unreachable {
            self.unreachable = unreachable;
            self.unreached_until = Some(now + UNREACHED);
            self.remind("collector not reached (ICMP): does it listen there?");
        }
        match self.unreached_until {
            Some(end) if now < end => self.health.unmet("collector not reached (ICMP)"),
            _ => self.health.met(),
        }
        let books = self.session.books();
        self.metrics.update(&books, self.unreachable, self.max_message);
        let session::Books { metered, sent, .. } = books;
        let packets = self.observer.packets();
        self.status.rates.take(now, Totals { packets, metered, sent, settled: 0 });
    }

    /// What is shown over HTTP.
    fn view(&self) -> View {
        let session::Books { metered, sent, dropped, waiting, .. } = self.session.books();
        let state = match self.unreached_until {
            _ if self.source_ended.is_some() || self.deadline.is_some() => State::Ending,
            Some(end) if Instant::now() < end => State::Searching("collector not reached (ICMP)".to_owned()),
            _ => State::Exporting,
        };
        View {
            state,
            collector: json!({ "pe": null, "address": format!("udp {}", self.to), "unreachable": self.unreachable }),
            standby: Value::Null,
            pool: Value::Null,
            classes: vec![json!({
                "class": "unreliable",
                "kind": "unreliable",
                "metered": metered,
                "exported": sent,
                "dropped": { "not_sent": dropped },
                "waiting": waiting,
            })],
            spool: Value::Null,
        }
    }

    /// Warns, unless it did a short while ago.
    fn remind(&mut self, what: &str) {
        let now = Instant::now();
        if self.next_reminder <= now {
            self.next_reminder = now + REMIND;
            let (collector, unreachable) = (self.to, self.unreachable);
            warn!(%collector, unreachable, not_sent = self.session.books().dropped, "{what}");
        }
    }

    /// Prints the summary and settles how the run ended.
    fn end(mut self) -> Result<(), Failure> {
        self.look(Instant::now());
        let session::Books { metered, sent, dropped, waiting, messages, .. } = self.session.books();
        let line = format!(
            "{{\"domain\":{},\"packets\":{},\"flows\":{metered},\"sent\":{sent},\"dropped\":{dropped},\
             \"waiting\":{waiting},\"messages\":{messages},\"unreachable\":{}}}",
            self.domain,
            self.observer.packets(),
            self.unreachable
        );
        match writeln!(io::stdout().lock(), "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            printed => printed?,
        }
        if let Some(Err(error)) = self.source_ended {
            let error = anyhow::Error::new(error);
            let context = format!("{} is damaged (what is before was exported)", self.capture);
            return Err(error.context(context).into());
        }
        match dropped + waiting {
            0 => Ok(()),
            lost => Err(Failure::new(Exit::Failed, format!("{lost} flow records could not be sent"))),
        }
    }
}
