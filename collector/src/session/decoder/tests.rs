use delivery::{
    ClassRecord, Epoch, Ledger, SessionRecord, StatisticsRecord, class_record, session_record,
    statistics_record,
};
use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, TemplateRecord};

use super::*;

const SERIES: Series = Series { ledger: Ledger([1; 16]), epoch: Epoch(1), domain: 7 };
const FLOW: u16 = 256;
const SESSION: u16 = 257;
const STATISTICS: u16 = 258;
const RELIABILITY: u16 = 259;

/// Messages of one stream, and the decoder they go into.
struct World {
    exporting: ExportingSession,
    decoder: Decoder,
}

impl World {
    fn new() -> Self {
        let mut exporting =
            ExportingSession::new(ExportingConfig { domain: SERIES.domain, max_message: 1400 });
        let template = |id, scope_fields, fields: &[(u32, u16, u16)]| {
            let fields = fields.iter().map(|&(pen, id, length)| FieldSpecifier { pen, id, length }).collect();
            TemplateRecord { id, scope_fields, fields }
        };
        exporting.define(1, template(FLOW, 0, &[(0, 1, 4)])).unwrap();
        exporting.define(1, template(SESSION, 1, &session_record::FIELDS)).unwrap();
        exporting.define(1, template(STATISTICS, 1, &[(0, 149, 4), (0, 41, 8)])).unwrap();
        exporting.define(1, template(RELIABILITY, 1, &[(0, 145, 2), (0, 276, 1)])).unwrap();
        Self { exporting, decoder: Decoder::new(&Forms::json(), SessionMetrics::new()) }
    }

    fn session(&mut self, first_number: u64) -> &mut Self {
        let mut octets = Vec::new();
        SessionRecord { series: SERIES, first_number, possible_duplicate_until: 0 }.encode(&mut octets);
        self.exporting.record(1, SESSION, &octets, 0).unwrap();
        self
    }

    fn flows(&mut self, count: u32) -> &mut Self {
        for value in 0..count {
            self.exporting.record(1, FLOW, &value.to_be_bytes(), 0).unwrap();
        }
        self
    }

    fn statistics(&mut self) -> &mut Self {
        self.exporting.record(1, STATISTICS, &[0; 12], 0).unwrap();
        self
    }

    fn messages(&mut self) -> Vec<Vec<u8>> {
        self.exporting.flush_all(0);
        std::iter::from_fn(|| self.exporting.poll_message()).map(|message| message.octets).collect()
    }

    /// Sends what is finished; `change` may spoil it.
    fn send(&mut self, mut change: impl FnMut(&mut [u8])) -> Result<(), Hopeless> {
        let mut messages = self.messages();
        messages.iter_mut().for_each(|octets| change(octets));
        messages.iter().try_for_each(|octets| self.decoder.message(1, octets, 0))
    }

    fn good(&mut self) -> &mut Self {
        self.send(|_| {}).unwrap();
        self
    }

    fn numbers(&mut self) -> Vec<Range<u64>> {
        self.decoder.take().numbers().map(|(_, range)| range).collect()
    }
}

/// Makes the length of the message's last octets wrong.
fn spoil(octets: &mut [u8]) {
    octets[18..20].copy_from_slice(&3_u16.to_be_bytes());
}

fn add_to_sequence(octets: &mut [u8], offset: u32) {
    let sequence = u32::from_be_bytes(octets[8..12].try_into().unwrap()).wrapping_add(offset);
    octets[8..12].copy_from_slice(&sequence.to_be_bytes());
}

#[test]
fn records_after_a_session_record_are_numbered_from_its_first_number() {
    let mut world = World::new();
    world.flows(2).session(40).flows(3).good();
    assert_eq!(world.numbers(), vec![40..43], "what came before the session record has no number");
    world.session(100).flows(1).session(200).flows(2).good();
    assert_eq!(world.numbers(), [100..101, 200..202]);
}

#[test]
fn numbers_go_on_over_the_wrap_of_sequence_numbers() {
    let mut world = World::new();
    let near_the_end = u32::MAX - 3;
    world.session(5).flows(2);
    world.send(|octets| add_to_sequence(octets, near_the_end)).unwrap();
    world.flows(300);
    world.send(|octets| add_to_sequence(octets, near_the_end)).unwrap();
    assert_eq!(world.numbers(), vec![5..307]);
}

#[test]
fn a_gap_that_nothing_explains_is_not_covered() {
    let mut world = World::new();
    world.session(0).flows(2).good();
    world.flows(5).messages();
    world.flows(2).good();
    assert_eq!(world.numbers(), [0..2, 7..9]);
}

