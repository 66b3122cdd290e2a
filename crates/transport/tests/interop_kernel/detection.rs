//! How long it takes to notice that a peer is gone: killed, stopped, or behind a path that was cut.
//!
//! One observation each. Asserted is what is noticed and what is not.

use std::time::{Duration, Instant};

use transport::Stack::{self, Kernel, Userland};

use crate::end::{End, Spec, name};
use crate::net::{Net, Offloads};
use crate::report::row;

/// Starting, and noticing with profile `fast`, in emulation on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// What is not noticed for so long is not noticed at all: several times the 2 s of profile `fast`.
const NEVER: Duration = Duration::from_secs(6);

const TABLE: &str = "Detection with profile fast";
const COLUMNS: [&str; 6] = ["peer", "is", "watched by", "noticed while sending", "noticed when idle", "as"];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    Killed,
    Stopped,
    Cut,
}

/// Watches a peer of the other end's stack and returns how long it took to notice, and why it was lost.
fn notice(
    watcher: Stack,
    peer: Stack,
    fault: Fault,
    sending: bool,
    limit: Duration,
) -> Option<(Duration, String)> {
    let net = Net::new(0, Offloads::Off);
    let spec = Spec { role: "sink", stack: peer, profile: "fast", ipv6: false };
    let mut sink = End::start(&net.right, spec, None);
    sink.expect("listening", LIMIT);
    let role = if sending { "watch sending" } else { "watch" };
    let mut watch =
        End::start(&net.left, Spec { role, stack: watcher, ..spec }, Some(net.right.address(false)));
    watch.expect("up", LIMIT);
    let start = Instant::now();
    match fault {
        Fault::Killed => sink.signal("-KILL"),
        Fault::Stopped => sink.signal("-STOP"),
        Fault::Cut => net.cut(),
    }
    let reason = watch.find("lost", limit)?;
    Some((start.elapsed(), reason))
}

fn report(watcher: Stack, peer: Stack, fault: Fault) {
    let mut cells =
        vec![name(peer).to_owned(), format!("{fault:?}").to_lowercase(), name(watcher).to_owned()];
    let mut reasons = Vec::new();
    for sending in [true, false] {
        let noticed = notice(watcher, peer, fault, sending, LIMIT);
        let (time, reason) =
            noticed.unwrap_or_else(|| panic!("{watcher:?} did not notice {peer:?} {fault:?}"));
        cells.push(format!("{:.1} s", time.as_secs_f64()));
        // How long exactly is in the column before.
        reasons.push(reason.split(" for ").next().unwrap_or_default().to_owned());
    }
    reasons.dedup();
    cells.push(reasons.join("; "));
    let cells: Vec<_> = COLUMNS.into_iter().zip(cells).collect();
    row(TABLE, &cells);
}

#[test]
#[ignore = "needs root"]
fn userland_notices_a_userland_peer_that_is_killed_stopped_or_cut_off() {
    for fault in [Fault::Killed, Fault::Stopped, Fault::Cut] {
        report(Userland, Userland, fault);
    }
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn kernel_notices_a_userland_peer_that_is_killed_stopped_or_cut_off() {
    for fault in [Fault::Killed, Fault::Stopped, Fault::Cut] {
        report(Kernel, Userland, fault);
    }
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn userland_notices_a_kernel_peer_that_is_killed_or_cut_off() {
    for fault in [Fault::Killed, Fault::Cut] {
        report(Userland, Kernel, fault);
    }
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn kernel_notices_a_kernel_peer_that_is_killed_or_cut_off() {
    for fault in [Fault::Killed, Fault::Cut] {
        report(Kernel, Kernel, fault);
    }
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn a_stopped_process_on_kernel_sctp_is_not_noticed_because_its_kernel_answers() {
    for watcher in [Userland, Kernel] {
        for sending in [true, false] {
            assert_eq!(notice(watcher, Kernel, Fault::Stopped, sending, NEVER), None, "{watcher:?}");
        }
        let cells =
            ["kernel", "stopped", name(watcher), "no", "no", "its kernel answers for it"].map(str::to_owned);
        row(TABLE, &std::array::from_fn::<_, 6, _>(|i| (COLUMNS[i], cells[i].clone())));
    }
}
