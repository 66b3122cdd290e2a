use std::fmt::Write as _;
use std::net::SocketAddr;

use ipfix::view::ElementName;
use ipfix::{
    CollectingConfig, CollectingSession, ExportingConfig, ExportingSession, FieldSpecifier, ListSemantic,
    Record, RecordWriter, TemplateRecord, Visitor,
};
use pcap_fixtures::netflow::{set, template, v5, v9_from, words};
use service::Metrics;

use super::*;
use crate::export::rules::Ranges;
use crate::export::{Class, ClassIndex, Kind, TemplateIndex};
use crate::observe::Encoded;

const FLOW: u16 = 256;

/// The sources of a socket, and what became of their records.
struct World {
    sources: Sources<Gathered>,
    catalog: Arc<Catalog>,
    classes: Classes,
    shown: Metrics,
    now: Instant,
}

/// Prints records.
#[derive(Default)]
struct Printer(String);

impl Visitor for Printer {
    fn record(&mut self, record: &Record<'_>) {
        let scopes = usize::from(record.template.scope_fields());
        for (at, field) in record.fields().enumerate() {
            let mark = if at < scopes { "*" } else { "" };
            write!(self.0, "{mark}{}={} ", ElementName(field.specifier()), field.value()).unwrap();
        }
        self.0.truncate(self.0.trim_end().len());
        self.0.push('\n');
    }
}

impl World {
    fn new() -> Self {
        Self::with(Vec::new())
    }

    /// `rules` for class `timed`; the rest is reliable.
    fn with(rules: Vec<Vec<(u16, Ranges)>>) -> Self {
        let timed = Class { name: "timed".to_owned(), kind: Kind::Unreliable };
        let reliable = Class { name: "reliable".to_owned(), kind: Kind::Reliable };
        let classes = Classes::new(vec![reliable, timed]).unwrap();
        let rules = rules.into_iter().map(|conditions| (conditions, ClassIndex(1))).collect();
        let rules = Arc::new(OpenRules { rules, rest: ClassIndex(0) });
        let (catalog, shown, now) = (Arc::new(Catalog::default()), Metrics::new(&[]), Instant::now());
        let common = Common { catalog: Arc::clone(&catalog), classes: Arc::new(classes.clone()), rules };
        let sources = shown.scope(|| {
            let gathered = Gathered::new(common, Rooms::default().templates, metrics::RelayMetrics::new());
            let limits = crate::config::Relay::default().options(None).limits;
            Sources::new(limits, now, Arc::default(), metrics::counts(), gathered)
        });
        Self { sources, catalog, classes, shown, now }
    }

    fn send(&mut self, from: &str, datagram: &[u8]) {
        let from = SocketAddr::new(from.parse().unwrap(), 2055);
        self.sources.datagram(self.now, 0, from, datagram);
    }

    /// The flow records since the last call, each behind its class.
    fn flows(&mut self) -> String {
        let batch = std::mem::take(&mut self.sources.sink_mut().flows);
        let (templates, _) = self.catalog.tables();
        let mut text = String::new();
        for Encoded { template, class, octets } in batch.iter() {
            let stream = self.classes.stream(class);
            let printed = printed(templates.records(stream), stream, template.id(stream), octets);
            write!(text, "{} {printed}", self.classes.get(class).name).unwrap();
        }
        text
    }

    /// The options records since the last call, scopes marked.
    fn options(&mut self) -> String {
        let batch = std::mem::take(&mut self.sources.sink_mut().options);
        let (_, templates) = self.catalog.tables();
        let print = |(template, _, octets): (TemplateIndex, usize, &[u8])| {
            printed(templates.records(0), 0, template.id(0), octets)
        };
        batch.iter().map(print).collect()
    }

    fn metric(&self, sample: &str) -> f64 {
        self.shown.value(&format!("ipfix_exporter_relay_{sample}")).unwrap_or(0.0)
    }
}

