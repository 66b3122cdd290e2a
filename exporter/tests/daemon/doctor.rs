//! `doctor` before an exporter starts: it asks the registrar who is in the pool, and looks at each of them.

use std::fs;
use std::process::Command;

use pcap_fixtures::{DEMO, fixture};
use rserpool::{Protocol, TransportUse};
use transport::LossReason;

use crate::world::{Collector, World, deaf_endpoint, register, register_by};

const CONTROL: TransportUse = TransportUse::DATA_PLUS_CONTROL;

/// Runs `doctor` with the configuration of an exporter of this world; returns its exit code and what it prints.
async fn doctor(world: &World) -> (Option<i32>, String) {
    let file = world.path("exporter.toml");
    fs::write(&file, world.config(&fixture(DEMO), "", "reliable")).unwrap();
    let run = move || {
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_ipfix-exporter"));
        doctor.args(["doctor", "--config"]).arg(&file).output().unwrap()
    };
    // The registrar and the collectors are in this process.
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Returns the lines about `what`, each followed by its fix, if it has one.
fn lines<'a>(text: &'a str, what: &str) -> Vec<&'a str> {
    let mut is_about = false;
    let about = |line: &&str| {
        is_about = line.contains(what) || is_about && line.trim_start().starts_with("fix: ");
        is_about
    };
    text.lines().filter(about).collect()
}

#[tokio::test]
async fn each_collector_of_the_pool_is_connected_to_and_left_gracefully() {
    let world = World::new();
    world.registrar();
    let mut collectors =
        [Collector::start(&world, 2, CONTROL).await, Collector::start(&world, 3, CONTROL).await];
    let (code, text) = doctor(&world).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ipfix: 2 collectors\n"), "{text}");
    for (collector, host) in collectors.iter_mut().zip([2, 3]) {
        let told = lines(&text, &format!("collector 0000000{host}"));
        let at = format!("sctp {}:4739", world.host(host));
        assert!(
            told.len() == 2 && told[0].starts_with("ok ") && told[0].contains(&at) && told[0].contains(" ms"),
            "{text}"
        );
        assert!(told[1].starts_with("ok ") && told[1].contains(" octets go to"), "{text}");
        assert_eq!(collector.visited().await, LossReason::PeerClosed, "{text}");
    }
}

#[tokio::test]
async fn a_collector_that_is_not_reached_is_bad_and_the_fix_is_told() {
    let world = World::new();
    world.registrar();
    let _heard = Collector::start(&world, 2, CONTROL).await;
    let deaf = deaf_endpoint(&world, 3);
    let _deaf = register(&world, 3, CONTROL, &deaf).await;
    let (code, text) = doctor(&world).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(lines(&text, "collector 00000002")[0].starts_with("ok "), "{text}");
    let told = lines(&text, "collector 00000003");
    assert!(
        told.iter().any(|line| line.starts_with("BAD ") && line.contains(&world.host(3).to_string())),
        "{text}"
    );
    assert!(told.iter().any(|line| line.contains("fix: ") && line.contains("ss -lntup")), "{text}");
}

#[tokio::test]
async fn collectors_of_another_transport_are_bad() {
    let world = World::new();
    world.registrar();
    let endpoint = deaf_endpoint(&world, 2);
    let _element = register_by(&world, 2, Protocol::Tcp, &endpoint).await;
    let (code, text) = doctor(&world).await;
    assert_eq!(code, Some(1), "{text}");
    let told = lines(&text, "collector 00000002");
    assert!(
        told[0].starts_with("BAD ") && told[0].contains("registered tcp, and pool.transport is sctp"),
        "{text}"
    );
}

#[tokio::test]
async fn of_many_collectors_the_first_are_looked_at() {
    let world = World::new();
    world.registrar();
    let mut collectors = Vec::new();
    for host in 20..38 {
        collectors.push(Collector::start(&world, host, CONTROL).await);
    }
    let (code, text) = doctor(&world).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ipfix: 18 collectors, looked at are the first 16"), "{text}");
    assert_eq!(text.matches(": connected in ").count(), 16, "{text}");
    assert!(!text.contains("collector 00000024") && text.contains("collector 00000023"), "{text}");
}
