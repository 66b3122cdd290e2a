//! The observation point's thread: packets to batches of encoded flow records.
//!
//! It owns source, meter, encoder and the rules of the classes, and shares nothing with the rest but the channel its batches
//! go through. A capture file is not read on while the channel is full; nothing is dropped then. Of interfaces there may be several
//! threads, each with its part of the flows ([`Observer::live`]).
#![expect(clippy::disallowed_methods, reason = "driver: paces a replay by the clock")]

mod largest;
mod live;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

pub(crate) use largest::{Answers, Largest, Question};
pub use live::Share;

use largest::Underway;

use crate::capture::{CaptureError, PacketSource};
use crate::config::Speed;
use crate::export::options::Facts;
use crate::export::{ClassIndex, Classifier, FlowEncoder, TemplateIndex};
use crate::metering::{FlowEndReason, FlowRecord, Ignored, Meter};
use crate::metrics::Observed;
use crate::relay::Relayed;

/// Octets of a batch at most, and one record: some 300 records.
const BATCH: usize = 32 << 10;
/// Batches that wait for the driver at most: 1 MiB.
pub(crate) const CHANNEL: usize = 32;
/// Questions that wait for one thread at most.
const QUESTIONS: usize = 32;
/// Packets between two looks at questions and the stop signal where no pace is kept.
const STRIDE: u32 = 1024;
/// How long the records of a slow replay wait for their batch to fill.
const LINGER: Duration = Duration::from_millis(20);
/// How long the figures of a slow replay stand still at most.
const SILENCE: Duration = Duration::from_secs(1);

/// Flow records in the order in which their flows ended, encoded.
#[derive(Debug, Default)]
pub struct Batch {
    octets: Vec<u8>,
    records: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    template: TemplateIndex,
    class: ClassIndex,
    end: usize,
}

/// An encoded flow record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// What it is encoded by.
    pub template: TemplateIndex,
    /// Where the rules sort it.
    pub class: ClassIndex,
    /// The data record.
    pub octets: &'a [u8],
}

impl Batch {
    /// Encodes `flow` at the end and sorts it into its class.
    pub fn push(&mut self, encoder: &FlowEncoder, classifier: &Classifier, flow: &FlowRecord) {
        let begin = self.octets.len();
        let template = encoder.encode(flow, &mut self.octets);
        let class = classifier.classify(template, &self.octets[begin..]);
        self.records.push(Entry { template, class, end: self.octets.len() });
    }

    /// Returns where to append the octets of a record, which [`Batch::end`] ends.
    pub(crate) const fn begin(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// Replaces two octets, counted from the batch's first.
    pub(crate) fn patch(&mut self, at: usize, octets: [u8; 2]) {
        self.octets[at..at + 2].copy_from_slice(&octets);
    }

    /// Ends a record.
    pub(crate) fn end(&mut self, template: TemplateIndex, class: ClassIndex) {
        self.records.push(Entry { template, class, end: self.octets.len() });
    }

    /// Returns the octets of its records.
    pub(crate) const fn octets(&self) -> usize {
        self.octets.len()
    }

    /// Returns the records.
    pub fn iter(&self) -> impl Iterator<Item = Encoded<'_>> {
        let mut begin = 0;
        self.records.iter().map(move |&Entry { template, class, end }| {
            let octets = &self.octets[begin..end];
            begin = end;
            Encoded { template, class, octets }
        })
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn is_full(&self) -> bool {
        self.octets.len() >= BATCH
    }
}

/// What the thread tells the driver.
#[derive(Debug)]
pub enum Observation {
    /// Flows ended.
    Flows(Batch),
    /// Routers sent records.
    Relayed(Relayed),
    /// The last message: the source ended, was damaged from some octet on, or was stopped. Without it: interfaces were stopped.
    End(Result<(), CaptureError>),
}

/// The running threads. Dropping it stops the source; flows still kept are ended and sent.
#[derive(Debug)]
pub struct Observer {
    /// Of each thread that keeps flows, for which the end of questions is the stop signal.
    questions: Vec<SyncSender<Question>>,
    /// Of each other thread.
    stop: Vec<std::sync::mpsc::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    /// Of each observation point.
    packets: Vec<Arc<AtomicU64>>,
    /// Batches in order, then the end; of several threads, each one's in order.
    pub observations: mpsc::Receiver<Observation>,
}

impl Observer {
    /// Starts the thread.
    ///
    /// Fails when the operating system gives no thread.
    pub fn start(
        source: impl PacketSource + Send + 'static,
        meter: Meter,
        encoder: FlowEncoder,
        classifier: Classifier,
        speed: Speed,
        metrics: Observed,
        facts: Arc<Facts>,
    ) -> std::io::Result<Self> {
        let (sender, mut observer) = Self::without_threads(CHANNEL);
        let packets = Arc::new(AtomicU64::new(0));
        observer.packets.push(Arc::clone(&packets));
        let point = ObservationPoint::new(meter, encoder, classifier, sender, metrics, facts, packets);
        observer.spawn_point(move |questions| {
            point.run(source, Pace { speed, questions, begin: None, unchecked: 0, has_survey: false });
        })?;
        Ok(observer)
    }

