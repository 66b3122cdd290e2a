//! WireGuard as the page says.

use std::collections::BTreeMap;

use crate::hosts::Host;
use crate::{PAGE, World, write};

/// What stands for the key of a host in the page's files.
fn placeholder(host: Host) -> String {
    format!("{}_KEY", host.name().to_uppercase())
}

/// Sets the tunnel up, but the others are told a key that is not the exporter's.
pub(crate) fn up(world: &World) {
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    for host in Host::ALL {
        let key = world.hosts.run(host, &PAGE.commands("wireguard-key"));
        keys.insert(placeholder(host), key.trim().to_owned());
    }
    let wrong = world.hosts.run(Host::Exporter, "wg genkey | wg pubkey");
    for host in Host::ALL {
        let mut text = PAGE.file(&format!("/etc/wireguard/flowpool.conf of the {}", host.name()));
        for (placeholder, key) in &keys {
            let is_wrong = host != Host::Exporter && *placeholder == self::placeholder(Host::Exporter);
            text = text.replace(placeholder, if is_wrong { wrong.trim() } else { key });
        }
        write(&world.hosts.file(host, "/etc/wireguard/flowpool.conf"), &text);
        world.hosts.run(host, &PAGE.commands("wireguard-start"));
    }
}

/// Tells the others the exporter's key.
pub(crate) fn mend(world: &World) {
    let right = world.hosts.run(Host::Exporter, "wg pubkey < /etc/wireguard/private.key");
    for host in [Host::Registrar, Host::Collector] {
        let wrong = "wg show flowpool allowed-ips | awk '/10.99.0.31/ { print $1 }'";
        let peer = format!("wg set flowpool peer {} allowed-ips 10.99.0.31/32", right.trim());
        world.hosts.run(host, &format!("wg set flowpool peer \"$({wrong})\" remove\n{peer}"));
    }
}
