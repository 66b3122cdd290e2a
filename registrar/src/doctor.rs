//! What the registrar needs of its host: its ports, the folder of its socket, and the other registrars.

use std::net::SocketAddr;
use std::time::Duration;

use rserpool::{ConfiguredRegistrar, LISTED, RegistrarAddress, TlsConfig, visit};
use service::Findings;
use tokio::task::JoinSet;
use transport::{Connector, Endpoint, EndpointConfig, Ppid, tcp};

use crate::config::Config;

/// How long other registrars get to answer, all at the same time.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn examine(config: &Config, findings: &mut Findings) {
    let listen = &config.listen;
    if !(listen.asap.is_empty() && listen.enrp.is_empty()) {
        match transport::choose(listen.stack) {
            Ok((stack, why)) => findings.good("listen.stack", format!("{stack}, {why}")),
            Err(error) => findings.bad("listen.stack", error.to_string(), "modprobe sctp"),
        }
    }
    let mut seen = Vec::new();
    // ASAP and ENRP share the UDP port at an address.
    for address in listen.asap.iter().chain(&listen.enrp) {
        let carrier = SocketAddr::new(address.ip(), listen.encapsulation_port);
        if !seen.contains(&carrier) {
            findings.udp_port("listen.encapsulation-port", carrier);
            seen.push(carrier);
        }
    }
    for (what, addresses) in [
        ("listen.asap-tcp", &listen.asap_tcp),
        ("listen.asap-tls", &listen.asap_tls),
        ("listen.enrp-tcp", &listen.enrp_tcp),
        ("listen.enrp-tls", &listen.enrp_tls),
    ] {
        addresses.iter().for_each(|address| findings.tcp_port(what, *address));
    }
    if let Some(folder) = config.control.socket.as_deref().and_then(std::path::Path::parent) {
        findings.folder("control.socket", folder);
    }
    let identity = match config.tls.as_ref().map(TlsConfig::read).transpose() {
        Ok(identity) => identity,
        Err(error) => return findings.bad("tls", error.to_string(), "name files that can be read"),
    };
    let peers: Vec<ConfiguredRegistrar> = config.peers().cloned().collect();
    if peers.is_empty() {
        return;
    }
    let endpoint = match endpoint(config) {
        Ok(endpoint) => endpoint,
        Err(error) => return findings.bad("peer", error.to_string(), "see listen.enrp"),
    };
    let mut tcp = tcp::Options::default();
    tcp.profile = config.profile.timers.transport();
    (tcp.local, tcp.control, tcp.mptcp) = (config.tcp_source(), Ppid::ENRP, config.listen.mptcp);
    let tls =
        config.tls.as_ref().zip(identity.as_ref()).map(|(tls, identity)| tls.client_of(identity, &peers));
    others(&peers, &Connector { endpoint, tcp, tls, ..Connector::default() }, findings).await;
}

/// Looks at the first of the other registrars, all at the same time.
async fn others(peers: &[ConfiguredRegistrar], connector: &Connector, findings: &mut Findings) {
    if peers.len() > LISTED {
        findings.good("peer", format!("{} are configured, looked at are the first {LISTED}", peers.len()));
    }
    let mut visits = JoinSet::new();
    for (at, peer) in peers.iter().take(LISTED).cloned().enumerate() {
        let connector = connector.clone();
        visits.spawn(async move {
            let found = tokio::time::timeout(PATIENCE, peer.look_up()).await;
            let found = found.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
            let addresses = found.map(|found| found.iter().map(RegistrarAddress::peer).collect::<Vec<_>>());
            match addresses {
                Ok(addresses) => {
                    let visited = visit(&connector, &addresses, PATIENCE).await;
                    (at, peer, Ok((addresses, visited)))
                }
                Err(error) => (at, peer, Err(error)),
            }
        });
    }
    let mut visits = visits.join_all().await;
    visits.sort_by_key(|(at, ..)| *at);
    for (_, peer, found) in visits {
        let (addresses, visited) = match found {
            Ok(found) => found,
            Err(error) => {
                let fix = format!("getent hosts {} shows what this host knows", peer.host());
                findings.bad("peer", format!("{peer}: {error}"), fix);
                continue;
            }
        };
        let reached = visited.as_ref().ok().map(|visit| visit.peer);
        match visited {
            Ok(visit) => findings.good("peer", visit.to_string()),
            Err(error) => findings.bad("peer", error.to_string(), error.advice()),
        }
        let address = reached.or_else(|| addresses.first().copied());
        if let Some(address) = address.and_then(|address| address.ip()) {
            findings.path("peer", address, transport::udp::path_mtu(address, None));
            if peer.is_sctp() {
                findings.sctp_offloads("peer", address);
            }
        }
    }
}

/// An endpoint at a port of its own: the usual one may be the running daemon's.
fn endpoint(config: &Config) -> std::io::Result<Option<Endpoint>> {
    let listen = &config.listen;
    let Some(local) = listen.enrp.iter().chain(&listen.asap).map(SocketAddr::ip).next() else {
        return Ok(None);
    };
    let mut endpoint = EndpointConfig::new(local);
    (endpoint.encapsulation, endpoint.stack) = (0, listen.stack);
    endpoint.profile = config.profile.timers.transport();
    Endpoint::bind(endpoint).map(Some)
}
