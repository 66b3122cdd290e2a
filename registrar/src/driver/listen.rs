//! The registrar's listeners, and where its own connections go out from.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use rserpool_proto::ControlProtocol;
use service::{Exit, Failure, OrExit as _};
use tokio::sync::mpsc;
use tracing::{info, warn};
use transport::tls::{self, Identity};
use transport::{
    Association, Budget, Connector, Endpoint, EndpointConfig, Listener, PeerAddress, Ppid, QueueLimits, tcp,
};

use crate::config::Config;

/// What one peer can make us keep, in octets, as long as the budget of all has room: a hundred usual requests or one
/// of any length, which is let in while less than this waits. It is not read while it has much to read itself; what it
/// asked before that, at most the driver's queue, is answered all the same, be the answers as long as they may.
const QUEUES: QueueLimits = QueueLimits { send: 5 << 20, receive: 8 << 10 };
const WINDOW: usize = 128 << 10;

/// A peer that has connected, and for which protocol.
pub(super) type Accepted = (ControlProtocol, Association);

/// Reads the certificates, now and at each SIGHUP.
pub(super) fn identity(config: &Config) -> Result<Option<Identity>, Failure> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let identity = tls.read().context("[tls]").or_exit(Exit::Configuration)?;
    let reloading = identity.clone();
    service::on_hangup(move || reloading.reload_or_tell());
    Ok(Some(identity))
}

/// Opens every listener; what comes in goes into `accepted`. Returns how to reach others; dropping its SCTP endpoint
/// ends all associations.
pub(super) async fn listen(
    config: &Config,
    identity: Option<&Identity>,
    budget: &Budget,
    accepted: &mpsc::Sender<Accepted>,
) -> Result<Connector, Failure> {
    let listen = &config.listen;
    let sctp = endpoint(config, budget)?;
    if let Some(endpoint) = &sctp {
        for (protocol, addresses) in
            [(ControlProtocol::Asap, &listen.asap), (ControlProtocol::Enrp, &listen.enrp)]
        {
            let Some(first) = addresses.first() else { continue };
            let listener = match protocol {
                ControlProtocol::Asap => endpoint.listen_for_requests(first.port()).await,
                // Updates and tables are not answered one by one.
                ControlProtocol::Enrp => endpoint.listen(first.port()).await,
            };
            let listener = listener.map_err(cannot_listen)?;
            let local = endpoint.peer_addresses(first.port());
            tokio::spawn(accept(protocol, listener, local, accepted.clone()));
        }
    }
    let options = |protocol| {
        let mut options = tcp::Options::default();
        options.profile = config.profile.timers.transport();
        (options.queues, options.mptcp) = (QUEUES, listen.mptcp);
        options.budget = Some(budget.clone());
        options.control = match protocol {
            ControlProtocol::Asap => Ppid::ASAP,
            ControlProtocol::Enrp => Ppid::ENRP,
        };
        options
    };
    for (protocol, addresses) in
        [(ControlProtocol::Asap, &listen.asap_tcp), (ControlProtocol::Enrp, &listen.enrp_tcp)]
    {
        for &address in addresses {
            let listener = tcp::listen(address, options(protocol)).await.map_err(cannot_listen)?;
            let local = vec![listener.local()];
            tokio::spawn(accept(protocol, listener, local, accepted.clone()));
        }
    }
    let mut client = None;
    if let (Some(tls), Some(identity)) = (&config.tls, identity) {
        let peers: Vec<_> = config.peers().cloned().collect();
        client = Some(tls.client_of(identity, &peers));
        for (protocol, addresses, names) in [
            (ControlProtocol::Asap, &listen.asap_tls, config.client_names(tls)),
            (ControlProtocol::Enrp, &listen.enrp_tls, tls.names_of(&peers)),
        ] {
            for &address in addresses {
                let listener = tls::listen(address, options(protocol), identity, &names).await;
                let listener = listener.map_err(cannot_listen)?;
                let local = vec![listener.local()];
                tokio::spawn(accept(protocol, listener, local, accepted.clone()));
            }
        }
    }
    let mut tcp = options(ControlProtocol::Asap);
    tcp.local = config.tcp_source();
    Ok(Connector { endpoint: sctp, tcp, tls: client, ..Connector::default() })
}

/// The one SCTP endpoint, with the addresses of both protocols.
fn endpoint(config: &Config, budget: &Budget) -> Result<Option<Endpoint>, Failure> {
    let mut addresses: Vec<_> =
        config.listen.asap.iter().chain(&config.listen.enrp).map(SocketAddr::ip).collect();
    let Some(&first) = addresses.first() else { return Ok(None) };
    let mut known = std::collections::BTreeSet::new();
    addresses.retain(|address| known.insert(*address));
    let mut settings = EndpointConfig::new(first);
    settings.more_addresses = addresses.split_off(1);
    settings.encapsulation = config.listen.encapsulation_port;
    settings.stack = config.listen.stack;
    settings.max_associations = config.limits.connections;
    settings.max_per_address = config.limits.connections_per_address;
    (settings.queues, settings.window) = (QUEUES, WINDOW);
    settings.budget = Some(budget.clone());
    settings.profile = config.profile.timers.transport();
    // Answers are neither limited nor watched: who misses one asks again.
    settings.prompt = false;
    Endpoint::bind(settings).map_err(cannot_listen).map(Some)
}

fn cannot_listen(error: io::Error) -> Failure {
    Failure::io("cannot listen", error)
}

/// Ends with the listener, or with the registrar.
async fn accept(
    protocol: ControlProtocol,
    mut listener: Listener,
    local: Vec<PeerAddress>,
    accepted: mpsc::Sender<Accepted>,
) {
    for address in local {
        match protocol {
            ControlProtocol::Asap => info!(%address, "listening for ASAP"),
            ControlProtocol::Enrp => info!(%address, "listening for ENRP"),
        }
    }
    loop {
        tokio::select! {
            association = listener.accept() => match association {
                Ok(association) => if accepted.send((protocol, association)).await.is_err() { return },
                Err(error) => return warn!(%error, address = %listener.local(), "no longer listening"),
            },
            () = accepted.closed() => return,
        }
    }
}
