//! Three hosts on one Ethernet: network namespaces with a bridge between them, and folders of their own where tunnels have theirs.
//!
//! A second network, `10.98.0.0/24`, leads from this test to each of them: whatever happens to the first, their metrics can be read.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use demo::process::{signal, wait_until};

/// Nothing here takes so long on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// In the middle of the Ethernet, and the place to listen at it.
const SWITCH: &str = "flowpool-wan";
/// Offloads of a virtual link: joined packets, and some without a checksum, which no wire has.
const OFFLOADS: &str = "tx-sctp-segmentation off tx-checksum-sctp off tso off gso off gro off";
/// What each host has of its own, in place of this machine's.
const OWN: [&str; 4] = ["/run", "/etc/wireguard", "/etc/swanctl", "/etc/nftables.conf"];

/// One of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Host {
    Registrar,
    Collector,
    Exporter,
}

impl Host {
    pub(crate) const ALL: [Self; 3] = [Self::Registrar, Self::Collector, Self::Exporter];

    /// Of its daemon, in the files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Registrar => "registrar",
            Self::Collector => "collector",
            Self::Exporter => "exporter",
        }
    }

    /// The last octet of its addresses.
    fn number(self) -> u8 {
        match self {
            Self::Registrar => 11,
            Self::Collector => 21,
            Self::Exporter => 31,
        }
    }

    /// On the Ethernet.
    pub(crate) fn outside(self) -> String {
        format!("192.0.2.{}", self.number())
    }

    /// Where its daemon tells its metrics.
    pub(crate) fn http(self) -> SocketAddr {
        ([10, 98, 0, self.number()], 9380).into()
    }

    fn namespace(self) -> String {
        format!("flowpool-{}", self.name())
    }
}

/// The hosts. Dropping them removes the namespaces, which must be empty.
#[derive(Debug)]
pub(crate) struct Hosts {
    directory: PathBuf,
}

impl Hosts {
    /// Makes them; their own files are in `directory`.
    pub(crate) fn new(directory: &Path) -> Self {
        let hosts = Self { directory: directory.to_owned() };
        run(&format!(
            "ip netns add {SWITCH}
             ip -n {SWITCH} link add wan type bridge
             ip -n {SWITCH} link set wan up
             ip link add flowpool-admin type bridge
             ip address add 10.98.0.1/24 dev flowpool-admin
             ip link set flowpool-admin up"
        ));
        for host in Host::ALL {
            hosts.furnish(host);
            let (namespace, outside, number) = (host.namespace(), host.outside(), host.number());
            run(&format!(
                "ip netns add {namespace}
                 ip -n {namespace} link set lo up
                 ip link add wan{number} netns {SWITCH} type veth peer name eth0 netns {namespace}
                 ip -n {SWITCH} link set wan{number} master wan up
                 ip -n {namespace} address add {outside}/24 dev eth0
                 ip -n {namespace} link set eth0 up
                 ip netns exec {SWITCH} ethtool -K wan{number} {OFFLOADS} >&2
                 ip netns exec {namespace} ethtool -K eth0 {OFFLOADS} >&2
                 ip link add admin{number} type veth peer name admin netns {namespace}
                 ip link set admin{number} master flowpool-admin up
                 ip -n {namespace} address add 10.98.0.{number}/24 dev admin
                 ip -n {namespace} link set admin up"
            ));
        }
        hosts
    }

    fn furnish(&self, host: Host) {
        let own = self.directory.join(host.name());
        fs::create_dir_all(&own).unwrap();
        run(&format!(
            "cd {}; mkdir run etc etc/wireguard; cp -a /etc/swanctl etc; touch etc/nftables.conf",
            own.display()
        ));
    }

    /// The place of a file of a host.
    pub(crate) fn file(&self, host: Host, path: &str) -> PathBuf {
        self.directory.join(host.name()).join(path.trim_start_matches('/'))
    }

    /// Shell commands on a host, not started yet.
    pub(crate) fn on(&self, host: Host, commands: &str) -> Command {
        let own = |path: &str| format!("mount --bind {} {path}\n", self.file(host, path).display());
        let binds: String = OWN.iter().map(|path| own(path)).collect();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &host.namespace(), "sh", "-euc", &format!("{binds}{commands}")]);
        command
    }

    /// Runs shell commands on a host, which must succeed; returns what they print.
    pub(crate) fn run(&self, host: Host, commands: &str) -> String {
        printed(&self.on(host, commands).output().unwrap(), commands)
    }

    /// Listens between the hosts, until it is stopped, and writes what passes to `file`.
    pub(crate) fn listen(&self, file: &Path) -> Background {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", SWITCH, "tcpdump", "-n", "-i", "wan", "--immediate-mode", "-U", "-w"]);
        Background::start(command.arg(file), "listening on", &self.directory.join("wire"))
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for namespace in Host::ALL.map(Host::namespace).iter().map(String::as_str).chain([SWITCH]) {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
        let _ = Command::new("ip").args(["link", "del", "flowpool-admin"]).status();
    }
}

/// A program beside the test, with what it prints in files.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Background {
    /// Starts it, and waits until its standard error says `ready`.
    pub(crate) fn start(command: &mut Command, ready: &str, log: &Path) -> Self {
        let (out, err) = (log.with_extension("out"), log.with_extension("err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let started = Self { child, out, err };
        started.wait_for(ready);
        started
    }

    /// Waits until its standard error says `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        let logged = || fs::read_to_string(&self.err).unwrap_or_default();
        let said = wait_until(PATIENCE, || Ok(logged().contains(text)));
        assert!(said.unwrap(), "nobody said \"{text}\":\n{}", logged());
    }

    /// Ends it as systemd would; returns what it has printed.
    pub(crate) fn stop(mut self) -> String {
        signal(self.child.id(), "TERM").unwrap();
        self.child.wait().unwrap();
        fs::read_to_string(&self.out).unwrap()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts the packets of a capture that tcpdump's expression selects.
pub(crate) fn count(capture: &Path, expression: &str) -> usize {
    let commands = format!("tcpdump -n -r {} '{expression}'", capture.display());
    run(&commands).lines().count()
}

/// Runs shell commands here, which must succeed; returns what they print.
pub(crate) fn run(commands: &str) -> String {
    printed(&Command::new("sh").args(["-euc", commands]).output().unwrap(), commands)
}

fn printed(output: &Output, commands: &str) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{commands} (root is needed): {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
