use crate::{
    CollectingConfig, CollectingSession, DecodeError, Header, Record, RecordWriter, Summary, TemplateRecord,
    Visitor,
};

use super::*;

/// bgpNextAdjacentAsNumber, to be listed; basicList, subTemplateList, subTemplateMultiList.
const AS: FieldSpecifier = FieldSpecifier::iana(128, 4);
const BASIC: FieldSpecifier = FieldSpecifier::iana(291, VARIABLE);
const SUB: FieldSpecifier = FieldSpecifier::iana(292, VARIABLE);
const MULTI: FieldSpecifier = FieldSpecifier::iana(293, VARIABLE);

#[derive(Default)]
struct Seen(Vec<String>);

impl Visitor for Seen {
    fn record(&mut self, record: &Record<'_>) {
        let fields = record.fields().map(|field| shown(&field, record.sub_templates));
        self.0.push(fields.collect::<Vec<_>>().join(" "));
    }
}

/// A value, lists in brackets behind their semantic.
fn shown(field: &Field<'_>, sub_templates: SubTemplates<'_>) -> String {
    let records = |part: SubTemplateList<'_>| {
        let fields = |fields: Fields<'_>| {
            fields.map(|field| shown(&field, sub_templates)).collect::<Vec<_>>().join(" ")
        };
        let records: Vec<_> = part.records().map(fields).collect();
        let unknown = part.template().map_or_else(|| format!("?{}", part.octets().len()), |_| String::new());
        format!("{}:({}){unknown}", part.template_id(), records.join("; "))
    };
    match sub_templates.list(field) {
        None => field.value().to_string(),
        Some(list) => {
            let members: Vec<_> = match &list {
                List::Basic(list) => list.values().map(|value| shown(&value, sub_templates)).collect(),
                List::SubTemplate(part) => vec![records(*part)],
                List::SubTemplateMulti(list) => list.parts().map(records).collect(),
            };
            format!("{}[{}]", list.semantic(), members.join(", "))
        }
    }
}

fn set(id: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 4).unwrap();
    [&id.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
}

fn template(id: u16, fields: &[FieldSpecifier]) -> Vec<u8> {
    let mut octets = Vec::new();
    TemplateRecord { id, scope_fields: 0, fields: fields.to_vec() }.encode(&mut octets);
    set(2, &octets)
}

fn decode(session: &mut CollectingSession, sets: &[Vec<u8>]) -> Result<(Summary, Vec<String>), DecodeError> {
    let body = sets.concat();
    let length = u16::try_from(body.len() + 16).unwrap();
    let header = Header { length, export_time: 0, sequence: 0, domain: 1 };
    let mut seen = Seen::default();
    let summary = session.decode(0, &[&header.to_octets()[..], &body].concat(), &mut seen)?;
    Ok((summary, seen.0))
}

fn session() -> CollectingSession {
    CollectingSession::new(CollectingConfig::default())
}

/// Decodes one record of one field of this kind, with the templates before it.
fn read(
    field: FieldSpecifier,
    templates: &[Vec<u8>],
    record: &[u8],
) -> Result<(Summary, Vec<String>), DecodeError> {
    let sets = [templates, &[template(300, &[field]), set(300, record)]].concat();
    decode(&mut session(), &sets)
}

#[test]
fn a_basic_list_is_read_value_by_value() {
    let mut writer = RecordWriter::new();
    writer.basic_list(ListSemantic::Ordered, AS, |list| {
        list.unsigned(64_496, 4).unsigned(64_511, 4);
    });
    // RFC 6313 section 4.5.1: semantic, field id, element length, content.
    assert_eq!(writer.octets()[..8], [255, 0, 13, 4, 0, 128, 0, 4]);
    assert_eq!(read(BASIC, &[], writer.octets()).unwrap().1, ["ordered[64496, 64511]"]);
}

#[test]
fn a_basic_list_of_variable_length_or_of_an_enterprise_is_read_too() {
    let mut writer = RecordWriter::new();
    writer.basic_list(ListSemantic::OneOrMoreOf, FieldSpecifier::iana(82, VARIABLE), |list| {
        list.string("eth0").string("").variable_long(b"eth1");
    });
    writer.basic_list(
        ListSemantic::Undefined,
        FieldSpecifier { pen: 8057, id: 2, length: VARIABLE },
        |list| {
            list.string("example.org");
        },
    );
    let (_, seen) = read(BASIC, &[], writer.octets()).unwrap();
    assert_eq!(seen, ["oneOrMoreOf[eth0, , eth1]", "undefined[example.org]"]);
}

