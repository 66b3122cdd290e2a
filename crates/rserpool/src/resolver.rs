//! What looks DNS names up.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::{ConfiguredRegistrar, RegistrarAddress};

/// Addresses taken from one name.
const MAX_ADDRESSES: usize = 16;

/// The addresses of a name, sooner or later.
type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks names up: the host's resolver, or any other.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(String) -> Answer + Send + Sync>);

impl Default for Resolver {
    /// The host's, in a thread of its own.
    fn default() -> Resolver {
        Resolver::new(async |name: String| {
            // The port is part of what is asked and of nothing that is answered.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

impl Resolver {
    /// Returns a resolver that asks `answer` for the addresses of each name.
    pub fn new<F, A>(answer: F) -> Resolver
    where
        F: Fn(String) -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        Resolver(Arc::new(move |name| Box::pin(answer(name))))
    }

    /// Returns the registrar's addresses at present, each once, 16 at most, in the order they are told in; its own where
    /// it has no name.
    ///
    /// Fails where the name has none.
    pub async fn look_up(&self, registrar: &ConfiguredRegistrar) -> io::Result<Vec<RegistrarAddress>> {
        let Some(name) = registrar.name() else { return Ok(registrar.address().into_iter().collect()) };
        let mut addresses = Vec::new();
        for ip in (self.0)(name.to_owned()).await? {
            let address = registrar.at(ip);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
