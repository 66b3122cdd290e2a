//! Plain UDP: the datagrams of a collecting and of an exporting process (RFC 7011 section 10.3).
//!
//! There is no association here. A [`Receiver`] reads batches of datagrams with the address each came from,
//! without allocating, and tells how many the kernel had to drop. A [`Sender`] is connected to one address, sends
//! batches, and hears from ICMP that nobody is there. A [`Group`] hears and sends announces by multicast.

mod group;
mod receiver;
mod sender;
mod sys;

pub use group::{Group, GroupOptions};
pub use receiver::{Receiver, ReceiverOptions, Waker};
pub use sender::{Sender, Sent};
