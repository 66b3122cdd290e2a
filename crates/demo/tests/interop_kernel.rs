//! The demo on native kernel SCTP: registrar, collectors and exporter built with the feature find it by themselves.
#![cfg(feature = "kernel-sctp")]

use std::process::Command;

/// What the kernel counted so far.
fn counted(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/net/sctp/snmp").expect("a kernel with SCTP");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the counter");
    line.trim().parse().unwrap()
}

#[test]
#[ignore = "needs kernel SCTP"]
fn a_pool_on_kernel_sctp_survives_the_loss_of_a_collector() {
    let before = counted("SctpPassiveEstabs");
    let demo = Command::new(env!("CARGO_BIN_EXE_demo")).output().unwrap();
    let text = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{text}\n{}", String::from_utf8_lossy(&demo.stderr));
    assert!(text.contains("lost 0"), "{text}");
    // Both collectors and the exporter with the registrar, and the exporter with each collector.
    let native = counted("SctpPassiveEstabs") - before;
    assert!(native >= 5, "{native} associations over the kernel");
}
