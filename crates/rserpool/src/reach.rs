//! Looks at a pool from outside: whether a registrar answers, who is in the pool, and whether a peer is there.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use transport::{ConnectError, Connector, PeerAddress, ShutdownError};

use crate::{PoolUser, PoolUserConfig, RegistrarAddress, Selected};

/// Elements that [`reach`] tells about.
pub const LISTED: usize = 16;
/// How long the end of a visit may take.
const CLOSING: Duration = Duration::from_secs(2);

/// What [`reach`] found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reached {
    /// The registrar that answered, if any did.
    pub registrar: Option<RegistrarAddress>,
    /// How many elements it knows; none where it knows no such pool, or did not say so in time.
    pub elements: Option<usize>,
    /// The first [`LISTED`] of them, by their identifiers. What has no transport of ours is left out.
    pub first: Vec<Selected>,
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
    let state = state.borrow().clone();
    let mut first = Vec::new();
    for member in state.members.iter().take(LISTED) {
        first.extend(user.element(member.pe).await);
    }
    let elements = (state.elements > 0).then_some(state.elements);
    Reached { registrar: state.registrar, elements, first }
}

/// A peer that [`visit`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Visit {
    /// Where it was reached.
    pub peer: PeerAddress,
    /// How long it took until the association was up.
    pub setup: Duration,
}

impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: connected in {:.1} ms", self.peer, self.setup.as_secs_f64() * 1e3)
    }
}

/// Why [`visit`] found nobody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisitError {
    /// No association came up.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// None came up in time.
    #[error("{0}: no answer within {seconds} s", seconds = .1.as_secs())]
    TimedOut(PeerAddress, Duration),
    /// It was up, and did not end as it should.
    #[error("{0}: connected, and then: {1}")]
    Closing(PeerAddress, ShutdownError),
}

impl VisitError {
    /// Returns one line that says what to do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Connect(ConnectError::Refused(_) | ConnectError::Unreachable(_)) => {
                "start it there, or let what it listens on through to it: `ss -lntup` on that host shows whether it listens"
            }
            Self::Connect(ConnectError::NoSctp { .. }) => "modprobe sctp on that host",
            // A server refuses a client's certificate only after the client's handshake (RFC 8446 section 4.4.2.4).
            Self::Connect(ConnectError::Tls(..)) | Self::Closing(PeerAddress::Tls(_), _) => {
                "both sides need certificates that the other's [tls] believes: see docs/tls.md"
            }
            Self::Connect(ConnectError::TimedOut(_)) | Self::TimedOut(..) => {
                "let UDP (SCTP: the encapsulation port) or TCP through on the way there, and back"
            }
            Self::Closing(..) => "its log says why it ended the association",
            Self::Connect(_) => "`ip route get` with that address shows what this host knows",
        }
    }
}

/// Sets up an association with a peer, at whichever of its addresses answers, and closes it gracefully; nothing is sent over it.
/// Takes `patience` and some seconds at most. Must run within a tokio runtime.
///
/// Fails where no association came up, and where it did not end as it should.
pub async fn visit(
    connector: &Connector,
    addresses: &[PeerAddress],
    patience: Duration,
) -> Result<Visit, VisitError> {
    let first = *addresses.first().ok_or(ConnectError::NoAddress)?;
    #[expect(clippy::disallowed_methods, reason = "driver: measures how long it takes")]
    let begin = Instant::now();
    let connected = timeout(patience, connector.connect_any(addresses)).await;
    let mut association = connected.map_err(|_| VisitError::TimedOut(first, patience))??;
    let visit = Visit { peer: association.peer(), setup: begin.elapsed() };
    let closed = association.shutdown(CLOSING).await;
    closed.map_err(|error| VisitError::Closing(visit.peer, error))?;
    Ok(visit)
}
