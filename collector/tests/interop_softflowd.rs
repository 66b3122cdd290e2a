//! softflowd exports to the collector over TCP. It knows no pool and asks for no acknowledgement.

mod softflowd;
mod world;

use pcap_fixtures::{HTTP, fixture};
use world::{Collector, Directory, address, output, read};

#[test]
#[ignore = "needs softflowd"]
fn the_flows_of_softflowd_over_tcp_are_those_of_the_capture() {
    let directory = Directory::new();
    let mut collector = Collector::start(&directory, address(), &output(&directory));
    if !softflowd::export(&directory, &fixture(HTTP), "tcp", collector.tcp()) {
        return;
    }
    collector.wait_for("exporter gone");
    assert_eq!(collector.metric("ipfix_collector_messages_malformed_total"), 0.0);
    assert_eq!(collector.metric("ipfix_collector_cookies_sent_total"), 0.0, "it has not asked for any");
    assert!(collector.stop().success());
    let flows = softflowd::written(&read(&directory.path("flows.jsonl")));
    assert_eq!(flows.len(), 20);
    assert_eq!(flows, softflowd::expected(HTTP));
}
