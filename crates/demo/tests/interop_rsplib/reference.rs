//! rsplib's programs.

use crate::network::{Host, Network};
use crate::process::Process;

/// What all of them are told: no multicast, a log without colours.
const QUIET: [&str; 2] = ["-asapannounce=off", "-logcolor=off"];

/// Starts a pool element of `service`, for instance `-echo`, at the host's port 7001.
pub(crate) fn pool_element(
    network: &Network,
    host: &Host,
    registrar: &Host,
    identifier: u32,
    more: &[&str],
) -> Process {
    let local = format!("-local={}:7001", host.address);
    let registrar = format!("-registrar={}:3863", registrar.address);
    let identifier_argument = format!("-identifier=0x{identifier:x}");
    let fixed = [local.as_str(), &registrar, &identifier_argument, "-loglevel=3"];
    let arguments = fixed.into_iter().chain(QUIET).chain(more.iter().copied());
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
    let fixed = [registrar.as_str(), "-loglevel=3"];
    let arguments = fixed.into_iter().chain(QUIET).chain(more.iter().copied());
    Process::start(network, host, program, program, arguments)
}
