//! IPsec as the page says, with strongSwan.

use std::fs;

use crate::hosts::{Background, Host, run};
use crate::{PAGE, World, write};

/// The daemon's own file, and its log where the test can read it.
const SETTINGS: &str =
    "include /etc/strongswan.conf\ncharon-systemd {\n  filelog {\n    stderr {\n    }\n  }\n}\n";

/// Sets IPsec up, but the exporter's certificate is of another authority. Returns strongSwan's daemons, in the order of hosts.
pub(crate) fn up(world: &World) -> [Background; 3] {
    let settings = world.directory.join("strongswan.conf");
    fs::write(&settings, SETTINGS).unwrap();
    let commands = PAGE.commands("ipsec-certificates");
    let exporter_only = commands.replace("192.0.2.11 192.0.2.21 ", "");
    for (authority, commands) in [("right", commands), ("wrong", exporter_only)] {
        let folder = world.directory.join(authority);
        fs::create_dir(&folder).unwrap();
        run(&format!("cd {}\n{commands}", folder.display()));
    }
    for host in Host::ALL {
        certify(world, host, if host == Host::Exporter { "wrong" } else { "right" });
        write(&world.hosts.file(host, "/etc/swanctl/conf.d/flowpool.conf"), &connections(host));
    }
    let start = |host: Host| {
        let mut command = world.hosts.on(host, "exec charon-systemd");
        command.env("STRONGSWAN_CONF", &settings);
        Background::start(
            &mut command,
            "worker threads",
            &world.directory.join(format!("charon-{}", host.name())),
        )
    };
    let daemons = Host::ALL.map(start);
    for host in Host::ALL {
        world.hosts.run(host, &PAGE.commands("ipsec-start"));
    }
    daemons
}

/// Gives the exporter its own certificate.
pub(crate) fn mend(world: &World) {
    certify(world, Host::Exporter, "right");
    world.hosts.run(Host::Exporter, &PAGE.commands("ipsec-start"));
}

/// What the kernel of a host has counted under this name.
pub(crate) fn counted(world: &World, host: Host, name: &str) -> u64 {
    let line = world.hosts.run(host, &format!("grep {name} /proc/net/xfrm_stat"));
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap()
}

/// Puts a host's key and certificates where the page says.
fn certify(world: &World, host: Host, authority: &str) {
    let address = host.outside();
    for (from, to) in [
        ("pool-ca.pem".to_owned(), "x509ca/pool-ca.pem"),
        (format!("{address}.pem"), "x509/host.pem"),
        (format!("{address}.key"), "private/host.key"),
    ] {
        let to = world.hosts.file(host, &format!("/etc/swanctl/{to}"));
        fs::copy(world.directory.join(authority).join(from), to).unwrap();
    }
}

/// The page's file is the exporter's; on another host its address and the exporter's change places.
fn connections(host: Host) -> String {
    let [here, exporter] = [host, Host::Exporter].map(Host::outside);
    let text = PAGE.file("/etc/swanctl/conf.d/flowpool.conf of the exporter");
    text.replace(&exporter, "EXPORTER").replace(&here, &exporter).replace("EXPORTER", &here)
}
