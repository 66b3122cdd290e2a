//! Registrars by name, looked up again at each round of a hunt (RFC 5352 section 3.6).
//!
//! Each name is a task of its own: one that takes its time holds up no other. What a name was found to be the last
//! time counts until it is found to be something else.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::io;
use std::time::{Duration, Instant};

use rserpool_proto::RegistrarAddress as Address;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::{ConfiguredRegistrar, RegistrarAddress, Resolver};

/// How long nothing more is said about a name that cannot be looked up.
const TELL_AGAIN: Duration = Duration::from_secs(600);

/// The configured registrars and where they are.
#[derive(Debug)]
pub struct Lookup {
    resolver: Resolver,
    registrars: Vec<Known>,
    answered: u64,
    failed: u64,
    /// The round the last lookups were for.
    round: u64,
    running: JoinSet<(usize, io::Result<Vec<RegistrarAddress>>)>,
}

#[derive(Debug)]
struct Known {
    registrar: ConfiguredRegistrar,
    addresses: Vec<RegistrarAddress>,
    /// A task is looking it up.
    asked: bool,
    /// When the operator was told that it cannot be looked up.
    told: Option<Instant>,
}

impl Lookup {
    /// Begins with the addresses of `registrars` that have no name.
    pub fn new(registrars: Vec<ConfiguredRegistrar>, resolver: Resolver) -> Lookup {
        let known = |registrar: ConfiguredRegistrar| {
            let addresses = registrar.address().into_iter().collect();
            Known { registrar, addresses, asked: false, told: None }
        };
        let registrars = registrars.into_iter().map(known).collect();
        Lookup { resolver, registrars, answered: 0, failed: 0, round: 0, running: JoinSet::new() }
    }

    /// Returns whether there is any name.
    pub(crate) fn is_needed(&self) -> bool {
        self.registrars.iter().any(|known| known.registrar.name().is_some())
    }

    /// Returns every address known at present, each once, in the configured order.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let mut addresses: Vec<Address> = Vec::new();
        for address in self.registrars.iter().flat_map(|known| &known.addresses) {
            let address = Address::from(*address);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// Returns every address known at present of one registrar, by its number.
    pub fn addresses_of(&self, at: usize) -> Vec<Address> {
        let addresses = self.registrars.get(at).into_iter().flat_map(|known| &known.addresses);
        addresses.map(|address| Address::from(*address)).collect()
    }

    /// Returns how many lookups have brought addresses, and how many none.
    pub fn counts(&self) -> (u64, u64) {
        (self.answered, self.failed)
    }

    /// Looks every name up that is not being looked up, once for each round.
    pub(crate) fn begin(&mut self, round: u64) {
        if std::mem::replace(&mut self.round, round) == round {
            return;
        }
        for at in 0..self.registrars.len() {
            self.look_up(at);
        }
    }

    /// Looks one registrar's name up, if it has one that is not being looked up. Returns at once.
    pub fn look_up(&mut self, at: usize) {
        let Some(known) = self.registrars.get_mut(at) else { return };
        if known.registrar.name().is_none() || std::mem::replace(&mut known.asked, true) {
            return;
        }
        let (registrar, resolver) = (known.registrar.clone(), self.resolver.clone());
        self.running.spawn(async move { (at, resolver.look_up(&registrar).await) });
    }

    /// Waits for the end of a lookup and returns every address known then. Cancel safe.
    pub(crate) async fn next(&mut self) -> Vec<Address> {
        self.ended().await;
        self.addresses()
    }

    /// Waits for the end of a lookup and returns whose it was, which has new addresses or those it had before. Cancel
    /// safe; for ever while nothing is looked up.
    pub async fn ended(&mut self) -> usize {
        loop {
            match self.running.join_next().await {
                Some(Ok((at, found))) => {
                    self.take(at, found);
                    return at;
                }
                // A task ends without an answer only with the runtime.
                Some(Err(_)) => {}
                None => std::future::pending::<()>().await,
            }
        }
    }

    fn take(&mut self, at: usize, found: io::Result<Vec<RegistrarAddress>>) {
        let known = &mut self.registrars[at];
        known.asked = false;
        let registrar = &known.registrar;
        match found {
            Ok(addresses) => {
                self.answered += 1;
                if known.told.take().is_some() {
                    info!(%registrar, "the registrar's name is known again");
                }
                known.addresses = addresses;
            }
            Err(error) => {
                self.failed += 1;
                if known.told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
                    known.told = Some(Instant::now());
                    warn!(%registrar, %error, "the registrar's name cannot be looked up, retrying");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup() -> Lookup {
        let registrars = ["192.0.2.1", "r.invalid", "192.0.2.9"].map(|text| text.parse().unwrap());
        Lookup::new(registrars.to_vec(), Resolver::default())
    }

    fn found(addresses: &[&str]) -> io::Result<Vec<RegistrarAddress>> {
        Ok(addresses.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn known(lookup: &Lookup) -> Vec<String> {
        lookup.addresses().iter().map(|address| address.ip.to_string()).collect()
    }

    #[test]
    fn what_a_name_was_found_to_be_takes_its_place_and_counts_until_it_changes() {
        let mut lookup = lookup();
        assert!(lookup.is_needed());
        assert_eq!(known(&lookup), ["192.0.2.1", "192.0.2.9"]);
        lookup.take(1, found(&["192.0.2.2", "192.0.2.1"]));
        assert_eq!(known(&lookup), ["192.0.2.1", "192.0.2.2", "192.0.2.9"]);
        lookup.take(1, Err(io::ErrorKind::TimedOut.into()));
        assert_eq!(known(&lookup), ["192.0.2.1", "192.0.2.2", "192.0.2.9"]);
        lookup.take(1, found(&["192.0.2.3"]));
        assert_eq!(known(&lookup), ["192.0.2.1", "192.0.2.3", "192.0.2.9"]);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_a_round_and_not_while_it_is_being_looked_up() {
        let mut lookup = lookup();
        lookup.begin(1);
        lookup.begin(1);
        lookup.begin(2);
        assert_eq!(lookup.running.len(), 1);
        lookup.next().await;
        lookup.begin(2);
        assert_eq!(lookup.running.len(), 0);
        lookup.begin(3);
        assert_eq!(lookup.running.len(), 1);
    }
}
