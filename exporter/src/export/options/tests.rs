use ipfix::{CollectingConfig, CollectingSession, ExportingConfig, ExportingSession, Record, Visitor};

use super::*;

/// Elements and values of each record, in order.
#[derive(Default)]
struct Seen(Vec<String>);

impl Visitor for Seen {
    fn record(&mut self, record: &Record<'_>) {
        let field = |field: ipfix::Field<'_>| {
            let name = ipfix::ie::lookup(field.pen(), field.id()).map_or("?", |element| element.name);
            format!("{name}={}", field.value())
        };
        let scope = usize::from(record.template.scope_fields());
        let fields: Vec<String> = record.fields().map(field).collect();
        self.0.push(format!("{}: {}", fields[..scope].join(" "), fields[scope..].join(" ")));
    }
}

/// What a collector reads of these records, all of one message or several.
fn collected(records: impl IntoIterator<Item = OptionsRecord>) -> Vec<String> {
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 9, max_message: 500 });
    for record in records {
        exporting.define(0, record.template.clone()).unwrap();
        exporting.record(0, record.template.id, record.octets(), 0).unwrap();
    }
    exporting.flush_all(0);
    let mut collecting = CollectingSession::new(CollectingConfig::default());
    let mut seen = Seen::default();
    while let Some(message) = exporting.poll_message() {
        collecting.decode(0, &message.octets, &mut seen).unwrap();
    }
    seen.0
}

#[test]
fn everything_that_is_known_is_told_by_the_names_of_the_registry() {
    let facts = Facts::default();
    facts.describe(Interface { index: 2, name: "eth1".to_owned(), description: "uplink".to_owned() });
    facts.select(vec![Selector { id: 5, method: Method::CountBased { interval: 1, space: 99 } }]);
    facts.lose(2, 11);
    facts.ignore(Ignored { packets: 3, octets: 180, first_ns: 1_000_000_000, last_ns: 2_000_000_000 });
    let mut not_sent = NotSent::default();
    not_sent.count(0, 1);
    not_sent.count(4, 2);
    not_sent.count(6, 3);
    let told = Told {
        domain: 9,
        process: 77,
        address: Some([192, 0, 2, 1].into()),
        described: facts.described(),
        ignored: facts.ignored(),
        lost: facts.lost(),
        not_sent,
    };
    let sent = Sent { messages: 10, octets: 5_000, records: 40 };
    let expected = [
        "exportingProcessId=77: exporterIPv4Address=192.0.2.1",
        "observationDomainId=9 meteringProcessId=1: exportedMessageTotalCount=10 exportedFlowRecordTotalCount=40 \
         exportedOctetTotalCount=5000",
        "observationDomainId=9 meteringProcessId=1: ignoredPacketTotalCount=3 ignoredOctetTotalCount=180 \
         observationTimeMilliseconds=1970-01-01T00:00:01.000Z observationTimeMilliseconds=1970-01-01T00:00:02.000Z",
        "exportingProcessId=77: notSentFlowTotalCount=6 observationTimeSeconds=1970-01-01T00:00:02Z \
         observationTimeSeconds=1970-01-01T00:00:03Z",
        "ingressInterface=2: interfaceName=eth1 interfaceDescription=uplink",
        "selectorId=5: selectorAlgorithm=1 samplingPacketInterval=1 samplingPacketSpace=99",
        "ingressInterface=2: droppedPacketTotalCount=11",
    ];
    assert_eq!(collected(records(&told, &sent)), expected);
}

#[test]
fn every_method_of_selection_has_its_parameters() {
    let hash = Method::Hash { algorithm: 6, payload: (0, 20), output: (0, 0xffff_ffff), selected: (0, 1000) };
    let methods = [Method::OutOf { size: 2, population: 50 }, Method::Probability(0.25), hash];
    let told = Told::default();
    assert_eq!(records(&told, &Sent::default()).count(), 3, "without address, interface and selector");
    let seen = collected(methods.into_iter().map(|method| Selector { id: 1, method }.record()));
    let expected = [
        "selectorId=1: selectorAlgorithm=3 samplingSize=2 samplingPopulation=50",
        "selectorId=1: selectorAlgorithm=4 samplingProbability=0.25",
        "selectorId=1: selectorAlgorithm=6 hashIPPayloadOffset=0 hashIPPayloadSize=20 hashOutputRangeMin=0 \
         hashOutputRangeMax=4294967295 hashSelectedRangeMin=0 hashSelectedRangeMax=1000",
    ];
    assert_eq!(seen, expected);
}

/// RFC 5610: a collector that has never heard of flowpool can name its elements.
#[test]
fn a_collector_learns_the_private_elements_by_their_type_records() {
    let seen = collected(types());
    assert_eq!(seen.len(), 10);
    let first = "privateEnterpriseNumber=32473 informationElementId=1: informationElementDataType=0 \
                 informationElementSemantics=0 informationElementUnits=0 informationElementName=ledger";
    assert_eq!(seen[0], first);
}
