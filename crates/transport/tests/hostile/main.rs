//! What an attacker, or a broken network, sends to a userland endpoint: nothing of it harms an
//! association, and all of it is counted. The crate's README lists what is tested where.

mod handshake;
mod machine;
mod out_of_the_blue;
mod packets;
mod tags;
mod tap;
mod wire;
