//! Which templates of version 9 a source has, and where times by uptime are in their records.
//!
//! The definitions are in the IPFIX session, which forgets a template no sooner than it is forgotten here.

use std::collections::BTreeMap;

/// Templates of one source, as many as its session keeps.
const MAX_TEMPLATES: usize = 1024;
/// Times of one template that are made absolute. There is no reason for more than two.
pub(super) const MAX_TIMES: usize = 4;

/// By source ID and template ID.
#[derive(Debug, Default)]
pub(super) struct Templates(BTreeMap<(u32, u16), Known>);

#[derive(Debug)]
struct Known {
    plan: Option<Plan>,
    /// When it came last.
    received: u32,
}

/// How records with times by uptime are laid out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    /// Octets of a record.
    pub(super) length: usize,
    times: [usize; MAX_TIMES],
    count: usize,
}

impl Plan {
    /// Returns the plan of records of `length` octets with times at these offsets; None without any.
    pub(super) fn new(length: usize, offsets: &[usize]) -> Option<Self> {
        let mut times = [0; MAX_TIMES];
        let count = offsets.len().min(MAX_TIMES);
        times[..count].copy_from_slice(&offsets[..count]);
        (count > 0).then_some(Self { length, times, count })
    }

    /// Where in a record the times are.
    pub(super) fn times(&self) -> &[usize] {
        &self.times[..self.count]
    }
}

impl Templates {
    /// Takes in a template. Returns whether there is room for it.
    pub(super) fn define(
        &mut self,
        key: (u32, u16),
        plan: Option<Plan>,
        (received, lifetime): (u32, u32),
    ) -> bool {
        if self.0.len() >= MAX_TEMPLATES && !self.0.contains_key(&key) {
            let oldest = received.saturating_sub(lifetime);
            self.0.retain(|_, known| known.received >= oldest);
            if self.0.len() >= MAX_TEMPLATES {
                return false;
            }
        }
        self.0.insert(key, Known { plan, received });
        true
    }

    /// Takes in a template of our own. Returns whether the session may need it again.
    pub(super) fn is_due(&mut self, key: (u32, u16), times: (u32, u32)) -> bool {
        let fresh = |known: &Known| times.0.saturating_sub(known.received) < times.1 / 3;
        !self.0.get(&key).is_some_and(fresh) && self.define(key, None, times)
    }

    /// Returns the plan of a template, however old.
    pub(super) fn plan(&self, key: (u32, u16)) -> Option<Plan> {
        self.0.get(&key)?.plan
    }

    /// Returns a template's plan, which it has if its records have times. None: there is no such template, or it is too old.
    pub(super) fn get(&self, key: (u32, u16), (received, lifetime): (u32, u32)) -> Option<Option<Plan>> {
        let known = self.0.get(&key)?;
        (known.received >= received.saturating_sub(lifetime)).then_some(known.plan)
    }
}
