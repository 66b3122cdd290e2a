//! How long it takes to notice that a peer is gone, with real processes: killed, stopped, restarted.
//!
//! The peer is this test binary, started again to run `peer_process` only. The times measured are
//! printed (`--nocapture`) and stand in the crate's README; asserted are bounds that hold on a busy
//! machine.
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use transport::{Association, Endpoint, EndpointConfig, Event, LossReason, MsgOut, PeerAddress, Ppid};

const PEER: &str = "TRANSPORT_TEST_PEER";
const PORT: u16 = 4739;

/// `patient`: an end that bears long silence and does not ask after its peer.
fn endpoint(encapsulation: u16, patient: bool) -> Endpoint {
    let mut config = EndpointConfig::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
    config.encapsulation = encapsulation;
    if patient {
        config.profile.silence = Duration::from_secs(60);
        config.profile.heartbeat = Duration::from_secs(60);
    }
    Endpoint::bind(config).unwrap()
}

/// Not a test: the peer's process. It reads whatever comes, and says when it loses an association.
#[test]
fn peer_process() {
    let Ok(encapsulation) = std::env::var(PEER) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = endpoint(encapsulation.parse().unwrap(), false);
        let mut listener = endpoint.listen(PORT).await.unwrap();
        println!("\nport {}", endpoint.local_address().port());
        std::io::stdout().flush().unwrap();
        loop {
            let mut association = listener.accept().await.unwrap();
            tokio::spawn(async move {
                loop {
                    if let Event::Lost(reason) = association.recv().await {
                        println!("\nlost {reason}");
                        break;
                    }
                }
            });
        }
    });
}

struct Peer {
    process: Child,
    output: std::io::Lines<BufReader<std::process::ChildStdout>>,
    port: u16,
}

impl Peer {
    fn start(encapsulation: u16) -> Peer {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["peer_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(PEER, encapsulation.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = loop {
            let line = output.next().expect("the peer starts").unwrap();
            if let Some(port) = line.strip_prefix("port ") {
                break port.parse().unwrap();
            }
        };
        Peer { process, output, port }
    }

    fn address(&self) -> PeerAddress {
        PeerAddress::Sctp { ip: Ipv4Addr::LOCALHOST.into(), port: PORT, encapsulation: Some(self.port) }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The time until `Lost`; meanwhile sends if asked to.
async fn until_lost(association: &mut Association, send: bool) -> (Duration, LossReason) {
    let start = Instant::now();
    let sender = association.sender();
    let sending = async {
        loop {
            if send {
                let _ = sender.try_send(MsgOut::new(Ppid::IPFIX, vec![0; 1_400]));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let lost = async {
        loop {
            if let Event::Lost(reason) = association.recv().await {
                return reason;
            }
        }
    };
    tokio::select! {
        reason = lost => (start.elapsed(), reason),
        () = sending => unreachable!("endless"),
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("not noticed in 20 s"),
    }
}

async fn measure(name: &str, stop: impl Fn(&mut Peer), send: bool, bound: Duration) -> LossReason {
    let local = endpoint(0, false);
    let mut worst = Duration::ZERO;
    let mut reasons = Vec::new();
    for round in 0..3_u64 {
        let mut peer = Peer::start(0);
        let mut association = local.connect(peer.address()).await.unwrap();
        association.send(MsgOut::new(Ppid::IPFIX, vec![0; 1_400])).await.unwrap();
        assert_eq!(association.recv().await, Event::SenderDry);
        // Anywhere between two heartbeats.
        let _ = tokio::time::timeout(Duration::from_millis(170 * round), association.recv()).await;
        stop(&mut peer);
        let (time, reason) = until_lost(&mut association, send).await;
        worst = worst.max(time);
        reasons.push(reason);
    }
    println!("{name}: noticed after at most {} ms", worst.as_millis());
    assert!(worst < bound, "{name}: {worst:?}");
    reasons.remove(0)
}

#[tokio::test]
async fn a_killed_peer_is_noticed_by_icmp() {
    // Not by silence, whatever else the machine does: the reason tells.
    let bound = Duration::from_secs(4);
    let reason = measure("killed, idle", Peer::kill, false, bound).await;
    assert!(matches!(reason, LossReason::Unreachable(_)), "{reason:?}");
    let reason = measure("killed, while sending", Peer::kill, true, bound).await;
    assert!(matches!(reason, LossReason::Unreachable(_)), "{reason:?}");
}

#[tokio::test]
async fn a_stopped_peer_is_noticed_by_its_silence() {
    let bound = Duration::from_secs(8);
    let reason = measure("stopped, idle", |peer| peer.signal("-STOP"), false, bound).await;
    assert!(matches!(reason, LossReason::Silent(_)), "{reason:?}");
    let reason = measure("stopped, while sending", |peer| peer.signal("-STOP"), true, bound).await;
    assert!(matches!(reason, LossReason::Silent(_)), "{reason:?}");
}

#[tokio::test]
async fn a_stopped_peer_is_quiet_before_it_is_lost_and_no_longer_once_it_goes_on() {
    let local = endpoint(0, false);
    let peer = Peer::start(0);
    let mut association = local.connect(peer.address()).await.unwrap();
    for (signal, quiet) in [("-STOP", true), ("-CONT", false)] {
        assert_eq!(association.status().quiet, !quiet);
        peer.signal(signal);
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while association.status().quiet != quiet {
            tokio::select! {
                _ = look.tick() => {}
                event = association.recv() => panic!("{event:?} after {signal}"),
            }
        }
    }
}

#[tokio::test]
async fn a_peer_that_was_restarted_at_once_aborts_what_it_does_not_know() {
    let local = endpoint(0, false);
    let mut peer = Peer::start(0);
    let mut association = local.connect(peer.address()).await.unwrap();
    peer.kill();
    let again = Peer::start(peer.port);
    let (time, reason) = until_lost(&mut association, true).await;
    println!("restarted: noticed after {} ms", time.as_millis());
    // Or by ICMP, if the new process took longer to start than that takes.
    assert!(matches!(reason, LossReason::PeerAborted(_) | LossReason::Unreachable(_)), "{reason:?}");
    local.connect(again.address()).await.unwrap();
}

#[tokio::test]
async fn a_process_that_was_stopped_itself_blames_nobody() {
    let local = endpoint(0, true);
    let mut peer = Peer::start(0);
    let mut association = local.connect(peer.address()).await.unwrap();
    peer.signal("-STOP");
    // Longer than the stopped process's own patience of 2 s.
    let event = tokio::time::timeout(Duration::from_secs(4), association.recv()).await;
    assert!(event.is_err(), "{event:?}");
    peer.signal("-CONT");
    // It gets no packet that would remind it; it must find by itself that it was away.
    let event = tokio::time::timeout(Duration::from_secs(1), association.recv()).await;
    assert!(event.is_err(), "{event:?}");
    association.send(MsgOut::new(Ppid::IPFIX, vec![0; 1_400])).await.unwrap();
    assert_eq!(association.recv().await, Event::SenderDry);
    // Its next word is about this end, not about silence.
    association.shutdown(Duration::from_secs(5)).await.unwrap();
    let line = peer.output.by_ref().map(Result::unwrap).find(|line| line.starts_with("lost"));
    assert_eq!(line.as_deref(), Some("lost closed by the peer"));
}
