//! Registrars played by hand, on loopback addresses drawn at random.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod pool;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rserpool::wire::Message;
use rserpool::wire::asap::registration::{Registration, RegistrationResponse};
use tokio::time::timeout;
use transport::{Association, Endpoint, EndpointConfig, Event, Listener, LossReason, MsgOut, Ppid};

/// Nothing here takes so long on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A /24 of the loopback network that no other test is likely to have.
#[derive(Clone, Copy)]
pub(crate) struct Net(u8, u8);

impl Net {
    pub(crate) fn random() -> Net {
        let [x, y, ..] = getrandom::u64().unwrap().to_be_bytes();
        Net(x % 127 + 64, y)
    }

    pub(crate) fn host(self, host: u8) -> IpAddr {
        Ipv4Addr::new(127, self.0, self.1, host).into()
    }

    pub(crate) fn endpoint(self, host: u8) -> Endpoint {
        Endpoint::bind(EndpointConfig::new(self.host(host))).unwrap()
    }

    /// A registrar at `host` that listens on ASAP's port.
    pub(crate) async fn registrar(self, host: u8) -> Registrar {
        let endpoint = self.endpoint(host);
        Registrar { listener: endpoint.listen(3863).await.unwrap(), endpoint }
    }
}

/// A registrar's side, by hand.
pub(crate) struct Registrar {
    pub(crate) listener: Listener,
    pub(crate) endpoint: Endpoint,
}

impl Registrar {
    pub(crate) async fn accept(&mut self) -> Association {
        timeout(PATIENCE, self.listener.accept()).await.expect("nobody connects").unwrap()
    }
}

/// Returns the next ASAP message.
pub(crate) async fn receive(association: &mut Association) -> Message {
    loop {
        match timeout(PATIENCE, association.recv()).await.expect("a message in time") {
            Event::Message(message) => return Message::decode(&message.data).unwrap(),
            Event::Lost(reason) => panic!("association lost: {reason}"),
            _ => {}
        }
    }
}

/// Waits for the association's end.
pub(crate) async fn end(association: &mut Association) -> LossReason {
    loop {
        if let Event::Lost(reason) = timeout(PATIENCE, association.recv()).await.expect("no end") {
            return reason;
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
