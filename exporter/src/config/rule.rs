//! `[[rule]]`: which class a record goes with.

mod condition;

use serde::Deserialize;
use service::config::{Faults, Invalid};

use super::class::ClassTables;
use crate::export::rules::Rule;
use crate::export::{ClassIndex, Classes, Classifier, FlowKind, TemplateIndex, Templates};

pub use condition::Conditions;

/// `[[rule]]`: the first that matches a record tells its class.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RuleTable {
    /// Values of information elements, all of which a record must have. Without any, every record matches.
    #[serde(default, rename = "match")]
    pub conditions: Conditions,
    /// Templates of records that match; all without it.
    #[serde(default)]
    pub template: Option<TemplateNames>,
    /// Name of the class.
    pub class: String,
}

/// One template or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum TemplateNames {
    /// One.
    One(TemplateName),
    /// Several.
    Many(Vec<TemplateName>),
}

/// The name of a template.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateName {
    /// IPv4 with ports.
    Ipv4,
    /// IPv4 and ICMP.
    Ipv4Icmp,
    /// IPv6 with ports.
    Ipv6,
    /// IPv6 and ICMPv6.
    Ipv6Icmp,
}

impl TemplateName {
    const fn kind(self) -> FlowKind {
        match self {
            Self::Ipv4 => FlowKind::Ipv4,
            Self::Ipv4Icmp => FlowKind::Ipv4Icmp,
            Self::Ipv6 => FlowKind::Ipv6,
            Self::Ipv6Icmp => FlowKind::Ipv6Icmp,
        }
    }
}

impl RuleTable {
    fn templates(&self, templates: &Templates) -> Vec<TemplateIndex> {
        let named = |name: &TemplateName| templates.named(name.kind().name());
        match &self.template {
            None => templates.indices().collect(),
            Some(TemplateNames::One(name)) => named(name).collect(),
            Some(TemplateNames::Many(names)) => names.iter().flat_map(named).collect(),
        }
    }
}

/// Returns the classes and what sorts records into them.
///
/// Fails where a rule names a class that there is not, a rule or a class can be reached by no record, or a record by no
/// class.
pub(super) fn compile(
    tables: &ClassTables,
    rules: &[RuleTable],
    templates: &Templates,
) -> Result<(Classes, Classifier), Faults> {
    let classes = tables.classes()?;
    let rules = resolve(rules, &classes, templates)?;
    let unnamed = classes.iter().filter(|(index, _)| rules.iter().all(|rule| rule.class != *index));
    let unnamed: Vec<ClassIndex> = unnamed.map(|(index, _)| index).collect();
    let rest = unnamed.first().copied();
    let classifier = Classifier::new(&rules, rest.unwrap_or_default(), templates)
        .map_err(|error| Invalid::new(format!("rule.{}", error.rule()), error.to_string()))?;
    let name = |index: ClassIndex| &*classes.get(index).name;
    let mut faults = Faults::default();
    match &unnamed[..] {
        [] if classifier.has_rest() => faults.add(
            "rule",
            "records that match no rule have no class: add a last `[[rule]]` with only a `class`, or leave one class to \
             them that no rule names",
        ),
        [only] if !classifier.has_rest() => {
            faults.add(format!("class.{}", name(*only)), "no record comes here: the rules take them all");
        }
        [] => {}
        [first, others @ ..] => others.iter().for_each(|other| {
            let message = format!(
                "no record comes here: add a `[[rule]]` with `class = \"{}\"` (what matches no rule can go with one class \
                 only, and `{}` is not named by a rule either)",
                name(*other),
                name(*first)
            );
            faults.add(format!("class.{}", name(*other)), message);
        }),
    }
    faults.or((classes, classifier))
}

/// Returns the rules with the classes that they name.
fn resolve(rules: &[RuleTable], classes: &Classes, templates: &Templates) -> Result<Vec<Rule>, Faults> {
    let (mut resolved, mut faults) = (Vec::new(), Faults::default());
    for (at, rule) in rules.iter().enumerate() {
        let class = classes.find(&rule.class).ok_or_else(|| {
            let names = classes.iter().map(|(_, class)| &*class.name);
            Invalid::unknown(format!("rule.{at}.class"), "class", &rule.class, names)
        });
        let Some(class) = faults.take(class) else { continue };
        let conditions = rule.conditions.0.clone();
        resolved.push(Rule { templates: rule.templates(templates), conditions, class });
    }
    faults.or(resolved)
}
