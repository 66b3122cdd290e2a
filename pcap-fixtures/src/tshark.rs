//! Has tshark read messages, in the tests that have it complain.

use std::io::{ErrorKind, Write as _};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use crate::{Frame, PcapWriter};

/// Link type of IP packets without a link header.
const LINKTYPE_RAW: u32 = 101;
const UDP: u8 = 17;
const IPFIX_PORT: u16 = 4739;

/// Returns a capture file of IPFIX messages as UDP datagrams. The checksums are zero: tshark verifies none.
///
/// # Panics
///
/// When a message is longer than a datagram.
pub fn ipfix_datagrams(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut file = PcapWriter::with(false, false, 65_535, LINKTYPE_RAW);
    let here = Ipv4Addr::LOCALHOST.into();
    for message in messages {
        let length = u16::try_from(message.len() + 8).expect("a message fits a datagram");
        let mut upper = Vec::with_capacity(length.into());
        upper.extend([40_000, IPFIX_PORT, length, 0].iter().flat_map(|word| word.to_be_bytes()));
        upper.extend(message);
        let frame = Frame::ip(here, here, UDP, upper).expect("one IP version");
        file.packet(0, &frame.packet());
    }
    file.octets
}

/// Returns what tshark prints for a capture file. `None`: it is not installed, which has been said.
///
/// # Panics
///
/// When tshark fails.
pub fn tshark(capture: &[u8], arguments: &[&str]) -> Option<String> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-r", "-", "-d", "udp.port==4739,cflow"]).args(arguments);
    // Times are compared.
    tshark.env("TZ", "UTC");
    let spawned = tshark.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: tshark is not installed");
            return None;
        }
        spawned => spawned.expect("tshark starts"),
    };
    let mut stdin = child.stdin.take().expect("piped");
    let capture = capture.to_vec();
    // tshark may print before it has read all.
    let writer = std::thread::spawn(move || stdin.write_all(&capture));
    let output = child.wait_with_output().expect("tshark's output");
    writer.join().expect("the writer ends").expect("tshark reads");
    assert!(output.status.success(), "tshark failed: {}", output.status);
    Some(String::from_utf8(output.stdout).expect("tshark prints UTF-8"))
}
