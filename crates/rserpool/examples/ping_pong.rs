//! Ping-pong over a pool: servers answer pings, a client goes from one to the next when one is lost.
//!
//! ```sh
//! rserpool-registrar run &
//! cargo run -p rserpool --example ping_pong -- server 127.0.0.2 127.0.0.1 &
//! cargo run -p rserpool --example ping_pong -- server 127.0.0.3 127.0.0.1 &
//! cargo run -p rserpool --example ping_pong -- client 127.0.0.4 127.0.0.1
//! ```
//!
//! A server's whole state is how many pings it has answered for a client. The client carries it from server to server
//! in a cookie, so the count goes on after a failover.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use rserpool::wire::Message;
use rserpool::wire::asap::cookie::Cookie;
use rserpool::{
    ChannelConfig, ConfiguredRegistrar, DataChannel, Destination, Indication, PeId, PoolElement,
    PoolElementConfig, PoolHandle, PoolUser, PoolUserConfig, Protocol, SendOptions, TransportUse,
    UserTransport,
};
use transport::{Association, Endpoint, EndpointConfig, Event, MsgOut, Ppid};

/// Any identifier but ASAP's says that a message is data.
const PING_PONG: Ppid = Ppid(0x5050);

fn pool() -> PoolHandle {
    PoolHandle::new("PingPongPool").expect("a handle")
}

/// Joins the pool and answers pings at `address`, for ever.
pub(crate) async fn serve(address: IpAddr, registrar: ConfiguredRegistrar) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::bind(EndpointConfig::new(address))?;
    let mut listener = endpoint.listen(0).await?;
    let transport = UserTransport {
        protocol: Protocol::Sctp,
        addresses: vec![address],
        port: listener.local().port(),
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        encapsulation: 9899,
    };
    let config = PoolElementConfig::new(pool(), transport, vec![registrar]);
    let _element = PoolElement::spawn(config, Some(endpoint))?;
    // They end with this server.
    let mut clients = tokio::task::JoinSet::new();
    loop {
        let association = listener.accept().await?;
        clients.spawn(answer(association));
    }
}

/// Answers the pings of one client.
async fn answer(mut association: Association) {
    let mut answered: u64 = 0;
    loop {
        match association.recv().await {
            Event::Message(message) if message.ppid == Ppid::ASAP => {
                // A client that comes from another server. A real one checks a signature.
                if let Ok(Message::CookieEcho(echo)) = Message::decode(&message.data)
                    && let Ok(count) = echo.cookie.try_into()
                {
                    answered = u64::from_be_bytes(count);
                }
            }
            Event::Message(message) => {
                answered += 1;
                let ping = String::from_utf8_lossy(&message.data);
                let pong = format!("{ping} answered as number {answered}");
                let cookie = Cookie { cookie: answered.to_be_bytes().to_vec(), unknown: Vec::new() };
                let Ok(cookie) = Message::Cookie(cookie).to_octets() else { return };
                let sent = async {
                    association.send(MsgOut::new(Ppid::ASAP, cookie)).await?;
                    association.send(MsgOut::new(PING_PONG, pong.into_bytes())).await
                };
                if sent.await.is_err() {
                    return;
                }
            }
            Event::Lost(_) => return,
            _ => {}
        }
    }
}

/// Sends `pings` pings from `address`, one after the other; `tell` is called with each answer and the server it is from.
pub(crate) async fn ping(
    address: IpAddr,
    registrar: ConfiguredRegistrar,
    pings: u64,
    mut tell: impl FnMut(PeId, &str),
) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::bind(EndpointConfig::new(address))?;
    let user = PoolUser::spawn(PoolUserConfig::new(pool(), vec![registrar]), Some(endpoint.clone()));
    let config = ChannelConfig { ppid: PING_PONG, secured: false, card: None };
    let mut channel = DataChannel::new(user, Some(endpoint), config);
    for number in 1..=pings {
        let ping = |again: &str| format!("ping {number}{again}").into_bytes();
        channel.send(Destination::Pool, ping(""), SendOptions::default()).await?;
        loop {
            match channel.next().await {
                Indication::Data { from: Some(pe), data, .. } => {
                    tell(pe, &String::from_utf8_lossy(&data));
                    break;
                }
                // The server may have died after it had the ping and before it answered.
                Indication::Failover { .. } => {
                    channel.send(Destination::Pool, ping(" again"), SendOptions::default()).await?;
                }
                _ => {}
            }
        }
    }
    channel.close(Duration::from_secs(2)).await;
    Ok(())
}

#[allow(dead_code, reason = "the test of this example has a main of its own")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", address, registrar] => serve(address.parse()?, registrar.parse()?).await,
        ["client", address, registrar] => {
            ping(address.parse()?, registrar.parse()?, 10, |pe, answer| println!("{pe}: {answer}")).await
        }
        _ => Err("usage: ping_pong server|client ADDRESS REGISTRAR".into()),
    }
}
