//! The operator's view: what the registrar has, what changed, and what left, as JSON below `/api/v1/` and as the page at `/`.
//!
//! | path | answer |
//! |---|---|
//! | `pools` | every pool with its elements by state |
//! | `pools/POOL/elements?after=PE` | its elements by identifier, 1000 at once, and those that left within 5 minutes |
//! | `peers` | the registrars this one replicates with |
//! | `changes?after=N&wait=SECONDS` | what changed after change N; waits for it if there is nothing yet |
#![expect(clippy::disallowed_methods, reason = "driver: tells the wall clock")]

mod gone;
mod page;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rserpool_proto::registrar::{Event, Registrar, Removal};
use rserpool_proto::wire::param::pe_checksum::PeChecksum;
use rserpool_proto::wire::{Load, PoolElementParameter};
use rserpool_proto::{PeId, PoolHandle, RegistrarId};
use serde_json::{Value, json};
use service::{ApiRequest, time_text};

use self::gone::{Departed, Gone};
use crate::remotes::Remotes;
use crate::text::{element_json, pool_text, protocol, tcp_text};

/// Changes that are remembered.
const MAX_CHANGES: usize = 1_000;

/// What is remembered of elements in pools with longer handles, in octets, is in the changes only.
const MAX_HANDLE: usize = 256;

/// Elements in one answer.
const PAGE: usize = 1_000;

/// Requests that wait for a change at once, and for how long.
const MAX_WAITING: usize = 32;
const MAX_WAIT: Duration = Duration::from_secs(20);

/// What happened lately, and who waits for more.
#[derive(Debug, Default)]
pub(crate) struct View {
    changes: VecDeque<Change>,
    /// The number of the latest change; the first one has 1.
    last: u64,
    gone: Departed,
    waiting: Vec<Waiting>,
}

/// Becomes JSON only when somebody asks.
#[derive(Debug)]
struct Change {
    number: u64,
    time: SystemTime,
    what: What,
}

#[derive(Debug)]
enum What {
    Element { pool: Pool, pe: PeId, event: &'static str, reason: Option<&'static str>, by: Option<By> },
    Registrar { registrar: RegistrarId, event: &'static str },
}

/// A pool, without the 64 KiB that its handle may have.
#[derive(Debug)]
enum Pool {
    Handle(PoolHandle),
    Text(String),
}

impl Pool {
    fn of(handle: &PoolHandle) -> Pool {
        match handle.as_octets().len() <= MAX_HANDLE {
            true => Pool::Handle(handle.clone()),
            false => Pool::Text(pool_text(handle).into_owned()),
        }
    }

