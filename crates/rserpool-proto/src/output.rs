//! What a machine wants done: drained by its driver with `poll_output`.

use crate::{ConnectionId, RegistrarAddress};

/// One thing to do or to tell; `E` is the machine's own kind of event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output<E> {
    /// Connect to `address`; answer with `handle_connected` or `handle_connect_failed`.
    Connect {
        /// Name of the connection from here on.
        connection: ConnectionId,
        /// Where to.
        address: RegistrarAddress,
    },
    /// Send one message (PPID 11).
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
}
