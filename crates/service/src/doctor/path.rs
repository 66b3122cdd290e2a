//! What `doctor` finds on the way to others: the MTU of a path, and interfaces whose offloads hand on what was never on a wire.
//!
//! An interface is known by what /sys says of it; its offloads are asked of the program ethtool, as the kernel tells them by
//! ioctl only.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::process::Command;

use super::Findings;

/// What every path of IPv6 takes (RFC 8200 section 5); narrower ones have a tunnel in them, or somebody's mistake.
const ORDINARY_MTU: usize = 1280;
/// Where /proc and /sys are.
const ROOT: &str = "/";
/// Offloads of a virtual pair that matter: packets arrive joined, or without their checksum.
const OFFLOADS: [(&str, &str); 5] = [
    ("tx-sctp-segmentation", "tx-sctp-segmentation"),
    ("tx-checksum-sctp", "tx-checksum-sctp"),
    ("tcp-segmentation-offload", "tso"),
    ("generic-segmentation-offload", "gso"),
    ("generic-receive-offload", "gro"),
];
/// Where ethtool is; an ordinary user may not have sbin among the folders of programs.
const ETHTOOL: [&str; 2] = ["ethtool", "/usr/sbin/ethtool"];

impl Findings {
    /// The way to `peer`: `mtu` is the MTU of the path as the kernel knows it, or why there is none.
    pub fn path(&mut self, what: &str, peer: IpAddr, mtu: io::Result<usize>) {
        match mtu {
            Ok(mtu) if mtu < ORDINARY_MTU => {
                let fix = format!("tracepath {peer} shows where the path is narrow");
                self.note(what, format!("packets of {mtu} octets at most go to {peer}"), fix);
            }
            Ok(mtu) => self.good(what, format!("packets of {mtu} octets go to {peer}")),
            Err(error) => {
                let fix = format!("ip route get {peer} shows what this host knows");
                self.bad(what, format!("no way to {peer}: {error}"), fix);
            }
        }
    }

    /// The interface towards `peer`, with which SCTP in UDP is spoken.
    pub fn sctp_offloads(&mut self, what: &str, peer: IpAddr) {
        if let Some(device) = device_towards(Path::new(ROOT), peer) {
            self.offloads(
                what,
                &device,
                "SCTP in user space gets packets that are joined and have no checksum",
            );
        }
    }

    /// An interface that packets are captured from.
    pub fn capture_offloads(&mut self, what: &str, device: &str) {
        self.offloads(what, device, "packets are captured joined, and counted as one");
    }

    fn offloads(&mut self, what: &str, device: &str, consequence: &str) {
        if !is_pair(Path::new(ROOT), device) {
            return;
        }
        let Some(features) = features(device) else {
            let found = format!(
                "{device} is an end of a virtual pair; ethtool, which tells its offloads, is not there"
            );
            return self.note(what, found, "apt-get install ethtool");
        };
        let on = switched_on(&features);
        if on.is_empty() {
            return self.good(what, format!("{device} is an end of a virtual pair without offloads"));
        }
        let options: String = on.iter().map(|(_, option)| format!(" {option} off")).collect();
        let names: Vec<&str> = on.iter().map(|(name, _)| *name).collect();
        self.note(
            what,
            format!("{device} is an end of a virtual pair with {}: {consequence}", names.join(", ")),
            format!("ethtool -K {device}{options}, and the same at the other end"),
        );
    }
}

/// Whether `device` is an end of a virtual pair (veth): an Ethernet without hardware and kind, linked to another interface
/// that is not below it.
fn is_pair(root: &Path, device: &str) -> bool {
    let class = root.join("sys/class/net").join(device);
    let read = |name: &str| fs::read_to_string(class.join(name)).unwrap_or_default();
    let entries = || fs::read_dir(&class).into_iter().flatten().flatten();
    let is_below = |name: std::ffi::OsString| name.to_string_lossy().starts_with("lower_");
    let is_ethernet = read("type").trim() == "1";
    is_ethernet
        && !class.join("device").exists()
        && !read("uevent").contains("DEVTYPE=")
        && read("iflink").trim() != read("ifindex").trim()
        && !entries().any(|entry| is_below(entry.file_name()))
}

