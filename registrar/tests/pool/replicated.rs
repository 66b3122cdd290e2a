//! Two registrars that replicate: real processes, one of which goes.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use rserpool::{AnnounceConfig, PeId, PoolElement, PoolElementConfig, PoolHandle, PoolUser, PoolUserConfig};
use serde_json::Value;
use tokio::time::timeout;

use crate::common::{Net, PE, POOL, Process, registered};
use crate::{SOON, UP};

/// A pool element that knows both registrars; a home that is lost is replaced by the other one.
fn element(net: Net, host: u8, pe: PeId) -> PoolElement {
    let registrars = [1, 5].map(|host| net.host(host).to_string().parse().unwrap()).to_vec();
    let config = PoolElementConfig { pe: Some(pe), registrars, ..net.element_config(host) };
    PoolElement::spawn(config, Some(net.endpoint(host))).unwrap()
}

async fn elements(net: Net, host: u8) -> Vec<(String, String, String)> {
    let output = net.ask_at(host, &["elements", POOL, "--output", "json"]).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let text = |element: &Value, key: &str| element[key].as_str().unwrap().to_owned();
    let elements = answer["elements"].as_array().cloned().unwrap_or_default();
    elements.iter().map(|e| (text(e, "pe"), text(e, "home"), text(e, "state"))).collect()
}

