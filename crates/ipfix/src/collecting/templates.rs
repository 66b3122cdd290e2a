//! The templates of a session by domain and id, with a way back while a message is being checked.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Withdrawal;
use crate::ie::ElementDescription;
use crate::{Template, TemplateRecord};

type Key = (u32, u16);

/// Templates of one transport session (RFC 7011 section 8: scoped to session and domain).
#[derive(Debug)]
pub(super) struct Templates {
    living: BTreeMap<Key, Living>,
    /// The same, as (domain, options, id): withdrawing all of a kind must not cost a walk over the other kind.
    by_kind: BTreeSet<(u32, bool, u16)>,
    memory: usize,
    max_templates: usize,
    max_memory: usize,
    next_serial: u64,
    /// What the exporter told of its elements, by domain, enterprise and element.
    descriptions: BTreeMap<(u32, u32, u16), Described>,
    /// What each change since the last commit replaced.
    undo: Vec<(Key, Option<Living>)>,
}

#[derive(Clone, Debug)]
struct Living {
    template: Arc<Template>,
    /// Export Time, or time of reception, of the message that brought it last.
    refreshed: u32,
}

/// What an exporter told of an element.
#[derive(Debug)]
enum Described {
    As(Arc<ElementDescription>),
    /// Twice and differently: ignored (RFC 5610 section 3.9).
    Contradictory,
}

/// Elements an exporter may describe in a session; it costs a walk over the templates when it does.
const MAX_DESCRIPTIONS: usize = 1024;

/// Fields without octets a template may have. Without a bound, a message of one-octet records could make a reader
/// step over 16,000 empty fields 65,000 times.
const MAX_EMPTY_FIELDS: usize = 16;

/// What a template record did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    New,
    Same,
    Different,
    Refused,
}

impl Templates {
    pub(super) const fn new(max_templates: usize, max_memory: usize) -> Self {
        Self {
            living: BTreeMap::new(),
            by_kind: BTreeSet::new(),
            memory: 0,
            max_templates,
            max_memory,
            next_serial: 1,
            descriptions: BTreeMap::new(),
            undo: Vec::new(),
        }
    }

    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    pub(super) const fn set_max_memory(&mut self, octets: usize) {
        self.max_memory = octets;
    }

    pub(super) fn get(&self, domain: u32, id: u16) -> Option<&Arc<Template>> {
        self.living.get(&(domain, id)).map(|living| &living.template)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Template)> {
        self.iter_shared().map(|(domain, template)| (domain, &**template))
    }

    pub(super) fn iter_shared(&self) -> impl Iterator<Item = (u32, &Arc<Template>)> {
        self.living.iter().map(|(&(domain, _), living)| (domain, &living.template))
    }

    /// Takes a template record. A refused one removes the template it would have replaced: data of the new
    /// definition must not be read by the old.
    pub(super) fn define(
        &mut self,
        domain: u32,
        record: &TemplateRecord,
        refreshed: u32,
    ) -> (Change, Option<Arc<Template>>) {
        let key = (domain, record.id);
        let old = self.remove(key);
        if let Some(same) = old.as_ref().filter(|old| old.is(record)) {
            self.add(key, Arc::clone(same), refreshed);
            return (Change::Same, old);
        }
        // First of all: whoever sends millions of them is not to have each one compiled.
        if self.living.len() >= self.max_templates {
            return (Change::Refused, None);
        }
        let template = self.compile(domain, record);
        let full = self.memory + template.memory() > self.max_memory;
        let empty = record.fields.iter().filter(|field| field.length == 0).count();
        if full || template.shortest_record() == 0 || empty > MAX_EMPTY_FIELDS {
            return (Change::Refused, None);
        }
        self.next_serial += 1;
        let template = Arc::new(template);
        self.add(key, Arc::clone(&template), refreshed);
        (if old.is_some() { Change::Different } else { Change::New }, Some(template))
    }

