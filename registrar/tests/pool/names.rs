//! Registrars that find each other by DNS name.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex};

use registrar::Config;
use rserpool::Resolver;
use service::Context;
use test_pki::{Authority, Issued, Validity};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::SOON;
use crate::common::{Net, Process};

const ACTIVE: &str = "rserpool_enrp_peers{state=\"active\"}";

/// A port of 127.0.0.1, which is what `localhost` stands for everywhere, that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What names stand for at present; others fail, and `hangs.example` is never answered.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<BTreeMap<&'static str, IpAddr>>>);

impl Zone {
    fn set(&self, name: &'static str, address: IpAddr) {
        self.0.lock().unwrap().insert(name, address);
    }

    fn resolver(&self) -> Resolver {
        let zone = self.clone();
        Resolver::new(move |name| {
            let found = zone.0.lock().unwrap().get(name.as_str()).copied();
            async move {
                if name == "hangs.example" {
                    std::future::pending::<()>().await;
                }
                found.map(|ip| vec![ip]).ok_or_else(|| std::io::ErrorKind::NotFound.into())
            }
        })
    }
}

/// A registrar within this process, at `.1`, with those of `peers`.
fn here(net: Net, peers: &[&str], zone: &Zone) -> (Context, JoinHandle<()>) {
    let peers: Vec<String> = peers.iter().map(|peer| format!("{{ address = \"{peer}\" }}")).collect();
    let text = format!(
        "id = \"0a0b0c01\"\npeer = [{}]\n[listen]\nasap = [\"{host}:3863\"]\nenrp = [\"{host}:9901\"]\n\
         enrp-tcp = [\"{host}:9901\"]\n",
        peers.join(", "),
        host = net.host(1)
    );
    let config: Config = service::config::parse("registrar.toml", &text, |_, _| {}).unwrap();
    let (context, resolver) = (Context::detached(), zone.resolver());
    let running = registrar::run_with(config, context.clone(), resolver);
    (context, tokio::spawn(async move { running.await.unwrap() }))
}

/// Another registrar at `host` that lists the one at `.1`.
async fn there(net: Net, host: u8) -> Process {
    let text = format!("id = \"0a0b0c{host:02x}\"\npeer = [{{ address = \"{}\" }}]", net.host(1));
    Process::registrar_at(net, host, &text).await
}

#[tokio::test]
async fn a_peer_is_where_its_name_leads_at_present_and_nowhere_else() {
    let (net, zone) = (Net::random(), Zone::default());
    let (context, registrar) = here(net, &["hangs.example", "b.example"], &zone);
    let first = there(net, 5).await;
    // The name is not known yet: who comes from there is a stranger, and nothing else waits for the lookup.
    first.line("ready for peers", 1).await;
    zone.set("b.example", net.host(5));
    net.metric_of(5, ACTIVE, |count| count == 1.0).await;
    drop(first);

    zone.set("b.example", net.host(6));
    let _second = there(net, 6).await;
    net.metric_of(6, ACTIVE, |count| count == 1.0).await;
    let back = there(net, 5).await;
    back.line("ready for peers", 1).await;
    net.metric_of(5, ACTIVE, |count| count == 0.0).await;
    let metrics = context.metrics.render();
    assert!(metrics.contains("rserpool_enrp_refused_total{reason=\"stranger\"}"), "{metrics}");
    context.shutdown.request();
    timeout(SOON, registrar).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_over_tcp_has_a_name_as_well() {
    let (net, zone) = (Net::random(), Zone::default());
    zone.set("b.example", net.host(5));
    let (_context, _registrar) = here(net, &["tcp://b.example"], &zone);
    let text = format!(
        "id = \"0a0b0c05\"\n[[peer]]\naddress = \"tcp://{0}\"\n[listen]\nasap = []\nasap-tcp = [\"{1}:3863\"]\n\
         enrp-tcp = [\"{1}:9901\"]\n[http]\nlisten = \"{1}:9380\"\n",
        net.host(1),
        net.host(5)
    );
    let _there = Process::configured(net, 5, &text).await;
    net.metric_of(5, ACTIVE, |count| count == 1.0).await;
}

#[tokio::test]
async fn the_hosts_own_resolver_is_asked_and_a_name_without_an_address_is_told() {
    let (net, port) = (Net::random(), free_port());
    let first = format!(
        "id = \"0a0b0c01\"\n[[peer]]\naddress = \"tcp://localhost:{port}\"\n\
         [[peer]]\naddress = \"no-such-host.invalid\"\n[listen]\nasap = []\nasap-tcp = [\"{0}:3863\"]\n\
         enrp-tcp = [\"{0}:9901\"]\n[http]\nlisten = \"{0}:9380\"\n",
        net.host(1)
    );
    let second = format!(
        "id = \"0a0b0c05\"\n[[peer]]\naddress = \"tcp://{}\"\n[listen]\nasap = []\nasap-tcp = [\"{1}:3863\"]\n\
         enrp-tcp = [\"127.0.0.1:{port}\"]\n[http]\nlisten = \"{1}:9380\"\n",
        net.host(1),
        net.host(5)
    );
    let registrar = Process::configured(net, 1, &first).await;
    let _second = Process::configured(net, 5, &second).await;
    for host in [1, 5] {
        net.metric_of(host, ACTIVE, |count| count == 1.0).await;
    }
    let sign = "WARN rserpool::lookup: the registrar's name cannot be looked up, retrying \
                registrar=no-such-host.invalid:9901";
    registrar.line(sign, 1).await;
    net.metric("rserpool_enrp_peer_lookups_total{result=\"failed\"}", |count| count >= 3.0).await;
    assert_eq!(registrar.count(sign), 1, "told once however often it is tried");
    net.metric("rserpool_enrp_peer_lookups_total{result=\"ok\"}", |count| count >= 1.0).await;
}

#[tokio::test]
async fn over_tls_the_certificate_carries_the_name_a_peer_is_configured_by() {
    let (net, authority) = (Net::random(), Authority::new());
    let ports = [free_port(), free_port()];
    let mut pair = Vec::new();
    for (host, own, peer) in [(1, ports[0], ports[1]), (5, ports[1], ports[0])] {
        let Issued { certificate, key, ca } =
            authority.issue(&format!("registrar{host}"), &["localhost"], Validity::Current);
        let text = format!(
            "id = \"0a0b0c0{host}\"\n[[peer]]\naddress = \"tls://localhost:{peer}\"\n\
             [listen]\nasap = []\nasap-tls = [\"{0}:3864\"]\nenrp-tls = [\"127.0.0.1:{own}\"]\n\
             [http]\nlisten = \"{0}:9380\"\n[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}\n",
            net.host(host),
        );
        pair.push(Process::configured(net, host, &text).await);
    }
    for host in [1, 5] {
        net.metric_of(host, ACTIVE, |count| count == 1.0).await;
    }
}
