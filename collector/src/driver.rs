//! The collector as a whole: listens, accepts, and ends in order.
//!
//! End (SIGTERM): not ready → out of the pools → no new associations → every session writes, syncs, sends its last cookie and
//! closes → outputs end → exit 0.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use delivery::KeyRing;
use service::{Condition, Context, Exit, Failure, OrExit as _, Shutdown};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};
use transport::tls::{self, Identity};
use transport::{Association, Endpoint, EndpointConfig, Listener, PeerAddress, tcp};

use crate::cards::Cards;
use crate::config::Config;
use crate::metrics::{SessionMetrics, TlsMetrics};
use crate::output::{Outputs, Writers};
use crate::registration::Registrations;
use crate::session::{self, Shared, Signer};
use crate::udp::Receivers;

/// How often the outputs' condition is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// What the outputs get to write the rest.
const FINISH: Duration = Duration::from_secs(10);

/// Runs the collector until it is told to end.
pub(crate) async fn run(config: Config, context: Context) -> Result<(), Failure> {
    let [listening, writable, registered] = context.health.conditions(["listening", "outputs", "registered"]);
    let signer = signer(&config)?;
    let (outputs, mut writers) = Outputs::start(&config).or_exit(Exit::Io)?;
    let metrics = SessionMetrics::new();
    // Sessions end after the accepting has.
    let sessions_end = Shutdown::new();
    let (card_sink, cards) = watch::channel(Cards::new(&config));
    let shared = Shared { outputs, metrics, signer, cards, shutdown: sessions_end.clone() };
    let (accepted, mut associations) = mpsc::channel(64);
    let identity = identity(&config)?;
    let tls = identity.clone().map(TlsMetrics::new);
    let (endpoint, mut accepting) = listen(&config, identity.as_ref(), &accepted).await.or_exit(Exit::Io)?;
    let mut receivers = Receivers::start(&config, &shared).or_exit(Exit::Io)?;
    listening.met();
    let records = Arc::clone(&shared.metrics.records);
    let mut registrations =
        Registrations::start(&config, endpoint.as_ref(), identity.as_ref(), records, registered, card_sink)
            .or_exit(Exit::Configuration)?;

    let mut sessions = JoinSet::new();
    let mut look = tokio::time::interval(LOOK);
    let failure = loop {
        tokio::select! {
            Some(association) = associations.recv() => {
                admit(association, config.listen.max_associations, &shared, &mut sessions);
            }
            Some(_) = sessions.join_next() => {}
            _ = look.tick() => {
                tell_writable(&writable, &writers);
                tls.iter().for_each(TlsMetrics::publish);
            }
            stopped = writers.failure() => break Some(anyhow::Error::new(stopped)),
            ended = receivers.failure() => break Some(anyhow::Error::new(ended)),
            () = registrations.measure(&shared.outputs) => {}
            () = context.shutdown.requested() => break None,
        }
    };
    // Who has read the pool before may still come meanwhile, and is served to the end.
    let mut leaving = std::pin::pin!(registrations.deregister());
    let limit = config.listen.max_associations;
    loop {
        tokio::select! {
            Some(association) = associations.recv() => admit(association, limit, &shared, &mut sessions),
            Some(_) = sessions.join_next() => {}
            () = &mut leaving => break,
        }
    }
    accepting.shutdown().await;
    while let Ok(association) = associations.try_recv() {
        admit(association, limit, &shared, &mut sessions);
    }
    receivers.shutdown().await;
    sessions_end.request();
    while sessions.join_next().await.is_some() {}
    drop(shared);
    drop(endpoint);
    finish(failure, writers).await
}

async fn finish(failure: Option<anyhow::Error>, writers: Writers) -> Result<(), Failure> {
    if let Some(stopped) = failure {
        return Err(stopped).or_exit(Exit::Io);
    }
    match tokio::time::timeout(FINISH, writers.finish()).await {
        Ok(finished) => finished.or_exit(Exit::Io),
        Err(_) => Err(Failure::new(Exit::Io, "an output did not take the last records in time")),
    }
}

