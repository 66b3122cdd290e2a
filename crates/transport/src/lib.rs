//! Message transports behind one [`Association`]: SCTP in user space or of the kernel, TCP, TLS, simulated.
//!
//! A message keeps its boundaries, its stream and its payload protocol identifier on the way, and may
//! be less than reliable (RFC 3758). Several back ends carry it:
//!
//! * userland SCTP in UDP (RFC 9260, RFC 3758, RFC 6951), or the kernel's SCTP with the feature
//!   `kernel-sctp`: [`Endpoint`];
//! * TCP with the framer that IPFIX, ASAP and ENRP share: [`tcp`];
//! * TLS 1.3 over it, both sides with certificates: [`tls`];
//! * plain UDP, without associations: [`udp`];
//! * an in-process pair on tokio's clock, for tests: [`sim`].
//!
//! An [`Association`] promises only what every back end can tell.
//!
//! Both directions are bounded in octets: [`Association::send`] waits while the send queue is full, and
//! a reader that does not call [`Association::recv`] closes the peer's window, without ending the
//! association.

mod address;
mod association;
mod budget;
mod connector;
mod datagram;
mod endpoint;
mod error;
#[cfg(feature = "kernel-sctp")]
mod kernel;
mod link;
mod listener;
mod message;
mod profile;
mod quiet;
pub mod sim;
mod status;
pub mod tcp;
pub mod tls;
pub mod udp;
mod userland;

pub use address::PeerAddress;
pub use association::{Association, Sender};
pub use budget::Budget;
pub use connector::Connector;
pub use endpoint::{ConnectOptions, Endpoint, EndpointConfig, SCTP_ENCAPSULATION_PORT, Stack, choose};
pub use error::{ConnectError, LossReason, SendError, ShutdownError, TrySendError};
pub use link::QueueLimits;
pub use listener::Listener;
pub use message::{Event, MAX_MESSAGE, Message, MsgOut, Outcome, Ppid, Reliability, Token};
pub use profile::Profile;
pub use status::{State, Status};
pub use userland::{Counters, machine};
