//! The round-trip time that the transport tells, on a link that delays packets.

use std::time::Duration;

use transport::{Association, Event, MsgOut, Ppid, Stack};

use crate::end::{End, Spec, name};
use crate::net::{Net, Offloads};
use crate::report::row;
use crate::roles::tell;

const LIMIT: Duration = Duration::from_secs(60);
/// In each direction.
const DELAY: Duration = Duration::from_millis(60);

/// Sends messages one after the other, each when the one before is acknowledged, and tells the round-trip time.
pub(crate) async fn measure(mut association: Association) {
    for _ in 0..30 {
        association.send(MsgOut::new(Ppid::IPFIX, vec![0; 100])).await.unwrap();
        while association.recv().await != Event::SenderDry {}
    }
    while association.status().srtt.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let srtt = association.status().srtt.unwrap_or_default();
    tell(&format!("srtt {}", srtt.as_millis()));
}

fn round_trip_is_that_of_the_link(stack: Stack) {
    let net = Net::new(0, Offloads::Off);
    net.delay(DELAY);
    let sink = Spec { role: "sink", stack, profile: "fast", ipv6: false };
    let mut sink = End::start(&net.right, sink, None);
    sink.expect("listening", LIMIT);
    let source = Spec { role: "round trip", stack, profile: "fast", ipv6: false };
    let mut source = End::start(&net.left, source, Some(net.right.address(false)));
    let srtt: u64 = source.expect("srtt", LIMIT).parse().unwrap();
    row(
        "Round-trip time on a link of 120 ms",
        &[("stack", name(stack).to_owned()), ("told", format!("{srtt} ms"))],
    );
    // Delayed acknowledgements add up to 200 ms (RFC 9260 section 6.2). A unit that is wrong is wrong by a factor of 4 or 10.
    assert!((100..=400).contains(&srtt), "{srtt} ms");
}

#[test]
#[ignore = "needs root"]
fn userland_tells_the_round_trip_of_the_link() {
    round_trip_is_that_of_the_link(Stack::Userland);
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn the_kernel_tells_the_round_trip_of_the_link() {
    round_trip_is_that_of_the_link(Stack::Kernel);
}
