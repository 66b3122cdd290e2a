//! `ipfix-collector top`: sessions, outputs and talkers of a running collector, from its HTTP API.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use service::client::Client;
use service::page::{Column, text};
use service::top::{Grid, Output};
use service::{Exit, Failure};

/// Rows of a table.
const SESSIONS: usize = 20;
const TALKERS: usize = 8;

/// Returns what the collector does now.
pub(crate) fn picture(client: &Client, output: Output) -> Result<String, Failure> {
    let status = get(client, "/api/v1/status")?;
    let sessions = get(client, "/api/v1/sessions")?;
    let talkers = get(client, &format!("/api/v1/talkers?count={TALKERS}"));
    if output == Output::Json {
        let talkers = talkers.unwrap_or(Value::Null);
        return Ok(format!("{}\n", json!({ "status": status, "sessions": sessions, "talkers": talkers })));
    }
    let mut picture = format!("ipfix-collector {}  ", client.address());
    picture.push_str(&overview(&status));
    picture.push_str(&sessions_text(&sessions));
    picture.push_str(&outputs_text(&status));
    match talkers {
        Ok(talkers) => picture.push_str(&talkers_text(&talkers)),
        // Far away, the collector does not tell about flows.
        Err(failure) => {
            let _ = writeln!(picture, "\n{failure}");
        }
    }
    Ok(picture)
}

fn get(client: &Client, path: &str) -> Result<Value, Failure> {
    let body = client.get(path, Duration::ZERO)?;
    serde_json::from_str(&body)
        .map_err(|_| Failure::new(Exit::Failed, format!("{} is no collector", client.address())))
}

fn overview(status: &Value) -> String {
    let rate = &status["per-second"];
    format!(
        "{}  {}\nsessions {}  records {}  missing {}  now {} records/s  {}/s\n",
        word(&status["state"]),
        word(&status["time"]),
        count(&status["sessions"]),
        count(&status["received"]["records"]),
        count(&status["lost"]),
        text::rate(number(&rate["records"])),
        octets(&rate["octets"]),
    )
}

fn sessions_text(sessions: &Value) -> String {
    let mut listed: Vec<&Value> = list(&sessions["sessions"]).iter().collect();
    if listed.is_empty() {
        return "\nno exporter is connected\n".to_owned();
    }
    let rate = |session: &Value| number(&session["per-second"]["records"]);
    listed.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
    let mut grid = Grid::new([
        Column::text("EXPORTER"),
        Column::text("STATE"),
        Column::number("RECORDS/S"),
        Column::number("OCTETS/S"),
        Column::number("RECORDS"),
        Column::number("MISSING"),
        Column::number("MALFORMED"),
        Column::number("TEMPLATES"),
    ]);
    for session in listed.iter().take(SESSIONS) {
        let missing = number(&session["lost"]) - number(&session["late"]);
        grid.row([
            word(&session["peer"]),
            word(&session["state"]),
            text::rate(rate(session)),
            octets(&session["per-second"]["octets"]),
            count(&session["records"]),
            text::rate(missing.max(0.0)),
            count(&session["malformed"]),
            count(&session["templates"]),
        ]);
    }
    let total = sessions["total"].as_u64().unwrap_or(0);
    let more = total.saturating_sub(SESSIONS as u64);
    let more = if more > 0 { format!("and {} more\n", text::count(more)) } else { String::new() };
    format!("\n{}{more}", grid.text())
}

fn outputs_text(status: &Value) -> String {
    let mut grid = Grid::new([
        Column::text("OUTPUT"),
        Column::text("STATE"),
        Column::number("WRITTEN"),
        Column::number("DUPLICATES"),
        Column::number("DROPPED"),
        Column::number("ON THEIR WAY"),
        Column::text("WHERE"),
    ]);
    for output in list(&status["outputs"]) {
        let state = output["trouble"].as_str().unwrap_or("writes");
        grid.row([
            word(&output["name"]),
            state.to_owned(),
            count(&output["written"]),
            count(&output["duplicates"]),
            count(&output["dropped"]),
            count(&output["in-flight"]),
            word(&output["path"]),
        ]);
    }
    format!("\n{}", grid.text())
}

fn talkers_text(talkers: &Value) -> String {
    let (sources, destinations) = (list(&talkers["sources"]), list(&talkers["destinations"]));
    if sources.is_empty() {
        return "\nno talkers yet\n".to_owned();
    }
    let total = number(&talkers["total"]["octets"]).max(1.0);
    let share = |of: Option<&Value>| {
        of.map_or_else(String::new, |of| format!("{:.0} %", number(&of["octets"]) / total * 100.0))
    };
    let services = list(&talkers["services"]);
    let name = |of: Option<&Value>, key: &str| of.map_or_else(String::new, |of| word(&of[key]));
    let mut grid = Grid::new([
        Column::text("SOURCE"),
        Column::number("SHARE"),
        Column::text("DESTINATION"),
        Column::number("SHARE"),
        Column::text("SERVICE"),
        Column::number("SHARE"),
    ]);
    for at in 0..sources.len().max(destinations.len()).max(services.len()) {
        let (source, destination, service) = (sources.get(at), destinations.get(at), services.get(at));
        grid.row([
            name(source, "address"),
            share(source),
            name(destination, "address"),
            share(destination),
            name(service, "service"),
            share(service),
        ]);
    }
    let minutes = word(&talkers["minutes"]);
    format!("\n{}by octets of the last {minutes} minutes, estimated from samples\n", grid.text())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn count(value: &Value) -> String {
    text::count(value.as_u64().unwrap_or(0))
}

fn octets(value: &Value) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast to integers saturates"
    )]
    text::octets(number(value) as u64)
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_session_comes_first_and_the_rest_is_counted() {
        let session = |id: u64| {
            json!({
                "peer": format!("tcp 192.0.2.1:{id}"), "state": "up", "records": id * 1000, "lost": 3, "late": 1,
                "malformed": 0, "templates": 2, "per-second": { "records": id, "octets": id * 2048 },
            })
        };
        let sessions: Vec<Value> = (0..30).map(session).collect();
        let text = sessions_text(&json!({ "total": 1234, "sessions": sessions }));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("EXPORTER"), "{text}");
        let words: Vec<&str> = lines[2].split_whitespace().collect();
        assert_eq!(words, ["tcp", "192.0.2.1:29", "up", "29", "58", "KiB", "29,000", "2.0", "0", "2"]);
        assert_eq!(lines.last(), Some(&"and 1,214 more"));
        assert_eq!(lines.len(), 1 + 1 + SESSIONS + 1);
    }
}
