//! Registrars and pool elements of the next generation (docs/wire.md sections 15 to 18): real processes.

use rserpool::{CauseCode, PoolElement, PoolElementConfig, PoolElementEvent, UserTransport};
use serde_json::Value;

use crate::UP;
use crate::common::{Net, PE, POOL, Process, event, registered};

/// The beginning of a configuration: who it is, whom it knows, and that it speaks the next generation.
fn beginning(net: Net, id: &str, peer: Option<&str>) -> String {
    let peer = peer.map_or(String::new(), |peer| format!("peer = [{{ address = \"{peer}\" }}]\n"));
    let networks = format!("{}/24", net.host(0));
    format!("id = \"{id}\"\n{peer}enrp = {{ next-generation = true, networks = [\"{networks}\"] }}\n")
}

/// A registrar over SCTP and TCP.
async fn with_both(net: Net, host: u8, id: &str, peer: Option<&str>) -> Process {
    let address = net.host(host);
    let text = format!(
        "{}[listen]\nasap = [\"{address}:3863\"]\nenrp = [\"{address}:9901\"]\nenrp-tcp = [\"{address}:9901\"]\n\
         mptcp = true\n[http]\nlisten = \"{}\"\n",
        beginning(net, id, peer),
        net.http_of(host)
    );
    Process::configured(net, host, &text).await
}

/// A registrar over TCP alone.
async fn without_sctp(net: Net, host: u8, id: &str, peer: &str) -> Process {
    let address = net.host(host);
    let text = format!(
        "{}[listen]\nasap = []\nasap-tcp = [\"{address}:3863\"]\nenrp-tcp = [\"{address}:9901\"]\n[http]\nlisten = \"{}\"\n",
        beginning(net, id, Some(peer)),
        net.http_of(host)
    );
    Process::configured(net, host, &text).await
}

/// What the registrar at `host` says of this peer.
async fn peer(net: Net, host: u8, id: &str) -> Value {
    let answer = net.json_at(host, &["peers"]).await;
    let peers = answer["peers"].as_array().unwrap();
    peers.iter().find(|peer| peer["id"] == id).unwrap_or_else(|| panic!("{answer:#}")).clone()
}

async fn active(net: Net, host: u8, count: f64) {
    net.metric_of(host, "rserpool_enrp_peers{state=\"active\"}", |active| active == count).await;
}

#[tokio::test]
async fn registrars_with_one_mentor_in_common_find_each_other_over_tcp() {
    let net = Net::random();
    let mentor = net.host(1).to_string();
    let _first = with_both(net, 1, "0a0b0c01", None).await;
    let _second = with_both(net, 5, "0a0b0c02", Some(&mentor)).await;
    active(net, 5, 1.0).await;
    let _third = without_sctp(net, 6, "0a0b0c03", &format!("tcp://{mentor}")).await;
    for host in [1, 5, 6] {
        active(net, host, 2.0).await;
    }
    let (second, third) = (peer(net, 6, "0a0b0c02").await, peer(net, 5, "0a0b0c03").await);
    assert_eq!((&second["transport"], &third["transport"]), (&"tcp".into(), &"tcp".into()));
    assert_eq!((&second["port"], &third["port"]), (&9901.into(), &Value::Null));
    let told = third["tcp"][0].as_str().unwrap();
    assert_eq!(told, format!("tcp://{}:9901", net.host(6)));
    assert!(second["tcp"][0].as_str().unwrap().starts_with(&format!("tcp://{}:9901", net.host(5))));
    assert_eq!(peer(net, 5, "0a0b0c01").await["transport"], "sctp", "where there is a path, SCTP is used");

    // What is registered with one is known to the other.
    let registrars = vec![mentor.parse().unwrap()];
    let config = PoolElementConfig { registrars, ..net.element_config(2) };
    let _element = PoolElement::spawn(config, Some(net.endpoint(2))).unwrap();
    for host in [5, 6] {
        net.metric_of(host, UP, |up| up == 1.0).await;
    }
}

#[tokio::test]
async fn a_second_registrar_of_one_identifier_is_refused_and_the_operator_reads_what_to_do() {
    let net = Net::random();
    let mentor = net.host(1).to_string();
    let first = with_both(net, 1, "0a0b0c01", None).await;
    let _second = with_both(net, 5, "0a0b0c02", Some(&mentor)).await;
    active(net, 1, 1.0).await;
    let long = peer(net, 1, "0a0b0c02").await["long-id"].clone();
    let _copy = with_both(net, 6, "0a0b0c02", Some(&mentor)).await;
    first.line("two registrars have the same identifier", 1).await;
    for host in [5, 6] {
        assert_eq!(first.count(&format!("sctp:{}:9901", net.host(host))), 1);
    }
    net.metric_of(1, "rserpool_enrp_refused_total{reason=\"id_conflict\"}", |count| count >= 1.0).await;
    let known = peer(net, 1, "0a0b0c02").await;
    assert_eq!((&known["long-id"], &known["addresses"][0]), (&long, &net.host(5).to_string().into()));

    let long = long.as_str().unwrap();
    assert!(long.len() == 16 && long.ends_with("0a0b0c02"));
    assert_eq!(net.json_at(5, &["peers"]).await["long-id"], long);
    let table = String::from_utf8(net.ask_at(1, &["peers"]).await.stdout).unwrap();
    assert!(table.lines().nth(1).unwrap().ends_with(long), "{table}");
}

#[tokio::test]
async fn a_long_identifier_is_shown_and_another_element_with_the_same_short_one_is_refused() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let config = |port| {
        let config = net.element_config(2);
        let transport = UserTransport { port, ..config.transport };
        PoolElementConfig { next_generation: true, transport, ..config }
    };
    let endpoint = net.endpoint(2);
    let mut element = PoolElement::spawn(config(4739), Some(endpoint.clone())).unwrap();
    registered(&mut element).await;
    let elements = net.json(&["elements", POOL]).await;
    let long = elements["elements"][0]["long-pe"].as_str().unwrap().to_owned();
    assert!(long.len() == 16 && long.ends_with(&PE.to_string()));

    let mut other = PoolElement::spawn(config(4740), Some(endpoint)).unwrap();
    let refused = event(&mut other, |event| matches!(event, PoolElementEvent::Rejected { .. })).await;
    let PoolElementEvent::Rejected { causes, .. } = refused else { unreachable!() };
    assert_eq!(causes[0].code, CauseCode::NON_UNIQUE_PE_ID);
    assert_eq!(net.json(&["elements", POOL]).await["elements"][0]["long-pe"], *long);
}
