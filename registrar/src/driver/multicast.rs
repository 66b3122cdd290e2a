//! The multicast groups: announces go out, presences of other registrars come in.

use std::net::SocketAddr;

use rserpool_proto::ControlProtocol;
use service::{Exit, Failure};
use tracing::{debug, info, warn};
use transport::udp::Group;

use crate::config::Config;

/// The groups this registrar has joined.
#[derive(Debug)]
pub(super) struct Multicast {
    asap: Option<Group>,
    enrp: Option<Group>,
}

impl Multicast {
    /// Joins what is configured.
    pub(super) fn join(config: &Config) -> Result<Multicast, Failure> {
        let join = |options: Option<_>, protocol| {
            let Some(options) = options else { return Ok(None) };
            let group = Group::join(&options)
                .map_err(|error| Failure::new(Exit::Io, format!("[announce] {protocol}: {error}")))?;
            info!(group = %group.address(), "announcing this registrar for {protocol}");
            Ok::<_, Failure>(Some(group))
        };
        let [asap, enrp] = config.groups();
        Ok(Multicast { asap: join(asap, "ASAP")?, enrp: join(enrp, "ENRP")? })
    }

    /// Sends one datagram. What cannot be sent is left out: the next one follows soon.
    pub(super) async fn send(&self, protocol: ControlProtocol, octets: &[u8]) {
        let group = match protocol {
            ControlProtocol::Asap => &self.asap,
            ControlProtocol::Enrp => &self.enrp,
        };
        let Some(group) = group else { return };
        if let Err(error) = group.send(octets).await {
            debug!(group = %group.address(), %error, "announce not sent");
        }
    }

    /// Waits for the next datagram of ENRP's group; for ever without one. Cancel safe.
    pub(super) async fn next(&mut self) -> (SocketAddr, Vec<u8>) {
        loop {
            // What others announce for ASAP is for pool elements and pool users.
            let Some(group) = &mut self.enrp else { return std::future::pending().await };
            match group.receive().await {
                Ok((from, octets)) => return (from, octets.to_vec()),
                Err(error) => {
                    warn!(%error, "other registrars are no longer heard by multicast");
                    self.enrp = None;
                }
            }
        }
    }
}