/// The interface of the narrowest route to `peer`; none where that is no matter of the routing tables in /proc.
fn device_towards(root: &Path, peer: IpAddr) -> Option<String> {
    let read = |name: &str| fs::read_to_string(root.join("proc/net").join(name)).unwrap_or_default();
    let (text, route): (String, ReadRoute) = match peer {
        IpAddr::V4(_) => (read("route"), ipv4_route),
        IpAddr::V6(_) => (read("ipv6_route"), ipv6_route),
    };
    let routes = text.lines().filter_map(|line| route(line, peer));
    routes.max_by_key(|route| (route.prefix, Reverse(route.metric))).map(|route| route.device)
}

/// Reads a line of a routing table: a route that an address goes by.
type ReadRoute = fn(&str, IpAddr) -> Option<Route>;

/// A route that an address goes by.
struct Route {
    prefix: u32,
    metric: u32,
    device: String,
}

/// `eth0 0002000A 00000000 0001 0 0 100 00FFFFFF …`: interface, destination, gateway, flags, two counts, metric, mask.
/// Addresses are as in memory.
fn ipv4_route(line: &str, peer: IpAddr) -> Option<Route> {
    let IpAddr::V4(peer) = peer else { return None };
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [device, destination, _, _, _, _, metric, mask, ..] = fields[..] else { return None };
    let number = |text| u32::from_str_radix(text, 16).ok();
    let (destination, mask) = (number(destination)?, number(mask)?);
    let covers = u32::from_ne_bytes(peer.octets()) & mask == destination;
    let (device, metric) = (device.to_owned(), metric.parse().ok()?);
    covers.then_some(Route { prefix: mask.count_ones(), metric, device })
}

/// `DESTINATION PREFIX SOURCE PREFIX NEXTHOP METRIC COUNT COUNT FLAGS INTERFACE`, in hexadecimal.
fn ipv6_route(line: &str, peer: IpAddr) -> Option<Route> {
    let IpAddr::V6(peer) = peer else { return None };
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [destination, prefix, _, _, _, metric, _, _, _, device] = fields[..] else { return None };
    let destination = Ipv6Addr::from(u128::from_str_radix(destination, 16).ok()?);
    let prefix = u32::from_str_radix(prefix, 16).ok()?;
    let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
    let covers = peer.to_bits() & mask == destination.to_bits() & mask;
    let metric = u32::from_str_radix(metric, 16).ok()?;
    covers.then(|| Route { prefix, metric, device: device.to_owned() })
}