fn printed(
    templates: impl Iterator<Item = TemplateRecord>,
    stream: u16,
    template: u16,
    octets: &[u8],
) -> String {
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 65_535 });
    templates.for_each(|template| exporting.define(stream, template).unwrap());
    exporting.record(stream, template, octets, 0).unwrap();
    exporting.flush_all(0);
    let (mut session, mut printer) =
        (CollectingSession::new(CollectingConfig::default()), Printer::default());
    while let Some(message) = exporting.poll_message() {
        session.decode(stream, &message.octets, &mut printer).unwrap();
    }
    printer.0
}

/// A datagram of IPFIX, with templates and a record of the first.
fn ipfix(domain: u32, templates: &[TemplateRecord], record: &[u8]) -> Vec<Vec<u8>> {
    let mut exporting = ExportingSession::new(ExportingConfig { domain, max_message: 1_400 });
    templates.iter().for_each(|template| exporting.define(0, template.clone()).unwrap());
    exporting.record(0, templates[0].id, record, 0).unwrap();
    exporting.flush_all(0);
    std::iter::from_fn(|| exporting.poll_message()).map(|message| message.octets).collect()
}

fn data_template(id: u16, fields: &[FieldSpecifier]) -> TemplateRecord {
    TemplateRecord { id, scope_fields: 0, fields: fields.to_vec() }
}

#[test]
fn a_record_is_passed_on_as_it_came_with_the_router_and_its_domain_behind_it() {
    let mut world = World::new();
    let nine = v9_from(9, 1, &[template(FLOW, &[(8, 4), (33_000, 2)]), set(FLOW, &[192, 0, 2, 1, 7, 8])]);
    world.send("198.51.100.1", &nine);
    let behind =
        "e4294967295id232=0708 originalExporterIPv4Address=198.51.100.1 originalObservationDomainId=9\n";
    assert_eq!(world.flows(), format!("reliable sourceIPv4Address=192.0.2.1 {behind}"));
    world.send("2001:db8::7", &nine);
    let behind = behind.replace("IPv4Address=198.51.100.1", "IPv6Address=2001:db8::7");
    assert_eq!(world.flows(), format!("reliable sourceIPv4Address=192.0.2.1 {behind}"));
    // An address of version 4 on a socket of version 6.
    world.send("::ffff:198.51.100.1", &nine);
    assert!(world.flows().contains("IPv4Address=198.51.100.1"));
    assert_eq!(world.catalog.count(), 2, "two routers of one IP version share a template");
}

#[test]
fn a_record_that_tells_its_origin_keeps_it() {
    let mut world = World::new();
    let fields = [FieldSpecifier::iana(403, 4), FieldSpecifier::iana(1, 1), FieldSpecifier::iana(405, 4)];
    for datagram in ipfix(3, &[data_template(FLOW, &fields)], &[192, 0, 2, 9, 5, 0, 0, 0, 77]) {
        world.send("198.51.100.1", &datagram);
    }
    let expected = "originalExporterIPv4Address=192.0.2.9 octetDeltaCount=5 originalObservationDomainId=77\n";
    assert_eq!(world.flows(), format!("reliable {expected}"));
}

#[test]
fn rules_look_at_elements_behind_those_of_variable_length_and_at_the_router() {
    let number = |number| Ranges::numbers([number..=number]);
    let router = Ranges::prefixes([("198.51.100.0".parse().unwrap(), 24)]);
    let mut world = World::with(vec![vec![(16, number(64_496)), (403, router)], vec![(405, number(5))]]);
    let fields = [FieldSpecifier::iana(82, ipfix::VARIABLE), FieldSpecifier::iana(16, 4)];
    let template = [data_template(FLOW, &fields)];
    let mut class = |from: &str, domain, record: &[u8]| {
        ipfix(domain, &template, record).iter().for_each(|datagram| world.send(from, datagram));
        world.flows().split(' ').next().unwrap_or_default().to_owned()
    };
    assert_eq!(class("198.51.100.1", 3, b"\x02ge\x00\x00\xfb\xf0"), "timed");
    assert_eq!(class("198.51.100.1", 3, b"\x03lan\x00\x00\xfb\xf1"), "reliable", "another system");
    assert_eq!(class("203.0.113.1", 3, b"\x02ge\x00\x00\xfb\xf0"), "reliable", "another router");
    assert_eq!(class("203.0.113.1", 5, b"\x02ge\x00\x00\xfb\xf0"), "timed", "by its domain");
}

