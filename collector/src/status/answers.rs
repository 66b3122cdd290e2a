//! The answers in JSON.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use delivery::class_record::Reliability;
use ipfix::Template;
use ipfix::view::ElementName;
use serde_json::{Map, Value, json};
use service::time_text;

use super::rates::{Rate, Rates};
use super::register::{Class, Entry, Register};
use super::{ShownOutput, Status};
use crate::metrics::DropReason;
use crate::tap::{MINUTES, Service, Sum, Top};

/// Sessions of one answer, and templates.
const MOST: usize = 1_000;

/// How the collector is.
pub(super) fn status(status: &Status) -> Value {
    let Status { shown, rates, .. } = status;
    let (mark, words) = status.condition();
    json!({
        "time": time_text(SystemTime::now()),
        "state": words,
        "is-good": mark == service::page::Mark::Good,
        "sessions": shown.sessions.sessions().len(),
        "received": { "records": shown.metrics.data.total(), "options": shown.metrics.options.total() },
        "lost": rates.lost,
        "per-second": per_second(rates.total()),
        "outputs": shown.outputs.iter().map(output).collect::<Vec<_>>(),
    })
}

fn per_second(rate: Rate) -> Value {
    json!({ "messages": round(rate.messages), "octets": round(rate.octets), "records": round(rate.records) })
}

/// One digit behind the point.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn output(output: &ShownOutput) -> Value {
    let ShownOutput { name, path, metrics, health } = output;
    json!({
        "name": name,
        "path": path,
        "trouble": health.trouble(),
        "received": metrics.received(),
        "written": metrics.written.total(),
        "duplicates": metrics.duplicates.total(),
        "dropped": DropReason::ALL.iter().map(|reason| metrics.dropped(*reason)).sum::<u64>(),
        "in-flight": metrics.in_flight(),
    })
}

/// The sessions behind this number.
pub(super) fn sessions(register: &Register, rates: &Rates, after: u64) -> Value {
    let sessions = register.sessions();
    let listed = sessions.iter().filter(|entry| entry.id > after).take(MOST);
    let listed: Vec<Value> = listed.map(|entry| session(entry, rates.of(entry.id))).collect();
    json!({ "total": sessions.len(), "sessions": listed })
}

fn session(entry: &Entry, rate: Rate) -> Value {
    let told = entry.told();
    let class = |(class, name): (&Class, Reliability)| {
        let Class { received, lost, abandoned } = class;
        let counts = json!({ "received": received.get(), "lost": lost.get(), "abandoned": abandoned.get() });
        (received.get() + lost.get() > 0).then(|| (name.name().to_owned(), counts))
    };
    json!({
        "session": entry.id,
        "peer": entry.peer.to_string(),
        "exporter": entry.peer.ip().map(|ip| ip.to_string()),
        "state": state(entry, rate),
        "acknowledged": entry.is_acknowledged.load(Ordering::Relaxed),
        "since": time_text(entry.since),
        "last-message": last_message(entry).map(time_text),
        "ledger": told.series.map(|series| series.ledger.to_string()),
        "epoch": told.series.map(|series| series.epoch.0),
        "domains": told.domains,
        "messages": entry.messages.get(),
        "octets": entry.octets.get(),
        "records": entry.records.get(),
        "options": entry.options.get(),
        "per-second": per_second(rate),
        "lost": entry.lost.get(),
        "late": entry.late.get(),
        "malformed": entry.malformed.get(),
        "sets-without-template": entry.no_template.get(),
        "templates": told.templates.len(),
        "templates-refused": entry.refused.get(),
        "classes": entry.classes.iter().zip(Reliability::ALL).filter_map(class).collect::<Map<_, _>>(),
    })
}

/// How a session is: `up`, `waiting` for an output, or `leaving` because it was asked to.
pub(super) fn state(entry: &Entry, rate: Rate) -> &'static str {
    if entry.is_leaving.load(Ordering::Relaxed) {
        "leaving"
    } else if rate.is_waiting {
        "waiting"
    } else {
        "up"
    }
}

fn last_message(entry: &Entry) -> Option<SystemTime> {
    let last = entry.last.load(Ordering::Relaxed);
    (last > 0).then(|| UNIX_EPOCH + Duration::from_millis(last))
}

/// The templates of these sessions.
pub(super) fn templates(sessions: &[Arc<Entry>]) -> Value {
    let (mut listed, mut total) = (Vec::new(), 0);
    for entry in sessions {
        let templates = entry.told().templates;
        total += templates.len();
        let room = MOST - listed.len();
        listed.extend(
            templates.iter().take(room).map(|(domain, template)| self::template(entry, *domain, template)),
        );
    }
    json!({ "total": total, "templates": listed })
}

fn template(entry: &Entry, domain: u32, template: &Template) -> Value {
    let fields = template.fields().iter().enumerate().map(|(at, field)| {
        let specifier = field.specifier();
        json!({
            "element": element(template, at),
            "pen": specifier.pen,
            "id": specifier.id,
            "octets": (!specifier.is_variable()).then_some(specifier.length),
            "scope": at < usize::from(template.scope_fields()),
        })
    });
    json!({
        "session": entry.id,
        "exporter": entry.peer.ip().map(|ip| ip.to_string()),
        "domain": domain,
        "template": template.id(),
        "options": template.is_options(),
        "fields": fields.collect::<Vec<_>>(),
    })
}

/// Returns the name of a template's element: the registry's, or the exporter's own.
pub(super) fn element(template: &Template, at: usize) -> String {
    let told = template.description(at).map(|told| told.name.to_string());
    told.unwrap_or_else(|| ElementName(template.fields()[at].specifier()).to_string())
}

/// Who talked most.
pub(super) fn talkers(top: &Top) -> Value {
    let Top { sources, destinations, services, total } = top;
    let address = |(address, sum): &(std::net::IpAddr, Sum)| counted("address", address.to_string(), sum);
    json!({
        "minutes": MINUTES,
        "total": counted("of", "all".to_owned(), total),
        "sources": sources.iter().map(address).collect::<Vec<_>>(),
        "destinations": destinations.iter().map(address).collect::<Vec<_>>(),
        "services": services.iter().map(|(at, sum)| counted("service", service(*at), sum)).collect::<Vec<_>>(),
    })
}

fn counted(key: &str, name: String, sum: &Sum) -> Value {
    let Sum { octets, packets, flows, error } = sum;
    json!({ key: name, "octets": octets, "packets": packets, "records": flows, "octets-at-most-others": error })
}

/// Returns `tcp/443`; other protocols by their numbers.
pub(super) fn service(service: Service) -> String {
    let Service { protocol, port } = service;
    match protocol {
        1 => "icmp".to_owned(),
        6 => format!("tcp/{port}"),
        17 => format!("udp/{port}"),
        58 => "ipv6-icmp".to_owned(),
        132 => format!("sctp/{port}"),
        other => format!("protocol {other}"),
    }
}