#[test]
fn a_gap_that_a_refused_message_left_is_covered_when_the_next_record_closes_it() {
    let mut world = World::new();
    world.session(0).flows(2).good();
    world.flows(5).send(spoil).unwrap();
    assert_eq!(world.numbers(), vec![0..2]);
    world.flows(2).good();
    let decoded = world.decoder.take();
    assert_eq!(decoded.refused, [(SERIES, 2..7)]);
    assert_eq!(decoded.numbers().map(|(_, range)| range).collect::<Vec<_>>(), [7..9, 2..7]);
}

#[test]
fn another_options_record_ends_the_numbering() {
    let mut world = World::new();
    world.session(0).flows(2).statistics().flows(3).good();
    let decoded = world.decoder.take();
    let kinds: Vec<_> = decoded.rendered.runs().iter().map(|run| (run.kind, run.records)).collect();
    let identified = RunKind::Identified { series: SERIES, first: 0 };
    assert_eq!(kinds, [(identified, 2), (RunKind::Options, 1), (RunKind::Plain, 3)]);
}

#[test]
fn the_reliability_of_templates_is_not_written_and_ends_the_numbering() {
    let mut world = World::new();
    world.exporting.record(1, RELIABILITY, &[1, 0, 1], 0).unwrap();
    world.session(0).flows(2);
    world.exporting.record(1, RELIABILITY, &[1, 4, 2], 0).unwrap();
    world.flows(1).session(2).flows(1).good();
    let decoded = world.decoder.take();
    let kinds: Vec<_> = decoded.rendered.runs().iter().map(|run| (run.kind, run.records)).collect();
    let identified = |first| RunKind::Identified { series: SERIES, first };
    assert_eq!(kinds, [(identified(0), 2), (RunKind::Plain, 1), (identified(2), 1)]);
}

#[test]
fn a_good_message_between_malformed_ones_saves_the_session() {
    let mut world = World::new();
    world.flows(1).good();
    for _ in 0..3 {
        world.flows(1).send(spoil).unwrap();
        world.flows(1).send(spoil).unwrap();
        world.flows(1).good();
    }
    world.flows(1).send(spoil).unwrap();
    world.flows(1).send(spoil).unwrap();
    assert!(world.flows(1).send(spoil).is_err());
}

#[test]
fn a_restart_forgets_templates_and_numbers() {
    let mut world = World::new();
    world.session(0).flows(2).good();
    assert!(world.decoder.is_asked_for_cookies());
    world.numbers();
    world.decoder.restart();
    assert!(!world.decoder.is_asked_for_cookies());
    world.flows(2).good();
    let decoded = world.decoder.take();
    assert!(decoded.rendered.is_empty() && !decoded.letters.is_empty(), "no template is known");
}

#[test]
fn a_class_record_and_statistics_make_the_books_of_a_stream() {
    const CLASS: u16 = 300;
    const SENT: u16 = 301;
    let domain = SERIES.domain;
    let mut world = World::new();
    let define = |world: &mut World, stream, id, scope_fields, fields: &[(u32, u16, u16)]| {
        let fields = fields.iter().map(|&(pen, id, length)| FieldSpecifier { pen, id, length }).collect();
        world.exporting.define(stream, TemplateRecord { id, scope_fields, fields }).unwrap();
    };
    define(&mut world, 2, CLASS, class_record::SCOPE_FIELDS, &class_record::FIELDS);
    define(&mut world, 2, FLOW + 100, 0, &[(0, 1, 4)]);
    define(&mut world, 0, SENT, statistics_record::SCOPE_FIELDS, &statistics_record::FIELDS);
    let mut octets = Vec::new();
    let name = "dns".to_owned();
    ClassRecord { domain, reliability: Reliability::Limited, name }.encode(&mut octets);
    world.exporting.record(2, CLASS, &octets, 0).unwrap();
    world.exporting.flush(2, 0);
    for value in 0..30_u32 {
        world.exporting.record(2, FLOW + 100, &value.to_be_bytes(), 0).unwrap();
        if value % 10 == 9 {
            world.exporting.flush(2, 0);
        }
    }
    octets.clear();
    let told = StatisticsRecord { domain, stream: 2, sent: 30, settled: 30, abandoned: 20, not_sent: 0 };
    told.encode(&mut octets);
    world.exporting.record(0, SENT, &octets, 0).unwrap();
    world.exporting.flush(0, 0);
    let mut messages: Vec<_> = std::iter::from_fn(|| world.exporting.poll_message()).collect();
    // Templates, class record, three messages of flows, template of the statistics and these: one is lost, two
    // change places.
    assert_eq!(messages.len(), 7);
    messages.remove(3);
    messages.swap(2, 3);
    for message in messages {
        world.decoder.message(message.stream, &message.octets, 0).unwrap();
    }
    let closed = Closed { sent: 30, received: 20, lost: 10, abandoned: 20, spurious: Some(10) };
    assert_eq!(world.decoder.close(), [(Reliability::Limited, closed)]);
    let decoded = world.decoder.take();
    assert_eq!(
        (decoded.rendered.flows(), decoded.numbers().count()),
        (20, 0),
        "records about classes are not written"
    );
}
