//! The subcommand `top`: what a running exporter does, from its `/api/v1/status`, and its largest flows, from `/api/v1/flows`.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use service::client::Client;
use service::page::{Column, text};
use service::top::{Arguments, Grid, Output};
use service::{Exit, Failure, OrExit as _, Shell};

use crate::Daemon;
use crate::status::flows::{protocol, seconds};
use crate::status::value::{list, name, number, peer, sum, why_left, words};

/// Failovers in a picture; the page has more.
const FAILOVERS: usize = 8;
/// Flows in a picture.
const FLOWS: usize = 10;

/// Shows pictures until the process is interrupted, or one.
pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result<(), Failure> {
    arguments.run::<Daemon>(shell, |client, output| {
        let mut status = get(client, "/api/v1/status")?;
        // A relay has none, and far away the exporter tells nobody.
        let flows = (!status["flows"].is_null()).then(|| get(client, "/api/v1/flows")).transpose();
        match output {
            Output::Json => {
                status["largest-flows"] = flows.ok().flatten().unwrap_or_default();
                Ok(format!("{status}\n"))
            }
            Output::Text => {
                let mut picture = picture(&status);
                match flows {
                    Ok(flows) => flows.iter().for_each(|flows| picture.push_str(&largest(flows))),
                    Err(failure) => {
                        let _ = writeln!(picture, "\n{failure}");
                    }
                }
                Ok(picture)
            }
        }
    })
}

fn get(client: &Client, path: &str) -> Result<Value, Failure> {
    serde_json::from_str(&client.get(path, Duration::ZERO)?).or_exit(Exit::Failed)
}

fn picture(status: &Value) -> String {
    let mut out = head(status);
    out.push('\n');
    out.push_str(&classes(list(&status["classes"])).text());
    let failovers = &status["failovers"];
    if number(&failovers["count"]) > 0 {
        let _ = write!(
            out,
            "\nFailovers: {}\n{}",
            text::count(number(&failovers["count"])),
            recent(failovers).text()
        );
    }
    out
}

/// The largest active flows; nothing where there are none.
fn largest(answer: &Value) -> String {
    let flows = list(&answer["flows"]);
    if flows.is_empty() {
        return String::new();
    }
    let columns = [
        Column::text("SOURCE"),
        Column::number("PORT"),
        Column::text("DESTINATION"),
        Column::number("PORT"),
        Column::text("PROTOCOL"),
        Column::number("OCTETS"),
        Column::number("PACKETS"),
        Column::number("OCTETS/S"),
        Column::number("AGE"),
    ];
    let mut grid = Grid::new(columns);
    let port = |port: &Value| port.as_u64().map_or_else(String::new, |port| port.to_string());
    for flow in flows.iter().take(FLOWS) {
        grid.row([
            words(&flow["source"]).to_owned(),
            port(&flow["source-port"]),
            words(&flow["destination"]).to_owned(),
            port(&flow["destination-port"]),
            protocol(flow),
            text::octets(number(&flow["octets"])),
            text::count(number(&flow["packets"])),
            flow["octets-per-second"].as_f64().map_or_else(String::new, text::rate),
            seconds(&flow["age-seconds"]),
        ]);
    }
    format!("\nLargest active flows\n{}", grid.text())
}

fn head(status: &Value) -> String {
    let exporter = &status["exporter"];
    let uptime = text::duration(Duration::from_secs(number(&exporter["uptime-seconds"])));
    let state = match status["why"].as_str() {
        Some(why) => format!("no collector: {why}"),
        None => words(&status["state"]).to_owned(),
    };
    let mut out = format!("IPFIX exporter {}: {state}, running for {uptime}\n", name(exporter));
    let collector = |value: &Value| if value.is_null() { "none".to_owned() } else { peer(value) };
    let _ = writeln!(
        out,
        "Collector in use: {}; standing by: {}",
        collector(&status["collector"]),
        collector(&status["standby"])
    );
    let pool = &status["pool"];
    if !pool.is_null() {
        let elements = list(&pool["elements"]);
        let usable = elements.iter().filter(|element| element["usable"] == true).count();
        let registrar = pool["registrar"].as_str().unwrap_or("none reached");
        let handle = words(&pool["handle"]);
        let all = elements.len();
        let _ = writeln!(out, "Pool {handle}: {usable} of {all} collectors usable; registrar: {registrar}");
    }
    let flows = &status["flows"];
    if !flows.is_null() {
        let (active, limit) = (text::count(number(&flows["active"])), text::count(number(&flows["limit"])));
        let _ = writeln!(out, "Flow table: {active} of {limit}");
    }
    let rate =
        |name: &str| text::rate(list(&status["rates"][name]).last().and_then(Value::as_f64).unwrap_or(0.0));
    let _ = writeln!(
        out,
        "A second: {} packets, {} flow records metered, {} sent, {} acknowledged",
        rate("packets"),
        rate("metered"),
        rate("sent"),
        rate("settled")
    );
    let spool = &status["spool"];
    if !spool.is_null() {
        let (records, octets) =
            (text::count(number(&spool["records"])), text::octets(number(&spool["octets"])));
        let failing = spool["failing"].as_str().map(|why| format!(", failing: {why}")).unwrap_or_default();
        let _ = writeln!(out, "Spool: {records} flow records that memory does not hold, {octets}{failing}");
    }
    out
}

