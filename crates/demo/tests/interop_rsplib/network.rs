//! Hosts of one test: network namespaces on a bridge, each with one address.

use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, id};
use std::sync::atomic::{AtomicU8, Ordering};

static NEXT: AtomicU8 = AtomicU8::new(1);

/// A /24 whose hosts can be reached from here too. Dropping it removes it.
pub(crate) struct Network {
    number: u8,
    hosts: u8,
    /// For configuration and logs; stays if the test fails.
    pub(crate) folder: PathBuf,
}

/// One host.
#[derive(Clone)]
pub(crate) struct Host {
    namespace: String,
    pub(crate) address: Ipv4Addr,
}

impl Network {
    /// Makes a network with hosts 1 to `hosts`.
    pub(crate) fn new(hosts: u8) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("flowpool-rsplib-{}-{number}", id()));
        fs::create_dir_all(&folder).unwrap();
        let network = Self { number, hosts, folder };
        let bridge = format!("rspbr{number}");
        let mut batch = format!(
            "link add {bridge} type bridge\naddress add 10.77.{number}.254/24 dev {bridge}\nlink set {bridge} up\n"
        );
        for host in 1..=hosts {
            let (name, outside) = (network.namespace(host), format!("rsp{number}h{host}"));
            batch += &format!(
                "netns add {name}\nlink add {outside} type veth peer name eth0 netns {name}\n\
                 link set {outside} master {bridge} up\n"
            );
        }
        network.ip(&[], &batch);
        for host in 1..=hosts {
            let address = network.address(host);
            let inside = format!(
                "address add {address}/24 dev eth0\nlink set lo up\nlink set eth0 up\nroute add 224.0.0.0/4 dev eth0\n"
            );
            network.ip(&["-n", &network.namespace(host)], &inside);
        }
        network
    }

    /// Returns host `number`, from 1 on.
    pub(crate) fn host(&self, number: u8) -> Host {
        assert!((1..=self.hosts).contains(&number));
        Host { namespace: self.namespace(number), address: self.address(number) }
    }

    /// Returns what all addresses begin with.
    pub(crate) fn prefix(&self) -> [u8; 3] {
        [10, 77, self.number]
    }

    /// Returns the address of this side, outside the hosts.
    pub(crate) fn outside(&self) -> Ipv4Addr {
        self.address(254)
    }

    /// Returns the namespace of a host.
    pub(crate) fn namespace(&self, host: u8) -> String {
        format!("rsp{}-{host}", self.number)
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, host)
    }

    fn ip(&self, options: &[&str], commands: &str) {
        let file = self.folder.join("ip.batch");
        fs::write(&file, commands).unwrap();
        let output = Command::new("ip").args(options).arg("-batch").arg(&file).output().unwrap();
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip -batch (root is needed): {reason}\n{commands}");
    }
}

impl Host {
    /// A command on this host.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let mut batch = format!("link del rspbr{}\n", self.number);
        for host in 1..=self.hosts {
            batch += &format!("netns del {}\n", self.namespace(host));
        }
        let file = self.folder.join("ip.batch");
        let _ = fs::write(&file, batch);
        let _ = Command::new("ip").args(["-force", "-batch"]).arg(&file).output();
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
