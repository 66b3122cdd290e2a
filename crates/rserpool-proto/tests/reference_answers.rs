//! Requests captured from a session with the reference implementation's registrar, given to ours: where RFC and
//! reference agree, the answers are the same octets (file `02-…` in `tests/data`).

#![expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]

use std::net::IpAddr;
use std::time::Instant;

use rserpool_proto::registrar::{Registrar, RegistrarConfig};
use rserpool_proto::{ConnectionId, Output, Profile, Protocol, RegistrarId, Remote};

const A1: &str = "010000340009000550000000000a0028000000a10000000000015f90000400101b590000000100080a4d001f0008000800000001";
const A2: &str = "010000340009000550000000000a0028000000a20000000000015f90000400101b5a0000000100080a4d001f0008000800000001";
const RESOLVE: &str = "0500000c0009000550000000";

/// Requests in their order, each with the captured answer.
const SESSION: [(&str, &str); 13] = [
    ("050000140009000e4e6f53756368506f6f6c0000", "0600001c0009000e4e6f53756368506f6f6c0000000c000800090004"),
    (A1, "030000140009000550000000000e0008000000a1"),
    (A2, "030000140009000550000000000e0008000000a2"),
    (
        RESOLVE,
        "0600006400090005500000000008000800000001000a0028000000a10a0b0c0100015f90000400101b590000000100080a4d001f0008000800000001000a0028000000a20a0b0c0100015f90000400101b5a0000000100080a4d001f0008000800000001",
    ),
    ("020000140009000550000000000e0008000000a1", "040000140009000550000000000e0008000000a1"),
    (
        RESOLVE,
        "0600003c00090005500000000008000800000001000a0028000000a20a0b0c0100015f90000400101b5a0000000100080a4d001f0008000800000001",
    ),
    ("020000140009000550000000000e0008000000a2", "040000140009000550000000000e0008000000a2"),
    (RESOLVE, "060000140009000550000000000c000800090004"),
    // Deregistration of an element nobody knows.
    ("020000140009000551000000000e0008000000b1", "040000140009000551000000000e0008000000b1"),
    (A1, "030000140009000550000000000e0008000000a1"),
    // Unknown parameters: stop silently, stop and report, skip.
    ("0500001400090005500000000bbb0008deadbeef", ""),
    ("0500001400090005500000004bbb0008deadbeef", "0e000014000c00100001000c4bbb0008deadbeef"),
    (
        "0500001400090005500000008bbb0008deadbeef",
        "0600003c00090005500000000008000800000001000a0028000000a10a0b0c0100015f90000400101b590000000100080a4d001f0008000800000001",
    ),
];

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn answers_are_the_octets_of_the_reference_implementation() {
    let id = Some(RegistrarId(0x0a0b_0c01));
    let config = RegistrarConfig { id, profile: Profile::RSPLIB, ..RegistrarConfig::default() };
    let mut registrar = Registrar::new(config, 1);
    let (now, connection) = (Instant::now(), ConnectionId::accepted(1));
    let addresses = vec![IpAddr::from([10, 77, 0, 31])];
    registrar.handle_accepted(
        now,
        connection,
        Remote { protocol: Protocol::Sctp, addresses, port: 44236, encapsulation: None },
    );
    for (request, captured) in SESSION {
        registrar.handle_message(now, connection, &octets(request));
        let mut answer = String::new();
        while let Some(output) = registrar.poll_output() {
            if let Output::Send { octets, .. } = output {
                answer.extend(octets.iter().map(|octet| format!("{octet:02x}")));
            }
        }
        assert_eq!(answer, captured, "to {request}");
    }
}
