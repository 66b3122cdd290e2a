//! A registrar in TLS with an access list, and its audit log.

use rserpool::{CauseCode, PeId, PoolElement, PoolElementConfig, PoolElementEvent};
use test_pki::{Authority, Issued, Validity};
use tokio::time::timeout;
use transport::Connector;
use transport::tls::{Client, Files, Identity, Names};

use crate::SOON;
use crate::common::{Net, PE, Process, event, registered, run};

const REGISTRAR: &str = "registrar.example";

/// A secured registrar at `.1` that lets `a.example` register in `ipfix`, and `b.example` in other pools.
async fn registrar(net: Net, authority: &Authority) -> Process {
    let Issued { certificate, key, ca } = authority.issue("registrar", &[REGISTRAR], Validity::Current);
    let text = format!(
        "[listen]\nasap = []\nasap-tls = [\"{0}:3864\"]\n[http]\nlisten = \"{0}:9380\"\n\
         [tls]\ncertificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}\npeer-names = [\"c.example\"]\n\
         [[access]]\nname = \"a.example\"\npools = [\"ip*\"]\n\
         [[access]]\nname = \"b.example\"\npools = [\"other\"]\n",
        net.host(1)
    );
    Process::configured(net, 1, &text).await
}

fn connector(authority: &Authority, name: &str) -> Connector {
    let Issued { certificate, key, ca } = authority.issue(name, &[name], Validity::Current);
    let identity = Identity::read(Files { certificate, key, ca }).unwrap();
    let names = Names::parse([REGISTRAR]).unwrap();
    Connector { tls: Some(Client { identity, names }), ..Connector::default() }
}

fn element(net: Net, connector: Connector, pe: PeId) -> PoolElement {
    let registrars = vec![format!("tls://{}:3864", net.host(1)).parse().unwrap()];
    let config = PoolElementConfig { pe: Some(pe), registrars, ..net.element_config(2) };
    PoolElement::spawn(config, connector).unwrap()
}

#[tokio::test]
async fn only_listed_names_register_and_the_audit_log_says_who() {
    let (net, authority) = (Net::random(), Authority::new());
    let registrar = registrar(net, &authority).await;
    let mut listed = element(net, connector(&authority, "a.example"), PE);
    registered(&mut listed).await;
    let mut other = element(net, connector(&authority, "b.example"), PeId(0xa2));
    let refused = event(&mut other, |event| matches!(event, PoolElementEvent::Rejected { .. })).await;
    let PoolElementEvent::Rejected { causes, .. } = refused else { unreachable!() };
    assert_eq!(causes[0].code, CauseCode::SECURITY);
    net.metric("rserpool_message_errors_total{protocol=\"asap\",cause=\"security\"}", |n| n >= 1.0).await;

    // Whom TLS lets in may ask.
    let Issued { certificate, key, ca } = authority.issue("c.example", &["c.example"], Validity::Current);
    let [certificate, key, ca] = [certificate, key, ca].map(|file| file.to_str().unwrap().to_owned());
    let address = format!("tls://{}:3864", net.host(1));
    let resolved = run(&[
        "resolve",
        "ipfix",
        "--registrar",
        &address,
        "--certificate",
        &certificate,
        "--key",
        &key,
        "--ca",
        &ca,
        "--registrar-name",
        REGISTRAR,
    ])
    .await;
    assert_eq!(resolved.status.code(), Some(0), "{resolved:?}");

    timeout(SOON, listed.deregister(SOON)).await.unwrap().unwrap();
    registrar.line("pool element removed", 1).await;
    assert_eq!(
        registrar.count("INFO audit: pool element registered pool=\"ipfix\" pe=000000a1 by=\"tls 127."),
        1
    );
    assert_eq!(registrar.count("(a.example)\" reason=\"deregistered\""), 1);
    assert!(registrar.count("(b.example)") > 0);
    assert_eq!(registrar.count("(b.example)"), registrar.count("INFO audit: registration refused"));
}

#[tokio::test]
async fn registrars_replicate_in_tls_and_nobody_else_joins() {
    let (net, authority) = (Net::random(), Authority::new());
    let mut pair = Vec::new();
    for (host, peer) in [(1, 5), (5, 1)] {
        let Issued { certificate, key, ca } =
            authority.issue(&format!("registrar{host}"), &[REGISTRAR], Validity::Current);
        let text = format!(
            "id = \"0a0b0c0{host}\"\n[listen]\nasap = []\nasap-tls = [\"{0}:3864\"]\nenrp-tls = [\"{0}:9902\"]\n\
             [[peer]]\naddress = \"tls://{1}\"\n[enrp]\nnetworks = [\"127.0.0.0/8\"]\n[http]\nlisten = \"{0}:9380\"\n\
             [tls]\ncertificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}\n\
             peer-names = [\"a.example\"]\nregistrar-names = [\"{REGISTRAR}\"]\n",
            net.host(host),
            net.host(peer)
        );
        pair.push(Process::configured(net, host, &text).await);
    }
    for host in [1, 5] {
        net.metric_of(host, "rserpool_enrp_peers{state=\"active\"}", |count| count == 1.0).await;
    }
    let mut element = element(net, connector(&authority, "a.example"), PE);
    registered(&mut element).await;
    net.metric_of(5, crate::UP, |up| up == 1.0).await;

    // A pool element's certificate is good for ASAP and not for ENRP.
    let stranger = connector(&authority, "a.example");
    let enrp = format!("tls://{}:9902", net.host(1)).parse::<rserpool::RegistrarAddress>().unwrap().peer();
    let refused = async {
        // In TLS 1.3 the client hears of it after its own side of the handshake.
        if let Ok(mut association) = stranger.connect(enrp).await {
            while !matches!(association.recv().await, transport::Event::Lost(_)) {}
        }
    };
    timeout(SOON, refused).await.unwrap();
    net.metric("rserpool_tls_handshakes_total{result=\"wrong_name\"}", |count| count == 1.0).await;
    net.metric("rserpool_connections{protocol=\"enrp\"}", |count| count >= 1.0).await;
}
