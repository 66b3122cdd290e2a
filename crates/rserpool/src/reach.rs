//! Asks the registrars once: whether one answers, and who is in a pool.

use std::time::Duration;

use tokio::time::timeout;
use transport::Connector;

use crate::{PoolUser, PoolUserConfig, RegistrarAddress};

/// What [`reach`] found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reached {
    /// The registrar that answered, if any did.
    pub registrar: Option<RegistrarAddress>,
    /// How many elements it knows; none where it knows no such pool, or did not say so in time.
    pub elements: Option<usize>,
}

/// Looks for a registrar and resolves the pool as a pool user does, and forgets both. Takes `patience` at most. Must run within
/// a tokio runtime.
pub async fn reach(config: PoolUserConfig, connector: impl Into<Connector>, patience: Duration) -> Reached {
    let user = PoolUser::spawn(config, connector);
    user.resolve();
    let mut state = user.state();
    let answered =
        state.wait_for(|state| state.registrar.is_some() && (state.pool_unknown || state.elements > 0));
    // What is known by then counts.
    drop(timeout(patience, answered).await);
    let state = state.borrow();
    Reached { registrar: state.registrar, elements: (state.elements > 0).then_some(state.elements) }
}
