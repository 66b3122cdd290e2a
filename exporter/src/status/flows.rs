//! The largest active flows, as `/api/v1/flows`, the page and `top` show them. Flows are personal data: they are told on this host
//! only, and not logged.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use service::page::{Column, Page, Table, text};
use service::time_text;

use super::value::{list, number, words};
use crate::metering::FlowRecord;
use crate::observe::Largest;

/// Flows on the page.
const ON_PAGE: usize = 20;
/// Why somebody else is not told about flows.
pub(super) const ONLY_HERE: &str = "flows are personal data and told on this host only: ask from there, by address or as localhost, or through `ssh -L 9382:127.0.0.1:9382 HOST`";
const PARTIAL: &str =
    "Not every observation thread has answered: one that waits for room keeps its flows to itself.";

/// Returns the answer in JSON.
pub(super) fn json(largest: &Largest) -> Value {
    let flows = largest.flows.iter().map(|(flow, clock)| flow_json(flow, *clock));
    json!({ "complete": !largest.is_partial, "flows": flows.collect::<Vec<_>>() })
}

/// One flow, at packet time `clock`. A biflow is told with what went both ways.
fn flow_json(flow: &FlowRecord, clock: u64) -> Value {
    let begin = flow.reverse.map_or(flow.start_ns, |reverse| reverse.start_ns.min(flow.start_ns));
    let end = flow.reverse.map_or(flow.end_ns, |reverse| reverse.end_ns.max(flow.end_ns));
    let since = |time: u64| Duration::from_nanos(clock.saturating_sub(time));
    let age = since(begin);
    let octets = flow.octets_both_ways();
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
    let rate = (!age.is_zero()).then(|| (octets as f64 / age.as_secs_f64()).round());
    let is_icmp = flow.is_icmp();
    let port = |port: u16| (!is_icmp && port > 0).then_some(port);
    json!({
        "source": flow.source.to_string(),
        "source-port": port(flow.source_port),
        "destination": flow.destination.to_string(),
        "destination-port": port(flow.destination_port),
        "protocol": flow.protocol,
        "icmp-type-code": is_icmp.then_some(flow.destination_port),
        "interface": flow.interface,
        "octets": octets,
        "packets": flow.packets_both_ways(),
        "octets-per-second": rate,
        "begin": time_text(UNIX_EPOCH + Duration::from_nanos(begin)),
        "age-seconds": age.as_secs_f64(),
        "idle-seconds": since(end).as_secs_f64(),
    })
}

/// Adds the flows of an answer to the page.
pub(super) fn show(page: &mut Page, answer: &Value) {
    let columns = [
        Column::text("Source"),
        Column::number("Port"),
        Column::text("Destination"),
        Column::number("Port"),
        Column::text("Protocol"),
        Column::number("Octets"),
        Column::number("Packets"),
        Column::number("Octets/s"),
        Column::number("Age"),
        Column::number("Last packet"),
    ];
    let flows = list(&answer["flows"]);
    let mut table = Table::new("Flows that are not over, those with the most octets first", columns)
        .when_empty("There is no flow at present.")
        .all_at("/api/v1/flows")
        .of_total(flows.len() as u64);
    for flow in flows.iter().take(ON_PAGE) {
        table.row([
            words(&flow["source"]).into(),
            flow["source-port"].as_u64().map(|port| port.to_string()).into(),
            words(&flow["destination"]).into(),
            flow["destination-port"].as_u64().map(|port| port.to_string()).into(),
            protocol(flow).into(),
            text::octets(number(&flow["octets"])).into(),
            number(&flow["packets"]).into(),
            flow["octets-per-second"].as_f64().map(text::rate).into(),
            seconds(&flow["age-seconds"]).into(),
            format!("{} ago", seconds(&flow["idle-seconds"])).into(),
        ]);
    }
    let section = page.section("largest", "Largest active flows");
    if answer["complete"] == false {
        section.note(PARTIAL);
    }
    section.table(table);
}

/// Adds the reason why there are none.
pub(super) fn hide(page: &mut Page) {
    page.section("largest", "Largest active flows").note(ONLY_HERE);
}