#[test]
fn a_list_may_be_empty_and_of_a_semantic_nobody_knows() {
    let templates = [template(400, &[AS])];
    let mut writer = RecordWriter::new();
    writer.basic_list(ListSemantic::Unassigned(77), AS, |_| {});
    assert_eq!(read(BASIC, &[], writer.octets()).unwrap().1, ["unassigned[]"]);
    writer.clear().sub_template_list(ListSemantic::NoneOf, 400, |_| {});
    assert_eq!(read(SUB, &templates, writer.octets()).unwrap().1, ["noneOf[400:()]"]);
    writer.clear().sub_template_multi_list(ListSemantic::ExactlyOneOf, |_| {});
    assert_eq!(read(MULTI, &[], writer.octets()).unwrap().1, ["exactlyOneOf[]"]);
    // Without even a semantic there is no list, and nothing that could be wrong.
    assert_eq!(read(BASIC, &[], &[0]).unwrap().1, [""]);
}

#[test]
fn records_of_sub_templates_are_read_by_their_templates() {
    let templates = [template(400, &[AS, FieldSpecifier::iana(82, VARIABLE)]), template(401, &[AS])];
    let mut writer = RecordWriter::new();
    writer.sub_template_list(ListSemantic::AllOf, 400, |records| {
        records.unsigned(1, 4).string("a").unsigned(2, 4).string("bc");
    });
    assert_eq!(read(SUB, &templates, writer.octets()).unwrap().1, ["allOf[400:(1 a; 2 bc)]"]);
    writer.clear().sub_template_multi_list(ListSemantic::AllOf, |parts| {
        parts.sub_template_part(401, |records| {
            records.unsigned(7, 4).unsigned(8, 4);
        });
        parts.sub_template_part(400, |records| {
            records.unsigned(9, 4).string("x");
        });
    });
    assert_eq!(read(MULTI, &templates, writer.octets()).unwrap().1, ["allOf[401:(7; 8), 400:(9 x)]"]);
}

#[test]
fn records_of_an_unknown_template_stay_octets_and_are_told() {
    let mut writer = RecordWriter::new();
    writer.sub_template_multi_list(ListSemantic::AllOf, |parts| {
        parts.sub_template_part(999, |records| {
            records.fixed(&[1, 2, 3]);
        });
        parts.sub_template_part(401, |records| {
            records.unsigned(7, 4);
        });
    });
    let (summary, seen) = read(MULTI, &[template(401, &[AS])], writer.octets()).unwrap();
    assert_eq!((summary.unknown_sub_templates, seen), (1, vec!["allOf[999:()?3, 401:(7)]".to_owned()]));
}

#[test]
fn a_list_is_read_by_the_template_as_it_was_at_its_place_of_the_message() {
    let list = |octets: &[u8]| {
        let mut writer = RecordWriter::new();
        writer.sub_template_list(ListSemantic::AllOf, 400, |records| {
            records.fixed(octets);
        });
        set(300, writer.octets())
    };
    let port = FieldSpecifier::iana(7, 2);
    let sets = [
        template(300, &[SUB]),
        list(&[9; 3]),
        template(400, &[AS]),
        list(&[0, 0, 0, 1]),
        template(400, &[port]),
        list(&[0, 0, 0, 1]),
        set(2, &[1, 0x90, 0, 0]),
        list(&[0, 0, 0, 1]),
    ];
    let (summary, seen) = decode(&mut session(), &sets).unwrap();
    assert_eq!(seen, ["allOf[400:()?3]", "allOf[400:(1)]", "allOf[400:(0; 1)]", "allOf[400:()?4]"]);
    assert_eq!(summary.unknown_sub_templates, 2);
}

/// A tree: each record has a number and a list of such records.
fn tree(writer: &mut RecordWriter, depth: u64) {
    writer.sub_template_list(ListSemantic::AllOf, 400, |records| {
        if depth > 0 {
            records.unsigned(depth, 4);
            tree(records, depth - 1);
        }
    });
}

#[test]
fn lists_nest_up_to_the_limit_and_no_deeper() {
    let templates = [template(400, &[AS, SUB])];
    let mut writer = RecordWriter::new();
    tree(&mut writer, 2);
    let (_, seen) = read(SUB, &templates, writer.octets()).unwrap();
    assert_eq!(seen, ["allOf[400:(2 allOf[400:(1 allOf[400:()])])]"]);
    let deepest = MAX_DEPTH as u64 - 1;
    writer.clear();
    tree(&mut writer, deepest);
    assert!(read(SUB, &templates, writer.octets()).is_ok());
    writer.clear();
    tree(&mut writer, deepest + 1);
    let error = read(SUB, &templates, writer.octets()).unwrap_err();
    assert!(matches!(error, DecodeError::ListDepth { id: 300, .. }), "{error}");
    assert!(error.to_string().ends_with("nest deeper than 16"), "{error}");
}

#[test]
fn basic_lists_may_hold_lists() {
    let mut writer = RecordWriter::new();
    writer.basic_list(ListSemantic::Ordered, BASIC, |lists| {
        for number in [1, 2] {
            lists.basic_list(ListSemantic::ExactlyOneOf, AS, |list| {
                list.unsigned(number, 4);
            });
        }
    });
    let (_, seen) = read(BASIC, &[], writer.octets()).unwrap();
    assert_eq!(seen, ["ordered[exactlyOneOf[1], exactlyOneOf[2]]"]);
}

