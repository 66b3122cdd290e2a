//! Who talks most, of the last minutes: sums of octets by source, destination and service, in bounded memory.
//!
//! Each minute has a table of its own with the Space-Saving algorithm (Metwally, Agrawal, El Abbadi 2005): a new key takes
//! the place of the one with the fewest octets and inherits them as its possible error. Whoever has more than the
//! minute's octets divided by the table's size is in it for certain.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;

/// Keys of one table.
const KEYS: usize = 256;
/// How many minutes are remembered, the one that is running included.
pub(crate) const MINUTES: usize = 5;

/// What a record tells of a flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Flow {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Its protocol and the port at its destination.
    pub(crate) service: Service,
    pub(crate) octets: u64,
    pub(crate) packets: u64,
}

/// What is talked to: a protocol, and a port where it has ports.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Service {
    pub(crate) protocol: u8,
    pub(crate) port: u16,
}

/// What was summed up for one key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sum {
    pub(crate) octets: u64,
    pub(crate) packets: u64,
    pub(crate) flows: u64,
    /// Of `octets`, how many may be another key's.
    pub(crate) error: u64,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.octets = self.octets.saturating_add(other.octets);
        self.packets = self.packets.saturating_add(other.packets);
        self.flows = self.flows.saturating_add(other.flows);
        self.error = self.error.saturating_add(other.error);
    }
}

/// The heaviest keys of one minute.
#[derive(Clone, Debug)]
struct Heaviest<K>(HashMap<K, Sum>);

impl<K: Copy + Eq + Hash> Heaviest<K> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn add(&mut self, key: K, sum: Sum) {
        if let Some(known) = self.0.get_mut(&key) {
            return known.add(&sum);
        }
        let mut taken = sum;
        if self.0.len() >= KEYS {
            let lightest =
                self.0.iter().min_by_key(|(_, sum)| sum.octets).map(|(key, sum)| (*key, sum.octets));
            if let Some((lightest, octets)) = lightest {
                self.0.remove(&lightest);
                taken.octets = taken.octets.saturating_add(octets);
                taken.error = octets;
            }
        }
        self.0.insert(key, taken);
    }
}

/// One minute.
#[derive(Clone, Debug)]
struct Minute {
    sources: Heaviest<IpAddr>,
    destinations: Heaviest<IpAddr>,
    services: Heaviest<Service>,
    total: Sum,
}

impl Minute {
    fn new() -> Self {
        let (sources, destinations, services) = (Heaviest::new(), Heaviest::new(), Heaviest::new());
        Self { sources, destinations, services, total: Sum::default() }
    }
}

/// The talkers of the last minutes.
#[derive(Debug)]
pub(crate) struct Talkers {
    /// The newest is the last, which is running.
    minutes: VecDeque<Minute>,
}

/// The heaviest of the last minutes, the heaviest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Top {
    pub(crate) sources: Vec<(IpAddr, Sum)>,
    pub(crate) destinations: Vec<(IpAddr, Sum)>,
    pub(crate) services: Vec<(Service, Sum)>,
    pub(crate) total: Sum,
}

impl Talkers {
    /// Returns the talkers of nothing.
    pub(crate) fn new() -> Self {
        Self { minutes: VecDeque::from([Minute::new()]) }
    }

    /// Adds a flow that stands for so many.
    pub(crate) fn add(&mut self, flow: &Flow, stands_for: u64) {
        let sum = Sum {
            octets: flow.octets.saturating_mul(stands_for),
            packets: flow.packets.saturating_mul(stands_for),
            flows: stands_for,
            error: 0,
        };
        let Some(minute) = self.minutes.back_mut() else { return };
        minute.sources.add(flow.source, sum);
        minute.destinations.add(flow.destination, sum);
        minute.services.add(flow.service, sum);
        minute.total.add(&sum);
    }

    /// A minute is over.
    pub(crate) fn next_minute(&mut self) {
        if self.minutes.len() == MINUTES {
            self.minutes.pop_front();
        }
        self.minutes.push_back(Minute::new());
    }

    /// Returns so many of the heaviest.
    pub(crate) fn top(&self, count: usize) -> Top {
        let mut total = Sum::default();
        self.minutes.iter().for_each(|minute| total.add(&minute.total));
        Top {
            sources: heaviest(self.minutes.iter().map(|minute| &minute.sources), count),
            destinations: heaviest(self.minutes.iter().map(|minute| &minute.destinations), count),
            services: heaviest(self.minutes.iter().map(|minute| &minute.services), count),
            total,
        }
    }
}

fn heaviest<'a, K: Copy + Eq + Hash + 'a>(
    minutes: impl Iterator<Item = &'a Heaviest<K>>,
    count: usize,
) -> Vec<(K, Sum)> {
    let mut sums: HashMap<K, Sum> = HashMap::new();
    for (key, sum) in minutes.flat_map(|minute| &minute.0) {
        sums.entry(*key).or_default().add(sum);
    }
    let mut sums: Vec<(K, Sum)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse((sum.octets, sum.flows)));
    sums.truncate(count);
    sums
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn flow(source: u32, octets: u64) -> Flow {
        Flow {
            source: Ipv4Addr::from(source).into(),
            destination: Ipv4Addr::new(192, 0, 2, 1).into(),
            service: Service { protocol: 6, port: 443 },
            octets,
            packets: 1,
        }
    }

    #[test]
    fn the_heaviest_come_first_with_what_their_samples_stand_for() {
        let mut talkers = Talkers::new();
        talkers.add(&flow(1, 100), 4);
        talkers.add(&flow(2, 1_000), 4);
        talkers.add(&flow(1, 100), 4);
        let top = talkers.top(1);
        let heaviest = Sum { octets: 4_000, packets: 4, flows: 4, error: 0 };
        assert_eq!(top.sources, [(Ipv4Addr::from(2).into(), heaviest)]);
        assert_eq!(top.total, Sum { octets: 4_800, packets: 12, flows: 12, error: 0 });
        assert_eq!(top.services[0], (Service { protocol: 6, port: 443 }, top.total));
    }

    #[test]
    fn who_has_more_than_a_tables_share_is_found_among_any_number_of_others() {
        let mut talkers = Talkers::new();
        let mut total = 0;
        for other in 0..100_000 {
            talkers.add(&flow(1_000 + other, 10), 1);
            total += 10;
            if other % 100 == 0 {
                talkers.add(&flow(7, 1_000), 1);
                total += 1_000;
            }
        }
        let top = talkers.top(3);
        assert_eq!(top.sources[0].0, IpAddr::from(Ipv4Addr::from(7)));
        let Sum { octets, error, .. } = top.sources[0].1;
        assert!((1_000_000..=1_000_000 + total / KEYS as u64).contains(&octets), "{octets}");
        assert!(octets - error <= 1_000_000 && error <= total / KEYS as u64, "{error}");
        assert_eq!(talkers.minutes[0].sources.0.len(), KEYS);
    }

    #[test]
    fn a_minute_is_forgotten_after_the_last_of_them() {
        let mut talkers = Talkers::new();
        talkers.add(&flow(1, 1), 1);
        for _ in 1..MINUTES {
            talkers.next_minute();
            assert_eq!(talkers.top(9).sources.len(), 1);
        }
        talkers.next_minute();
        assert_eq!(talkers.top(9), Top::default());
    }
}
