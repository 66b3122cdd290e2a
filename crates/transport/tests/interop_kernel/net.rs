//! Two network namespaces joined by a veth pair, with loss on the way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Two namespaces and the link between them. Dropping it removes both.
pub(crate) struct Net {
    pub(crate) left: Side,
    pub(crate) right: Side,
}

/// One namespace. `device` is its end of the link.
pub(crate) struct Side {
    pub(crate) namespace: String,
    device: String,
    pub(crate) v4: IpAddr,
    pub(crate) v6: IpAddr,
}

/// What of a veth's offloads is left on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Offloads {
    /// None: each SCTP packet crosses the link as it will cross a wire.
    Off,
    /// All: kernel SCTP hands over packets longer than the MTU, without a CRC.
    On,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Net {
    /// A link that loses `loss` percent of the packets in each direction.
    pub(crate) fn new(loss: u32, offloads: Offloads) -> Net {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let side = |letter: char, host: u8| Side {
            namespace: format!("flowpool-{}-{number}{letter}", id()),
            device: format!("veth{letter}"),
            v4: Ipv4Addr::new(10, 77, 0, host).into(),
            v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host.into()).into(),
        };
        let net = Net { left: side('a', 1), right: side('b', 2) };
        for side in [&net.left, &net.right] {
            ip(&["netns", "add", &side.namespace]);
        }
        let (left, right) = (&net.left, &net.right);
        left.run("ip", &["link", "add", &left.device, "type", "veth", "peer", "name", &right.device]);
        left.run("ip", &["link", "set", &right.device, "netns", &right.namespace]);
        for side in [left, right] {
            side.configure(loss, offloads);
        }
        net
    }

    /// Moves the left end of the link to a new namespace with the same addresses, as if that host had started again.
    /// Returns the namespace before, which is cut off.
    pub(crate) fn renew_left(&mut self) -> Abandoned {
        let namespace = format!("{}-again", self.left.namespace);
        ip(&["netns", "add", &namespace]);
        self.left.run("ip", &["link", "set", &self.left.device, "netns", &namespace]);
        let before = std::mem::replace(&mut self.left.namespace, namespace);
        self.left.configure(0, Offloads::Off);
        Abandoned(before)
    }

    /// Each packet takes `delay` in each direction.
    pub(crate) fn delay(&self, delay: Duration) {
        for side in [&self.left, &self.right] {
            let delay = format!("{}ms", delay.as_millis());
            side.run("tc", &["qdisc", "change", "dev", &side.device, "root", "netem", "delay", &delay]);
        }
    }

    /// Nothing crosses any more, and nobody is told.
    pub(crate) fn cut(&self) {
        for side in [&self.left, &self.right] {
            side.lose("change", 100);
        }
    }

    /// Everything crosses again.
    pub(crate) fn heal(&self) {
        for side in [&self.left, &self.right] {
            side.lose("change", 0);
        }
    }
}

/// A namespace without its link. Dropping it removes it.
pub(crate) struct Abandoned(String);

impl Drop for Abandoned {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for side in [&self.left, &self.right] {
            let _ = Command::new("ip").args(["netns", "del", &side.namespace]).status();
        }
    }
}

impl Side {
    fn configure(&self, loss: u32, offloads: Offloads) {
        let device = self.device.as_str();
        self.run("ip", &["address", "add", &format!("{}/24", self.v4), "dev", device]);
        self.run("ip", &["address", "add", &format!("{}/64", self.v6), "dev", device, "nodad"]);
        for device in ["lo", device] {
            self.run("ip", &["link", "set", device, "up"]);
        }
        if offloads == Offloads::Off {
            let off = ["tx-sctp-segmentation", "off", "gso", "off", "gro", "off"];
            self.run("ethtool", &[["-K", device].as_slice(), &off].concat());
        }
        self.lose("add", loss);
    }

    /// Long enough for all packets in flight: netem's own default of 1,000 would lose some.
    fn lose(&self, how: &str, percent: u32) {
        let loss = format!("{percent}%");
        self.run(
            "tc",
            &["qdisc", how, "dev", &self.device, "root", "netem", "limit", "20000", "loss", &loss],
        );
    }

    /// Lets kernel SCTP take part: it answers at UDP port 9899 (RFC 6951) in this namespace.
    pub(crate) fn open_kernel_encapsulation(&self) {
        self.run("sysctl", &["-q", "-w", "net.sctp.udp_port=9899"]);
    }

    /// Makes kernel SCTP take the same port for each association it sets up.
    pub(crate) fn allow_one_port(&self) {
        self.run("sysctl", &["-q", "-w", "net.ipv4.ip_local_port_range=50001 50001"]);
    }

    pub(crate) fn address(&self, ipv6: bool) -> IpAddr {
        if ipv6 { self.v6 } else { self.v4 }
    }

    /// A command inside this namespace.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        check(self.command(program).args(arguments));
    }
}

fn ip(arguments: &[&str]) {
    check(Command::new("ip").args(arguments));
}

fn check(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let reason = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} (root is needed): {}", reason.trim());
}
