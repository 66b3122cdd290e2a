//! The registrar's process with pool elements and pool users over real transports on loopback.
//!
//! Every test has random addresses of its own, so ports are the well-known ones and nothing collides.
#![expect(clippy::disallowed_methods, reason = "measures how long things take")]

mod common;
mod distance;
mod floods;
mod hostile;
mod names;
mod next_generation;
mod operator;
mod replicated;
mod secured;

use std::time::{Duration, Instant};

use common::{Net, PE, POOL, Process, SOON, event, registered, value};
use rserpool::{
    CauseCode, ConfigError, Load, PeId, Policy, PoolElement, PoolElementConfig, PoolElementEvent,
    PoolElementState, PoolUser,
};
use tokio::time::timeout;
use transport::{Event, MsgOut, Ppid};

/// "Dead PE gone from every registrar", profile `fast`.
const FAST_REMOVAL: Duration = Duration::from_millis(3_500);

const UP: &str = "rserpool_pool_elements{pool=\"ipfix\",state=\"up\"}";

async fn pool_unknown(user: &PoolUser) {
    let mut state = user.state();
    timeout(SOON, state.wait_for(|state| state.pool_unknown)).await.expect("the pool stays known").unwrap();
}

#[tokio::test]
#[ignore = "run by other tests as a process of its own"]
async fn pool_element_process() {
    common::pool_element_process().await;
}

#[tokio::test]
async fn an_element_registers_is_resolved_answers_keep_alives_and_leaves() {
    let net = Net::random();
    let registrar = Process::registrar(net).await;
    let mut element = net.element(2);
    registered(&mut element).await;

    let user = net.user();
    let selected = timeout(SOON, user.wait_element()).await.unwrap();
    assert_eq!((selected.pe, selected.transport.addresses, selected.stale), (PE, vec![net.host(2)], false));
    net.metric("rserpool_keepalives_total{result=\"answered\"}", |count| count >= 2.0).await;
    net.metric(UP, |up| up == 1.0).await;

    element.deregister(SOON).await.unwrap();
    pool_unknown(&user).await;
    net.metric(UP, |up| up == 0.0).await;
    net.metric("rserpool_pool_element_changes_total{pool=\"ipfix\",event=\"deregistered\"}", |n| n == 1.0)
        .await;
    net.metric("rserpool_keepalives_total{result=\"missed\"}", |count| count == 0.0).await;
    assert_eq!(registrar.terminate(), Some(0));
}

#[tokio::test]
async fn the_same_works_over_tcp() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let tcp = format!("tcp://{}", net.registrar());
    // The connection comes from whatever address the host chooses; loopback may register any of loopback.
    let config = PoolElementConfig { registrars: vec![tcp.parse().unwrap()], ..net.element_config(2) };
    let mut element = PoolElement::spawn(config, transport::Connector::default()).unwrap();
    registered(&mut element).await;
    let user = net.user_over(&tcp, None);
    assert_eq!(timeout(SOON, user.wait_element()).await.unwrap().pe, PE);
    net.metric("rserpool_keepalives_total{result=\"answered\"}", |count| count >= 1.0).await;
    element.deregister(SOON).await.unwrap();
    pool_unknown(&user).await;
}

#[tokio::test]
async fn a_killed_element_is_gone_within_the_bound() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let element = Process::element(net);
    let user = net.user();
    timeout(SOON, user.wait_element()).await.unwrap();
    let killed = Instant::now();
    element.signal("KILL");
    pool_unknown(&user).await;
    assert!(killed.elapsed() <= FAST_REMOVAL, "took {:?}", killed.elapsed());
}

#[tokio::test]
async fn a_frozen_element_is_gone_within_the_bound_and_comes_back() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let element = Process::element(net);
    let user = net.user();
    timeout(SOON, user.wait_element()).await.unwrap();
    let frozen = Instant::now();
    element.signal("STOP");
    pool_unknown(&user).await;
    assert!(frozen.elapsed() <= FAST_REMOVAL, "took {:?}", frozen.elapsed());
    element.signal("CONT");
    assert_eq!(timeout(SOON, user.wait_element()).await.unwrap().pe, PE);
}

