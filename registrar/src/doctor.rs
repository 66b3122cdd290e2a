//! What the registrar needs of its host: its ports, and the folder of its socket.

use std::net::SocketAddr;

use service::Findings;

use crate::config::Config;

pub(crate) fn examine(config: &Config, findings: &mut Findings) {
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
    for peer in config.peers() {
        let Some(address) = peer.address().and_then(|address| address.peer().ip()) else { continue };
        findings.path("peer", address, transport::udp::path_mtu(address, None));
        if peer.is_sctp() {
            findings.sctp_offloads("peer", address);
        }
    }
    if let Some(folder) = config.control.socket.as_deref().and_then(std::path::Path::parent) {
        findings.folder("control.socket", folder);
    }
    if let Some(tls) = &config.tls
        && let Err(error) = tls.read()
    {
        findings.bad("tls", error.to_string(), "name files that can be read");
    }
}
