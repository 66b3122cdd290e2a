//! The templates of what routers send, as the relay sends them: shared by all its threads, since routers of one make have the same.
//!
//! The lock is taken where a source has a template that it had not before, never for a record. Templates are never forgotten, and bounded: what
//! is beyond the bounds is refused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipfix::{FieldSpecifier, TemplateRecord};

use crate::export::{TemplateIndex, Templates};

/// Octets of the template records of one table at most: so many fit, all together, at the beginning of a segment of the spool.
const MAX_OCTETS: usize = 60_000;

/// The tables of data records and of options records.
#[derive(Debug, Default)]
pub struct Catalog {
    tables: Mutex<Tables>,
    /// How many templates there are in both.
    count: AtomicUsize,
}

/// What the catalog has.
#[derive(Clone, Debug, Default)]
struct Tables {
    /// Of flow records.
    flows: Templates,
    /// Of options records, whose places are those of stream 0.
    options: Templates,
    places: HashMap<(u16, Vec<FieldSpecifier>), TemplateIndex>,
    octets: [usize; 2],
}

impl Catalog {
    /// Returns the place of a template, which is given one if it has none; none if it is not valid, or there is no room.
    pub fn place(&self, scope_fields: u16, fields: Vec<FieldSpecifier>) -> Option<TemplateIndex> {
        let mut tables = self.lock();
        let key = (scope_fields, fields);
        if let Some(known) = tables.places.get(&key) {
            return Some(*known);
        }
        let record = TemplateRecord { id: ipfix::FIRST_TEMPLATE_ID, scope_fields, fields: key.1.clone() };
        record.validate().ok()?;
        let (table, is_options) = (usize::from(record.is_options()), record.is_options());
        let octets = tables.octets[table] + record.wire_length();
        if octets > MAX_OCTETS {
            return None;
        }
        let into = if is_options { &mut tables.options } else { &mut tables.flows };
        let index = into.add_unnamed(scope_fields, record.fields)?;
        tables.octets[table] = octets;
        tables.places.insert(key, index);
        self.count.store(tables.flows.len() + tables.options.len(), Ordering::Release);
        Some(index)
    }

    /// Returns how many templates there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Returns the tables as they are.
    pub fn tables(&self) -> (Templates, Templates) {
        let tables = self.lock();
        (tables.flows.clone(), tables.options.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(ids: impl IntoIterator<Item = u16>) -> Vec<FieldSpecifier> {
        ids.into_iter().map(|id| FieldSpecifier::iana(id, 4)).collect()
    }

    #[test]
    fn what_several_sources_have_is_there_once_and_options_are_apart() {
        let catalog = Catalog::default();
        let first = catalog.place(0, fields([8, 12])).unwrap();
        assert_eq!(catalog.place(0, fields([8, 12])), Some(first));
        let options = catalog.place(1, fields([8, 12])).unwrap();
        let second = catalog.place(0, fields([12, 8])).unwrap();
        assert_eq!([first, options, second].map(TemplateIndex::position), [0, 0, 1]);
        let (flows, of_options) = catalog.tables();
        assert_eq!((flows.len(), of_options.len(), catalog.count()), (2, 1, 3));
        assert_eq!(of_options.get(options).scope_fields(), 1);
    }

    #[test]
    fn there_is_a_bound_on_octets_and_what_is_known_stays() {
        let catalog = Catalog::default();
        let known = catalog.place(0, fields([8])).unwrap();
        let mut taken = 0_u16;
        while catalog.place(0, fields(1..=100 + taken)).is_some() {
            taken += 1;
        }
        assert!((50..200).contains(&taken), "{taken}");
        assert_eq!(catalog.place(0, fields([8])), Some(known));
        assert!(catalog.place(1, fields([8])).is_some(), "options have room of their own");
        assert_eq!(catalog.place(0, Vec::new()), None, "no template");
    }
}
