//! The exporter's page, made of what `/api/v1/status` says.

use std::time::Duration;

use serde_json::Value;
use service::page::{Cell, Column, History, Mark, Page, Table, text};

use super::NAMES;
use super::value::{list, name, number, peer, sum, why_left, words};

/// Returns the page of a status; `time` is when that was so.
pub(super) fn page(status: &Value, rates: &[History; NAMES.len()], time: &str) -> Page {
    let mut page = Page::new("IPFIX exporter", &name(&status["exporter"]), time);
    let (mark, state) = state(status);
    page.state(mark, state);
    overview(&mut page, status, rates);
    if !status["pool"].is_null() {
        pool(&mut page, &status["pool"]);
        failovers(&mut page, &status["failovers"]);
    }
    classes(&mut page, status);
    metering(&mut page, status);
    page
}

fn state(status: &Value) -> (Mark, &str) {
    match status["state"].as_str() {
        Some("exporting") if !status["spool"]["failing"].is_null() => {
            (Mark::Warning, "exporting, spool failing")
        }
        Some("exporting") if has_losses(status) => (Mark::Warning, "exporting, records were lost"),
        Some("exporting") => (Mark::Good, "exporting"),
        Some("ending") => (Mark::Changing, "waiting for acknowledgements"),
        _ => (Mark::Bad, words(&status["why"])),
    }
}

/// Whether class `reliable` has lost records.
fn has_losses(status: &Value) -> bool {
    let reliable = list(&status["classes"]).iter().filter(|class| class["kind"] == "reliable");
    reliable.map(|class| sum(&class["dropped"])).sum::<u64>() > 0
}

fn overview(page: &mut Page, status: &Value, rates: &[History; NAMES.len()]) {
    let exporter = &status["exporter"];
    let waiting: u64 = list(&status["classes"]).iter().map(|class| number(&class["waiting"])).sum();
    let [packets, metered, sent, settled] = rates;
    let [packets_name, metered_name, sent_name, settled_name] = NAMES.map(|(_, name)| name);
    let section = page.section("overview", "Overview");
    section.facts([
        ("Collector in use", collector(&status["collector"], Mark::Bad, "none")),
        ("It is at", status["collector"]["address"].as_str().into()),
        ("Standing by", collector(&status["standby"], Mark::Idle, "nobody")),
        ("Not acknowledged yet", waiting.into()),
        ("Failovers", status["failovers"]["count"].as_u64().into()),
        ("Running for", seconds(&exporter["uptime-seconds"]).map(text::duration).into()),
    ]);
    if status["pool"].is_null() {
        section.note("Over UDP nobody acknowledges anything: what is sent may be lost.");
        section.charts([(packets_name, packets), (metered_name, metered), (sent_name, sent)]);
        return;
    }
    section.charts([
        (packets_name, packets),
        (metered_name, metered),
        (sent_name, sent),
        (settled_name, settled),
    ]);
}

/// A collector by its identifier, which it has in a pool only.
fn collector(collector: &Value, without: Mark, nobody: &str) -> Cell {
    match collector["pe"].as_str() {
        Some(pe) => Cell::mark(Mark::Good, pe),
        None if collector.is_null() => Cell::mark(without, nobody),
        None => Cell::mark(Mark::Good, "the configured one"),
    }
}

fn pool(page: &mut Page, pool: &Value) {
    let registrar = match pool["registrar"].as_str() {
        Some(address) => Cell::from(address),
        None => Cell::mark(Mark::Bad, "none reached"),
    };
    let columns =
        [Column::text("Collector"), Column::text("State"), Column::text("Load"), Column::text("Policy")];
    let mut table = Table::new("Collectors as the registrar told last", columns)
        .when_empty("No collector is known.")
        .all_at("/api/v1/status");
    for element in list(&pool["elements"]) {
        let load = element["load"].as_f64();
        table.row([
            words(&element["pe"]).into(),
            element_state(element),
            load.map(|load| Cell::meter(load, &format!("{:.1} %", load * 100.0))).into(),
            words(&element["policy"]).split(" load ").next().into(),
        ]);
    }
    let section = page.section("pool", "The pool from here");
    section.facts([("Pool", words(&pool["handle"]).into()), ("Registrar", registrar)]);
    if pool["unknown"] == true {
        section.note("The registrar does not know the pool.");
    }
    section.table(table);
}

fn element_state(element: &Value) -> Cell {
    let usable = element["usable"] == true;
    match element["role"].as_str() {
        Some("active") => Cell::mark(Mark::Good, "in use"),
        Some(_) => Cell::mark(Mark::Good, "stands by"),
        None if usable => Cell::mark(Mark::Idle, "not used"),
        None => Cell::mark(Mark::Warning, "set aside for a while"),
    }
}

