//! What an exporting session puts in which message.

use ipfix::{
    Content, DefineError, ExportingConfig, ExportingSession, FieldSpecifier, Header, InvalidTemplate,
    OutMessage, RecordError, TemplateRecord,
};

use crate::support::{collecting, seen};

const TIME: u32 = 1_700_000_000;

fn session() -> ExportingSession {
    ExportingSession::new(ExportingConfig { domain: 5, max_message: 512 })
}

fn template(id: u16, scope_fields: u16, fields: &[(u16, u16)]) -> TemplateRecord {
    let fields = fields.iter().map(|&(id, length)| FieldSpecifier::iana(id, length)).collect();
    TemplateRecord { id, scope_fields, fields }
}

fn port(id: u16) -> TemplateRecord {
    template(id, 0, &[(7, 2)])
}

fn drain(session: &mut ExportingSession) -> Vec<OutMessage> {
    std::iter::from_fn(|| session.poll_message()).collect()
}

/// Returns what a collector sees, one line per thing, each message begun by its stream and content.
fn told(session: &mut ExportingSession) -> Vec<String> {
    let mut collecting = collecting();
    drain(session)
        .iter()
        .flat_map(|out| {
            let head = format!("stream {} {:?}", out.stream, out.content);
            std::iter::once(head).chain(seen(&mut collecting, &out.octets))
        })
        .collect()
}

#[test]
fn a_template_goes_before_its_first_record_on_the_same_stream() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.define(2, port(257)).unwrap();
    session.record(2, 257, &[0, 53], TIME).unwrap();
    session.record(1, 256, &[0, 80], TIME).unwrap();
    session.flush_all(TIME);
    assert_eq!(
        told(&mut session),
        [
            "stream 2 Templates",
            "template 5/257",
            "stream 1 Templates",
            "template 5/256",
            "stream 1 DataOnly",
            "record 0 of 5/256: 80",
            "stream 2 DataOnly",
            "record 0 of 5/257: 53"
        ]
    );
}

#[test]
fn a_template_defined_later_goes_after_the_records_before_it() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.record(1, 256, &[0, 80], TIME).unwrap();
    session.define(1, port(257)).unwrap();
    session.record(1, 257, &[0, 53], TIME).unwrap();
    session.flush(1, TIME);
    assert_eq!(
        told(&mut session)[2..],
        [
            "stream 1 DataOnly",
            "record 0 of 5/256: 80",
            "stream 1 Templates",
            "template 5/257",
            "stream 1 DataOnly",
            "record 1 of 5/257: 53"
        ]
    );
}

#[test]
fn records_of_several_templates_share_a_message_and_keep_their_order() {
    let mut session = session();
    session.define(0, port(256)).unwrap();
    session.define(0, template(300, 1, &[(149, 4), (41, 8)])).unwrap();
    for id in [256, 300, 300, 256] {
        let record: &[u8] = if id == 256 { &[0, 80] } else { &[0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9] };
        session.record(0, id, record, TIME).unwrap();
    }
    session.flush(0, TIME);
    assert_eq!(
        told(&mut session),
        [
            "stream 0 Templates",
            "template 5/256",
            "template 5/300",
            "stream 0 DataOnly",
            "record 0 of 5/256: 80",
            "record 1 of 5/300: 5 9",
            "record 2 of 5/300: 5 9",
            "record 3 of 5/256: 80"
        ]
    );
}

#[test]
fn flushing_sends_due_templates_without_any_record_and_then_nothing() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.flush(1, TIME);
    assert_eq!(told(&mut session), ["stream 1 Templates", "template 5/256"]);
    session.flush(1, TIME);
    session.flush(9, TIME);
    assert_eq!(drain(&mut session), []);
}

#[test]
fn many_templates_are_split_over_messages() {
    let mut session = session();
    for id in 256..356 {
        session.define(1, port(id)).unwrap();
    }
    session.flush(1, TIME);
    let messages = drain(&mut session);
    assert!(messages.len() > 1 && messages.iter().all(|out| out.octets.len() <= 512));
    let mut collecting = collecting();
    messages.iter().for_each(|out| assert!(!seen(&mut collecting, &out.octets).is_empty()));
    assert_eq!(collecting.templates().count(), 100);
}

#[test]
fn a_record_longer_than_the_limit_gets_a_message_of_its_own() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.define(1, template(257, 0, &[(210, 2000)])).unwrap();
    session.record(1, 256, &[0, 80], TIME).unwrap();
    session.record(1, 257, &[7; 2000], TIME).unwrap();
    session.record(1, 256, &[0, 80], TIME).unwrap();
    session.flush(1, TIME);
    let sizes: Vec<_> = drain(&mut session)[1..].iter().map(|out| (out.octets.len(), out.records)).collect();
    assert_eq!(sizes, [(22, 1), (2020, 1), (22, 1)]);
}

#[test]
fn the_longest_record_fits_and_one_octet_more_does_not() {
    let mut session = ExportingSession::new(ExportingConfig { domain: 5, max_message: usize::MAX });
    session.define(1, template(256, 0, &[(210, 65534 - 19)])).unwrap();
    session.record(1, 256, &vec![7; 65515], TIME).unwrap();
    session.flush(1, TIME);
    assert_eq!(drain(&mut session)[1].octets.len(), 65535);
    let long = session.define(1, template(257, 0, &[(210, 65516)])).unwrap_err();
    assert_eq!(long, DefineError::Invalid(InvalidTemplate::RecordLength { octets: 65516 }));
}

