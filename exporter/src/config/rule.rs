//! `[[rule]]`: which class a record goes with.

mod condition;

use serde::Deserialize;
use service::config::{Faults, Invalid};

use super::class::ClassTables;
use crate::export::rules::{Ranges, Rule};
use crate::export::{ClassIndex, Classes, Classifier, FlowKind, OpenRules, TemplateIndex, Templates};

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
    let rules: Vec<Rule> = resolve(rules, &classes)?
        .into_iter()
        .map(|(rule, class)| {
            let conditions = rule.conditions.0.clone();
            Rule { templates: rule.templates(templates), conditions, class }
        })
        .collect();
    let unnamed = unnamed(&classes, rules.iter().map(|rule| rule.class));
    let rest = unnamed.first().copied();
    let classifier = Classifier::new(&rules, rest.unwrap_or_default(), templates)
        .map_err(|error| Invalid::new(format!("rule.{}", error.rule()), error.to_string()))?;
    check_rest(&classes, &unnamed, classifier.has_rest())?;
    Ok((classes, classifier))
}

/// Returns the classes and the rules for records whose templates come later.
///
/// Fails where a rule names a class that there is not, or a template, where a rule or a class can be reached by no record, or a record
/// by no class.
pub(super) fn compile_open(
    tables: &ClassTables,
    rules: &[RuleTable],
) -> Result<(Classes, OpenRules), Faults> {
    let classes = tables.classes()?;
    let mut faults = Faults::default();
    let mut compiled: Vec<(Vec<(u16, Ranges)>, ClassIndex)> = Vec::new();
    for (at, (rule, class)) in resolve(rules, &classes)?.into_iter().enumerate() {
        if rule.template.is_some() {
            let message = "names templates of `[source]`, and `[relay]` has those of routers";
            faults.add(format!("rule.{at}.template"), message);
        }
        if let Some(by) = compiled.iter().position(|(conditions, _)| conditions.is_empty()) {
            let message = format!("matches no record: rule {} takes them all before it", by + 1);
            faults.add(format!("rule.{at}"), message);
        }
        compiled.push((rule.conditions.0.clone(), class));
    }
    let unnamed = unnamed(&classes, compiled.iter().map(|(_, class)| *class));
    let has_rest = compiled.iter().all(|(conditions, _)| !conditions.is_empty());
    faults.take(check_rest(&classes, &unnamed, has_rest));
    let rest = unnamed.first().copied().unwrap_or_default();
    faults.or((classes, OpenRules { rules: compiled, rest }))
}

/// Returns the rules with the classes that they name.
fn resolve<'a>(
    rules: &'a [RuleTable],
    classes: &Classes,
) -> Result<Vec<(&'a RuleTable, ClassIndex)>, Faults> {
    let (mut resolved, mut faults) = (Vec::new(), Faults::default());
    for (at, rule) in rules.iter().enumerate() {
        let class = classes.find(&rule.class).ok_or_else(|| {
            let names = classes.iter().map(|(_, class)| &*class.name);
            Invalid::unknown(format!("rule.{at}.class"), "class", &rule.class, names)
        });
        let Some(class) = faults.take(class) else { continue };
        resolved.push((rule, class));
    }
    faults.or(resolved)
}

/// Returns the classes that are none of these.
fn unnamed(classes: &Classes, named: impl Iterator<Item = ClassIndex>) -> Vec<ClassIndex> {
    let named: Vec<ClassIndex> = named.collect();
    classes.iter().map(|(index, _)| index).filter(|index| !named.contains(index)).collect()
}

/// Looks whether records that match no rule have one class, and whether every class has records.
fn check_rest(classes: &Classes, unnamed: &[ClassIndex], has_rest: bool) -> Result<(), Faults> {
    let name = |index: ClassIndex| &*classes.get(index).name;
    let mut faults = Faults::default();
    match unnamed {
        [] if has_rest => faults.add(
            "rule",
            "records that match no rule have no class: add a last `[[rule]]` with only a `class`, or leave one class to \
             them that no rule names",
        ),
        [only] if !has_rest => {
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
    faults.or(())
}