/// What ethtool says of an interface; none where there is no ethtool.
fn features(device: &str) -> Option<String> {
    let asked = |program: &&str| Command::new(program).args(["-k", device]).output().ok();
    let output = ETHTOOL.iter().find_map(asked).filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The offloads that are on, with the option of `ethtool -K` that switches each.
fn switched_on(features: &str) -> Vec<(&'static str, &'static str)> {
    let is_on = |name: &str| {
        features
            .lines()
            .any(|line| line.trim().strip_prefix(name).is_some_and(|rest| rest.starts_with(": on")))
    };
    OFFLOADS.into_iter().filter(|(name, _)| is_on(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    /// A root with an interface of these files, gone with the value.
    struct Root(std::path::PathBuf);

    impl Root {
        fn new(test: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("flowpool-{test}-{}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_path_is_told_with_its_mtu_and_none_is_bad() {
        let mut findings = Findings::default();
        let peer = "192.0.2.1".parse().unwrap();
        findings.path("way", peer, Ok(1500));
        findings.path("way", peer, Ok(576));
        findings.path("way", peer, Err(io::ErrorKind::NetworkUnreachable.into()));
        let grades: Vec<Grade> = findings.list.iter().map(|finding| finding.grade).collect();
        assert_eq!(grades, [Grade::Good, Grade::Note, Grade::Bad]);
        assert_eq!(findings.list[1].fix, "tracepath 192.0.2.1 shows where the path is narrow");
        assert_eq!(findings.list[2].fix, "ip route get 192.0.2.1 shows what this host knows");
    }

    #[test]
    fn an_end_of_a_virtual_pair_is_told_from_other_interfaces() {
        let root = Root::new(
            "pairs",
            &[
                ("sys/class/net/veth0/type", "1\n"),
                ("sys/class/net/veth0/ifindex", "5\n"),
                ("sys/class/net/veth0/iflink", "4\n"),
                ("sys/class/net/veth0/uevent", "INTERFACE=veth0\nIFINDEX=5\n"),
                ("sys/class/net/eth0/type", "1\n"),
                ("sys/class/net/eth0/ifindex", "2\n"),
                ("sys/class/net/eth0/iflink", "2\n"),
                ("sys/class/net/eth0.7/type", "1\n"),
                ("sys/class/net/eth0.7/ifindex", "3\n"),
                ("sys/class/net/eth0.7/iflink", "2\n"),
                ("sys/class/net/eth0.7/lower_eth0", ""),
                ("sys/class/net/gre1/type", "778\n"),
                ("sys/class/net/gre1/ifindex", "9\n"),
                ("sys/class/net/gre1/iflink", "0\n"),
            ],
        );
        let pairs = ["veth0", "eth0", "eth0.7", "gre1", "none"].map(|device| is_pair(&root.0, device));
        assert_eq!(pairs, [true, false, false, false, false]);
    }

    #[test]
    fn the_narrowest_route_tells_the_interface() {
        let hex = |text: &str| {
            let address: std::net::Ipv4Addr = text.parse().unwrap();
            format!("{:08X}", u32::from_ne_bytes(address.octets()))
        };
        let route = |device: &str, to: &str, metric: u32, mask: &str| {
            format!("{device}\t{}\t00000000\t0001\t0\t0\t{metric}\t{}\t0\t0\t0\n", hex(to), hex(mask))
        };
        let ipv4 = [
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n".to_owned(),
            route("eth0", "0.0.0.0", 0, "0.0.0.0"),
            route("eth2", "10.1.0.0", 200, "255.255.0.0"),
            route("eth1", "10.1.0.0", 100, "255.255.0.0"),
        ];
        let zero = "0".repeat(32);
        let ipv6 = format!(
            "{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n\
             20010db8{} 20 {zero} 00 {zero} 00000100 00000001 00000000 00000001 eth6\n",
            "0".repeat(24)
        );
        let root = Root::new("routes", &[("proc/net/route", &ipv4.concat()), ("proc/net/ipv6_route", &ipv6)]);
        let towards = |peer: &str| device_towards(&root.0, peer.parse().unwrap());
        let found = ["10.1.2.3", "192.0.2.1", "2001:db8::1", "2001:db9::1"].map(towards);
        assert_eq!(found, ["eth1", "eth0", "eth6", "lo"].map(|device| Some(device.to_owned())));
        assert_eq!(device_towards(Path::new("/none"), IpAddr::from([192, 0, 2, 1])), None);
    }

    #[test]
    fn offloads_that_are_on_are_named_with_the_option_that_ends_them() {
        let features = "Features for veth0:\ntx-checksumming: on\n\ttx-checksum-sctp: on\n\
                        tcp-segmentation-offload: off\ngeneric-receive-offload: on [fixed]\n";
        let on = [("tx-checksum-sctp", "tx-checksum-sctp"), ("generic-receive-offload", "gro")];
        assert_eq!(switched_on(features), on);
        assert_eq!(switched_on(""), []);
    }
}
