//! What the collector shows of itself: its status page, and JSON below `/api/v1/`.
//!
//! A task of its own answers, so that neither the data path nor the driver waits for whoever looks. It reads what sessions and
//! outputs count, once a second for the rates and when it is asked, and takes in what sessions find for it ([`Tap`]).
//!
//! | path | answer |
//! |---|---|
//! | `/`, `/status` | the page |
//! | `stats` | the books |
//! | `status` | how the collector is, rates, outputs |
//! | `sessions?after=N` | sessions by number, 1,000 at once |
//! | `templates?session=N` | templates with their elements, of all sessions or one, 1,000 at once |
//! | `talkers?count=N` | who talked most in the last minutes, by samples |
//! | `records?filter=F&from=N&wait=SECONDS` | the latest records that match; waits for one |
//!
//! Talkers and records tell about flows: they are told on this host only ([`ApiRequest::is_local`]).
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod answers;
mod page;
mod rates;
pub(crate) mod register;
mod watched;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use delivery::cookie::State;
use service::page::Mark;
use service::{ApiRequest, Health, percent_decode};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, sleep_until};

use self::rates::Rates;
use self::register::Register;
pub(crate) use self::watched::{Watched, Window};
use crate::metrics::{OutputMetrics, SessionMetrics};
use crate::output::OutputHealth;
use crate::stats;
use crate::tap::{Found, Question, Talkers, Tap, Watches};

const SECOND: Duration = Duration::from_secs(1);
const SECONDS_A_MINUTE: u32 = 60;

/// What is shown.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Where the collector answers.
    pub(crate) http: Option<SocketAddr>,
    pub(crate) health: Health,
    /// What cookies say.
    pub(crate) state: watch::Receiver<State>,
    pub(crate) sessions: Register,
    pub(crate) metrics: SessionMetrics,
    pub(crate) outputs: Vec<ShownOutput>,
}

/// One output.
#[derive(Debug)]
pub(crate) struct ShownOutput {
    pub(crate) name: String,
    /// Where its records go.
    pub(crate) path: String,
    pub(crate) metrics: OutputMetrics,
    pub(crate) health: Arc<OutputHealth>,
}

struct Status {
    shown: Shown,
    tap: Tap,
    watches: Watches,
    talkers: Talkers,
    rates: Rates,
    seconds: u32,
}

/// Answers until there are no more requests.
pub(crate) async fn run(
    shown: Shown,
    tap: Tap,
    mut found: mpsc::Receiver<Found>,
    mut requests: mpsc::Receiver<ApiRequest>,
) {
    let mut status = Status {
        shown,
        watches: Watches::new(tap.clone()),
        tap,
        talkers: Talkers::new(),
        rates: Rates::new(SECOND),
        seconds: 0,
    };
    let mut seconds = tokio::time::interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = status.watches.poll_timeout();
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => status.answer(request),
                None => return,
            },
            Some(found) = found.recv() => status.take(&found),
            _ = seconds.tick() => status.next_second(),
            () = async { sleep_until(due.unwrap_or_else(Instant::now).into()).await }, if due.is_some() => {
                status.watches.handle_timeout(Instant::now());
            }
        }
    }
}

impl Status {
    fn next_second(&mut self) {
        let now = Instant::now();
        self.rates.look(now, &self.shown.sessions.sessions());
        self.tap.sample(self.rates.one_in());
        self.watches.next_second(now);
        self.seconds += 1;
        if self.seconds.is_multiple_of(SECONDS_A_MINUTE) {
            self.talkers.next_minute();
        }
    }

    fn take(&mut self, found: &Found) {
        match found {
            Found::Flows { flows, stands_for } => {
                flows.iter().for_each(|flow| self.talkers.add(flow, *stands_for));
            }
            Found::Lines { watch, lines } => self.watches.take(Instant::now(), watch, lines),
        }
    }

    fn answer(&mut self, request: ApiRequest) {
        if request.is_page() {
            let page = page::page(self, request.is_local());
            return request.show(&page);
        }
        let (sessions, rates) = (&self.shown.sessions, &self.rates);
        match request.segments()[..] {
            [b"v1", b"stats"] => {
                let outputs = self.shown.outputs.iter().map(|output| (&*output.name, &output.metrics));
                request.answer(stats::stats(&self.shown.metrics, outputs).to_string());
            }
            [b"v1", b"status"] => request.answer(answers::status(self).to_string()),
            [b"v1", b"sessions"] => match number(&request, "after", 0) {
                Ok(after) => request.answer(answers::sessions(sessions, rates, after).to_string()),
                Err(error) => request.bad_request(&error),
            },
            [b"v1", b"templates"] => self.templates(request),
            [b"v1", b"talkers"] if request.is_local() => match number(&request, "count", 20) {
                Ok(count) => {
                    let top = self.talkers.top(usize::try_from(count).unwrap_or(usize::MAX));
                    request.answer(answers::talkers(&top).to_string());
                }
                Err(error) => request.bad_request(&error),
            },
            [b"v1", b"records"] if request.is_local() => match question(&request) {
                Ok(question) => self.watches.ask(Instant::now(), request, question),
                Err(error) => request.bad_request(&error),
            },
            [b"v1", b"talkers" | b"records"] => request.forbidden(ONLY_HERE),
            _ => request.not_found(
                "no such path; /api/v1/ has stats, status, sessions, templates, talkers and records",
            ),
        }
    }

    fn templates(&self, request: ApiRequest) {
        let sessions = &self.shown.sessions;
        match number(&request, "session", 0) {
            Ok(0) => request.answer(answers::templates(&sessions.sessions()).to_string()),
            Ok(id) => match sessions.session(id) {
                Some(session) => request.answer(answers::templates(&[session]).to_string()),
                None => request.not_found("no such session"),
            },
            Err(error) => request.bad_request(&error),
        }
    }

    /// Returns how the collector is, in a few words.
    fn condition(&self) -> (Mark, String) {
        let trouble = self.shown.outputs.iter().find_map(|output| {
            output.health.trouble().map(|trouble| format!("output {}: {trouble}", output.name))
        });
        let unmet = self.shown.health.unmet();
        match (*self.shown.state.borrow(), trouble, unmet) {
            (State::Draining, Some(trouble), _) => (Mark::Bad, trouble),
            (_, Some(trouble), _) => (Mark::Warning, trouble),
            (State::Draining, None, _) => (Mark::Changing, "draining".to_owned()),
            (_, None, Some(unmet)) => (Mark::Changing, format!("not ready: {unmet}")),
            (State::Slow, None, None) => (Mark::Warning, "slow".to_owned()),
            (State::Ok, None, None) => (Mark::Good, "up".to_owned()),
        }
    }
}

/// Why somebody else is not told about flows.
const ONLY_HERE: &str = "flows are personal data and told on this host only: ask from there, by address or as localhost, or through `ssh -L 9381:127.0.0.1:9381 HOST`";

fn number(request: &ApiRequest, key: &str, default: u64) -> Result<u64, String> {
    let Some(text) = request.parameter(key) else { return Ok(default) };
    text.parse().map_err(|_| format!("`{key}` is a number"))
}

fn question(request: &ApiRequest) -> Result<Question, String> {
    let filter = percent_decode(request.parameter("filter").unwrap_or_default());
    let filter = filter.and_then(|filter| String::from_utf8(filter).ok());
    let from = request.parameter("from").is_some().then(|| number(request, "from", 0)).transpose()?;
    Ok(Question {
        filter: filter.ok_or("`filter` is percent-encoded text")?,
        from,
        wait: Duration::from_secs(number(request, "wait", 0)?),
    })
}
