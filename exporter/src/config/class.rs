//! `[class.NAME]`: how hard the transport tries to deliver flow records.

use serde::Deserialize;
use service::config::{Invalid, Period};

use crate::export::Class;

/// `[class.NAME]`: the class all flow records go with; one of them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Classes {
    /// Retained until a collector has them on disk.
    pub reliable: Option<Reliable>,
    /// Given up after some retransmissions.
    pub limited: Option<Limited>,
    /// Given up after some time.
    pub timed: Option<Timed>,
    /// Never retransmitted.
    pub unreliable: Option<Unreliable>,
}

/// `[class.reliable]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reliable {}

/// `[class.limited]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limited {
    /// Retransmissions of a message at most.
    pub max_retransmissions: u16,
}

impl Default for Limited {
    fn default() -> Self {
        Self { max_retransmissions: 1 }
    }
}

/// `[class.timed]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Timed {
    /// Age of a message at most.
    pub lifetime: Period,
}

impl Default for Timed {
    fn default() -> Self {
        Self { lifetime: Period::milliseconds(500) }
    }
}

/// `[class.unreliable]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreliable {}

impl Classes {
    /// Returns the configured class, `reliable` without any; `Err` has the names where there are several.
    pub fn class(&self) -> Result<Class, Vec<&'static str>> {
        let classes = [
            self.reliable.as_ref().map(|_| Class::Reliable),
            self.limited
                .as_ref()
                .map(|limited| Class::Limited { max_retransmissions: limited.max_retransmissions }),
            self.timed.as_ref().map(|timed| Class::Timed { lifetime: timed.lifetime.0 }),
            self.unreliable.as_ref().map(|_| Class::Unreliable),
        ];
        let configured: Vec<Class> = classes.into_iter().flatten().collect();
        match configured[..] {
            [] => Ok(Class::Reliable),
            [class] => Ok(class),
            _ => Err(configured.iter().map(|class| class.name()).collect()),
        }
    }

    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let Err(names) = self.class() else { return Ok(()) };
        let names = names.join(", ");
        Err(Invalid::new("class", format!("all records go with one class, and there are {names}")))
    }
}
