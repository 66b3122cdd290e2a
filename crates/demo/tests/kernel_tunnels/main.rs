//! The recipes of docs/encryption.md: a pool in WireGuard and in IPsec, with the page's own commands and files.
//!
//! Needs root and a kernel with SCTP and with both tunnels: `cargo xtask interop` runs it in a virtual machine. Registrar,
//! collector and exporter have a host each, a network namespace, and between the hosts every packet is looked at.

mod hosts;
mod ipsec;
#[path = "../world/page.rs"]
mod page;
mod pool;
mod wireguard;

use std::fs;
use std::path::{Path, PathBuf};

use hosts::{Background, Host, Hosts, count};
use page::Page;
use pool::Pool;

const PAGE: Page = Page { name: "docs/encryption.md", text: include_str!("../../../../docs/encryption.md") };

/// The packet of IPv4 is a fragment, and not of any tunnel's business.
const FRAGMENT: &str = "ip and ip[6:2] & 0x3fff != 0";

#[test]
#[ignore = "needs root, kernel SCTP and wireguard-tools"]
fn a_pool_in_wireguard_loses_nothing_and_shows_nothing() {
    let mut world = World::new("WireGuard");
    wireguard::up(&world);
    let mut pool = world.start_pool("userland");
    assert_silence(&pool);
    let handshakes = world.hosts.run(Host::Exporter, "wg show flowpool latest-handshakes");
    assert!(handshakes.lines().all(|peer| peer.ends_with("\t0")), "{handshakes}");

    wireguard::mend(&world);
    pool.settle();
    let said = pool.doctor();
    assert!(said.contains("packets of 1420 octets go to 10.99.0.11"), "{said}");
    drop(pool);
    world.start_pool("kernel").settle();
    world.assert_hidden("udp port 51820");
}

#[test]
#[ignore = "needs root, kernel SCTP and strongSwan"]
fn a_pool_in_ipsec_loses_nothing_and_shows_nothing() {
    let mut world = World::new("IPsec");
    let daemons = ipsec::up(&world);
    let mut pool = world.start_pool("userland");
    let said = assert_silence(&pool);
    assert!(said.contains("no way to 192.0.2.11: IPsec has not agreed on keys with it"), "{said}");
    daemons[0].wait_for("no trusted ECDSA public key found for '192.0.2.31'");
    daemons[2].wait_for("received AUTHENTICATION_FAILED notify error");
    assert_ne!(ipsec::counted(&world, Host::Exporter, "XfrmOutNoStates"), 0);

    ipsec::mend(&world);
    pool.settle();
    let said = pool.doctor();
    assert!(said.contains("packets of 1466 octets go to 192.0.2.11"), "{said}");
    drop(pool);
    world.start_pool("kernel").settle();
    let mut pool = world.start_pool("userland");
    pool.settle();
    world.assert_hidden("esp or udp port 500 or udp port 4500");
    assert_clear_text_refused(&world, &pool, daemons);
}

/// A host that comes without IPsec gets no answer: the firewall refuses it, and so does IPsec where strongSwan is running.
fn assert_clear_text_refused(world: &World, pool: &Pool, daemons: [Background; 3]) {
    let [registrar, _, exporter] = daemons;
    exporter.stop();
    let said = pool.doctor();
    assert!(said.contains("packets of 1500 octets go to 192.0.2.11"), "{said}");
    assert!(said.contains("none answers"), "{said}");
    world.hosts.run(Host::Registrar, "nft delete table inet flowpool");
    let said = pool.doctor();
    assert!(said.contains("none answers"), "{said}");
    assert_ne!(ipsec::counted(world, Host::Registrar, "XfrmInTmplMismatch"), 0);
    registrar.stop();
    let said = pool.doctor();
    assert!(said.contains("192.0.2.11:3863 answers"), "{said}");
}

/// With the wrong key the exporter keeps all its records, and the page's signs are there. Returns what `doctor` says.
fn assert_silence(pool: &Pool) -> String {
    // By then it has its address, which `doctor` would take otherwise.
    let exporter = pool.wait_for(Host::Exporter, "all flows metered", |metrics| {
        metrics.sum("ipfix_exporter_records_metered_total") == pool::FLOWS
    });
    let said = pool.doctor();
    assert!(said.contains("none answers"), "{said}");
    for name in ["registrar_connected", "collector_connected", "records_exported_total"] {
        assert_eq!(exporter.sum(&format!("ipfix_exporter_{name}")), 0.0, "{name}");
    }
    assert_eq!(exporter.sum("ipfix_exporter_buffered_records"), pool::FLOWS);
    let collector = pool.wait_for(Host::Collector, "registration", |metrics| {
        metrics.sum("ipfix_collector_pool_registered") == 1.0
    });
    assert_eq!(collector.sum("ipfix_collector_records_received_total"), 0.0);
    said
}

/// The hosts, and the recipe that is tried.
#[derive(Debug)]
struct World {
    hosts: Hosts,
    /// As in the names of the page's files.
    recipe: &'static str,
    directory: PathBuf,
    /// Writes `wire`.
    ear: Option<Background>,
    wire: PathBuf,
}

impl World {
    fn new(recipe: &'static str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("flowpool-tunnels-{}-{recipe}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        println!("configuration, logs and flows are in {}", directory.display());
        let hosts = Hosts::new(&directory);
        for host in Host::ALL {
            fs::write(hosts.file(host, "/etc/nftables.conf"), PAGE.file("/etc/nftables.conf")).unwrap();
            hosts.run(host, &PAGE.commands("firewall"));
        }
        let wire = directory.join("wire.pcap");
        let ear = Some(hosts.listen(&wire));
        Self { hosts, recipe, directory, ear, wire }
    }

    fn start_pool(&self, stack: &'static str) -> Pool {
        println!("{}: a pool with {stack} SCTP", self.recipe);
        Pool::start(self.recipe, stack, &self.directory)
    }

    /// What was on the wire is the tunnel's, in whole packets, and some of these are as long as the wire takes.
    fn assert_hidden(&mut self, tunnel: &str) {
        self.ear.take().unwrap().stop();
        let counted = |expression: &str| count(&self.wire, expression);
        let page = PAGE.commands("wire");
        let clear = page.split('\'').nth(1).expect("an expression in quotes");
        println!("{}: {} packets", self.recipe, counted(tunnel));
        assert_eq!(counted(clear), 0, "packets that the page says must not be there");
        assert_eq!(counted(&format!("ip and not ({tunnel})")), 0, "packets beside the tunnel's");
        assert_eq!(counted(FRAGMENT), 0, "fragments");
        assert_ne!(counted(&format!("({tunnel}) and greater 1450")), 0, "long packets");
    }
}

/// Makes a file of a host of the page's file of that name.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