#[test]
fn options_have_the_router_and_its_domain_in_their_scope() {
    let mut world = World::new();
    let options = [words(&[257, 4, 4]), words(&[1, 4, 34, 4])].concat();
    let data = set(257, &[0, 0, 0, 7, 0, 0, 0, 50]);
    world.send("198.51.100.1", &v9_from(9, 1, &[set(1, &options), data]));
    let expected = "*originalExporterIPv4Address=198.51.100.1 *originalObservationDomainId=9 *exportingProcessId=7 \
                    samplingInterval=50\n";
    assert_eq!(world.options(), expected);
    assert_eq!(world.flows(), "");
}

#[test]
fn lists_name_the_templates_of_the_class_they_go_with() {
    let mut world = World::new();
    let inner = data_template(300, &[FieldSpecifier::iana(1, 4)]);
    let outer = data_template(301, &[FieldSpecifier::iana(292, ipfix::VARIABLE)]);
    let mut writer = RecordWriter::new();
    writer.sub_template_list(ListSemantic::AllOf, 300, |records| {
        records.unsigned(7, 4);
    });
    for datagram in ipfix(3, &[outer, inner], writer.octets()) {
        world.send("198.51.100.1", &datagram);
    }
    let batch = std::mem::take(&mut world.sources.sink_mut().flows);
    let record = batch.iter().next().unwrap();
    // Length in three octets, semantic, template, and the one record; the list's template came to the table second.
    let (templates, _) = world.catalog.tables();
    let stream = world.classes.stream(record.class);
    let named = u16::from_be_bytes([record.octets[4], record.octets[5]]);
    let named = templates.records(stream).find(|template| template.id == named).unwrap();
    assert_eq!(named.fields, [FieldSpecifier::iana(1, 4)]);
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let mut world = World::new();
    // Each template takes some 2,000 octets.
    for kind in 0..60 {
        // Not the datagram before, come twice.
        world.now += Duration::from_secs(10);
        let fields: Vec<_> = (0..500).map(|at| FieldSpecifier::iana(at % 100 + kind + 1, 1)).collect();
        for datagram in ipfix(3, &[data_template(FLOW, &fields)], &[0; 500]) {
            world.send("198.51.100.1", &datagram);
        }
    }
    let full = world.metric("dropped_total{reason=\"table_full\"}");
    assert!((20.0..40.0).contains(&full), "{full}");
    assert_eq!(world.metric("records_received_total{kind=\"data\"}"), 60.0);
}

#[test]
fn records_that_sequence_numbers_show_missing_are_told_in_the_routers_name() {
    let mut world = World::new();
    for sequence in [0, 30, 90] {
        world.now += Duration::from_secs(1);
        world.send("198.51.100.1", &v5(30, sequence, 0));
    }
    assert_eq!(world.options(), "", "one number alone is not believed");
    world.send("198.51.100.1", &v5(30, 120, 0));
    let expected = "*originalExporterIPv4Address=198.51.100.1 *originalObservationDomainId=258 notSentFlowTotalCount=30\n";
    assert_eq!(world.options(), expected);
    assert_eq!(world.metric("records_lost_total"), 30.0);
}

#[test]
fn data_waits_for_its_template() {
    let mut world = World::new();
    world.send("198.51.100.1", &v9_from(9, 1, &[set(FLOW, &[0, 0, 0, 1])]));
    assert!(world.flows().is_empty() && world.metric("held_bytes") > 0.0);
    world.send("198.51.100.1", &v9_from(9, 2, &[template(FLOW, &[(1, 4)])]));
    assert!(world.flows().starts_with("reliable octetDeltaCount=1 "));
}
