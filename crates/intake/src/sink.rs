//! What the owner of [`Sources`](crate::Sources) makes of the messages.

use std::fmt;
use std::net::SocketAddr;

use ipfix::Template;

/// After so many malformed messages in a row a source is not listened to for a while.
pub const MAX_MALFORMED: u32 = 3;

/// Where what all sources of a socket sent goes.
pub trait Sink: Sized {
    /// Decodes the messages of one source.
    type Decoder: Decoder<Self>;

    /// Returns the decoder of a new source.
    fn decoder(&mut self, source: SocketAddr) -> Self::Decoder;

    /// A datagram was discarded unread; `now` is in milliseconds since the Unix epoch.
    fn malformed(&mut self, octets: &[u8], now: u64, error: &dyn fmt::Display);

    /// Templates were refused before they got to the decoder: not valid, or beyond a limit.
    fn templates_refused(&mut self, count: u32);
}

/// Decodes the IPFIX messages of one source.
pub trait Decoder<S> {
    /// Decodes a datagram into `sink`.
    fn datagram(&mut self, sink: &mut S, octets: &[u8], reception: Reception) -> Taken;

    /// Takes what the last datagram told.
    fn told(&mut self) -> Told;

    /// Gives back what [`Self::told`] returned, for its memory.
    fn tell(&mut self, told: Told);

    /// A data set whose template is not awaited any longer; `now` is in milliseconds since the Unix epoch.
    fn without_template(&mut self, sink: &mut S, now: u64, unknown: &Unknown);

    /// Concludes nothing more from the sequence numbers of a domain: they count no records.
    fn ignore_sequence(&mut self, domain: u32);

    /// Returns the templates, with their domains.
    fn templates(&self) -> impl Iterator<Item = (u32, &Template)>;

    /// Forgets that messages were malformed.
    fn pardon(&mut self);
}

/// How a datagram was received.
#[derive(Clone, Copy, Debug)]
pub struct Reception {
    /// In milliseconds since the Unix epoch.
    pub now: u64,
    /// In seconds of any clock.
    pub received: u32,
    /// How many of these seconds a template lives that is not repeated (RFC 7011 section 8.4).
    pub lifetime: u32,
    /// Whether it is a set that was held back: its sequence number is of the past.
    pub again: bool,
}

/// How a datagram was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// Well-formed.
    Well,
    /// Malformed, and discarded.
    Malformed,
    /// Malformed, one more in a row than is borne.
    Hopeless,
}

/// What a datagram told that concerns others: data sets without template, and templates.
#[derive(Debug, Default)]
pub struct Told {
    /// Data sets without template.
    pub unknown: Vec<Unknown>,
    /// Templates, by domain and Template ID.
    pub defined: Vec<(u32, u16)>,
}

/// A data set without template.
#[derive(Debug)]
pub struct Unknown {
    /// Observation Domain ID.
    pub domain: u32,
    /// The Template ID it names.
    pub set_id: u16,
    /// Without the set's header.
    pub octets: Vec<u8>,
}
