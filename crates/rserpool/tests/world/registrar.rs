//! A registrar's machine on real sockets, for tests of whole pools.

use std::net::IpAddr;
use std::time::Instant;

use rserpool::{ConnectionEvent, Connections};
use rserpool_proto::registrar::{Registrar as Machine, RegistrarConfig};
use rserpool_proto::{ConnectionId, Output, Protocol, Remote};
use tokio::task::JoinHandle;
use transport::{Association, Connector, PeerAddress};

use crate::world::{Net, Registrar};

/// Runs a registrar at `host` until the task is aborted.
pub(crate) async fn run(net: Net, host: u8) -> JoinHandle<()> {
    let Registrar { mut listener, endpoint } = net.registrar(host).await;
    tokio::spawn(async move {
        let mut machine = Machine::new(RegistrarConfig::default(), 1);
        let mut connections = Connections::new(Connector::from(Some(endpoint)));
        let mut accepted = 0;
        loop {
            while let Some(output) = machine.poll_output() {
                match output {
                    Output::Send { connection, octets } => drop(connections.send(connection, octets)),
                    Output::Disconnect { connection } => connections.close(connection),
                    Output::Connect { .. } | Output::Announce { .. } | Output::Event(_) => {}
                }
            }
            let due = async {
                match machine.poll_timeout() {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                association = listener.accept() => {
                    let Ok(association) = association else { return };
                    accepted += 1;
                    let connection = ConnectionId::accepted(accepted);
                    machine.handle_accepted(Instant::now(), connection, remote(&association));
                    connections.accept(connection, association);
                }
                (connection, event) = connections.next() => match event {
                    ConnectionEvent::Message { data, .. } => machine.handle_message(Instant::now(), connection, &data),
                    ConnectionEvent::Lost(_) => machine.handle_lost(Instant::now(), connection),
                    _ => {}
                },
                () = due => machine.handle_timeout(Instant::now()),
            }
        }
    })
}

fn remote(association: &Association) -> Remote {
    let peer = association.peer();
    let PeerAddress::Sctp { ip, port, encapsulation } = peer else { panic!("no SCTP") };
    let addresses: Vec<IpAddr> = vec![ip];
    Remote { protocol: Protocol::Sctp, addresses, port, encapsulation }
}
