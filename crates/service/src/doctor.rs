//! The subcommand `doctor`: looks at what a daemon needs of its host before it runs there, and says how to mend what is wrong.

mod path;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use crate::{Exit, Failure, scrape};

/// Where Linux says which capabilities this process has, and the one of packet sockets (capabilities(7)).
const STATUS: &str = "/proc/self/status";
const CAP_NET_RAW: u32 = 13;
/// Signs of a clock that somebody keeps: systemd-timesyncd's, and the processes of others.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
const KEEPERS: [&str; 4] = ["chronyd", "ntpd", "ntpsec", "ptp4l"];

/// How serious a finding is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Grade {
    Good,
    Note,
    Bad,
}

#[derive(Debug)]
struct Finding {
    grade: Grade,
    what: String,
    found: String,
    fix: String,
}

/// What was looked at so far.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    is_running: bool,
}

impl Findings {
    /// All is well with `what`.
    pub fn good(&mut self, what: impl Into<String>, found: impl Into<String>) {
        self.add(Grade::Good, what.into(), found.into(), String::new());
    }

    /// The daemon runs, and could run better; `fix` is one line that says how.
    pub fn note(&mut self, what: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) {
        self.add(Grade::Note, what.into(), found.into(), fix.into());
    }

    /// The daemon will not do its work; `fix` is one line that mends it.
    pub fn bad(&mut self, what: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) {
        self.add(Grade::Bad, what.into(), found.into(), fix.into());
    }

    fn add(&mut self, grade: Grade, what: String, found: String, fix: String) {
        self.list.push(Finding { grade, what, found, fix });
    }

    /// Returns whether the daemon runs already, so that its ports are taken.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// A folder that the daemon makes if it is not there.
    pub fn folder_to_make(&mut self, what: &str, path: &Path) {
        let is_there = |path: &&Path| path.as_os_str().is_empty() || path.is_dir();
        self.folder(what, path.ancestors().find(is_there).unwrap_or(path));
    }

