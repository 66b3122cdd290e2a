//! What a consumer derives from a template, kept by the template's serial, in bounded memory.

use std::collections::HashMap;

use ipfix::Template;

/// What was derived from the templates of one session.
#[derive(Debug)]
pub struct Plans<T> {
    plans: Vec<T>,
    /// Place in `plans` by [`Template::serial`].
    places: HashMap<u64, usize>,
    latest: Option<(u64, usize)>,
    octets: usize,
    max_octets: usize,
}

impl<T> Plans<T> {
    /// Nothing yet. Beyond `max_octets` everything is forgotten and derived again.
    pub fn new(max_octets: usize) -> Self {
        Self { plans: Vec::new(), places: HashMap::new(), latest: None, octets: 0, max_octets }
    }

    /// Returns what was derived from `template`; where nothing was, `compile` does it and tells its octets.
    #[inline]
    pub fn of(&mut self, template: &Template, compile: impl FnOnce(&Template) -> (T, usize)) -> &mut T {
        let serial = template.serial();
        let place = match self.latest {
            Some((latest, place)) if latest == serial => place,
            _ => self.place(serial, template, compile),
        };
        self.latest = Some((serial, place));
        &mut self.plans[place]
    }

    fn place(
        &mut self,
        serial: u64,
        template: &Template,
        compile: impl FnOnce(&Template) -> (T, usize),
    ) -> usize {
        if let Some(&place) = self.places.get(&serial) {
            return place;
        }
        let (plan, octets) = compile(template);
        if self.octets + octets > self.max_octets {
            *self = Self::new(self.max_octets);
        }
        self.octets += octets;
        self.plans.push(plan);
        self.places.insert(serial, self.plans.len() - 1);
        self.plans.len() - 1
    }
}
