//! rsplib's programs.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::network::{Host, Network};
use crate::process::Process;

/// So that each program's output has a file of its own.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// What all of them are told where registrars are configured: no multicast.
const QUIET: &str = "-asapannounce=off";
/// Where they hear registrars, or announce themselves, otherwise: their usual groups.
const ASAP_GROUP: &str = "-asapannounce=239.0.0.50:3863";
const ENRP_GROUP: &str = "-enrpannounce=239.0.0.51:9901";

/// Starts a registrar and waits until it answers. `more` are options.
pub(crate) fn registrar(network: &Network, host: &Host, identifier: u32, more: &[&str]) -> Process {
    start_registrar(network, host, identifier, [QUIET, "-enrpannounce=off"], more)
}

/// The same for one that announces itself, and hears others, by multicast.
pub(crate) fn announcing_registrar(network: &Network, host: &Host, identifier: u32) -> Process {
    start_registrar(network, host, identifier, [ASAP_GROUP, ENRP_GROUP], &["-loglevel=4"])
}

fn start_registrar(
    network: &Network,
    host: &Host,
    identifier: u32,
    announces: [&str; 2],
    more: &[&str],
) -> Process {
    let address = host.address;
    let identifier = format!("-identifier=0x{identifier:x}");
    let (asap, enrp) = (format!("-asap={address}:3863"), format!("-enrp={address}:9901"));
    let fixed = [identifier.as_str(), &asap, &enrp, "-mentordiscoverytimeout=500", "-logcolor=off"];
    let arguments = fixed.into_iter().chain(announces).chain(more.iter().copied());
    let process =
        Process::start(network, host, &format!("rspregistrar-{address}"), "rspregistrar", arguments);
    process.wait_for("Registrar started");
    process
}

/// What hsdump shows of a registrar: it takes part as a peer for a moment, and does not end by itself.
pub(crate) fn dump(network: &Network, from: &Host, registrar: &Host) -> String {
    let target = format!("{}:9901", registrar.address);
    let hsdump = Process::start(network, from, "hsdump", "hsdump", [target.as_str(), "-logcolor=off"]);
    hsdump.wait_for("*-- Ownership:");
    // What belongs to the last heading follows at once.
    hsdump.stop_saying()
}

/// How many elements of this home there are in what [`dump`] returned.
pub(crate) fn owned(dump: &str, home: u32) -> usize {
    let (_, ownership) = dump.rsplit_once("*-- Ownership:").unwrap_or_default();
    ownership.lines().filter(|line| line.contains(&format!("- ${home:08x} ->"))).count()
}

/// Starts a pool element of `service`, for instance `-echo`, at the host's port 7001.
pub(crate) fn pool_element(
    network: &Network,
    host: &Host,
    registrar: &Host,
    identifier: u32,
    more: &[&str],
) -> Process {
    pool_element_at(network, host, 7001, registrar, identifier, more)
}

/// The same at another port.
pub(crate) fn pool_element_at(
    network: &Network,
    host: &Host,
    port: u16,
    registrar: &Host,
    identifier: u32,
    more: &[&str],
) -> Process {
    let registrar = format!("-registrar={}:3863", registrar.address);
    start_element(network, host, port, &[&registrar, QUIET], identifier, more)
}

/// A pool element that knows no registrar and hears of one by multicast.
pub(crate) fn listening_element(network: &Network, host: &Host, identifier: u32, more: &[&str]) -> Process {
    start_element(network, host, 7001, &[ASAP_GROUP], identifier, more)
}

fn start_element(
    network: &Network,
    host: &Host,
    port: u16,
    registrars: &[&str],
    identifier: u32,
    more: &[&str],
) -> Process {
    let local = format!("-local={}:{port}", host.address);
    let identifier_argument = format!("-identifier=0x{identifier:x}");
    let fixed = [local.as_str(), &identifier_argument, "-loglevel=3", "-logcolor=off"];
    let arguments = fixed.iter().chain(registrars).chain(more).copied();
    Process::start(network, host, &format!("pe-{identifier:x}"), "rspserver", arguments)
}

/// Starts a pool user's program.
pub(crate) fn pool_user(
    network: &Network,
    host: &Host,
    registrar: &Host,
    program: &str,
    more: &[&str],
) -> Process {
    let registrar = format!("-registrar={}:3863", registrar.address);
    start_user(network, host, &[&registrar, QUIET], program, more)
}

/// The same for one that knows no registrar and hears of one by multicast.
pub(crate) fn listening_user(network: &Network, host: &Host, program: &str, more: &[&str]) -> Process {
    start_user(network, host, &[ASAP_GROUP], program, more)
}

fn start_user(network: &Network, host: &Host, registrars: &[&str], program: &str, more: &[&str]) -> Process {
    let arguments = ["-loglevel=3", "-logcolor=off"].iter().chain(registrars).chain(more).copied();
    Process::start(
        network,
        host,
        &format!("{program}-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        program,
        arguments,
    )
}
