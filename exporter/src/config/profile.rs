//! `[profile]`: timers by name.

use serde::Deserialize;

/// `[profile]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Profile {
    /// Which set of timers.
    pub timers: Timers,
}

/// A set of timers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Timers {
    /// Notices a dead peer within about two seconds.
    #[default]
    Fast,
    /// The values of RFC 9260 section 16 and RFC 5352 section 7.
    Rfc,
    /// The reference implementation's.
    Rsplib,
}

impl Timers {
    /// Returns the timers of associations.
    pub const fn transport(self) -> transport::Profile {
        match self {
            Timers::Fast => transport::Profile::fast(),
            Timers::Rfc => transport::Profile::rfc(),
            Timers::Rsplib => transport::Profile::rsplib(),
        }
    }

    /// Returns the timers towards registrars.
    pub const fn rserpool(self) -> rserpool::Profile {
        match self {
            Timers::Fast => rserpool::Profile::FAST,
            Timers::Rfc => rserpool::Profile::RFC,
            Timers::Rsplib => rserpool::Profile::RSPLIB,
        }
    }
}
