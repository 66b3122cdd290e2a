#![expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]

mod acceptance;
mod adoption;
mod claims;
mod deregistration;
mod extensions;
mod links;
mod mentor;
mod names;
mod next_generation;
mod presence;
mod reference;
mod registrar_tcp;
mod room;
mod suggestion;
mod table;
mod takeover;
mod update;

use std::net::IpAddr;
use std::time::Duration;

use super::super::RegistrarConfig;
use super::*;
use crate::wire::asap::keep_alive::EndpointKeepAliveAck;
use crate::wire::asap::registration::Registration;
use crate::wire::enrp::handle_update::{HandleUpdate, UpdateAction};
use crate::wire::enrp::presence::Presence;
use crate::wire::param::transport::{SctpTransport, Transport, TransportUse};
use crate::wire::{self, Policy, PoolElementParameter, RegistrationLife};
use crate::{ControlProtocol, Protocol};

const ME: RegistrarId = RegistrarId(0x50);
const LOW: RegistrarId = RegistrarId(0x10);
const HIGH: RegistrarId = RegistrarId(0x90);
const THIRD: RegistrarId = RegistrarId(0x20);
const PE: PeId = PeId(0xa1);

/// What a registrar wants done.
#[derive(Clone, Debug, PartialEq)]
enum Did {
    Enrp(ConnectionId, Message),
    Asap(ConnectionId, wire::Message),
    Connect(ConnectionId, ControlProtocol, RegistrarAddress),
    Disconnect(ConnectionId),
    Announce(Message),
    LookUp(usize),
    Event(Event),
}

struct Bench {
    registrar: Registrar,
    now: Instant,
    accepted: u64,
    asap: BTreeSet<ConnectionId>,
}

fn pool() -> PoolHandle {
    PoolHandle::new("ipfix").unwrap()
}

fn key(pe: u32) -> Key {
    (pool(), PeId(pe))
}

fn ip(registrar: RegistrarId) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(registrar.0).unwrap()])
}

fn sctp(ip: IpAddr, port: u16) -> SctpTransport {
    SctpTransport { port, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip], unknown: vec![] }
}

/// An element at 10.0.1.PE with its ASAP endpoint at port 3864.
fn element(pe: u32, home: RegistrarId) -> PoolElementParameter {
    let ip = IpAddr::from([10, 0, 1, u8::try_from(pe & 0xff).unwrap()]);
    PoolElementParameter {
        pe: PeId(pe),
        home,
        life: RegistrationLife(30),
        user_transport: Transport::Sctp(sctp(ip, 4739)),
        policy: Policy::RoundRobin,
        asap_transport: Some(sctp(ip, 3864)),
        encapsulation: None,
        unknown: vec![],
    }
}

fn information(id: RegistrarId) -> ServerInformation {
    ServerInformation { registrar: id, transport: sctp(ip(id), 9901), encapsulation: None, unknown: vec![] }
}

fn presence(id: RegistrarId, reply_required: bool, checksum: u16) -> Presence {
    let (checksum, information) = (Some(PeChecksum(checksum)), Some(information(id)));
    Presence { reply_required, checksum, information, unknown: vec![] }
}

fn update(action: UpdateAction, element: PoolElementParameter) -> HandleUpdate {
    HandleUpdate { action, takeover_suggested: false, pool: pool(), element, unknown: vec![] }
}

fn add(element: PoolElementParameter) -> HandleUpdate {
    update(UpdateAction::ADD_PE, element)
}

fn delete(element: PoolElementParameter) -> HandleUpdate {
    update(UpdateAction::DEL_PE, element)
}

impl Bench {
    /// A registrar that has not started; everybody in 10.0.0.0/24 may be its peer.
    fn with(change: impl FnOnce(&mut EnrpConfig)) -> Bench {
        let mut enrp = EnrpConfig { networks: vec!["10.0.0.0/24".parse().unwrap()], ..EnrpConfig::default() };
        enrp.transport.addresses = vec![ip(ME)];
        change(&mut enrp);
        let config = RegistrarConfig { id: Some(ME), enrp: Some(enrp), ..RegistrarConfig::default() };
        let registrar = Registrar::new(config, 1);
        Bench { registrar, now: Instant::now(), accepted: 0, asap: BTreeSet::new() }
    }

    /// A registrar that has found nobody and serves.
    fn ready() -> Bench {
        Bench::ready_with(|_| {})
    }

    fn ready_with(change: impl FnOnce(&mut EnrpConfig)) -> Bench {
        let mut bench = Bench::with(change);
        bench.start();
        bench.pass(Duration::from_secs(3));
        assert!(bench.registrar.is_ready());
        bench
    }

