//! A registrar as a collector sees it.

use std::net::{IpAddr, Ipv4Addr};

use rserpool_proto::wire::asap::deregistration::Deregistration;
use rserpool_proto::wire::asap::handle_resolution::HandleResolutionResponse;
use rserpool_proto::wire::asap::registration::{Registration, RegistrationResponse};
use rserpool_proto::wire::{Message, Policy};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use transport::{Association, Endpoint, EndpointConfig, Event, Listener, MsgOut, Ppid, Sender};

use super::{Directory, PATIENCE, address};

/// The registrar's side, by hand.
pub(crate) struct Registrar {
    pub(crate) listener: Listener,
    _endpoint: Endpoint,
}

impl Registrar {
    pub(crate) async fn start(address: Ipv4Addr) -> Self {
        let endpoint = Endpoint::bind(EndpointConfig::new(IpAddr::V4(address))).unwrap();
        Self { listener: endpoint.listen(3863).await.unwrap(), _endpoint: endpoint }
    }

    pub(crate) async fn accept(&mut self) -> Association {
        tokio::time::timeout(PATIENCE, self.listener.accept()).await.expect("a pool element").unwrap()
    }
}

/// Returns the next ASAP message.
pub(crate) async fn receive(association: &mut Association) -> Message {
    loop {
        match tokio::time::timeout(PATIENCE, association.recv()).await.expect("a message in time") {
            Event::Message(message) => return Message::decode(&message.data).unwrap(),
            Event::Lost(reason) => panic!("association lost: {reason}"),
            _ => {}
        }
    }
}

pub(crate) async fn send(association: &Association, message: Message) {
    association.send(MsgOut::new(Ppid::ASAP, message.to_octets().unwrap())).await.unwrap();
}

/// Takes the registration and grants it.
pub(crate) async fn register(association: &mut Association) -> Registration {
    let Message::Registration(registration) = receive(association).await else { panic!("no registration") };
    let (pool, pe) = (registration.pool.clone(), registration.element.pe);
    let (causes, unknown) = (Vec::new(), Vec::new());
    let response = RegistrationResponse { rejected: false, pool, pe, causes, unknown };
    send(association, Message::RegistrationResponse(response)).await;
    registration
}

pub(crate) fn pool(directory: &Directory, registrar: Ipv4Addr, more: &str) -> String {
    let key = directory.path("pool.key");
    format!(
        "[[pool]]\nhandle = \"ipfix\"\nregistrars = [\"{registrar}:3863\"]\nkey-file = \"{}\"\n{more}\n",
        key.display()
    )
}

/// A registrar that answers by itself, however busy the test is: an element whose questions go unanswered for a second
/// and a half looks for another registrar.
pub(crate) struct Answering {
    address: Ipv4Addr,
    heard: UnboundedReceiver<(Message, Sender)>,
    task: AbortOnDrop,
}

/// Ends a task with its owner.
struct AbortOnDrop(JoinHandle<()>);

impl Answering {
    /// Starts one at an address of its own.
    pub(crate) async fn start_anywhere() -> Self {
        let address = address();
        Self { address, ..Self::start(Registrar::start(address).await) }
    }

    pub(crate) fn start(mut registrar: Registrar) -> Self {
        let (tell, heard) = unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok(association) = registrar.listener.accept().await {
                tokio::spawn(answer(association, tell.clone()));
            }
        });
        Self { address: Ipv4Addr::LOCALHOST, heard, task: AbortOnDrop(task) }
    }

    /// Returns the part of the configuration that joins the pool of a registrar at an address of its own.
    pub(crate) fn pool(&self, directory: &Directory, more: &str) -> String {
        pool(directory, self.address, more)
    }

    /// Returns the next deregistration, and how to answer it.
    pub(crate) async fn deregistration(&mut self) -> (Deregistration, Sender) {
        loop {
            if let (Message::Deregistration(deregistration), element) = self.next().await {
                return (deregistration, element);
            }
        }
    }

    /// Returns the next message, and how to answer it.
    pub(crate) async fn next(&mut self) -> (Message, Sender) {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("a message in time").unwrap()
    }

    /// Returns the next registration; it was granted.
    pub(crate) async fn registration(&mut self) -> Registration {
        loop {
            if let (Message::Registration(registration), _) = self.next().await {
                return registration;
            }
        }
    }

    /// Returns the next registration whose load `wanted` accepts.
    pub(crate) async fn load(&mut self, wanted: impl Fn(f64) -> bool) -> f64 {
        loop {
            let Policy::LeastUsed { load } = self.registration().await.element.policy else {
                panic!("no load")
            };
            let load = f64::from(load.0) / f64::from(u32::MAX);
            if wanted(load) {
                return load;
            }
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Grants registrations, and says that the pool has no elements but the last one registered.
async fn answer(mut association: Association, tell: UnboundedSender<(Message, Sender)>) {
    let (sender, mut elements) = (association.sender(), Vec::new());
    loop {
        let message = match association.recv().await {
            Event::Message(message) => Message::decode(&message.data).unwrap(),
            Event::Lost(_) => return,
            _ => continue,
        };
        let (causes, unknown) = (Vec::new(), Vec::new());
        let response = match &message {
            Message::Registration(registration) => {
                let (pool, pe) = (registration.pool.clone(), registration.element.pe);
                elements = vec![registration.element.clone()];
                Some(Message::RegistrationResponse(RegistrationResponse {
                    rejected: false,
                    pool,
                    pe,
                    causes,
                    unknown,
                }))
            }
            Message::HandleResolution(request) => {
                Some(Message::HandleResolutionResponse(HandleResolutionResponse {
                    updates_accepted: true,
                    pool: request.pool.clone(),
                    policy: None,
                    elements: elements.clone(),
                    causes: None,
                    unknown,
                }))
            }
            _ => None,
        };
        if let Some(response) = response {
            let _ = sender.send(MsgOut::new(Ppid::ASAP, response.to_octets().unwrap())).await;
        }
        if tell.send((message, sender.clone())).is_err() {
            return;
        }
    }
}
