//! A registrar, a collector and an exporter, each on its host, with the page's files.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use demo::books;
use demo::process::{self, Daemon, ROLE, wait_until};
use demo::scrape::{self, Samples};
use serde_json::Value;

use crate::PAGE;
use crate::hosts::{Host, PATIENCE};

/// Of the capture that is read once.
pub(crate) const FLOWS: f64 = 1_064.0;
const CAPTURE: &[u8] = include_bytes!("../../../../pcap-fixtures/demo.pcap");

/// The daemons of one pool; dropping it kills them.
#[derive(Debug)]
pub(crate) struct Pool {
    directory: PathBuf,
    launcher: PathBuf,
    exporter: Daemon,
    /// Registrar and collector.
    others: [Daemon; 2],
}

impl Pool {
    /// Starts it with the page's files for `recipe` and SCTP of `stack`, in a new folder of `directory`.
    pub(crate) fn start(recipe: &str, stack: &str, directory: &Path) -> Self {
        let folders = fs::read_dir(directory).unwrap().count();
        let directory = directory.join(format!("pool-{folders}-{stack}"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("capture.pcap"), CAPTURE).unwrap();
        fs::write(directory.join("pool.key"), format!("1 {}\n", "5a".repeat(32))).unwrap();
        for host in Host::ALL {
            fs::write(directory.join(format!("{}.toml", host.name())), configuration(host, recipe, stack))
                .unwrap();
        }
        let launcher = launcher(&directory);
        let start = |host: Host| {
            let (name, config) = (host.name(), directory.join(format!("{}.toml", host.name())));
            let daemon = Daemon::start(&launcher, name, name, &config, &directory).unwrap();
            let is_up = wait_until(PATIENCE, || Ok(scrape::ready(host.http()) || host == Host::Exporter));
            assert!(is_up.unwrap(), "{name} is not ready:\n{}", daemon.last_words());
            daemon
        };
        let others = [Host::Registrar, Host::Collector].map(start);
        let exporter = start(Host::Exporter);
        Self { directory, launcher, exporter, others }
    }

    /// Reads a daemon's metrics until `condition` holds of them; returns these.
    pub(crate) fn wait_for(&self, host: Host, what: &str, condition: impl Fn(&Samples) -> bool) -> Samples {
        let mut metrics = Samples::default();
        let held = wait_until(PATIENCE, || {
            metrics = Samples::scrape(host.http()).unwrap_or_default();
            Ok(condition(&metrics))
        });
        assert!(held.unwrap(), "no {what}; the exporter says:\n{}", self.exporter.last_words());
        metrics
    }

    /// What `ipfix-exporter doctor` says on the exporter's host.
    pub(crate) fn doctor(&self) -> String {
        let mut command = Command::new(&self.launcher);
        command.args([ROLE, "exporter", "doctor", "--config", "exporter.toml"]).current_dir(&self.directory);
        let output = process::output(&mut command).unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the exporter is done: the collector's file has every flow, once.
    pub(crate) fn settle(&mut self) {
        let mut ended = None;
        wait_until(PATIENCE, || {
            ended = self.exporter.ended()?;
            Ok(ended.is_some())
        })
        .unwrap();
        let done = ended.is_some_and(|status| status.success());
        assert!(done, "the exporter is not done ({ended:?}):\n{}", self.exporter.last_words());
        let summary = fs::read_to_string(self.directory.join("exporter.out")).unwrap();
        let summary: Value = serde_json::from_str(summary.lines().last().unwrap_or_default()).unwrap();
        assert_eq!(summary["flows"].as_f64(), Some(FLOWS), "{summary}");
        let mut numbers = BTreeSet::new();
        books::read_each(&self.directory.join("flows.jsonl"), |place, entry| {
            assert!(numbers.insert(entry.number), "{place}: flow {} again", entry.number);
            Ok(())
        })
        .unwrap();
        assert_eq!(numbers.len() as f64, FLOWS, "flows in the collector's file");
        for daemon in &self.others {
            assert!(!daemon.logged().contains(" ERROR "), "{}", daemon.last_words());
        }
    }
}

/// The page's file, and what it leaves out.
fn configuration(host: Host, recipe: &str, stack: &str) -> String {
    let (name, http) = (host.name(), host.http());
    let text = PAGE.file(&format!("{name}.toml, in {recipe}"));
    let text = text.replace("/etc/flowpool/", "");
    let table = if host == Host::Exporter { "[pool]\n" } else { "[listen]\n" };
    let text = text.replace(table, &format!("{table}stack = \"{stack}\"\n"));
    let more = match host {
        Host::Registrar => "",
        Host::Collector => {
            "[output.flows.jsonl]\npath = \"flows.jsonl\"\ndurable = true\n[state]\ndirectory = \"collector\"\n"
        }
        Host::Exporter => {
            "[source]\npcap = \"capture.pcap\"\nspeed = 0.0\n[metering]\nidle-timeout = \"1s\"\nactive-timeout = \"1s\"\n\
             observation-domain = 1\n[class.reliable]\n[retention]\ndrain-timeout = \"10m\"\n\
             [state]\ndirectory = \"exporter\"\n"
        }
    };
    format!("{text}{more}[http]\nlisten = \"{http}\"\n")
}

/// A program that becomes the demo's, on the host of the role that is its second argument.
fn launcher(directory: &Path) -> PathBuf {
    let file = directory.join("launch");
    let program = env!("CARGO_BIN_EXE_demo");
    fs::write(&file, format!("#!/bin/sh\nexec ip netns exec flowpool-\"$2\" {program} \"$@\"\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}
