//! Our collectors and exporter in a pool of rsplib's registrar.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use demo::pool::{Plan, Pool};
use demo::process::Daemon;
use demo::stage::{Stage, collector_name};

use crate::check::{Check, wait_for};
use crate::network::Network;
use crate::world;

/// Each is a host of its own; the numbers are those of the stage's addresses.
const HOSTS: [(&str, u8); 4] = [("registrar", 1), ("collector-a", 2), ("collector-b", 3), ("exporter", 4)];
const REGISTRAR: u32 = 0x0a0b_0c02;

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn collectors_and_exporter_work_with_rspregistrar() {
    let check =
        Check::begin("our collectors and exporter work with rspregistrar, over the loss of a collector");
    let network = Network::new(4);
    let plan = Plan::make(5_000, Duration::from_secs(12)).unwrap();
    let stage = Stage::at(network.prefix(), true);
    fs::create_dir_all(&stage.directory).unwrap();
    stage.furnish(&plan).unwrap();
    for (name, _) in &HOSTS[1..] {
        beside_rsplib(&stage, name);
    }
    let launcher = launcher(&stage, &network);
    let start = |role, name: &str| {
        Daemon::start(&launcher, role, name, &stage.config(name), &stage.directory).unwrap()
    };
    let registrar = start("registrar", "registrar");
    wait_for(
        "registrar",
        || registrar.logged(),
        || registrar.logged().contains("Registrar started").then_some(()),
    );
    let collectors = [0, 1].map(|index| Some(start("collector", &collector_name(index))));
    let ready = |daemon: &Option<Daemon>| {
        daemon.as_ref().is_some_and(|daemon| daemon.logged().contains("registered"))
    };
    wait_for("registrations", || registrar.logged(), || collectors.iter().all(ready).then_some(()));
    let exporter = start("exporter", "exporter");
    let mut pool =
        Pool { plan, registrar, second_registrar: None, collectors, exporter, begin: Instant::now(), stage };
    let used = world::wait_for_part(&mut pool, 0.3);
    pool.take_collector(used).unwrap().kill().unwrap();
    let (settlement, stage) = world::settle(pool);
    assert!(settlement.failovers >= 1, "{} failovers", settlement.failovers);
    drop(stage);
    check.passed(&format!(
        "{} flows, {} failover, {} sent again, none lost",
        settlement.flows.0, settlement.failovers, settlement.resent
    ));
}

/// Gives a daemon kernel SCTP and the profile.
fn beside_rsplib(stage: &Stage, name: &str) {
    let text = fs::read_to_string(stage.config(name)).unwrap();
    let lines = text.lines().map(|line| {
        let listens = line.starts_with("ipfix = ") || line.starts_with("addresses = ");
        format!("{line}\n{}", if listens { "stack = \"kernel\"\n" } else { "" })
    });
    let text: String = lines.chain(["[profile]\ntimers = \"rsplib\"\n".to_owned()]).collect();
    fs::write(stage.config(name), text).unwrap();
}

/// A program that becomes the daemon of a configuration file, on its host; the registrar is rsplib's.
fn launcher(stage: &Stage, network: &Network) -> PathBuf {
    let file = stage.directory.join("launch");
    let hosts = HOSTS.map(|(name, host)| format!("*/{name}.toml) on={} ;;\n", network.namespace(host)));
    let address = network.host(1).address;
    let script = format!(
        "#!/bin/sh\ncase \"$5\" in\n{}esac\n\
         if [ \"$2\" = registrar ]; then\n\
           exec ip netns exec $on rspregistrar -identifier=0x{REGISTRAR:x} -asap={address}:3863 -enrp={address}:9901 \
           -asapannounce=off -enrpannounce=off -mentordiscoverytimeout=500 -logcolor=off -loglevel=4 >&2\n\
         fi\nexec ip netns exec $on {} \"$@\"\n",
        hosts.concat(),
        world::program().display()
    );
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}
