//! The section `[profile]` of a daemon's configuration: timers by name.

use serde::Deserialize;

/// The section `[profile]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// Which set of timers.
    pub timers: Timers,
}

/// The name of a set of timers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Timers {
    /// Notices a dead peer within about two seconds; a registrar finds a dead pool element within 3.5 s.
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

    /// Returns the timers of RSerPool's protocols.
    pub const fn rserpool(self) -> rserpool_proto::Profile {
        match self {
            Timers::Fast => rserpool_proto::Profile::FAST,
            Timers::Rfc => rserpool_proto::Profile::RFC,
            Timers::Rsplib => rserpool_proto::Profile::RSPLIB,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, MapDeserializer};

    use super::*;

    fn parse(key: &str, name: &str) -> Result<Timers, Error> {
        let section = MapDeserializer::new([(key, name)].into_iter());
        Ok(ProfileConfig::deserialize(section.into_deserializer())?.timers)
    }

    #[test]
    fn the_timers_are_chosen_by_name() {
        for name in ["fast", "rfc", "rsplib"] {
            let timers = parse("timers", name).unwrap();
            assert_eq!((timers.transport().name, timers.rserpool().name), (name, name));
        }
        assert_eq!(ProfileConfig::default().timers, Timers::Fast);
    }

    #[test]
    fn an_unknown_name_or_key_is_refused() {
        assert!(parse("timers", "slow").unwrap_err().to_string().contains("slow"));
        assert!(parse("timer", "fast").unwrap_err().to_string().contains("timer"));
    }
}
