//! Records in datagrams, from sockets as any exporter has them.

mod world;

use std::net::UdpSocket;

use world::{Collector, Directory, Flows, address, lines, output, read};

const DATA: &str = "ipfix_collector_records_received_total{kind=\"data\"}";

fn exporter(collector: &Collector) -> UdpSocket {
    let socket = UdpSocket::bind((address(), 0)).unwrap();
    socket.connect(collector.tcp()).unwrap();
    socket
}

fn send(socket: &UdpSocket, flows: &mut Flows) {
    for message in flows.messages() {
        socket.send(&message).unwrap();
    }
}

#[test]
fn records_over_udp_become_json_lines() {
    let directory = Directory::new();
    let collector = Collector::start_udp(&directory, &output(&directory));
    let (exporter, mut flows) = (exporter(&collector), Flows::new());
    flows.flows(0..1_000);
    send(&exporter, &mut flows);
    collector.wait_for_metric(DATA, 1_000.0);
    assert_eq!(collector.metric("ipfix_collector_udp_sessions"), 1.0);
    assert_eq!(collector.metric("ipfix_collector_templates"), 1.0);
    assert!(collector.metric("ipfix_collector_messages_received_total{transport=\"udp\"}") > 15.0);
    assert_eq!(collector.metric("ipfix_collector_udp_kernel_drops_total"), 0.0);
    flows.flows(1_000..1_500);
    send(&exporter, &mut flows);
    // What has come is read before the end.
    assert!(collector.stop().success());
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..1_500, false));
}
