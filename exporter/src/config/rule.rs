//! `[[rule]]`: which class a record goes with.

mod condition;

use serde::Deserialize;
use service::config::Invalid;

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
) -> Result<(Classes, Classifier), Invalid> {
    let classes = tables.classes()?;
    let mut compiled = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let class = class(&classes, rule, at)?;
        let conditions = rule.conditions.0.clone();
        compiled.push(Rule { templates: rule.templates(templates), conditions, class });
    }
    let unnamed = unnamed(&classes, compiled.iter().map(|rule| rule.class));
    let rest = unnamed.first().copied();
    let classifier = Classifier::new(&compiled, rest.unwrap_or_default(), templates)
        .map_err(|error| Invalid::new(format!("rule.{}", error.rule()), error.to_string()))?;
    check_rest(&classes, &unnamed, classifier.has_rest())?;
    Ok((classes, classifier))
}

/// Returns the classes and the rules for records whose templates come later.
///
/// Fails where a rule names a class that there is not, or a template, and where a class can be reached by no record, or a record by
/// no class.
pub(super) fn compile_open(
    tables: &ClassTables,
    rules: &[RuleTable],
) -> Result<(Classes, OpenRules), Invalid> {
    let classes = tables.classes()?;
    let mut compiled: Vec<(Vec<(u16, Ranges)>, ClassIndex)> = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        if rule.template.is_some() {
            let message = "names templates of `[source]`, and `[relay]` has those of routers";
            return Err(Invalid::new(format!("rule.{at}.template"), message));
        }
        if let Some(by) = compiled.iter().position(|(conditions, _)| conditions.is_empty()) {
            let message = format!("matches no record: rule {} takes them all before it", by + 1);
            return Err(Invalid::new(format!("rule.{at}"), message));
        }
        compiled.push((rule.conditions.0.clone(), class(&classes, rule, at)?));
    }
    let unnamed = unnamed(&classes, compiled.iter().map(|(_, class)| *class));
    let has_rest = compiled.iter().all(|(conditions, _)| !conditions.is_empty());
    check_rest(&classes, &unnamed, has_rest)?;
    let rest = unnamed.first().copied().unwrap_or_default();
    Ok((classes, OpenRules { rules: compiled, rest }))
}

fn class(classes: &Classes, rule: &RuleTable, at: usize) -> Result<ClassIndex, Invalid> {
    classes.find(&rule.class).ok_or_else(|| {
        let names = classes.iter().map(|(_, class)| &*class.name);
        Invalid::unknown(format!("rule.{at}.class"), "class", &rule.class, names)
    })
}

/// Returns the classes that are none of these.
fn unnamed(classes: &Classes, named: impl Iterator<Item = ClassIndex>) -> Vec<ClassIndex> {
    let named: Vec<ClassIndex> = named.collect();
    classes.iter().map(|(index, _)| index).filter(|index| !named.contains(index)).collect()
}

/// Looks whether records that match no rule have one class, and whether every class has records.
fn check_rest(classes: &Classes, unnamed: &[ClassIndex], has_rest: bool) -> Result<(), Invalid> {
    let name = |index: ClassIndex| &*classes.get(index).name;
    match *unnamed {
        [] if has_rest => Err(Invalid::new(
            "rule",
            "records that match no rule have no class: add a last `[[rule]]` with only a `class`, or leave one class to \
             them that no rule names",
        )),
        [only] if !has_rest => Err(Invalid::new(
            format!("class.{}", name(only)),
            "no record comes here: the rules take them all",
        )),
        [] | [_] => Ok(()),
        [first, second, ..] => Err(Invalid::new(
            format!("class.{}", name(second)),
            format!(
                "no record comes here: add a `[[rule]]` with `class = \"{}\"` (what matches no rule can go with one class \
                 only, and `{}` is not named by a rule either)",
                name(second),
                name(first)
            ),
        )),
    }
}