    fn text(&self) -> String {
        match self {
            Pool::Handle(handle) => pool_text(handle).into_owned(),
            Pool::Text(text) => text.clone(),
        }
    }
}

/// Who had it done.
#[derive(Debug)]
enum By {
    Connection(Arc<str>),
    Registrar(RegistrarId),
}

impl By {
    fn text(&self) -> String {
        match self {
            By::Connection(name) => name.to_string(),
            By::Registrar(id) => id.to_string(),
        }
    }
}

#[derive(Debug)]
struct Waiting {
    request: ApiRequest,
    after: u64,
    until: Instant,
}

impl View {
    /// Remembers what happened.
    pub(crate) fn record(&mut self, now: Instant, event: &Event, remotes: &Remotes) {
        let by = |connection| By::Connection(remotes.shared_name(connection));
        let (pool, pe, event, reason, by) = match event {
            Event::ElementRegistered { pool, pe, by: who } => {
                self.gone.returned(pool, *pe);
                (pool, *pe, "registered", None, Some(by(*who)))
            }
            Event::ElementReassociated { pool, pe, reason, by: who } => {
                (pool, *pe, "registered again", Some(reason.label()), Some(by(*who)))
            }
            Event::ElementRemoved { pool, pe, reason, by: who, element } => {
                self.bury(now, pool, *reason, element);
                (pool, *pe, "removed", Some(reason.label()), who.map(by))
            }
            Event::ElementDraining { pool, pe } => (pool, *pe, "draining", None, None),
            Event::ElementUndrained { pool, pe } => (pool, *pe, "undrained", None, None),
            Event::ElementSuspect { pool, pe } => (pool, *pe, "suspect", None, None),
            Event::ElementRecovered { pool, pe } => (pool, *pe, "recovered", None, None),
            Event::ElementReplicated { pool, pe, home } => {
                self.gone.returned(pool, *pe);
                (pool, *pe, "replicated", None, Some(By::Registrar(*home)))
            }
            Event::HomeChanged { pool, pe, to, .. } => {
                (pool, *pe, "home changed", None, Some(By::Registrar(*to)))
            }
            Event::TakeoverStarted { target, .. } => return self.push_registrar(*target, "takeover started"),
            Event::TakeoverAbandoned { target, .. } => {
                return self.push_registrar(*target, "takeover abandoned");
            }
            Event::TakenOver { target, .. } => return self.push_registrar(*target, "taken over"),
            Event::TakeoverLost { target, .. } => {
                return self.push_registrar(*target, "taken over by another registrar");
            }
            Event::PeerJoined { peer } => return self.push_registrar(*peer, "registrar joined"),
            Event::PeerLost { peer, .. } => return self.push_registrar(*peer, "registrar lost"),
            // A load report is no change to read about.
            Event::ElementUpdated { .. }
            | Event::RegistrationRejected { .. }
            | Event::Malformed { .. }
            | Event::ElementAdopted { .. }
            | Event::Ready { .. }
            | Event::PeerSuspect { .. }
            | Event::PeerRecovered { .. }
            | Event::PeerRefused { .. }
            | Event::IdConflict { .. }
            | Event::NotAccepted { .. }
            | Event::ClaimContradicted { .. }
            | Event::PeerError { .. }
            | Event::TableDownloaded { .. }
            | Event::TableIncomplete { .. }
            | Event::ChecksumMismatch { .. }
            | Event::Left { .. }
            | Event::Stalled { .. } => return,
        };
        self.push(What::Element { pool: Pool::of(pool), pe, event, reason, by });
    }

    fn push_registrar(&mut self, registrar: RegistrarId, event: &'static str) {
        self.push(What::Registrar { registrar, event });
    }

    fn push(&mut self, what: What) {
        self.last += 1;
        if self.changes.len() >= MAX_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { number: self.last, time: SystemTime::now(), what });
    }

    fn bury(&mut self, now: Instant, pool: &PoolHandle, reason: Removal, element: &PoolElementParameter) {
        if pool.as_octets().len() > MAX_HANDLE {
            return;
        }
        let (pool, pe) = (pool.clone(), element.pe);
        self.gone.push(Gone { pool, pe, reason, at: now, element: element_json(element) });
    }

