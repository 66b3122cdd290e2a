//! Points of RFC 6526: who keeps to per-stream export is noticed, and so is who does not.

use ipfix::{Breach, CollectingSession, PerStream, Summary};

use crate::support::{Seen, collecting, message, options_template_set, set, template_set, words};

const PROTOCOL: &[(u16, u16)] = &[(4, 1)];

/// An exporter that speaks on several streams.
struct Exporter {
    session: CollectingSession,
    sequences: [u32; 4],
}

impl Exporter {
    /// Stream 1 has template 300 and the options template 400 that tells reliability.
    fn new() -> Self {
        let mut exporter = Self { session: collecting(), sequences: [0; 4] };
        exporter.send(1, &[reliability_template(400), template_set(300, PROTOCOL)]);
        exporter
    }

    fn send(&mut self, stream: u16, sets: &[Vec<u8>]) -> Summary {
        let sequence = &mut self.sequences[usize::from(stream)];
        let octets = message(1, *sequence, sets);
        let summary = self.session.decode(stream, &octets, &mut Seen::default()).unwrap();
        *sequence += summary.data_records();
        summary
    }

    /// Loses this many records on a stream, and sends what shows it: two messages of one record.
    fn lose(&mut self, stream: u16, records: u32) -> Summary {
        self.sequences[usize::from(stream)] += records;
        self.send(stream, &[set(300, &[6])]);
        self.send(stream, &[set(300, &[6])])
    }

    #[track_caller]
    fn is(&self, expected: PerStream) {
        assert_eq!(self.session.per_stream(), expected);
    }
}

/// Scope templateId; dataRecordsReliability.
fn reliability_template(id: u16) -> Vec<u8> {
    options_template_set(id, &[(145, 2), (276, 1)])
}

fn reliability(of: u16, is_reliable: bool) -> Vec<u8> {
    set(400, &[&of.to_be_bytes()[..], &[if is_reliable { 1 } else { 2 }]].concat())
}

fn withdrawal(set_id: u16, template: u16) -> Vec<u8> {
    set(set_id, &words(&[template, 0]))
}

#[test]
fn an_exporter_whose_first_record_tells_reliability_uses_per_stream_export() {
    let mut exporter = Exporter::new();
    exporter.is(PerStream::Undecided);
    exporter.send(1, &[reliability(300, false), set(300, &[6, 17])]);
    exporter.is(PerStream::Enabled);
    exporter.send(2, &[template_set(301, PROTOCOL), reliability_template(401)]);
    exporter.send(2, &[set(401, &[1, 45, 1]), set(301, &[6])]);
    exporter.is(PerStream::Enabled);
}

#[test]
fn an_exporter_whose_first_record_is_another_does_not_use_it_whatever_comes_later() {
    let mut exporter = Exporter::new();
    exporter.send(1, &[set(300, &[6])]);
    exporter.is(PerStream::Absent);
    exporter.send(1, &[reliability(300, false)]);
    // Templates of any stream are used on any other, as RFC 7011 has it.
    assert_eq!(exporter.send(2, &[set(300, &[6])]).records, 1);
    exporter.is(PerStream::Absent);
}

#[test]
fn the_template_of_lost_records_is_told_where_only_one_may_lose_any() {
    let mut exporter = Exporter::new();
    exporter.send(1, &[template_set(301, PROTOCOL)]);
    exporter.send(1, &[reliability(300, false), reliability(301, true), set(300, &[6, 6, 6])]);
    exporter.send(1, &[set(301, &[6])]);
    let summary = exporter.lose(1, 5);
    assert_eq!((summary.lost, summary.lost_template), (5, Some(300)));
    exporter.is(PerStream::Enabled);
}

#[test]
fn losses_are_not_told_by_template_where_two_may_have_them_or_nobody_told_reliability() {
    let mut exporter = Exporter::new();
    exporter.send(1, &[template_set(301, PROTOCOL)]);
    exporter.send(1, &[reliability(300, false), reliability(301, false), set(300, &[6, 6, 6])]);
    exporter.send(1, &[set(301, &[6])]);
    assert_eq!(exporter.lose(1, 5).lost_template, None);
    let mut plain = Exporter::new();
    plain.send(1, &[set(300, &[6, 6, 6])]);
    plain.send(1, &[set(300, &[6])]);
    let summary = plain.lose(1, 5);
    assert_eq!((summary.lost, summary.lost_template), (5, None));
}

