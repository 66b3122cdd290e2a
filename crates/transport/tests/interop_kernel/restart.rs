//! An association restart (RFC 9260 section 5.2.4) across the stacks: the same addresses and ports, by a host that
//! has forgotten the association.

use std::time::Duration;

use transport::Stack::{self, Kernel, Userland};

use crate::end::{End, Spec};
use crate::net::{Net, Offloads};
use crate::report::row;

const LIMIT: Duration = Duration::from_secs(60);
/// Patient enough not to lose the peer before it is back.
const PROFILE: &str = "rfc";

/// The listening end, and a client that is up. The net's left side is the client's.
fn associated(net: &Net, client: Stack, server: Stack) -> (End, End) {
    let spec = Spec { role: "sink", stack: server, profile: PROFILE, ipv6: false };
    let mut sink = End::start(&net.right, spec, None);
    sink.expect("listening", LIMIT);
    let spec = Spec { role: "watch", stack: client, ..spec };
    let mut watch = End::start(&net.left, spec, Some(net.right.address(false)));
    watch.expect("up", LIMIT);
    sink.expect("small", LIMIT);
    (sink, watch)
}

fn check_restarted(sink: &mut End, client: &str, server: &str) {
    sink.expect("event Restarted", LIMIT);
    let cells = [("client", client), ("server", server), ("server sees", "Restarted")];
    row("Association restart", &cells.map(|(column, value)| (column, value.to_owned())));
    let accepted = sink.seen().iter().filter(|line| *line == "accepted").count();
    assert_eq!(accepted, 1, "it is the same association: {:?}", sink.seen());
}

/// A host with kernel SCTP that starts again: its link moves to a new namespace with the same addresses, where the
/// only free port is that of the association before.
fn kernel_client_restarts(server: Stack, name: &str) {
    let mut net = Net::new(0, Offloads::Off);
    net.left.allow_one_port();
    let (mut sink, _watch) = associated(&net, Kernel, server);
    let _before = net.renew_left();
    net.left.allow_one_port();
    let spec = Spec { role: "watch", stack: Kernel, profile: PROFILE, ipv6: false };
    let mut again = End::start(&net.left, spec, Some(net.right.address(false)));
    again.expect("up", LIMIT);
    check_restarted(&mut sink, "kernel", name);
    sink.expect("small", LIMIT);
}

/// A process with userland SCTP that is killed and comes back with the same port. It takes random ports, so the test
/// makes the second handshake itself.
fn userland_client_restarts(server: Stack, name: &str) {
    let net = Net::new(0, Offloads::Off);
    let (mut sink, watch) = associated(&net, Userland, server);
    let port = watch.sctp_port();
    net.cut();
    drop(watch);
    net.heal();
    let spec = Spec { role: "handshake", stack: Userland, profile: PROFILE, ipv6: false };
    let mut again = End::start_at_port(&net.left, spec, Some(net.right.address(false)), port);
    again.expect("up", LIMIT);
    check_restarted(&mut sink, "userland", name);
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn userland_sees_a_kernel_client_restart() {
    kernel_client_restarts(Userland, "userland");
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn kernel_sees_a_kernel_client_restart() {
    kernel_client_restarts(Kernel, "kernel");
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn kernel_sees_a_userland_client_restart() {
    userland_client_restarts(Kernel, "kernel");
}

#[test]
#[ignore = "needs root"]
fn userland_sees_a_userland_client_restart() {
    userland_client_restarts(Userland, "userland");
}
