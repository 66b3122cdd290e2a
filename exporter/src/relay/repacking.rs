//! Records of one source, made records of the relay (RFC 7119): the octets as they came, and behind those of flow records, before those of
//! options records, whence they came: originalExporterIPv4Address or originalExporterIPv6Address and originalObservationDomainId.
//!
//! A template is planned once; a record is copied. What names the source already is passed on as it is: another mediator was before us.

use std::net::IpAddr;
use std::sync::Arc;

use delivery::{ClassRecord, SessionRecord, StatisticsRecord};
use intake::Plans;
use ipfix::{FieldSpecifier, PlanField, Record, Template};

use super::catalog::Catalog;
use crate::export::templates::UNTOLD;
use crate::export::{ClassIndex, Classes, OpenRules, TemplateIndex};
use crate::observe::Batch;

const ORIGINAL_EXPORTER_IPV4: u16 = 403;
const ORIGINAL_EXPORTER_IPV6: u16 = 404;
const ORIGINAL_OBSERVATION_DOMAIN: u16 = 405;
/// templateId and dataRecordsReliability (RFC 6526 section 4.2): about the templates of a session that ends here.
const DATA_RECORDS_RELIABILITY: [(u32, u16); 2] = [(0, 145), (0, 276)];
/// Octets of a record at most: a message, without its header and that of a set.
const MAX_RECORD: usize = 65_535 - 16 - 4;
/// Octets of plans kept for one source. Whoever has more templates has them planned again and again.
const PLAN_OCTETS: usize = 64 << 10;

/// What all sources of a socket need.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) catalog: Arc<Catalog>,
    pub(super) classes: Arc<Classes>,
    pub(super) rules: Arc<OpenRules>,
}

/// What has become of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Flow,
    Options,
    /// About the session between the source and the relay.
    Ignored,
    /// The table of templates has no room for its template.
    TableFull,
    /// No message can hold it with what is added.
    TooLong,
}

/// The records of one source.
#[derive(Debug)]
pub(super) struct Repacking {
    exporter: IpAddr,
    plans: Plans<Plan>,
    /// Of templates that lists name.
    named: Plans<Option<TemplateIndex>>,
    /// Where the lists of the record at hand name templates.
    names: Vec<(usize, Option<TemplateIndex>)>,
}

#[derive(Debug)]
enum Plan {
    Flow { template: TemplateIndex, added: Added, rules: Vec<Applied>, has_lists: bool },
    Options { template: TemplateIndex, added: Added },
    Ignored,
    Refused,
}

/// A rule that records of a template can match.
#[derive(Debug)]
struct Applied {
    /// Its place among the rules.
    rule: usize,
    /// Of its conditions, those on fields of the record: place of the condition, place of the field.
    tests: Box<[(usize, usize)]>,
}

/// What is added to each record of a template: octets of a source address and a domain.
#[derive(Clone, Copy, Debug)]
struct Added {
    octets: [u8; 20],
    address: usize,
    length: usize,
}

impl Added {
    /// What the template does not tell.
    fn to(template: &Template, exporter: IpAddr, domain: u32) -> Self {
        let has = |element| template.position(0, element).is_some();
        let mut added = Self { octets: [0; 20], address: 0, length: 0 };
        if !has(ORIGINAL_EXPORTER_IPV4) && !has(ORIGINAL_EXPORTER_IPV6) {
            match exporter {
                IpAddr::V4(address) => added.push(&address.octets()),
                IpAddr::V6(address) => added.push(&address.octets()),
            }
            added.address = added.length;
        }
        if !has(ORIGINAL_OBSERVATION_DOMAIN) {
            added.push(&domain.to_be_bytes());
        }
        added
    }

    fn push(&mut self, octets: &[u8]) {
        self.octets[self.length..self.length + octets.len()].copy_from_slice(octets);
        self.length += octets.len();
    }

    fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    fn fields(&self) -> impl Iterator<Item = FieldSpecifier> {
        let address = match self.address {
            0 => None,
            4 => Some(FieldSpecifier::iana(ORIGINAL_EXPORTER_IPV4, 4)),
            _ => Some(FieldSpecifier::iana(ORIGINAL_EXPORTER_IPV6, 16)),
        };
        let domain = FieldSpecifier::iana(ORIGINAL_OBSERVATION_DOMAIN, 4);
        address.into_iter().chain((self.length > self.address).then_some(domain))
    }

    /// The octets of an element that is added.
    fn value(&self, element: u16) -> Option<&[u8]> {
        let (address, domain) = self.octets().split_at(self.address);
        match (element, address.len()) {
            (ORIGINAL_EXPORTER_IPV4, 4) | (ORIGINAL_EXPORTER_IPV6, 16) => Some(address),
            (ORIGINAL_OBSERVATION_DOMAIN, _) if !domain.is_empty() => Some(domain),
            _ => None,
        }
    }
}

impl Repacking {
    pub(super) fn new(exporter: IpAddr) -> Self {
        Self {
            exporter: exporter.to_canonical(),
            plans: Plans::new(PLAN_OCTETS),
            named: Plans::new(PLAN_OCTETS),
            names: Vec::new(),
        }
    }