    /// Starts a thread that keeps flows.
    fn spawn_point(&mut self, run: impl FnOnce(Receiver<Question>) + Send + 'static) -> std::io::Result<()> {
        let (questions, asked) = sync_channel(QUESTIONS);
        self.threads.push(thread::Builder::new().name("observation".into()).spawn(move || run(asked))?);
        self.questions.push(questions);
        Ok(())
    }

    /// Returns an observer without threads, which may have more and more, and what each sends by.
    pub(crate) fn without_threads(capacity: usize) -> (mpsc::Sender<Observation>, Self) {
        let (sender, observations) = mpsc::channel(capacity);
        let (questions, stop, threads, packets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        (sender, Self { questions, stop, threads, packets, observations })
    }

    /// Returns how many packets were metered up to the last batch.
    pub fn packets(&self) -> u64 {
        self.packets.iter().map(|packets| packets.load(Ordering::Relaxed)).sum()
    }

    /// Asks every thread for its largest flows. Waits for nothing; a thread that has more than enough questions is not asked.
    pub(crate) fn ask_for_largest(&self) -> Answers {
        let ask = |questions: &SyncSender<Question>| {
            let (question, answer) = Question::new();
            // Where it is not taken, the answer is that there is none.
            let _ = questions.try_send(question);
            answer
        };
        Answers::new(self.questions.iter().map(ask).collect())
    }

    /// Stops the source. The flows still kept follow, then the end.
    pub fn stop(&mut self) {
        self.questions.clear();
        self.stop.clear();
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop();
        self.observations.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct ObservationPoint {
    meter: Meter,
    encoder: FlowEncoder,
    classifier: Classifier,
    flows: Vec<FlowRecord>,
    batch: Batch,
    sender: mpsc::Sender<Observation>,
    metrics: Observed,
    facts: Arc<Facts>,
    /// Told to `facts` so far.
    ignored: Ignored,
    packets: Arc<AtomicU64>,
    underway: Option<Underway>,
}

/// The driver is gone.
struct Abandoned;

impl ObservationPoint {
    fn new(
        meter: Meter,
        encoder: FlowEncoder,
        classifier: Classifier,
        sender: mpsc::Sender<Observation>,
        metrics: Observed,
        facts: Arc<Facts>,
        packets: Arc<AtomicU64>,
    ) -> Self {
        let (flows, batch, ignored) = (Vec::new(), Batch::default(), Ignored::default());
        let underway = None;
        Self { meter, encoder, classifier, flows, batch, sender, metrics, facts, ignored, packets, underway }
    }

    fn run(mut self, source: impl PacketSource, pace: Pace) {
        let result = match self.observe(source, pace) {
            Ok(result) => result,
            Err(Abandoned) => return,
        };
        if self.finish().is_ok() {
            let _ = self.sender.blocking_send(Observation::End(result));
        }
    }

    /// Ends all flows and sends them.
    fn finish(&mut self) -> Result<(), Abandoned> {
        loop {
            let more = self.meter.flush(FlowEndReason::ForcedEnd, &mut self.flows);
            self.encode()?;
            if !more {
                return self.deliver();
            }
        }
    }

    fn observe(
        &mut self,
        mut source: impl PacketSource,
        mut pace: Pace,
    ) -> Result<Result<(), CaptureError>, Abandoned> {
        loop {
            for interface in source.take_interfaces() {
                self.facts.describe(interface);
            }
            let packet = match source.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            };
            if pace.is_early(packet.timestamp) {
                self.settle()?;
            }
            loop {
                match pace.wait_for(packet.timestamp, !self.batch.is_empty()) {
                    Wait::Due => break,
                    Wait::Stopped => return Ok(Ok(())),
                    Wait::Long => self.deliver()?,
                    Wait::Asked(question) => {
                        self.ask(question);
                        pace.has_survey = true;
                    }
                    Wait::Survey => pace.has_survey = self.go_on(),
                }
            }
            self.meter.packet(&packet, &mut self.flows);
            if !self.flows.is_empty() {
                self.encode()?;
            }
        }
    }

    /// Meters what was read; nothing more comes for a while.
    fn settle(&mut self) -> Result<(), Abandoned> {
        self.meter.settle(&mut self.flows);
        self.encode()
    }

    /// Encodes the flows that have ended and sends the batches they fill.
    fn encode(&mut self) -> Result<(), Abandoned> {
        let mut flows = std::mem::take(&mut self.flows);
        for flow in flows.drain(..) {
            self.batch.push(&self.encoder, &self.classifier, &flow);
            if self.batch.is_full() {
                self.deliver()?;
            }
        }
        self.flows = flows;
        Ok(())
    }

    /// Sends what is encoded; waits while the driver has enough.
    fn deliver(&mut self) -> Result<(), Abandoned> {
        self.metrics.update(&self.meter);
        self.facts.ignore(self.meter.ignored().since(self.ignored));
        self.ignored = self.meter.ignored();
        self.packets.store(self.meter.counters().packets - self.meter.tunnelled(), Ordering::Relaxed);
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.sender.blocking_send(Observation::Flows(batch)).map_err(|_| Abandoned)
    }
}

/// Keeps a replay at its speed, and hears questions and the stop signal.
struct Pace {
    speed: Speed,
    questions: Receiver<Question>,
    /// When the first packet was due, and its time in the capture.
    begin: Option<(Instant, u64)>,
    unchecked: u32,
    /// Time that is left is for a survey.
    has_survey: bool,
}

enum Wait {
    Due,
    /// There is time to send what waits, or to tell how things are, and to ask again.
    Long,
    /// Somebody wants to know about flows.
    Asked(Question),
    /// There is time to go on with the survey, and to ask again.
    Survey,
    Stopped,
}

impl Pace {
    /// Waits until the packet at `timestamp` is due; not longer than [`LINGER`] if something waits to be sent, else not
    /// longer than [`SILENCE`], and not at all during a survey.
    fn wait_for(&mut self, timestamp: u64, waiting: bool) -> Wait {
        let delay = self.delay(timestamp);
        if delay.is_zero() {
            return self.unpaced();
        }
        let longest = match (self.has_survey, waiting) {
            (true, _) => Duration::ZERO,
            (false, true) => LINGER,
            (false, false) => SILENCE,
        };
        match self.questions.recv_timeout(delay.min(longest)) {
            Ok(question) => Wait::Asked(question),
            Err(RecvTimeoutError::Disconnected) => Wait::Stopped,
            Err(RecvTimeoutError::Timeout) if self.has_survey => Wait::Survey,
            Err(RecvTimeoutError::Timeout) if delay > longest => Wait::Long,
            Err(RecvTimeoutError::Timeout) => Wait::Due,
        }
    }

    /// Tells whether the packet at `timestamp` has to wait.
    fn is_early(&mut self, timestamp: u64) -> bool {
        !self.delay(timestamp).is_zero()
    }

    fn delay(&mut self, timestamp: u64) -> Duration {
        let begin = *self.begin.get_or_insert_with(|| (Instant::now(), timestamp));
        let since = Duration::from_nanos(timestamp.saturating_sub(begin.1));
        let offset = self.speed.wall_clock(since);
        offset.map_or(Duration::ZERO, |offset| offset.saturating_sub(begin.0.elapsed()))
    }

    fn unpaced(&mut self) -> Wait {
        self.unchecked += 1;
        if self.unchecked < STRIDE {
            return Wait::Due;
        }
        self.unchecked = 0;
        match self.questions.try_recv() {
            Ok(question) => Wait::Asked(question),
            Err(TryRecvError::Disconnected) => Wait::Stopped,
            Err(TryRecvError::Empty) if self.has_survey => Wait::Survey,
            Err(TryRecvError::Empty) => Wait::Due,
        }
    }
}