/// Notes what the lists of a record name: places and Template IDs.
#[derive(Default)]
struct Named(Vec<(usize, Option<u16>)>);

impl Visitor for Named {
    fn record(&mut self, record: &Record<'_>) {
        record.references(|at, template| {
            // 400 is not known to the session, and the octets there tell it all the same.
            let told = u16::from_be_bytes([record.octets[at], record.octets[at + 1]]);
            assert_eq!(told, template.map_or(400, Template::id));
            self.0.push((at, template.map(Template::id)));
        });
    }
}

#[test]
fn every_place_where_lists_name_a_template_is_found() {
    let mut writer = RecordWriter::new();
    writer.unsigned(7, 4).basic_list(ListSemantic::AllOf, SUB, |lists| {
        lists.sub_template_list(ListSemantic::AllOf, 401, |records| {
            records.unsigned(1, 4).sub_template_multi_list(ListSemantic::AllOf, |parts| {
                parts.sub_template_part(400, |octets| {
                    octets.fixed(&[1, 2, 3]);
                });
                parts.sub_template_part(402, |records| {
                    records.unsigned(2, 4).unsigned(3, 4);
                });
            });
        });
        lists.sub_template_list(ListSemantic::AllOf, 402, |_| {});
    });
    let sets = [template(401, &[AS, MULTI]), template(402, &[AS]), template(300, &[AS, BASIC])];
    let body = [&sets.concat()[..], &set(300, writer.octets())].concat();
    let length = u16::try_from(body.len() + 16).unwrap();
    let header = Header { length, export_time: 0, sequence: 0, domain: 1 };
    let mut named = Named::default();
    session().decode(0, &[&header.to_octets()[..], &body].concat(), &mut named).unwrap();
    assert_eq!(named.0, [(16, Some(401)), (26, None), (33, Some(402)), (49, Some(402))]);
}

/// Checks that a record is refused at this offset from its start, and nothing of its message is kept.
#[track_caller]
fn refused(field: FieldSpecifier, record: &[u8], at: usize) {
    let sets = [template(400, &[AS, SUB]), template(300, &[field]), set(300, record)];
    let start = 16 + sets[0].len() + sets[1].len() + 4;
    let mut session = session();
    let error = decode(&mut session, &sets).unwrap_err();
    assert_eq!(error, DecodeError::List { offset: start + at, id: 300 });
    assert_eq!(session.templates().count(), 0);
}

#[test]
fn a_malformed_list_refuses_the_message_with_its_octet() {
    // A basicList that ends within its header.
    refused(BASIC, &[1, 4], 2);
    refused(BASIC, &[4, 4, 0, 128, 0], 2);
    refused(BASIC, &[7, 4, 0x80, 2, 0, 4, 0, 0], 2);
    // A value beyond its end; a value of no octets.
    refused(BASIC, &[10, 4, 0, 128, 0, 4, 0, 0, 0, 1, 9], 6);
    refused(BASIC, &[8, 4, 0, 82, 255, 255, 3, b'a', b'b'], 6);
    refused(BASIC, &[6, 4, 0, 82, 0, 0, 1], 6);
    // A subTemplateList within its Template ID; a record beyond its end, and a list beyond its record.
    refused(SUB, &[2, 3, 1], 1);
    refused(SUB, &[5, 3, 1, 0x90, 0, 0], 4);
    refused(SUB, &[9, 3, 1, 0x90, 0, 0, 0, 1, 7, 3], 8);
    // A subTemplateMultiList's part that is shorter than its header, or longer than the list.
    refused(MULTI, &[5, 3, 1, 0x90, 0, 3], 2);
    refused(MULTI, &[5, 3, 1, 0x90, 0, 5], 2);
    refused(MULTI, &[4, 3, 1, 0x90, 0], 2);
    // A record within a part.
    refused(MULTI, &[6, 3, 1, 0x90, 0, 5, 0], 6);
}

#[test]
fn the_text_view_shows_lists_indented() {
    let mut writer = RecordWriter::new();
    writer.unsigned(5, 4).sub_template_list(ListSemantic::AllOf, 401, |records| {
        records.unsigned(1, 4);
    });
    let sets = [template(401, &[AS]), template(300, &[AS, SUB]), set(300, writer.octets())].concat();
    let length = u16::try_from(sets.len() + 16).unwrap();
    let header = Header { length, export_time: 0, sequence: 0, domain: 1 };
    let text = crate::view::message(&mut session(), 0, &[&header.to_octets()[..], &sets].concat()).unwrap();
    let (_, record) = text.split_once("  record 0 of template 300\n").unwrap();
    assert_eq!(
        record,
        "    bgpNextAdjacentAsNumber = 5\n    subTemplateList = subTemplateList, allOf\n      \
         record of template 401\n        bgpNextAdjacentAsNumber = 1\n"
    );
}
