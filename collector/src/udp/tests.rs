use std::net::SocketAddr;
use std::time::Duration;

use intake::Room;
use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, TemplateRecord};
use service::Metrics;

use super::*;
use crate::config;
use crate::metrics::SessionMetrics;
use crate::output::Forms;
use crate::session::decoder::Decoded;
use crate::status::Window;
use crate::status::register::Register;
use crate::tap::Tap;

const FLOW: u16 = 256;
const TIME: u32 = 1_795_219_200;

/// The sources of a socket, and what they count.
struct World {
    sources: Sources<Gathered>,
    totals: Arc<Totals>,
    rooms: Rooms,
    shown: Metrics,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self::with(config::Udp::default())
    }

    fn with(config: config::Udp) -> Self {
        Self::limited(config, Rooms::default())
    }

    #[expect(clippy::disallowed_methods, reason = "the tests' own beginning of time")]
    fn limited(config: config::Udp, rooms: Rooms) -> Self {
        let (shown, now) = (Metrics::new(&[]), Instant::now());
        let (metrics, udp) = shown.scope(|| {
            let metrics = SessionMetrics::new();
            (metrics.clone(), metrics::udp(&metrics))
        });
        let window = Window::new(Register::default(), Tap::new().0);
        let gathered = Gathered::new(Forms::json(), rooms.clone(), metrics, window);
        let totals = Arc::new(Totals::new(Loaded::default()));
        let sources = Sources::new(config.limits(), now, Arc::clone(&totals), udp, gathered);
        Self { sources, totals, rooms, shown, now }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn send(&mut self, from: u16, message: &[u8]) {
        self.sources.datagram(self.now, 0, source(from), message);
    }

    fn send_all(&mut self, from: u16, messages: &[Vec<u8>]) {
        messages.iter().for_each(|message| self.send(from, message));
    }

    fn take(&mut self) -> Decoded {
        self.sources.sink_mut().decoded.take()
    }

    /// The values of octetDeltaCount in the lines since the last call.
    fn values(&mut self) -> Vec<u64> {
        let mut decoded = self.take();
        let text = String::from_utf8(decoded.rendered.forms.remove(0).octets).unwrap();
        let value = |line: &str| -> u64 {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record["octetDeltaCount"].as_u64().unwrap_or_else(|| panic!("{line}"))
        };
        text.lines().map(value).collect()
    }

    fn metric(&self, sample: &str) -> u64 {
        let value = self.shown.value(&format!("ipfix_collector_{sample}")).unwrap_or(0.0);
        format!("{value:.0}").parse().unwrap()
    }

    fn discarded(&self, reason: &str) -> u64 {
        self.metric(&format!("udp_datagrams_discarded_total{{reason=\"{reason}\"}}"))
    }

    fn sweep(&mut self) {
        self.sources.handle_timeout(self.now, 0);
    }
}

fn source(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// An exporter whose records are numbers.
struct Exporter {
    exporting: ExportingSession,
    time: u32,
}

impl Exporter {
    fn new(domain: u32, length: u16) -> Self {
        let mut exporting = ExportingSession::new(ExportingConfig { domain, max_message: 1_400 });
        exporting.define(0, template(length)).unwrap();
        Self { exporting, time: TIME }
    }

    /// One message: the templates.
    fn templates(&mut self) -> Vec<u8> {
        self.exporting.repeat_templates(self.time);
        self.message()
    }

    /// One message with these records.
    fn flows(&mut self, values: std::ops::Range<u32>) -> Vec<u8> {
        for value in values {
            self.exporting.record(0, FLOW, &value.to_be_bytes(), self.time).unwrap();
        }
        self.exporting.flush_all(self.time);
        self.message()
    }

    fn message(&mut self) -> Vec<u8> {
        let message = self.exporting.poll_message().unwrap();
        assert_eq!(self.exporting.poll_message(), None);
        message.octets
    }
}

/// octetDeltaCount in so many octets.
fn template(length: u16) -> TemplateRecord {
    TemplateRecord { id: FLOW, scope_fields: 0, fields: vec![FieldSpecifier::iana(1, length)] }
}

/// An exporter and a world that has its templates.
fn exporting() -> (World, Exporter) {
    let (mut world, mut exporter) = (World::new(), Exporter::new(1, 4));
    world.send(1, &exporter.templates());
    (world, exporter)
}

/// A message whose set is longer than it.
fn malformed() -> Vec<u8> {
    let mut message = Exporter::new(1, 4).templates();
    message[18..20].copy_from_slice(&999_u16.to_be_bytes());
    message
}

#[test]
fn two_sources_with_the_same_domain_and_template_ids_are_two_sessions() {
    let mut world = World::new();
    let (mut four, mut two) = (Exporter::new(1, 4), Exporter::new(1, 4));
    world.send(1, &four.templates());
    // The other one's template 256 is two elements of two octets.
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 1_400 });
    let fields = vec![FieldSpecifier::iana(1, 2), FieldSpecifier::iana(2, 2)];
    exporting.define(0, TemplateRecord { id: FLOW, scope_fields: 0, fields }).unwrap();
    two.exporting = exporting;
    world.send(2, &two.templates());
    world.send(1, &four.flows(65_536..65_538));
    world.send(2, &two.flows(65_536..65_538));
    assert_eq!(world.values(), [65_536, 65_537, 1, 1]);
    assert_eq!((world.metric("udp_sessions"), world.metric("templates")), (2, 2));
    assert_eq!(world.metric("records_lost_total"), 0);
}

