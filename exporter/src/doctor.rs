//! What the exporter needs of its host: packets, a place for its state, registrars and collectors.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use delivery::KeyRing;
use rserpool::{Reached, reach};
use service::Findings;

use crate::capture::Pattern;
use crate::capture::live::matching;
use crate::config::{Config, Destination, Input, Pool, Source, Transport, Udp};
use crate::driver::setup;

/// How long a registrar gets to answer.
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
        Ok(Destination::Pool(pool)) => collectors(config, pool, findings).await,
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

async fn collectors(config: &Config, pool: &Pool, findings: &mut Findings) {
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
    let Reached { registrar, elements } = reach(user, connectors.registrars, PATIENCE).await;
    match (registrar, elements) {
        (Some(registrar), Some(elements)) => {
            findings.good("pool.registrars", format!("{registrar} answers"));
            findings.good("pool.handle", format!("{}: {elements} collectors", pool.handle));
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

fn collector(udp: &Udp, findings: &mut Findings) {
    // Nobody answers there: IPFIX over UDP is one way.
    findings.good("udp.collector", format!("{}, which cannot be asked", udp.collector));
    let peer = udp.collector.ip();
    findings.path("udp.collector", peer, transport::udp::path_mtu(peer, udp.address));
}
