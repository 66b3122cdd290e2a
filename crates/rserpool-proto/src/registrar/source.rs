//! Limits count by who is at the far end, however many connections it opens (RFC 5355 threats 1 and 13).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use super::RegistrarConfig;
use super::authority::Authority;
use super::token_bucket::TokenBucket;
use crate::{ConnectionId, Remote};

/// Far ends remembered at least.
const MIN_SOURCES: usize = 1_024;

/// Who is at the far end of connections.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Source {
    /// The names in its certificate.
    Names(Vec<String>),
    /// The address it connected from.
    Address(IpAddr),
    /// Nobody knows where this connection comes from.
    Connection(ConnectionId),
}

impl Source {
    pub(super) fn of(connection: ConnectionId, remote: &Remote, authority: &Authority) -> Source {
        if !authority.names.is_empty() {
            return Source::Names(authority.names.clone());
        }
        let address = remote.addresses.first();
        address.map_or(Source::Connection(connection), |address| Source::Address(address.to_canonical()))
    }
}

/// What one far end may still ask for.
#[derive(Debug)]
pub(super) struct Allowance {
    pub(super) registrations: TokenBucket,
    pub(super) reports: TokenBucket,
}

impl Allowance {
    fn is_full(&self, now: Instant) -> bool {
        self.registrations.is_full(now) && self.reports.is_full(now)
    }
}

/// What far ends that asked for something may still ask for: also those that are gone, until it is as for a new one.
#[derive(Debug, Default)]
pub(super) struct Allowances {
    items: BTreeMap<Source, Allowance>,
}

impl Allowances {
    /// Returns what `source` may ask for.
    pub(super) fn of(&mut self, now: Instant, source: &Source, config: &RegistrarConfig) -> &mut Allowance {
        let most = config.max_connections.max(MIN_SOURCES).saturating_mul(2);
        if self.items.len() >= most && !self.items.contains_key(source) {
            self.items.retain(|_, allowance| !allowance.is_full(now));
            // So many within seconds are not stopped by limits of each.
            if self.items.len() > most / 2 {
                self.items.clear();
            }
        }
        self.items.entry(source.clone()).or_insert_with(|| Allowance {
            registrations: TokenBucket::new(config.registrations_per_second, now),
            reports: TokenBucket::new(config.reports_per_second, now),
        })
    }
}
