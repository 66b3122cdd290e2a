//! `[class.NAME]`: how hard the transport tries to deliver the records of a class.

use std::collections::BTreeMap;

use serde::Deserialize;
use service::config::{Faults, Invalid, Period, Spanned};

use crate::export::{Class, Classes, Kind};

/// Longest name: it is a metric label.
const MAX_NAME: usize = 32;

/// All tables `[class.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct ClassTables(BTreeMap<String, Spanned<ClassTable>>);

/// `[class.NAME]`. Its key tells what kind of class it is; a class named after a kind needs none.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClassTable {
    /// The kind, where no other key tells.
    pub reliability: Option<Word>,
    /// `limited`: retransmissions of a message at most.
    pub max_retransmissions: Option<u16>,
    /// `timed`: age of a message at most.
    pub lifetime: Option<Period>,
    /// `priority`: 0 is the highest; a message gives way to those of higher classes where the send queue is full.
    pub priority: Option<u32>,
}

/// A kind of class.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Retained until a collector has it on disk.
    Reliable,
    /// Retransmitted while there is room.
    Priority,
    /// Given up after some retransmissions.
    Limited,
    /// Given up after some time.
    Timed,
    /// Never retransmitted.
    Unreliable,
}

impl Word {
    const ALL: [Self; 5] = [Self::Reliable, Self::Priority, Self::Limited, Self::Timed, Self::Unreliable];

    /// Returns the kind with the settings of a table, or their defaults.
    fn kind(self, table: ClassTable) -> Kind {
        match self {
            Self::Reliable => Kind::Reliable,
            Self::Priority => Kind::Priority { priority: table.priority.unwrap_or(0) },
            Self::Limited => Kind::Limited { max_retransmissions: table.max_retransmissions.unwrap_or(1) },
            Self::Timed => Kind::Timed { lifetime: table.lifetime.unwrap_or(Period::milliseconds(500)).0 },
            Self::Unreliable => Kind::Unreliable,
        }
    }
}

impl ClassTable {
    /// Returns the kind of the class called `name`; `Err` has what is wrong.
    fn kind(self, name: &str) -> Result<Kind, String> {
        let keys = [
            self.max_retransmissions.map(|_| ("max-retransmissions", Word::Limited)),
            self.lifetime.map(|_| ("lifetime", Word::Timed)),
            self.priority.map(|_| ("priority", Word::Priority)),
        ];
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        let named = Word::ALL.into_iter().find(|word| word.kind(Self::default()).name() == name);
        let said = self.reliability.or(named);
        match (&keys[..], said) {
            ([], Some(word)) => Ok(word.kind(self)),
            ([(_, word)], None) => Ok(word.kind(self)),
            ([(_, word)], Some(said)) if *word == said => Ok(word.kind(self)),
            ([(key, _)], Some(said)) => {
                let said = said.kind(Self::default());
                Err(format!(
                    "`{key}` does not go with a class that is {said}: give the class another name or kind"
                ))
            }
            ([], None) => Err("says nothing of its reliability: give it `max-retransmissions`, `lifetime`, \
                 `priority`, or `reliability = \"reliable\"`"
                .to_owned()),
            ([(a, _), (b, _), ..], _) => Err(format!("`{a}` and `{b}` exclude each other")),
        }
    }
}

impl ClassTables {
    /// Returns the classes, in the order of the file; class `reliable` alone where the file has none.
    pub(super) fn classes(&self) -> Result<Classes, Faults> {
        let mut tables: Vec<_> = self.0.iter().collect();
        tables.sort_by_key(|(_, table)| table.span().start);
        let (mut classes, mut faults) = (Vec::new(), Faults::default());
        for (name, table) in tables {
            let at = |message: String| Invalid::new(format!("class.{name}"), message);
            let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
            if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
                let named = format!("a class is named by 1 to {MAX_NAME} letters, digits, `-` and `_`");
                faults.add(format!("class.{name}"), named);
            }
            if let Some(kind) = faults.take(table.get_ref().kind(name).map_err(at)) {
                classes.push(Class { name: name.clone(), kind });
            }
        }
        let classes = faults.or(classes)?;
        if classes.is_empty() {
            return Ok(Classes::single(Kind::Reliable));
        }
        Ok(Classes::new(classes).map_err(|reason| Invalid::new("class", reason))?)
    }

    /// Tells whether the file has none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all classes; returns how many there were.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }
}
