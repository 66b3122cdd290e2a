//! What the operator sees and commands.

use std::process::Output;

use serde_json::Value;

use crate::common::{Net, PE, POOL, Process, registered, run};
use rserpool::{Load, PeId, Policy, PoolElement, PoolElementConfig};

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn states(answer: &Value) -> Vec<(&str, &str)> {
    let all = ["elements", "gone"].into_iter().flat_map(|list| answer[list].as_array().unwrap());
    all.map(|element| (element["pe"].as_str().unwrap(), element["state"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn pools_and_elements_are_listed_and_what_left_stays_with_the_reason() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let empty = net.ask(&["pools"]).await;
    assert_eq!(text(&empty), "POOL  POLICY  TRANSPORT  UP  SUSPECT  DRAINING\n");
    let unknown = net.ask(&["elements", POOL]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&unknown.stderr), "error: pool ipfix: is unknown\n");

    let endpoint = net.endpoint(2);
    let mut element = PoolElement::spawn(net.element_config(2), Some(endpoint.clone())).unwrap();
    registered(&mut element).await;
    let pools = text(&net.ask(&["pools"]).await);
    assert_eq!(pools.lines().nth(1).unwrap(), "ipfix  round-robin  sctp       1   0        0", "{pools}");
    let answer = net.json(&["elements", POOL]).await;
    assert_eq!(states(&answer), [("000000a1", "up")]);
    assert_eq!(answer["elements"][0]["transport"]["addresses"][0], net.host(2).to_string());
    let table = text(&net.ask(&["elements", POOL]).await);
    let row = table.lines().nth(1).unwrap();
    assert!(
        row.starts_with("000000a1  up     ") && row.contains(&format!("sctp {} port 4739", net.host(2))),
        "{table}"
    );

    element.deregister(crate::SOON).await.unwrap();
    let answer = net.json(&["elements", POOL]).await;
    assert_eq!(states(&answer), [("000000a1", "gone")]);
    assert_eq!(answer["gone"][0]["reason"], "deregistered");
    let table = text(&net.ask(&["elements", POOL]).await);
    assert!(table.contains("000000a1  gone") && table.contains("deregistered 0 s ago"), "{table}");

    // It comes back and is no longer among those that left.
    let mut element = PoolElement::spawn(net.element_config(2), Some(endpoint)).unwrap();
    registered(&mut element).await;
    assert_eq!(states(&net.json(&["elements", POOL]).await), [("000000a1", "up")]);
}

#[tokio::test]
async fn a_drained_element_is_selected_by_nobody_until_it_is_put_back() {
    let net = Net::random();
    let registrar = Process::registrar(net).await;
    let mut first = net.element(2);
    registered(&mut first).await;
    let config = PoolElementConfig { pe: Some(PeId(0xa2)), ..net.element_config(3) };
    let mut second = PoolElement::spawn(config, Some(net.endpoint(3))).unwrap();
    registered(&mut second).await;

    let drained = net.drain(&["000000a1"]).await;
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    assert_eq!(states(&net.json(&["elements", POOL]).await), [("000000a1", "draining"), ("000000a2", "up")]);
    net.metric("rserpool_pool_elements{pool=\"ipfix\",state=\"draining\"}", |count| count == 1.0).await;
    let user = net.user();
    for _ in 0..4 {
        assert_eq!(tokio::time::timeout(crate::SOON, user.wait_element()).await.unwrap().pe, PeId(0xa2));
    }
    registrar.line("pool element draining", 1).await;

    assert_eq!(net.drain(&["000000a1", "--undo"]).await.status.code(), Some(0));
    assert_eq!(states(&net.json(&["elements", POOL]).await), [("000000a1", "up"), ("000000a2", "up")]);
    user.resolve();
    let chosen = async { while user.wait_element().await.pe != PE {} };
    tokio::time::timeout(crate::SOON, chosen).await.unwrap();
}

#[tokio::test]
async fn the_page_shows_an_element_that_is_up_drains_and_leaves() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let page = || net.get(1, "/");
    let empty = page().await;
    assert!(empty.contains("content-type: text/html") && empty.contains("No pool is known."), "{empty}");
    assert!(empty.contains("This registrar is alone."), "{empty}");

    let policy = Policy::LeastUsed { load: Load::of(1, 4) };
    let config = PoolElementConfig { policy, ..net.element_config(2) };
    let mut element = PoolElement::spawn(config, Some(net.endpoint(2))).unwrap();
    registered(&mut element).await;
    net.metric("rserpool_keepalives_total{result=\"answered\"}", |answered| answered >= 1.0).await;
    let up = page().await;
    assert!(up.contains("000000a1</th><td><span class=\"mark good\">up</span></td>"), "{up}");
    assert!(up.contains("25.0%") && up.contains(" s ago</td>") && up.contains("(this one)"), "{up}");
    let answer = net.json(&["elements", POOL]).await;
    assert_eq!(answer["elements"][0]["load"], 0.25);
    assert!(answer["elements"][0]["seconds-since-keep-alive"].is_number(), "{answer}");

    assert_eq!(net.drain(&["000000a1"]).await.status.code(), Some(0));
    assert!(page().await.contains("<span class=\"mark changing\">draining</span>"), "{}", page().await);
    element.deregister(crate::SOON).await.unwrap();
    let gone = page().await;
    assert!(
        gone.contains("gone: deregistered, ") && gone.contains("<td>removed</td><td>deregistered</td>"),
        "{gone}"
    );
}

#[tokio::test]
async fn a_command_that_cannot_be_done_says_why() {
    let net = Net::random();
    let registrar = net.drain(&["000000a1"]).await;
    assert_eq!(registrar.status.code(), Some(69), "nobody listens: {registrar:?}");
    let _registrar = Process::registrar(net).await;
    let unknown = net.drain(&["000000a1"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&unknown.stderr), "error: no such pool element is registered\n");
    assert_eq!(net.drain(&["x"]).await.status.code(), Some(2));
    let nobody = run(&["pools", "--http", "127.0.0.1:1"]).await;
    assert_eq!(nobody.status.code(), Some(69), "{nobody:?}");
}

#[tokio::test]
async fn changes_are_printed_as_they_happen() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let watching = net.ask(&["watch", "--recent", "--count", "2"]);
    let changing = async {
        let mut element = net.element(2);
        registered(&mut element).await;
        element.deregister(crate::SOON).await.unwrap();
    };
    let (watched, ()) = tokio::join!(watching, changing);
    let watched = text(&watched);
    let lines: Vec<&str> = watched.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(lines, ["ipfix 000000a1 registered", "ipfix 000000a1 removed: deregistered"]);

    let json = text(&net.ask(&["watch", "--recent", "--count", "1", "--output", "json"]).await);
    let change: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&change["event"], &change["number"]), (&"registered".into(), &1.into()));
    assert!(change["by"].as_str().unwrap().contains(&net.host(2).to_string()), "{change}");
}

