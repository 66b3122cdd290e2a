//! Floods from many addresses: what their connections make the registrar keep is bounded together, and who asks for
//! much is slowed down and not sent away.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rserpool::PoolHandle;
use rserpool::wire::asap::handle_resolution::HandleResolution;
use rserpool::wire::{Message, MessageType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::timeout;
use transport::machine::{Machine, system_randomness};
use transport::{Association, ConnectError, EndpointConfig, MsgOut, PeerAddress, Ppid, State};

use crate::common::{Net, Process, registered, value};
use crate::hostile::{connect, long, memory, registration};
use crate::{PE, SOON};

/// The promise, whatever peers send: see SECURITY.md.
const BOUND: f64 = 64.0 * 1024.0 * 1024.0;

const SHED: &str = "rserpool_connections_shed_total";
const HELD_BACK: &str = "rserpool_handle_resolutions_held_back_total";

/// An address of its own for each of 60,000 attackers.
fn attacker(net: Net, number: u16) -> IpAddr {
    let IpAddr::V4(registrar) = net.host(1) else { unreachable!("the net is IPv4") };
    let [_, x, ..] = registrar.octets();
    let [high, low] = (number + 256).to_be_bytes();
    Ipv4Addr::new(127, x - 63, high, low).into()
}

async fn connect_from(net: Net, address: IpAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(address, 0)).unwrap();
    socket.connect(SocketAddr::new(net.host(1), 3863)).await.unwrap()
}

/// Others register and resolve as if nothing were.
async fn serves_others(net: Net) {
    let mut element = net.element(2);
    registered(&mut element).await;
    let user = net.user();
    assert_eq!(timeout(SOON, user.wait_element()).await.unwrap().pe, PE);
}

async fn assert_bounded(net: Net, what: &str) {
    let metrics = net.metrics().await;
    let (memory, shed) = (memory(net).await, value(&metrics, SHED).unwrap());
    eprintln!("{what}: {memory} octets resident, {shed} connections closed");
    assert!(memory < BOUND, "{what}: {memory} octets");
}

fn question(pool: &[u8]) -> Vec<u8> {
    let pool = PoolHandle::new(pool).unwrap();
    let message = HandleResolution { send_updates: false, pool, items: Some(1), unknown: vec![] };
    Message::HandleResolution(message).to_octets().unwrap()
}

#[tokio::test]
async fn unfinished_messages_from_thousands_of_addresses_do_not_add_up() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let mut held = Vec::new();
    let unfinished = [&[1, 0, 0xff, 0xf0][..], &[0; 60_000]].concat();
    for number in 0..2_000 {
        let mut stream = connect_from(net, attacker(net, number)).await;
        // It may be closed meanwhile, and is not read while the buffers are full.
        let _ = timeout(Duration::from_millis(20), stream.write_all(&unfinished)).await;
        held.push(stream);
    }
    assert_bounded(net, "2,000 unfinished messages over TCP").await;
    net.metric(SHED, |count| count > 100.0).await;
    serves_others(net).await;
}

#[tokio::test]
async fn idle_connections_of_thousands_of_addresses_stay_cheap() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let (mut held, question) = (Vec::new(), registration(net, &long(1, 60_000), 0));
    for number in 0..4_000 {
        let mut stream = connect_from(net, attacker(net, number)).await;
        // A message of any length leaves nothing behind once it was answered: here with a refusal.
        stream.write_all(&question).await.unwrap();
        let mut header = [0; 4];
        timeout(SOON, stream.read_exact(&mut header)).await.unwrap().unwrap();
        let mut rest = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - 4];
        timeout(SOON, stream.read_exact(&mut rest)).await.unwrap().unwrap();
        held.push(stream);
    }
    net.metric("rserpool_connections{protocol=\"asap\"}", |count| count == 4_000.0).await;
    assert_bounded(net, "4,000 connections that have sent 60,000 octets each").await;
    serves_others(net).await;
}

#[tokio::test]
async fn pipelined_registrations_with_long_handles_are_slowed_down_and_all_answered() {
    const COUNT: u32 = 16;
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let (mut reader, mut writer) = connect(net).await.into_split();
    let writing = tokio::spawn(async move {
        for pe in 1..=COUNT {
            writer.write_all(&registration(net, &long(1, 60_000), pe)).await.unwrap();
        }
        writer
    });
    for pe in 1..=COUNT {
        let answer = timeout(SOON, answer(&mut reader)).await.unwrap();
        let Ok(Message::RegistrationResponse(response)) = Message::decode(&answer) else {
            panic!("no answer to a registration: {answer:?}");
        };
        assert_eq!((response.pe.0, response.rejected), (pe, false));
    }
    writing.await.unwrap();
    net.metric(SHED, |count| count == 0.0).await;
}

