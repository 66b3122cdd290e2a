//! What the collector needs of its host: places for its outputs, ports, and registrars.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use delivery::KeyRing;
use rserpool::{PoolHandle, PoolUserConfig, Reached, ScopeRule, reach, visit};
use service::Findings;
use tokio::net::lookup_host;
use tokio::time::timeout;
use transport::{Connector, Endpoint, EndpointConfig, PeerAddress};

use crate::config::{Config, Output, Pool};
use crate::driver;
use crate::registration::connector;

/// How long a registrar gets to answer, and whoever records are forwarded to.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn examine(config: &Config, findings: &mut Findings) {
    for (name, output) in &config.output {
        let what = format!("output.{name}");
        match output {
            Output::Forward(forward) => forwarding(what, &forward.to, findings).await,
            _ => findings.folder(&what, output.path().parent().unwrap_or(Path::new("."))),
        }
    }
    findings.folder_to_make("state.directory", &config.state.directory);
    ports(config, findings);
    for (at, pool) in config.pool.iter().enumerate() {
        registrars(config, pool, at, findings).await;
    }
}

/// Looks at whom an output forwards to.
async fn forwarding(what: String, to: &str, findings: &mut Findings) {
    let addresses = match timeout(PATIENCE, lookup_host(to)).await {
        Ok(Ok(addresses)) => addresses.map(PeerAddress::Tcp).collect::<Vec<_>>(),
        Ok(Err(error)) => {
            let host = to.rsplit_once(':').map_or(to, |(host, _)| host);
            return findings.bad(
                what,
                format!("{to}: {error}"),
                format!("getent hosts {host} shows what this host knows"),
            );
        }
        Err(_) => {
            return findings.bad(
                what,
                format!("{to}: the name is not looked up in time"),
                "see /etc/resolv.conf",
            );
        }
    };
    match visit(&Connector::default(), &addresses, PATIENCE).await {
        Ok(visit) => findings.good(what, visit.to_string()),
        Err(error) => findings.bad(what, format!("{error}"), error.advice()),
    }
}

fn ports(config: &Config, findings: &mut Findings) {
    let listen = &config.listen;
    if !listen.ipfix.is_empty() {
        match transport::choose(listen.stack) {
            Ok((stack, why)) => findings.good("listen.stack", format!("{stack}, {why}")),
            Err(error) => findings.bad("listen.stack", error.to_string(), "modprobe sctp"),
        }
        for address in &listen.ipfix {
            findings.udp_port("listen.ipfix", SocketAddr::new(address.ip(), listen.encapsulation_port));
        }
    }
    listen.ipfix_tcp.iter().for_each(|address| findings.tcp_port("listen.ipfix-tcp", *address));
    listen.ipfix_tls.iter().for_each(|address| findings.tcp_port("listen.ipfix-tls", *address));
    for address in &listen.ipfix_udp {
        findings.udp_port("listen.ipfix-udp", *address);
        findings.receive_buffer("udp.receive-buffer", config.udp.receive_buffer.0);
    }
}

async fn registrars(config: &Config, pool: &Pool, at: usize, findings: &mut Findings) {
    let what = format!("pool.{at}.registrars");
    if let Some(path) = &pool.key_file
        && let Some(text) = findings.file(&format!("pool.{at}.key-file"), path)
        && let Err(error) = KeyRing::parse(&text)
    {
        findings.bad(format!("pool.{at}.key-file"), error.to_string(), "lines are ID HEX");
    }
    let identity = match driver::identity(config) {
        Ok(identity) => identity,
        Err(failure) => return findings.bad("tls", failure.to_string(), "name files that can be read"),
    };
    let Ok(handle) = PoolHandle::new(pool.handle.as_bytes()) else { return };
    let local = config.listen.addresses(pool.transport(&config.listen)).first().map(SocketAddr::ip);
    let endpoint = match local.map(|local| endpoint(config, local)).transpose() {
        Ok(endpoint) => endpoint,
        Err(error) => return findings.bad(what, error.to_string(), "see listen.ipfix"),
    };
    for registrar in &pool.registrars {
        let Some(peer) = registrar.address().and_then(|address| address.peer().ip()) else { continue };
        let local = local.filter(|local| local.is_ipv4() == peer.is_ipv4());
        findings.path(&what, peer, transport::udp::path_mtu(peer, local));
        if registrar.is_sctp() {
            findings.sctp_offloads(&what, peer);
        }
    }
    let connector = connector(pool, config, endpoint.as_ref(), identity.as_ref());
    let scope = ScopeRule { private_beyond: pool.private_addresses };
    let user = PoolUserConfig::new(handle, pool.registrars.clone());
    let user = PoolUserConfig { announce: pool.announce.clone(), scope, ..user };
    match reach(user, connector, PATIENCE).await {
        Reached { registrar: Some(registrar), elements, .. } => {
            let elements = elements.unwrap_or_default();
            findings.good(what, format!("{registrar} answers, pool {}: {elements} collectors", pool.handle));
        }
        Reached { registrar: None, .. } => {
            let fix =
                "start a registrar, correct the addresses, or let UDP (SCTP) or TCP through on the way there";
            findings.bad(what, "none answers", fix);
        }
    }
}

/// An endpoint at a port of its own: the usual one may be the running daemon's.
fn endpoint(config: &Config, local: IpAddr) -> std::io::Result<Endpoint> {
    let mut endpoint = EndpointConfig::new(local);
    (endpoint.encapsulation, endpoint.stack) = (0, config.listen.stack);
    endpoint.profile = config.profile.timers.transport();
    Endpoint::bind(endpoint)
}