/// Waits until the elements at `host` are as `wanted`.
async fn become_so(net: Net, host: u8, wanted: impl Fn(&[(String, String, String)]) -> bool) {
    let mut last = Vec::new();
    let waiting = async {
        loop {
            last = elements(net, host).await;
            if wanted(&last) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    if timeout(SOON, waiting).await.is_err() {
        panic!("the elements at {host} stay {last:?}");
    }
}

#[tokio::test]
async fn an_element_is_at_both_registrars_and_a_killed_registrar_is_taken_over() {
    let net = Net::random();
    let [first, second] = Process::pair(net).await;
    let _element = element(net, 2, PE);
    for host in [1, 5] {
        net.metric_of(host, UP, |up| up == 1.0).await;
    }
    let home = elements(net, 1).await[0].1.clone();
    assert_eq!(elements(net, 5).await[0].1, home, "both know the same home");
    let peers = net.json_at(1, &["peers"]).await;
    assert_eq!(peers["peers"][0]["id"], "0a0b0c02");
    assert_eq!(peers["peers"][0]["state"], "active");
    let table = String::from_utf8(net.ask_at(5, &["peers"]).await.stdout).unwrap();
    assert!(table.lines().nth(1).unwrap().starts_with("0a0b0c01   active"), "{table}");

    let (dead, survivor, host, id) = match home.as_str() {
        "0a0b0c01" => (first, second, 5, "0a0b0c02"),
        _ => (second, first, 1, "0a0b0c01"),
    };
    let killed = Instant::now();
    drop(dead);
    // The element comes by itself or is taken over; it is there all the time.
    let mut gone = false;
    loop {
        let now = elements(net, host).await;
        gone |= now.is_empty();
        if now.first().is_some_and(|(_, home, state)| home == id && state == "up") {
            break;
        }
        assert!(killed.elapsed() < SOON, "{now:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    eprintln!("the survivor is home after {:?}", killed.elapsed());
    net.metric_of(host, "rserpool_enrp_peers{state=\"active\"}", |count| count == 0.0).await;
    assert!(!gone, "the living element was not resolvable");
    assert_eq!(survivor.terminate(), Some(0));
}

#[tokio::test]
async fn elements_that_know_only_a_dead_registrar_are_taken_over_and_always_resolvable() {
    let net = Net::random();
    let [first, second] = Process::pair(net).await;
    let mut elements = Vec::new();
    for (host, pe) in [(2, 0xa1), (3, 0xa2), (4, 0xa3)] {
        let config = PoolElementConfig { pe: Some(PeId(pe)), ..net.element_config(host) };
        let mut element = PoolElement::spawn(config, Some(net.endpoint(host))).unwrap();
        registered(&mut element).await;
        elements.push(element);
    }
    net.metric_of(5, UP, |up| up == 3.0).await;
    let killed = Instant::now();
    drop(first);
    let mut fewest = usize::MAX;
    loop {
        let now = self::elements(net, 5).await;
        fewest = fewest.min(now.len());
        if now.iter().all(|(_, home, state)| home == "0a0b0c02" && state == "up") {
            break;
        }
        assert!(killed.elapsed() < SOON, "{now:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    eprintln!("takeover complete after {:?}", killed.elapsed());
    assert_eq!(fewest, 3, "a living element was not resolvable");
    second.line("took over", 1).await;
    net.metric_of(5, "rserpool_enrp_takeovers_total{result=\"completed\"}", |count| count == 1.0).await;
    net.metric_of(5, "rserpool_pool_element_changes_total{pool=\"ipfix\",event=\"taken_over\"}", |n| {
        n == 3.0
    })
    .await;
}

#[tokio::test]
async fn a_dead_element_is_gone_from_every_registrar() {
    let net = Net::random();
    let _pair = Process::pair(net).await;
    let element = Process::element(net);
    for host in [1, 5] {
        net.metric_of(host, UP, |up| up == 1.0).await;
    }
    let killed = Instant::now();
    element.signal("KILL");
    for host in [1, 5] {
        become_so(net, host, <[_]>::is_empty).await;
        eprintln!("gone from registrar {host} after {:?}", killed.elapsed());
    }
}

#[tokio::test]
async fn an_element_drained_at_its_home_is_selected_nowhere() {
    let net = Net::random();
    let _pair = Process::pair(net).await;
    // It knows the first registrar only.
    let mut first = net.element(2);
    registered(&mut first).await;
    let _second = element(net, 3, PeId(0xa2));
    for host in [1, 5] {
        net.metric_of(host, UP, |up| up == 2.0).await;
    }
    assert_eq!(net.drain(&["000000a1"]).await.status.code(), Some(0));
    let draining = |elements: &[(String, String, String)]| {
        elements.iter().any(|(pe, _, state)| pe == "000000a1" && state == "draining")
    };
    for host in [1, 5] {
        become_so(net, host, draining).await;
    }
    let user = net.user_over(&net.host(5).to_string(), Some(net.endpoint(4)));
    assert_eq!(timeout(SOON, user.wait_element()).await.unwrap().pe, PeId(0xa2));

    assert_eq!(net.drain(&["000000a1", "--undo"]).await.status.code(), Some(0));
    become_so(net, 5, |elements| elements.len() == 2 && !draining(elements)).await;
}

#[tokio::test]
async fn a_registrar_that_ends_in_order_hands_its_elements_over() {
    let net = Net::random();
    let [first, second] = Process::pair(net).await;
    // It knows the first registrar only.
    let element = Process::element(net);
    net.metric_of(5, UP, |up| up == 1.0).await;
    let asked = Instant::now();
    assert_eq!(first.terminate(), Some(0));
    eprintln!("ended after {:?}", asked.elapsed());
    become_so(net, 5, |elements| {
        elements.first().is_some_and(|(_, home, state)| home == "0a0b0c02" && state == "up")
    })
    .await;
    element.line("another registrar took over", 1).await;
    assert_eq!(second.count("pool element removed"), 0);
}

#[tokio::test]
async fn a_stranger_becomes_no_peer() {
    let net = Net::random();
    // The first one does not list the second.
    let first = Process::registrar_at(net, 1, "id = \"0a0b0c01\"").await;
    let listed = format!("id = \"0a0b0c02\"\npeer = [{{ address = \"{}\" }}]", net.host(1));
    let second = Process::registrar_at(net, 5, &listed).await;
    net.metric_of(1, "rserpool_enrp_refused_total{reason=\"stranger\"}", |count| count >= 1.0).await;
    second
        .line("WARN audit: another registrar refuses this one as a stranger: list this one's address", 1)
        .await;
    assert_eq!(second.count(&format!("peer=\"sctp {}:9901", net.host(1))), 1);
    assert_eq!(net.json_at(1, &["peers"]).await["peers"].as_array().unwrap().len(), 0);
    assert_eq!(first.count("registrar joined"), 0);
}

#[tokio::test]
async fn registrars_find_each_other_by_multicast_and_users_find_them() {
    let net = Net::random();
    let port = 20_000 + rand_port();
    let group = |id: &str| {
        let IpAddr::V4(host) = net.host(0) else { unreachable!() };
        let [_, a, b, _] = host.octets();
        format!(
            "id = \"{id}\"\nenrp = {{ networks = [\"127.0.0.0/8\"] }}\n\
             announce = {{ asap = {{ group = \"239.255.{a}.{b}\", port = {port}, ttl = 0 }}, \
             enrp = {{ group = \"239.254.{a}.{b}\", port = {port}, ttl = 0 }} }}"
        )
    };
    let _first = Process::registrar_at(net, 1, &group("0a0b0c01")).await;
    let _second = Process::registrar_at(net, 5, &group("0a0b0c02")).await;
    for host in [1, 5] {
        net.metric_of(host, "rserpool_enrp_peers{state=\"active\"}", |count| count == 1.0).await;
    }
    let _element = element(net, 2, PE);
    let IpAddr::V4(host) = net.host(0) else { unreachable!() };
    let [_, a, b, _] = host.octets();
    let announce = AnnounceConfig {
        group: Ipv4Addr::new(239, 255, a, b).into(),
        port,
        interface: Some(net.host(4)),
        networks: vec!["127.0.0.0/8".parse().unwrap()],
    };
    let config = PoolUserConfig::new(PoolHandle::new(POOL).unwrap(), vec![]);
    let config = PoolUserConfig { announce: Some(announce), ..config };
    let user = PoolUser::spawn(config, Some(net.endpoint(4)));
    assert_eq!(timeout(SOON, user.wait_element()).await.unwrap().pe, PE);
}

fn rand_port() -> u16 {
    let [a, b, ..] = getrandom::u64().unwrap().to_be_bytes();
    u16::from_be_bytes([a & 0x3f, b])
}