#[tokio::test]
async fn who_asks_too_often_is_answered_later_and_everything() {
    const COUNT: usize = 700;
    let net = Net::random();
    let _registrar = Process::registrar_at(net, 1, "limits.resolutions-per-second = 100").await;
    let (mut reader, mut writer) = connect(net).await.into_split();
    let begin = Instant::now();
    writer.write_all(&question(b"nobody").repeat(COUNT)).await.unwrap();
    // Another one is not slowed down by that.
    let mut other = connect(net).await;
    other.write_all(&question(b"nobody")).await.unwrap();
    let first = timeout(SOON, answer(&mut other)).await.unwrap();
    assert_eq!(MessageType::of(&first), Some(MessageType(6)));
    for _ in 0..COUNT {
        let answer = timeout(SOON, answer(&mut reader)).await.unwrap();
        assert_eq!(MessageType::of(&answer), Some(MessageType(6)));
    }
    eprintln!("{COUNT} resolutions of 500 at once and 100 in a second: {:?}", begin.elapsed());
    net.metric(HELD_BACK, |count| count > 0.0).await;
    net.metric(SHED, |count| count == 0.0).await;
}

async fn answer(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut message = vec![0; 4];
    stream.read_exact(&mut message).await.unwrap();
    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
    message.resize(length, 0);
    stream.read_exact(&mut message[4..]).await.unwrap();
    message
}

#[tokio::test]
async fn unfinished_messages_over_userland_sctp_do_not_add_up() {
    let net = Net::random();
    let _registrar = Process::registrar(net).await;
    let (stop, stopped) = std::sync::mpsc::channel();
    let flooding = std::thread::spawn(move || {
        let mut attackers: Vec<Attacker> = (0..400).map(|number| Attacker::new(net, number)).collect();
        let mut was_up = 0;
        while stopped.try_recv().is_err() {
            was_up = was_up.max(attackers.iter_mut().map(|attacker| usize::from(attacker.turn())).sum());
        }
        was_up
    });
    // Each gets 49,000 octets of its message across: 19 MB together.
    net.metric(SHED, |count| count > 50.0).await;
    assert_bounded(net, "400 unfinished messages over SCTP").await;
    serves_others(net).await;
    stop.send(()).unwrap();
    eprintln!("{} attackers were up at once", flooding.join().unwrap());
}

/// An SCTP endpoint that never sends the end of a message.
struct Attacker {
    socket: UdpSocket,
    machine: Machine,
    registrar: PeerAddress,
    reply: Option<oneshot::Receiver<Result<Association, ConnectError>>>,
    association: Option<Association>,
}

impl Attacker {
    fn new(net: Net, number: u16) -> Attacker {
        let address = attacker(net, number);
        let socket = UdpSocket::bind((address, 9899)).unwrap();
        socket.connect((net.host(1), 9899)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let local = socket.local_addr().unwrap();
        let mut config = EndpointConfig::new(address);
        config.mtu = Some(16_384);
        let machine = Machine::new(config, local, system_randomness(), || (), Instant::now()).unwrap();
        let registrar = PeerAddress::Sctp { ip: net.host(1), port: 3863, encapsulation: Some(9899) };
        Attacker { socket, machine, registrar, reply: None, association: None }
    }

    /// Does what is to do; returns whether the association is up.
    fn turn(&mut self) -> bool {
        let now = Instant::now();
        if self.association.is_none() && self.reply.is_none() {
            let (reply, answer) = oneshot::channel();
            self.machine.connect(now, self.registrar, reply);
            self.reply = Some(answer);
        }
        let mut datagram = [0; 20_000];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let from = self.socket.peer_addr().unwrap();
            self.machine.handle_datagram(now, from, &datagram[..length]);
        }
        match self.reply.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(Ok(association))) => {
                // It may have been sent away already.
                let _ = association.try_send(MsgOut::new(Ppid::ASAP, vec![1; 60_000]));
                (self.association, self.reply) = (Some(association), None);
            }
            Some(Ok(Err(_)) | Err(TryRecvError::Closed)) => self.reply = None,
            Some(Err(TryRecvError::Empty)) | None => {}
        }
        // Whoever is sent away comes again.
        self.association.take_if(|association| association.status().state == State::Closed);
        self.machine.handle_timeout(now);
        while let Some((_, packet)) = self.machine.poll_transmit() {
            // A DATA chunk with the E bit ends a message (RFC 9260 section 3.3.1).
            if !(packet[12] == 0 && packet[13] & 1 == 1) {
                let _ = self.socket.send(&packet);
            }
        }
        self.association.is_some()
    }
}
