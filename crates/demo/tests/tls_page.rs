//! docs/tls.md as it stands: its certificates, made with openssl, its three files, and its question to the registrar.

#[path = "world/page.rs"]
mod page;
mod world;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use demo::process::{self, Daemon, ROLE, wait_until};
use demo::scrape::{self, Samples};
use demo::stage::Stage;
use page::Page;

const PAGE: Page = Page { name: "docs/tls.md", text: include_str!("../../../docs/tls.md") };
const CAPTURE: &[u8] = include_bytes!("../../../pcap-fixtures/demo.pcap");
/// Of the capture, with both time-outs at 1 s.
const FLOWS: f64 = 1_064.0;
const COLLECTOR: &str =
    "[output.flows.jsonl]\npath = \"flows.jsonl\"\ndurable = true\n[state]\ndirectory = \"collector\"\n";
const EXPORTER: &str = "[source]\npcap = \"capture.pcap\"\nspeed = 0.0\n[metering]\nidle-timeout = \"1s\"\n\
                        active-timeout = \"1s\"\n[class.reliable]\n[state]\ndirectory = \"exporter\"\n";

#[test]
fn a_pool_with_the_certificates_and_files_of_the_page_takes_every_flow() {
    if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let mut stage = Stage::set(true).unwrap();
    println!("configuration, logs and flows are in {}", stage.directory.display());
    furnish(&stage);
    let start = |name: &str| {
        Daemon::start(world::program(), name, name, &stage.config(name), &stage.directory).unwrap()
    };
    let (registrar, collector) = (start("registrar"), start("collector"));
    let is_up = wait_until(world::PATIENCE, || Ok(scrape::ready(stage.collector_http(0))));
    assert!(is_up.unwrap(), "{}\n{}", registrar.last_words(), collector.last_words());

    let question = here(&stage, &PAGE.commands("resolve"));
    let answer = resolve(&stage.directory, &question);
    assert!(answer.contains(&format!("{} port 4740", stage.collector(0))), "{question}\n{answer}");

    let mut exporter = start("exporter");
    let ended = wait_until(world::PATIENCE, || exporter.ended().map(|status| status.is_some()));
    assert!(ended.unwrap(), "the exporter is not done:\n{}", exporter.last_words());
    let mut written = 0.0;
    let all = wait_until(world::PATIENCE, || {
        let metrics = Samples::scrape(stage.collector_http(0))?;
        written = metrics.value("ipfix_collector_output_records_total", "result", "written");
        Ok(written == FLOWS)
    });
    assert!(
        all.unwrap(),
        "{written} flows of {FLOWS} written; the exporter says:\n{}",
        exporter.last_words()
    );
    stage.keep = false;
}

/// Makes the page's certificates, and the files of the three daemons with what the page leaves out.
fn furnish(stage: &Stage) {
    let directory = &stage.directory;
    let made = shell(directory, &PAGE.commands("certificates")).stderr(Stdio::null()).status();
    assert!(made.unwrap().success());
    fs::write(directory.join("pool.key"), format!("1 {}\n", "5a".repeat(32))).unwrap();
    fs::write(directory.join("capture.pcap"), CAPTURE).unwrap();
    let (registrar, collector) = (stage.registrar_http(), stage.collector_http(0));
    for (name, title, more, http) in [
        ("registrar", "registrar.toml: TLS and nothing else", "", registrar),
        ("collector", "collector.toml", COLLECTOR, collector),
        ("exporter", "exporter.toml", EXPORTER, stage.exporter_http()),
    ] {
        let text = here(stage, &PAGE.file(title));
        fs::write(stage.config(name), format!("{text}{more}[http]\nlisten = \"{http}\"\n")).unwrap();
    }
}

/// The page's addresses and folder are those of the stage.
fn here(stage: &Stage, text: &str) -> String {
    let text = text.replace("192.0.2.1", &stage.registrar().to_string());
    text.replace("192.0.2.2", &stage.collector(0).to_string()).replace("/etc/flowpool/", "")
}

/// What the registrar's command prints: the page's words, but the demo plays it.
fn resolve(directory: &Path, question: &str) -> String {
    let program = format!("'{}' {ROLE} registrar ", world::program().display());
    let mut command = shell(directory, &question.replacen("rserpool-registrar ", &program, 1));
    let output = process::output(&mut command).unwrap();
    assert!(output.status.success(), "{question}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn shell(directory: &Path, commands: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", commands]).current_dir(directory);
    command
}
