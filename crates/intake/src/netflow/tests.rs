use std::fmt::Write as _;

use ipfix::{CollectingConfig, CollectingSession, Record, Transport, Visitor};

use super::*;
use ipfix::Value;
use ipfix::view::ElementName;
use pcap_fixtures::netflow::{SECONDS, UPTIME, set, template, v5, v7, v9, v9_from, words};

/// A source, its reader, and the session behind.
struct World {
    reader: Reader,
    source: Source,
    session: CollectingSession,
    received: u32,
}

#[derive(Default)]
struct Printer {
    text: String,
    no_template: usize,
}

impl Visitor for Printer {
    fn record(&mut self, record: &Record<'_>) {
        self.text.push('{');
        if record.template.is_options() {
            self.text.push_str("\"options\":true,");
        }
        for (at, field) in record.fields().enumerate() {
            let (comma, name) = (if at == 0 { "" } else { "," }, ElementName(field.specifier()));
            let quote = if matches!(field.value(), Value::Unsigned(_)) { "" } else { "\"" };
            write!(self.text, "{comma}\"{name}\":{quote}{}{quote}", field.value()).unwrap();
        }
        self.text.push_str("}\n");
    }

    fn no_template(&mut self, _domain: u32, _set_id: u16, _octets: &[u8]) {
        self.no_template += 1;
    }
}

impl World {
    fn new() -> Self {
        let config = CollectingConfig { transport: Transport::Udp, ..CollectingConfig::default() };
        let session = CollectingSession::new(config);
        Self { reader: Reader::new(), source: Source::default(), session, received: 0 }
    }

    fn read(&mut self, datagram: &[u8]) -> Result<Read, NetflowError> {
        self.reader.read(&mut self.source, datagram, (self.received, 1_800), false)
    }

    /// The lines of a datagram, with what could not be read at the end.
    fn lines(&mut self, datagram: &[u8]) -> String {
        self.read(datagram).unwrap();
        let mut printer = Printer::default();
        for message in self.reader.messages() {
            self.session.decode(0, message, &mut printer).unwrap();
        }
        printer.no_template += self.reader.unknown(datagram).count();
        let mut text = printer.text;
        if printer.no_template > 0 {
            writeln!(text, "without template: {}", printer.no_template).unwrap();
        }
        text
    }
}

const V5: &str = "{\"sourceIPv4Address\":\"192.0.2.1\",\"destinationIPv4Address\":\"198.51.100.2\",\
    \"ipNextHopIPv4Address\":\"192.0.2.254\",\"ingressInterface\":3,\"egressInterface\":4,\"packetDeltaCount\":5,\
    \"octetDeltaCount\":6000,\"flowStartMilliseconds\":\"2026-11-20T23:59:58.250Z\",\
    \"flowEndMilliseconds\":\"2026-11-20T23:59:59.750Z\",\"sourceTransportPort\":1024,\"destinationTransportPort\":80,\
    \"tcpControlBits\":27,\"protocolIdentifier\":6,\"ipClassOfService\":8,\"bgpSourceAsNumber\":64496,\
    \"bgpDestinationAsNumber\":64497,\"sourceIPv4PrefixLength\":24,\"destinationIPv4PrefixLength\":16";

#[test]
fn a_flow_of_version_5_has_ianas_names_absolute_times_and_its_engine() {
    let mut world = World::new();
    assert_eq!(world.lines(&v5(1, 0, 0)), format!("{V5},\"engineType\":1,\"engineId\":2}}\n"));
    assert_eq!(world.lines(&v5(30, 1, 0)).lines().count(), 30);
}

#[test]
fn sampling_in_the_header_of_version_5_is_noted_in_each_record() {
    let sampled = World::new().lines(&v5(2, 0, 0x8000 | 1_000));
    let noted = ",\"engineType\":1,\"engineId\":2,\"samplingInterval\":1000,\"samplingAlgorithm\":2}";
    assert!(sampled.lines().count() == 2 && sampled.lines().all(|line| line.ends_with(noted)), "{sampled}");
}

#[test]
fn a_flow_of_version_7_tells_the_router_that_was_bypassed() {
    let line = V5.replace("58.250Z", "58.000Z").replace("59.750Z", "59.500Z");
    assert_eq!(World::new().lines(&v7()), format!("{line},\"ipv4RouterSc\":\"192.0.2.200\"}}\n"));
}

