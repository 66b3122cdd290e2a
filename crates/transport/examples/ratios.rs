//! What the transports add to what they stand on, as ratios of one run over loopback, messages of 1,400
//! octets: userland SCTP against dcsctp in a bare loop, TCP against plain writes of the same size.
//! `cargo run --release -p transport --example ratios`. The two of a pair run in turn; medians count.
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use dcsctp::api::{
    DcSctpSocket, Message, Options, PpId, SendOptions, Socket, SocketEvent, SocketTime, StreamId,
};
use transport::{Association, Endpoint, EndpointConfig, Event, MsgOut, PeerAddress, Ppid, tcp};

const LENGTH: usize = 1_400;
const ROUNDS: usize = 7;
/// No further round of a comparison begins after so long.
const BUDGET: Duration = Duration::from_secs(7);
/// Datagrams read before dcsctp is asked what to send.
const BATCH: usize = 64;
/// What the bare sender keeps in dcsctp.
const QUEUED: usize = 1 << 20;

fn message() -> Vec<u8> {
    let mut message = vec![0; LENGTH];
    message[1] = 10;
    message[2..4].copy_from_slice(&u16::try_from(LENGTH).expect("short").to_be_bytes());
    message
}

/// dcsctp, its UDP socket and its clock; nothing else.
struct Bare {
    udp: UdpSocket,
    socket: Socket,
    start: Instant,
    buffer: Vec<u8>,
}

impl Bare {
    fn new(udp: UdpSocket, mtu: usize) -> Bare {
        udp.set_nonblocking(true).expect("a socket");
        let reference = socket2::SockRef::from(&udp);
        reference.set_recv_buffer_size(4 << 20).expect("a buffer");
        reference.set_send_buffer_size(4 << 20).expect("a buffer");
        let options = Options {
            mtu,
            max_receiver_window_buffer_size: 1 << 20,
            max_retransmissions: None,
            rto_initial: Duration::from_millis(250),
            rto_min: Duration::from_millis(250),
            rto_max: Duration::from_millis(700),
            delayed_ack_max_timeout: Duration::from_millis(20),
            ..Options::default()
        };
        let socket = Socket::new("", &options);
        Bare { udp, socket, start: Instant::now(), buffer: vec![0; 65_535] }
    }

