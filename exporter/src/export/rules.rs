//! Which class a data record goes with: rules over the values of its information elements, the first that matches.
//!
//! Rules are compiled once, per template, to offsets in the encoded record; classifying a record neither allocates
//! nor locks.

mod ranges;

use super::class::ClassIndex;
use super::templates::{FieldPlace, FlowTemplate};

pub use ranges::Ranges;

/// One rule: records of these templates whose elements have these values go with this class.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The templates it is for.
    pub templates: Vec<FlowTemplate>,
    /// IANA elements with the values each may have; all must match. A record without one of the elements does not.
    pub conditions: Vec<(u16, Ranges)>,
    /// Where matching records go.
    pub class: ClassIndex,
}

/// Why rules are refused; `rule` counts from 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// No template has all elements of the rule.
    #[error("matches no record: no template has all these elements")]
    NoTemplate {
        /// The rule.
        rule: usize,
    },
    /// An earlier rule takes every record that this one would.
    #[error("matches no record: rule {} takes them all before it", by + 1)]
    Shadowed {
        /// The rule.
        rule: usize,
        /// The earlier one.
        by: usize,
    },
}

impl RuleError {
    /// Returns which rule it is about.
    pub const fn rule(self) -> usize {
        match self {
            Self::NoTemplate { rule } | Self::Shadowed { rule, .. } => rule,
        }
    }
}

impl Rule {
    /// Returns the templates whose records can match.
    fn reach(&self) -> impl Iterator<Item = FlowTemplate> + '_ {
        let has_all = |template: &FlowTemplate| {
            self.conditions.iter().all(|(element, _)| template.place_of(*element).is_some())
        };
        self.templates.iter().copied().filter(has_all)
    }

    /// Tells whether it matches every record of `template` that `other` matches.
    fn covers(&self, other: &Self, template: FlowTemplate) -> bool {
        let is_implied = |(element, values): &(u16, Ranges)| {
            other.conditions.iter().any(|(other, narrower)| other == element && narrower.is_within(values))
        };
        self.reach().any(|reached| reached == template) && self.conditions.iter().all(is_implied)
    }
}

/// Sorts records into classes.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// By template, in the order of [`FlowTemplate::ALL`].
    templates: [Compiled; FlowTemplate::ALL.len()],
}

/// The rules that records of one template can match.
#[derive(Clone, Debug)]
struct Compiled {
    rules: Vec<(Vec<Test>, ClassIndex)>,
    rest: ClassIndex,
}

#[derive(Clone, Debug)]
struct Test {
    place: FieldPlace,
    values: Ranges,
}

impl Classifier {
    /// Returns the classifier of these rules; `rest` takes what none matches.
    ///
    /// Fails if a rule can match no record.
    pub fn new(rules: &[Rule], rest: ClassIndex) -> Result<Self, RuleError> {
        for (at, rule) in rules.iter().enumerate() {
            if rule.reach().next().is_none() {
                return Err(RuleError::NoTemplate { rule: at });
            }
            let taken = |template| rules[..at].iter().position(|before| before.covers(rule, template));
            let takers: Option<Vec<usize>> = rule.reach().map(taken).collect();
            if let Some(&by) = takers.as_ref().and_then(|takers| takers.iter().max()) {
                return Err(RuleError::Shadowed { rule: at, by });
            }
        }
        Ok(Self { templates: FlowTemplate::ALL.map(|template| Compiled::new(rules, template, rest)) })
    }

    /// Returns a classifier without rules.
    pub fn single() -> Self {
        let compiled = || Compiled { rules: Vec::new(), rest: ClassIndex::default() };
        Self { templates: FlowTemplate::ALL.map(|_| compiled()) }
    }

    /// Tells whether some records match no rule.
    pub fn has_rest(&self) -> bool {
        let takes_all = |compiled: &Compiled| compiled.rules.iter().any(|(tests, _)| tests.is_empty());
        !self.templates.iter().all(takes_all)
    }

    /// Returns the class of an encoded data record of `template`.
    #[inline]
    pub fn classify(&self, template: FlowTemplate, record: &[u8]) -> ClassIndex {
        let Compiled { rules, rest } = &self.templates[template as usize - 1];
        let matching = rules.iter().find(|(tests, _)| tests.iter().all(|test| test.holds(record)));
        matching.map_or(*rest, |(_, class)| *class)
    }
}

impl Compiled {
    fn new(rules: &[Rule], template: FlowTemplate, rest: ClassIndex) -> Self {
        let rules = rules.iter().filter(|rule| rule.templates.contains(&template));
        let compiled = rules.filter_map(|rule| {
            let tests = rule.conditions.iter().map(|(element, values)| {
                Some(Test { place: template.place_of(*element)?, values: values.clone() })
            });
            Some((tests.collect::<Option<_>>()?, rule.class))
        });
        Self { rules: compiled.collect(), rest }
    }
}

impl Test {
    #[inline]
    fn holds(&self, record: &[u8]) -> bool {
        let FieldPlace { offset, length } = self.place;
        match record.get(offset..offset + length) {
            Some(octets) => self.values.contain(octets),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
