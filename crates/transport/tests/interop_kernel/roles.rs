//! What an end does in its process.

use std::env;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use transport::{
    Association, Endpoint, EndpointConfig, Event, Listener, LossReason, MsgOut, Outcome, PeerAddress, Ppid,
    Profile, Sender, Stack,
};

use crate::answers;
use crate::end::{self, LOCAL, MARK, PEER, PROFILE, ROLE, STACK};
use crate::handshake::handshake;
use crate::multihoming;
use crate::round_trip;
use crate::traffic::{self, Receiver, STREAMS, Tally};

/// The SCTP port of the end that listens.
const PORT: u16 = 4739;
/// A shutdown takes no longer: what is queued crosses even a lossy link in that time.
const DEADLINE: Duration = Duration::from_secs(90);

/// A transfer that takes long tells how it stands this often, for whoever must find out why.
const STATUS: Duration = Duration::from_secs(10);

/// Does what the environment says; nothing without it.
pub(crate) fn run() {
    let Ok(role) = env::var(ROLE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match role.as_str() {
            "sink" => sink(&endpoint()).await,
            "source" => {
                let endpoint = endpoint();
                source(&endpoint).await;
                // The SHUTDOWN COMPLETE may be lost on the way. It is sent again for the next SHUTDOWN ACK, as long as
                // there is somebody to send it; the test ends this process.
                tokio::time::sleep(DEADLINE).await;
            }
            "watch" => watch(&endpoint(), false).await,
            "watch sending" => watch(&endpoint(), true).await,
            "answer" => answers::serve(&endpoint()).await,
            "ask" => answers::ask(&endpoint(), env::var(PEER).unwrap().parse().unwrap()).await,
            "collide" => crate::collision::collide().await,
            "handshake" => by_hand().await,
            "round trip" => round_trip::measure(connect(&endpoint()).await).await,
            "multihomed sink" => multihoming::sink().await,
            "multihomed source" => multihoming::source().await,
            "host without sctp" => multihoming::refuse_sctp(),
            "connect to a host without sctp" => multihoming::connect_to_a_host_without_sctp().await,
            other => panic!("no role {other}"),
        }
    });
}

pub(crate) fn tell(text: &str) {
    // On a line of its own, whatever the test framework has printed.
    println!("\n{MARK}{text}");
}

fn endpoint() -> Endpoint {
    let mut config = EndpointConfig::new(env::var(LOCAL).unwrap().parse().unwrap());
    config.stack = match env::var(STACK).unwrap().as_str() {
        "kernel" => Stack::Kernel,
        "userland" => Stack::Userland,
        other => panic!("no stack {other}"),
    };
    config.profile = match env::var(PROFILE).unwrap().as_str() {
        "fast" => Profile::fast(),
        "rfc" => Profile::rfc(),
        other => panic!("no profile {other}"),
    };
    // Short, or the messages that live for 500 ms would spend that in the queue.
    config.queues.send = 128 << 10;
    Endpoint::bind(config).unwrap()
}

async fn connect(endpoint: &Endpoint) -> Association {
    let peer: IpAddr = env::var(PEER).unwrap().parse().unwrap();
    let association = endpoint.connect(PeerAddress::sctp(peer, PORT)).await.unwrap();
    tell(&format!("connected from {} to {}", association.local().port(), association.peer()));
    association
}

/// Sets up an association as an earlier process at the same port would, and leaves it alone.
async fn by_hand() {
    let local = env::var(LOCAL).unwrap().parse().unwrap();
    let peer: IpAddr = env::var(PEER).unwrap().parse().unwrap();
    handshake(local, env::var(end::PORT).unwrap().parse().unwrap(), (peer, PORT).into()).await;
    tell("up");
}

/// Accepts, and tells of each association what happened to it and what came of the traffic.
async fn sink(endpoint: &Endpoint) {
    let mut listener: Listener = endpoint.listen(PORT).await.unwrap();
    tell("listening");
    let mut tasks = JoinSet::new();
    tasks.spawn(tell_of_spoilt_packets(endpoint.clone()));
    loop {
        let association = listener.accept().await.unwrap();
        tell("accepted");
        tasks.spawn(drain(association, endpoint.clone()));
    }
}

/// Tells once, when packets above the MTU came with a wrong CRC.
async fn tell_of_spoilt_packets(endpoint: Endpoint) {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    while endpoint.counters().crc_failures_large == 0 {
        ticks.tick().await;
    }
    tell(&format!("spoilt {}", endpoint.counters().crc_failures_large));
}