    /// One turn; returns whether there was anything to do.
    fn turn(&mut self) -> bool {
        let mut any = false;
        for _ in 0..BATCH {
            match self.udp.recv(&mut self.buffer) {
                Ok(octets) => self.socket.handle_input(&self.buffer[..octets]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
            any = true;
        }
        self.socket.advance_time(SocketTime::zero() + self.start.elapsed());
        while let Some(event) = self.socket.poll_event() {
            if let SocketEvent::SendPacket(packet) = event {
                // A full buffer loses it, which SCTP repairs.
                let _ = self.udp.send(&packet);
                any = true;
            }
        }
        any
    }
}

fn pause() {
    std::thread::sleep(Duration::from_micros(20));
}

/// Messages per second of dcsctp without us.
fn bare(mtu: usize, count: usize) -> f64 {
    let [left, right] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
    left.connect(right.local_addr().expect("bound")).expect("an address");
    right.connect(left.local_addr().expect("bound")).expect("an address");
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let start = Instant::now();
    let sender = std::thread::spawn(move || {
        let mut left = Bare::new(left, mtu);
        left.socket.connect();
        let (message, mut sent) = (message(), 0);
        while is_done.try_recv().is_err() {
            while sent < count && left.socket.buffered_amount(StreamId(0)) < QUEUED {
                let message = Message::new(StreamId(0), PpId(0), message.clone());
                left.socket.send(message, &SendOptions::default()).expect("room");
                sent += 1;
            }
            if !left.turn() {
                pause();
            }
        }
    });
    let mut right = Bare::new(right, mtu);
    let mut received = 0;
    while received < count {
        let any = right.turn();
        while right.socket.get_next_message().is_some() {
            received += 1;
        }
        if !any {
            pause();
        }
    }
    let rate = rate(count, start);
    done.send(()).expect("the sender waits");
    sender.join().expect("the sender ends");
    rate
}

fn rate(count: usize, start: Instant) -> f64 {
    f64::from(u32::try_from(count).expect("few")) / start.elapsed().as_secs_f64()
}

/// Messages per second from one association to the other.
async fn across(a: Association, mut b: Association, count: usize) -> f64 {
    let start = Instant::now();
    let message = bytes::Bytes::from(message());
    let writer = tokio::spawn(async move {
        for _ in 0..count {
            a.send(MsgOut::new(Ppid::IPFIX, message.clone())).await.expect("sent");
        }
        a
    });
    let mut received = 0;
    while received < count {
        match b.recv().await {
            Event::Message(_) => received += 1,
            Event::Lost(reason) => panic!("{reason}"),
            _ => {}
        }
    }
    let rate = rate(count, start);
    drop(writer.await);
    rate
}

async fn userland(mtu: usize, count: usize) -> f64 {
    let endpoint = || {
        let mut config = EndpointConfig::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
        (config.encapsulation, config.mtu) = (0, Some(mtu));
        config.stack = transport::Stack::Userland;
        Endpoint::bind(config).expect("an endpoint")
    };
    let (left, right) = (endpoint(), endpoint());
    let mut listener = right.listen(4739).await.expect("a listener");
    let a = left.connect(listener.local()).await.expect("an association");
    let b = listener.accept().await.expect("an association");
    across(a, b, count).await
}

fn raw_tcp(count: usize) -> f64 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let mut out = TcpStream::connect(listener.local_addr().expect("bound")).expect("a connection");
    let (mut into, _) = listener.accept().expect("a connection");
    out.set_nodelay(true).expect("an option");
    let start = Instant::now();
    let writer = std::thread::spawn(move || {
        let message = message();
        for _ in 0..count {
            out.write_all(&message).expect("written");
        }
    });
    let (mut buffer, mut left) = (vec![0; 65_536], count * LENGTH);
    while left > 0 {
        left -= into.read(&mut buffer).expect("read");
    }
    let rate = rate(count, start);
    writer.join().expect("the writer ends");
    rate
}

async fn our_tcp(count: usize) -> f64 {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = tcp::listen(address, tcp::Options::default()).await.expect("a listener");
    let PeerAddress::Tcp(address) = listener.local() else { unreachable!("TCP") };
    let a = tcp::connect(address, tcp::Options::default()).await.expect("a connection");
    let b = listener.accept().await.expect("a connection");
    across(a, b, count).await
}

/// Processor time of this process so far, in seconds: of the calls of a busy machine's scheduler it says
/// nothing, unlike the rates.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields = stat.rsplit(')').next().expect("a name").split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

/// Rate, and microseconds of processor time for a message, of both ends together.
fn measure(count: usize, run: impl FnOnce() -> f64) -> (f64, f64) {
    let before = processor();
    let rate = run();
    (rate, (processor() - before) * 1e6 / f64::from(u32::try_from(count).expect("few")))
}

fn median(rates: impl Iterator<Item = f64>) -> f64 {
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Runs the two in turn and prints the ratios of the medians.
fn compare(name: &str, count: usize, wanted: u32, ours: impl Fn() -> f64, theirs: impl Fn() -> f64) {
    let start = Instant::now();
    let rounds: Vec<_> = (0..ROUNDS)
        .take_while(|round| *round == 0 || start.elapsed() < BUDGET)
        .map(|_| (measure(count, &ours), measure(count, &theirs)))
        .collect();
    let (our_rate, their_rate) = (median(rounds.iter().map(|r| r.0.0)), median(rounds.iter().map(|r| r.1.0)));
    let (our_cost, their_cost) = (median(rounds.iter().map(|r| r.0.1)), median(rounds.iter().map(|r| r.1.1)));
    println!(
        "{name:31} {our_rate:8.0} {their_rate:8.0} {:6.0} % {wanted:6} % {our_cost:9.1} {their_cost:9.1} {:6.0} % {:7}",
        100.0 * our_rate / their_rate,
        100.0 * their_cost / our_cost,
        rounds.len(),
    );
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "{:31} {:>17} {:>8} {:>8} {:>19} {:>8} {:>7}",
        "", "messages/s: ours", "ratio", "wanted", "us/message: ours", "ratio", "rounds"
    );
    for mtu in [1_452, 16_384] {
        let (count, name) = (4_000, format!("SCTP, packets of {mtu}; dcsctp"));
        compare(&name, count, 90, || runtime.block_on(userland(mtu, count)), || bare(mtu, count));
    }
    let count = 40_000;
    compare("TCP; plain writes", count, 60, || runtime.block_on(our_tcp(count)), || raw_tcp(count));
}