#[test]
fn a_withdrawal_goes_after_the_records_of_its_template_and_frees_the_id() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.record(1, 256, &[0, 80], TIME).unwrap();
    session.withdraw(1, 256, TIME).unwrap();
    session.define(1, template(256, 0, &[(4, 1)])).unwrap();
    session.record(1, 256, &[6], TIME).unwrap();
    session.flush(1, TIME);
    assert_eq!(
        told(&mut session)[2..],
        [
            "stream 1 DataOnly",
            "record 0 of 5/256: 80",
            "stream 1 Templates",
            "withdrawal 5/256",
            "stream 1 Templates",
            "template 5/256",
            "stream 1 DataOnly",
            "record 1 of 5/256: 6"
        ]
    );
}

#[test]
fn a_template_never_sent_needs_no_withdrawal() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.withdraw(1, 256, TIME).unwrap();
    session.flush(1, TIME);
    assert_eq!(drain(&mut session), []);
    let error = session.record(1, 256, &[0, 80], TIME).unwrap_err();
    assert_eq!(error, RecordError::NotDefined { stream: 1, id: 256 });
}

#[test]
fn after_a_restart_a_template_not_sent_again_needs_no_withdrawal() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.flush(1, TIME);
    session.restart();
    session.withdraw(1, 256, TIME).unwrap();
    assert_eq!(drain(&mut session), []);
}

#[test]
fn templates_are_repeated_at_once_and_the_message_being_filled_goes_on() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.record(1, 256, &[0, 80], TIME).unwrap();
    session.repeat_templates(TIME);
    session.record(1, 256, &[0, 53], TIME).unwrap();
    session.flush(1, TIME);
    assert_eq!(
        told(&mut session)[2..],
        [
            "stream 1 Templates",
            "template 5/256",
            "stream 1 DataOnly",
            "record 0 of 5/256: 80",
            "record 1 of 5/256: 53"
        ]
    );
}

#[test]
fn a_template_id_has_one_meaning_on_all_streams() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.define(1, port(256)).unwrap();
    session.define(2, port(256)).unwrap();
    let other = session.define(3, template(256, 0, &[(4, 1)])).unwrap_err();
    assert_eq!(other, DefineError::InUse { id: 256 });
}

#[test]
fn impossible_templates_are_refused() {
    let refused = |template| match session().define(1, template) {
        Err(DefineError::Invalid(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(port(255)), InvalidTemplate::Id { id: 255 });
    assert_eq!(refused(template(256, 0, &[])), InvalidTemplate::FieldCount { fields: 0 });
    let scope = InvalidTemplate::ScopeFieldCount { scope_fields: 2, fields: 1 };
    assert_eq!(refused(template(256, 2, &[(4, 1)])), scope);
    assert_eq!(refused(template(256, 0, &[(0x8004, 1)])), InvalidTemplate::ElementId { id: 0x8004 });
    assert_eq!(refused(template(256, 0, &[(82, 0)])), InvalidTemplate::RecordLength { octets: 0 });
}

#[test]
fn a_record_that_is_not_one_of_its_template_is_refused() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.define(1, template(257, 0, &[(82, 65535), (4, 1)])).unwrap();
    for (id, record) in
        [(256, &[0][..]), (256, &[0; 4]), (257, &[2, b'a', 6]), (257, &[1, b'a', 6, 0]), (257, &[])]
    {
        let error = session.record(1, id, record, TIME).unwrap_err();
        assert_eq!(error, RecordError::Length { id, octets: record.len() });
    }
    session.flush(1, TIME);
    assert!(drain(&mut session).iter().all(|out| out.content == Content::Templates));
}

#[test]
fn sequence_numbers_count_per_stream_and_wrap_with_the_session() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.define(2, port(257)).unwrap();
    for _ in 0..300 {
        session.record(1, 256, &[0, 80], TIME).unwrap();
    }
    session.record(2, 257, &[0, 80], TIME).unwrap();
    assert_eq!((session.next_sequence(1), session.next_sequence(2), session.next_sequence(3)), (300, 1, 0));
    let filled: Vec<_> =
        drain(&mut session).into_iter().filter(|out| out.content == Content::DataOnly).collect();
    assert_eq!((filled[0].first_sequence, filled[0].records), (0, 246));
    session.restart();
    assert_eq!((session.next_sequence(1), session.next_sequence(2)), (0, 0));
}

#[test]
fn no_message_is_older_than_the_templates_before_it() {
    let mut session = session();
    session.define(1, port(256)).unwrap();
    session.record(1, 256, &[0, 80], TIME).unwrap();
    session.flush(1, TIME - 60);
    session.record(1, 256, &[0, 80], TIME + 5).unwrap();
    session.flush(1, TIME + 5);
    let times: Vec<_> =
        drain(&mut session).iter().map(|out| Header::decode(&out.octets).unwrap().export_time).collect();
    assert_eq!(times, [TIME, TIME, TIME + 5]);
}