#[tokio::test]
async fn a_refused_registration_shows_its_cause() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let mut first = net.element(2);
    registered(&mut first).await;
    let policy = Policy::LeastUsed { load: Load(0) };
    let config = PoolElementConfig { pe: None, policy, ..net.element_config(3) };
    let mut second = PoolElement::spawn(config, Some(net.endpoint(3))).unwrap();
    let refused = event(&mut second, |event| matches!(event, PoolElementEvent::Rejected { .. })).await;
    let PoolElementEvent::Rejected { causes, retry } = refused else { unreachable!() };
    assert_eq!(causes[0].code, CauseCode::INCONSISTENT_POLICY);
    assert_eq!(causes[0].policy(), Some(Policy::RoundRobin));
    assert!(retry.is_some());
    assert_eq!(*second.state().borrow(), PoolElementState::Rejected { causes });
    net.metric("rserpool_message_errors_total{protocol=\"asap\",cause=\"inconsistent_policy\"}", |n| {
        n >= 1.0
    })
    .await;
}

#[tokio::test]
async fn an_element_whose_addresses_cannot_be_registered_is_refused_before_it_starts() {
    let net = Net::random();
    let mut config = net.element_config(2);
    config.transport.addresses.clear();
    assert_eq!(
        PoolElement::spawn(config, transport::Connector::default()).unwrap_err(),
        ConfigError::NoAddress
    );
}

#[tokio::test]
async fn after_a_restart_of_the_registrar_elements_and_users_are_back() {
    let net = Net::random();
    let registrar = Process::registrar(net).await;
    let mut element = net.element(2);
    registered(&mut element).await;
    let user = net.user();
    timeout(SOON, user.wait_element()).await.unwrap();

    drop(registrar);
    event(&mut element, |event| *event == PoolElementEvent::RegistrarLost).await;
    let mut state = user.state();
    timeout(SOON, state.wait_for(|state| state.registrar.is_none())).await.unwrap().unwrap();
    // Without a registrar the last answer is still good.
    assert_eq!(user.next_element().await.map(|selected| selected.pe), Some(PE));

    let _registrar = Process::registrar(net).await;
    registered(&mut element).await;
    let news = user.state().borrow().news;
    user.resolve();
    // That the restarted registrar did not know the pool yet may be news that comes as late as this.
    let told = state.wait_for(|state| {
        let has_registrar = state.registrar.is_some();
        has_registrar && !state.pool_unknown && state.elements == 1 && state.news > news
    });
    timeout(SOON, told).await.unwrap().unwrap();
    let selected = timeout(SOON, user.wait_element()).await.unwrap();
    assert_eq!((selected.pe, selected.stale), (PE, false));
}

#[tokio::test]
async fn a_registrar_stopped_for_10_s_ends_no_association_and_has_the_element_afterwards() {
    let net = Net::random();
    let registrar = Process::registrar(net).await;
    let (serving, using) = (net.endpoint(2), net.endpoint(4));
    let mut listener = serving.listen(4739).await.unwrap();
    let mut element = PoolElement::spawn(net.element_config(2), Some(serving.clone())).unwrap();
    registered(&mut element).await;
    let user = net.user_over(&net.registrar(), Some(using.clone()));
    timeout(SOON, user.wait_element()).await.unwrap();
    let mut data = using.connect(serving.peer_address(4739)).await.unwrap();
    let mut served = listener.accept().await.unwrap();

    registrar.signal("STOP");
    // Nothing happens to the data association meanwhile.
    assert!(timeout(Duration::from_secs(10), data.recv()).await.is_err());
    assert_eq!(user.next_element().await.map(|selected| selected.pe), Some(PE));
    registrar.signal("CONT");

    registered(&mut element).await;
    let selected = timeout(SOON, async {
        loop {
            let selected = user.wait_element().await;
            if !selected.stale {
                return selected;
            }
            user.state().changed().await.unwrap();
        }
    });
    assert_eq!(selected.await.unwrap().pe, PE);
    net.metric(UP, |up| up == 1.0).await;
    let metrics = net.metrics().await;
    for reason in ["unreachable", "connection_lost", "expired"] {
        let sample = format!("rserpool_pool_element_changes_total{{pool=\"ipfix\",event=\"{reason}\"}}");
        assert_eq!(value(&metrics, &sample), None, "the living element was removed: {reason}");
    }
    data.send(MsgOut::new(Ppid::IPFIX, vec![0, 10, 0, 4])).await.unwrap();
    assert!(matches!(timeout(SOON, served.recv()).await.unwrap(), Event::Message(_)));
}

#[tokio::test]
async fn one_log_line_tells_each_change_however_often_is_tried() {
    let net = Net::random();
    let element = Process::element(net);
    element.line("registrar not reached", 5).await;
    assert_eq!(element.count("no registrar reachable, retrying"), 1);
    let registrar = Process::registrar(net).await;
    element.line(" registered ", 1).await;
    assert_eq!(element.count("registrar found"), 1);
    drop(registrar);
    element.line("registrar not reached", 10).await;
    assert_eq!(element.count("registrar lost, looking for one"), 1);
    assert_eq!(element.count("no registrar reachable, retrying"), 2);
    assert_eq!(element.count(" registered "), 1);
}