    fn start(&mut self) -> Vec<Did> {
        self.registrar.start(self.now);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Did> {
        let mut done = Vec::new();
        while let Some(output) = self.registrar.poll_output() {
            done.push(match output {
                Output::Connect { connection, protocol, address } => {
                    if protocol == ControlProtocol::Asap {
                        self.asap.insert(connection);
                    }
                    Did::Connect(connection, protocol, address)
                }
                Output::Send { connection, octets } if self.asap.contains(&connection) => {
                    Did::Asap(connection, wire::Message::decode(&octets).unwrap())
                }
                Output::Send { connection, octets } => {
                    Did::Enrp(connection, Message::decode(&octets).unwrap())
                }
                Output::Disconnect { connection } => Did::Disconnect(connection),
                Output::Announce { octets, .. } => Did::Announce(Message::decode(&octets).unwrap()),
                Output::LookUp { peer } => Did::LookUp(peer),
                Output::Event(event) => Did::Event(event),
            });
        }
        done
    }

    fn remote(ip: IpAddr) -> Remote {
        Remote { protocol: Protocol::Sctp, addresses: vec![ip], port: 50_000, encapsulation: None }
    }

    /// Somebody connects to the ENRP port.
    fn accept(&mut self, ip: IpAddr) -> (ConnectionId, Vec<Did>) {
        self.accepted += 1;
        let connection = ConnectionId::accepted(self.accepted);
        self.registrar.handle_peer_accepted(self.now, connection, Self::remote(ip));
        (connection, self.drain())
    }

    /// A peer connects and says who it is, and that it owns nothing.
    fn join(&mut self, id: RegistrarId) -> ConnectionId {
        let (connection, _) = self.accept(ip(id));
        self.say(connection, id, presence(id, false, 0xffff));
        connection
    }

    fn say(&mut self, connection: ConnectionId, sender: RegistrarId, body: impl Into<Body>) -> Vec<Did> {
        let message = Message { sender, receiver: RegistrarId::UNDETERMINED, body: body.into() };
        self.registrar.handle_message(self.now, connection, &message.to_octets().unwrap());
        self.drain()
    }

    fn lose(&mut self, connection: ConnectionId) -> Vec<Did> {
        self.registrar.handle_lost(self.now, connection);
        self.drain()
    }

    /// Fires timers until `duration` has passed.
    fn pass(&mut self, duration: Duration) -> Vec<Did> {
        let end = self.now + duration;
        let mut done = Vec::new();
        while let Some(at) = self.registrar.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.registrar.handle_timeout(at);
            done.extend(self.drain());
        }
        self.now = end;
        done
    }

    /// The same, with these peers alive.
    fn pass_with(&mut self, duration: Duration, alive: &[(ConnectionId, RegistrarId)]) -> Vec<Did> {
        let mut done = Vec::new();
        for _ in 0..duration.as_millis() / 500 {
            done.extend(self.pass(Duration::from_millis(500)));
            for &(connection, id) in alive {
                let told = self.registrar.handlespace().checksum(id);
                done.extend(self.say(connection, id, presence(id, false, told.0)));
            }
        }
        done
    }

    fn home(&self, pe: u32) -> Option<RegistrarId> {
        self.registrar.home_of(&key(pe))
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        self.registrar.enrp_counters().refused.get(&refusal).copied().unwrap_or(0)
    }

    /// An element registers with us.
    fn register(&mut self, pe: u32) -> ConnectionId {
        let element = element(pe, RegistrarId::UNDETERMINED);
        let address = element.user_transport.addresses()[0];
        self.accepted += 1;
        let connection = ConnectionId::accepted(self.accepted);
        self.asap.insert(connection);
        self.registrar.handle_accepted(self.now, connection, Self::remote(address));
        let registration = Registration { pool: pool(), element, unknown: vec![] };
        self.tell(connection, &wire::Message::Registration(registration));
        assert_eq!(self.home(pe), Some(ME));
        connection
    }

    /// An element says something.
    fn tell(&mut self, connection: ConnectionId, message: &wire::Message) -> Vec<Did> {
        self.registrar.handle_message(self.now, connection, &message.to_octets().unwrap());
        self.drain()
    }

    fn ack(&mut self, connection: ConnectionId, pe: u32) -> Vec<Did> {
        let ack = EndpointKeepAliveAck { pool: pool(), pe: PeId(pe), unknown: vec![] };
        self.tell(connection, &wire::Message::EndpointKeepAliveAck(ack))
    }
}

/// The ENRP messages among what was done, by connection.
fn messages(done: &[Did]) -> Vec<(ConnectionId, Body)> {
    let message = |did: &Did| match did {
        Did::Enrp(connection, message) => Some((*connection, message.body.clone())),
        _ => None,
    };
    done.iter().filter_map(message).collect()
}

fn events(done: &[Did]) -> Vec<Event> {
    let event = |did: &Did| if let Did::Event(event) = did { Some(event.clone()) } else { None };
    done.iter().filter_map(event).collect()
}

fn connects(done: &[Did]) -> Vec<(ConnectionId, ControlProtocol, RegistrarAddress)> {
    let connect = |did: &Did| match did {
        Did::Connect(connection, protocol, address) => Some((*connection, *protocol, *address)),
        _ => None,
    };
    done.iter().filter_map(connect).collect()
}