#[test]
fn a_template_lives_as_long_as_it_is_repeated() {
    let (mut world, mut exporter) = exporting();
    for minute in 1..=4 {
        world.pass(25 * 60);
        exporter.time += 25 * 60;
        world.send(1, &exporter.templates());
        world.send(1, &exporter.flows(minute..minute + 1));
    }
    assert_eq!(world.values(), [1, 2, 3, 4]);
    for _ in 0..2 {
        // Data alone keeps the session, and not the template.
        world.pass(20 * 60);
        world.send(1, &exporter.flows(5..6));
    }
    assert_eq!((world.values(), world.metric("templates")), (vec![5], 0));
    world.pass(11 * 60);
    world.sweep();
    world.send(1, &exporter.templates());
    world.send(1, &exporter.flows(6..7));
    assert_eq!(world.values(), [6], "what had waited for the template waited too long");
    assert_eq!(world.metric("records_dropped_total{reason=\"no_template\"}"), 1);
}

#[test]
fn a_template_of_the_first_second_expires_like_any_other() {
    let (mut world, mut exporter) = exporting();
    for minutes in [25, 6] {
        world.pass(minutes * 60);
        world.send(1, &exporter.flows(1..2));
    }
    assert_eq!((world.values(), world.metric("templates")), (vec![1], 0));
}

#[test]
fn the_age_of_a_template_is_that_of_its_reception_whatever_the_exporters_clock_says() {
    let (mut world, mut exporter) = exporting();
    exporter.time = u32::MAX;
    world.pass(60);
    world.send(1, &exporter.templates());
    exporter.time = 1;
    world.pass(60);
    world.send(1, &exporter.flows(1..2));
    assert_eq!(world.values(), [1]);
}

#[test]
fn another_template_under_the_same_id_replaces_the_old_one_and_withdrawals_are_ignored() {
    let (mut world, mut exporter) = exporting();
    world.send(1, &exporter.flows(1..3));
    let sequence = exporter.exporting.next_sequence(0);
    let mut next = Exporter::new(1, 2);
    let mut message = next.templates();
    message[8..12].copy_from_slice(&sequence.to_be_bytes());
    world.send(1, &message);
    world.send(1, &exporter.flows(0x0001_0002..0x0001_0003));
    assert_eq!(world.values(), [1, 2, 1, 2], "one record of four octets is two of two");
    exporter.exporting.withdraw(0, FLOW, TIME).unwrap();
    world.send(1, &exporter.message());
    assert_eq!(world.metric("templates"), 1);
    assert_eq!(world.metric("records_received_total{kind=\"withdrawal\"}"), 0);
}

#[test]
fn reordered_messages_are_all_taken_and_none_is_missing() {
    let (mut world, mut exporter) = exporting();
    let messages: Vec<_> = (0..6).map(|at| exporter.flows(at * 10..at * 10 + 10 + at)).collect();
    for at in [0, 2, 1, 4, 3, 5] {
        world.send(1, &messages[at]);
    }
    assert_eq!(world.values().len(), 75);
    assert_eq!(world.metric("records_lost_total"), world.metric("records_late_total"));
    assert_eq!(world.discarded("duplicate"), 0);
}

