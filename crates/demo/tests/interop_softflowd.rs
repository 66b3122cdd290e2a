//! softflowd sends NetFlow 5 and 9 and IPFIX over UDP to a relay: the pool has the flows of the capture.

#[path = "relay/world.rs"]
mod relay;
#[path = "../../../collector/tests/softflowd/mod.rs"]
mod softflowd;

use pcap_fixtures::{HTTP, fixture};
use relay::{Line, PORT, World};
use serde_json::Value;

/// What the module of softflowd needs of its test.
mod world {
    use std::path::PathBuf;

    pub(crate) struct Directory(pub(crate) PathBuf);

    impl Directory {
        pub(crate) fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }
}

/// Sends the capture's flows through a relay.
fn passed_on(options: &[&str]) {
    let world = World::start();
    let directory = world::Directory(world.stage.directory.clone());
    if !softflowd::export_as(&directory, &fixture(HTTP), options, (world.stage.exporter(), PORT).into()) {
        return;
    }
    world.wait_for_flows(20.0);
    let metrics = world.wait_for_cover();
    assert_eq!(metrics, 20.0);
    let (pool, _) = world.end();
    let from_here = |line: &Line| line.contains_key("originalExporterIPv4Address");
    let lines: Vec<String> =
        pool.into_iter().filter(from_here).map(|line| Value::from(line).to_string()).collect();
    assert_eq!(softflowd::written(&lines.join("\n")), softflowd::expected(HTTP));
}

#[test]
#[ignore = "needs softflowd"]
fn the_flows_of_softflowd_by_netflow_5_go_through_a_relay() {
    passed_on(&["-v", "5"]);
}

#[test]
#[ignore = "needs softflowd"]
fn the_flows_of_softflowd_by_netflow_9_go_through_a_relay() {
    passed_on(&["-v", "9"]);
}

#[test]
#[ignore = "needs softflowd"]
fn the_flows_of_softflowd_by_ipfix_go_through_a_relay() {
    passed_on(&["-v", "10", "-P", "udp"]);
}
