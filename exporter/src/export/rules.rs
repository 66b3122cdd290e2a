//! Which class a data record goes with: rules over the values of its information elements, the first that matches.
//!
//! Rules are compiled once, per template, to offsets in the encoded record; classifying a record neither allocates
//! nor locks.

mod ranges;

use super::class::ClassIndex;
use super::templates::{DataTemplate, FieldPlace, TemplateIndex, Templates};

pub use ranges::Ranges;

/// One rule: records of these templates whose elements have these values go with this class.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The templates it is for.
    pub templates: Vec<TemplateIndex>,
    /// IANA elements with the values each may have; all must match. A record without one of the elements does not.
    pub conditions: Vec<(u16, Ranges)>,
    /// Where matching records go.
    pub class: ClassIndex,
}

/// Rules for templates that are not known in advance; whoever learns one compiles them for it.
#[derive(Clone, Debug)]
pub struct OpenRules {
    /// IANA elements with the values each may have, and where matching records go. The first rule that matches counts.
    pub rules: Vec<(Vec<(u16, Ranges)>, ClassIndex)>,
    /// Takes what none matches.
    pub rest: ClassIndex,
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
    fn reach(&self, templates: &Templates) -> impl Iterator<Item = TemplateIndex> {
        let has_all = move |index: &TemplateIndex| {
            let template = templates.get(*index);
            self.conditions.iter().all(|(element, _)| template.place_of(*element).is_some())
        };
        self.templates.iter().copied().filter(has_all)
    }

    /// Tells whether it matches every record that `other` matches, of a template that both reach.
    fn covers(&self, other: &Self) -> bool {
        let is_implied = |(element, values): &(u16, Ranges)| {
            other.conditions.iter().any(|(other, narrower)| other == element && narrower.is_within(values))
        };
        self.conditions.iter().all(is_implied)
    }
}

/// Sorts records into classes.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// By the index of the template.
    templates: Vec<Compiled>,
    /// For templates that came later.
    rest: ClassIndex,
}

/// The rules that records of one template can match.
#[derive(Clone, Debug)]
struct Compiled {
    rules: Vec<(Vec<Test>, ClassIndex)>,
}

#[derive(Clone, Debug)]
struct Test {
    place: FieldPlace,
    values: Ranges,
}

impl Classifier {
    /// Returns the classifier of these rules over records of `templates`; `rest` takes what none matches.
    ///
    /// Fails if a rule can match no record.
    pub fn new(rules: &[Rule], rest: ClassIndex, templates: &Templates) -> Result<Self, RuleError> {
        let reach: Vec<Vec<TemplateIndex>> =
            rules.iter().map(|rule| rule.reach(templates).collect()).collect();
        for (at, rule) in rules.iter().enumerate() {
            if reach[at].is_empty() {
                return Err(RuleError::NoTemplate { rule: at });
            }
            let taken =
                |index| (0..at).find(|&before| reach[before].contains(index) && rules[before].covers(rule));
            let takers: Option<Vec<usize>> = reach[at].iter().map(taken).collect();
            if let Some(&by) = takers.as_ref().and_then(|takers| takers.iter().max()) {
                return Err(RuleError::Shadowed { rule: at, by });
            }
        }
        let compiled = templates.indices().map(|index| Compiled::new(rules, index, templates.get(index)));
        Ok(Self { templates: compiled.collect(), rest })
    }

    /// Returns a classifier without rules.
    pub fn single() -> Self {
        Self { templates: Vec::new(), rest: ClassIndex::default() }
    }

    /// Tells whether some records match no rule.
    pub fn has_rest(&self) -> bool {
        let takes_all = |compiled: &Compiled| compiled.rules.iter().any(|(tests, _)| tests.is_empty());
        self.templates.is_empty() || !self.templates.iter().all(takes_all)
    }

    /// Returns the class of an encoded data record of `template`.
    #[inline]
    pub fn classify(&self, template: TemplateIndex, record: &[u8]) -> ClassIndex {
        let Some(Compiled { rules }) = self.templates.get(template.position()) else { return self.rest };
        let matching = rules.iter().find(|(tests, _)| tests.iter().all(|test| test.holds(record)));
        matching.map_or(self.rest, |(_, class)| *class)
    }
}

impl Compiled {
    fn new(rules: &[Rule], index: TemplateIndex, template: &DataTemplate) -> Self {
        let rules = rules.iter().filter(|rule| rule.templates.contains(&index));
        let compiled = rules.filter_map(|rule| {
            let tests = rule.conditions.iter().map(|(element, values)| {
                Some(Test { place: template.place_of(*element)?, values: values.clone() })
            });
            Some((tests.collect::<Option<_>>()?, rule.class))
        });
        Self { rules: compiled.collect() }
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
