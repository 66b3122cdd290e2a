//! flowpool beside rsplib, the reference implementation, on kernel SCTP: Debian's programs as they are, ours from the demo's executable.
//!
//! Needs root, iproute2, rsplib's packages and a kernel with SCTP: `cargo xtask interop rsplib` runs it in a virtual
//! machine. Each test is one check, and adds a line to a table of docs/interop.md.
#![cfg(feature = "kernel-sctp")]
#![expect(clippy::disallowed_methods, reason = "watches other processes by the clock")]

mod asap;
mod check;
mod cost;
mod element;
mod enrp;
mod finding;
mod group;
mod network;
mod next_generation;
mod ours;
mod policies;
mod pool;
mod process;
mod reference;
mod unreachable;
#[path = "../world/mod.rs"]
mod world;
