//! The status page.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use delivery::class_record::Reliability;
use serde_json::Value;
use service::page::{Cell, Column, Mark, Page, Section, Table, text};
use service::time_text;

use super::answers::{element, service, state};
use super::register::Entry;
use super::{ONLY_HERE, Status};
use crate::metrics::DropReason;
use crate::tap::{MINUTES, SAMPLES, Sum, Top};

/// Rows that are made for a table; what of them fits is shown.
const ROWS: usize = 100;
/// Talkers of a kind, and records.
const TALKERS: usize = 10;
const RECORDS: usize = 10;

/// Returns the page. `is_local`: whoever asks may see flows.
pub(super) fn page(status: &mut Status, is_local: bool) -> Page {
    let name = status.shown.http.map_or_else(String::new, |http| http.to_string());
    let mut page = Page::new("IPFIX collector", &name, &time_text(SystemTime::now()));
    let (mark, words) = status.condition();
    page.state(mark, &words);
    let mut sessions = status.shown.sessions.sessions();
    overview(page.section("overview", "Overview"), status, sessions.len());
    sessions.sort_by(|one, other| {
        let rate = |entry: &Entry| status.rates.of(entry.id).records;
        rate(other).total_cmp(&rate(one)).then(one.id.cmp(&other.id))
    });
    page.section("sessions", "Sessions").table(sessions_table(status, &sessions));
    page.section("outputs", "Outputs").table(outputs_table(status));
    page.section("templates", "Templates").table(templates_table(&sessions));
    if is_local {
        talkers(page.section("talkers", "Talkers"), &status.talkers.top(TALKERS));
        records(page.section("records", "Last records"), status);
    } else {
        page.section("flows", "Talkers and records").note(ONLY_HERE);
    }
    page
}

fn overview(section: &mut Section, status: &Status, sessions: usize) {
    let Status { shown, rates, .. } = status;
    let in_flight: u64 = shown.outputs.iter().map(|output| output.metrics.in_flight()).sum();
    section.facts([
        ("Sessions", sessions.into()),
        ("Flow records", shown.metrics.data.total().into()),
        ("Found missing", rates.lost.into()),
        ("Malformed messages", shown.metrics.malformed.total().into()),
        ("Sets without template", shown.metrics.no_template.total().into()),
        ("On their way to outputs", in_flight.into()),
    ]);
    section.charts([
        ("Flow records a second", &rates.records),
        ("Octets a second", &rates.octets),
        ("Found missing a second", &rates.losses),
    ]);
}

fn sessions_table(status: &Status, sessions: &[Arc<Entry>]) -> Table {
    let columns = [
        Column::text("Exporter"),
        Column::text("State"),
        Column::number("Connected for"),
        Column::number("Records"),
        Column::number("Records/s"),
        Column::number("Octets/s"),
        Column::number("Missing"),
        Column::text("Lost by class"),
        Column::number("Malformed"),
        Column::number("Templates"),
        Column::text("Domains"),
    ];
    let mut table = Table::new("Exporters, those that send most first", columns)
        .when_empty("No exporter is connected.")
        .all_at("/api/v1/sessions")
        .of_total(sessions.len() as u64);
    let now = SystemTime::now();
    for entry in sessions.iter().take(ROWS) {
        let (rate, told) = (status.rates.of(entry.id), entry.told());
        let mark = match state(entry, rate) {
            "leaving" => Cell::mark(Mark::Changing, "leaving"),
            "waiting" => Cell::mark(Mark::Warning, "waits for an output"),
            up => Cell::mark(Mark::Good, up),
        };
        let domains: Vec<String> = told.domains.iter().map(ToString::to_string).collect();
        table.row([
            entry.peer.to_string().into(),
            mark,
            text::duration(now.duration_since(entry.since).unwrap_or_default()).into(),
            entry.records.get().into(),
            text::rate(rate.records).into(),
            text::rate(rate.octets).into(),
            entry.lost.get().saturating_sub(entry.late.get()).into(),
            lost_by_class(entry),
            entry.malformed.get().into(),
            Cell::link(&format!("/api/v1/templates?session={}", entry.id), &told.templates.len().to_string()),
            domains.join(", ").into(),
        ]);
    }
    table
}

fn lost_by_class(entry: &Entry) -> Cell {
    let lost = entry.classes.iter().zip(Reliability::ALL).filter(|(class, _)| class.lost.get() > 0);
    let lost: Vec<String> =
        lost.map(|(class, name)| format!("{}: {}", name.name(), class.lost.get())).collect();
    if lost.is_empty() { Cell::none() } else { lost.join(", ").into() }
}

