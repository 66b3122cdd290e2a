//! Pool elements and pool users of ours, in this process: on kernel SCTP, at the address outside the hosts.

use std::time::Duration;

use rserpool::{
    AnnounceConfig, ConfiguredRegistrar, PeId, Policy, PoolElement, PoolElementConfig, PoolElementState,
    PoolHandle, PoolUser, PoolUserConfig, Profile, Protocol, TransportUse, UserTransport,
};
use tokio::runtime::{Builder, Runtime};
use transport::{Endpoint, EndpointConfig, Event, Stack};

use crate::check::PATIENCE;
use crate::network::{Host, Network};

/// Where elements serve.
const PORT: u16 = 4739;

/// What drives them.
pub(crate) struct Process {
    runtime: Runtime,
    endpoint: Endpoint,
    network_prefix: [u8; 3],
    address: std::net::Ipv4Addr,
}

/// How they find a registrar.
#[derive(Clone, Copy)]
pub(crate) enum Find<'a> {
    At(&'a Host),
    /// By its announces in rsplib's group.
    Announced,
}

impl Process {
    pub(crate) fn new(network: &Network) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut config = EndpointConfig::new(network.outside().into());
        config.stack = Stack::Kernel;
        config.encapsulation = 0;
        let endpoint = Endpoint::bind(config).unwrap();
        Self { runtime, endpoint, network_prefix: network.prefix(), address: network.outside() }
    }

    /// Starts an element. Dropping it ends it.
    pub(crate) fn element(&self, find: Find<'_>, pool: &str, pe: u32, policy: Policy) -> PoolElement {
        self.spawn(PoolElementConfig { policy, ..self.config(find, pool, pe) })
    }

    /// The same, with a long identifier.
    pub(crate) fn long_element(&self, at: &Host, pool: &str, pe: u32) -> PoolElement {
        self.spawn(PoolElementConfig { next_generation: true, ..self.config(Find::At(at), pool, pe) })
    }

    fn config(&self, find: Find<'_>, pool: &str, pe: u32) -> PoolElementConfig {
        let transport = UserTransport {
            protocol: Protocol::Sctp,
            addresses: vec![self.address.into()],
            port: PORT,
            transport_use: TransportUse::DATA_ONLY,
            encapsulation: 0,
        };
        let (registrars, announce) = self.found_by(find);
        let config = PoolElementConfig::new(PoolHandle::new(pool).unwrap(), transport, registrars);
        // A registrar that it was not told of may take it over.
        let [a, b, c] = self.network_prefix;
        let registrar_networks = vec![format!("{a}.{b}.{c}.0/24").parse().unwrap()];
        PoolElementConfig {
            pe: Some(PeId(pe)),
            announce,
            profile: Profile::RSPLIB,
            registrar_networks,
            ..config
        }
    }

    fn spawn(&self, config: PoolElementConfig) -> PoolElement {
        let _inside = self.runtime.enter();
        PoolElement::spawn(config, Some(self.endpoint.clone())).unwrap()
    }

    /// Starts a pool user. Dropping it ends it.
    pub(crate) fn user(&self, find: Find<'_>, pool: &str) -> PoolUser {
        let (registrars, announce) = self.found_by(find);
        let config = PoolUserConfig::new(PoolHandle::new(pool).unwrap(), registrars);
        let config = PoolUserConfig { announce, profile: Profile::RSPLIB, ..config };
        let _inside = self.runtime.enter();
        PoolUser::spawn(config, Some(self.endpoint.clone()))
    }

    fn found_by(&self, find: Find<'_>) -> (Vec<ConfiguredRegistrar>, Option<AnnounceConfig>) {
        match find {
            Find::At(host) => (vec![format!("{}:3863", host.address).parse().unwrap()], None),
            Find::Announced => {
                let [a, b, c] = self.network_prefix;
                let announce = AnnounceConfig {
                    group: [239, 0, 0, 50].into(),
                    port: 3863,
                    interface: Some(self.address.into()),
                    networks: vec![format!("{a}.{b}.{c}.0/24").parse().unwrap()],
                };
                (Vec::new(), Some(announce))
            }
        }
    }

    /// Waits until a pool user is offered an element, and returns it.
    pub(crate) fn selected(&self, user: &PoolUser) -> PeId {
        let selected = async { tokio::time::timeout(PATIENCE, user.wait_element()).await };
        self.runtime.block_on(selected).expect("an element").pe
    }

    /// Serves where its elements are registered, has a pool user begin, and returns the first line that comes.
    pub(crate) fn served(&self, begin: impl FnOnce()) -> String {
        let line = async {
            let mut listener = self.endpoint.listen(PORT).await.unwrap();
            begin();
            let mut association = listener.accept().await.unwrap();
            loop {
                match association.recv().await {
                    Event::Message(message) => break String::from_utf8_lossy(&message.data).into_owned(),
                    Event::Lost(reason) => panic!("association lost: {reason}"),
                    _ => {}
                }
            }
        };
        let line = async { tokio::time::timeout(PATIENCE, line).await };
        self.runtime.block_on(line).expect("a line")
    }

    /// Waits until the element is registered at this host's registrar.
    pub(crate) fn registered(&self, element: &PoolElement, at: &Host) {
        let mut state = element.state();
        let at = at.address.to_string();
        let there = |state: &PoolElementState| matches!(state, PoolElementState::Registered { registrar, .. } if registrar.to_string().contains(&at));
        let waited = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE + Duration::from_secs(20), state.wait_for(there)).await.is_ok()
        });
        assert!(waited, "not registered at {at}: {:?}", *element.state().borrow());
    }
}