fn failovers(page: &mut Page, failovers: &Value) {
    let columns = [
        Column::text("Time"),
        Column::text("Collector left"),
        Column::text("Reason"),
        Column::text("Next collector"),
        Column::number("Until it had a record"),
        Column::number("Not acknowledged then"),
    ];
    let mut table = Table::new("Moves to another collector, the latest first", columns)
        .when_empty("No collector was left yet.")
        .of_total(number(&failovers["count"]));
    for failover in list(&failovers["recent"]) {
        let next = match &failover["to"] {
            Value::Null => Cell::mark(Mark::Bad, "none yet"),
            to => peer(to).into(),
        };
        let gap = failover["gap-seconds"].as_f64();
        table.row([
            words(&failover["time"]).into(),
            peer(&failover["from"]).into(),
            why_left(failover).into(),
            next,
            gap.map(|seconds| Cell::from(format!("{seconds:.3} s"))).into(),
            failover["unacknowledged"].as_u64().into(),
        ]);
    }
    page.section("failovers", "Failovers").table(table);
}

fn classes(page: &mut Page, status: &Value) {
    let columns = [
        Column::text("Class"),
        Column::text("Kind"),
        Column::number("Metered"),
        Column::number("From earlier starts"),
        Column::number("On collectors' disks"),
        Column::number("Delivered"),
        Column::number("Given up"),
        Column::number("Dropped"),
        Column::number("Waiting"),
        Column::number("Sent"),
        Column::number("Sent again"),
    ];
    let mut books = Table::new("What became of every flow record", columns);
    let columns =
        [Column::text("Class"), Column::text("What"), Column::text("Reason"), Column::number("Records")];
    let mut losses = Table::new("Losses by reason", columns).when_empty("No flow record was lost.");
    let mut octets = 0;
    for class in list(&status["classes"]) {
        let count = |key: &str| Cell::from(class[key].as_u64());
        let name = words(&class["class"]);
        octets += number(&class["waiting-octets"]);
        books.row([
            name.into(),
            words(&class["kind"]).into(),
            count("metered"),
            count("recovered"),
            count("covered"),
            count("delivered"),
            sum(&class["abandoned"]).into(),
            sum(&class["dropped"]).into(),
            count("waiting"),
            count("exported"),
            count("resent"),
        ]);
        for (what, key) in
            [("given up on their way", "abandoned"), ("dropped before they were sent", "dropped")]
        {
            let reasons = class[key].as_object().into_iter().flatten();
            for (reason, records) in reasons.filter_map(|(reason, records)| Some((reason, records.as_u64()?)))
            {
                if records > 0 {
                    losses.row([name.into(), what.into(), reason.as_str().into(), records.into()]);
                }
            }
        }
    }
    let section = page.section("classes", "Classes and losses");
    section.table(books).table(losses);
    kept(section, status, octets);
}

/// Where records wait.
fn kept(section: &mut service::page::Section, status: &Value, octets: u64) {
    if status["pool"].is_null() {
        return;
    }
    let memory = number(&status["memory"]);
    let words = format!("{} of {}", text::octets(octets), text::octets(memory));
    let retained = Cell::meter(ratio(octets, memory), &words);
    let spool = &status["spool"];
    if spool.is_null() {
        section.facts([("Kept in memory", retained), ("Spool", "none is configured".into())]);
        return;
    }
    let state = match spool["failing"].as_str() {
        Some(why) => Cell::mark(Mark::Bad, why),
        None => Cell::mark(Mark::Good, "writable"),
    };
    section.facts([
        ("Kept in memory", retained),
        ("Spool", state),
        ("Only in the spool", spool["records"].as_u64().into()),
        ("Octets of the spool", spool["octets"].as_u64().map(text::octets).into()),
        ("Spooled since the start", spool["spooled"].as_u64().into()),
    ]);
}

fn metering(page: &mut Page, status: &Value) {
    let flows = &status["flows"];
    if flows.is_null() {
        return;
    }
    let (active, limit) = (number(&flows["active"]), number(&flows["limit"]));
    let mut ended = Table::new("Flows that ended", [Column::text("Reason"), Column::number("Flows")]);
    for (reason, count) in flows["ended"].as_object().into_iter().flatten() {
        ended.row([reason.as_str().into(), count.as_u64().into()]);
    }
    let columns = [Column::text("Source"), Column::number("Packets")];
    let mut interfaces = Table::new("Packets captured", columns).when_empty("No packet was captured yet.");
    for interface in list(&status["interfaces"]) {
        interfaces.row([words(&interface["interface"]).into(), interface["packets"].as_u64().into()]);
    }
    let columns = [Column::text("Stage"), Column::text("Reason"), Column::number("Packets")];
    let mut dropped = Table::new("Packets not metered", columns).when_empty("Every packet was metered.");
    for entry in list(&status["packets-dropped"]) {
        dropped.row([
            words(&entry["stage"]).into(),
            words(&entry["reason"]).into(),
            entry["packets"].as_u64().into(),
        ]);
    }
    let shown = format!("{} of {}", text::count(active), text::count(limit));
    let section = page.section("flows", "Flow table");
    section.facts([("Active flows", Cell::meter(ratio(active, limit), &shown))]);
    section.table(ended).table(interfaces).table(dropped);
}

