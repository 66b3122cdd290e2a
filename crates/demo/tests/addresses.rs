//! Collectors with addresses of both families, and an exporter that has IPv4 only.

mod world;

use std::fs;
use std::net::{Ipv6Addr, UdpSocket};
use std::process::Command;

use demo::pool::Pool;
use demo::process::{self, ROLE};
use demo::stage::{Stage, collector_name};

#[test]
fn collectors_are_registered_with_all_addresses_and_reached_at_those_that_answer() {
    let (plan, stage) = world::stage(4);
    let ports = [0, 1].map(|index| add_ipv6(&stage, index));
    let mut pool = Pool::start(world::program(), plan, stage).unwrap();
    let table = resolve(&pool.stage);
    for (index, port) in (0..).zip(ports) {
        let address = pool.stage.collector(index);
        let row = format!("sctp ::1,{address} port 4739 (UDP {port})");
        assert!(table.contains(&row), "no {row} in\n{table}");
    }
    // The next collector is reached in the same way.
    let used = world::wait_for_part(&mut pool, 0.3);
    pool.take_collector(used).unwrap().kill().unwrap();
    world::wait_for_another(&mut pool, used);
    let log = pool.exporter.logged();
    for index in 0..2 {
        let address = pool.stage.collector(index);
        let told = log.lines().any(|line| {
            line.contains("userland SCTP has one path") && line.contains(&format!("sctp {address}:4739"))
        });
        assert!(told, "the path to {address} is not told in\n{log}");
    }
    world::settle(pool);
}

/// Gives collector `index` the address ::1, first, and returns its encapsulation port there and elsewhere.
fn add_ipv6(stage: &Stage, index: u8) -> u16 {
    // Everybody has ::1, so no port is ours before the system says so.
    let port = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let file = stage.config(&collector_name(index));
    let config = fs::read_to_string(&file).unwrap();
    let both = format!("ipfix = [\"[::1]:4739\", \"{}:4739\"]", stage.collector(index));
    let (before, after) = config.split_once("\n\n").unwrap();
    assert!(before.starts_with("[listen]\nipfix = "), "{before}");
    fs::write(file, format!("[listen]\n{both}\nencapsulation-port = {port}\n\n{after}")).unwrap();
    port
}

/// Returns what `rserpool-registrar resolve` prints.
fn resolve(stage: &Stage) -> String {
    let mut command = Command::new(world::program());
    command.args([ROLE, "registrar", "resolve", "ipfix", "--registrar", &stage.registrar().to_string()]);
    let output = process::output(&mut command).unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