#[test]
fn our_own_template_is_repeated_before_it_expires_and_not_with_each_datagram() {
    let mut world = World::new();
    let mut lengths = Vec::new();
    for received in [0, 1, 599, 600, 601] {
        world.received = received;
        world.read(&v5(1, 0, 0)).unwrap();
        lengths.push(world.reader.messages().map(<[u8]>::len).sum::<usize>());
    }
    let (with, without) = (lengths[0], lengths[1]);
    assert!(with > without && lengths == [with, without, without, with, without], "{lengths:?}");
}

#[test]
fn records_of_version_9_have_ianas_names_and_absolute_times() {
    let mut world = World::new();
    let fields = [(8, 4), (22, 4), (1, 4), (21, 4), (7, 2)];
    let mut record = vec![192, 0, 2, 1];
    record.extend([UPTIME - 2_500, 77, UPTIME - 1].map(u32::to_be_bytes).as_flattened());
    record.extend([0, 80]);
    let line = "{\"sourceIPv4Address\":\"192.0.2.1\",\"flowStartMilliseconds\":\"2026-11-20T23:59:57.500Z\",\
        \"octetDeltaCount\":77,\"flowEndMilliseconds\":\"2026-11-20T23:59:59.999Z\",\"sourceTransportPort\":80}\n";
    let data = [record.clone(), record, vec![0, 0]].concat();
    assert_eq!(world.lines(&v9(&[template(256, &fields), set(256, &data)])), line.repeat(2));
    // The template is known from here on.
    assert_eq!(world.lines(&v9(&[set(256, &data)])), line.repeat(2));
}

#[test]
fn types_no_registry_has_are_kept_as_octets() {
    let fields = [(127, 2), (12_232, 1), (33_002, 2), (1, 2), (136, 1)];
    let sets = [template(300, &fields), set(300, &[1, 2, 3, 4, 5, 6, 7, 3])];
    let line = "{\"e0id127\":\"0102\",\"e0id12232\":\"03\",\"e4294967295id234\":\"0405\",\"octetDeltaCount\":1543,\
        \"flowEndReason\":3}\n";
    assert_eq!(World::new().lines(&v9(&sets)), line);
}

#[test]
fn options_keep_their_scopes() {
    // Six octets of options template, five scopes, two options.
    let mut record = words(&[257, 20, 8]);
    for (kind, length) in [(1, 4), (2, 2), (3, 1), (4, 1), (5, 2), (34, 4), (35, 1)] {
        record.extend(words(&[kind, length]));
    }
    let data = [0, 0, 0, 7, 0, 3, 4, 5, 1, 0, 0, 0, 0, 100, 2];
    let line = "{\"options\":true,\"exportingProcessId\":7,\"ingressInterface\":3,\"lineCardId\":4,\
        \"meteringProcessId\":5,\"templateId\":256,\"samplingInterval\":100,\"samplingAlgorithm\":2}\n";
    assert_eq!(World::new().lines(&v9(&[set(1, &record), set(257, &data)])), line);
}

#[test]
fn source_ids_are_domains_with_templates_of_their_own() {
    let mut world = World::new();
    world.lines(&v9_from(1, 1, &[template(256, &[(1, 4)])]));
    world.lines(&v9_from(2, 1, &[template(256, &[(1, 2)])]));
    assert_eq!(world.lines(&v9_from(1, 2, &[set(256, &[0, 1, 0, 0])])), "{\"octetDeltaCount\":65536}\n");
    assert_eq!(
        world.lines(&v9_from(2, 2, &[set(256, &[0, 1, 0, 2])])),
        "{\"octetDeltaCount\":1}\n{\"octetDeltaCount\":2}\n"
    );
    assert_eq!(world.lines(&v9_from(3, 1, &[set(256, &[0, 1, 0, 2])])), "without template: 1\n");
}

#[test]
fn more_records_than_the_parser_takes_are_all_read() {
    let mut world = World::new();
    let data = vec![7; 60_000];
    let lines = world.lines(&v9(&[template(256, &[(4, 1)]), set(256, &data)]));
    assert_eq!(lines.lines().count(), 60_000);
    // Times make these records longer than one message is.
    let data = vec![0; 8 * 7_000];
    assert_eq!(
        world.lines(&v9(&[template(257, &[(22, 4), (21, 4)]), set(257, &data)])).lines().count(),
        7_000
    );
    assert_eq!(world.reader.messages().count(), 2);
}