    /// Appends a record to the flow records or the options records.
    pub(super) fn record(
        &mut self,
        common: &Common,
        flows: &mut Batch,
        options: &mut OptionsBatch,
        record: &Record<'_>,
    ) -> Outcome {
        let exporter = self.exporter;
        let plan = self.plans.of(record.template, |template| plan(common, exporter, record.domain, template));
        match plan {
            Plan::Ignored => Outcome::Ignored,
            Plan::Refused => Outcome::TableFull,
            Plan::Flow { added, .. } | Plan::Options { added, .. }
                if record.octets.len() + added.length > MAX_RECORD =>
            {
                Outcome::TooLong
            }
            Plan::Options { template, added } => {
                options.push(*template, added.octets(), record);
                Outcome::Options
            }
            Plan::Flow { template, added, rules, has_lists } => {
                let class = classify(common, rules, record);
                let out = flows.begin();
                let start = out.len();
                out.extend_from_slice(record.octets);
                out.extend_from_slice(added.octets());
                let template = *template;
                if *has_lists {
                    self.name(common, record);
                    for &(at, name) in &self.names {
                        let id = name.map_or(UNTOLD, |name| name.id(common.classes.stream(class)));
                        flows.patch(start + at, id.to_be_bytes());
                    }
                }
                flows.end(template, class);
                Outcome::Flow
            }
        }
    }

    /// Finds the templates that the record's lists name.
    fn name(&mut self, common: &Common, record: &Record<'_>) {
        let Self { named, names, .. } = self;
        names.clear();
        record.references(|at, template| {
            let name = template.and_then(|template| {
                *named.of(template, |template| {
                    let fields: Vec<_> = template.fields().iter().map(PlanField::specifier).collect();
                    let octets = size_of_val(&*fields);
                    (common.catalog.place(template.scope_fields(), fields), octets)
                })
            });
            names.push((at, name));
        });
    }
}

fn classify(common: &Common, rules: &[Applied], record: &Record<'_>) -> ClassIndex {
    let OpenRules { rules: all, rest } = &*common.rules;
    let matches = |applied: &&Applied| {
        let conditions = &all[applied.rule].0;
        applied.tests.iter().all(|&(condition, field)| {
            record.field(field).is_some_and(|field| conditions[condition].1.contain(field.octets()))
        })
    };
    rules.iter().find(matches).map_or(*rest, |applied| all[applied.rule].1)
}

fn plan(common: &Common, exporter: IpAddr, domain: u32, template: &Template) -> (Plan, usize) {
    let own = template.fields().iter().map(PlanField::specifier);
    let rules_octets = common.rules.rules.len() * size_of::<Applied>();
    let octets = size_of::<Plan>() + own.len() * size_of::<FieldSpecifier>() + rules_octets;
    if is_about_session(template) || template.is_options() && template.has_lists() {
        return (Plan::Ignored, octets);
    }
    let added = Added::to(template, exporter, domain);
    let plan = if template.is_options() {
        let more = u16::try_from(added.fields().count()).unwrap_or(0);
        let fields = added.fields().chain(own).collect();
        let template = common.catalog.place(template.scope_fields().saturating_add(more), fields);
        template.map(|template| Plan::Options { template, added })
    } else {
        let fields = own.chain(added.fields()).collect();
        common.catalog.place(0, fields).map(|index| {
            let rules = rules(common, &added, template);
            Plan::Flow { template: index, added, rules, has_lists: template.has_lists() }
        })
    };
    (plan.unwrap_or(Plan::Refused), octets)
}

/// The rules that records of a template can match; what they say of the source is settled.
fn rules(common: &Common, added: &Added, template: &Template) -> Vec<Applied> {
    let applied = common.rules.rules.iter().enumerate().filter_map(|(rule, (conditions, _))| {
        let mut tests = Vec::new();
        for (condition, (element, values)) in conditions.iter().enumerate() {
            match template.position(0, *element) {
                Some(field) => tests.push((condition, field)),
                None if added.value(*element).is_some_and(|octets| values.contain(octets)) => {}
                None => return None,
            }
        }
        Some(Applied { rule, tests: tests.into() })
    });
    applied.collect()
}

/// Tells whether options records are about the session that ends here (docs/wire.md), and of no use to a collector.
fn is_about_session(template: &Template) -> bool {
    let elements = || {
        template.fields().iter().map(|field| {
            let specifier = field.specifier();
            (specifier.pen, specifier.id)
        })
    };
    template.is_options()
        && (SessionRecord::is_announced_by(elements())
            || ClassRecord::is_announced_by(elements())
            || StatisticsRecord::is_announced_by(elements())
            || elements().eq(DATA_RECORDS_RELIABILITY))
}

/// Options records on their way to the driver.
#[derive(Debug, Default)]
pub struct OptionsBatch {
    octets: Vec<u8>,
    /// Template, where the record ends, and octets of its scope.
    records: Vec<(TemplateIndex, usize, usize)>,
}

impl OptionsBatch {
    fn push(&mut self, template: TemplateIndex, added: &[u8], record: &Record<'_>) {
        // The last scope field ends where the scope does.
        let last = usize::from(record.template.scope_fields()).saturating_sub(1);
        let scope = record.fields().nth(last).map_or(0, |field| {
            let octets = field.octets();
            octets.as_ptr().addr() + octets.len() - record.octets.as_ptr().addr()
        });
        self.octets.extend_from_slice(added);
        self.octets.extend_from_slice(record.octets);
        self.records.push((template, self.octets.len(), added.len() + scope));
    }

    /// Appends a record of the relay's own, of which the first `scope` octets are scope.
    pub(super) fn push_own(&mut self, template: TemplateIndex, scope: usize, record: &[u8]) {
        self.octets.extend_from_slice(record);
        self.records.push((template, self.octets.len(), scope));
    }

    /// Returns the records: template, octets of the scope, octets.
    pub fn iter(&self) -> impl Iterator<Item = (TemplateIndex, usize, &[u8])> {
        let mut begin = 0;
        self.records.iter().map(move |&(template, end, scope)| {
            let octets = &self.octets[begin..end];
            begin = end;
            (template, scope, octets)
        })
    }

    /// Returns their octets.
    pub(super) const fn octets(&self) -> usize {
        self.octets.len()
    }
}
