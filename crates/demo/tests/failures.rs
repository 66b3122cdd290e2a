//! What an operator gets where a daemon cannot run: one line that says what and how to mend it, and the documented exit code.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use demo::process::{self, ROLE};

/// An ordinary user, for tests that are run by root, to whom nothing is forbidden.
const NOBODY: u32 = 65_534;

/// A folder and an address of one test.
struct Place {
    folder: PathBuf,
    host: IpAddr,
}

impl Place {
    fn new() -> Self {
        let [a, b, c, ..] = getrandom::u64().unwrap().to_be_bytes();
        let folder = std::env::temp_dir().join(format!("failures-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("pool.key"), "1 000102030405060708090a0b0c0d0e0f\n").unwrap();
        fs::copy(pcap_fixtures::fixture(pcap_fixtures::HTTP), folder.join("a.pcap")).unwrap();
        if is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { folder, host: Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254)).into() }
    }

    fn registrar(&self, more: &str) -> String {
        format!("[listen]\nasap = [\"{0}:3863\"]\n[http]\nlisten = \"{0}:9380\"\n{more}", self.host)
    }

    fn collector(&self, more: &str) -> String {
        format!("[listen]\nipfix = [\"{0}:4739\"]\n[http]\nlisten = \"{0}:9381\"\n{more}", self.host)
    }

    fn exporter(&self, source: &str, more: &str) -> String {
        format!(
            "[source]\n{source}\n[pool]\nregistrars = [\"{0}\"]\naddresses = [\"{0}\"]\nkey-file = \"pool.key\"\n\
             [http]\nlisten = \"{0}:9382\"\n{more}",
            self.host
        )
    }

    /// Runs a daemon until it ends; returns its exit code and what it wrote. None where the program cannot be run by the user
    /// whose it has to be.
    fn run(&self, role: &str, config: &str) -> Option<(i32, String)> {
        fs::write(self.folder.join("test.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command.args([ROLE, role, "run", "--config", "test.toml", "--log-level", "error"]);
        command.current_dir(&self.folder).env_remove("JOURNAL_STREAM");
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = match process::output(&mut command) {
            Ok(output) => output,
            Err(error) => {
                eprintln!("skipped: user {NOBODY} cannot run {}: {error}", env!("CARGO_BIN_EXE_demo"));
                return None;
            }
        };
        Some((output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap()))
    }

    /// Asserts that the daemon ends with `exit` and one line that has `texts`.
    fn expect(&self, title: &str, role: &str, config: &str, exit: i32, texts: &[&str]) {
        let Some((code, told)) = self.run(role, config) else { return };
        let mut wrong = String::new();
        if code != exit {
            let _ = writeln!(wrong, "exit code {code} and not {exit}");
        }
        if told.lines().count() != 1 {
            let _ = writeln!(wrong, "not one line");
        }
        for text in texts.iter().filter(|text| !told.contains(**text)) {
            let _ = writeln!(wrong, "no {text:?}");
        }
        assert!(wrong.is_empty(), "{role}, {title}: {wrong}{told}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn an_address_in_use_is_74_and_who_has_it_can_be_found() {
    let place = Place::new();
    let file = "pcap = \"a.pcap\"";
    let in_use = ["Address already in use", "ss -lpn"];
    {
        let _taken = [9380, 9381, 9382].map(|port| TcpListener::bind((place.host, port)).unwrap());
        place.expect(
            "HTTP",
            "registrar",
            &place.registrar(""),
            74,
            &[&in_use[..], &["[http] listen"]].concat(),
        );
        place.expect(
            "HTTP",
            "collector",
            &place.collector(""),
            74,
            &[&in_use[..], &["[http] listen"]].concat(),
        );
        let config = place.exporter(file, "");
        place.expect("HTTP", "exporter", &config, 74, &[&in_use[..], &["[http] listen"]].concat());
    }
    let _taken = UdpSocket::bind((place.host, 9899)).unwrap();
    place.expect("SCTP", "registrar", &place.registrar(""), 74, &in_use);
    place.expect("SCTP", "collector", &place.collector(""), 74, &in_use);
    place.expect("SCTP", "exporter", &place.exporter(file, ""), 74, &in_use);
}

#[test]
fn an_address_of_another_host_is_74() {
    let place = Place::new();
    let foreign = ["Cannot assign requested address", "ip address"];
    let elsewhere = |text: String| text.replace(&place.host.to_string(), "192.0.2.77");
    place.expect("HTTP", "registrar", &elsewhere(place.registrar("")), 74, &foreign);
    place.expect("HTTP", "collector", &elsewhere(place.collector("")), 74, &foreign);
    place.expect("HTTP", "exporter", &elsewhere(place.exporter("pcap = \"a.pcap\"", "")), 74, &foreign);
}

#[test]
fn what_the_daemon_may_not_write_or_capture_is_77() {
    let place = Place::new();
    let closed = place.folder.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let denied = ["Permission denied", "closed"];
    place.expect(
        "control socket",
        "registrar",
        &place.registrar("[control]\nsocket = \"closed/control\"\n"),
        77,
        &denied,
    );
    place.expect(
        "output",
        "collector",
        &place.collector("[output.flows.jsonl]\npath = \"closed/flows.jsonl\"\n"),
        77,
        &denied,
    );
    let file = "pcap = \"a.pcap\"";
    place.expect(
        "state",
        "exporter",
        &place.exporter(file, "[state]\ndirectory = \"closed/state\"\n"),
        77,
        &denied,
    );
    let captures = ["CAP_NET_RAW", "setcap cap_net_raw+ep"];
    place.expect("capture", "exporter", &place.exporter("interfaces = \"lo\"", ""), 77, &captures);
}

#[test]
fn what_is_not_there_is_74() {
    let place = Place::new();
    let missing = ["No such file or directory", "none"];
    let socket = "[control]\nsocket = \"none/control\"\n";
    place.expect("control socket", "registrar", &place.registrar(socket), 74, &missing);
    let output = "[output.flows.jsonl]\npath = \"none/flows.jsonl\"\n";
    place.expect("output", "collector", &place.collector(output), 74, &missing);
    place.expect("capture", "exporter", &place.exporter("pcap = \"none.pcap\"", ""), 74, &missing);
}
