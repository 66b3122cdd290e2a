//! Packets of interfaces: threads that share them, and time that goes on without packets.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::capture::live::{Reader, Watch, settled};
use crate::export::options::Facts;
use crate::export::{Classifier, FlowEncoder};
use crate::metering::{Ignored, Meter};
use crate::metrics::{Captured, Observed};

use super::{Abandoned, CHANNEL, ObservationPoint, Observer, Question};

/// How long records wait for their batch to fill, the stop signal waits to be heard, and drops to be counted.
const TICK: Duration = Duration::from_millis(100);

/// What one thread has for itself.
pub struct Share {
    /// Its part of the packets.
    pub reader: Reader,
    /// Its part of the flows.
    pub meter: Meter,
    /// Its records' form, the same of all.
    pub encoder: FlowEncoder,
    /// What it counts.
    pub metrics: Observed,
}

impl Observer {
    /// Starts a thread for each share, and one that watches for interfaces. `captured` is what their packets are counted by, in
    /// the order of the patterns they were opened with.
    ///
    /// Fails when the operating system gives no thread.
    pub fn live(
        watch: Watch,
        shares: Vec<Share>,
        classifier: &Classifier,
        captured: Vec<Captured>,
        facts: &Arc<Facts>,
    ) -> std::io::Result<Self> {
        let captured = Arc::new(captured);
        let (sender, mut observer) = Self::without_threads(CHANNEL);
        for Share { reader, meter, encoder, metrics } in shares {
            let packets = Arc::new(AtomicU64::new(0));
            observer.packets.push(Arc::clone(&packets));
            let (classifier, sender, facts) = (classifier.clone(), sender.clone(), Arc::clone(facts));
            let point = ObservationPoint::new(meter, encoder, classifier, sender, metrics, facts, packets);
            let captured = Arc::clone(&captured);
            observer.spawn_point(move |questions| point.run_live(reader, &captured, &questions))?;
        }
        let facts = Arc::clone(facts);
        observer.spawn("interfaces", move |stopped| {
            watch.run(&stopped, |lost| {
                captured[lost.pattern].lose(lost.drops);
                facts.lose(lost.interface, lost.drops.all());
            });
        })?;
        Ok(observer)
    }

    /// Starts one more thread; its receiver is disconnected when it is to end.
    ///
    /// Fails when the operating system gives none.
    pub(crate) fn spawn(
        &mut self,
        name: &str,
        run: impl FnOnce(Receiver<()>) + Send + 'static,
    ) -> std::io::Result<()> {
        let (stop, stopped) = channel();
        self.threads.push(thread::Builder::new().name(name.into()).spawn(move || run(stopped))?);
        self.stop.push(stop);
        Ok(())
    }
}

impl ObservationPoint {
    fn run_live(mut self, mut reader: Reader, captured: &[Captured], questions: &Receiver<Question>) {
        let observed = self.observe_live(&mut reader, captured, questions);
        let _ = observed.and_then(|()| self.finish());
    }

    fn observe_live(
        &mut self,
        reader: &mut Reader,
        captured: &[Captured],
        questions: &Receiver<Question>,
    ) -> Result<(), Abandoned> {
        let mut looked = None;
        // When nothing more is awaited, once it was stopped.
        let mut end: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if looked.is_none_or(|looked| now.duration_since(looked) >= TICK) {
                looked = Some(now);
                self.look(reader, captured)?;
                if self.take_questions(questions) == TryRecvError::Disconnected && end.is_none() {
                    end = Some(now + reader.close());
                }
            }
            // A part for each block of packets.
            let has_survey = self.go_on();
            // Before it is known whether there are packets, so that none before this time is left out.
            let settled = settled();
            if self.read(reader)? {
                continue;
            }
            while self.meter.advance(settled, &mut self.flows) {
                self.encode()?;
            }
            self.encode()?;
            match end.map(|end| end.saturating_duration_since(now)) {
                Some(Duration::ZERO) => return self.look(reader, captured),
                _ if has_survey => {}
                left => wait(reader, left.unwrap_or(TICK).min(TICK), questions),
            }
        }
    }

    /// Takes the questions that wait; returns whether there will be others.
    fn take_questions(&mut self, questions: &Receiver<Question>) -> TryRecvError {
        loop {
            match questions.try_recv() {
                Ok(question) => self.ask(question),
                Err(error) => return error,
            }
        }
    }

    /// Takes in what is not packets, and hands over what there is.
    fn look(&mut self, reader: &mut Reader, captured: &[Captured]) -> Result<(), Abandoned> {
        reader.look();
        reader.take_interfaces().into_iter().for_each(|interface| self.facts.describe(interface));
        let mut dropped = 0;
        for (captured, counts) in captured.iter().zip(reader.take_counts()) {
            captured.add(counts);
            dropped += counts.dropped;
        }
        // Nobody knows how long they were.
        let now = settled();
        self.facts.ignore(Ignored { packets: dropped, octets: 0, first_ns: now, last_ns: now });
        self.deliver()
    }

    /// Meters the packets that are there; returns whether there were any.
    fn read(&mut self, reader: &mut Reader) -> Result<bool, Abandoned> {
        let Self { meter, flows, .. } = self;
        let any = reader.read(|packet| meter.packet(packet, flows));
        self.settle()?;
        Ok(any)
    }
}

/// Waits for packets.
fn wait(reader: &Reader, limit: Duration, questions: &Receiver<Question>) {
    if let Err(error) = reader.wait(limit) {
        warn!(%error, "cannot wait for packets");
        // A question that comes just then is not answered.
        let _: Result<Question, RecvTimeoutError> = questions.recv_timeout(limit);
    }
}