fn outputs_table(status: &Status) -> Table {
    let columns = [
        Column::text("Output"),
        Column::text("State"),
        Column::text("Where"),
        Column::number("Written"),
        Column::number("Duplicates"),
        Column::number("Dropped"),
        Column::number("On their way"),
    ];
    let mut table = Table::new("Flow records by output", columns).all_at("/api/v1/status");
    for output in &status.shown.outputs {
        let metrics = &output.metrics;
        let dropped: u64 = DropReason::ALL.iter().map(|reason| metrics.dropped(*reason)).sum();
        let state = match output.health.trouble() {
            Some(trouble) => Cell::mark(Mark::Bad, &trouble),
            None => Cell::mark(Mark::Good, "writes"),
        };
        table.row([
            output.name.as_str().into(),
            state,
            output.path.as_str().into(),
            metrics.written.total().into(),
            metrics.duplicates.total().into(),
            dropped.into(),
            metrics.in_flight().into(),
        ]);
    }
    table
}

fn templates_table(sessions: &[Arc<Entry>]) -> Table {
    let columns = [
        Column::text("Exporter"),
        Column::number("Domain"),
        Column::number("Template"),
        Column::number("Fields"),
        Column::text("Elements"),
    ];
    let mut table = Table::new("Templates by session", columns)
        .when_empty("No template has come.")
        .all_at("/api/v1/templates");
    let (mut total, mut rows) = (0, 0);
    for entry in sessions {
        if rows >= ROWS {
            total += entry.templates();
            continue;
        }
        let templates = entry.told().templates;
        total += templates.len();
        for (domain, template) in templates.iter().take(ROWS - rows) {
            rows += 1;
            let elements: Vec<String> =
                (0..template.fields().len().min(ROWS)).map(|at| element(template, at)).collect();
            table.row([
                entry.peer.to_string().into(),
                Cell::from(u64::from(*domain)),
                Cell::from(u64::from(template.id())),
                template.fields().len().into(),
                elements.join(" ").into(),
            ]);
        }
    }
    table.of_total(total as u64)
}

fn talkers(section: &mut Section, top: &Top) {
    section.note(&format!(
        "Estimated from samples of up to {SAMPLES} messages a second, octets as exporters tell them, of the last {MINUTES} minutes."
    ));
    let addresses = |caption: &str, name, of: &[(std::net::IpAddr, Sum)]| {
        let rows = of.iter().map(|(address, sum)| (address.to_string(), sum));
        sums(caption, name, rows, top.total.octets)
    };
    section.table(addresses("Sources by octets", "Source", &top.sources));
    section.table(addresses("Destinations by octets", "Destination", &top.destinations));
    let services = top.services.iter().map(|(at, sum)| (service(*at), sum));
    section.table(sums("Services by octets", "Service", services, top.total.octets));
}

fn sums<'a>(
    caption: &str,
    name: &'static str,
    rows: impl Iterator<Item = (String, &'a Sum)>,
    total: u64,
) -> Table {
    let columns = [
        Column::text(name),
        Column::text("Share"),
        Column::number("Octets"),
        Column::number("Packets"),
        Column::number("Records"),
    ];
    let mut table = Table::new(caption, columns).when_empty("Nobody yet.").all_at("/api/v1/talkers");
    for (name, sum) in rows {
        #[expect(clippy::cast_precision_loss, reason = "a share in per cent")]
        let share = sum.octets as f64 / total.max(1) as f64;
        table.row([
            name.into(),
            Cell::meter(share, &format!("{:.0} %", share.min(1.0) * 100.0)),
            text::octets(sum.octets).into(),
            sum.packets.into(),
            sum.flows.into(),
        ]);
    }
    table
}

fn records(section: &mut Section, status: &mut Status) {
    let columns = [Column::text("Exporter"), Column::text("Record")];
    let mut table = Table::new("The latest flow records, the newest first", columns)
        .when_empty("None since somebody looks; records are gathered while this page is open.")
        .all_at("/api/v1/records");
    for line in status.watches.latest(Instant::now(), RECORDS) {
        let exporter = serde_json::from_str::<Value>(line).ok();
        let exporter =
            exporter.as_ref().and_then(|record| record.get("exporter")?.as_str().map(ToOwned::to_owned));
        table.row([exporter.into(), Cell::code(line)]);
    }
    section.table(table);
}
