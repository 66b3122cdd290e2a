//! TLS 1.3 over TCP, both sides with certificates (RFC 7011 section 11, RFC 8446).
//!
//! As [`tcp`], and a peer without a certificate of a known authority that carries one of the
//! expected names gets no service. No other version of TLS, no resumption and no early data (RFC 5355,
//! threat 8). Either side's certificates are reloaded without touching connections ([`Identity::reload`]).
//!
//! The end is orderly where the peer said so (close_notify); a connection that only ends is truncated, and
//! lost. In TLS 1.3 the server checks the client's certificate after the client has completed its
//! handshake: a client that is refused sees an association that is lost at once, with the reason.
//!
//! Timers: the handshake takes [`HANDSHAKE`] at most.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod identity;
mod names;
mod refused;
mod stream;
mod throttle;
mod verifier;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConnection, ServerConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

pub use identity::{Files, Identity, IdentityError};
pub use names::{InvalidName, Names};
pub use refused::{Handshakes, Reason, Refused};

use crate::listener::Stop;
use crate::tcp::{self, Options, connection};
use crate::{Association, ConnectError, Listener, PeerAddress};
use stream::TlsStream;
use throttle::Throttle;

/// The port of IPFIX over TLS (RFC 7011 section 10.1).
pub const IPFIX_PORT: u16 = 4740;

/// Time a handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(5);

/// Handshakes of one listener at a time; one more ends the oldest.
const MAX_HANDSHAKES: usize = 256;

/// What a client needs to know: who it is, and who its servers may be.
#[derive(Clone, Debug)]
pub struct Client {
    /// What this process shows, and whom it believes.
    pub identity: Identity,
    /// Names one of which a server's certificate must carry.
    pub names: Names,
}

/// Accepts connections at `address` of peers whose certificates carry one of `names`; port 0 takes a free
/// port. The error names the address. A peer that is refused is told in the log, once a second at most.
pub async fn listen(
    address: SocketAddr,
    options: Options,
    identity: &Identity,
    names: &Names,
) -> io::Result<Listener> {
    let socket = tcp::bind(address, &options).map_err(|error| tcp::named("TLS", address, &error))?;
    let local = PeerAddress::Tls(socket.local_addr()?);
    let (incoming, accepted) = mpsc::channel(options.backlog.max(1));
    let stopped = Arc::new(Notify::new());
    let stop = Arc::clone(&stopped);
    let (identity, names) = (identity.clone(), names.clone());
    let server = Server { options, identity, names, incoming, throttle: Throttle::default() };
    tokio::spawn(async move {
        let server = Arc::new(server);
        tokio::select! {
            () = accept(socket, &server) => {}
            () = server.incoming.closed() => {}
            () = stopped.notified() => {}
        }
    });
    Ok(Listener::new(accepted, local, Stop(Arc::new(move || stop.notify_one()))))
}

struct Server {
    options: Options,
    identity: Identity,
    names: Names,
    incoming: mpsc::Sender<Association>,
    throttle: Throttle,
}

/// Handshakes are tasks of their own: none keeps another, or `accept`, waiting.
async fn accept(socket: TcpListener, server: &Arc<Server>) {
    let mut handshakes: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = tcp::next(&socket).await;
        let Ok(peer) = stream.peer_addr() else { continue };
        handshakes.retain(|handshake| !handshake.is_finished());
        if handshakes.len() >= MAX_HANDSHAKES
            && let Some(oldest) = handshakes.pop_front()
        {
            oldest.abort();
            server.identity.counters().failed(Reason::TooMany);
        }
        let server = Arc::clone(server);
        handshakes.push_back(tokio::spawn(async move { server.serve(stream, peer).await }).abort_handle());
    }
}

impl Server {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let admitted = match tokio::time::timeout(HANDSHAKE, self.admit(stream, peer)).await {
            Ok(admitted) => admitted,
            Err(_) => Err(Refused::new(Reason::TimedOut, "handshake not completed in time")),
        };
        match admitted {
            Ok(association) => {
                self.identity.counters().completed();
                if self.incoming.try_send(association).is_err() {
                    tracing::debug!(%peer, "more TLS connections than are accepted, ending the newest");
                }
            }
            Err(refused) => {
                self.identity.counters().failed(refused.reason);
                let reason = refused.reason.label();
                if self.throttle.admits(std::time::Instant::now()) {
                    tracing::warn!(%peer, reason, "TLS peer refused: {refused}");
                } else {
                    tracing::debug!(%peer, reason, "TLS peer refused: {refused}");
                }
            }
        }
    }

    async fn admit(&self, stream: TcpStream, peer: SocketAddr) -> Result<Association, Refused> {
        let config = self.identity.server(&self.names, peer.ip()).map_err(|error| broken(&error))?;
        let tls = ServerConnection::new(config).map_err(|error| broken(&error))?;
        let stream = TlsStream::new(stream, tls, Arc::clone(self.identity.counters()));
        stream.handshake().await.map_err(|error| Refused::of(&error))?;
        let carried = stream.certificate().map(|shown| self.names.carried(&shown, peer.ip()));
        let association = connection::start(stream, &self.options, PeerAddress::Tls)
            .map_err(|error| Refused::new(Reason::Disconnected, error.to_string()))?;
        association.set_peer_names(carried.unwrap_or_default());
        Ok(association)
    }
}

/// Connects within the profile's time and, after that, [`HANDSHAKE`]. The peer's certificate must carry
/// one of `names`, or `address` where there are none.
pub async fn connect(
    address: SocketAddr,
    options: Options,
    identity: &Identity,
    names: &Names,
) -> Result<Association, ConnectError> {
    let peer = PeerAddress::Tls(address);
    let connecting = tcp::reach(address, &options);
    let socket = match tokio::time::timeout(options.profile.connect, connecting).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return Err(tcp::refused(peer, error)),
        Err(_) => return Err(ConnectError::TimedOut(peer)),
    };
    let shake = shake(socket, address, identity, names);
    let shaken = match tokio::time::timeout(HANDSHAKE, shake).await {
        Ok(shaken) => shaken,
        Err(_) => Err(Refused::new(Reason::TimedOut, "handshake not completed in time")),
    };
    let stream = shaken.map_err(|refused| {
        identity.counters().failed(refused.reason);
        ConnectError::Tls(peer, refused)
    })?;
    identity.counters().completed();
    let carried = stream.certificate().map(|shown| names.carried(&shown, address.ip()));
    let association = connection::start(stream, &options, PeerAddress::Tls)
        .map_err(|error| ConnectError::Io(peer, error))?;
    association.set_peer_names(carried.unwrap_or_default());
    Ok(association)
}

async fn shake(
    socket: TcpStream,
    address: SocketAddr,
    identity: &Identity,
    names: &Names,
) -> Result<TlsStream, Refused> {
    let config = identity.client(names, address.ip()).map_err(|error| broken(&error))?;
    let tls = ClientConnection::new(config, address.ip().into()).map_err(|error| broken(&error))?;
    let stream = TlsStream::new(socket, tls, Arc::clone(identity.counters()));
    stream.handshake().await.map_err(|error| Refused::of(&error))?;
    Ok(stream)
}

fn broken(error: &rustls::Error) -> Refused {
    Refused::new(Reason::Protocol, error.to_string())
}