#[tokio::test]
async fn every_subcommand_shows_an_example() {
    for command in ["pools", "elements", "resolve", "watch", "peers", "drain"] {
        let help = text(&run(&[command, "--help"]).await);
        assert!(help.contains(&format!("Example:\n  rserpool-registrar {command}")), "{help}");
    }
}

#[tokio::test]
async fn every_metric_is_described_and_named_as_prometheus_wants_it() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let mut element = net.element(2);
    registered(&mut element).await;
    let user = net.user();
    tokio::time::timeout(crate::SOON, user.wait_element()).await.unwrap();
    net.metric("rserpool_handle_resolutions_total{pool=\"ipfix\",result=\"answered\"}", |n| n >= 1.0).await;
    net.metric("rserpool_element_selected_total{pool=\"ipfix\"}", |n| n >= 1.0).await;
    net.metric("rserpool_handle_resolution_duration_seconds_count", |n| n >= 1.0).await;
    net.metric("rserpool_pool_element_changes_total{pool=\"ipfix\",event=\"registered\"}", |n| n == 1.0)
        .await;
    let sent =
        "rserpool_messages_total{protocol=\"asap\",type=\"ASAP_REGISTRATION_RESPONSE\",direction=\"sent\"}";
    net.metric(sent, |n| n >= 1.0).await;
    let metrics = net.metrics().await;
    for sample in [
        "rserpool_enrp_peers{state=\"active\"}",
        "rserpool_enrp_takeovers_total{result=\"completed\"}",
        "rserpool_enrp_checksum_mismatches_total",
        "rserpool_keepalives_total{result=\"missed\"}",
    ] {
        assert!(crate::common::value(&metrics, sample).is_some(), "{sample}\n{metrics}");
    }
    for bound in
        ["0.000001", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1"]
    {
        let bucket = format!("rserpool_handle_resolution_duration_seconds_bucket{{le=\"{bound}\"}}");
        assert!(crate::common::value(&metrics, &bucket).is_some(), "{bucket}\n{metrics}");
    }
    let described = |name: &str| metrics.contains(&format!("# HELP {name} "));
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for (name, kind) in types.filter(|(name, _)| name.starts_with("rserpool_")) {
        assert!(described(name), "{name} has no help");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{name}");
    }
}

#[tokio::test]
async fn doctor_connects_to_each_peer_and_says_what_to_do_about_one_that_is_not_there() {
    let net = Net::random();
    let _peer = Process::registrar_at(net, 1, &format!("peer = [{{ address = \"{}\" }}]", net.host(9))).await;
    let doctor = async |peers: &[u8]| {
        let own = net.host(9);
        let peers = peers.iter().map(|host| format!("[[peer]]\naddress = \"{}\"\n", net.host(*host)));
        let config = format!(
            "[listen]\nasap = [\"{own}:3863\"]\nenrp = [\"{own}:9901\"]\n{}[http]\nlisten = \"{own}:9380\"\n",
            peers.collect::<String>()
        );
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("doctor-{own}.toml"));
        std::fs::write(&file, config).unwrap();
        let output = run(&["doctor", "--config", file.to_str().unwrap()]).await;
        std::fs::remove_file(file).unwrap();
        (output.status.code(), text(&output))
    };
    let (code, told) = doctor(&[1]).await;
    let peer = format!("sctp {}:9901", net.host(1));
    let of_peer = |told: &str| -> Vec<String> {
        told.lines().filter(|line| line.contains("  peer  ")).map(str::to_owned).collect()
    };
    let lines = of_peer(&told);
    assert!(code == Some(0) && lines.len() == 2, "{code:?} {told}");
    assert!(lines[0].starts_with("ok ") && lines[0].contains(&peer) && lines[0].contains(" ms"), "{told}");
    assert!(lines[1].starts_with("ok ") && lines[1].contains("octets go to"), "{told}");

    let (code, told) = doctor(&[1, 5]).await;
    let bad: Vec<String> = of_peer(&told).into_iter().filter(|line| line.starts_with("BAD ")).collect();
    assert!(
        code == Some(1) && bad.len() == 1 && bad[0].contains(&net.host(5).to_string()),
        "{code:?} {told}"
    );
    assert!(told.contains("fix: start it there"), "{told}");
}
