//! Configuration errors, help, and the sample.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use exporter::config::{Config, Start};
use exporter::export::{Classes, Kind};
use service::Daemon as _;

use crate::world::World;

const MINIMAL: &str =
    "[source]\npcap = \"/var/lib/flowpool/trace.pcap\"\n[pool]\nkey-file = \"/etc/flowpool/pool.key\"\n";

fn exporter(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ipfix-exporter")).args(arguments).output().unwrap()
}

/// Runs `check` on a configuration and returns what it says, after asserting that it is refused.
#[track_caller]
fn refusal(text: &str) -> String {
    let world = World::new();
    let file = world.path("exporter.toml");
    fs::write(&file, text).unwrap();
    let output = exporter(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78), "{text}");
    let text = String::from_utf8(output.stderr).unwrap();
    text.replace(&*world.directory.to_string_lossy(), "")
}

#[test]
fn errors_in_the_configuration_are_shown_where_they_are() {
    let key = "[pool]\nkey-file = \"k\"\n";
    for (source, place, told) in [
        ("pcap = \"a\"\nspeed = -1", "/exporter.toml:3:9", "expected a number from 0 (as fast as possible)"),
        (
            "pcap = \"a\"\nspeed = -0.5",
            "/exporter.toml:3:9",
            "expected a number from 0 (as fast as possible)",
        ),
        (
            "pcap = \"a\"\nstart = \"noon\"",
            "/exporter.toml:3:9",
            "`noon` is no start: expected `file`, `now` or",
        ),
        ("pcap = \"a\"\nsped = 2.0", "/exporter.toml:3:1", "did you mean `speed`?"),
    ] {
        let shown = refusal(&format!("[source]\n{source}\n{key}"));
        assert!(shown.contains(place) && shown.contains('^') && shown.contains(told), "{shown}");
    }
}

#[test]
fn values_that_cannot_work_are_refused_by_their_key() {
    for (text, told) in [
        ("[export]\nmax-message = \"100B\"", "must be from 512B to 65535B"),
        ("[retention]\nmemory = \"1KiB\"", "must be at least 1MiB"),
        ("[metering]\nidle-timeout = \"0s\"", "must be longer than 0"),
        ("[metering]\nmax-flows = 0", "must be at least 1"),
    ] {
        let shown = refusal(&format!("{MINIMAL}{text}\n"));
        assert!(shown.contains(told) && shown.contains("/exporter.toml:6:"), "{shown}");
    }
}

#[test]
fn help_shows_an_example() {
    for arguments in [&["--help"][..], &["run", "--help"], &["check", "--help"]] {
        let output = exporter(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(text.contains("Example:\n  ipfix-exporter "), "{text}");
    }
}

#[test]
fn the_sample_is_the_defaults() {
    let parse =
        |text| service::config::parse::<Config>("exporter.toml", text, exporter::Daemon::validate).unwrap();
    let mut sample = parse(exporter::Daemon::SAMPLE);
    assert_eq!(sample.state.directory.take().unwrap().to_str(), Some("/var/lib/flowpool"));
    assert_eq!(sample.classes().unwrap().0, Classes::single(Kind::Reliable));
    assert_eq!(sample.class.clear(), 1);
    let minimal = parse(MINIMAL);
    let (packets, least) = (sample.packets().unwrap(), minimal.packets().unwrap());
    assert_eq!(packets.start, Some(Start::File));
    assert_eq!(packets.speed(), least.speed());
    let now = Duration::from_secs(1);
    assert_eq!(packets.loop_options(now), least.loop_options(now));
    sample.source = parse(MINIMAL).source;
    assert_eq!(format!("{sample:#?}"), format!("{minimal:#?}"));
}

#[test]
fn the_sample_is_what_config_example_prints() {
    let output = exporter(&["config", "example"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), exporter::Daemon::SAMPLE);
}