/// Section 4.4: the id may be used again at once on the same stream, with its reliability told anew.
#[test]
fn a_template_withdrawn_on_its_stream_may_be_defined_anew_there() {
    let mut exporter = Exporter::new();
    exporter.send(1, &[reliability(300, false), set(300, &[6])]);
    exporter.send(1, &[withdrawal(2, 300), template_set(300, &[(7, 2)])]);
    exporter.send(1, &[reliability(300, true), set(300, &[0, 53])]);
    exporter.is(PerStream::Enabled);
}

#[test]
fn a_record_before_its_reliability_ends_per_stream_export() {
    let mut exporter = Exporter::new();
    exporter.send(1, &[template_set(301, PROTOCOL)]);
    exporter.send(1, &[reliability(300, true), set(300, &[6])]);
    let breach = Breach::NotTold { stream: 1, template: 301 };
    let summary = exporter.send(1, &[set(301, &[6])]);
    assert_eq!((summary.records, summary.breach), (1, Some(breach)));
    exporter.is(PerStream::Disabled(breach));
    // And what comes then is collected by RFC 7011.
    let summary = exporter.send(2, &[set(301, &[6, 17])]);
    assert_eq!((summary.records, summary.breach), (2, None));
}

#[test]
fn reliability_told_on_another_stream_ends_per_stream_export() {
    let mut exporter = Exporter::new();
    exporter.send(1, &[reliability(300, true), set(300, &[6])]);
    exporter.send(2, &[template_set(302, PROTOCOL)]);
    exporter.send(1, &[reliability(302, true)]);
    exporter.is(PerStream::Disabled(Breach::ToldElsewhere { stream: 1, template: 302 }));
}

#[test]
fn reliability_told_twice_ends_per_stream_export() {
    let mut exporter = Exporter::new();
    exporter.send(1, &[reliability(300, true), set(300, &[6])]);
    exporter.send(1, &[reliability(300, true)]);
    exporter.is(PerStream::Disabled(Breach::ToldTwice { template: 300 }));
}

#[test]
fn records_or_withdrawals_on_another_stream_end_per_stream_export() {
    for other in [set(300, &[6]), withdrawal(2, 300), withdrawal(2, 2)] {
        let mut exporter = Exporter::new();
        exporter.send(1, &[reliability(300, true), set(300, &[6])]);
        exporter.send(3, &[other]);
        exporter.is(PerStream::Disabled(Breach::OtherStream { stream: 3, template: 300 }));
    }
}

#[test]
fn a_loss_of_records_said_to_be_reliable_ends_per_stream_export() {
    let mut exporter = Exporter::new();
    exporter.send(1, &[reliability(300, true), set(300, &[6, 6, 6])]);
    exporter.send(1, &[set(300, &[6])]);
    assert_eq!(exporter.lose(1, 5).lost, 5);
    exporter.is(PerStream::Disabled(Breach::LostReliable { stream: 1 }));
}

#[test]
fn an_unordered_message_ends_per_stream_export() {
    let mut exporter = Exporter::new();
    exporter.send(1, &[reliability(300, true), set(300, &[6])]);
    let breach = Breach::Unordered { stream: 1 };
    assert_eq!(exporter.session.tell_unordered(1), Some(breach));
    exporter.is(PerStream::Disabled(breach));
    assert_eq!(exporter.session.tell_unordered(2), None, "it is told once");

    // Before anything else it says that the exporter does not use the extension.
    let mut exporter = Exporter::new();
    assert_eq!(exporter.session.tell_unordered(1), None);
    exporter.send(1, &[reliability(300, true), set(300, &[6])]);
    exporter.is(PerStream::Absent);
}

/// Section 4.5.2: other elements may stand beside the reliability.
#[test]
fn reliability_may_be_told_among_other_elements() {
    let mut exporter = Exporter { session: collecting(), sequences: [0; 4] };
    let telling = options_template_set(400, &[(145, 2), (82, 65535), (276, 1)]);
    exporter.send(1, &[telling, template_set(300, PROTOCOL)]);
    exporter.send(1, &[set(400, &[1, 44, 1, b'x', 2]), set(300, &[6])]);
    exporter.is(PerStream::Enabled);
}

#[test]
fn a_restart_of_the_association_lets_the_exporter_begin_again() {
    let mut exporter = Exporter::new();
    exporter.send(1, &[set(300, &[6])]);
    exporter.session.restart();
    exporter.is(PerStream::Undecided);
}
