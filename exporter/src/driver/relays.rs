//! A relay in a pool of relays: whoever looks for one finds those that live.
//!
//! Routers know nothing of pools and send to one address. What gives them the address of a relay that lives (a service
//! address, a name) asks a registrar for the pool (docs/relay.md).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use metrics::{Gauge, describe_gauge, gauge};
use rserpool::{
    PoolElement, PoolElementConfig, PoolElementState, PoolHandle, Protocol, ScopeRule, TransportUse,
    UserTransport,
};
use service::{Exit, Failure, OrExit as _};
use tokio::task::JoinSet;
use transport::Connector;

use crate::config::{Config, Pool, Relay};

/// What a deregistration may take.
const DEREGISTRATION: Duration = Duration::from_millis(1_500);

/// The registrations of a relay, one for each address it listens at; none of an exporter that is no relay.
#[derive(Debug, Default)]
pub(super) struct Relays {
    elements: Vec<PoolElement>,
    leaving: JoinSet<()>,
    registered: Option<Gauge>,
}

impl Relays {
    /// Starts to register a relay that is to be in a pool, through the registrars of `pool`.
    pub(super) fn join(config: &Config, pool: &Pool, registrars: &Connector) -> Result<Self, Failure> {
        let Some(relay) = &config.relay else { return Ok(Self::default()) };
        describe_gauge!(
            "ipfix_exporter_relay_registered",
            "Addresses of the relay that are registered in the pool of relays"
        );
        let registered = gauge!("ipfix_exporter_relay_registered");
        registered.set(0.0);
        let elements = elements(config, pool, relay)?.into_iter().map(|element| {
            let element = PoolElement::spawn(element, registrars.clone());
            element.context("relay.pool").or_exit(Exit::Configuration)
        });
        let elements = elements.collect::<Result<_, Failure>>()?;
        Ok(Self { elements, leaving: JoinSet::new(), registered: Some(registered) })
    }

    /// Shows how many addresses are registered.
    pub(super) fn publish(&self) {
        let is_registered =
            |element: &&PoolElement| matches!(*element.state().borrow(), PoolElementState::Registered { .. });
        if let Some(gauge) = &self.registered {
            gauge.set(self.elements.iter().filter(is_registered).count() as f64);
        }
    }

    /// Starts to leave the pool: no datagram is read any more.
    pub(super) fn leave(&mut self) {
        for element in self.elements.drain(..) {
            // Unconfirmed it is told by the element's own task.
            self.leaving.spawn(async move {
                let _ = element.deregister(DEREGISTRATION).await;
            });
        }
    }

    /// Leaves the pool, if it was not left yet, and waits until that is done.
    pub(super) async fn left(mut self) {
        self.leave();
        while self.leaving.join_next().await.is_some() {}
    }
}

fn elements(config: &Config, pool: &Pool, relay: &Relay) -> Result<Vec<PoolElementConfig>, Failure> {
    let Some(handle) = &relay.pool else { return Ok(Vec::new()) };
    let handle = PoolHandle::new(handle.as_bytes()).context("relay.pool").or_exit(Exit::Configuration)?;
    let element = |address: &SocketAddr| {
        let transport = UserTransport {
            protocol: Protocol::Udp,
            addresses: vec![address.ip()],
            port: address.port(),
            transport_use: TransportUse::DATA_ONLY,
            encapsulation: 0,
        };
        PoolElementConfig {
            announce: pool.announce.clone(),
            scope: ScopeRule { private_beyond: pool.private_addresses },
            profile: config.profile.timers.rserpool(),
            ..PoolElementConfig::new(handle.clone(), transport, pool.registrars.clone())
        }
    };
    Ok(relay.listen.iter().map(element).collect())
}