/// A flow's protocol: by its name where everybody knows it, with what it has in place of ports.
pub(crate) fn protocol(flow: &Value) -> String {
    let message = flow["icmp-type-code"].as_u64().map(|both| format!(" {}/{}", both >> 8, both & 0xff));
    let message = message.unwrap_or_default();
    match number(&flow["protocol"]) {
        1 => format!("icmp{message}"),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        47 => "gre".to_owned(),
        50 => "esp".to_owned(),
        58 => format!("ipv6-icmp{message}"),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}

/// A length of time in words.
pub(crate) fn seconds(value: &Value) -> String {
    let time = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    text::duration(time.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use super::*;
    use crate::metering::{BiflowDirection, Direction, FlowEndReason, Reverse};

    const SECOND: u64 = 1_000_000_000;
    const START: u64 = 1_750_000_000 * SECOND;

    fn flow() -> FlowRecord {
        FlowRecord {
            source: "192.0.2.1".parse().unwrap(),
            destination: "192.0.2.2".parse().unwrap(),
            source_port: 40_000,
            destination_port: 443,
            protocol: 6,
            interface: 3,
            octets: 5_000,
            packets: 7,
            start_ns: START,
            end_ns: START + 2 * SECOND,
            ..FlowRecord::empty(Direction::Ingress, FlowEndReason::ForcedEnd)
        }
    }

    fn answer(flows: Vec<FlowRecord>, clock: u64) -> Value {
        json(&Largest { flows: flows.into_iter().map(|flow| (flow, clock)).collect(), is_partial: false })
    }

    #[test]
    fn a_flow_is_told_with_its_age_and_rate_at_the_time_of_its_packets() {
        let told = answer(vec![flow()], START + 4 * SECOND);
        let expected = json!({ "complete": true, "flows": [{
            "source": "192.0.2.1", "source-port": 40_000, "destination": "192.0.2.2", "destination-port": 443,
            "protocol": 6, "icmp-type-code": null, "interface": 3, "octets": 5_000, "packets": 7,
            "octets-per-second": 1_250.0, "begin": "2025-06-15T15:06:40.000Z", "age-seconds": 4.0, "idle-seconds": 2.0,
        }]});
        assert_eq!(told, expected);
        // A packet may be from before the clock was set.
        let told = &answer(vec![flow()], START - SECOND)["flows"][0];
        assert_eq!((&told["octets-per-second"], &told["age-seconds"]), (&Value::Null, &json!(0.0)));
    }

    #[test]
    fn a_biflow_is_told_with_both_directions() {
        let reverse = Reverse {
            octets: 3_000,
            packets: 2,
            start_ns: START - SECOND,
            end_ns: START + 3 * SECOND,
            tcp_control_bits: 0,
            class_of_service: 0,
            minimum_ttl: 0,
            maximum_ttl: 0,
            direction: BiflowDirection::Initiator,
        };
        let told =
            &answer(vec![FlowRecord { reverse: Some(reverse), ..flow() }], START + 3 * SECOND)["flows"][0];
        assert_eq!((&told["octets"], &told["packets"]), (&json!(8_000), &json!(9)));
        assert_eq!((&told["age-seconds"], &told["idle-seconds"]), (&json!(4.0), &json!(0.0)));
        assert_eq!(told["octets-per-second"], 2_000.0);
    }

    #[test]
    fn messages_of_icmp_have_a_type_and_no_ports() {
        let echo = FlowRecord { protocol: 1, source_port: 0, destination_port: 8 << 8, ..flow() };
        let told = &answer(vec![echo], START)["flows"][0];
        assert_eq!((&told["source-port"], &told["destination-port"]), (&Value::Null, &Value::Null));
        assert_eq!(protocol(told), "icmp 8/0");
        assert_eq!(protocol(&answer(vec![flow()], START)["flows"][0]), "tcp");
        assert_eq!(protocol(&json!({ "protocol": 89 })), "89");
    }

    #[test]
    fn a_page_shows_the_first_of_them_and_says_where_all_are() {
        let longest = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));
        let flows =
            vec![FlowRecord { source: longest, destination: longest, octets: u64::MAX, ..flow() }; 50];
        let mut page = Page::new("IPFIX exporter", "eth0", "");
        show(&mut page, &answer(flows, START + 1_000_000 * SECOND));
        let html = page.html();
        assert!(html.contains("Shown are 20 of 50. All: <a href=\"/api/v1/flows\">"), "{html}");
        assert!(html.contains("<td class=\"n\">443</td><td>tcp</td>"), "{html}");
        assert!(!html.contains("Not every observation thread"), "{html}");
        let mut page = Page::new("IPFIX exporter", "eth0", "");
        show(&mut page, &json(&Largest { flows: vec![], is_partial: true }));
        let html = page.html();
        assert!(html.contains("There is no flow at present.") && html.contains(PARTIAL), "{html}");
    }

    #[test]
    fn who_looks_from_elsewhere_is_told_why_there_are_none() {
        let mut page = Page::new("IPFIX exporter", "eth0", "");
        hide(&mut page);
        let html = page.html();
        assert!(html.contains("told on this host only") && !html.contains("<table"), "{html}");
    }
}
