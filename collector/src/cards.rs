//! Business cards: which other collectors of the pool this one recommends (RFC 5352 section 3.9), and where there is a
//! control channel to say so.
//!
//! A pool of service "full" has one over the transport its element is registered for; a pool of service "minimal" has
//! none: no cookies, no cards. A transport without any pool has one for whoever asks for cookies.

use std::sync::Arc;

use rserpool::PoolHandle;
use rserpool::wire::asap::business_card::BusinessCard;
use rserpool::wire::{Message, PoolElementParameter};

use crate::config::{Config, Service, Transport};

/// Elements of one card.
const MAX_ELEMENTS: usize = 8;

/// The card of every pool, as it would be sent now.
#[derive(Clone, Debug)]
pub(crate) struct Cards {
    /// By the place of `[[pool]]` in the configuration.
    pools: Vec<Card>,
}

#[derive(Clone, Debug)]
struct Card {
    transport: Transport,
    service: Service,
    /// None where it was refused already.
    handle: Option<PoolHandle>,
    others: Arc<[PoolElementParameter]>,
}

impl Cards {
    pub(crate) fn new(config: &Config) -> Self {
        let card = |pool: &crate::config::Pool| Card {
            transport: pool.transport(&config.listen),
            service: pool.service,
            handle: PoolHandle::new(pool.handle.as_bytes()).ok(),
            others: Arc::from([]),
        };
        Self { pools: config.pool.iter().map(card).collect() }
    }

    /// Replaces the other elements of the pool at this place.
    pub(crate) fn set(&mut self, at: usize, others: Arc<[PoolElementParameter]>) {
        if let Some(card) = self.pools.get_mut(at) {
            card.others = others;
        }
    }

    /// Returns whether sessions over `transport` have a control channel.
    pub(crate) fn has_control(&self, transport: Transport) -> bool {
        let mut pools = self.pools.iter().filter(|card| card.transport == transport).peekable();
        pools.peek().is_none() || pools.any(|card| card.service == Service::Full)
    }

    /// Returns the cards for an exporter that comes over `transport`; those that recommend nobody only if `empty`.
    pub(crate) fn messages(&self, transport: Transport, empty: bool) -> Vec<Vec<u8>> {
        let full = |card: &&Card| card.transport == transport && card.service == Service::Full;
        let cards = self.pools.iter().filter(full).filter(|card| empty || !card.others.is_empty());
        let message = |card: &Card| {
            let elements = card.others.iter().take(MAX_ELEMENTS).cloned().collect();
            let (pool, policy, unknown) = (card.handle.clone()?, None, Vec::new());
            Message::BusinessCard(BusinessCard { pool, policy, elements, unknown }).to_octets().ok()
        };
        cards.filter_map(message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards(pools: &str) -> Cards {
        let listen = "[listen]\nipfix-tcp = [\"127.0.0.1:4739\"]\n";
        let config = service::config::parse("collector.toml", &format!("{listen}{pools}"), Config::validate);
        Cards::new(&config.map_err(|error| error.to_string()).unwrap())
    }

    #[test]
    fn a_transport_of_minimal_pools_only_has_no_control_channel() {
        let full = "[[pool]]\nhandle = \"a\"\n";
        let minimal = "[[pool]]\nhandle = \"b\"\nservice = \"minimal\"\n";
        assert!(cards("").has_control(Transport::Sctp), "outside of pools");
        assert!(cards(full).has_control(Transport::Sctp));
        assert!(!cards(minimal).has_control(Transport::Sctp));
        assert!(cards(minimal).has_control(Transport::Tcp));
        assert!(cards(&format!("{full}{minimal}")).has_control(Transport::Sctp));
    }

    #[test]
    fn a_pool_without_others_has_a_card_only_for_those_who_must_leave() {
        let cards = cards("[[pool]]\nhandle = \"a\"\n[[pool]]\nhandle = \"b\"\nservice = \"minimal\"\n");
        assert!(cards.messages(Transport::Sctp, false).is_empty());
        assert!(cards.messages(Transport::Tcp, true).is_empty());
        let messages = cards.messages(Transport::Sctp, true);
        let [card] = &messages[..] else { panic!("{messages:?}") };
        let Ok(Message::BusinessCard(card)) = Message::decode(card) else { panic!() };
        assert_eq!((card.pool.to_string(), card.elements), ("a".to_owned(), Vec::new()));
    }
}
