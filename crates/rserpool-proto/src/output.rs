//! What a machine wants done: drained by its driver with `poll_output`.

use crate::{ConnectionId, RegistrarAddress};

/// Which control protocol a connection carries; one connection never carries both.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ControlProtocol {
    /// ASAP (RFC 5352), PPID 11.
    Asap,
    /// ENRP (RFC 5353), PPID 12.
    Enrp,
}

/// One thing to do or to tell; `E` is the machine's own kind of event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output<E> {
    /// Connect to `address`; answer with `handle_connected` or `handle_connect_failed`.
    Connect {
        /// Name of the connection from here on.
        connection: ConnectionId,
        /// What it will carry; a pool element and a pool user have ASAP only.
        protocol: ControlProtocol,
        /// Where to.
        address: RegistrarAddress,
    },
    /// Send one message of the connection's protocol.
    Send {
        /// Over this connection.
        connection: ConnectionId,
        /// The whole message.
        octets: Vec<u8>,
    },
    /// Close the connection or give up connecting; nothing is answered.
    Disconnect {
        /// The connection; its name is not used again.
        connection: ConnectionId,
    },
    /// Send one datagram to the multicast group of the protocol.
    Announce {
        /// Which group.
        protocol: ControlProtocol,
        /// The whole message.
        octets: Vec<u8>,
    },
    /// Look up where a registrar is that is configured by name; answer with `Registrar::set_peer_addresses` once that is
    /// known. Asked again while it is not.
    LookUp {
        /// Which of `EnrpConfig::named_peers`.
        peer: usize,
    },
    /// Something the machine's owner may want to know.
    Event(E),
}

/// Why a registrar is no longer home.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LostReason {
    /// The connection ended.
    Connection,
    /// It did not answer in time.
    Silent,
    /// None of our addresses is of use to its users.
    OutOfScope,
}
