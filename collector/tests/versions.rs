//! What another version of the collector has left behind.

mod world;

use std::fs;
use std::process::Command;

use world::{Directory, output};

#[test]
fn a_collector_that_finds_a_sidecar_of_a_newer_version_does_not_start_and_leaves_the_file_as_it_is() {
    let directory = Directory::new();
    let (file, sidecar) = (directory.path("flows.jsonl"), directory.path("flows.jsonl.durable"));
    let (lines, newer) = ("{\"octetDeltaCount\":1}\n{\"octetDelta", "flowpool sidecar 2\nsomething new\n");
    fs::write(&file, lines).unwrap();
    fs::write(&sidecar, newer).unwrap();
    fs::write(directory.path("collector.toml"), output(&directory)).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_ipfix-collector"))
        .args(["run", "--config"])
        .arg(directory.path("collector.toml"))
        .current_dir(&directory.0)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(74));
    let text = String::from_utf8_lossy(&run.stderr);
    let told =
        format!("{}: sidecar of version 2, and this collector reads 1: start the version", sidecar.display());
    assert!(text.contains(&told), "{text}");
    assert_eq!(fs::read_to_string(&file).unwrap(), lines);
    assert_eq!(fs::read_to_string(&sidecar).unwrap(), newer);
}