#[test]
fn templates_that_cannot_be_are_refused_and_counted() {
    let refused = |sets: &[Vec<u8>]| World::new().read(&v9(sets)).map(|read| read.templates_refused);
    assert_eq!(refused(&[template(255, &[(1, 4)])]), Ok(1), "an id of sets");
    let both = [&template(256, &[(1, 0)])[4..], &template(257, &[(1, 4)])[4..]].concat();
    assert_eq!(refused(&[set(0, &both)]), Ok(1), "no octets in a record");
    let good = template(256, &[(1, 4), (2, 0)]);
    assert_eq!(refused(&[good]), Ok(0), "one field without octets");
}

#[test]
fn templates_of_a_source_are_bounded_and_old_ones_make_room() {
    let mut world = World::new();
    let refused =
        |world: &mut World, id: u16| world.read(&v9(&[template(id, &[(1, 4)])])).unwrap().templates_refused;
    assert_eq!((256..1_280).map(|id| refused(&mut world, id)).sum::<u32>(), 0);
    assert_eq!((refused(&mut world, 2_000), refused(&mut world, 256)), (1, 0));
    world.received = 1_801;
    assert_eq!(refused(&mut world, 2_000), 0);
}

#[test]
fn zeros_behind_the_last_set_are_padding() {
    let fields = [(1, 4)];
    let mut datagram = v9(&[template(256, &fields), set(256, &[0, 0, 0, 9])]);
    datagram.extend([0; 60]);
    assert_eq!(World::new().lines(&datagram), "{\"octetDeltaCount\":9}\n");
    let mut datagram = v5(1, 0, 0);
    datagram.extend([0; 3]);
    assert_eq!(World::new().lines(&datagram).lines().count(), 1);
}

#[test]
fn fields_of_variable_length_are_read_as_in_ipfix_and_cost_no_other_template() {
    let sets = [
        template(256, &[(1, 4)]),
        template(257, &[(22, 4), (82, 65_535), (1, 2)]),
        set(257, b"\x00\x00\x00\x01\x03abc\x00\x07"),
        set(256, &[0, 0, 0, 9]),
    ];
    let lines = "{\"flowStartSysUpTime\":1,\"interfaceName\":\"abc\",\"octetDeltaCount\":7}\n{\"octetDeltaCount\":9}\n";
    assert_eq!(World::new().lines(&v9(&sets)), lines);
}

#[test]
fn what_is_refused_is_said_with_its_place_and_without_its_octets() {
    let mut longer = set(300, &[1, 2, 3]);
    longer[3] = 200;
    let error = World::new().read(&v9(&[longer])).unwrap_err();
    assert_eq!(error.to_string(), "octet 22: FlowSet length 200 but 7 octets are left");
    let error = World::new().read(&v5(31, 0, 0)).unwrap_err();
    assert_eq!(error.to_string(), "netflow_parser refuses the datagram");
}

#[test]
fn malformed_datagrams_are_refused_whole() {
    let mut world = World::new();
    let good = template(256, &[(1, 4)]);
    let mut longer = set(300, &[1, 2, 3]);
    longer[3] = 200;
    let mut shorter = set(300, &[1, 2, 3]);
    shorter[3] = 3;
    for sets in [vec![], vec![good.clone(), longer], vec![good.clone(), shorter], vec![good, vec![0, 1, 1]]] {
        assert!(world.read(&v9(&sets)).is_err(), "{sets:?}");
    }
    assert_eq!(world.lines(&v9(&[set(256, &[0, 0, 0, 1])])), "without template: 1\n", "nothing was learned");
    for datagram in
        [v5(0, 0, 0), v5(2, 0, 0)[..119].to_vec(), [v5(2, 0, 0), vec![1]].concat(), v7()[..40].to_vec()]
    {
        assert!(world.read(&datagram).is_err());
    }
    assert!(world.read(&v5(31, 0, 0)).is_err());
}

mod differential;
mod exercise;
mod mutated;
#[path = "../../../ipfix/tests/suite/random.rs"]
mod random;