#[tokio::test]
async fn an_unknown_pool_is_told_and_found_as_soon_as_it_exists() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let user = net.user();
    pool_unknown(&user).await;
    assert_eq!(user.next_element().await, None);
    let _element = net.element(2);
    assert_eq!(timeout(SOON, user.wait_element()).await.unwrap().pe, PE);
    assert!(!user.state().borrow().pool_unknown);
}

#[tokio::test]
async fn a_failed_element_is_reported_quarantined_and_another_one_is_used() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let mut first = net.element(2);
    registered(&mut first).await;
    let config = PoolElementConfig { pe: None, ..net.element_config(3) };
    let mut second = PoolElement::spawn(config, Some(net.endpoint(3))).unwrap();
    registered(&mut second).await;
    let user = net.user();
    let failed = timeout(SOON, user.wait_element()).await.unwrap().pe;
    user.report_unreachable(failed);
    for _ in 0..4 {
        assert_ne!(timeout(SOON, user.wait_element()).await.unwrap().pe, failed);
    }
    // An element that answers stays in the pool, whatever is reported.
    net.metric("rserpool_unreachable_reports_total{result=\"accepted\"}", |count| count == 1.0).await;
    net.metric(UP, |up| up == 2.0).await;
}

#[tokio::test]
async fn the_command_resolve_prints_the_pool_and_tells_failures_by_exit_codes() {
    let net = Net::random();
    let registrar = net.registrar();
    let unreachable = net.resolve(&["--registrar", &registrar, "--timeout", "1s"]).await;
    assert_eq!(unreachable.status.code(), Some(69));

    let _registrar = Process::registrar(net).await;
    let unknown = net.resolve(&["--registrar", &registrar]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("pool ipfix: is unknown"));

    let mut element = net.element(2);
    registered(&mut element).await;
    let table = net.resolve(&["--registrar", &registrar]).await;
    let text = String::from_utf8(table.stdout).unwrap();
    assert_eq!(table.status.code(), Some(0));
    let row = text.lines().nth(1).unwrap();
    assert!(row.starts_with("000000a1"), "{text}");
    assert!(
        row.contains(&format!("sctp {} port 4739  data plus control  round-robin", net.host(2))),
        "{text}"
    );

    let json = net.resolve(&["--output", "json", "--registrar", &format!("tcp://{registrar}")]).await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["pool"], POOL);
    assert_eq!(json["elements"][0]["transport"]["addresses"][0], net.host(2).to_string());
}

#[tokio::test]
async fn what_is_no_asap_is_counted_and_hurts_nobody() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let mut element = net.element(2);
    registered(&mut element).await;
    let hostile = net.endpoint(9);
    let peer = net.registrar().parse::<rserpool::RegistrarAddress>().unwrap().peer();
    let association = hostile.connect(peer).await.unwrap();
    association.send(MsgOut::new(Ppid::ASAP, vec![1, 0, 0xff, 0xff])).await.unwrap();
    association.send(MsgOut::new(Ppid::ENRP, vec![1, 0, 0, 4])).await.unwrap();
    net.metric("rserpool_message_errors_total{protocol=\"asap\",cause=\"malformed\"}", |n| n == 1.0).await;
    net.metric("rserpool_message_errors_total{protocol=\"asap\",cause=\"wrong_protocol\"}", |n| n == 1.0)
        .await;
    net.metric(UP, |up| up == 1.0).await;
}

#[tokio::test]
async fn a_hundred_elements_of_one_host_register_and_are_resolved_in_one_answer() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let endpoint = net.endpoint(2);
    let element = |pe: u32| {
        let config = PoolElementConfig { pe: Some(PeId(pe)), ..net.element_config(2) };
        PoolElement::spawn(config, Some(endpoint.clone())).unwrap()
    };
    let mut elements: Vec<PoolElement> = (1..=100).map(element).collect();
    for element in &mut elements {
        registered(element).await;
    }
    let user = net.user();
    timeout(SOON, user.state().wait_for(|state| state.elements == 100)).await.unwrap().unwrap();
    let mut chosen: Vec<PeId> = Vec::new();
    for _ in 0..100 {
        chosen.push(user.wait_element().await.pe);
    }
    chosen.sort();
    assert_eq!(chosen, (1..=100).map(PeId).collect::<Vec<_>>(), "each in its turn");
    let memory = value(&net.metrics().await, "process_resident_memory_bytes").unwrap();
    assert!(memory < f64::from(64 << 20), "{memory} octets");
}
