//! What the sources of a socket sent, decoded, until the outputs take it.

use std::fmt;
use std::net::SocketAddr;

use intake::{Rooms, Sink};
use transport::PeerAddress;

use crate::metrics::SessionMetrics;
use crate::output::Forms;
use crate::session::Decoder;
use crate::session::decoder::{Decoded, discard};
use crate::status::Window;

#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) decoded: Decoded,
    forms: Forms,
    /// Of all sockets.
    rooms: Rooms,
    metrics: SessionMetrics,
    /// Where sources are shown.
    window: Window,
}

impl Gathered {
    pub(crate) fn new(forms: Forms, rooms: Rooms, metrics: SessionMetrics, window: Window) -> Self {
        Self { decoded: Decoded::default(), forms, rooms, metrics, window }
    }
}

impl Sink for Gathered {
    type Decoder = Decoder;

    fn decoder(&mut self, source: SocketAddr) -> Decoder {
        let mut decoder = Decoder::udp(&self.forms, self.metrics.clone(), &self.rooms);
        decoder.set_source(source);
        decoder.watch(self.window.show(PeerAddress::Udp(source)));
        decoder
    }

    fn malformed(&mut self, octets: &[u8], now: u64, error: &dyn fmt::Display) {
        discard(&self.metrics, &mut self.decoded, 0, octets, now, error);
    }

    fn templates_refused(&mut self, count: u32) {
        self.metrics.limit.increment(count.into());
    }
}