    /// Takes in what the exporter told of an element. Returns whether that changes anything.
    pub(super) fn describe(&mut self, domain: u32, description: ElementDescription) -> bool {
        let memory = description.memory();
        let room = self.memory + memory <= self.max_memory && self.descriptions.len() < MAX_DESCRIPTIONS;
        match self.descriptions.entry((domain, description.pen, description.id)) {
            Entry::Vacant(entry) if room => {
                entry.insert(Described::As(Arc::new(description)));
                self.memory += memory;
                true
            }
            Entry::Vacant(_) => false,
            Entry::Occupied(mut entry) => match entry.get() {
                Described::As(told) if **told != description => {
                    entry.insert(Described::Contradictory);
                    true
                }
                Described::As(_) | Described::Contradictory => false,
            },
        }
    }

    /// Compiles the domain's templates anew, by what is told of their elements now. Not before the commit.
    pub(super) fn apply_descriptions(&mut self, domain: u32) {
        let of_domain = self.living.range((domain, 0)..=(domain, u16::MAX));
        let open = of_domain.filter(|(_, living)| living.template.has_unknown_elements());
        let open: Vec<(Key, TemplateRecord)> =
            open.map(|(&key, living)| (key, living.template.to_record())).collect();
        for (key, record) in open {
            let template = self.compile(domain, &record);
            let Some(living) = self.living.get_mut(&key) else { continue };
            if template.described() != living.template.described() {
                self.memory += template.memory();
                self.memory -= living.template.memory();
                living.template = Arc::new(template);
                self.next_serial += 1;
            }
        }
    }

    fn compile(&self, domain: u32, record: &TemplateRecord) -> Template {
        Template::compile_with(record, self.next_serial, |pen, id| {
            match self.descriptions.get(&(domain, pen, id))? {
                Described::As(description) => Some(Arc::clone(description)),
                Described::Contradictory => None,
            }
        })
    }

    /// Removes what `withdrawal` names. Returns whether there was any.
    pub(super) fn withdraw(&mut self, domain: u32, withdrawal: Withdrawal) -> bool {
        let (first, last, options) = match withdrawal {
            Withdrawal::One { id, options } => (id, id, options),
            Withdrawal::All { options } => (0, u16::MAX, options),
        };
        let range = (domain, options, first)..=(domain, options, last);
        let named: Vec<Key> = self.by_kind.range(range).map(|&(domain, _, id)| (domain, id)).collect();
        for &key in &named {
            self.remove(key);
        }
        !named.is_empty()
    }

    /// Makes the changes since the last commit final.
    pub(super) fn commit(&mut self) {
        self.undo.clear();
    }

    /// Takes back the changes since the last commit.
    pub(super) fn roll_back(&mut self) {
        while let Some((key, old)) = self.undo.pop() {
            self.take(key);
            if let Some(living) = old {
                self.insert(key, living);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.living.clear();
        self.by_kind.clear();
        self.descriptions.clear();
        self.memory = 0;
    }

    /// Removes templates last seen before this time. Returns how many.
    pub(super) fn expire(&mut self, before: u32) -> usize {
        let old = |(&key, living): (&Key, &Living)| (living.refreshed < before).then_some(key);
        let expired: Vec<Key> = self.living.iter().filter_map(old).collect();
        for &key in &expired {
            self.take(key);
        }
        expired.len()
    }

    fn add(&mut self, key: Key, template: Arc<Template>, refreshed: u32) {
        self.insert(key, Living { template, refreshed });
        self.undo.push((key, None));
    }

    fn remove(&mut self, key: Key) -> Option<Arc<Template>> {
        let living = self.take(key)?;
        let template = Arc::clone(&living.template);
        self.undo.push((key, Some(living)));
        Some(template)
    }

    fn insert(&mut self, key: Key, living: Living) {
        self.memory += living.template.memory();
        self.by_kind.insert((key.0, living.template.is_options(), key.1));
        self.living.insert(key, living);
    }

    fn take(&mut self, key: Key) -> Option<Living> {
        let living = self.living.remove(&key)?;
        self.memory -= living.template.memory();
        self.by_kind.remove(&(key.0, living.template.is_options(), key.1));
        Some(living)
    }
}
