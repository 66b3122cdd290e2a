//! Userland and kernel SCTP with each other, over UDP encapsulation (RFC 6951), on links that lose packets.
//!
//! Each test joins two network namespaces by a veth pair with netem, so it needs root, iproute2, ethtool and (for the
//! kernel's end) a kernel with SCTP: `cargo xtask interop` runs all of them in a virtual machine. The two ends are
//! processes: this test binary, started again inside a namespace to run `end_process` only.
//!
//! Order, loss and counts are asserted. Times are only reported, as rows of tables (see `report`).
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "measures time")]

mod answers;
mod collision;
mod detection;
mod end;
mod handshake;
mod multihoming;
mod net;
mod offload;
mod report;
mod restart;
mod roles;
mod round_trip;
mod traffic;
mod transfer;

/// Not a test: one end's process, which does what its environment says.
#[test]
fn end_process() {
    roles::run();
}