    /// Answers a request, now or when something changes.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        request: ApiRequest,
        machine: &Registrar,
        remotes: &Remotes,
    ) {
        if request.is_page() {
            return request.show(&self.page(now, machine));
        }
        match request.segments()[..] {
            [b"v1", b"pools"] => request.answer(pools(machine).to_string()),
            [b"v1", b"pools", pool, b"elements"] => match PoolHandle::new(pool) {
                Ok(pool) => self.elements(now, request, &pool, machine, remotes),
                Err(error) => request.bad_request(&error.to_string()),
            },
            [b"v1", b"peers"] => request.answer(peers(now, machine).to_string()),
            [b"v1", b"changes"] => self.changes(now, request),
            _ => {
                request.not_found("no such path; /api/v1/ has pools, pools/POOL/elements, peers and changes");
            }
        }
    }

    fn elements(
        &mut self,
        now: Instant,
        request: ApiRequest,
        pool: &PoolHandle,
        machine: &Registrar,
        remotes: &Remotes,
    ) {
        let after = match request.parameter("after").map(|pe| u32::from_str_radix(pe, 16)) {
            None => None,
            Some(Ok(pe)) => Some(PeId(pe)),
            Some(Err(_)) => return request.bad_request("after is no identifier of a pool element"),
        };
        match self.listed(now, pool, after, machine, remotes) {
            Some(list) => request.answer(list.to_string()),
            None => request.not_found(&format!("pool {pool}: is unknown")),
        }
    }

    /// A page of a pool's elements, and those that left lately; `None` where there is neither.
    fn listed(
        &mut self,
        now: Instant,
        pool: &PoolHandle,
        after: Option<PeId>,
        machine: &Registrar,
        remotes: &Remotes,
    ) -> Option<Value> {
        self.gone.forget_old(now);
        let found = machine.elements(pool, after, PAGE);
        let gone: Vec<Value> =
            self.gone.iter().filter(|gone| gone.pool == *pool).map(|gone| gone.json(now)).collect();
        if found.is_empty() && gone.is_empty() && after.is_none() {
            return None;
        }
        let next = (found.len() == PAGE).then(|| found.last().map(|last| last.element.pe.to_string()));
        let elements: Vec<Value> = found
            .iter()
            .map(|status| {
                let mut element = element_json(&status.element);
                element["state"] = status.state.label().into();
                element["peer"] = status.connection.map(|connection| remotes.name(connection)).into();
                element["load"] = status.element.policy.load().map(Load::share).into();
                element["seconds-since-keep-alive"] =
                    status.answered.map(|at| now.saturating_duration_since(at).as_secs()).into();
                element
            })
            .collect();
        Some(json!({ "pool": pool.to_string(), "elements": elements, "gone": gone, "next": next.flatten() }))
    }

    /// `after` beyond the latest change, as after a restart of the registrar, means that one.
    fn changes(&mut self, now: Instant, request: ApiRequest) {
        let number = |key| request.parameter(key).map(str::parse::<u64>).transpose();
        let (Ok(after), Ok(wait)) = (number("after"), number("wait")) else {
            return request.bad_request("after and wait are numbers");
        };
        let after = after.unwrap_or(0).min(self.last);
        let wait = Duration::from_secs(wait.unwrap_or(0)).min(MAX_WAIT);
        if after < self.last || wait.is_zero() || self.waiting.len() >= MAX_WAITING {
            return request.answer(self.changes_after(after));
        }
        self.waiting.push(Waiting { request, after, until: now + wait });
    }

    fn changes_after(&self, after: u64) -> String {
        let count = usize::try_from(self.last - after).unwrap_or(usize::MAX);
        let changes: Vec<Value> = self.changes.iter().rev().take(count).rev().map(Change::json).collect();
        let missed = count.saturating_sub(changes.len());
        json!({ "changes": changes, "last": self.last, "missed": missed }).to_string()
    }

    /// Answers whoever waited for what has changed, or for too long.
    pub(crate) fn answer_waiting(&mut self, now: Instant) {
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.after < self.last || waiting.until <= now {
                waiting.request.answer(self.changes_after(waiting.after));
            } else if !waiting.request.is_abandoned() {
                self.waiting.push(waiting);
            }
        }
    }
}

impl Change {
    fn json(&self) -> Value {
        let mut json = match &self.what {
            What::Element { pool, pe, event, reason, by } => json!({
                "pool": pool.text(), "pe": pe.to_string(), "event": event, "reason": reason,
                "by": by.as_ref().map(By::text),
            }),
            What::Registrar { registrar, event } => {
                json!({ "registrar": registrar.to_string(), "event": event })
            }
        };
        json["number"] = self.number.into();
        json["time"] = time_text(self.time).into();
        json
    }
}

impl Gone {
    fn json(&self, now: Instant) -> Value {
        let mut element = self.element.clone();
        element["state"] = "gone".into();
        element["reason"] = self.reason.label().into();
        element["seconds-ago"] = now.saturating_duration_since(self.at).as_secs().into();
        element
    }
}

fn pools(machine: &Registrar) -> Value {
    let pools: Vec<Value> = machine
        .pools()
        .map(|pool| {
            json!({
                "pool": pool.pool.to_string(),
                "policy": pool.policy.to_string(),
                "transport": pool.transport.map(protocol),
                "up": pool.up,
                "suspect": pool.suspect,
                "draining": pool.draining,
            })
        })
        .collect();
    json!({ "registrar": machine.id().to_string(), "pools": pools })
}