fn seconds(value: &Value) -> Option<Duration> {
    value.as_u64().map(Duration::from_secs)
}

#[expect(clippy::cast_precision_loss, reason = "a bar of some pixels")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::status::rates::Rates;

    const HOSTILE: &str = "\"><script>alert(1)</script>";

    /// The page of an exporter that is in `state`, after so many failovers.
    fn page_of(state: Value, failovers: usize) -> String {
        let failover = json!({
            "time": "2026-03-01T12:00:00.000Z", "from": { "pe": HOSTILE, "address": HOSTILE }, "reason": "comm_lost",
            "text": "association lost", "detail": HOSTILE.repeat(20), "unacknowledged": 7, "to": null,
            "gap-seconds": 0.25,
        });
        let mut status = json!({
            "exporter": { "source": HOSTILE, "domain": 1, "uptime-seconds": 5 },
            "collector": { "pe": "000000a1", "address": "sctp 192.0.2.1:4739" },
            "pool": { "handle": HOSTILE, "elements": [{ "pe": "000000a1", "policy": HOSTILE, "role": "active" }] },
            "failovers": { "count": failovers, "recent": vec![failover; failovers.min(50)] },
            "flows": { "active": 5, "limit": 10, "ended": { "idle_timeout": 3 } },
            "packets-dropped": [{ "stage": "parse", "reason": HOSTILE, "packets": 4 }],
            "classes": [{
                "class": "reliable", "kind": "reliable", "metered": 9, "covered": 5, "abandoned": {},
                "dropped": { "buffer_full": 0, "spool_full": 3 }, "waiting": 4, "waiting-octets": 512,
            }],
            "memory": 1024,
            "spool": { "records": 1, "octets": 2048, "spooled": 3, "failing": null },
        });
        for (key, value) in state.as_object().unwrap() {
            status[key] = value.clone();
        }
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
        let rates = Rates::new(std::time::Instant::now());
        page(&status, rates.series(), "2026-03-01T12:00:00.000Z").html()
    }

    #[test]
    fn a_page_stays_small_and_nothing_in_it_is_markup() {
        let page = page_of(json!({ "state": "exporting" }), 1_000);
        assert!(page.len() < 60_000, "{} octets", page.len());
        assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert"), "{page}");
        assert!(page.contains(" of 1,000."), "{page}");
    }

    #[test]
    fn the_heading_says_the_worst() {
        let heading = |state: Value| {
            let page = page_of(state, 0);
            let (_, rest) = page.split_once("<h1>").unwrap();
            let (heading, _) = rest.split_once("</h1>").unwrap();
            heading.rsplit_once("<span class=\"").unwrap().1.to_owned()
        };
        let kept = json!([{ "kind": "reliable", "dropped": { "buffer_full": 0 } }]);
        let exporting = json!({ "state": "exporting", "classes": kept });
        assert_eq!(heading(exporting), "mark good\">exporting</span>");
        assert_eq!(
            heading(json!({ "state": "exporting" })),
            "mark warning\">exporting, records were lost</span>"
        );
        let failing = json!({ "state": "exporting", "classes": kept, "spool": { "failing": "disk full" } });
        assert_eq!(heading(failing), "mark warning\">exporting, spool failing</span>");
        let searching = json!({ "state": "searching", "why": "waiting for a collector" });
        assert_eq!(heading(searching), "mark bad\">waiting for a collector</span>");
        let ending = json!({ "state": "ending" });
        assert_eq!(heading(ending), "mark changing\">waiting for acknowledgements</span>");
    }

    #[test]
    fn losses_are_told_by_reason_and_only_where_there_are_some() {
        let page = page_of(json!({}), 0);
        assert!(page.contains("<td>spool_full</td><td class=\"n\">3</td>"), "{page}");
        assert!(!page.contains("<td>buffer_full</td>"), "{page}");
    }

    #[test]
    fn without_a_pool_the_page_says_that_nobody_acknowledges() {
        let page = page_of(json!({ "pool": null, "spool": null }), 0);
        assert!(page.contains("Over UDP nobody acknowledges anything"), "{page}");
        assert!(!page.contains("id=\"failovers\"") && !page.contains("id=\"pool\""), "{page}");
    }
}
