//! A pool: its registrar, which believes everybody, and elements played by hand.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use rserpool::wire::asap::handle_resolution::HandleResolutionResponse;
use rserpool::wire::asap::registration::RegistrationResponse;
use rserpool::wire::{Load, Message, Policy, PoolElementParameter, RegistrationLife};
use rserpool::{ConfiguredRegistrar, PeId, PoolHandle, Protocol, TransportUse, UserTransport};
use rserpool_proto::RegistrarId;
use tokio::sync::watch;
use tokio::time::timeout;
use transport::{Association, Endpoint, Event, Listener, MsgOut, Ppid};

use super::{Net, PATIENCE};

/// A Least Used pool whose registrar is at host 1.
#[derive(Clone)]
pub(crate) struct Pool {
    net: Net,
    elements: Arc<Mutex<BTreeMap<PeId, PoolElementParameter>>>,
    reported: watch::Sender<Vec<PeId>>,
}

pub(crate) fn handle() -> PoolHandle {
    PoolHandle::new("pingpong").unwrap()
}

impl Pool {
    /// Starts the registrar; it ends with the test's runtime.
    pub(crate) async fn new(net: Net) -> Pool {
        let pool = Pool { net, elements: Arc::default(), reported: watch::Sender::default() };
        let endpoint = net.endpoint(1);
        let mut listener = endpoint.listen(3863).await.unwrap();
        let served = pool.clone();
        tokio::spawn(async move {
            let _endpoint = endpoint;
            while let Ok(association) = listener.accept().await {
                tokio::spawn(served.clone().serve(association));
            }
        });
        pool
    }

    pub(crate) fn registrars(&self) -> Vec<ConfiguredRegistrar> {
        vec![self.net.host(1).to_string().parse().unwrap()]
    }

    /// Waits until so many elements were reported as unreachable, and returns which.
    pub(crate) async fn reported(&self, count: usize) -> Vec<PeId> {
        let mut reported = self.reported.subscribe();
        let waiting = reported.wait_for(|reported| reported.len() >= count);
        timeout(PATIENCE, waiting).await.expect("reports in time").unwrap().clone()
    }

    /// An element at `host`, with the host as its identifier and its load.
    pub(crate) async fn element(&self, host: u8, transport_use: TransportUse) -> Element {
        let endpoint = self.net.endpoint(host);
        let listener = endpoint.listen(0).await.unwrap();
        let (protocol, port) = (Protocol::Sctp, listener.local().port());
        let addresses = vec![self.net.host(host)];
        let user = UserTransport { protocol, addresses, port, transport_use, encapsulation: 9899 };
        let pe = PeId(host.into());
        let parameter = PoolElementParameter {
            pe,
            home: RegistrarId(1),
            life: RegistrationLife(30),
            user_transport: user.to_wire().unwrap().0,
            policy: Policy::LeastUsed { load: Load(host.into()) },
            asap_transport: None,
            encapsulation: None,
            unknown: vec![],
        };
        self.lock().insert(pe, parameter);
        Element { pe, listener, endpoint }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeId, PoolElementParameter>> {
        self.elements.lock().unwrap()
    }

    async fn serve(self, mut association: Association) {
        let mut own = None;
        loop {
            let message = match association.recv().await {
                Event::Message(message) => message,
                Event::Lost(_) => break,
                _ => continue,
            };
            let answer = match Message::decode(&message.data).unwrap() {
                Message::Registration(registration) => {
                    own = Some(registration.element.pe);
                    Some(self.register(registration.element))
                }
                Message::HandleResolution(_) => Some(self.resolve()),
                Message::EndpointUnreachable(report) => {
                    self.reported.send_modify(|reported| reported.push(report.pe));
                    None
                }
                _ => None,
            };
            if let Some(answer) = answer {
                let _ = association.send(MsgOut::new(Ppid::ASAP, answer.to_octets().unwrap())).await;
            }
        }
        if let Some(pe) = own {
            self.lock().remove(&pe);
        }
    }

    fn register(&self, element: PoolElementParameter) -> Message {
        let (pool, pe, causes, unknown) = (handle(), element.pe, Vec::new(), Vec::new());
        self.lock().insert(pe, element);
        Message::RegistrationResponse(RegistrationResponse { rejected: false, pool, pe, causes, unknown })
    }

    fn resolve(&self) -> Message {
        let elements: Vec<_> = self.lock().values().cloned().collect();
        Message::HandleResolutionResponse(HandleResolutionResponse {
            updates_accepted: false,
            pool: handle(),
            policy: elements.first().map(|element| element.policy.clone()),
            elements,
            causes: None,
            unknown: vec![],
        })
    }
}

/// An element by hand. Dropping it and its association kills it.
pub(crate) struct Element {
    pub(crate) pe: PeId,
    pub(crate) listener: Listener,
    pub(crate) endpoint: Endpoint,
}

impl Element {
    pub(crate) async fn accept(&mut self) -> Association {
        timeout(PATIENCE, self.listener.accept()).await.expect("nobody connects").unwrap()
    }
}
