//! The largest flows, for whoever looks at the exporter: asked of the threads that keep them, which look for them between packets,
//! a part at a time.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::sync::oneshot;

use super::ObservationPoint;
use crate::metering::{FlowRecord, LARGEST, Meter, Survey};

/// How long a thread gets to answer: one that waits for room does not.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which flows are the largest? Whoever wants to know waits at the other end.
#[derive(Debug)]
pub(crate) struct Question(oneshot::Sender<Largest>);

/// The largest flows of one thread, or of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Largest {
    /// Those with the most octets first, each with the packet time of its thread.
    pub(crate) flows: Vec<(FlowRecord, u64)>,
    /// Some thread has not answered.
    pub(crate) is_partial: bool,
}

/// What the threads will answer.
#[derive(Debug)]
pub(crate) struct Answers(Vec<oneshot::Receiver<Largest>>);

/// A survey that is not over, and who waits for it.
#[derive(Debug)]
pub(super) struct Underway {
    survey: Survey,
    asked: Vec<Question>,
}

impl Question {
    /// Returns a question, and where the answer to it comes.
    pub(super) fn new() -> (Self, oneshot::Receiver<Largest>) {
        let (answer, answered) = oneshot::channel();
        (Self(answer), answered)
    }

    fn answer(self, meter: &Meter, survey: &Survey) {
        let clock = meter.clock();
        let flows = meter.largest(survey).into_iter().map(|flow| (flow, clock)).collect();
        // Whoever asked may be gone.
        let _ = self.0.send(Largest { flows, is_partial: false });
    }
}

impl Answers {
    pub(super) const fn new(answers: Vec<oneshot::Receiver<Largest>>) -> Self {
        Self(answers)
    }

    /// Waits for the answers of all threads, for some seconds at most, and returns them as one.
    pub(crate) async fn all(self) -> Largest {
        let mut all = Largest::default();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        for answer in self.0 {
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(Ok(Largest { flows, .. })) => all.flows.extend(flows),
                // The thread has ended, and its flows with it.
                Ok(Err(_)) => {}
                Err(_) => all.is_partial = true,
            }
        }
        all.flows.sort_by_key(|(flow, _)| Reverse(flow.octets_both_ways()));
        all.flows.truncate(LARGEST);
        all
    }
}

impl ObservationPoint {
    /// Takes a question. One that comes during a survey is answered with it.
    pub(super) fn ask(&mut self, question: Question) {
        let meter = &self.meter;
        let underway =
            self.underway.get_or_insert_with(|| Underway { survey: meter.begin_survey(), asked: Vec::new() });
        underway.asked.push(question);
    }

    /// Goes on with a survey, if there is one, and answers when it is over. Returns whether it is not.
    pub(super) fn go_on(&mut self) -> bool {
        let Some(underway) = &mut self.underway else { return false };
        if self.meter.survey(&mut underway.survey) {
            return true;
        }
        let Some(Underway { survey, asked }) = self.underway.take() else { return false };
        asked.into_iter().for_each(|question| question.answer(&self.meter, &survey));
        false
    }
}