fn classes(classes: &[Value]) -> Grid {
    let columns = [
        Column::text("CLASS"),
        Column::text("KIND"),
        Column::number("METERED"),
        Column::number("ON DISK"),
        Column::number("DELIVERED"),
        Column::number("GIVEN UP"),
        Column::number("DROPPED"),
        Column::number("WAITING"),
        Column::number("SENT"),
        Column::number("SENT AGAIN"),
    ];
    let mut grid = Grid::new(columns);
    for class in classes {
        let count = |key: &str| text::count(number(&class[key]));
        grid.row([
            words(&class["class"]).to_owned(),
            words(&class["kind"]).to_owned(),
            count("metered"),
            count("covered"),
            count("delivered"),
            text::count(sum(&class["abandoned"])),
            text::count(sum(&class["dropped"])),
            count("waiting"),
            count("exported"),
            count("resent"),
        ]);
    }
    grid
}

fn recent(failovers: &Value) -> Grid {
    let columns = [
        Column::text("TIME"),
        Column::text("LEFT"),
        Column::text("NEXT"),
        Column::number("SECONDS"),
        Column::text("REASON"),
    ];
    let mut grid = Grid::new(columns);
    for failover in list(&failovers["recent"]).iter().take(FAILOVERS) {
        let gap = failover["gap-seconds"].as_f64().map_or_else(String::new, |gap| format!("{gap:.3}"));
        let pe = |peer: &Value| words(&peer["pe"]).to_owned();
        grid.row([
            words(&failover["time"]).to_owned(),
            pe(&failover["from"]),
            pe(&failover["to"]),
            gap,
            why_left(failover),
        ]);
    }
    grid
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_picture_has_the_collectors_the_books_and_why_the_last_one_was_left() {
        let status = json!({
            "exporter": { "source": "eth0", "domain": 7, "uptime-seconds": 125 },
            "state": "exporting",
            "why": null,
            "collector": { "pe": "000000a2", "address": "sctp 192.0.2.2:4739" },
            "standby": null,
            "pool": {
                "handle": "ipfix",
                "registrar": "192.0.2.9:3863",
                "elements": [{ "pe": "000000a1", "usable": false }, { "pe": "000000a2", "usable": true }],
            },
            "failovers": { "count": 1, "recent": [{
                "time": "2026-03-01T12:00:00.000Z",
                "from": { "pe": "000000a1", "address": "sctp 192.0.2.1:4739" },
                "to": { "pe": "000000a2", "address": "sctp 192.0.2.2:4739" },
                "reason": "comm_lost", "text": "association lost", "detail": "silence\u{1b}[2J", "gap-seconds": 0.25,
            }]},
            "flows": { "active": 1200, "limit": 524_288, "ended": {} },
            "classes": [{
                "class": "reliable", "kind": "reliable", "metered": 5000, "covered": 4990, "delivered": 0,
                "abandoned": {}, "dropped": { "buffer_full": 3, "association": 1 }, "waiting": 6, "exported": 5100,
                "resent": 100,
            }],
            "spool": { "records": 0, "octets": 2048, "failing": null },
            "rates": { "packets": [1.0, 1500.0], "metered": [], "sent": [2.5], "settled": [0.0] },
        });
        let expected = "\
IPFIX exporter eth0, domain 7: exporting, running for 2 min 5 s
Collector in use: 000000a2 sctp 192.0.2.2:4739; standing by: none
Pool ipfix: 1 of 2 collectors usable; registrar: 192.0.2.9:3863
Flow table: 1,200 of 524,288
A second: 1,500 packets, 0 flow records metered, 2.5 sent, 0 acknowledged
Spool: 0 flow records that memory does not hold, 2.0 KiB

CLASS     KIND      METERED  ON DISK  DELIVERED  GIVEN UP  DROPPED  WAITING   SENT  SENT AGAIN
reliable  reliable    5,000    4,990          0         0        4        6  5,100         100

Failovers: 1
TIME                      LEFT      NEXT      SECONDS  REASON
2026-03-01T12:00:00.000Z  000000a1  000000a2    0.250  association lost: silence\u{fffd}[2J
";
        assert_eq!(picture(&status), expected);
    }

    #[test]
    fn the_largest_flows_are_below_it() {
        let tcp = json!({
            "source": "192.0.2.1", "source-port": 40_000, "destination": "192.0.2.2", "destination-port": 443,
            "protocol": 6, "octets": 5_000_000, "packets": 4_000, "octets-per-second": 1250.0, "age-seconds": 65.0,
        });
        let echo = json!({
            "source": "2001:db8::1", "source-port": null, "destination": "2001:db8::2", "destination-port": null,
            "protocol": 58, "icmp-type-code": 128 << 8, "octets": 84, "packets": 1, "octets-per-second": null,
            "age-seconds": 0.0,
        });
        let mut flows = vec![tcp];
        flows.resize(30, echo);
        let shown = largest(&json!({ "complete": true, "flows": flows }));
        let expected = "
Largest active flows
SOURCE        PORT  DESTINATION  PORT  PROTOCOL          OCTETS  PACKETS  OCTETS/S        AGE
192.0.2.1    40000  192.0.2.2     443  tcp              4.8 MiB    4,000     1,250  1 min 5 s
2001:db8::1         2001:db8::2        ipv6-icmp 128/0     84 B        1                0.0 s
";
        assert!(shown.starts_with(expected), "{shown}");
        assert_eq!(shown.lines().count(), 3 + FLOWS);
        assert_eq!(largest(&json!({ "flows": [] })), "");
    }
}