fn peers(now: Instant, machine: &Registrar) -> Value {
    let checksum = |checksum: PeChecksum| format!("{:04x}", checksum.0);
    let peers: Vec<Value> = machine
        .peers()
        .map(|peer| {
            json!({
                "id": peer.id.to_string(),
                "long-id": peer.long_id.map(|id| id.to_string()),
                "addresses": peer.addresses,
                "port": peer.port,
                "tcp": peer.tcp.iter().map(tcp_text).collect::<Vec<_>>(),
                "state": peer.state.label(),
                "connected": peer.connected,
                "transport": peer.protocol.map(|protocol| protocol.to_string()),
                "seconds-since-heard":
                    peer.last_heard.map(|at| now.saturating_duration_since(at).as_secs()),
                "checksum-told": peer.checksum_told.map(checksum),
                "checksum-held": checksum(peer.checksum_held),
                "elements": peer.elements,
                "is-mentor": peer.is_mentor,
                "is-reference": peer.is_reference,
            })
        })
        .collect();
    json!({
        "registrar": machine.id().to_string(),
        "long-id": machine.long_id().map(|id| id.to_string()),
        "synchronized": machine.is_ready(),
        "peers": peers,
    })
}

#[cfg(test)]
mod tests {
    use rserpool_proto::registrar::RegistrarConfig;
    use rserpool_proto::wire::{Policy, RegistrationLife, SctpTransport, Transport, TransportUse};

    use super::*;

    fn removed(pool: &PoolHandle, pe: u32) -> Event {
        let transport = SctpTransport {
            port: 4739,
            transport_use: TransportUse::DATA_ONLY,
            addresses: vec![[192, 0, 2, 1].into()],
            unknown: vec![],
        };
        let element = PoolElementParameter {
            pe: PeId(pe),
            home: RegistrarId(1),
            life: RegistrationLife(30),
            user_transport: Transport::Sctp(transport),
            policy: Policy::RoundRobin,
            asap_transport: None,
            encapsulation: None,
            unknown: vec![],
        };
        let (pool, reason) = (pool.clone(), Removal::Unreachable);
        Event::ElementRemoved { pool, pe: PeId(pe), reason, by: None, element: Box::new(element) }
    }

    #[test]
    fn what_left_stays_listed_for_five_minutes_and_then_not() {
        let (pool, remotes) = (PoolHandle::new("ipfix").unwrap(), Remotes::new(1));
        let machine = Registrar::new(RegistrarConfig::default(), 1);
        let (mut view, start) = (View::default(), Instant::now());
        let gone_after = |view: &mut View, seconds| -> Option<Vec<(String, u64)>> {
            let list = view.listed(start + Duration::from_secs(seconds), &pool, None, &machine, &remotes)?;
            let gone = list["gone"].as_array().unwrap().iter();
            let ago = |gone: &Value| gone["seconds-ago"].as_u64().unwrap();
            Some(gone.map(|gone| (gone["pe"].as_str().unwrap().to_owned(), ago(gone))).collect())
        };
        assert_eq!(gone_after(&mut view, 0), None);
        view.record(start, &removed(&pool, 0xa1), &remotes);
        view.record(start + Duration::from_secs(100), &removed(&pool, 0xa2), &remotes);
        let [first, second] = ["000000a1", "000000a2"].map(ToOwned::to_owned);
        assert_eq!(gone_after(&mut view, 299).unwrap(), [(first, 299), (second.clone(), 199)]);
        assert_eq!(gone_after(&mut view, 300).unwrap(), [(second, 200)]);
        assert_eq!(gone_after(&mut view, 400), None, "nothing is known of the pool any more");
    }

    #[test]
    fn a_page_with_more_than_it_can_hold_stays_small_and_nothing_in_it_is_markup() {
        let (remotes, start) = (Remotes::new(1), Instant::now());
        let machine = Registrar::new(RegistrarConfig::default(), 1);
        let mut view = View::default();
        for number in 0..3_000 {
            let handle = format!("<script>alert({})</script>{}", number % 20, "\u{1f4a3}\"'".repeat(40));
            view.record(start, &removed(&PoolHandle::new(handle).unwrap(), number), &remotes);
        }
        let page = view.page(start, &machine).html();
        assert!(page.len() < 60_000, "{} octets", page.len());
        assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert"), "{page}");
        assert!(page.contains("Shown are ") && page.contains(" of 1,000."), "{page}");
    }
}