#[test]
fn a_message_that_comes_twice_is_taken_once() {
    let (mut world, mut exporter) = exporting();
    let messages: Vec<_> = (0..4).map(|at| exporter.flows(at * 10..at * 10 + 10)).collect();
    for at in [0, 0, 1, 2, 1, 3, 3, 3] {
        world.send(1, &messages[at]);
    }
    assert_eq!(world.values(), (0..40).collect::<Vec<_>>());
    assert_eq!((world.discarded("duplicate"), world.metric("records_lost_total")), (4, 0));
    // The same octets from another source are that one's.
    world.send(2, &messages[0]);
    assert_eq!(world.discarded("duplicate"), 4);
    assert!(world.metric("udp_held_bytes") > 0, "it waits for its template");
}

#[test]
fn what_sequence_numbers_show_missing_is_counted_by_domain() {
    let mut world = World::new();
    let (mut one, mut two) = (Exporter::new(1, 4), Exporter::new(2, 4));
    world.send_all(1, &[one.templates(), two.templates()]);
    for at in 0..10_u32 {
        let (first, second) = (one.flows(0..10 + at), two.flows(0..10 + at));
        if at != 4 {
            world.send(1, &first);
        }
        if at != 6 && at != 7 {
            world.send(1, &second);
        }
    }
    assert_eq!(world.metric("records_lost_total"), 14 + 16 + 17);
    // What is missing at the end is counted when the session ends.
    one.flows(0..5);
    world.send(1, &one.flows(0..3));
    drop(world.sources);
    let lost = world.shown.value("ipfix_collector_records_lost_total");
    assert_eq!(lost, Some(f64::from(14 + 16 + 17 + 5)));
}

#[test]
fn three_malformed_messages_in_a_row_put_a_source_into_the_penalty_box_for_a_minute() {
    let (mut world, mut exporter) = exporting();
    let bad = malformed();
    world.send_all(1, &[bad.clone(), bad.clone(), exporter.flows(0..1), bad.clone(), bad.clone()]);
    assert_eq!(world.metric("udp_penalized_sources"), 0, "not in a row");
    world.send_all(1, &[bad, exporter.flows(1..2)]);
    assert_eq!((world.values(), world.metric("udp_penalized_sources")), (vec![0], 1));
    assert_eq!((world.metric("messages_malformed_total"), world.discarded("penalty")), (5, 1));
    // Nobody else is punished.
    let mut other = Exporter::new(1, 4);
    world.send_all(2, &[other.templates(), other.flows(7..8)]);
    assert_eq!(world.values(), [7]);
    world.pass(59);
    world.send(1, &exporter.flows(2..3));
    assert_eq!((world.values().len(), world.discarded("penalty")), (0, 2));
    world.pass(1);
    world.send(1, &exporter.flows(3..4));
    assert_eq!((world.values(), world.metric("udp_penalized_sources")), (vec![3], 0));
}

#[test]
fn a_source_that_never_sent_a_good_header_is_penalized_as_well_and_has_no_session() {
    let mut world = World::new();
    for _ in 0..4 {
        world.send(1, b"no IPFIX at all");
    }
    assert_eq!((world.metric("messages_malformed_total"), world.discarded("penalty")), (3, 1));
    assert_eq!((world.metric("udp_sessions"), world.metric("udp_penalized_sources")), (0, 1));
    let letters = world.take().letters;
    assert_eq!(letters.iter().filter(|octet| **octet == b'\n').count(), 3);
    world.pass(60);
    world.sweep();
    assert_eq!(world.metric("udp_penalized_sources"), 0);
    let mut exporter = Exporter::new(1, 4);
    world.send_all(1, &[exporter.templates(), exporter.flows(1..2)]);
    assert_eq!((world.values(), world.sources.len()), (vec![1], 1));
}

