//! The fuzz targets of this crate on some thousands of messages of plain seeds: no panic, nothing left by what is refused, limits kept.
//!
//! `cargo +nightly fuzz run ipfix_message` (`ipfix_session`, `ipfix_round_trip`) looks for more.

mod exercise;
#[path = "../suite/random.rs"]
mod random;

use ipfix::{
    ElementDescription, FieldSpecifier, Header, ListSemantic, RecordWriter, TemplateRecord, VARIABLE,
};
use random::Random;

fn set(id: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 4).unwrap();
    [&id.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
}

fn template(id: u16, scope_fields: u16, fields: &[(u32, u16, u16)]) -> Vec<u8> {
    let fields = fields.iter().map(|&(pen, id, length)| FieldSpecifier { pen, id, length }).collect();
    let mut octets = Vec::new();
    TemplateRecord { id, scope_fields, fields }.encode(&mut octets);
    set(if scope_fields > 0 { 3 } else { 2 }, &octets)
}

fn message(sequence: u32, sets: &[Vec<u8>]) -> Vec<u8> {
    let body = sets.concat();
    let length = u16::try_from(Header::LENGTH + body.len()).unwrap();
    let header = Header { length, export_time: 1_700_000_000, sequence, domain: 1 };
    [&header.to_octets()[..], &body].concat()
}

/// A record of every kind of list, nested.
fn lists() -> Vec<u8> {
    let port = FieldSpecifier::iana(7, 2);
    let mut writer = RecordWriter::new();
    writer.basic_list(ListSemantic::AllOf, port, |list| {
        list.unsigned(80, 2).unsigned(443, 2);
    });
    writer.sub_template_list(ListSemantic::Ordered, 401, |records| {
        for name in ["eth0", ""] {
            records.string(name).basic_list(
                ListSemantic::AllOf,
                FieldSpecifier::iana(82, VARIABLE),
                |list| {
                    list.string("a").string("bc");
                },
            );
        }
    });
    writer.sub_template_multi_list(ListSemantic::OneOrMoreOf, |parts| {
        parts.sub_template_part(402, |records| {
            records.unsigned(1, 4).unsigned(2, 4);
        });
        parts.sub_template_part(999, |records| {
            records.fixed(&[1, 2, 3]);
        });
    });
    writer.octets().to_vec()
}

/// What exporters send: flows, options, lists, biflows, types of elements, reliability, withdrawals.
fn seeds() -> Vec<Vec<u8>> {
    let mut types = RecordWriter::new();
    for id in [1, 2] {
        let name = format!("thing{id}").into();
        let (data_type, semantics) = (ipfix::DataType::Unsigned32, ipfix::Semantics::Quantity);
        ElementDescription { pen: 32_473, id, data_type, semantics, units: 0, name }.encode(&mut types);
    }
    let mut type_template = Vec::new();
    ElementDescription::template(404).encode(&mut type_template);
    let flows = template(300, 0, &[(0, 8, 4), (0, 1, 8), (0, 82, VARIABLE), (0, 4, 1)]);
    let flow = set(300, &[192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 4, b'e', b't', b'h', b'0', 17]);
    let biflows = template(301, 0, &[(0, 27, 16), (0, 28, 16), (0, 1, 4), (29_305, 1, 4), (0, 239, 1)]);
    let with_lists = [
        template(402, 0, &[(0, 1, 4)]),
        template(401, 0, &[(0, 82, VARIABLE), (0, 291, VARIABLE)]),
        template(400, 0, &[(0, 291, VARIABLE), (0, 292, VARIABLE), (0, 293, VARIABLE)]),
    ]
    .concat();
    let reliability = template(405, 1, &[(0, 145, 2), (0, 276, 1)]);
    let enterprise = template(303, 0, &[(32_473, 1, 4), (32_473, 2, 4)]);
    vec![
        message(0, &[flows.clone(), flow.clone(), biflows.clone(), set(301, &[7; 41 * 2 + 1])]),
        message(0, &[with_lists.clone(), set(400, &lists())]),
        message(1, &[set(400, &[lists(), lists()].concat())]),
        message(0, &[enterprise.clone(), set(3, &type_template), set(404, types.octets())]),
        message(2, &[set(303, &[0, 0, 0, 1, 0, 0, 0, 2])]),
        message(0, &[reliability, set(405, &[1, 44, 2, 1, 45, 1]), flow.clone()]),
        message(3, &[set(2, &[1, 44, 0, 0, 1, 144, 0, 0]), set(3, &[0, 3, 0, 0]), flows, flow]),
        message(9, &[with_lists, biflows, enterprise, set(2, &[0, 2, 0, 0])]),
    ]
}

#[test]
fn the_seeds_are_what_they_are_meant_to_be() {
    assert!(seeds().iter().all(|seed| exercise::message(seed)));
    assert!(seeds().iter().map(|seed| exercise::round_trip(seed)).sum::<usize>() > 5);
}

#[test]
fn thousands_of_mutated_messages_leave_nothing_behind_when_they_are_refused() {
    let (seeds, mut random) = (seeds(), Random(0x1bf1));
    let mut accepted = 0;
    for _ in 0..8000 {
        let mut octets = seeds[random.below(seeds.len())].clone();
        random.mutate(&mut octets);
        accepted += usize::from(exercise::message(&octets));
    }
    assert!((1000..7000).contains(&accepted), "{accepted}");
}

#[test]
fn sessions_of_many_messages_stay_within_their_limits() {
    let (seeds, mut random) = (seeds(), Random(0x5e55));
    let mut accepted = 0;
    for _ in 0..200 {
        let mut story = Vec::new();
        for _ in 0..40 {
            let mut octets = seeds[random.below(seeds.len())].clone();
            if random.below(3) > 0 {
                random.mutate(&mut octets);
            }
            // Mostly nothing happens beside the message.
            let what = if random.below(4) > 0 { random.octet() & 3 } else { random.octet() & 31 };
            story.push(what);
            story.extend(u16::try_from(octets.len()).unwrap().to_be_bytes());
            story.extend(octets);
        }
        accepted += exercise::session(&story);
    }
    assert!((4000..15_000).contains(&accepted), "{accepted}");
}

#[test]
fn what_is_decoded_is_exported_and_decoded_the_same() {
    let (seeds, mut random) = (seeds(), Random(0x0bb1));
    let mut records = 0;
    for _ in 0..4000 {
        let mut octets = seeds[random.below(seeds.len())].clone();
        random.mutate(&mut octets);
        records += exercise::round_trip(&octets);
    }
    assert!(records > 500, "{records}");
}
