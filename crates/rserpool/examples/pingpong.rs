//! Ping-pong over a pool, with an element killed on the way.
//!
//! With a registrar at 127.0.0.1 (`cargo run --bin rserpool-registrar -- run`):
//! `cargo run -p rserpool --example pingpong -- 127.0.0.1:3863`
//!
//! Each element counts the pings of a session and sends the count along as a cookie, which the next element gets first:
//! the count goes on where the last element stopped, though elements know nothing of each other.
//!
//! The player is a pool user only. A relay is in a pool itself: it has a `PoolElement` for its own pool, too, and puts
//! the others of that pool into `SessionConfig::business_card` (RFC 5352 section 3.9), so that elements that lose it
//! know whom to turn to. Neither the exporter nor the collector is one.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use rserpool::session::{Destination, Origin, PoolSession, SendOptions, SessionConfig, SessionEvent};
use rserpool::wire::Message;
use rserpool::wire::asap::cookie::Cookie;
use rserpool::{
    ConfiguredRegistrar, PeId, PoolElement, PoolElementConfig, PoolHandle, PoolUser, PoolUserConfig,
    Protocol, TransportUse, UserTransport,
};
use tokio::task::JoinSet;
use transport::{Association, Endpoint, EndpointConfig, Event, MsgOut, Ppid};

/// The payload protocol of pings and pongs: none that is registered.
const PINGPONG: Ppid = Ppid(0);

/// Registers an element at `ip` and answers pings until it is dropped.
pub async fn serve(
    ip: IpAddr,
    pe: PeId,
    pool: PoolHandle,
    registrars: Vec<ConfiguredRegistrar>,
) -> io::Result<()> {
    let endpoint = Endpoint::bind(EndpointConfig::new(ip))?;
    let mut listener = endpoint.listen(0).await?;
    let transport = UserTransport {
        protocol: Protocol::Sctp,
        addresses: vec![ip],
        port: listener.local().port(),
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        encapsulation: rserpool_proto::ENCAPSULATION_PORT,
    };
    let config = PoolElementConfig::new(pool, transport, registrars);
    let _element = PoolElement::spawn(PoolElementConfig { pe: Some(pe), ..config }, Some(endpoint.clone()))
        .map_err(io::Error::other)?;
    let mut sessions = JoinSet::new();
    loop {
        sessions.spawn(answer(listener.accept().await?));
    }
}

/// Answers `ping N` with `pong N COUNT`, after the cookie with the count.
async fn answer(mut association: Association) {
    let mut count = 0;
    loop {
        let message = match association.recv().await {
            Event::Message(message) => message,
            Event::Lost(_) => return,
            _ => continue,
        };
        let text = String::from_utf8_lossy(&message.data).into_owned();
        if message.ppid == Ppid::ASAP {
            // A real element would sign its cookies, and check this one.
            if let Ok(Message::CookieEcho(echo)) = Message::decode(&message.data) {
                count = echo.cookie.try_into().map_or(0, u64::from_be_bytes);
            }
        } else if let Some(round) = text.strip_prefix("ping ") {
            count += 1;
            let cookie =
                Message::Cookie(Cookie { cookie: count.to_be_bytes().to_vec(), unknown: Vec::new() });
            let cookie = cookie.to_octets().expect("a cookie of eight octets fits");
            let pong = format!("pong {round} {count}");
            if association.send(MsgOut::new(Ppid::ASAP, cookie)).await.is_err()
                || association.send(MsgOut::new(PINGPONG, pong)).await.is_err()
            {
                return;
            }
        }
    }
}

/// Plays `rounds`, telling `after` of each with the element that answered it. Returns how many pings the elements have
/// counted.
pub async fn play(session: &mut PoolSession, rounds: u64, mut after: impl FnMut(u64, PeId)) -> u64 {
    let mut round = 1;
    loop {
        match session.next_event().await {
            // The failover hook: what the last element did not answer is asked of this one.
            SessionEvent::Ready { .. } => ping(session, round).await,
            SessionEvent::Data { from: Origin::Element(pe), message } => {
                let text = String::from_utf8_lossy(&message.data).into_owned();
                let Some((answered, count)) =
                    text.strip_prefix("pong ").and_then(|pong| pong.split_once(' '))
                else {
                    continue;
                };
                if answered.parse() != Ok(round) {
                    continue;
                }
                after(round, pe);
                if round == rounds {
                    return count.parse().unwrap_or(0);
                }
                round += 1;
                ping(session, round).await;
            }
            _ => {}
        }
    }
}

async fn ping(session: &mut PoolSession, round: u64) {
    // The hook sends it again, so that an element that has answered is not asked twice.
    let options = SendOptions { failover: false, ..SendOptions::default() };
    session
        .send(Destination::Pool, format!("ping {round}"), options)
        .await
        .expect("one ping is neither too long nor too much");
}

/// Returns a session with the pool from `ip`.
pub fn session(
    ip: IpAddr,
    pool: PoolHandle,
    registrars: Vec<ConfiguredRegistrar>,
) -> io::Result<PoolSession> {
    let endpoint = Endpoint::bind(EndpointConfig::new(ip))?;
    let user = PoolUser::spawn(PoolUserConfig::new(pool, registrars), Some(endpoint.clone()));
    Ok(PoolSession::open(user, Some(endpoint), SessionConfig { ppid: PINGPONG, ..SessionConfig::default() }))
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test plays without it")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registrar = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3863".to_owned());
    let (registrars, pool) = (vec![registrar.parse()?], PoolHandle::new("pingpong")?);
    let host = |host| IpAddr::from(Ipv4Addr::new(127, 0, 0, host));
    let mut elements: Vec<_> = [2, 3]
        .map(|at| {
            (
                PeId(at.into()),
                tokio::spawn(serve(host(at), PeId(at.into()), pool.clone(), registrars.clone())),
            )
        })
        .into();
    let mut session = session(host(4), pool, registrars)?;
    let count = play(&mut session, 10, |round, pe| {
        println!("round {round}: pool element {pe}");
        if round == 5 {
            println!("killing pool element {pe}");
            elements.retain(|(id, task)| {
                *id != pe || {
                    task.abort();
                    false
                }
            });
        }
    })
    .await;
    println!("10 rounds played, {count} pings counted");
    Ok(())
}
