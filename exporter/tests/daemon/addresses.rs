//! Collectors with several addresses.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};

use pcap_fixtures::{DEMO, fixture};
use transport::{Endpoint, EndpointConfig};

use crate::world::{Collector, Exporter, World, metered};

const LOCALHOST6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Exports the capture to the only collector of the pool, and checks that all of it went there at the first go.
async fn export(exporter: Exporter, collector: &mut Collector) {
    let (_, flows) = metered(&fixture(DEMO), 1);
    let mut session = collector.accept().await;
    session.receive(|seen| !seen.records.is_empty()).await;
    let metrics = exporter.http("/metrics");
    assert!(metrics.contains("ipfix_exporter_paths{state=\"up\"} 1\n"), "{metrics}");
    assert!(metrics.contains("ipfix_exporter_paths{state=\"down\"} 0\n"), "{metrics}");
    session.serve().await;
    let end = exporter.end().await;
    assert_eq!((end.code, end.number("covered"), end.number("failovers")), (Some(0), flows, 0));
    assert!(!end.log.contains("quarantine"), "the collector was never given up");
}

#[tokio::test]
async fn a_collector_is_reached_at_its_second_address_while_the_first_is_silent() {
    let world = World::new();
    world.registrar();
    // Takes what comes and never answers; nor is there ICMP.
    let _silent = UdpSocket::bind((world.host(6), 9899)).unwrap();
    let endpoint = Endpoint::bind(EndpointConfig::new(world.host(2))).unwrap();
    // The exporter has no IPv6 address.
    let elsewhere = [LOCALHOST6, world.host(6)];
    let mut collector = Collector::start_at(&world, &elsewhere, endpoint).await;
    let mut exporter = Exporter::start(&world, &world.config(&fixture(DEMO), "speed = 0", "reliable"));
    let line = exporter.wait_for("userland SCTP has one path").await;
    assert!(line.contains(&world.host(2).to_string()) && line.contains("addresses=3"), "{line}");
    export(exporter, &mut collector).await;
}

#[tokio::test]
async fn an_exporter_with_addresses_of_both_families_reaches_a_collector_at_either() {
    for families in [[6, 4], [4, 6]] {
        let world = World::new();
        world.registrar();
        let address = |family| if family == 4 { world.host(2) } else { LOCALHOST6 };
        let [first, second] = families.map(address);
        // ::1 is everybody's: a free port there.
        let mut config = EndpointConfig::new(first);
        (config.encapsulation, config.more_addresses) = (0, vec![second]);
        let endpoint = Endpoint::bind(config).unwrap();
        let mut collector = Collector::start_at(&world, &[], endpoint).await;
        let own = format!("[\"{}\"]", world.host(4));
        let both = format!("[\"{}\", \"::1\"]\nencapsulation-port = 0", world.host(4));
        let config = world.config(&fixture(DEMO), "speed = 0", "reliable");
        let mut exporter = Exporter::start(&world, &config.replace(&own, &both));
        let line = exporter.wait_for("userland SCTP has one path").await;
        assert!(line.contains(&first.to_string()), "{first} comes first: {line}");
        export(exporter, &mut collector).await;
    }
}