/// Reads the keys of the pool that signs; `None` where no cookies can be sent, which is said once.
fn signer(config: &Config) -> Result<Option<Arc<Signer>>, Failure> {
    let Some(path) = config.pool.iter().find_map(|pool| pool.key_file.as_ref()) else {
        info!("no pool has a key-file: no cookies are sent");
        return Ok(None);
    };
    if config.durable_outputs().is_empty() {
        warn!("no output is durable: no cookies are sent");
        return Ok(None);
    }
    let read = || -> anyhow::Result<KeyRing> { Ok(KeyRing::parse(&fs::read_to_string(path)?)?) };
    let keys = read().with_context(|| format!("key-file {}", path.display())).or_exit(Exit::Configuration)?;
    let incarnation = getrandom::u64().map_err(|error| anyhow::anyhow!("no random number: {error}"))?;
    Ok(Some(Arc::new(Signer { keys, incarnation })))
}

/// Reads the certificates, now and at each SIGHUP.
fn identity(config: &Config) -> Result<Option<Identity>, Failure> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let identity = tls.read().context("[tls]").or_exit(Exit::Configuration)?;
    let reloading = identity.clone();
    service::on_hangup::<crate::Collector>(move || reloading.reload_or_tell())?;
    Ok(Some(identity))
}

/// Binds every address and accepts there. The SCTP endpoint must live as long as its associations.
async fn listen(
    config: &Config,
    identity: Option<&Identity>,
    accepted: &mpsc::Sender<Association>,
) -> std::io::Result<(Option<Endpoint>, JoinSet<()>)> {
    let profile = config.profile.timers.transport();
    let mut accepting = JoinSet::new();
    let mut sctp = None;
    if let Some((first, others)) = config.listen.ipfix.split_first() {
        let mut settings = EndpointConfig::new(first.ip());
        settings.more_addresses = others.iter().map(SocketAddr::ip).collect();
        settings.encapsulation = config.listen.encapsulation_port;
        settings.stack = config.listen.stack;
        settings.profile = profile.clone();
        let endpoint = Endpoint::bind(settings)?;
        let listener = endpoint.listen(first.port()).await?;
        accepting.spawn(accept(listener, endpoint.peer_addresses(first.port()), accepted.clone()));
        sctp = Some(endpoint);
    }
    let mut options = tcp::Options::default();
    (options.profile, options.mptcp) = (profile, config.listen.mptcp);
    for address in &config.listen.ipfix_tcp {
        let listener = tcp::listen(*address, options.clone()).await?;
        let local = vec![listener.local()];
        accepting.spawn(accept(listener, local, accepted.clone()));
    }
    if let (Some(tls), Some(identity)) = (&config.tls, identity) {
        for address in &config.listen.ipfix_tls {
            let listener = tls::listen(*address, options.clone(), identity, &tls.peers()).await?;
            let local = vec![listener.local()];
            accepting.spawn(accept(listener, local, accepted.clone()));
        }
    }
    Ok((sctp, accepting))
}

/// Passes on what is accepted until the listener's end.
async fn accept(mut listener: Listener, local: Vec<PeerAddress>, accepted: mpsc::Sender<Association>) {
    for address in local {
        info!(%address, "listening for IPFIX");
    }
    while let Ok(association) = listener.accept().await {
        if accepted.send(association).await.is_err() {
            return;
        }
    }
}

fn admit(association: Association, limit: usize, shared: &Shared, sessions: &mut JoinSet<()>) {
    if sessions.len() >= limit {
        shared.metrics.associations_refused.increment(1);
        // Dropping it aborts it.
        return;
    }
    sessions.spawn(session::serve(association, shared.clone()));
}

fn tell_writable(condition: &Condition, writers: &Writers) {
    if writers.writable() {
        condition.met();
    } else {
        condition.unmet("an output cannot write");
    }
}
