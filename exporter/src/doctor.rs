//! What the exporter needs of its host: packets, a place for its state, registrars and collectors.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use delivery::KeyRing;
use rserpool::{LISTED, Reached, Selected, reach, visit};
use service::Findings;
use tokio::task::JoinSet;
use transport::Connector;

use crate::capture::Pattern;
use crate::capture::live::matching;
use crate::config::{Config, Destination, Input, Pool, Source, Transport, Udp};
use crate::driver::{addresses, setup};

/// How long a registrar gets to answer, and then each collector, all at the same time.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn examine(config: &Config, findings: &mut Findings) {
    match config.input() {
        Ok(Input::Packets(from)) => source(from, findings),
        Ok(Input::Routers(relay)) => {
            relay.listen.iter().for_each(|address| findings.udp_port("relay.listen", *address));
        }
        Err(invalid) => findings.bad("source", invalid.to_string(), "name one"),
    }
    if let Some(directory) = &config.state.directory {
        findings.folder_to_make("state.directory", directory);
    }
    match config.destination() {
        Ok(Destination::Pool(pool)) => of_pool(config, pool, findings).await,
        Ok(Destination::Udp(udp)) => collector(udp, findings),
        Err(invalid) => findings.bad("destination", invalid.to_string(), "name one"),
    }
}

fn source(source: &Source, findings: &mut Findings) {
    if !source.is_live() {
        match source.captures() {
            Ok(_) => findings.good("source.pcap", source.to_string()),
            Err(error) => {
                findings.bad("source.pcap", format!("{source}: {error}"), "name a capture that can be read");
            }
        }
        return;
    }
    findings.packet_sockets("source.interfaces");
    for pattern in &source.interfaces {
        let found = matching(&Pattern::new(pattern)).unwrap_or_default().join(", ");
        if found.is_empty() {
            let fix = "ip link shows the interfaces; one that appears later is captured then";
            findings.note("source.interfaces", format!("{pattern}: there is none at present"), fix);
        } else {
            findings.good("source.interfaces", format!("{pattern}: {found}"));
            found.split(", ").for_each(|device| findings.capture_offloads("source.interfaces", device));
        }
    }
}

async fn of_pool(config: &Config, pool: &Pool, findings: &mut Findings) {
    if let Some(text) = findings.file("pool.key-file", &pool.key_file)
        && let Err(error) = KeyRing::parse(&text)
    {
        findings.bad("pool.key-file", error.to_string(), "lines are ID HEX, the same as the collectors have");
    }
    if pool.transport == Transport::Sctp {
        match transport::choose(pool.stack) {
            Ok((stack, why)) => findings.good("pool.stack", format!("{stack}, {why}")),
            Err(error) => findings.bad("pool.stack", error.to_string(), "modprobe sctp"),
        }
        let address = pool.addresses.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        findings.udp_port("pool.encapsulation-port", SocketAddr::new(address, pool.encapsulation_port));
    }
    for registrar in &pool.registrars {
        let Some(peer) = registrar.address().and_then(|address| address.peer().ip()) else { continue };
        let local = pool.addresses.iter().copied().find(|local| local.is_ipv4() == peer.is_ipv4());
        findings.path("pool.registrars", peer, transport::udp::path_mtu(peer, local));
        if registrar.is_sctp() {
            findings.sctp_offloads("pool.registrars", peer);
        }
    }
    // A port that the running daemon does not have.
    let pool = Pool { encapsulation_port: 0, ..pool.clone() };
    let timers = config.profile.timers;
    let connectors = match setup::connectors(config, &pool).await {
        Ok(connectors) => connectors,
        Err(failure) => {
            return findings.bad("pool", failure.to_string(), "see the documentation of that key");
        }
    };
    let user = match setup::pool_user(&pool, timers, None) {
        Ok(user) => user,
        Err(failure) => return findings.bad("pool.handle", failure.to_string(), "name the pool"),
    };
    let Reached { registrar, elements, first } = reach(user, connectors.registrars, PATIENCE).await;
    match (registrar, elements) {
        (Some(registrar), Some(elements)) => {
            findings.good("pool.registrars", format!("{registrar} answers"));
            let looked = match elements > first.len() {
                true => format!(", looked at are the first {LISTED}"),
                false => String::new(),
            };
            findings.good("pool.handle", format!("{}: {elements} collectors{looked}", pool.handle));
            collectors(&pool, first, &connectors.collectors, findings).await;
        }
        (Some(registrar), None) => {
            findings.good("pool.registrars", format!("{registrar} answers"));
            let fix = "start a collector of this pool, or correct the name";
            findings.note("pool.handle", format!("{}: the registrar knows no such pool", pool.handle), fix);
        }
        (None, _) => {
            let fix =
                "start a registrar, correct the addresses, or let UDP (SCTP) or TCP through on the way there";
            findings.bad("pool.registrars", "none answers", fix);
        }
    }
}

/// Looks at collectors as a registrar told them, all at the same time.
async fn collectors(pool: &Pool, told: Vec<Selected>, connector: &Connector, findings: &mut Findings) {
    let mut visits = JoinSet::new();
    for element in told {
        let (connector, addresses) = (connector.clone(), addresses(&element, pool.transport));
        visits.spawn(async move {
            let visited = match &addresses[..] {
                [] => None,
                addresses => Some(visit(&connector, addresses, PATIENCE).await),
            };
            (element, addresses, visited)
        });
    }
    let mut visits = visits.join_all().await;
    visits.sort_by_key(|(element, ..)| element.pe);
    for (element, addresses, visited) in visits {
        let what = format!("collector {}", element.pe);
        let peer = match visited {
            None => {
                let (has, own) = (element.transport.protocol, pool.transport.name());
                let fix =
                    "all collectors of a pool have one transport: pool.transport here, or `transport` there";
                findings.bad(&what, format!("it registered {has}, and pool.transport is {own}"), fix);
                continue;
            }
            Some(Ok(visit)) => {
                findings.good(&what, visit.to_string());
                Some(visit.peer)
            }
            Some(Err(error)) => {
                findings.bad(&what, error.to_string(), error.advice());
                addresses.first().copied()
            }
        };
        if let Some(peer) = peer.and_then(|peer| peer.ip()) {
            let local = pool.addresses.iter().copied().find(|local| local.is_ipv4() == peer.is_ipv4());
            findings.path(&what, peer, transport::udp::path_mtu(peer, local));
        }
    }
}

fn collector(udp: &Udp, findings: &mut Findings) {
    // Nobody answers there: IPFIX over UDP is one way.
    findings.good("udp.collector", format!("{}, which cannot be asked", udp.collector));
    let peer = udp.collector.ip();
    findings.path("udp.collector", peer, transport::udp::path_mtu(peer, udp.address));
}