    /// A folder that must be there, and writable.
    pub fn folder(&mut self, what: &str, path: &Path) {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let probe = path.join(format!(".doctor-{}", std::process::id()));
        let shown = path.display().to_string();
        match fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
            Ok(()) => self.good(what, shown),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.bad(what, format!("{shown}: {error}"), format!("mkdir -p {shown}"));
            }
            Err(error) => {
                self.bad(what, format!("{shown}: {error}"), format!("chown the daemon's user {shown}"));
            }
        }
    }

    /// A file that must be readable; returns its text.
    pub fn file(&mut self, what: &str, path: &Path) -> Option<String> {
        let shown = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => {
                self.good(what, shown);
                Some(text)
            }
            Err(error) => {
                let fix = "make it, or let the daemon's user read it";
                self.bad(what, format!("{shown}: {error}"), fix);
                None
            }
        }
    }

    /// A UDP port that must be free, unless the daemon has it.
    pub fn udp_port(&mut self, what: &str, address: SocketAddr) {
        self.port(what, "UDP", address, UdpSocket::bind(address).map(drop));
    }

    /// A TCP port that must be free, unless the daemon has it.
    pub fn tcp_port(&mut self, what: &str, address: SocketAddr) {
        self.port(what, "TCP", address, TcpListener::bind(address).map(drop));
    }

    fn port(&mut self, what: &str, kind: &str, address: SocketAddr, bound: io::Result<()>) {
        match bound {
            Ok(()) => self.good(what, format!("{kind} {address} is free")),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && self.is_running => {
                self.good(what, format!("{kind} {address}, the running daemon's"));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let option = if kind == "UDP" { 'u' } else { 't' };
                let fix = format!("ss -{option}lpn 'sport = {}' shows who has it", address.port());
                self.bad(what, format!("{kind} {address}: {error}"), fix);
            }
            Err(error) => {
                self.bad(
                    what,
                    format!("{kind} {address}: {error}"),
                    "ip address shows this host's addresses",
                );
            }
        }
    }

    /// A receive buffer of so many octets.
    pub fn receive_buffer(&mut self, what: &str, octets: u64) {
        let granted = fs::read_to_string("/proc/sys/net/core/rmem_max").ok();
        match granted.and_then(|text| text.trim().parse::<u64>().ok()) {
            Some(granted) if granted < octets => {
                let fix = format!("sysctl -w net.core.rmem_max={octets}");
                self.note(what, format!("{octets} octets wanted, the kernel grants {granted}"), fix);
            }
            Some(_) => self.good(what, format!("{octets} octets")),
            None => {}
        }
    }

    /// The capability that capturing needs.
    pub fn packet_sockets(&mut self, what: &str) {
        let status = fs::read_to_string(STATUS).unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let has = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        if has.is_some_and(|set| set >> CAP_NET_RAW & 1 == 1) {
            return self.good(what, "CAP_NET_RAW");
        }
        let program =
            std::env::current_exe().map_or_else(|_| "PROGRAM".to_owned(), |path| path.display().to_string());
        self.bad(what, "no permission to capture", format!("setcap cap_net_raw=ep {program}"));
    }

    /// What every daemon needs.
    pub(crate) fn common(&mut self, config: &Path, http: Option<crate::config::Http>) {
        self.good("configuration", config.display().to_string());
        if let Some(crate::config::Http { listen }) = http {
            self.is_running = scrape::get(listen, "/livez").is_ok_and(|(status, _)| status == 200);
            self.tcp_port("http.listen", listen);
        }
        self.clock();
    }

    /// Export times and time-outs of templates want a clock that is right.
    fn clock(&mut self) {
        let runs = |name: &str| {
            let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
            processes
                .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
                .any(|comm| comm.trim() == name)
        };
        if Path::new(SYNCHRONIZED).exists() {
            self.good("clock", "kept by systemd-timesyncd");
        } else if let Some(keeper) = KEEPERS.iter().find(|keeper| runs(keeper)) {
            self.good("clock", format!("kept by {keeper}"));
        } else {
            self.note("clock", "nobody is seen to keep it", "apt-get install systemd-timesyncd");
        }
    }

    /// Returns a table: what is wrong last, where it is read.
    fn text(&self) -> String {
        let width = self.list.iter().map(|finding| finding.what.chars().count()).max().unwrap_or_default();
        let mut text = String::new();
        for grade in [Grade::Good, Grade::Note, Grade::Bad] {
            for Finding { what, found, fix, .. } in self.list.iter().filter(|finding| finding.grade == grade)
            {
                let sign = match grade {
                    Grade::Good => "ok  ",
                    Grade::Note => "note",
                    Grade::Bad => "BAD ",
                };
                let _ = writeln!(text, "{sign}  {what:<width$}  {found}");
                if !fix.is_empty() {
                    let _ = writeln!(text, "      {:<width$}  fix: {fix}", "");
                }
            }
        }
        text
    }

    /// Prints everything; fails where something is bad.
    pub(crate) fn tell(&self) -> Result<(), Failure> {
        crate::shell::print(&self.text())?;
        match self.list.iter().filter(|finding| finding.grade == Grade::Bad).count() {
            0 => Ok(()),
            bad => Err(Failure::new(Exit::Failed, format!("{bad} of {} are bad", self.list.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_ends_with_what_is_bad_and_each_fix_is_under_it() {
        let mut findings = Findings::default();
        findings.bad("state", "read only", "mount it");
        findings.good("configuration", "a.toml");
        findings.note("clock", "nobody keeps it", "keep it");
        let expected = "ok    configuration  a.toml\n\
                        note  clock          nobody keeps it\n                     fix: keep it\n\
                        BAD   state          read only\n                     fix: mount it\n";
        assert_eq!(findings.text(), expected);
        assert_eq!(findings.tell().unwrap_err().exit(), Exit::Failed);
    }

    #[test]
    fn a_port_is_bad_that_somebody_else_has() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut findings = Findings::default();
        findings.tcp_port("port", address);
        findings.is_running = true;
        findings.tcp_port("port", address);
        findings.udp_port("port", "192.0.2.1:1".parse().unwrap());
        let grades: Vec<Grade> = findings.list.iter().map(|finding| finding.grade).collect();
        assert_eq!(grades, [Grade::Bad, Grade::Good, Grade::Bad]);
        assert!(findings.list[0].fix.contains(&format!("'sport = {}'", address.port())));
    }

    #[test]
    fn a_folder_must_be_there_and_nothing_is_left_in_it() {
        let folder = std::env::temp_dir().join(format!("flowpool-doctor-{}", std::process::id()));
        let mut findings = Findings::default();
        fs::create_dir_all(&folder).unwrap();
        findings.folder("state", &folder);
        findings.folder("state", &folder.join("none"));
        findings.folder_to_make("state", &folder.join("none/none"));
        findings.folder_to_make("state", Path::new("none"));
        let grades: Vec<Grade> = findings.list.iter().map(|finding| finding.grade).collect();
        assert_eq!(grades, [Grade::Good, Grade::Bad, Grade::Good, Grade::Good]);
        // It is empty.
        fs::remove_dir(&folder).unwrap();
    }
}
