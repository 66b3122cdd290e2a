//! Acknowledgements that ride with a server's answers.

use std::time::Duration;

use transport::{Association, Endpoint, Event, MsgOut, PeerAddress, Ppid, Stack};

use crate::end::{End, Spec};
use crate::net::{Net, Offloads};
use crate::report::row;
use crate::roles::tell;

const LIMIT: Duration = Duration::from_secs(60);
/// Listened at in the two ways.
const PORTS: [u16; 2] = [3863, 3864];
const ROUNDS: u64 = 30;
/// Requests that are sent at once, each in a packet of its own.
const AT_ONCE: usize = 8;

/// Answers when all requests of a round are there, together.
pub(crate) async fn serve(endpoint: &Endpoint) {
    let mut plain = endpoint.listen(PORTS[0]).await.unwrap();
    let mut requests = endpoint.listen_for_requests(PORTS[1]).await.unwrap();
    tell("listening");
    for listener in [&mut plain, &mut requests] {
        let mut association = listener.accept().await.unwrap();
        tokio::spawn(async move {
            while messages(&mut association, AT_ONCE).await {
                let sender = association.sender();
                for _ in 0..AT_ONCE {
                    sender.try_queue(MsgOut::new(Ppid::ASAP, vec![1; 40])).unwrap();
                }
                sender.flush();
            }
        });
    }
    std::future::pending::<()>().await;
}

/// Tells how many packets the server sent for all rounds.
pub(crate) async fn ask(endpoint: &Endpoint, server: std::net::IpAddr) {
    for port in PORTS {
        let mut association = endpoint.connect(PeerAddress::sctp(server, port)).await.unwrap();
        let before = packets_in();
        for _ in 0..ROUNDS {
            for _ in 0..AT_ONCE {
                association.send(MsgOut::new(Ppid::ASAP, vec![0; 40])).await.unwrap();
            }
            assert!(messages(&mut association, AT_ONCE).await);
        }
        tell(&format!("port {port}: {}", packets_in() - before));
    }
}

/// Reads so many messages; false if the association ends before.
async fn messages(association: &mut Association, count: usize) -> bool {
    let mut read = 0;
    while read < count {
        match association.recv().await {
            Event::Message(_) => read += 1,
            Event::Lost(_) => return false,
            _ => {}
        }
    }
    true
}

/// SCTP packets this network namespace has received.
fn packets_in() -> u64 {
    let text = std::fs::read_to_string("/proc/self/net/sctp/snmp").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("SctpInSCTPPacks"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn a_server_that_answers_sends_few_packets_beside_its_answers() {
    let net = Net::new(0, Offloads::Off);
    let spec = |role| Spec { role, stack: Stack::Kernel, profile: "rfc", ipv6: false };
    let mut server = End::start(&net.right, spec("answer"), None);
    server.expect("listening", LIMIT);
    let mut client = End::start(&net.left, spec("ask"), Some(net.right.address(false)));
    let [plain, requests] =
        PORTS.map(|port| -> u64 { client.expect(&format!("port {port}:"), LIMIT).parse().unwrap() });
    row(
        "Packets of a server for 8 requests",
        &[
            ("listen", format!("{:.1}", plain as f64 / ROUNDS as f64)),
            ("listen_for_requests", format!("{:.1}", requests as f64 / ROUNDS as f64)),
        ],
    );
    // The answers share a packet; Linux counts on meanwhile, and sends a SACK for each 16th request all the same.
    assert!(requests <= 2 * ROUNDS, "{requests} packets, {plain} without");
    assert!(plain >= 2 * requests, "{requests} packets, {plain} without: each second packet is acknowledged");
}