#[test]
fn a_flood_of_malformed_sources_leaves_a_bounded_table_that_empties_itself() {
    let mut world = World::new();
    for port in 1..5_000 {
        world.send(port, b"nonsense");
        world.take();
    }
    assert_eq!(world.sources.len(), 1024);
    let mut exporter = Exporter::new(1, 4);
    world.send_all(9_000, &[exporter.templates(), exporter.flows(1..2)]);
    assert_eq!(world.values(), [1], "sessions have room of their own");
    world.pass(60);
    world.sweep();
    assert_eq!(world.sources.len(), 1);
}

#[test]
fn there_are_no_more_sessions_than_allowed_and_silent_ones_make_room() {
    let mut world = World::with(config::Udp { max_sessions: 2, ..config::Udp::default() });
    let mut exporters: Vec<_> = (0..3).map(|_| Exporter::new(1, 4)).collect();
    for (port, exporter) in (1..).zip(&mut exporters) {
        world.send_all(port, &[exporter.templates(), exporter.flows(port.into()..u32::from(port) + 1)]);
    }
    assert_eq!((world.values(), world.discarded("sessions")), (vec![1, 2], 2));
    world.pass(29 * 60);
    world.send(2, &exporters[1].templates());
    world.pass(60);
    world.sweep();
    assert_eq!((world.metric("udp_sessions"), world.metric("templates")), (1, 1));
    world.send_all(3, &[exporters[2].templates(), exporters[2].flows(3..4)]);
    assert_eq!((world.values(), world.metric("udp_sessions")), (vec![3], 2));
    drop(world.sources);
    assert_eq!(world.shown.value("ipfix_collector_udp_sessions"), Some(0.0));
    assert_eq!(world.shown.value("ipfix_collector_templates"), Some(0.0));
}

#[test]
fn templates_of_all_sources_are_bounded_together() {
    let most = 1 << 20;
    let rooms = Rooms { templates: Arc::new(Room::new(16 << 10, most)), ..Rooms::default() };
    let mut world = World::limited(config::Udp::default(), rooms);
    let mut exporter = Exporter::new(1, 4);
    // Each source has some long templates.
    let fields: Vec<_> = (0..300).map(|_| FieldSpecifier::iana(1, 4)).collect();
    for id in 300..320 {
        exporter.exporting.define(0, TemplateRecord { id, scope_fields: 0, fields: fields.clone() }).unwrap();
    }
    // And short ones, for which there is room when there is none for those.
    for id in 320..600 {
        exporter.exporting.define(0, TemplateRecord { id, ..template(4) }).unwrap();
    }
    exporter.exporting.repeat_templates(TIME);
    let messages: Vec<_> =
        std::iter::from_fn(|| exporter.exporting.poll_message()).map(|message| message.octets).collect();
    for port in 1..20 {
        world.send_all(port, &messages);
    }
    // Of a short template.
    let one = 256;
    let used = world.rooms.templates.used();
    assert!((most - one..=most).contains(&used), "{used}");
    assert!(world.metric("records_dropped_total{reason=\"limit\"}") > 0);
    // Whoever comes then has room all the same.
    let mut honest = Exporter::new(1, 4);
    world.send_all(100, &[honest.templates(), honest.flows(1..3)]);
    assert_eq!(world.values(), [1, 2]);
    drop(world.sources);
    assert_eq!(world.rooms.templates.used(), 0);
}

#[test]
fn session_records_have_no_effect() {
    let (mut world, mut exporter) = exporting();
    let fields = delivery::session_record::FIELDS.map(|(pen, id, length)| FieldSpecifier { pen, id, length });
    let scope_fields = delivery::session_record::SCOPE_FIELDS;
    exporter.exporting.define(0, TemplateRecord { id: 300, scope_fields, fields: fields.to_vec() }).unwrap();
    world.send(1, &exporter.templates());
    let mut octets = Vec::new();
    delivery::SessionRecord {
        series: delivery::Series { ledger: delivery::Ledger([1; 16]), epoch: delivery::Epoch(1), domain: 1 },
        first_number: 0,
        possible_duplicate_until: 0,
    }
    .encode(&mut octets);
    exporter.exporting.record(0, 300, &octets, TIME).unwrap();
    world.send(1, &exporter.flows(1..3));
    let mut decoded = world.take();
    assert!(!String::from_utf8(decoded.rendered.forms.remove(0).octets).unwrap().contains("ledger"));
    assert_eq!(decoded.rendered.flows(), 2);
}

mod held;
mod netflow;