async fn drain(mut association: Association, endpoint: Endpoint) {
    let mut receiver = Receiver::default();
    loop {
        match association.recv().await {
            Event::Message(message) if message.data.len() >= traffic::LENGTH => {
                receiver.take(&message, Instant::now());
            }
            Event::Message(message) => tell(&format!("small {} octets", message.data.len())),
            // Of two ways to connect, native and in UDP, the second one wins where a packet of the first is lost. The
            // first may have been set up here all the same.
            Event::Lost(reason @ LossReason::PeerAborted(_)) if receiver.is_unused() => {
                tell(&format!("unused, {reason}"));
                break;
            }
            Event::Lost(reason) => {
                for (stream, tally) in receiver.tallies.into_iter().enumerate() {
                    tell(&format!("stream {stream} {}", tally.line()));
                }
                let counters = endpoint.counters();
                tell(&format!("crc {}", counters.crc_failures));
                tell(&format!("lost {reason}"));
                break;
            }
            Event::SenderDry => {}
            other => tell(&format!("event {other:?}")),
        }
    }
}

/// Sends all the traffic, shuts down right behind it, and tells the outcomes.
async fn source(endpoint: &Endpoint) {
    let mut association = connect(endpoint).await;
    let mut tallies = [Tally::default(); STREAMS.len()];
    let start = Instant::now();
    let sending = tokio::spawn(send_all(association.sender()));
    let mut told = start;
    while !sending.is_finished() {
        if told.elapsed() > STATUS {
            told = Instant::now();
            tell(&format!("sending, {:?}", association.status()));
        }
        // The sender ends between two events, at the latest with the last message's own.
        let event = tokio::time::timeout(Duration::from_millis(100), association.recv()).await;
        if let Ok(event) = event {
            assert!(!matches!(event, Event::Lost(_)), "{event:?}");
            count(&mut tallies, &event);
        }
    }
    for message in sending.await.unwrap() {
        tallies[usize::from(message)].sent += 1;
    }
    let shutdown = {
        let sender = association.sender();
        let mut shutdown = std::pin::pin!(association.shutdown(DEADLINE));
        loop {
            match tokio::time::timeout(STATUS, shutdown.as_mut()).await {
                Ok(ended) => break ended,
                Err(_) => tell(&format!("shutting down, {:?}", sender.status())),
            }
        }
    };
    tell(&format!("time {}", start.elapsed().as_millis()));
    loop {
        let event = association.recv().await;
        count(&mut tallies, &event);
        if let Event::Lost(_) = event {
            break;
        }
    }
    for (stream, tally) in tallies.into_iter().enumerate() {
        tell(&format!("stream {stream} {}", tally.line()));
    }
    tell(&format!("shutdown {shutdown:?}"));
}

/// Returns the stream of each message.
async fn send_all(sender: Sender) -> Vec<u16> {
    let mut streams = Vec::new();
    for message in traffic::messages() {
        streams.push(message.stream);
        sender.send(message).await.unwrap();
    }
    streams
}

fn count(tallies: &mut [Tally], event: &Event) {
    let Event::Sent { token, outcome } = event else { return };
    let tally = &mut tallies[usize::try_from(token.0 >> 32).unwrap()];
    match outcome {
        Outcome::Delivered => tally.delivered += 1,
        Outcome::Abandoned => tally.abandoned += 1,
        Outcome::Unknown => tally.unknown += 1,
    }
}

/// Connects, sends one message and, if asked to, more of them, and tells when the association is lost.
async fn watch(endpoint: &Endpoint, sending: bool) {
    let mut association = connect(endpoint).await;
    association.send(MsgOut::new(Ppid::IPFIX, vec![0; 100])).await.unwrap();
    while association.recv().await != Event::SenderDry {}
    tell("up");
    let sender = association.sender();
    let sending = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            if sending {
                let _ = sender.try_send(MsgOut::new(Ppid::IPFIX, vec![0; 100]));
            }
        }
    };
    let watching = async {
        loop {
            match association.recv().await {
                Event::Lost(reason) => return tell(&format!("lost {reason}")),
                Event::SenderDry => {}
                other => tell(&format!("event {other:?}")),
            }
        }
    };
    tokio::select! { () = watching => {}, () = sending => {} }
}
