//! Offloads of virtual links: kernel SCTP hands over packets longer than the MTU, whose CRC is never computed.

use std::time::Duration;

use transport::Stack;

use crate::end::{End, Spec};
use crate::net::{Net, Offloads};
use crate::report::row;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs root and kernel SCTP"]
fn packets_spoilt_by_offloads_are_counted_apart() {
    let net = Net::new(0, Offloads::On);
    let spec = Spec { role: "sink", stack: Stack::Userland, profile: "fast", ipv6: false };
    let mut sink = End::start(&net.right, spec, None);
    sink.expect("listening", LIMIT);
    let spec = Spec { role: "source", stack: Stack::Kernel, ..spec };
    let _source = End::start(&net.left, spec, Some(net.right.address(false)));
    sink.expect("accepted", LIMIT);
    let crc = sink.expect("spoilt", LIMIT);
    row(
        "Offloads left on, kernel to userland",
        &[("CRC failures of packets above 1,500 octets, within 100 ms", crc)],
    );
}
