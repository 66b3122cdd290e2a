//! What the driver knows, for whoever asks over HTTP.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use rserpool::{Load, Member, PoolUserState};
use serde_json::{Map, Value, json};
use service::ApiRequest;
use transport::PeerAddress;

use super::Driver;
use super::collector::{Collector, Links};
use crate::failover::{Abandonment, Books, DropReason, Sign};
use crate::status::{Failover, Peer, State, Totals, View};

impl Driver {
    pub(super) fn answer(&self, request: ApiRequest, pool: &PoolUserState) {
        self.status.answer(Instant::now(), request, &self.observer, || self.view(pool));
    }

    /// Takes the totals of a second.
    pub(super) fn sample(&mut self, books: &Books) {
        let now = Instant::now();
        if self.status.rates.is_due(now) {
            let Books { metered, covered, delivered, exported, .. } = *books;
            let packets = self.observer.packets();
            let totals = Totals { packets, metered, sent: exported, settled: covered + delivered };
            self.status.rates.take(now, totals);
        }
    }

    /// Remembers that a collector was left.
    pub(super) fn remember_failover(&mut self, collector: &Collector, sign: Sign, unacknowledged: u64) {
        self.status.history.left(Failover {
            time: SystemTime::now(),
            from: peer(collector),
            reason: sign.label(),
            text: sign.to_string(),
            detail: collector.detail.clone(),
            unacknowledged,
        });
    }

    fn view(&self, pool: &PoolUserState) -> View {
        let Links { active, standby, .. } = &self.links;
        let state = match self.why_searching(pool) {
            Some(why) => State::Searching(why.to_owned()),
            None if self.stopping || self.source_ended.is_some() => State::Ending,
            None => State::Exporting,
        };
        let classes = self.failover.classes().iter();
        let classes = classes.map(|(index, class)| {
            let kind = class.kind.name();
            class_json(&class.name, kind, &self.failover.class_books(index))
        });
        let mut collector = active.as_ref().map_or(Value::Null, |active| collector_json(active));
        if let Some(active) = active {
            let paths = self.paths.list(&active.association);
            let paths = paths.map(|(address, up)| json!({ "address": address, "up": up }));
            collector["paths"] = paths.collect();
        }
        View {
            state,
            collector,
            standby: standby.as_ref().map_or(Value::Null, |standby| collector_json(standby)),
            pool: self.pool_json(pool),
            classes: classes.collect(),
            spool: self.spool_json(),
        }
    }

    fn pool_json(&self, pool: &PoolUserState) -> Value {
        let Links { active, standby, .. } = &self.links;
        let role = |member: &Member| {
            let is = |link: Option<&Collector>| link.is_some_and(|link| link.element.pe == member.pe);
            if is(active.as_deref()) { Some("active") } else { is(standby.as_deref()).then_some("standby") }
        };
        let elements = pool.members.iter().map(|member| {
            json!({
                "pe": member.pe.to_string(),
                "policy": member.policy.to_string(),
                "load": member.policy.load().map(Load::share),
                "usable": member.usable,
                "role": role(member),
            })
        });
        json!({
            "handle": self.handle,
            "registrar": pool.registrar.as_ref().map(ToString::to_string),
            "unknown": pool.pool_unknown,
            "elements": elements.collect::<Vec<_>>(),
        })
    }

    fn spool_json(&self) -> Value {
        if self.spool.is_none() {
            return Value::Null;
        }
        let counts = self.failover.spool_counts();
        json!({
            "spooled": counts.spooled,
            "records": counts.waiting,
            "octets": counts.octets,
            "failing": self.failover.spool_failing(),
        })
    }
}

/// A collector as failovers name it.
pub(super) fn peer(collector: &Collector) -> Peer {
    let address = match collector.association.peer() {
        // Whether it travels in UDP is of no interest here.
        PeerAddress::Sctp { ip, port, .. } => format!("sctp {}", SocketAddr::new(ip, port)),
        peer => peer.to_string(),
    };
    Peer { pe: Some(collector.element.pe.to_string()), address }
}

fn collector_json(collector: &Collector) -> Value {
    let mut json = peer(collector).json();
    json["seconds"] = collector.seconds().into();
    json
}

fn class_json(name: &str, kind: &str, books: &Books) -> Value {
    let reasons = |labels: &[&str], counts: &[u64]| -> Map<String, Value> {
        labels.iter().zip(counts).map(|(label, count)| ((*label).to_owned(), json!(count))).collect()
    };
    let abandoned = reasons(&Abandonment::ALL.map(Abandonment::label), &books.abandoned);
    let dropped = reasons(&DropReason::ALL.map(DropReason::label), &books.dropped);
    json!({
        "class": name,
        "kind": kind,
        "metered": books.metered,
        "recovered": books.recovered,
        "covered": books.covered,
        "delivered": books.delivered,
        "abandoned": abandoned,
        "dropped": dropped,
        "waiting": books.waiting,
        "waiting-octets": books.waiting_octets,
        "exported": books.exported,
        "resent": books.resent,
    })
}
