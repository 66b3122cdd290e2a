//! Distances of pool elements that registrars measure on real associations (docs/wire.md section 13), over a path
//! whose delay the test sets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rserpool::{Load, Policy, PoolElement, PoolElementConfig};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use transport::SCTP_ENCAPSULATION_PORT;

use crate::common::{Net, Process, registered};

/// Round trips are smoothed over many seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Takes SCTP in UDP between two hosts at an address of its own, each way after a delay.
struct Relay {
    delay: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn between(at: IpAddr, one: IpAddr, other: IpAddr, delay: u64) -> Relay {
        let socket = Arc::new(UdpSocket::bind((at, SCTP_ENCAPSULATION_PORT)).await.unwrap());
        let delay = Arc::new(AtomicU64::new(delay));
        let shared = Arc::clone(&delay);
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let to = if from.ip() == one { other } else { one };
                let (socket, octets) = (Arc::clone(&socket), buffer[..length].to_vec());
                let delay = Duration::from_millis(shared.load(Ordering::Relaxed));
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let to = SocketAddr::new(to, SCTP_ENCAPSULATION_PORT);
                    let _ = socket.send_to(&octets, to).await;
                });
            }
        });
        Relay { delay, task }
    }

    fn set(&self, delay: u64) {
        self.delay.store(delay, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The distance that `host` resolves for the element, in milliseconds.
async fn distance(net: Net, host: u8) -> Option<u32> {
    let registrar = format!("{}:3863", net.host(host));
    let output = net.resolve(&["--registrar", &registrar, "--output", "json"]).await;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let policy = answer["elements"][0]["policy"].as_str()?.to_owned();
    let (_, distance) = policy.split_once(" distance ")?;
    distance.split(' ').next()?.parse().ok()
}

/// Waits until the distance that `host` resolves lies in a range, and returns it.
async fn distance_becomes(net: Net, host: u8, wanted: std::ops::RangeInclusive<u32>) -> u32 {
    let mut last = None;
    let waiting = async {
        loop {
            last = distance(net, host).await;
            if let Some(distance) = last.filter(|distance| wanted.contains(distance)) {
                return distance;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    match timeout(PATIENCE, waiting).await {
        Ok(distance) => distance,
        Err(_) => panic!("the distance at {host} stays {last:?}, expected {wanted:?}"),
    }
}

#[tokio::test]
async fn the_distance_that_registrars_tell_follows_the_delay_of_the_paths() {
    let net = Net::random();
    // The element is reached by way of .6, the second registrar by way of .7.
    let to_element = Relay::between(net.host(6), net.host(1), net.host(2), 10).await;
    let _to_second = Relay::between(net.host(7), net.host(1), net.host(5), 50).await;
    let more = |id: &str, peers: &str| {
        format!(
            "id = \"{id}\"\n{peers}\n\
             enrp = {{ networks = [\"127.0.0.0/8\"], distance-step = \"20ms\" }}"
        )
    };
    let _first = Process::registrar_at(net, 1, &more("0a0b0c01", "")).await;
    let peer = format!("peer = [{{ address = \"{}\" }}]", net.host(7));
    let _second = Process::registrar_at(net, 5, &more("0a0b0c02", &peer)).await;
    for host in [1, 5] {
        net.metric_of(host, "rserpool_enrp_peers{state=\"active\"}", |count| count == 1.0).await;
    }
    let policy = Policy::LeastUsedDpf { load: Load(0), load_dpf: Load(1), distance: 0 };
    let registrars = vec![net.host(6).to_string().parse().unwrap()];
    let config = PoolElementConfig { policy, registrars, ..net.element_config(2) };
    let mut element = PoolElement::spawn(config, Some(net.endpoint(2))).unwrap();
    registered(&mut element).await;

    let near = distance_becomes(net, 1, 0..=60).await;
    let of_second = distance_becomes(net, 5, 50..=160).await;
    // Smoothed: each measurement moves it by an eighth. A round trip stays below RTO.Min: what is sent again is not
    // measured (RFC 9260 section 6.3.1).
    to_element.set(100);
    let far = distance_becomes(net, 1, 80..=180).await;
    let second_follows = distance_becomes(net, 5, of_second + 40..=400).await;
    println!("10 ms: {near}, at the second {of_second}; 100 ms: {far}, at the second {second_follows}");
    to_element.set(10);
    distance_becomes(net, 1, 0..=60).await;
}
