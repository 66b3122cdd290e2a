//! 5,000 messages on 4 streams over a link that loses packets, then a graceful shutdown.

use std::time::Duration;

use transport::Stack;

use crate::end::{End, Spec, name};
use crate::net::{Net, Offloads};
use crate::report::row;
use crate::traffic::{STREAMS, Tally};

/// Percent, in each direction.
const LOSSES: [u32; 3] = [0, 2, 5];
/// One transfer in emulation on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// What both ends say of one transfer.
struct Transfer {
    sent: [Tally; STREAMS.len()],
    received: [Tally; STREAMS.len()],
    milliseconds: u64,
}

fn transfer(from: Stack, to: Stack, ipv6: bool, loss: u32) -> Transfer {
    let net = Net::new(loss, Offloads::Off);
    let mut sink = End::start(&net.right, Spec { role: "sink", stack: to, profile: "fast", ipv6 }, None);
    sink.expect("listening", LIMIT);
    let spec = Spec { role: "source", stack: from, profile: "fast", ipv6 };
    let mut source = End::start(&net.left, spec, Some(net.right.address(ipv6)));
    let milliseconds = source.expect("time", LIMIT).parse().unwrap();
    let sent = std::array::from_fn(|stream| Tally::parse(&source.expect(&format!("stream {stream}"), LIMIT)));
    assert_eq!(source.expect("shutdown", LIMIT), "Ok(())");
    let received =
        std::array::from_fn(|stream| Tally::parse(&sink.expect(&format!("stream {stream}"), LIMIT)));
    assert_eq!(sink.expect("crc", LIMIT), "0");
    assert_eq!(sink.expect("lost", LIMIT), "closed by the peer");
    Transfer { sent, received, milliseconds }
}

impl Transfer {
    /// What must hold, whatever was lost on the way.
    fn check(&self, to: Stack) {
        let streams = self.sent.iter().zip(&self.received).zip(STREAMS);
        for (stream, ((sent, received), (_, reliability))) in streams.enumerate() {
            let context = format!("stream {stream}, {reliability:?}: {sent:?} {received:?}");
            assert_eq!(received.wrong, 0, "order and content: {context}");
            assert_eq!(
                sent.sent,
                sent.delivered + sent.abandoned + sent.unknown,
                "one outcome each: {context}"
            );
            assert!(received.received <= sent.sent, "{context}");
            let missing = sent.sent - received.received;
            if stream == 0 {
                assert_eq!((missing, received.long), (0, 5), "all reliable messages arrive: {context}");
                assert_eq!(sent.abandoned, 0, "{context}");
                continue;
            }
            // What was skipped does not end or stall the stream: most messages arrive, up to the end of it.
            assert!(received.received > sent.sent / 2, "{context}");
            assert!(sent.sent - received.next < sent.sent / 10, "{context}");
            // Userland drops complete messages behind one that it skips.
            if to == Stack::Kernel {
                assert!(
                    missing <= sent.abandoned + sent.unknown,
                    "only what was given up is missing: {context}"
                );
            }
        }
    }

    fn report(&self, from: Stack, to: Stack, ipv6: bool, loss: u32) {
        let ratio = |stream: usize| format!("{}/{}", self.received[stream].received, self.sent[stream].sent);
        let spurious: u32 = self
            .sent
            .iter()
            .zip(&self.received)
            .map(|(sent, received)| (sent.abandoned + received.received).saturating_sub(sent.sent))
            .sum();
        let most = |of: fn(&Tally) -> u32| self.received.iter().map(of).max().unwrap_or_default();
        row(
            "Transfers",
            &[
                ("from", name(from).to_owned()),
                ("to", name(to).to_owned()),
                ("IP", if ipv6 { "v6" } else { "v4" }.to_owned()),
                ("loss", format!("{loss} %")),
                ("reliable", ratio(0)),
                ("of 60,000 octets", format!("{}/5", self.received[0].long)),
                ("no retransmission", ratio(1)),
                ("one", ratio(2)),
                ("500 ms", ratio(3)),
                ("given up, arrived", spurious.to_string()),
                ("longest skip", most(|tally| tally.longest_skip).to_string()),
                ("longest pause", format!("{} ms", most(|tally| tally.silence))),
                ("time", format!("{:.1} s", Duration::from_millis(self.milliseconds).as_secs_f64())),
            ],
        );
    }
}

fn all_losses(from: Stack, to: Stack, ipv6: bool) {
    for loss in LOSSES {
        let transfer = transfer(from, to, ipv6, loss);
        transfer.report(from, to, ipv6, loss);
        transfer.check(to);
    }
}

#[test]
#[ignore = "needs root"]
fn userland_to_userland_over_ipv4_keeps_order_and_all_that_is_reliable() {
    all_losses(Stack::Userland, Stack::Userland, false);
}

#[test]
#[ignore = "needs root"]
fn userland_to_userland_over_ipv6_keeps_order_and_all_that_is_reliable() {
    all_losses(Stack::Userland, Stack::Userland, true);
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn userland_to_kernel_over_ipv4_keeps_order_and_all_that_is_reliable() {
    all_losses(Stack::Userland, Stack::Kernel, false);
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn userland_to_kernel_over_ipv6_keeps_order_and_all_that_is_reliable() {
    all_losses(Stack::Userland, Stack::Kernel, true);
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn kernel_to_userland_over_ipv4_keeps_order_and_all_that_is_reliable() {
    all_losses(Stack::Kernel, Stack::Userland, false);
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn kernel_to_userland_over_ipv6_keeps_order_and_all_that_is_reliable() {
    all_losses(Stack::Kernel, Stack::Userland, true);
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn kernel_to_kernel_over_ipv4_keeps_order_and_all_that_is_reliable() {
    all_losses(Stack::Kernel, Stack::Kernel, false);
}
