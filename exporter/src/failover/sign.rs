//! Why a collector is left, and why it is not believed.

use std::fmt;

/// Why a collector is left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// The association is lost.
    Lost,
    /// The collector closed the association.
    Shutdown,
    /// No cookie for too long although records are uncovered.
    Frozen,
    /// Cookies, but no progress for too long.
    Slow,
    /// The collector asks its exporters to move.
    Draining,
    /// The association cannot carry what is to be sent, for instance for want of streams.
    Unusable,
    /// Another collector serves better.
    Rebalance,
}

impl Sign {
    /// Returns the sign as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Lost => "comm_lost",
            Self::Shutdown => "shutdown",
            Self::Frozen => "frozen",
            Self::Slow => "slow",
            Self::Draining => "draining",
            Self::Unusable => "unusable",
            Self::Rebalance => "rebalance",
        }
    }

    /// Tells whether the collector, by all signs, is gone and not just unwilling.
    pub const fn is_gone(self) -> bool {
        match self {
            Self::Lost | Self::Frozen | Self::Unusable => true,
            Self::Shutdown | Self::Slow | Self::Draining | Self::Rebalance => false,
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "association lost",
            Self::Shutdown => "collector closed the association",
            Self::Frozen => "no acknowledgement, collector frozen",
            Self::Slow => "no progress, collector too slow",
            Self::Draining => "collector is draining",
            Self::Unusable => "association cannot be used",
            Self::Rebalance => "another collector serves better",
        })
    }
}

/// Why a message on the control channel was not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieRefused {
    /// It breaks a rule, or is not signed by the pool.
    #[error(transparent)]
    Invalid(#[from] delivery::cookie::CookieError),
    /// There is no session.
    #[error("no session")]
    NoSession,
}
