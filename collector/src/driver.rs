//! The collector as a whole: listens, accepts, goes out of its pools while an output cannot write, and ends in order.
//!
//! End (SIGTERM): not ready → cookies say "draining" → out of the pools → no new associations → exporters that asked for cookies
//! leave, or `drain-timeout` is over → every other session writes, syncs, sends its last cookie and closes → outputs end → exit 0.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use delivery::KeyRing;
use delivery::cookie::State;
use service::{Condition, Context, Exit, Failure, OrExit as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};
use transport::tls::{self, Identity};
use transport::{Association, Endpoint, EndpointConfig, Listener, PeerAddress, tcp};

use crate::cards::Cards;
use crate::config::Config;
use crate::metrics::{SessionMetrics, TlsMetrics};
use crate::output::{Finding, Outputs, Writers};
use crate::registration::{RegistrationError, Registrations};
use crate::session::{self, Ending, Shared, Signer};
use crate::standing::Standing;
use crate::status::register::Register;
use crate::status::{self, Shown, ShownOutput, Window};
use crate::tap::Tap;
use crate::udp::Receivers;

/// How often the outputs' condition is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// What the outputs get to write the rest.
const FINISH: Duration = Duration::from_secs(10);

/// Runs the collector until it is told to end.
pub(crate) async fn run(config: Config, context: Context) -> Result<(), Failure> {
    let [listening, writable, registered] = context.health.conditions(["listening", "outputs", "registered"]);
    let pulse = context.health.pulse("collector");
    let signer = signer(&config)?;
    let (outputs, mut writers) = Outputs::start(&config).or_exit(Exit::Io)?;
    let metrics = SessionMetrics::new();
    // Sessions end after the accepting has.
    let ending = Ending::default();
    let (card_sink, cards) = watch::channel(Cards::new(&config));
    let mut standing = Standing::new(&writers.look());
    let (state_sink, state) = watch::channel(standing.state(false));
    let (sessions, (tap, found)) = (Register::default(), Tap::new());
    let shown = Shown {
        http: context.http,
        health: context.health.clone(),
        state: state.clone(),
        sessions: sessions.clone(),
        metrics: metrics.clone(),
        outputs: shown_outputs(&config, &writers),
    };
    // Ends with the collector, and answers until then.
    let mut showing = JoinSet::new();
    showing.spawn(status::run(shown, tap.clone(), found, context.api.requests()));
    let shared = Shared {
        outputs,
        metrics,
        rooms: intake::Rooms::default(),
        signer,
        cards,
        state,
        window: Window::new(sessions, tap),
        ending: ending.clone(),
    };
    let (accepted, mut associations) = mpsc::channel(64);
    let identity = identity(&config)?;
    let tls = identity.clone().map(TlsMetrics::new);
    let (endpoint, mut accepting) = listen(&config, identity.as_ref(), &accepted).await.or_exit(Exit::Io)?;
    let mut receivers = Receivers::start(&config, &shared).or_exit(Exit::Io)?;
    listening.met();
    let records = Arc::clone(&shared.metrics.records);
    let mut registrations =
        Registrations::new(&config, endpoint.as_ref(), identity.as_ref(), records, registered, card_sink);
    if !standing.is_out() {
        registrations.join().or_exit(Exit::Configuration)?;
    }

    let mut sessions = JoinSet::new();
    let mut look = tokio::time::interval(LOOK);
    let mut is_failing = false;
    let failure = loop {
        tokio::select! {
            Some(association) = associations.recv() => {
                admit(association, config.listen.max_associations, &shared, &mut sessions);
            }
            Some(_) = sessions.join_next() => {}
            _ = look.tick() => {
                pulse.beat();
                let found = writers.look();
                is_failing = found.failing.is_some();
                standing.look(&found, shared.outputs.fullest());
                tell_writable(&writable, &found, &standing);
                follow(&standing, &mut registrations).or_exit(Exit::Configuration)?;
                tell_state(&state_sink, standing.state(registrations.is_drained()));
                tls.iter().for_each(TlsMetrics::publish);
            }
            stopped = writers.failure() => break Some(anyhow::Error::new(stopped)),
            ended = receivers.failure() => break Some(anyhow::Error::new(ended)),
            () = registrations.measure(&shared.outputs, is_failing) => {}
            () = context.shutdown.requested() => break None,
        }
    };
    tell_state(&state_sink, State::Draining);
    let patience = if failure.is_some() { Duration::ZERO } else { config.drain_timeout.0 };
    let deadline = Instant::now() + patience;
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
    close(&mut sessions, &ending, deadline).await;
    drop(shared);
    drop(endpoint);
    finish(failure, writers).await
}

/// Returns the outputs as the status page names them.
fn shown_outputs(config: &Config, writers: &Writers) -> Vec<ShownOutput> {
    let path = |name: &str| config.output.get(name).map(|output| output.path().display().to_string());
    let shown = writers.books().map(|(name, metrics, health)| ShownOutput {
        name: name.to_owned(),
        path: path(name).unwrap_or_default(),
        metrics: metrics.clone(),
        health: Arc::clone(health),
    });
    shown.collect()
}

/// Waits until every exporter that can be asked to move has left; at `deadline` the rest is closed.
async fn close(sessions: &mut JoinSet<()>, ending: &Ending, deadline: Instant) {
    ending.begun.request();
    while let Ok(Some(_)) = timeout_at(deadline, sessions.join_next()).await {}
    if !sessions.is_empty() {
        info!(associations = sessions.len(), "closing what exporters have not left");
    }
    ending.closing.request();
    while sessions.join_next().await.is_some() {}
}

/// Goes out of the pools or comes back, as the collector stands.
fn follow(standing: &Standing, registrations: &mut Registrations) -> Result<(), RegistrationError> {
    match (standing.is_out(), registrations.is_out()) {
        (true, false) => {
            warn!("out of the pools until every output can write; exporters are asked to move");
            registrations.leave();
        }
        (false, true) => {
            info!("back into the pools");
            registrations.join()?;
        }
        (true, true) | (false, false) => {}
    }
    Ok(())
}

fn tell_state(sink: &watch::Sender<State>, new: State) {
    sink.send_if_modified(|state| std::mem::replace(state, new) != new);
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
pub(crate) fn identity(config: &Config) -> Result<Option<Identity>, Failure> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let identity = tls.read().context("[tls]").or_exit(Exit::Configuration)?;
    let reloading = identity.clone();
    service::on_hangup(move || reloading.reload_or_tell());
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

fn tell_writable(condition: &Condition, found: &Finding, standing: &Standing) {
    match (&found.trouble, standing.is_out()) {
        (None, false) => condition.met(),
        (Some(trouble), false) => condition.unmet(trouble),
        (Some(trouble), true) => condition.unmet(&format!("{trouble}, out of the pool until it can")),
        (None, true) => condition.unmet("every output can write again, back in the pool in a few seconds"),
    }
}
